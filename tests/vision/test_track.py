import numpy as np
import pytest

from fer_utils.vision.track import Tracker, overlaps


def test_overlaps_of_hand_computed_boxes():
    shared = overlaps([(0, 0, 2, 2), (5, 5, 1, 1)], [(1, 0, 2, 2), (0, 0, 2, 2), (9, 9, 1, 1)])
    assert np.allclose(shared, [[1 / 3, 1, 0], [0, 0, 0]])
    assert overlaps([], [(0, 0, 1, 1)]).shape == (0, 1)


def test_two_faces_keep_their_numbers_whatever_their_order():
    tracker = Tracker()
    a, b = tracker.update([(0, 0, 40, 40), (100, 0, 40, 40)], 0.0)
    assert tracker.update([(104, 2, 40, 40), (3, 1, 40, 40)], 0.1) == [b, a]


def test_the_sum_of_overlaps_decides_not_the_first_come():
    tracker = Tracker(overlap=0.05)
    a, b = tracker.update([(0, 0, 10, 10), (6, 0, 10, 10)], 0)
    assert tracker.update([(4, 0, 10, 10), (12, 0, 10, 10)], 1 / 30) == [a, b]


def test_a_face_comes_back_within_its_patience_only():
    tracker = Tracker(patience=1)
    (first,) = tracker.update([(0, 0, 9, 9)], 0)
    assert tracker.update([], 0.5) == []
    assert tracker.update([(1, 0, 9, 9)], 1.0) == [first]
    assert tracker.update([(1, 0, 9, 9)], 2.5) != [first]
    assert len(tracker.current()) == 1


@pytest.mark.parametrize("box", [(500, 500, 9, 9), (4, 4, 200, 200)])
def test_a_jump_is_another_face(box):
    tracker = Tracker()
    assert tracker.update([(0, 0, 9, 9)], 0) != tracker.update([box], 0.03)
