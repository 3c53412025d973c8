"""Figures that compare networks."""
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
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
    table = table.sort_values("accuracy", ascending=False, kind="stable")
    sections = [  # its name, the heading of its values, the table, and what draws it and returns its names and values
        ("Published", "accuracy", pd.DataFrame(published, columns=PublishedResult._fields).sort_values(
            "accuracy", ascending=False, kind="stable"), _draw_published),
        ("Official split", "accuracy [95 %]    clean", table[table["protocol"] == "official"], _draw_official),
        ("Exhibit: leaky split", "accuracy [95 %]  unseen", table[table["protocol"] == "leaky"], _draw_leaky)]
    sections = [section for section in sections if len(section[2])]
    ax = new_axes(ax, WIDTH, 1.3 + 0.27 * sum(len(part) + 1 for *_, part, _ in sections))
    names: list[str] = []
    values: list[str] = []
    headings: list[int] = []
    for name, value, part, draw in sections:
        headings.append(len(names))
        ax.axhline(len(names) - 0.5, color="black", linewidth=0.8)
        for texts in [(name, value), *draw(ax, part, len(names) + 1 + np.arange(len(part)))]:
            names.append(texts[0])
            values.append(texts[1])
    ax.set(ylim=(len(names) - 0.4, -0.6), xlabel="accuracy")
    right = ax.secondary_yaxis("right")
    for side, labels in ((ax, names), (right, values)):
        side.set_yticks(range(len(names)), labels)
        side.tick_params(axis="y", length=0)
        for heading in headings:
            side.get_yticklabels()[heading].set_fontweight("bold")
    ax.spines["left"].set_visible(False)
    right.spines["right"].set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(percent)
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, -0.55 / (0.27 * len(names))), ncols=2)
    return titled(ax, "Accuracy beside the published marks", note)


def _draw_published(ax: Axes, results: pd.DataFrame, y: np.ndarray) -> list[tuple[str, str]]:
    ax.vlines(results["accuracy"], 0, 1, GRAY, "--", transform=ax.get_xaxis_transform(), linewidth=0.8, zorder=0.6,
              label="published; human ± 5 %")
    for accuracy, margin in zip(results["accuracy"], results["margin"]):
        ax.axvspan(accuracy - margin, accuracy + margin, color=GRAY, alpha=0.15, linewidth=0, zorder=0.5)
    ax.plot(results["accuracy"], y, "|", color="black", ms=12, mew=2)
    return [(f"{result['name']} ({result['source']})",
             f"{result['accuracy']:.1%}" + (f" ± {result['margin']:.0%}" if result["margin"] else ""))
            for result in results.to_dict("records")]


def _draw_official(ax: Axes, runs: pd.DataFrame, y: np.ndarray) -> list[tuple[str, str]]:
    ax.plot(runs["accuracy"], y, "o", color=BLUE, ms=7, label="PrivateTest")
    ax.hlines(y, runs["low"], runs["high"], BLUE, linewidth=2.5, label="its 95 % interval")
    ax.plot(runs["clean_accuracy"], y, "D", color=ORANGE, markeredgecolor="black", mew=0.7, ms=6, zorder=3,
            label="clean: without faces seen in training")
    return _run_texts(runs)


def _draw_leaky(ax: Axes, runs: pd.DataFrame, y: np.ndarray) -> list[tuple[str, str]]:
    ax.barh(y, runs["high"] - runs["low"], left=runs["low"], height=0.5, facecolor="none", edgecolor=VERMILLION,
            hatch="////", linewidth=0.8)
    ax.plot(runs["accuracy"], y, "o", color=VERMILLION, ms=7, mfc="white", mew=1.5, label="leaky test part")
    ax.plot(runs["clean_accuracy"], y, "D", color=ORANGE, ms=6, mfc="white", mew=1.2, zorder=3,
            label="of it, faces never seen: other classes")
    return _run_texts(runs)


def _run_texts(runs: pd.DataFrame) -> list[tuple[str, str]]:
    return [(f"{run['name']} ({run['parameters'] / 1e6:.2g} M)",
             f"{run['accuracy']:.1%} [{100 * run['low']:.1f}, {100 * run['high']:.1f}]  "
             + ("     –" if pd.isna(run["clean_accuracy"]) else f"{run['clean_accuracy']:6.1%}"))
            for run in runs.to_dict("records")]


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
    pixels = radii * figure.dpi / 72
    centres = ax.transData.transform(np.column_stack([x, y]))
    taken = [Bbox.from_extents(*(centre - r), *(centre + r)) for centre, r in zip(centres, pixels)]
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
            away = np.hypot(*(centres - np.clip(centres, box.min, box.max)).T) - pixels
            if (away[i] <= away.min() + 1 and not box.count_overlaps(taken)
                    and inside.contains(*box.min) and inside.contains(*box.max)):
                break
        taken.append(box)
