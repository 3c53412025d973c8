"""Figures that compare networks."""
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from .style import (
    BLUE,
    GRAY,
    ORANGE,
    VERMILLION,
    WIDTH,
    check_columns,
    check_fractions,
    new_axes,
    percent,
    set_title,
    styled,
)


class Mark(NamedTuple):
    """A published accuracy on PrivateTest, as a fraction, with its margin (0: none given) and its source."""

    name: str
    accuracy: float
    margin: float
    source: str


PUBLISHED_MARKS = (
    Mark("human", 0.65, 0.05, "Goodfellow et al. 2013"),
    Mark("mini-Xception", 0.66, 0.0, "Arriaga et al. 2017"),
    Mark("challenge winner", 0.7116, 0.0, "Tang 2013"),
    Mark("VGGNet", 0.7328, 0.0, "Khaireddin & Chen 2021"),
    Mark("ResMaskNet", 0.7414, 0.0, "Pham et al. 2021"),
    Mark("LHC-Net", 0.7442, 0.0, "Pecoraro et al. 2021"),
    Mark("7-network ensemble", 0.7682, 0.0, "Pham et al. 2021"),
)
"""What others report on PrivateTest as published (not on clean PrivateTest), lowest first."""


# --- 04: comparing networks --------------------------------------------------------------------------------------


def _models_table(table, wanted):
    table = check_columns(table, wanted, "the table of models").copy()
    for name in ("accuracy", "low", "high", "clean_accuracy"):
        if name in table:
            table[name] = check_fractions(table[name], name)
    return table


@styled
def plot_comparison(table, marks=PUBLISHED_MARKS, note="", ax=None):
    """Draw the accuracy of networks with 95 % intervals, on PrivateTest as published and clean, beside published marks.

    Parameters
    ----------
    table : DataFrame
        A row for each run (`evaluate.results_table`): name, accuracy, low, high (its interval), clean_accuracy (on
        clean PrivateTest; may be missing), parameters, protocol ("official" or "leaky"). Fractions.
    marks : sequence of Mark
        Reference lines.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes
        From top to bottom the marks, the official runs and the leaky ones, each best first. The leaky ones are hollow,
        hatched and called an exhibit: they are scored on faces that stand in their training part.

    Raises
    ------
    ValueError
        A column is missing, a score is no fraction, or a protocol is unknown.
    """
    table = _models_table(table, ["name", "accuracy", "low", "high", "clean_accuracy", "parameters", "protocol"])
    unknown = set(table["protocol"]) - {"official", "leaky"}
    if unknown:
        raise ValueError(f"protocol must be official or leaky, got {', '.join(map(str, sorted(unknown)))}")
    marks = sorted(marks, key=lambda mark: -mark.accuracy)
    rows = [("head", "Published")] + [("mark", mark) for mark in marks] if marks else []
    for kind, head in (("official", "Official split"), ("leaky", "Exhibit: leaky split")):
        part = table[table["protocol"] == kind].sort_values("accuracy", ascending=False, kind="stable")
        if len(part):
            rows += [("head", head)] + [(kind, row) for row in part.itertuples()]
    ax = new_axes(ax, WIDTH, 1.3 + 0.27 * len(rows))
    names, values = [], []
    for y, (kind, row) in enumerate(rows):
        if kind == "head":
            names.append(row)
            values.append({"Published": "accuracy", "Official split": "accuracy [95 %]    clean"}.get(
                row, "accuracy [95 %]  unseen"))
            ax.axhline(y - 0.5, color="black", linewidth=0.8)
        elif kind == "mark":
            names.append(f"{row.name} ({row.source})")
            values.append(f"{row.accuracy:.1%}" + (f" ± {row.margin:.0%}" if row.margin else ""))
            ax.axvline(row.accuracy, color=GRAY, linestyle="--", linewidth=0.8, zorder=0.6)
            if row.margin:
                ax.axvspan(row.accuracy - row.margin, row.accuracy + row.margin, color=GRAY, alpha=0.15, linewidth=0,
                           zorder=0.5)
            ax.plot(row.accuracy, y, "|", color="black", ms=12, mew=2)
        else:
            leaky = kind == "leaky"
            names.append(f"{row.name} ({row.parameters / 1e6:.2g} M)")
            clean = "     –" if pd.isna(row.clean_accuracy) else f"{row.clean_accuracy:6.1%}"
            values.append(f"{row.accuracy:.1%} [{100 * row.low:.1f}, {100 * row.high:.1f}]  {clean}")
            colour = VERMILLION if leaky else BLUE
            if leaky:
                ax.barh(y, row.high - row.low, left=row.low, height=0.5, facecolor="none", edgecolor=colour,
                        hatch="////", linewidth=0.8)
            else:
                ax.plot([row.low, row.high], [y, y], color=colour, linewidth=2.5, solid_capstyle="butt")
            ax.plot(row.accuracy, y, "o", color=colour, ms=7, markerfacecolor="white" if leaky else colour, mew=1.5)
            ax.plot(row.clean_accuracy, y, "D", color=ORANGE, markerfacecolor="white" if leaky else ORANGE,
                    markeredgecolor=ORANGE if leaky else "black", mew=1.2 if leaky else 0.7, ms=6, zorder=3)
    handles = [plt.Line2D([], [], color=BLUE, marker="o", ms=7, linewidth=2.5, label="PrivateTest, 95 % interval"),
               plt.Line2D([], [], color=ORANGE, marker="D", markeredgecolor="black", mew=0.7, ms=6, linestyle="",
                          label="clean: without faces seen in training")]
    if "leaky" in set(table["protocol"]):
        handles += [plt.Line2D([], [], color=VERMILLION, marker="o", markerfacecolor="white", ms=7, mew=1.5,
                               linestyle="", label="leaky test part"),
                    plt.Line2D([], [], color=ORANGE, marker="D", markerfacecolor="white", mew=1.2, ms=6, linestyle="",
                               label="of it, faces never seen: other classes")]
    if marks:
        handles.append(plt.Line2D([], [], color=GRAY, linestyle="--", linewidth=0.8, label="published; human ± 5 %"))
    ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel="accuracy")
    ax.set_yticks(range(len(rows)), names)
    right = ax.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), values)
    for side in (ax, right):
        side.tick_params(axis="y", length=0)
        for label, (kind, _) in zip(side.get_yticklabels(), rows):
            label.set_weight("bold" if kind == "head" else "normal")
    for spine in (ax.spines["left"], right.spines["right"]):
        spine.set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(percent)
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.4, -0.55 / (0.27 * len(rows))), ncols=2)
    set_title(ax, "Accuracy beside the published marks", note)
    return ax


