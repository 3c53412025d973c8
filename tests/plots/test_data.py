"""Figures of a data set, read back: bars, cells, labels."""

import numpy as np
import pytest

from fer_utils import plots
from fer_utils.labels import EMOTIONS, FERPLUS_VOTES

from .examples import PIXELS, drawn, make_agreement, make_counts, make_leak, make_votes, numbers


def test_class_balance_bars_are_the_counts():
    counts = make_counts()
    ax = plots.plot_class_balance(counts.iloc[::-1])  # rows in another order must not change what is drawn
    for bars, usage in zip(ax.containers, counts.columns):
        assert [bar.get_height() for bar in bars] == list(counts[usage])
    assert [text.get_text().replace(",", "") for text in ax.texts] == [str(n) for u in counts for n in counts[u]]
    ticks = [label.get_text().split("\n") for label in ax.get_xticklabels()]
    assert [tick[0] for tick in ticks] == list(EMOTIONS)
    assert ticks[3][1] == "25.0%" and ticks[1][1] == "1.5%"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Training", "PublicTest", "PrivateTest"]


def test_class_balance_needs_every_emotion_and_a_face():
    with pytest.raises(ValueError, match="sad missing"):
        plots.plot_class_balance(make_counts().drop(index="sad"))
    with pytest.raises(ValueError, match="no faces"):
        plots.plot_class_balance(make_counts() * 0)


def test_intensity_marks_the_median_of_all():
    figure = drawn("intensity")
    flat = PIXELS.reshape(70, -1)
    for ax, values in zip(figure.axes, (flat.mean(axis=1), flat.std(axis=1))):
        dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
        assert dotted[0].get_xdata()[0] == pytest.approx(np.median(values))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(EMOTIONS)


def test_ferplus_agreement_bars_are_the_shares():
    table = make_agreement()
    ax = drawn("ferplus_agreement")
    assert [bar.get_width() for bar in ax.containers[0]] == list(table["agreement"])
    assert ax.texts[0].get_text() == "13.0% of 50"
    table.iloc[1] = [np.nan, 0]
    assert plots.plot_ferplus_agreement(table.astype({"faces": int})).texts[1].get_text() == "no faces"
    with pytest.raises(ValueError, match="fractions"):
        plots.plot_ferplus_agreement(make_agreement() * 100)
    with pytest.raises(ValueError, match="faces missing"):
        plots.plot_ferplus_agreement(table[["agreement"]])


def test_votes_cells_are_row_percentages():
    votes = make_votes()
    ax = drawn("votes")
    shares = votes.to_numpy() / votes.to_numpy().sum(axis=1, keepdims=True)
    assert numbers(ax.texts) == pytest.approx(100 * shares.ravel(), abs=0.51)
    assert [label.get_text() for label in ax.get_xticklabels()] == list(FERPLUS_VOTES)


def test_each_way_of_balancing_has_a_panel():
    counts = make_counts()[["Training", "PublicTest"]].set_axis(["none", "over"], axis=1)
    figure = plots.plot_resampling(counts)
    assert [ax.get_title() for ax in figure.axes] == ["none\n28,709", "over\n3,589"]
    for ax, method in zip(figure.axes, counts):
        assert [bar.get_width() for bar in ax.containers[0]] == list(counts[method])
        assert numbers(ax.texts) == list(counts[method])


def test_leak_shows_the_exhibit_hatched():
    left, right = drawn("leak").axes
    assert [bar.get_height() for bar in left.containers[0]] == pytest.approx([291 / 3589, 4021 / 6293])
    assert [bar.get_height() for bar in right.containers[0]] == [0.07, 0.62]
    assert left.texts[0].get_text() == "8.1%\n291 of 3,589"
    for ax in (left, right):
        assert [bool(bar.get_hatch()) for bar in ax.containers[0]] == [False, True]
        assert [label.get_text() for label in ax.get_xticklabels()] == ["official", "leaky\n(exhibit)"]
    with pytest.raises(ValueError, match="memoriser_accuracy"):
        plots.plot_leak(make_leak().assign(memoriser_accuracy=62.0))
