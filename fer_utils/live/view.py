"""What the live window shows."""
import time
from collections import deque

import numpy as np

from ..errors import DataError
from ..vision.draw import annotate_live
from ..vision.pipeline import Pipeline
from ..vision.predict import Predictor, live_predictor
from ..vision.video import Frame


class LiveView:
    """Turn frames into what the window shows: faces found, averaged over time, drawn, with the speed.

    `mirror` shows frames as a mirror does; a face whose confidence is below `unsure` is called "unsure".
    """

    def __init__(self, predictor: Predictor, mirror: bool = False, unsure: float = 0.0):
        self.pipeline, self.mirror, self.unsure, self.note = Pipeline(predictor), mirror, unsure, ""
        self._ticks: deque[float] = deque(maxlen=30)

    def picture(self, frame: Frame) -> np.ndarray:
        """Return a frame as the window shows it: uint8 (H, W, 3) RGB."""
        self.pipeline.step(frame)
        faces = self.pipeline.recent(frame.time)
        self._ticks.append(time.perf_counter())
        passed = self._ticks[-1] - self._ticks[0]
        speed = f"{(len(self._ticks) - 1) / passed:.0f} fps   " if passed else ""
        status = (f"{speed}{self.pipeline.predictor.detector.name}   {self.note}".rstrip(),
                  "Space capture   Esc close   m mirror   d detector")
        return annotate_live(frame.image, faces, status, self.unsure, self.mirror)

    def switch_detector(self) -> None:
        """Go on with the other detector, if its file is here; averages start anew, for its crops are others."""
        predictor = self.pipeline.predictor
        try:
            other = live_predictor(predictor, "haar" if predictor.detector.name == "yunet" else "yunet")
            self.pipeline, self.note = Pipeline(other), ""
        except DataError:
            self.note = "the YuNet file is not here"
