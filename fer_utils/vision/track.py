"""Following faces from frame to frame, and averaging what a network sees in them."""
from dataclasses import replace

import cv2
import numpy as np

from .detect import DETECTORS, Detection, crop_face, face_square, live_detector

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


def overlaps(boxes_a, boxes_b):
    """Return intersection over union of every pair: float (A, B) of boxes (x, y, width, height)."""
    a, b = np.asarray(boxes_a, float).reshape(-1, 4), np.asarray(boxes_b, float).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, :2] + a[:, None, 2:], b[None, :, :2] + b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    union = a[:, 2:].prod(axis=1)[:, None] + b[:, 2:].prod(axis=1)[None] - shared
    return shared / np.maximum(union, 1e-9)


class Tracker:
    """Give each face of a video a number that it keeps while it is seen.

    Boxes of two frames that overlap are matched so that the overlaps' sum is largest (Hungarian method, as in
    SORT, Bewley et al. 2016). A face that moved by more than its own width, or that was away for longer than
    `patience`, counts as another: where faces cross, numbers may swap.

    Parameters
    ----------
    patience : float
        Seconds that a face may be out of sight.
    overlap : float
        Least intersection over union of one face in two frames.
    """

    def __init__(self, patience=1.0, overlap=0.2):
        self.patience, self.overlap = patience, overlap
        self._tracks = {}  # number: (box, time it was last seen)
        self._next = 0

    def update(self, boxes, time):
        """Match a frame's boxes with the faces known so far.

        Parameters
        ----------
        boxes : sequence of (x, y, width, height)
        time : float
            Seconds; not smaller than at the call before.

        Returns
        -------
        list of int
            The number of each box's face.
        """
        from scipy.optimize import linear_sum_assignment

        self._tracks = {n: t for n, t in self._tracks.items() if time - t[1] <= self.patience}
        numbers = [None] * len(boxes)
        if self._tracks and len(boxes):
            known = list(self._tracks)
            shared = overlaps([self._tracks[n][0] for n in known], boxes)
            for row, column in zip(*linear_sum_assignment(-shared)):
                if shared[row, column] >= self.overlap:
                    numbers[column] = known[row]
        for i, box in enumerate(boxes):
            if numbers[i] is None:
                numbers[i], self._next = self._next, self._next + 1
            self._tracks[numbers[i]] = (tuple(box), time)
        return numbers

    def current(self):
        """Return the numbers of the faces that may still come back."""
        return set(self._tracks)
