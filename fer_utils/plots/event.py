"""Figures of the event report; in the style of `plots`, and readable on a dark page and a narrow one too."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MaxNLocator

from ..labels import COLOURS, EMOTIONS, VALENCE, VALENCES
from .style import BLUE, GRAY, ORANGE, VERMILLION, WIDTH, check_columns, new_axes, percent, set_title, styled

VALENCE_COLOURS = {"negative": BLUE, "neutral": GRAY, "positive": ORANGE}


@styled
def plot_shares(table, note="", ax=None):
    """Draw the shares of the emotions, or of the valences, raw and corrected, with their intervals.

    Parameters
    ----------
    table : DataFrame
        Rows named by emotion or "valence: …", with raw, raw_low, raw_high, corrected, corrected_low and
        corrected_high as fractions (rows of `shares.estimate`).
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        A column is missing or the table has no rows.
    """
    table = check_columns(table, ["raw", "raw_low", "raw_high", "corrected", "corrected_low", "corrected_high"], "shares")
    ax = new_axes(ax, WIDTH, 1.2 + 0.42 * len(table))
    names = [name.removeprefix("valence: ") for name in table.index]
    ink, face = plt.rcParams["text.color"], plt.rcParams["axes.facecolor"]
    for name, shift, hollow in (("corrected", -0.15, False), ("raw", 0.15, True)):
        for y, (label, row) in enumerate(zip(names, table.itertuples())):
            colour = COLOURS.get(label) if label != "neutral" else GRAY
            colour = colour or VALENCE_COLOURS[label]
            low, point, high = (getattr(row, name + suffix) for suffix in ("_low", "", "_high"))
            ax.plot([low, high], [y + shift] * 2, color=colour, linewidth=1.2 if hollow else 3, solid_capstyle="butt")
            ax.plot(point, y + shift, "o", color=colour, ms=6, mew=1.5,
                    markerfacecolor=face if hollow else colour)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel="share of participants", xlim=(0, None))
    ax.set_yticks(range(len(names)), names)
    ax.xaxis.set_major_formatter(percent)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.grid(axis="x", color=GRAY, alpha=0.3)
    handles = [plt.Line2D([], [], color=ink, marker="o", linewidth=3, label="corrected, 95 % interval"),
               plt.Line2D([], [], color=ink, marker="o", markerfacecolor=face, linewidth=1.2,
                          label="raw, 95 % interval")]
    ax.figure.legend(handles=handles, loc="outside lower center", ncols=2)
    set_title(ax, "How the participants looked", note)
    return ax


@styled
def plot_over_time(table, note="", ax=None):
    """Draw how many participants showed each emotion in each period.

    Parameters
    ----------
    table : DataFrame
        Index of period starts (datetime), columns `EMOTIONS`, counts (``over_time`` of `event_summary.summarise`).
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        An emotion is missing or the table has no rows.
    """
    table = check_columns(table, EMOTIONS, "over_time")
    ax = new_axes(ax, WIDTH, 3.4)
    starts = pd.DatetimeIndex(table.index)
    gaps = np.diff(starts) / pd.Timedelta(days=1)
    width = gaps.min() if len(gaps) else 1 / 24
    x = (starts - pd.Timestamp(0)) / pd.Timedelta(days=1) + width / 2
    # Unpleasant below, pleasant above: so that both have an edge of their own.
    order = sorted(EMOTIONS, key=lambda emotion: VALENCES.index(VALENCE[emotion]))
    below = np.zeros(len(table))
    for emotion in order:
        counts = table[emotion].to_numpy(float)
        ax.bar(x, counts, 0.9 * width, bottom=below, color=COLOURS[emotion], label=emotion)
        below += counts
    locator = AutoDateLocator(minticks=2, maxticks=7)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set(xlabel="time", ylabel="participants")
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1, 0.5), handlelength=1)
    set_title(ax, "Emotions over time, raw counts", note)
    return ax


@styled
def plot_by_source(table, note="", ax=None):
    """Draw the raw shares of positive, neutral and negative for each source, with its number of participants.

    Parameters
    ----------
    table : DataFrame
        Index of names, columns `EMOTIONS` (counts) and participants (``by_source`` of `event_summary.summarise`).
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        A column is missing or the table has no rows.
    """
    table = check_columns(table, [*EMOTIONS, "participants"], "by_source")
    ax = new_axes(ax, WIDTH, 1.3 + 0.36 * len(table))
    left = np.zeros(len(table))
    for valence in VALENCES:
        members = [emotion for emotion in EMOTIONS if VALENCE[emotion] == valence]
        shares = table[members].sum(axis=1).to_numpy() / np.maximum(table["participants"].to_numpy(), 1)
        ax.barh(range(len(table)), shares, 0.7, left=left, color=VALENCE_COLOURS[valence], label=valence)
        left += shares
    # Dollar signs would start a formula.
    names = [f"{_short(name)} ({n:,})".replace("$", r"\$") for name, n in zip(table.index, table["participants"])]
    ax.set_yticks(range(len(table)), names)
    ax.set(ylim=(len(table) - 0.5, -0.5), xlim=(0, 1), xlabel="share of participants (their number in brackets)")
    ax.xaxis.set_major_formatter(percent)
    ax.tick_params(axis="y", length=0)
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, handlelength=1)
    set_title(ax, "By source, raw shares", note)
    return ax


def _short(name, letters=28):
    name = str(name).encode("utf-8", "replace").decode()
    return name if len(name) <= letters else "…" + name[1 - letters:]


@styled
def plot_correction(table, note="", ax=None):
    """Draw for mixes with known shares how many faces raw and corrected shares book wrongly.

    Parameters
    ----------
    table : DataFrame
        raw_error and corrected_error, fractions (`shares.check_correction`).
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        A column is missing or the table has no rows.
    """
    table = check_columns(table, ["raw_error", "corrected_error"], "the check").sort_values("raw_error")
    ax = new_axes(ax, WIDTH, 1.3 + 0.28 * len(table))
    y = np.arange(len(table))
    ax.hlines(y, table["raw_error"], table["corrected_error"], color=GRAY, linewidth=1)
    ax.plot(table["raw_error"], y, "o", color=VERMILLION, markerfacecolor=plt.rcParams["axes.facecolor"], mew=1.5,
            label="raw")
    ax.plot(table["corrected_error"], y, "o", color=BLUE, label="corrected")
    ax.set(xlim=(0, None), xlabel="share of faces booked under a wrong emotion", ylabel="mixes with known shares")
    ax.set_yticks([])
    ax.xaxis.set_major_formatter(percent)
    ax.grid(axis="x", color=GRAY, alpha=0.3)
    ax.legend(loc="lower right")
    set_title(ax, "Raw and corrected shares against the truth", note)
    return ax
