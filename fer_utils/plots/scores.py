"""Figures of one network's scores."""
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..labels import COLOURS, EMOTIONS, N_CLASSES
from ..metrics import confused_pairs
from .checks import check_columns, check_emotion_rows, check_fractions
from .style import BLUE, GRAY, LABEL, ORANGE, SMALL, VERMILLION, WIDTH, new_axes, percent, titled, use_style

LIGHT_BLUES = ListedColormap(plt.get_cmap("Blues")(np.linspace(0, 0.6, 256)))


def _check_confusion(matrix: np.ndarray) -> np.ndarray:
    matrix = np.asarray(matrix)
    if matrix.shape != (N_CLASSES, N_CLASSES):
        raise ValueError(f"the confusion matrix must be {N_CLASSES} × {N_CLASSES}, rows true and columns predicted, "
                         f"got shape {matrix.shape}")
    if np.any(matrix < 0) or np.any(matrix != np.round(matrix)):
        raise ValueError("the confusion matrix must hold counts of faces (whole, not negative); give the counts and "
                         "normalise=True")
    return matrix.astype(int)


def draw_heatmap(ax: Axes, counts: pd.DataFrame, label: str, shares: bool = False) -> None:
    """Draw counts, or shares of each row, with their numbers as a heatmap; `label` names the colour bar.

    The colours are one hue from white to a medium blue: safe for every colour vision and in gray print, and light
    enough for black numbers in each cell.
    """
    table = counts.div(counts.sum(axis=1).clip(lower=1), axis=0) if shares else counts
    fmt = ".0%" if shares else ",.0f"
    sns.heatmap(table, annot=True, fmt=fmt, cmap=LIGHT_BLUES, vmin=0, vmax=1 if shares else None, ax=ax, linewidths=0.5,
                xticklabels=True, yticklabels=True, annot_kws={"fontsize": LABEL, "color": "black"},
                cbar_kws={"label": label, "format": f"{{x:{fmt}}}"})
    ax.tick_params(length=0)
    ax.tick_params(axis="y", rotation=0)
    plt.setp(ax.get_xticklabels(), rotation=30, ha="right", rotation_mode="anchor")


