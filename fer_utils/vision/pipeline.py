"""The one pipeline from a picture to followed faces: detect, crop, classify, follow, smooth."""
from collections.abc import Callable, Sequence

import numpy as np

from .predict import Face, Predictor
from .track import HOLD_S, OVERLAP, PATIENCE_S, SEARCH_EVERY, SMOOTH_S, FaceFollower, Tracker
from .video import Frame


class Pipeline:
    """Find, classify, number and smooth the faces of successive frames.

    The whole frame is searched every `search_every` frames; `smooth_seconds`, `patience` and `overlap` are the
    `Tracker`'s. `on_stage` is called with "detect", "crop" and "classify", each when that stage of a picture is done.
    """

    def __init__(self, predictor: Predictor, *, search_every: int = SEARCH_EVERY, smooth_seconds: float = SMOOTH_S,
                 patience: float = PATIENCE_S, overlap: float = OVERLAP, on_stage: Callable[[str], None] | None = None):
        self.predictor, self.on_stage = predictor, on_stage
        self._follower = FaceFollower(predictor.detector, search_every)
        self._tracker = Tracker(smooth_seconds, patience, overlap)

    def look(self, image: np.ndarray) -> list[Face]:
        """Return the faces of one picture, uint8 (H, W, 3) RGB, largest first, without those before it.

        With ``search_every=1`` and a `detect.DetectorPool` several threads may call this.
        """
        found = self._follower.detect(image)
        if self.on_stage:
            self.on_stage("detect")
        return self.predictor.classify(image, found, self.on_stage)

    def follow(self, faces: Sequence[Face], time: float) -> dict[int, Face]:
        """Number and average the faces of the next frame, in their order; `time`, in seconds, never goes back."""
        return self._tracker.update(faces, time)

    def step(self, frame: Frame) -> dict[int, Face]:
        """Return the faces of the next frame, by number: `look` and `follow`."""
        return self.follow(self.look(frame.image), frame.time)

    def recent(self, time: float, seconds: float = HOLD_S) -> list[Face]:
        """Return the faces seen in the last `seconds`, largest first: one that is missed stays for a moment."""
        return self._tracker.recent(time, seconds)
