"""Figures of one network's scores."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from ..labels import COLOURS, EMOTIONS, N_CLASSES
from .style import (
    BLUE,
    GRAY,
    ORANGE,
    SEQUENTIAL,
    SMALL,
    VERMILLION,
    WIDTH,
    check_columns,
    check_fractions,
    new_axes,
    percent,
    rows_by_emotion,
    set_title,
    styled,
)


def _table_of_counts(matrix, what):
    matrix = np.asarray(matrix)
    if matrix.shape != (N_CLASSES, N_CLASSES):
        raise ValueError(f"{what} must be {N_CLASSES} × {N_CLASSES}, rows true and columns predicted, "
                         f"got shape {matrix.shape}")
    if np.any(matrix < 0) or np.any(matrix != np.round(matrix)):
        raise ValueError(f"{what} must hold counts of faces (whole, not negative); give the counts and normalise=True")
    return matrix.astype(int)


def draw_heatmap(table, text, ax, label, fmt=None, vmax=None):
    """Draw a table as a heatmap with readable numbers in its cells."""
    sns.heatmap(table, annot=text, fmt="", cmap=SEQUENTIAL, vmin=0, vmax=vmax, ax=ax, linewidths=0.5,
                annot_kws={"fontsize": 9}, cbar_kws={"label": label, "format": fmt})
    for number, colour in zip(ax.texts, ax.collections[0].get_facecolors()):
        # Black and white stand out alike against a relative luminance of 0.18 (WCAG 2.1).
        linear = np.where(colour[:3] <= 0.04045, colour[:3] / 12.92, ((colour[:3] + 0.055) / 1.055) ** 2.4)
        number.set_color("black" if linear @ (0.2126, 0.7152, 0.0722) > 0.18 else "white")
    ax.tick_params(length=0)
    ax.tick_params(axis="y", rotation=0)


# --- 05: evaluating one ------------------------------------------------------------------------------------------


@styled
def plot_confusion(matrix, normalise=False, note="", ax=None):
    """Draw a confusion matrix.

    Parameters
    ----------
    matrix : int array (7, 7)
        Faces by true (rows) and predicted (columns) emotion.
    normalise : bool
        Show percentages of each row (the diagonal is recall) in place of counts.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Another shape, or no counts.
    """
    matrix = _table_of_counts(matrix, "the confusion matrix")
    ax = new_axes(ax, 6.6, 5.4)
    if normalise:
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        text = [[f"{share:.0%}" for share in line] for line in shares]
        draw_heatmap(pd.DataFrame(shares), text, ax, "share of the true emotion's faces", percent, vmax=1)
    else:
        draw_heatmap(pd.DataFrame(matrix), [[f"{n:,}" for n in line] for line in matrix], ax, "faces", "{x:,.0f}")
    ax.set_xticks(ax.get_xticks(), EMOTIONS, rotation=30, ha="right", rotation_mode="anchor")
    ax.set_yticks(ax.get_yticks(), EMOTIONS)
    ax.set(xlabel="predicted emotion", ylabel="true emotion")
    share = f"{np.trace(matrix) / max(matrix.sum(), 1):.1%}"
    set_title(ax, f"Confusion matrix by true emotion: {share} right" if normalise else
           f"Confusion matrix: {share} of {matrix.sum():,} faces right", note)
    return ax


@styled
def plot_per_class(table, note="", ax=None):
    """Draw precision, recall and F1 of each emotion, with intervals where given.

    Parameters
    ----------
    table : DataFrame
        Rows `EMOTIONS`; columns precision, recall, f1 (fractions); optionally support, and for each score
        its interval, e.g. f1_low and f1_high (`evaluate.per_class_table`).
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        An emotion or a column is missing, or a score is no fraction.
    """
    scores = {"precision": ORANGE, "recall": COLOURS["surprise"], "f1": BLUE}
    table = check_columns(rows_by_emotion(table, "per-class scores"), list(scores), "per-class scores")
    ax = new_axes(ax, WIDTH, 4.2)
    for i, (score, colour) in enumerate(scores.items()):
        values = check_fractions(table[score], score)
        x = np.arange(N_CLASSES) + (i - 1) * 0.28
        ax.bar(x, values, 0.28, color=colour, edgecolor="white", label={"f1": "F1"}.get(score, score))
        if f"{score}_low" in table and f"{score}_high" in table:
            low, high = (check_fractions(table[f"{score}_{end}"], f"{score}_{end}") for end in ("low", "high"))
            ax.vlines(x, low, high, color="black", linewidth=1.2)
        for place, value in zip(x, values):
            ax.text(place, 0.012, f"{100 * value:.0f}", ha="center", va="bottom", fontsize=SMALL,
                    color="white" if colour == BLUE and value > 0.07 else "black", weight="bold")
    names = [f"{e}\n{int(table['support'][e]):,} faces" if "support" in table else e for e in EMOTIONS]
    ax.set_xticks(range(N_CLASSES), names)
    ax.set(ylim=(0, 1), xlabel="emotion", ylabel="score", xlim=(-0.55, N_CLASSES - 0.45))
    ax.yaxis.set_major_formatter(percent)
    ax.grid(True, axis="y")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    intervals = any(f"{score}_low" in table for score in scores)
    set_title(ax, "Scores of each emotion" + (", lines: 95 % intervals" if intervals else ""), note)
    return ax


@styled
def plot_reliability(bins, ece, note=""):
    """Draw how often the network is right at each confidence, and how often it is that sure; two panels.

    Parameters
    ----------
    bins : DataFrame
        A row for each bin of confidence that has faces (`evaluate.reliability`): low, high (its edges), n (faces),
        confidence (mean), accuracy.
    ece : float
        Expected calibration error, a fraction.
    note : str

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        A column is missing, or values are no fractions.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    bins = check_columns(bins, ["low", "high", "n", "confidence", "accuracy"], "the reliability diagram")
    for name in ("low", "high", "confidence", "accuracy"):
        check_fractions(bins[name], name)
    check_fractions([ece], "ece")
    figure, (ax, below) = plt.subplots(2, 1, figsize=(6.4, 6), sharex=True, height_ratios=[3, 1])
    place = {"x": bins["low"], "width": bins["high"] - bins["low"], "align": "edge", "edgecolor": "black",
             "linewidth": 0.8}
    ax.bar(height=bins["accuracy"], color=BLUE, label="accuracy", **place)
    gap = bins["confidence"] - bins["accuracy"]
    ax.bar(height=gap, bottom=bins["accuracy"], **{**place, "edgecolor": VERMILLION}, facecolor="none", hatch="//",
           label="gap to confidence")
    ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="calibrated")
    ax.set(ylabel="share of right faces", xlim=(0, 1.005), ylim=(0, 1))
    ax.yaxis.set_major_formatter(percent)
    ax.legend(loc="upper left")
    below.bar(height=bins["n"], color=GRAY, **place)
    below.set(xlabel="confidence (probability of the predicted emotion)", ylabel="faces")
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.xaxis.set_major_formatter(percent)
    set_title(ax, f"Reliability; expected calibration error {ece:.1%}", note)
    return figure


