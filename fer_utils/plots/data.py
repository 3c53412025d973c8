"""Figures of a data set: classes, brightness, FER+, balancing, the leak."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from ..labels import COLOURS, EMOTIONS, N_CLASSES
from .faces import check_gray_faces, check_labels
from .scores import draw_heatmap
from .style import (
    BLUE,
    GRAY,
    SMALL,
    USAGE_COLOURS,
    VERMILLION,
    WIDTH,
    check_columns,
    check_fractions,
    headline,
    new_axes,
    percent,
    rows_by_emotion,
    set_title,
    styled,
)

# --- 01: what the data is ----------------------------------------------------------------------------------------


@styled
def plot_class_balance(counts, note="", ax=None):
    """Draw how many faces each emotion has in each usage, and each emotion's share of all.

    Parameters
    ----------
    counts : DataFrame
        Rows `EMOTIONS`, a column for each usage, numbers of faces (`FaceSet.counts()`).
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        An emotion has no row, or there are no faces.
    """
    counts = rows_by_emotion(counts, "counts")
    total = counts.to_numpy().sum()
    if total == 0:
        raise ValueError("counts holds no faces: nothing to draw")
    ax = new_axes(ax, WIDTH, 4)
    usages, width = list(counts.columns), 0.86 / counts.shape[1]
    for i, usage in enumerate(usages):
        x = np.arange(N_CLASSES) + (i - (len(usages) - 1) / 2) * width
        bars = ax.bar(x, counts[usage], width, color=USAGE_COLOURS.get(usage, GRAY), label=usage)
        ax.bar_label(bars, [f"{n:,}" for n in counts[usage]], fontsize=SMALL - 1, padding=2)
    shares = counts.sum(axis=1) / total
    ax.set_xticks(range(N_CLASSES), [f"{e}\n{shares[e]:.1%}" for e in EMOTIONS])
    ax.set(xlabel="emotion, and its share of all faces", ylabel="faces", xlim=(-0.55, N_CLASSES - 0.45))
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend(title="usage")
    set_title(ax, "Faces of each emotion and usage", note)
    return ax


@styled
def plot_intensity(pixels, emotion, note=""):
    """Draw the spread of brightness and of contrast within each emotion; a figure of two panels.

    Parameters
    ----------
    pixels : ndarray
        uint8 0-255 or float 0-1, (N, H, W) or (N, H, W, 1).
    emotion : int array (N,)
    note : str

    Returns
    -------
    Figure
        Brightness is a face's mean gray value, contrast its standard deviation, both 0 to 255. Boxes hold half of
        the faces, whiskers reach 1.5 times the box, points beyond are left out.

    Raises
    ------
    ValueError
        Faces of another shape or range, or labels that do not fit them.
    """
    faces = check_gray_faces(pixels)
    emotion = check_labels(emotion, len(faces))
    scale = 1 if faces.dtype == np.uint8 else 255
    table = pd.concat([pd.DataFrame({  # an emotion at a time: the spread of all at once takes 660 MB
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
    figure.suptitle(headline("Brightness and contrast of each emotion; dotted: median of all", note, WIDTH))
    return figure


@styled
def plot_ferplus_agreement(table, note="", ax=None):
    """Draw how often FER+'s annotators agree with FER2013's label.

    Parameters
    ----------
    table : DataFrame
        Index: emotions, and "all" if wanted. Columns: `agreement` (fraction of faces whose FER+ plurality vote is
        FER2013's label; NaN where there are none), `faces` (how many), as `audit.ferplus_agreement` gives them.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        A column is missing or `agreement` is no fraction.

    References
    ----------
    Barsoum et al., "Training deep networks for facial expression recognition with crowd-sourced label distribution",
    ICMI 2016 (FER+).
    """
    table = check_columns(table, ["agreement", "faces"], "FER+ agreement")
    agreement = check_fractions(table["agreement"], "agreement")
    ax = new_axes(ax, WIDTH, 0.9 + 0.34 * len(table))
    colours = [COLOURS.get(name, "black") for name in table.index]
    bars = ax.barh([str(name) for name in table.index], np.nan_to_num(agreement), color=colours, height=0.7)
    texts = [f"{a:.1%} of {n:,}" if n else "no faces" for a, n in zip(agreement, table["faces"])]
    ax.bar_label(bars, texts, fontsize=9, padding=4)
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.18), xlabel="faces whose FER+ plurality vote is FER2013's label", ylabel="FER2013's label",
           xticks=np.arange(0, 1.01, 0.2))
    ax.spines["bottom"].set_bounds(0, 1)
    ax.xaxis.set_major_formatter(percent)
    set_title(ax, "Ten FER+ annotators against FER2013's label", note)
    return ax


@styled
def plot_votes(table, note="", ax=None):
    """Draw what FER+'s annotators saw in the faces of each FER2013 label.

    Parameters
    ----------
    table : DataFrame
        Rows `EMOTIONS` (FER2013's label), columns FER+'s plurality votes, numbers of faces.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes
        Cells hold the percentage of the row's faces.

    Raises
    ------
    ValueError
        An emotion has no row.
    """
    table = rows_by_emotion(table, "the table of votes")
    shares = table.div(table.sum(axis=1).clip(lower=1), axis=0)
    ax = new_axes(ax, WIDTH, 4.4)
    draw_heatmap(shares, shares.map("{:.0%}".format), ax, "share of the row", percent, vmax=1)
    ax.set_xticks(ax.get_xticks(), table.columns, rotation=30, ha="right", rotation_mode="anchor")
    ax.set(xlabel="FER+ plurality vote", ylabel="FER2013's label")
    set_title(ax, "What ten FER+ annotators saw in FER2013's classes", note)
    return ax


# --- 02: preparing it --------------------------------------------------------------------------------------------


@styled
def plot_resampling(counts, note=""):
    """Draw the class counts of the training part before and after each way of balancing; a panel for each.

    Parameters
    ----------
    counts : DataFrame
        Rows `EMOTIONS`, a column for each way ("none", "over", …), numbers of faces.
    note : str

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        An emotion has no row.
    """
    counts = rows_by_emotion(counts, "counts")
    columns = min(3, counts.shape[1])
    rows = -(-counts.shape[1] // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 0.6 + 2.3 * rows), sharex=True, sharey=True,
                                squeeze=False)
    largest = counts.to_numpy().max()
    for ax, method in zip(axes.flat, counts.columns):
        bars = ax.barh(EMOTIONS, counts[method], color=[COLOURS[e] for e in EMOTIONS], height=0.75)
        ax.bar_label(bars, [f"{n:,}" for n in counts[method]], fontsize=SMALL, padding=3)
        ax.set_title(f"{method}: {counts[method].sum():,}", fontsize=10)
        ax.set_xlim(0, largest * 1.25)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.tick_params(labelbottom=True)
        ax.xaxis.set_major_formatter("{x:,.0f}")
    axes[0, 0].invert_yaxis()
    for ax in axes.flat[counts.shape[1]:]:
        ax.set_axis_off()
    for ax in axes.flat[max(0, counts.shape[1] - columns):counts.shape[1]]:
        ax.set_xlabel("faces")
    figure.suptitle(headline("Training faces of each emotion by way of balancing", note, WIDTH))
    return figure


@styled
def plot_leak(table, note=""):
    """Draw the leak: test faces that also stand in training, and what a mere memoriser scores; two panels.

    Parameters
    ----------
    table : DataFrame
        Index: protocols ("official", "leaky"). Columns: `both_sides` (test faces that stand in training too),
        `test_faces` (all), `memoriser_accuracy` (fraction a look-up table of training faces gets right).
    note : str

    Returns
    -------
    Figure
        The leaky protocol is hatched and called an exhibit.

    Raises
    ------
    ValueError
        A column is missing or an accuracy is no fraction.
    """
    table = check_columns(table, ["both_sides", "test_faces", "memoriser_accuracy"], "the leak's table")
    accuracy = check_fractions(table["memoriser_accuracy"], "memoriser_accuracy")
    shares = check_fractions(table["both_sides"] / table["test_faces"], "both_sides / test_faces")
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.8), sharey=True)
    leaky = [protocol == "leaky" for protocol in table.index]
    names = [f"{protocol}\n(exhibit)" if leak else str(protocol) for protocol, leak in zip(table.index, leaky)]
    texts = ([f"{s:.1%}\n{b:,} of {n:,}" for s, b, n in zip(shares, table["both_sides"], table["test_faces"])],
             [f"{a:.1%}" for a in accuracy])
    titles = ("Test faces that stand in training too", "Accuracy of a look-up table")
    for ax, values, text, title in zip(axes, (shares, accuracy), texts, titles):
        bars = ax.bar(names, values, width=0.6, edgecolor="black", color=[VERMILLION if k else BLUE for k in leaky])
        for bar, leak in zip(bars, leaky):
            bar.set_hatch("//" if leak else "")
        ax.bar_label(bars, text, fontsize=9, padding=3)
        ax.set_title(title, fontsize=10)
        ax.set(ylim=(0, 1.15), yticks=np.arange(0, 1.01, 0.2), xlabel="protocol", ylabel="share of test faces")
        ax.spines["left"].set_bounds(0, 1)
        ax.yaxis.set_major_formatter(percent)
        ax.yaxis.set_tick_params(labelleft=True)
    figure.suptitle(headline("The leak: over-sampling before the split", note, WIDTH))
    return figure
