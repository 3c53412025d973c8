"""Figures of one network's scores, read back: cells, bars, intervals."""

import matplotlib
import numpy as np
import pytest

from fer_utils import plots
from fer_utils.labels import EMOTIONS

from .examples import drawn, make_bins, make_confusion, make_scores, numbers


def test_confusion_cells_are_the_matrix():
    matrix = make_confusion()
    ax = drawn("confusion")
    assert numbers(ax.texts) == matrix.ravel().tolist()
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [label.get_text() for label in labels] == list(EMOTIONS)
    assert ax.get_ylabel() == "true emotion" and ax.get_xlabel() == "predicted emotion"
    assert f"{np.trace(matrix) / matrix.sum():.1%}" in ax.get_title()


def test_confusion_in_percent():
    matrix = make_confusion()
    matrix[1] = 0
    shares = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    assert numbers(plots.plot_confusion(matrix, normalise=True).texts) == pytest.approx(shares.ravel(), abs=0.51)


def test_numbers_in_cells_stand_out():
    """At least 6 : 1 between a number and its cell; the WCAG ask 4.5 : 1 of text."""
    ax = plots.plot_confusion(np.arange(49).reshape(7, 7))

    def luminance(colour):
        c = np.array(matplotlib.colors.to_rgb(colour))
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    for text, cell in zip(ax.texts, ax.collections[0].get_facecolors()):
        low, high = sorted([luminance(text.get_color()), luminance(cell)])
        assert (high + 0.05) / (low + 0.05) > 6


@pytest.mark.parametrize("matrix, message", [(np.ones((7, 6)), "7 × 7"), (np.ones(49), "7 × 7"),
                                             (np.full((7, 7), 0.5), "counts"), (-np.ones((7, 7)), "counts")])
@pytest.mark.parametrize("plot", [plots.plot_confusion, plots.plot_confused_pairs])
def test_a_confusion_matrix_must_be_seven_by_seven_counts(plot, matrix, message):
    with pytest.raises(ValueError, match=message):
        plot(matrix)


def test_per_class_scores_and_intervals():
    table = make_scores()
    ax = drawn("per_class")
    for container, score in zip(ax.containers, ("precision", "recall", "f1")):
        assert [bar.get_height() for bar in container] == list(table[score])
    assert numbers(ax.texts[14:]) == pytest.approx(100 * table["f1"], abs=0.51)
    ends = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()])
    np.testing.assert_allclose(ends, table[["f1_low", "f1_high"]])
    assert ax.get_xticklabels()[1].get_text() == "disgust\n55 faces"
    assert "intervals" in ax.get_title()
    assert "intervals" not in plots.plot_per_class(table[["precision", "recall", "f1"]]).get_title()
    with pytest.raises(ValueError, match="f1 missing"):
        plots.plot_per_class(table.drop(columns="f1"))
    with pytest.raises(ValueError, match="recall must be fractions"):
        plots.plot_per_class(table.assign(recall=60))


def test_reliability_bars_are_the_bins():
    bins = make_bins()
    ax, below = drawn("reliability").axes
    assert [bar.get_height() for bar in ax.containers[0]] == list(bins["accuracy"])
    tops = [bar.get_y() + bar.get_height() for bar in ax.containers[1]]
    assert tops == pytest.approx(list(bins["confidence"]))
    assert [bar.get_height() for bar in below.containers[0]] == list(range(9))
    assert "8.2%" in ax.get_title()
    with pytest.raises(ValueError, match="ece"):
        plots.plot_reliability(bins, 8.2)
    with pytest.raises(ValueError, match="high missing"):
        plots.plot_reliability(bins.drop(columns="high"), 0.1)


def test_confused_pairs_are_the_largest_mistakes():
    matrix = np.diag([100] * 7)
    matrix[2, 4], matrix[6, 4], matrix[0, 1] = 60, 30, 10
    ax = plots.plot_confused_pairs(matrix)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fear → sad", "neutral → sad", "angry → disgust"]
    assert [bar.get_width() for bar in ax.containers[0]] == [60, 30, 10]
    assert ax.texts[0].get_text() == "60 (38% of fear)"
    assert len(plots.plot_confused_pairs(matrix, top=2).containers[0]) == 2
    with pytest.raises(ValueError, match="no mistake"):
        plots.plot_confused_pairs(np.diag([5] * 7))
