"""Following faces from frame to frame, and averaging what a network sees in them."""
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import ArrayLike

from .detect import DETECTORS, Detection, Detector, crop_face, face_square, live_detector
from .predict import Face

SEARCH_EVERY = 5  # frames from one search of the whole frame to the next, while there are faces to follow in between
NEAR_SIDE, NEAR_MARGIN = 128, 2.0  # a followed face's surroundings: side in pixels, and that over the face's
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
    faces = []
    for found in detector.detect(near):
        x, y, width, height = found.box
        landmarks = None if found.landmarks is None else (found.landmarks * scale + (left, top)).astype(np.float32)
        faces.append(Detection((left + x * scale, top + y * scale, width * scale, height * scale), found.score,
                               landmarks))
    shared = overlaps([known.box], [face.box for face in faces])[0]
    return faces[int(shared.argmax())] if faces and shared.max() > 0.2 else None


class Smoother:
    """Average each tracked face's probabilities over time, so that the answer does not flicker.

    `seconds` is the time constant of the exponential mean, 0 for none; the rest is the `Tracker`'s.
    """

    def __init__(self, seconds: float = SMOOTH_S, patience: float = 1.0, overlap: float = 0.2):
        self.seconds = seconds
        self._tracker = Tracker(patience, overlap)
        self._seen: dict[int, tuple[Face, float]] = {}  # number: (smoothed face, time)

    def update(self, faces: Sequence[Face], time: float) -> dict[int, Face]:
        """Return the next frame's faces, averaged, by number and in the order of `faces`; `time` is in seconds."""
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

    def recent(self, time: float, seconds: float = HOLD_S) -> list[Face]:
        """Return the faces seen in the last `seconds`, largest first."""
        faces = [face for face, then in self._seen.values() if time - then <= seconds]
        return sorted(faces, key=lambda face: -face.box[2])


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
    """Give each face of a video a number that it keeps while it is seen.

    Boxes of two frames are matched as in SORT (Bewley et al. 2016). A face that moved by more than its own width, or
    was away for longer than `patience` seconds, counts as another; where faces cross, numbers may swap. `overlap` is
    the least intersection over union of one face in two frames.
    """

    def __init__(self, patience: float = 1.0, overlap: float = 0.2):
        self.patience, self.overlap = patience, overlap
        self._tracks: dict[int, tuple[Sequence[float], float]] = {}  # number: (box, time it was last seen)
        self._next = 0

    def update(self, boxes: Sequence[Sequence[float]], time: float) -> list[int]:
        """Return the number of each box's face in the next frame, which is at `time` in seconds."""
        self._tracks = {n: t for n, t in self._tracks.items() if time - t[1] <= self.patience}
        known = list(self._tracks)
        pairs = match_boxes([self._tracks[n][0] for n in known], boxes, self.overlap)
        numbers = {column: known[row] for row, column in pairs}  # index of the box: number of its face
        for i, box in enumerate(boxes):
            if i not in numbers:
                numbers[i], self._next = self._next, self._next + 1
            self._tracks[numbers[i]] = (tuple(box), time)
        return [numbers[i] for i in range(len(boxes))]

    def current(self) -> set[int]:
        """Return the numbers of the faces that may still come back."""
        return set(self._tracks)
