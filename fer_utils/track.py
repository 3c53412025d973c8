"""Follow faces from frame to frame, so that a face keeps its number and its history."""

import numpy as np


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
