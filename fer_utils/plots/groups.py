"""Figure of groups: a score of each with its interval."""
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.pyplot import rcParams

from .checks import check_columns, check_fractions
from .style import BLUE, GRAY, WIDTH, new_axes, percent, titled, use_style


@use_style()
def plot_groups(table: pd.DataFrame, what: str = "accuracy", note: str = "", ax: Axes | None = None) -> Axes:
    """Draw one score of each group with its 95 % interval; hollow where a group has too few faces to conclude.

    `table` has the columns group, faces, value, low and high (fractions) and enough (bool); `what` names the score.
    """
    table = check_columns(table, ["group", "faces", "value", "low", "high", "enough"], "groups")
    check_fractions(table[["value", "low", "high"]], "groups")
    ax = new_axes(ax, WIDTH, 1.4 + 0.36 * len(table))
    page = rcParams["axes.facecolor"]
    columns = zip(table["low"], table["value"], table["high"], table["enough"])
    for y, (low, value, high, enough) in enumerate(columns):
        ax.plot([low, high], [y, y], color=BLUE, linewidth=2, linestyle="-" if enough else ":")
        ax.plot(value, y, "o", color=BLUE, ms=7, mew=1.5, clip_on=False, zorder=3,
                markerfacecolor=BLUE if enough else page)
    names = [f"{str(name)[:28]} ({n:,})" for name, n in zip(table["group"], table["faces"])]
    ax.set_yticks(range(len(table)), names, parse_math=False)  # a name may have dollar signs
    ax.set(ylim=(len(table) - 0.5, -0.5), xlim=(0, 1), xlabel=f"{what}, 95 % interval (number of faces in brackets)")
    ax.xaxis.set_major_formatter(percent)
    ax.grid(axis="x", color=GRAY, alpha=0.3)
    legend = [Line2D([], [], color=BLUE, marker="o", linestyle="-", label="enough faces"),
              Line2D([], [], color=BLUE, marker="o", linestyle=":", markerfacecolor=page,
                     label="too few: cannot be told")]
    ax.figure.legend(handles=legend, loc="outside lower center", ncols=2)
    return titled(ax, f"By group: {what}", note)
