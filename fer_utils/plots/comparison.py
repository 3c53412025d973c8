"""Figures that compare networks."""
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from .checks import check_columns, check_fractions
from .style import BLUE, GRAY, LABEL, ORANGE, VERMILLION, WIDTH, new_axes, percent, titled, use_style


class PublishedResult(NamedTuple):
    """A published accuracy on PrivateTest, as a fraction, with its margin (0: none given) and its source."""

    name: str
    accuracy: float
    margin: float
    source: str


PUBLISHED_RESULTS = (
    PublishedResult("human", 0.65, 0.05, "Goodfellow et al. 2013"),
    PublishedResult("mini-Xception", 0.66, 0.0, "Arriaga et al. 2017"),
    PublishedResult("challenge winner", 0.7116, 0.0, "Tang 2013"),
    PublishedResult("VGGNet", 0.7328, 0.0, "Khaireddin & Chen 2021"),
    PublishedResult("ResMaskNet", 0.7414, 0.0, "Pham et al. 2021"),
    PublishedResult("LHC-Net", 0.7442, 0.0, "Pecoraro et al. 2021"),
    PublishedResult("7-network ensemble", 0.7682, 0.0, "Pham et al. 2021"),
)
"""What others report on PrivateTest as published (not on clean PrivateTest), lowest first."""


def _check_models(table: pd.DataFrame, wanted: list[str]) -> pd.DataFrame:
    table = check_columns(table, wanted, "the table of models").copy()
    for name in ("accuracy", "low", "high", "clean_accuracy"):
        if name in table:
            table[name] = check_fractions(table[name], name)
    return table


class _Row(NamedTuple):
    """One row of the comparison: a heading, a published result, or a network on an official or leaky split."""

    kind: str
    name: str
    values: str
    result: Any = None


