"""Figures of the event report, read back: shares and their intervals, periods, sources."""

import numpy as np
import pandas as pd
import pytest

from fer_utils import plots
from fer_utils.labels import EMOTIONS

from .examples import drawn, make_by_source, make_correction, make_event_shares, make_over_time


def test_shares_and_their_intervals_are_the_tables():
    table, ax = make_event_shares(), drawn("event_shares")
    intervals, points = ax.lines[::2], ax.lines[1::2]
    assert [line.get_xdata()[0] for line in points] == [*table["corrected"], *table["raw"]]
    ends = [tuple(line.get_xdata()) for line in intervals]
    assert ends == [*zip(table["corrected_low"], table["corrected_high"]), *zip(table["raw_low"], table["raw_high"])]
    assert [label.get_text() for label in ax.get_yticklabels()] == [*EMOTIONS, "positive"]
    assert points[-1].get_markerfacecolor() == "white", "raw shares are hollow"


def test_the_truth_is_marked_where_it_is_known():
    table = make_event_shares()
    truth = np.linspace(0.02, 0.2, len(table))
    ax = plots.plot_shares(table.assign(truth=truth))
    [marks] = ax.collections
    places = [(x, (low + high) / 2) for (x, low), (_, high) in marks.get_segments()]
    np.testing.assert_allclose(places, [*zip(truth, range(len(table)))])
    assert [text.get_text() for text in ax.figure.legends[0].get_texts()][2:] == ["truth"]
    assert not drawn("event_shares").collections and len(drawn("event_shares").figure.legends[0].get_texts()) == 2


@pytest.mark.parametrize("truth", ["x", 7, -0.1])
def test_a_truth_that_is_no_share_is_refused(truth):
    with pytest.raises(ValueError, match="truth must be fractions, 0 to 1"):
        plots.plot_shares(make_event_shares().assign(truth=truth))


def test_a_row_that_is_no_emotion_is_named():
    with pytest.raises(ValueError, match="shares has a row 'bored'"):
        plots.plot_shares(make_event_shares().rename({"angry": "bored"}))


def test_periods_pile_up_to_all_participants():
    table, ax = make_over_time(), drawn("event_over_time")
    assert len(ax.containers) == 7
    tops = [bar.get_y() + bar.get_height() for bar in ax.containers[-1]]
    assert tops == list(table.sum(axis=1))
    assert ax.get_legend().get_texts()[0].get_text() == "happy", "the uppermost of a pile is the first of the legend"
    bar = ax.containers[0][0]
    ten_minutes = 10 / (24 * 60)
    assert bar.get_width() == pytest.approx(0.9 * ten_minutes)


def test_sources_are_shares_with_short_plain_names():
    table, ax = make_by_source(), drawn("event_by_source")
    widths = np.array([[bar.get_width() for bar in bars] for bars in ax.containers])
    np.testing.assert_allclose(widths.sum(axis=0), 1)
    np.testing.assert_allclose(widths[2], table["happy"] / table["participants"])
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[0].startswith("hall $1 and $2.mp4 (") and names[1].startswith("…") and "door.mp4" in names[1]
    assert not ax.get_yticklabels()[0].get_parse_math(), "dollar signs would start a formula"


def test_correction_is_sorted_by_the_raw_error():
    raw, corrected = drawn("event_correction").lines
    assert list(raw.get_xdata()) == [0.1, 0.2, 0.3] and list(corrected.get_xdata()) == [0.02, 0.04, 0.05]
    with pytest.raises(ValueError, match="raw_error missing"):
        plots.plot_correction(make_correction().drop(columns="raw_error"))


@pytest.mark.parametrize("plot", [plots.plot_shares, plots.plot_over_time, plots.plot_by_source])
def test_empty_tables_are_refused(plot):
    with pytest.raises(ValueError):
        plot(pd.DataFrame())
