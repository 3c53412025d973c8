"""What the live window shows."""
import time
from collections import deque

from ..errors import DataError
from ..vision.detect import live_detector
from ..vision.draw import annotate_live, mirrored
from ..vision.track import FaceFollower, Smoother


class LiveView:
    """Turn frames into what the window shows: faces found, averaged over time, drawn, with the speed.

    Parameters
    ----------
    predictor : predict.Predictor
        As `live_predictor` makes it; `switch_detector` changes it.
    mirror : bool
    unsure : float
        As in `draw.annotate`.
    """

    def __init__(self, predictor, mirror=False, unsure=0.0):
        self.predictor, self.mirror, self.unsure = predictor, mirror, unsure
        self.smoother, self.note = Smoother(), ""
        self._follower = FaceFollower(predictor.detector)
        self._ticks = deque(maxlen=30)

    def picture(self, frame):
        """Return a `Frame` as the window shows it: uint8 (H, W, 3) RGB."""
        faces = self.predictor.classify(frame.image, self._follower.detect(frame.image))
        self.smoother.update(faces, frame.time)
        faces = self.smoother.recent(frame.time)
        image, faces = mirrored(frame.image, faces) if self.mirror else (frame.image.copy(), faces)
        self._ticks.append(time.perf_counter())
        passed = self._ticks[-1] - self._ticks[0]
        speed = f"{(len(self._ticks) - 1) / passed:.0f} fps   " if passed else ""
        return annotate_live(image, faces, (f"{speed}{self.predictor.detector.name}   {self.note}".rstrip(),
                                            "Space capture   Esc close   m mirror   d detector"), self.unsure)

    def switch_detector(self):
        """Go on with the other detector, where it is there."""
        other = "haar" if self.predictor.detector.name == "yunet" else "yunet"
        try:
            self.predictor.detector, self.note = live_detector(other), ""
        except DataError:
            self.note = "the YuNet file is not here"
        # A fresh start: the mean must not mix in what the other detector's crops gave.
        self.smoother, self._follower = Smoother(), FaceFollower(self.predictor.detector)
