"""Figures of a data set: classes, brightness, FER+, balancing, the leak."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..labels import COLOURS, EMOTIONS, N_CLASSES
from .checks import check_columns, check_emotion_rows, check_faces, check_fractions, check_labels
from .scores import draw_heatmap
from .style import BLUE, GRAY, LABEL, ORANGE, SMALL, TEXT, VERMILLION, WIDTH, new_axes, percent, titled, use_style

USAGE_COLOURS = {"Training": BLUE, "PublicTest": ORANGE, "PrivateTest": VERMILLION}


@use_style()
def plot_class_balance(counts: pd.DataFrame, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw how many faces each emotion has in each usage, and each emotion's share of all.

    `counts` has the rows `EMOTIONS` and one column for each usage (`FaceSet.counts()`).
    """
    counts = check_emotion_rows(counts, "counts")
    total = counts.to_numpy().sum()
    if total == 0:
        raise ValueError("counts holds no faces: nothing to draw")
    ax = new_axes(ax, WIDTH, 4)
    counts.plot.bar(ax=ax, width=0.86, rot=0, color=[USAGE_COLOURS.get(str(usage), GRAY) for usage in counts])
    for bars in ax.containers:
        assert isinstance(bars, BarContainer)
        ax.bar_label(bars, fmt="{:,.0f}", fontsize=SMALL - 1, padding=2)
    shares = counts.sum(axis=1) / total
    ax.set_xticks(range(N_CLASSES), [f"{e}\n{shares[e]:.1%}" for e in EMOTIONS])
    ax.set(xlabel="emotion, and its share of all faces", ylabel="faces", xlim=(-0.55, N_CLASSES - 0.45))
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend(title="usage")
    return titled(ax, "Faces of each emotion and usage", note)


@use_style()
def plot_intensity(pixels: np.ndarray, emotion: np.ndarray, note: str = "") -> Figure:
    """Draw the spread of brightness and of contrast within each emotion, in two panels.

    Brightness is the mean gray value of a face, contrast its standard deviation, both 0 to 255. Boxes hold half of the
    faces, whiskers reach 1.5 times the box, points beyond are left out. `pixels` are gray faces, as in `plot_faces`.
    """
    faces = check_faces(pixels, gray=True)
    emotion = check_labels(emotion, len(faces))
    scale = 1 if faces.dtype == np.uint8 else 255
    table = pd.concat([pd.DataFrame({  # one emotion at a time: the spread of all at once takes 660 MB
        "emotion": name, "brightness (mean gray value)": scale * faces[emotion == label].mean(axis=(1, 2)),
        "contrast (standard deviation)": scale * faces[emotion == label].std(axis=(1, 2))})
        for label, name in enumerate(EMOTIONS) if np.any(emotion == label)])
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.6), sharey=True)
    for ax, column in zip(axes, table.columns[1:]):
        sns.boxplot(table, x=column, y="emotion", hue="emotion", order=EMOTIONS, hue_order=EMOTIONS, palette=COLOURS,
                    showfliers=False, width=0.6, saturation=1, linewidth=1, ax=ax, legend=False)
        ax.axvline(table[column].median(), color="black", linestyle=":", linewidth=1)
        ax.set_ylabel("")
    axes[0].set_ylabel("emotion")
    return titled(figure, "Brightness and contrast of each emotion; dotted: median of all", note)


