"""A predictor, a camera and a video that tests can predict, and what checks that no camera stays open."""
import os
import threading
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fer_utils.labels import EMOTIONS
from fer_utils.vision import video
from fer_utils.vision.detect import Detection
from fer_utils.vision.predict import Face


def face(box=(20, 20, 40, 40), happy=0.7):
    probabilities = np.full(7, (1 - happy) / 6, np.float32)
    probabilities[EMOTIONS.index("happy")] = happy
    return Face(box, 0.9, probabilities)


class FakePredictor:
    """Finds one face in each frame, whose place is the frame's brightness; counts what it is asked."""

    card = SimpleNamespace(name="fake")

    def __init__(self, seconds=0.0):
        self.seconds, self.asked = seconds, 0
        self.detector = SimpleNamespace(name="fake", margin=1.0, detect=self._detect)

    def _detect(self, image):
        self.asked += 1
        time.sleep(self.seconds)
        return [Detection((20, 20, 40, 40), 0.9)]

    def classify(self, image, detections, on_stage=None):
        return [face() for _ in detections]

    def with_detector(self, detector):
        self.detector = detector
        return self

    def faces(self, image):
        return self.classify(image, self.detector.detect(image))


class FakeCapture:
    """A camera that gives numbered frames until it fails, as `cv2.VideoCapture` would."""

    made = []

    def __init__(self, *_, frames=10**9, interval=0.005, opens=True):
        self.left, self.interval, self.opens, self.n, self.released = frames, interval, opens, 0, False
        FakeCapture.made.append(self)

    def isOpened(self):
        return self.opens

    def get(self, _):
        return 0.0

    def set(self, *_):
        return True

    def read(self):
        assert not self.released
        time.sleep(self.interval)
        if self.left <= 0:
            return False, None
        self.left, self.n = self.left - 1, self.n + 1
        return True, np.full((120, 160, 3), self.n % 256, np.uint8)

    def release(self):
        self.released = True


@pytest.fixture
def fake_camera(monkeypatch):
    """Return a function that puts a `FakeCapture` with these options in the place of OpenCV's cameras."""
    real = cv2.VideoCapture

    def use(**options):
        FakeCapture.made = []
        monkeypatch.setattr(video.cv2, "VideoCapture",
                            lambda source, *a: real(source, *a) if os.path.isfile(str(source)) else
                            FakeCapture(**options))
    return use


@pytest.fixture(autouse=True)
def no_camera_stays_open():
    yield
    assert [t.name for t in threading.enumerate() if t.name == "camera"] == []


def write_video(path, frames=20, size=(160, 120), codec="mp4v"):
    """Write a video whose frames can be told apart by their brightness."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, size)
    assert writer.isOpened()
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, (size[1], size[0], 3), np.uint8)
    for i in range(frames):
        writer.write(noise + np.uint8(10 * i % 200))
    writer.release()
    return path