@use_style()
def plot_comparison(table: pd.DataFrame, published: Sequence[PublishedResult] = PUBLISHED_RESULTS, note: str = "",
                    ax: Axes | None = None) -> Axes:
    """Draw the accuracy of networks with 95 % intervals, on PrivateTest as published and clean, beside published ones.

    From top to bottom: the published results, the official runs, the leaky ones, each best first. The leaky ones are
    hollow, hatched and called an exhibit: they are scored on faces that appear in their training part.

    `table` has a row for each run: name, accuracy, low, high (the ends of its interval), clean_accuracy (on clean
    PrivateTest; may be NaN), all as fractions, parameters, protocol ("official" or "leaky").
    """
    table = _check_models(table, ["name", "accuracy", "low", "high", "clean_accuracy", "parameters", "protocol"])
    unknown = set(table["protocol"]) - {"official", "leaky"}
    if unknown:
        raise ValueError(f"protocol must be official or leaky, got {', '.join(map(str, sorted(unknown)))}")
    rows = _comparison_rows(table, published)
    ax = new_axes(ax, WIDTH, 1.3 + 0.27 * len(rows))
    for y, row in enumerate(rows):
        if row.kind == "heading":
            ax.axhline(y - 0.5, color="black", linewidth=0.8)
        elif row.kind == "published":
            _draw_published(ax, y, row.result)
        else:
            _draw_run(ax, y, row.result, leaky=row.kind == "leaky")
    ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel="accuracy")
    right = ax.secondary_yaxis("right")
    for side, texts in ((ax, [row.name for row in rows]), (right, [row.values for row in rows])):
        side.set_yticks(range(len(rows)), texts)
        side.tick_params(axis="y", length=0)
        for label, row in zip(side.get_yticklabels(), rows):
            label.set_fontweight("bold" if row.kind == "heading" else "normal")
    ax.spines["left"].set_visible(False)
    right.spines["right"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(percent)
    ax.legend(handles=_comparison_handles("leaky" in set(table["protocol"]), bool(published)), loc="upper center",
              bbox_to_anchor=(0.4, -0.55 / (0.27 * len(rows))), ncols=2)
    return titled(ax, "Accuracy beside the published marks", note)


def _comparison_rows(table: pd.DataFrame, published: Sequence[PublishedResult]) -> list[_Row]:
    rows = []
    if published:
        rows.append(_Row("heading", "Published", "accuracy"))
    for result in sorted(published, key=lambda result: -result.accuracy):
        margin = f" ± {result.margin:.0%}" if result.margin else ""
        rows.append(_Row("published", f"{result.name} ({result.source})", f"{result.accuracy:.1%}{margin}", result))
    for protocol, heading, values in (("official", "Official split", "accuracy [95 %]    clean"),
                                      ("leaky", "Exhibit: leaky split", "accuracy [95 %]  unseen")):
        part = table[table["protocol"] == protocol].sort_values("accuracy", ascending=False, kind="stable")
        if len(part):
            rows.append(_Row("heading", heading, values))
        for run in part.to_dict("records"):
            clean = "     –" if pd.isna(run["clean_accuracy"]) else f"{run['clean_accuracy']:6.1%}"
            interval = f"[{100 * run['low']:.1f}, {100 * run['high']:.1f}]"
            rows.append(_Row(protocol, f"{run['name']} ({run['parameters'] / 1e6:.2g} M)",
                             f"{run['accuracy']:.1%} {interval}  {clean}", run))
    return rows


def _draw_published(ax: Axes, y: float, result: PublishedResult) -> None:
    ax.axvline(result.accuracy, color=GRAY, linestyle="--", linewidth=0.8, zorder=0.6)
    if result.margin:
        ax.axvspan(result.accuracy - result.margin, result.accuracy + result.margin, color=GRAY, alpha=0.15,
                   linewidth=0, zorder=0.5)
    ax.plot(result.accuracy, y, "|", color="black", ms=12, mew=2)


def _draw_run(ax: Axes, y: float, run: dict[Hashable, Any], leaky: bool) -> None:
    colour, low, high = VERMILLION if leaky else BLUE, run["low"], run["high"]
    if leaky:
        ax.barh(y, high - low, left=low, height=0.5, facecolor="none", edgecolor=colour, hatch="////", linewidth=0.8)
    else:
        ax.plot([low, high], [y, y], color=colour, linewidth=2.5, solid_capstyle="butt")
    ax.plot(run["accuracy"], y, "o", color=colour, ms=7, markerfacecolor="white" if leaky else colour, mew=1.5)
    ax.plot(run["clean_accuracy"], y, "D", color=ORANGE, markerfacecolor="white" if leaky else ORANGE,
            markeredgecolor=ORANGE if leaky else "black", mew=1.2 if leaky else 0.7, ms=6, zorder=3)


def _comparison_handles(leaky: bool, published: bool) -> list[Line2D]:
    handles = [Line2D([], [], color=BLUE, marker="o", ms=7, linewidth=2.5, label="PrivateTest, 95 % interval"),
               Line2D([], [], color=ORANGE, marker="D", markeredgecolor="black", mew=0.7, ms=6, linestyle="",
                      label="clean: without faces seen in training")]
    if leaky:
        hollow: dict[str, Any] = {"markerfacecolor": "white", "linestyle": ""}
        handles += [Line2D([], [], color=VERMILLION, marker="o", ms=7, mew=1.5, label="leaky test part", **hollow),
                    Line2D([], [], color=ORANGE, marker="D", mew=1.2, ms=6,
                           label="of it, faces never seen: other classes", **hollow)]
    if published:
        handles.append(Line2D([], [], color=GRAY, linestyle="--", linewidth=0.8, label="published; human ± 5 %"))
    return handles


@use_style()
def plot_accuracy_vs_cost(table: pd.DataFrame, cost: str = "cpu_ms", note: str = "", ax: Axes | None = None) -> Axes:
    """Draw the accuracy of networks against the cost of one face; the marker's area grows with the parameters.

    The line joins the networks that no other one beats in both accuracy and cost. `table` has a row for each network:
    name, accuracy (a fraction), parameters and the column `cost`: "cpu_ms" (milliseconds), "mflops" (10^6 floating
    point operations) or other positive numbers. "leaky" rows are left out: their accuracy ranks nothing.
    """
    table = _check_models(table, ["name", "accuracy", "parameters", cost])
    if "protocol" in table:
        table = check_columns(table[table["protocol"] != "leaky"], [], "the table of models on the official split")
    if not (table[cost] > 0).all():
        raise ValueError(f"{cost} must be positive to be drawn on a log scale, got {table[cost].min()}")
    table = table.sort_values([cost, "accuracy"], ascending=[True, False], kind="stable")
    ax = new_axes(ax, WIDTH, 4.4)
    x, y = table[cost].to_numpy(float), table["accuracy"].to_numpy(float)
    best = np.maximum.accumulate(y)
    front = np.r_[True, best[1:] > best[:-1]]
    ax.plot(x[front], y[front], color=GRAY, linestyle=":", linewidth=1.2, zorder=1, label="none is better and cheaper")
    marker: dict[str, Any] = {"color": BLUE, "alpha": 0.8, "edgecolor": "black", "linewidth": 0.7, "zorder": 2}
    ax.scatter(x, y, s=_area(table["parameters"]), **marker)
    for millions in (0.1, 1, 10):
        ax.scatter([], [], s=_area(millions * 1e6), label=f"{millions:g} M parameters", **marker)
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
    titled(ax, "Accuracy against cost", note)
    _place_labels(ax, x, y, np.sqrt(_area(table["parameters"]) / np.pi), list(table["name"]))
    return ax


def _area(parameters: float | pd.Series) -> np.ndarray:
    """Return the area of a marker, in square points."""
    return 25 + 60 * np.sqrt(np.asarray(parameters) / 1e6)


def _place_labels(ax: Axes, x: np.ndarray, y: np.ndarray, radii: np.ndarray, texts: list[str]) -> None:
    """Write a text beside each marker, on the first side where it meets no other text or marker.

    No other marker may be nearer to a text than its own. Radii are in points.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    radii_px = radii * figure.dpi / 72
    centres = ax.transData.transform(np.column_stack([x, y]))
    taken = [Bbox.from_extents(*(centre - r), *(centre + r)) for centre, r in zip(centres, radii_px)]
    inside = ax.get_window_extent()
    sides = [(1, 0, "left", "center"), (-1, 0, "right", "center"), (0, 1, "center", "bottom"), (0, -1, "center", "top"),
             (0.8, 0.8, "left", "bottom"), (0.8, -0.8, "left", "top"), (-0.8, 0.8, "right", "bottom"),
             (-0.8, -0.8, "right", "top")]
    for i, text in enumerate(texts):
        label = ax.annotate(text, (x[i], y[i]), (0, 0), textcoords="offset points", fontsize=LABEL,
                            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
        for dx, dy, ha, va in sides:
            label.set(position=((radii[i] + 3) * dx, (radii[i] + 3) * dy), ha=ha, va=va)
            box = label.get_window_extent()
            nearest = np.clip(centres, box.min, box.max)
            away = np.hypot(*(centres - nearest).T) - radii_px
            if (away[i] <= away.min() + 1 and not any(box.overlaps(other) for other in taken)
                    and inside.x0 <= box.x0 and box.x1 <= inside.x1
                    and inside.y0 <= box.y0 and box.y1 <= inside.y1):
                break
        taken.append(box)
