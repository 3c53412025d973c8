"""From frames to what the live window shows: faces followed, averaged over time, and drawn."""

import copy
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from .draw import annotate_live
from .faces import DETECTORS, Detection, crop_face, face_square, make_detector
from .paths import DataError
from .predict import Predictor
from .track import Tracker, overlaps

LIVE_SIDE = 640
"""Pixels on the longer side at which live frames are searched for faces."""
SEARCH_EVERY = 5
"""Frames from one search of the whole frame to the next, while there are faces to follow in between."""
NEAR_SIDE, NEAR_MARGIN = 128, 2.0  # a followed face's surroundings: side in pixels, and that over the face's
SMOOTH_S = 0.4
"""Time constant of the probabilities' mean, in seconds: longer is calmer, shorter follows faster."""
HOLD_S = 0.25  # a face that the detector misses for a moment stays on the screen


class FaceFollower:
    """Find the faces of successive frames, mostly by looking where they were.

    The whole frame is searched every few frames, and as soon as a face is lost; in between only each known face's
    surroundings, shrunk to `NEAR_SIDE` pixels, which takes a tenth of the time.

    Parameters
    ----------
    detector : detector
        Of `faces.make_detector`'s kinds; others search the whole frame each time.
    every : int, optional
        Frames from one whole search to the next; 1 for always; by default `SEARCH_EVERY`.
    """

    def __init__(self, detector, every=None):
        self.detector, self.every = detector, SEARCH_EVERY if every is None else every
        # A detector of its own: YuNet takes long to change to another image size.
        self._near = live_detector(detector.name) if self.every > 1 and detector.name in DETECTORS else None
        self._known, self._shape, self._since = [], None, 0

    def detect(self, image):
        """Return the `Detection` list of the next frame, uint8 (H, W, 3) RGB, largest first."""
        self._since += 1
        found = None
        if self._near and self._known and image.shape == self._shape and 0 < self._since < self.every:
            found = self._follow(image)
            if len(found) < len(self._known):  # gone, or hard to see so near: for some frames look everywhere
                found, self._since = None, -self.every
        if found is None:
            found, self._since = self.detector.detect(image), min(self._since, 0)
        self._known, self._shape = found, image.shape
        return found

    def _follow(self, image):
        found = []
        for known in self._known:
            face = self._look(image, known)
            # Two that follow one face are one.
            if face and (not found or overlaps([face.box], [f.box for f in found]).max() < 0.5):
                found.append(face)
        return sorted(found, key=lambda face: -face.box[2])

    def _look(self, image, known):
        """Find a known face in its surroundings; None where it is gone."""
        (cx, cy), side = face_square(known, NEAR_MARGIN)
        side = max(round(side), 1)
        corner, scale = np.array([round(cx - side / 2), round(cy - side / 2)]), side / NEAR_SIDE
        near = crop_face(image, known, NEAR_MARGIN)
        near = cv2.resize(near, (NEAR_SIDE, NEAR_SIDE), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR)
        faces = [Detection((*(corner + np.multiply(d.box[:2], scale)), d.box[2] * scale, d.box[3] * scale), d.score,
                           None if d.landmarks is None else (d.landmarks * scale + corner).astype(np.float32))
                 for d in self._near.detect(near)]
        shared = overlaps([known.box], [face.box for face in faces])[0]
        return faces[int(shared.argmax())] if len(faces) and shared.max() > 0.2 else None


class Smoother:
    """Average each tracked face's probabilities over time, so that the answer does not flicker.

    Parameters
    ----------
    seconds : float
        Time constant of the exponential mean; 0 for none.
    patience : float
        Seconds that a face may be out of sight and keep its number and its mean.
    """

    def __init__(self, seconds=SMOOTH_S, patience=1.0):
        self.seconds = seconds
        self._tracker = Tracker(patience=patience)
        self._seen = {}  # number: (smoothed face, time)

    def update(self, faces, time):
        """Take in the faces of a frame.

        Parameters
        ----------
        faces : list of predict.Face
        time : float
            Seconds; not smaller than at the call before.

        Returns
        -------
        dict
            Number of the face → `predict.Face` with averaged probabilities, in the order of `faces`.
        """
        numbers = self._tracker.update([face.box for face in faces], time)
        result = {}
        for number, face in zip(numbers, faces):
            if number in self._seen and self.seconds > 0:
                before, then = self._seen[number]
                share = 1 - np.exp(-(time - then) / self.seconds)
                mean = before.probabilities + np.float32(share) * (face.probabilities - before.probabilities)
                face = replace(face, probabilities=mean)
            result[number] = face
            self._seen[number] = (face, time)
        self._seen = {n: self._seen[n] for n in self._tracker.current()}
        return result

    def recent(self, time, seconds=HOLD_S):
        """Return the faces seen in the last `seconds`, largest first: those just missed stay for a moment."""
        faces = [face for face, then in self._seen.values() if time - then <= seconds]
        return sorted(faces, key=lambda face: -face.box[2])


def live_detector(name="auto", side=LIVE_SIDE):
    """Make a detector for live frames: as `faces.make_detector`, but searching only at `side` pixels."""
    detector = make_detector(name)
    if detector.name == "haar":  # asked for, or what "auto" fell back to
        detector.max_side = side
    else:
        detector.max_sides = (side,)
    return detector


def live_predictor(model="fer_net", detector=None, side=LIVE_SIDE):
    """Make a predictor for live frames.

    Parameters
    ----------
    model : str, Path or predict.Predictor
        A network's name or folder, or a predictor: it is not changed, and its kind of detector is kept.
    detector : str, optional
        "auto", "yunet" or "haar".
    side : int
        As in `live_detector`.

    Returns
    -------
    predict.Predictor
    """
    if isinstance(model, (str, Path)):
        return Predictor(model, live_detector(detector or "auto", side))
    predictor = copy.copy(model)
    name = detector or predictor.detector.name
    if name in (*DETECTORS, "auto"):
        predictor.detector = live_detector(name, side)
    return predictor


def mirrored(image, faces):
    """Return an image and its faces as in a mirror."""
    width = image.shape[1]
    return np.ascontiguousarray(image[:, ::-1]), [
        replace(face, box=(width - face.box[0] - face.box[2], *face.box[1:])) for face in faces]


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
