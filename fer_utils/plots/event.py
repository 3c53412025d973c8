"""Figures of the event report; they can be read on a dark page and on a narrow one too."""
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..labels import COLOURS, EMOTIONS, VALENCE, VALENCES
from .checks import check_columns, check_fractions
from .style import BLUE, GRAY, ORANGE, VERMILLION, WIDTH, new_axes, percent, titled, use_style

VALENCE_COLOURS = {"negative": BLUE, "neutral": GRAY, "positive": ORANGE}


@use_style()
def plot_shares(table: pd.DataFrame, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw the shares of the emotions, or of the valences, raw and corrected, with their 95 % intervals.

    `table` (`estimate_shares`) has rows named by emotion or "valence: …", and fractions in the columns raw and
    corrected, each also with _low and _high. Where it has a column truth, a line marks the true share in each row.
    """
    table = check_columns(table, ["raw", "raw_low", "raw_high", "corrected", "corrected_low", "corrected_high"],
                          "shares")
    ax = new_axes(ax, WIDTH, 1.2 + 0.42 * len(table))
    names = [str(name).removeprefix("valence: ") for name in table.index]
    known = {**COLOURS, **VALENCE_COLOURS}
    if strange := [name for name in names if name not in known]:
        raise ValueError(f"shares has a row {strange[0]!r}; its rows are named {', '.join(known)}")
    colours = [known[name] for name in names]
    page = plt.rcParams["axes.facecolor"]
    legend = []
    for kind, shift, thick, fill in (("corrected", -0.15, 3, None), ("raw", 0.15, 1.2, page)):
        columns = zip(colours, table[f"{kind}_low"], table[kind], table[f"{kind}_high"])
        for y, (colour, low, value, high) in enumerate(columns):
            ax.plot([low, high], [y + shift] * 2, color=colour, linewidth=thick, solid_capstyle="butt")
            ax.plot(value, y + shift, "o", color=colour, ms=6, mew=1.5, markerfacecolor=fill or colour)
        legend.append(Line2D([], [], color=plt.rcParams["text.color"], marker="o", markerfacecolor=fill,
                             linewidth=thick, label=f"{kind}, 95 % interval"))
    if "truth" in table:
        ink, rows, truth = plt.rcParams["text.color"], np.arange(len(table)), check_fractions(table["truth"], "truth")
        ax.vlines(truth, rows - 0.32, rows + 0.32, color=ink, linewidth=1.5, zorder=3)
        legend.append(Line2D([], [], color=ink, marker="|", ms=12, mew=1.5, linestyle="none", label="truth"))
    ax.set(ylim=(len(names) - 0.5, -0.5), xlabel="share of participants", xlim=(0, None))
    ax.set_yticks(range(len(names)), names)
    ax.xaxis.set_major_formatter(percent)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    ax.grid(axis="x", color=GRAY, alpha=0.3)
    ax.figure.legend(handles=legend, loc="outside lower center", ncols=len(legend))
    return titled(ax, "How the participants looked", note)


@use_style()
def plot_over_time(table: pd.DataFrame, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw how many participants showed each emotion in each period.

    `table` has counts: columns `EMOTIONS`, index the starts of the periods (``over_time`` of `event.summarise`).
    """
    table = check_columns(table, EMOTIONS, "over_time")
    ax = new_axes(ax, WIDTH, 3.4)
    starts = pd.DatetimeIndex(table.index)
    day = pd.Timedelta(days=1)
    width = np.diff(starts).min() / day if len(starts) > 1 else 1 / 24
    x = (starts - pd.Timestamp(0)) / day + width / 2
    # Negative below and positive above, so that both begin at a straight edge.
    order = sorted(EMOTIONS, key=lambda emotion: VALENCES.index(VALENCE[emotion]))
    below = np.zeros(len(table))
    for emotion in order:
        ax.bar(x, table[emotion], 0.9 * width, bottom=below, color=COLOURS[emotion], label=emotion)
        below += table[emotion].to_numpy(float)
    locator = AutoDateLocator(minticks=2, maxticks=7)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set(xlabel="time", ylabel="participants")
    ax.legend(reverse=True, loc="center left", bbox_to_anchor=(1, 0.5), handlelength=1)
    return titled(ax, "Emotions over time, raw counts", note)


@use_style()
def plot_by_source(table: pd.DataFrame, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw the raw shares of positive, neutral and negative for each source, with its number of participants.

    `table` has counts: a row for each source, columns `EMOTIONS` and participants (``by_source`` of `event.summarise`).
    """
    table = check_columns(table, [*EMOTIONS, "participants"], "by_source")
    ax = new_axes(ax, WIDTH, 1.3 + 0.36 * len(table))
    left = np.zeros(len(table))
    for valence in VALENCES:
        members = [emotion for emotion in EMOTIONS if VALENCE[emotion] == valence]
        shares = table[members].sum(axis=1).to_numpy() / np.maximum(table["participants"].to_numpy(), 1)
        ax.barh(range(len(table)), shares, 0.7, left=left, color=VALENCE_COLOURS[valence], label=valence)
        left += shares
    names = [f"{_short(str(name))} ({n:,})" for name, n in zip(table.index, table["participants"])]
    ax.set_yticks(range(len(table)), names, parse_math=False)  # a name may have dollar signs
    ax.set(ylim=(len(table) - 0.5, -0.5), xlim=(0, 1), xlabel="share of participants (their number in brackets)")
    ax.xaxis.set_major_formatter(percent)
    ax.tick_params(axis="y", length=0)
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, handlelength=1)
    return titled(ax, "By source, raw shares", note)


def _short(name: str, letters: int = 28) -> str:
    """Return the end of a long name, without what is no UTF-8."""
    name = name.encode("utf-8", "replace").decode()
    return name if len(name) <= letters else "…" + name[1 - letters:]


@use_style()
def plot_correction(table: pd.DataFrame, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw the errors of raw and corrected shares, for mixes whose shares are known: half the sum of the differences.

    `table` has a row for each mix: raw_error and corrected_error, as fractions (`event.check_correction`).
    """
    table = check_columns(table, ["raw_error", "corrected_error"], "the check").sort_values("raw_error")
    ax = new_axes(ax, WIDTH, 1.3 + 0.28 * len(table))
    y = np.arange(len(table))
    ax.hlines(y, table["raw_error"], table["corrected_error"], color=GRAY, linewidth=1)
    ax.plot(table["raw_error"], y, "o", color=VERMILLION, markerfacecolor=plt.rcParams["axes.facecolor"], mew=1.5,
            label="raw")
    ax.plot(table["corrected_error"], y, "o", color=BLUE, label="corrected")
    ax.set(xlim=(0, None), xlabel="error: half the sum of the differences from the true shares",
           ylabel="mixes with known shares")
    ax.set_yticks([])
    ax.xaxis.set_major_formatter(percent)
    ax.grid(axis="x", color=GRAY, alpha=0.3)
    ax.legend(loc="lower right")
    return titled(ax, "Raw and corrected shares against the truth", note)
