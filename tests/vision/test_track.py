from types import SimpleNamespace

import numpy as np
import pytest

from fer_utils.vision import scenes
from fer_utils.vision.detect import Detection, live_detector, yunet_file
from fer_utils.vision.track import FaceFollower, Tracker, overlaps
from fer_utils.vision.video import open_source
from tests.fakes import face


def test_overlaps_of_hand_computed_boxes():
    shared = overlaps([(0, 0, 2, 2), (5, 5, 1, 1)], [(1, 0, 2, 2), (0, 0, 2, 2), (9, 9, 1, 1)])
    assert np.allclose(shared, [[1 / 3, 1, 0], [0, 0, 0]])
    assert overlaps([], [(0, 0, 1, 1)]).shape == (0, 1)


class TestTracker:
    def numbers(self, tracker, boxes, time):
        return list(tracker.update([face(box) for box in boxes], time))

    def test_two_faces_keep_their_numbers_whatever_their_order(self):
        tracker = Tracker()
        a, b = self.numbers(tracker, [(0, 0, 40, 40), (100, 0, 40, 40)], 0.0)
        assert self.numbers(tracker, [(104, 2, 40, 40), (3, 1, 40, 40)], 0.1) == [b, a]

    def test_the_sum_of_overlaps_decides_not_the_first_come(self):
        tracker = Tracker(overlap=0.05)
        a, b = self.numbers(tracker, [(0, 0, 10, 10), (6, 0, 10, 10)], 0)
        assert self.numbers(tracker, [(4, 0, 10, 10), (12, 0, 10, 10)], 1 / 30) == [a, b]

    def test_a_face_comes_back_within_its_patience_only(self):
        tracker = Tracker(patience=1)
        (first,) = self.numbers(tracker, [(0, 0, 9, 9)], 0)
        assert tracker.update([], 0.5) == {}
        assert self.numbers(tracker, [(1, 0, 9, 9)], 1.0) == [first]
        assert self.numbers(tracker, [(1, 0, 9, 9)], 2.5) != [first]
        assert len(tracker.recent(2.5, 10)) == 1, "who does not come back is forgotten"

    @pytest.mark.parametrize("box", [(500, 500, 9, 9), (4, 4, 200, 200)])
    def test_a_jump_is_another_face(self, box):
        tracker = Tracker()
        assert self.numbers(tracker, [(0, 0, 9, 9)], 0) != self.numbers(tracker, [box], 0.03)

    def test_is_an_exponential_mean_in_time(self):
        tracker = Tracker(0.5)
        tracker.update([face(happy=0.2)], 0.0)
        for i in range(1, 6):
            [(number, seen)] = tracker.update([face(happy=0.8)], i / 10).items()
        # The step response of a first-order low pass, whatever the frame rate.
        assert seen.probabilities[3] == pytest.approx(0.8 - 0.6 * np.exp(-0.5 / 0.5), abs=1e-5)
        assert seen.probabilities.sum() == pytest.approx(1, abs=1e-5) and number == 0

    def test_none_at_zero_seconds(self):
        tracker = Tracker(0)
        tracker.update([face(happy=0.2)], 0.0)
        assert tracker.update([face(happy=0.8)], 0.1)[0].probabilities[3] == pytest.approx(0.8)

    def test_each_face_keeps_its_own_history(self):
        tracker = Tracker(10)
        left, right = face((0, 0, 40, 40), 0.9), face((200, 0, 50, 50), 0.2)
        tracker.update([left, right], 0.0)
        again = tracker.update([right, left], 0.1)
        assert list(again) == [1, 0]
        assert again[0].probabilities[3] == pytest.approx(0.9) and again[1].probabilities[3] == pytest.approx(0.2)

    def test_a_missed_face_stays_for_a_moment(self):
        tracker = Tracker()
        tracker.update([face()], 0.0)
        tracker.update([], 0.1)
        assert len(tracker.recent(0.1)) == 1 and tracker.recent(1.0) == []
        assert list(tracker.update([face()], 0.5)) == [0], "and comes back under its number"


class TestFollower:
    @pytest.mark.parametrize("name", ["haar", pytest.param("yunet", marks=pytest.mark.skipif(
        yunet_file(download=False) is None, reason="YuNet's file is not here"))])
    def test_follows_moving_faces_as_a_whole_search_finds_them(self, tmp_path, name):
        scenes.write_clip(tmp_path / "six.mp4", 6, 7)
        whole, follower = live_detector(name), FaceFollower(live_detector(name))
        for frame in open_source(tmp_path / "six.mp4"):
            expected, found = whole.detect(frame.image), follower.detect(frame.image)
            assert len(expected) == len(found) == 6
            assert overlaps([d.box for d in expected], [d.box for d in found]).max(axis=1).min() > 0.6

    def test_looks_everywhere_once_a_face_is_lost(self):
        asked = []

        class Detector:
            name = "haar"

            def detect(self, image):
                asked.append(image.shape[:2])
                return [Detection((100.0, 100.0, 60.0, 60.0))]

        follower = FaceFollower(Detector(), every=5)
        near = []
        follower._near = SimpleNamespace(detect=lambda image: near.append(image.shape[:2]) or [])
        blank = np.zeros((300, 400, 3), np.uint8)
        assert [len(follower.detect(blank)) for _ in range(6)] == [1] * 6
        assert asked == [(300, 400)] * 6 and near == [(128, 128)], "no use in looking near for some frames"
