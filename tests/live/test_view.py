"""What the live window shows."""
import numpy as np

from fer_utils.live.view import LiveView
from fer_utils.vision.video import Frame
from tests.fakes import FakePredictor


def test_another_detector_starts_without_the_last_ones_mean():
    view = LiveView(FakePredictor())
    view.picture(Frame(np.zeros((100, 100, 3), np.uint8), 0.0, 0))
    assert len(view.pipeline.recent(0.0)) == 1
    view.pipeline.predictor.detector.name = "yunet"
    view.switch_detector()
    assert view.pipeline.predictor.detector.name == "haar" and view.pipeline.recent(0.0) == []


def test_a_detector_that_is_not_here_changes_nothing(monkeypatch):
    monkeypatch.setattr("fer_utils.vision.detect.yunet_file", lambda: None)
    view = LiveView(FakePredictor())
    view.picture(Frame(np.zeros((100, 100, 3), np.uint8), 0.0, 0))
    before = view.pipeline.predictor.detector
    view.switch_detector()
    assert view.pipeline.predictor.detector is before and len(view.pipeline.recent(0.0)) == 1
    assert view.note == "the YuNet file is not here"
