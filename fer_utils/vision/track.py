"""Following faces from frame to frame, and averaging what a network sees in them."""
import itertools
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import ArrayLike

from .detect import DETECTORS, Detection, Detector, crop_face, face_square, live_detector
from .predict import Face

SEARCH_EVERY = 5  # frames from one search of the whole frame to the next, while there are faces to follow in between
NEAR_SIDE, NEAR_MARGIN = 128, 2.0  # a followed face's surroundings: side in pixels, and that over the face's
PATIENCE_S, OVERLAP = 1.0, 0.2  # a face away for longer, or with less overlap from frame to frame, is another one
SMOOTH_S = 0.4  # time constant of the probabilities' mean, in seconds: longer is calmer, shorter follows faster
HOLD_S = 0.25  # a face that the detector misses for a moment stays on the screen


class FaceFollower:
    """Find the faces of successive frames, mostly by looking where they were.

    The whole frame is searched every few frames, and as soon as a face is lost. In between only each known face's
    surroundings are searched, shrunk to `NEAR_SIDE` pixels, which takes a tenth of the time. With ``every=1``, or a
    detector that `make_detector` does not make, each frame is searched as a whole.
    """

    def __init__(self, detector: Detector, every: int = SEARCH_EVERY):
        self.detector, self.every = detector, every
        # A detector of its own: YuNet takes long to change to another image size.
        self._near = live_detector(detector.name) if every > 1 and detector.name in DETECTORS else None
        self._known: list[Detection] = []
        self._shape: tuple[int, ...] = ()
        self._since = 0

    def detect(self, image: np.ndarray) -> list[Detection]:
        """Return the faces of the next frame, as a `Detector` does."""
        if self._near is None:  # nothing to remember, so several threads may call this
            return self.detector.detect(image)
        self._since += 1
        found = None
        if self._known and image.shape == self._shape and 0 < self._since < self.every:
            found = self._follow(image, self._near)
            if len(found) < len(self._known):  # gone, or hard to see so near: for some frames look everywhere
                found, self._since = None, -self.every
        if found is None:
            found, self._since = self.detector.detect(image), min(self._since, 0)
        self._known, self._shape = found, image.shape
        return found

    def _follow(self, image: np.ndarray, near: Detector) -> list[Detection]:
        found: list[Detection] = []
        for known in self._known:
            face = _look_near(image, known, near)
            # Two that follow one face are one.
            if face and (not found or overlaps([face.box], [f.box for f in found]).max() < 0.5):
                found.append(face)
        return sorted(found, key=lambda face: -face.box[2])


def _look_near(image: np.ndarray, known: Detection, detector: Detector) -> Detection | None:
    """Find a known face in its surroundings; None where it is gone."""
    (cx, cy), exact = face_square(known, NEAR_MARGIN)
    side = max(round(exact), 1)
    left, top, scale = round(cx - side / 2), round(cy - side / 2), side / NEAR_SIDE
    near = crop_face(image, known, NEAR_MARGIN)
    near = cv2.resize(near, (NEAR_SIDE, NEAR_SIDE), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR)
    faces = [Detection((left + x * scale, top + y * scale, width * scale, height * scale), found.score)
             for found in detector.detect(near) for x, y, width, height in [found.box]]
    shared = overlaps([known.box], [face.box for face in faces])[0]
    return faces[int(shared.argmax())] if faces and shared.max() > 0.2 else None


def overlaps(boxes_a: ArrayLike, boxes_b: ArrayLike) -> np.ndarray:
    """Return intersection over union of every pair: float (A, B) of boxes (x, y, width, height).

        >>> overlaps([(0, 0, 2, 2)], [(0, 0, 2, 2), (1, 0, 2, 2)]).round(2).tolist()
        [[1.0, 0.33]]
    """
    a, b = np.asarray(boxes_a, float).reshape(-1, 4), np.asarray(boxes_b, float).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    union = a[:, 2:].prod(axis=1)[:, None] + b[:, 2:].prod(axis=1)[None] - shared
    return shared / np.maximum(union, 1e-9)


def match_boxes(boxes_a: ArrayLike, boxes_b: ArrayLike, overlap: float) -> list[tuple[int, int]]:
    """Return the pairs (index in a, in b) with the largest sum of overlaps (Hungarian method), each `overlap` or more.

    `overlap` is intersection over union, 0 to 1.
    """
    from scipy.optimize import linear_sum_assignment

    shared = overlaps(boxes_a, boxes_b)
    return [(int(i), int(j)) for i, j in zip(*linear_sum_assignment(-shared)) if shared[i, j] >= overlap]


class Tracker:
    """Give each face of a video a number that it keeps while it is seen, and average its probabilities over time.

    Boxes of two frames are matched as in SORT (Bewley et al. 2016). A face that moved by more than its own width, or
    was away for longer than `patience` seconds, counts as another; where faces cross, numbers may swap. `overlap` is
    the least intersection over union of one face in two frames. `smooth_seconds` is the time constant of the
    exponential mean, so that the answer does not flicker; 0 is for none.
    """

    def __init__(self, smooth_seconds: float = SMOOTH_S, patience: float = PATIENCE_S, overlap: float = OVERLAP):
        self.smooth_seconds, self.patience, self.overlap = smooth_seconds, patience, overlap
        self._seen: dict[int, tuple[Face, float]] = {}  # number: (averaged face, time it was last seen)
        self._new_numbers = itertools.count()

    def update(self, faces: Sequence[Face], time: float) -> dict[int, Face]:
        """Return the next frame's faces, averaged, by number and in the order of `faces`; `time` is in seconds."""
        known = {number: face for number, (face, then) in self._seen.items() if time - then <= self.patience}
        pairs = match_boxes([face.box for face in known.values()], [face.box for face in faces], self.overlap)
        numbers = {column: list(known)[row] for row, column in pairs}  # index of the face: its number
        result = {}
        for i, face in enumerate(faces):
            number = numbers[i] if i in numbers else next(self._new_numbers)
            if number in known and self.smooth_seconds > 0:
                before, then = self._seen[number]
                share = 1 - np.exp(-(time - then) / self.smooth_seconds)
                mean = before.probabilities + np.float32(share) * (face.probabilities - before.probabilities)
                face = replace(face, probabilities=mean)
            result[number] = face
        self._seen = {n: self._seen[n] for n in known} | {n: (face, time) for n, face in result.items()}
        return result

    def recent(self, time: float, seconds: float = HOLD_S) -> list[Face]:
        """Return the faces seen in the last `seconds`, largest first."""
        faces = [face for face, then in self._seen.values() if time - then <= seconds]
        return sorted(faces, key=lambda face: -face.box[2])