def _place_labels(ax, x, y, radii, texts):
    """Write a text beside each marker (radii in points), on the first side where it meets no other text or marker and
    no other marker comes between.
    """
    figure = ax.figure
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    pixels = figure.dpi / 72
    centres = ax.transData.transform(np.column_stack([x, y]))
    taken = [Bbox.from_extents(px - r * pixels, py - r * pixels, px + r * pixels, py + r * pixels)
             for (px, py), r in zip(centres, radii)]
    inside = ax.get_window_extent(renderer)
    sides = [(1, 0, "left", "center"), (-1, 0, "right", "center"), (0, 1, "center", "bottom"), (0, -1, "center", "top"),
             (0.8, 0.8, "left", "bottom"), (0.8, -0.8, "left", "top"), (-0.8, 0.8, "right", "bottom"),
             (-0.8, -0.8, "right", "top")]
    for i, text in enumerate(texts):
        for dx, dy, ha, va in sides:
            label = ax.annotate(text, (x[i], y[i]), ((radii[i] + 3) * dx, (radii[i] + 3) * dy), ha=ha, va=va,
                                textcoords="offset points", fontsize=9,
                                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
            box = label.get_window_extent(renderer)
            beside = np.clip(centres[i], box.min, box.max)
            away = np.hypot(*(centres - beside).T) - np.multiply(radii, pixels)
            free = away[i] <= away.min() + 1 and not any(box.overlaps(other) for other in taken)
            if free and inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1:
                break
            if (dx, dy, ha, va) != sides[-1]:
                label.remove()
        taken.append(box)


@styled
def plot_accuracy_vs_cost(table, cost="cpu_ms", note="", ax=None):
    """Draw the accuracy of networks against what one face costs; the marker's area grows with the parameters.

    Parameters
    ----------
    table : DataFrame
        A row for each network: name, accuracy (fraction), parameters and the cost's column. Rows of protocol
        "leaky" are left out: their accuracy ranks nothing.
    cost : str
        "cpu_ms" (milliseconds a face), "mflops" (10^6 floating point operations a face), or another column.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes
        The line joins the networks that none beats in both accuracy and cost.

    Raises
    ------
    ValueError
        A column is missing, an accuracy is no fraction or a cost is not positive.
    """
    table = _models_table(table, ["name", "accuracy", "parameters", cost])
    if "protocol" in table:
        table = check_columns(table[table["protocol"] != "leaky"], [], "the table of models on the official split")
    if not (table[cost] > 0).all():
        raise ValueError(f"{cost} must be positive to be drawn on a log scale, got {table[cost].min()}")
    ax = new_axes(ax, WIDTH, 4.4)
    table = table.sort_values([cost, "accuracy"], ascending=[True, False], kind="stable")
    x, y = table[cost].to_numpy(float), table["accuracy"].to_numpy(float)
    best = np.maximum.accumulate(y)
    front = np.r_[True, best[1:] > best[:-1]]
    ax.plot(x[front], y[front], color=GRAY, linestyle=":", linewidth=1.2, zorder=1, label="none is better and cheaper")

    def area(parameters):
        return 25 + 60 * np.sqrt(np.asarray(parameters) / 1e6)

    ax.scatter(x, y, s=area(table["parameters"]), color=BLUE, alpha=0.8, edgecolor="black", linewidth=0.7, zorder=2)
    for millions in (0.1, 1, 10):
        ax.scatter([], [], s=area(millions * 1e6), color=BLUE, alpha=0.8, edgecolor="black", linewidth=0.7,
                   label=f"{millions:g} M parameters")
    ax.set_xscale("log")
    ax.margins(x=0.14, y=0.14)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(percent)
    names = {"cpu_ms": "CPU time of one face (ms, log scale)", "mflops": "MFLOPs of one face (log scale)"}
    ax.set(xlabel=names.get(cost, f"{cost} (log scale)"), ylabel="accuracy on PrivateTest")
    ax.grid(True)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4, columnspacing=1.2)
    set_title(ax, "Accuracy against cost", note)
    _place_labels(ax, x, y, np.sqrt(area(table["parameters"]) / np.pi), list(table["name"]))
    return ax