@use_style()
def plot_confusion(matrix: np.ndarray, normalise: bool = False, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw a confusion matrix: counts (7, 7) by true (rows) and predicted (columns) emotion.

    `normalise` shows percentages of each row (the diagonal is recall) instead of counts.
    """
    matrix = _check_confusion(matrix)
    share = f"{np.trace(matrix) / max(matrix.sum(), 1):.1%}"
    label, title = "faces", f"Confusion matrix: {share} of {matrix.sum():,} faces right"
    if normalise:
        label, title = "share of the true emotion's faces", f"Confusion matrix by true emotion: {share} right"
    ax = new_axes(ax, 0.825 * WIDTH, 5.4)
    draw_heatmap(ax, pd.DataFrame(matrix, EMOTIONS, EMOTIONS), label, shares=normalise)
    ax.set(xlabel="predicted emotion", ylabel="true emotion")
    return titled(ax, title, note)


@use_style()
def plot_per_class(table: pd.DataFrame, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw precision, recall and F1 of each emotion, with intervals where they are given.

    `table` (`metrics.per_class_table`) has the rows `EMOTIONS` and the columns precision, recall, f1, as fractions; if
    wanted support (numbers of faces) and the ends of each score's interval, such as f1_low and f1_high.
    """
    colours = {"precision": ORANGE, "recall": COLOURS["surprise"], "f1": BLUE}
    table = check_columns(check_emotion_rows(table, "per-class scores"), list(colours), "per-class scores")
    ax = new_axes(ax, WIDTH, 4.2)
    for i, (score, colour) in enumerate(colours.items()):
        values = check_fractions(table[score], score)
        x = np.arange(N_CLASSES) + (i - 1) * 0.28
        ax.bar(x, values, 0.28, color=colour, edgecolor="white", label={"f1": "F1"}.get(score, score))
        if f"{score}_low" in table and f"{score}_high" in table:
            low, high = (check_fractions(table[f"{score}_{end}"], f"{score}_{end}") for end in ("low", "high"))
            ax.vlines(x, low, high, color="black", linewidth=1.2)
        for place, value in zip(x, values):  # at the foot of the bars: an interval may cover their tops
            ax.text(place, 0.012, f"{100 * value:.0f}", ha="center", va="bottom", fontsize=SMALL,
                    color="white" if colour == BLUE and value > 0.07 else "black", weight="bold")
    names = [f"{e}\n{int(table['support'][e]):,} faces" if "support" in table else e for e in EMOTIONS]
    ax.set_xticks(range(N_CLASSES), names)
    ax.set(ylim=(0, 1), xlabel="emotion", ylabel="score", xlim=(-0.55, N_CLASSES - 0.45))
    ax.yaxis.set_major_formatter(percent)
    ax.grid(True, axis="y")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    intervals = any(f"{score}_low" in table for score in colours)
    return titled(ax, "Scores of each emotion" + (", lines: 95 % intervals" if intervals else ""), note)


@use_style()
def plot_reliability(bins: pd.DataFrame, ece: float, note: str = "") -> Figure:
    """Draw how often the network is right at each confidence, and how many faces have that confidence.

    See Guo et al., "On calibration of modern neural networks", ICML 2017. `bins` (`metrics.reliability`) has a row for
    each bin of confidence that has faces: low, high (its ends), n (faces), confidence (mean), accuracy. `ece` is the
    expected calibration error, a fraction.
    """
    bins = check_columns(bins, ["low", "high", "n", "confidence", "accuracy"], "the reliability diagram")
    for name in ("low", "high", "confidence", "accuracy"):
        check_fractions(bins[name], name)
    check_fractions(ece, "ece")
    figure, (ax, below) = plt.subplots(2, 1, figsize=(0.8 * WIDTH, 6), sharex=True, height_ratios=[3, 1])
    bar: dict[str, Any] = {"x": bins["low"], "width": bins["high"] - bins["low"], "align": "edge", "linewidth": 0.8}
    ax.bar(height=bins["accuracy"], color=BLUE, edgecolor="black", label="accuracy", **bar)
    ax.bar(height=bins["confidence"] - bins["accuracy"], bottom=bins["accuracy"], edgecolor=VERMILLION,
           facecolor="none", hatch="//", label="gap to confidence", **bar)
    ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="calibrated")
    ax.set(ylabel="share of right faces", xlim=(0, 1.005), ylim=(0, 1))
    ax.yaxis.set_major_formatter(percent)
    ax.legend(loc="upper left")
    below.bar(height=bins["n"], color=GRAY, edgecolor="black", **bar)
    below.set(xlabel="confidence (probability of the predicted emotion)", ylabel="faces")
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.xaxis.set_major_formatter(percent)
    titled(ax, f"Reliability; expected calibration error {ece:.1%}", note)
    return figure


@use_style()
def plot_confused_pairs(matrix: np.ndarray, top: int = 10, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw the most frequent mistakes of a confusion matrix, counts (7, 7) by true (rows) and predicted emotion.

    At most `top` are drawn. Without a mistake there is nothing to draw, and a ValueError says so.
    """
    pairs = confused_pairs(_check_confusion(matrix), top).query("faces > 0")
    if pairs.empty:
        raise ValueError("the confusion matrix holds no mistake: nothing to draw")
    ax = new_axes(ax, WIDTH, 1.1 + 0.3 * len(pairs))
    bars = ax.barh(pairs["true"] + " → " + pairs["predicted"], pairs["faces"], height=0.7,
                   color=pairs["true"].map(COLOURS))
    ax.bar_label(bars, [f"{row.faces:,} ({row.share:.0%} of {row.true})" for row in pairs.itertuples()],
                 fontsize=LABEL, padding=4)
    ax.invert_yaxis()
    ax.set(xlim=(0, pairs["faces"].max() * 1.3), xlabel="faces", ylabel="true → predicted")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    return titled(ax, f"The {len(pairs)} most frequent mistakes", note)
