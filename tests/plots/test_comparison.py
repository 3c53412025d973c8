"""Figures that compare networks, read back: rows, marks, labels that do not meet."""

import numpy as np
import pandas as pd
import pytest

from fer_utils import plots
from fer_utils.plots import comparison, style

from .examples import drawn, make_models


def test_published_results_are_those_of_the_papers():
    marks = {result.name: (result.accuracy, result.margin) for result in comparison.PUBLISHED_RESULTS}
    assert marks["human"] == (0.65, 0.05)
    assert [accuracy for accuracy, _ in marks.values()] == [0.65, 0.66, 0.7116, 0.7328, 0.7414, 0.7442, 0.7682]


def test_comparison_ranks_official_runs_and_sets_leaky_ones_apart():
    ax = drawn("comparison")
    ax.figure.draw_without_rendering()
    names = [label.get_text() for label in ax.get_yticklabels()]
    own = names[names.index("Official split"):]
    assert own == ["Official split", "fer_net (1.5 M)", "vgg16 (34 M)", "cnn3 (2.3 M)", "Exhibit: leaky split",
                   "cnn5_bn (0.7 M)"]
    assert names[1] == "7-network ensemble (Pham et al. 2021)"
    values = [label.get_text() for label in ax.child_axes[0].get_yticklabels()]
    assert values[names.index("fer_net (1.5 M)")] == "71.0% [69.0, 73.0]   70.0%"
    assert values[names.index("vgg16 (34 M)")].endswith("–")

    dots, clean, leaky, unseen = (line for line in ax.lines if line.get_marker() in ("o", "D"))
    own = [names.index(name) for name in own if "M)" in name]
    assert [*zip(dots.get_xdata(), dots.get_ydata())] == [*zip([0.71, 0.66, 0.61], own)]
    assert [*zip(leaky.get_xdata(), leaky.get_ydata())] == [(0.8139, own[3])]
    assert dots.get_markerfacecolor() == style.BLUE and leaky.get_markerfacecolor() == "white"
    np.testing.assert_equal(clean.get_xdata(), [0.7, np.nan, 0.6])
    assert unseen.get_markerfacecolor() == "white", "an exhibit's faces never seen are another mix"
    assert [bool(bar.get_hatch()) for bars in ax.containers for bar in bars] == [True]
    dashed, intervals = (drawn.get_segments() for drawn in ax.collections)
    assert [segment[0, 0] for segment in dashed] == [result.accuracy for result in comparison.PUBLISHED_RESULTS][::-1]
    np.testing.assert_allclose([segment[:, 0] for segment in intervals], [(0.69, 0.73), (0.64, 0.68), (0.59, 0.63)])


def test_comparison_says_what_is_wrong_with_its_table():
    with pytest.raises(ValueError, match="0.65, not 65"):
        plots.plot_comparison(make_models().assign(accuracy=65))
    with pytest.raises(ValueError, match="official or leaky, got other"):
        plots.plot_comparison(make_models().assign(protocol="other"))
    with pytest.raises(ValueError, match="parameters missing"):
        plots.plot_comparison(make_models().drop(columns="parameters"))
    with pytest.raises(ValueError, match="no rows"):
        plots.plot_comparison(make_models()[:0])


@pytest.mark.parametrize("name, cost", [("accuracy_vs_cost", "cpu_ms"), ("accuracy_vs_mflops", "mflops")])
def test_markers_are_the_official_networks_and_the_line_joins_the_best(name, cost):
    table = make_models()
    ax = drawn(name)
    points = ax.collections[0].get_offsets()
    official = table[table["protocol"] == "official"].sort_values(cost)
    np.testing.assert_allclose(points, official[[cost, "accuracy"]])
    assert list(np.argsort(ax.collections[0].get_sizes())) == list(np.argsort(official["parameters"]))
    assert list(ax.lines[0].get_xdata()) == list(official[cost][:2]), "vgg16 is dearer and worse than fer_net"
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert sorted(text.get_text() for text in ax.texts) == sorted(official["name"])
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_accuracy_vs_cost_labels_of_close_points_do_not_meet():
    table = pd.DataFrame({"name": [f"network number {i}" for i in range(5)], "parameters": 1e6,
                          "accuracy": [0.600, 0.601, 0.602, 0.65, 0.55], "cpu_ms": [1.0, 1.01, 1.02, 2, 0.5]})
    ax = plots.plot_accuracy_vs_cost(table)
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_accuracy_vs_cost_labels_have_no_other_point_between():
    table = pd.DataFrame([("cnn3", 0.6188, 154.7, 2.3e6), ("cnn3, project_b", 0.6169, 154.7, 2.3e6),
                          ("cnn5_bn", 0.6127, 196.5, 7e5), ("cnn5_bn, over-sampled", 0.6099, 196.5, 7e5),
                          ("fer_net", 0.7216, 222.7, 2.6e6), ("mini_xception", 0.6439, 11, 5.8e4),
                          ("cnn4_wide", 0.5848, 581, 4.5e6), ("vgg16", 0.5965, 1441.9, 3.4e7)],
                         columns=["name", "accuracy", "mflops", "parameters"])
    ax = plots.plot_accuracy_vs_cost(table, cost="mflops")
    ax.figure.draw_without_rendering()
    markers = ax.collections[0]
    drawn = pd.DataFrame(markers.get_offsets(), columns=["mflops", "accuracy"])
    drawn["radius"] = np.sqrt(markers.get_sizes() / np.pi) * ax.figure.dpi / 72
    drawn = drawn.merge(table, on=["mflops", "accuracy"])
    drawn[["px", "py"]] = ax.transData.transform(drawn[["mflops", "accuracy"]])
    for text in ax.texts:
        box, own = text.get_window_extent(), drawn[drawn["name"] == text.get_text()].iloc[0]
        x, y = min(max(own.px, box.x0), box.x1), min(max(own.py, box.y0), box.y1)
        gaps = np.hypot(drawn["px"] - x, drawn["py"] - y) - drawn["radius"]
        assert gaps[own.name] <= gaps.min() + 2, (text.get_text(), gaps)


def test_accuracy_vs_cost_says_what_is_wrong_with_its_table():
    with pytest.raises(ValueError, match="positive"):
        plots.plot_accuracy_vs_cost(make_models().assign(cpu_ms=0))
    with pytest.raises(ValueError, match="gpu_ms missing"):
        plots.plot_accuracy_vs_cost(make_models(), cost="gpu_ms")
    with pytest.raises(ValueError, match="no rows"):
        plots.plot_accuracy_vs_cost(make_models().assign(protocol="leaky"))