@styled
def plot_confused_pairs(matrix, top=10, note="", ax=None):
    """Draw the most frequent mistakes of a confusion matrix.

    Parameters
    ----------
    matrix : int array (7, 7)
        Faces by true (rows) and predicted (columns) emotion.
    top : int
        Mistakes to draw; those that never happened are left out.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Another shape, no counts, or no mistake at all.
    """
    matrix = _table_of_counts(matrix, "the confusion matrix")
    wrong = matrix - np.diag(np.diag(matrix))
    order = [divmod(int(k), N_CLASSES) for k in np.argsort(-wrong, axis=None, kind="stable")[:top]]
    order = [(i, j) for i, j in order if wrong[i, j]]
    if not order:
        raise ValueError("the confusion matrix holds no mistake: nothing to draw")
    ax = new_axes(ax, WIDTH, 1.1 + 0.3 * len(order))
    counts = [wrong[i, j] for i, j in order]
    bars = ax.barh([f"{EMOTIONS[i]} → {EMOTIONS[j]}" for i, j in order], counts, height=0.7,
                   color=[COLOURS[EMOTIONS[i]] for i, _ in order])
    ax.bar_label(bars, [f"{wrong[i, j]:,} ({wrong[i, j] / matrix[i].sum():.0%} of {EMOTIONS[i]})" for i, j in order],
                 fontsize=9, padding=4)
    ax.invert_yaxis()
    ax.set(xlim=(0, max(counts) * 1.3), xlabel="faces", ylabel="true → predicted")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    set_title(ax, f"The {len(order)} most frequent mistakes", note)
    return ax