@use_style()
def plot_ferplus_agreement(table: pd.DataFrame, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw how often FER+'s annotators (Barsoum et al., ICMI 2016) agree with FER2013's label.

    `table` (`data.ferplus_agreement`) has a row for each emotion and, if wanted, for "all": agreement (fraction of
    faces whose FER+ plurality vote is FER2013's label; NaN without faces) and faces (how many).
    """
    table = check_columns(table, ["agreement", "faces"], "FER+ agreement")
    agreement = check_fractions(table["agreement"], "agreement")
    ax = new_axes(ax, WIDTH, 0.9 + 0.34 * len(table))
    colours = [COLOURS.get(name, "black") for name in table.index]
    bars = ax.barh([str(name) for name in table.index], np.nan_to_num(agreement), color=colours, height=0.7)
    texts = [f"{a:.1%} of {n:,}" if n else "no faces" for a, n in zip(agreement, table["faces"])]
    ax.bar_label(bars, texts, fontsize=LABEL, padding=4)
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.18), xlabel="faces whose FER+ plurality vote is FER2013's label", ylabel="FER2013's label",
           xticks=np.arange(0, 1.01, 0.2))
    ax.spines["bottom"].set_bounds(0, 1)
    ax.xaxis.set_major_formatter(percent)
    return titled(ax, "Ten FER+ annotators against FER2013's label", note)


@use_style()
def plot_votes(table: pd.DataFrame, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw what FER+'s annotators saw in the faces of each FER2013 label, as percentages of the row's faces.

    `table` has numbers of faces: rows `EMOTIONS` (FER2013's label), columns FER+'s plurality votes.
    """
    table = check_emotion_rows(table, "the table of votes")
    ax = new_axes(ax, WIDTH, 4.4)
    draw_heatmap(ax, table, "share of the row", shares=True)
    ax.set(xlabel="FER+ plurality vote", ylabel="FER2013's label")
    return titled(ax, "What ten FER+ annotators saw in FER2013's classes", note)


@use_style()
def plot_resampling(counts: pd.DataFrame, note: str = "") -> Figure:
    """Draw the class counts of the training part after each way of balancing, in one panel for each.

    `counts` has the rows `EMOTIONS` and one column for each way ("none", "over", …).
    """
    counts = check_emotion_rows(counts, "counts")
    # One row, so that no panel is left over and equal bars are side by side.
    figure, axes = plt.subplots(1, counts.shape[1], figsize=(WIDTH, 2.9), sharex=True, sharey=True, squeeze=False)
    for ax, method in zip(axes.flat, counts.columns):
        bars = ax.barh(EMOTIONS, counts[method], color=[COLOURS[e] for e in EMOTIONS], height=0.75)
        ax.bar_label(bars, fmt="{:,.0f}", fontsize=SMALL, padding=3)
        ax.set_title(f"{method}\n{counts[method].sum():,}", fontsize=TEXT)
        ax.set_xlabel("faces")
    axes[0, 0].set_xlim(0, counts.to_numpy().max() * 1.45)
    axes[0, 0].xaxis.set_major_locator(MaxNLocator(2, integer=True))
    axes[0, 0].xaxis.set_major_formatter("{x:,.0f}")
    axes[0, 0].invert_yaxis()
    return titled(figure, "Training faces of each emotion by way of balancing", note)


@use_style()
def plot_leak(table: pd.DataFrame, note: str = "") -> Figure:
    """Draw how many test faces also appear in training, and how many a look-up table of training faces gets right.

    `table` has a row for each protocol ("official", "leaky"; the leaky one is hatched and called an exhibit):
    both_sides (test faces that appear in training too), test_faces (all), memoriser_accuracy (a fraction).
    """
    table = check_columns(table, ["both_sides", "test_faces", "memoriser_accuracy"], "the leak's table")
    accuracy = check_fractions(table["memoriser_accuracy"], "memoriser_accuracy")
    shares = check_fractions(table["both_sides"] / table["test_faces"], "both_sides / test_faces")
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.8), sharey=True)
    leaky = table.index == "leaky"
    names = [f"{protocol}\n(exhibit)" if leak else str(protocol) for protocol, leak in zip(table.index, leaky)]
    counted = [f"{s:.1%}\n{b:,} of {n:,}" for s, b, n in zip(shares, table["both_sides"], table["test_faces"])]
    for ax, values, texts, title in (
            (axes[0], shares, counted, "Test faces that are in training too"),
            (axes[1], accuracy, [f"{a:.1%}" for a in accuracy], "Accuracy of a look-up table")):
        bars = ax.bar(names, values, width=0.6, edgecolor="black", color=np.where(leaky, VERMILLION, BLUE),
                      hatch=[*np.where(leaky, "//", "")])
        ax.bar_label(bars, texts, fontsize=LABEL, padding=3)
        ax.set_title(title, fontsize=TEXT)
        ax.set(ylim=(0, 1.15), yticks=np.arange(0, 1.01, 0.2), xlabel="protocol", ylabel="share of test faces")
        ax.spines["left"].set_bounds(0, 1)
        ax.yaxis.set_major_formatter(percent)
        ax.yaxis.set_tick_params(labelleft=True)
    return titled(figure, "The leak: over-sampling before the split", note)
