"""The search for near copies: which of many distinct faces are versions of one photo.

First a sieve: all pairs are compared by whitened eigenfaces (Turk and Pentland, 1991) of thumbnails, the one face
whole, the other whole or cropped. What passes is aligned by an affine warp at full resolution (Evangelidis and
Psarakis, 2008), and kept if it then correlates.
"""
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from .faceset import SIZE

_THUMBNAIL = 12  # pixels a side
_EIGENFACES = 48
_FEW = 40  # with fewer faces eigenfaces mean nothing, and each pair is aligned
_MANY = 3000  # from so many faces on the search takes seconds, and shows a bar
_ALIKE = 0.66  # cosine of whitened eigenface coordinates above which a pair is aligned
_MARGIN = 6  # pixels left out around the part of a face that is searched for in the other
_INNER = slice(_MARGIN, SIZE - _MARGIN)
_END = SIZE - 2 * _MARGIN - 1
_CORNERS = np.array([[0, _END, 0, _END], [0, 0, _END, _END], [1, 1, 1, 1]])
_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 1e-3)


class _View(NamedTuple):
    """A square of the other face that may be the whole of this one."""

    mirrored: bool
    left: int
    top: int
    side: int

    def of(self, faces: np.ndarray) -> np.ndarray:
        return self.mirror(faces)[:, self.top:self.top + self.side, self.left:self.left + self.side]

    def mirror(self, faces: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(faces[:, :, ::-1]) if self.mirrored else faces


# The whole, its centre (a tighter crop), its corners (a shifted crop). Mirrored photos are rarer: whole and centre find
# nearly all of them.
_VIEWS = (_View(False, 0, 0, 48), _View(False, 4, 4, 40), _View(False, 0, 0, 42), _View(False, 6, 0, 42),
          _View(False, 0, 6, 42), _View(False, 6, 6, 42), _View(True, 0, 0, 48), _View(True, 4, 4, 40))


def near_pairs(faces: np.ndarray, threshold: float, first: int | None = None) -> pd.DataFrame:
    """Find the pairs of distinct faces, uint8 (N, 48, 48), that correlate from `threshold` on after alignment.

    Returns each pair once: indices `a` < `b`, `correlation` and `mirrored`. With `first`, only the pairs of one of the
    first so many faces and another face.
    """
    describe = _descriptor(faces)
    whole = describe(faces)
    edges = np.array([_edges(face) for face in faces]).reshape(-1, SIZE, SIZE)
    found = []
    known = np.zeros(0, np.int64)
    # The bar shows on a terminal and in a notebook, but in no log. `disable=None` would hide it in a notebook, whose
    # output is no terminal.
    shown = len(faces) >= _MANY and (sys.stderr.isatty() or "ipykernel" in sys.modules)
    with tqdm(total=2 * len(_VIEWS), desc="comparing faces", leave=False, disable=not shown,
              bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}") as bar:
        for view in _VIEWS:
            a, b = _alike(whole, describe(view.of(faces)), view.side == SIZE, bar)
            new = ~np.isin(_pair_number(a, b, len(faces)), known)
            if first is not None:
                new &= (a < first) != (b < first)
            a, b = a[new], b[new]
            correlation = _aligned_correlations(edges, view, a, b, bar)
            same = correlation >= threshold
            pairs = pd.DataFrame({"a": np.minimum(a, b)[same], "b": np.maximum(a, b)[same],
                                  "correlation": correlation[same], "mirrored": view.mirrored})
            found.append(pairs.sort_values("correlation", ascending=False).drop_duplicates(["a", "b"]))
            known = np.append(known, _pair_number(a[same], b[same], len(faces)))
    return pd.concat(found, ignore_index=True)


def _pair_number(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """Number unordered pairs, so that sets of them can be compared."""
    return np.minimum(a, b).astype(np.int64) * n + np.maximum(a, b)


def _in_threads(work: Callable[[Any], np.ndarray], chunks: Sequence[Any], bar: tqdm) -> Iterator[np.ndarray]:
    """Yield the results of all chunks; the bar goes on by one step in all."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(work, chunks):
            yield result
            bar.update(1 / len(chunks))


def _descriptor(faces: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function, fitted to `faces`, from crops of faces to unit vectors: near one another for like crops."""
    if len(faces) < _FEW:
        return lambda crops: np.ones((len(crops), 1), np.float32)
    from sklearn.decomposition import PCA

    eigenfaces = PCA(min(_EIGENFACES, len(faces) // 20), whiten=True, svd_solver="covariance_eigh")
    eigenfaces.fit(_thumbnails(faces))
    return lambda crops: _unit(eigenfaces.transform(_thumbnails(crops)))


def _thumbnails(crops: np.ndarray) -> np.ndarray:
    small = np.stack([cv2.resize(crop, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA) for crop in crops])
    small = small.reshape(len(crops), -1).astype(np.float32)
    return _unit(small - small.mean(axis=1, keepdims=True))  # brightness and contrast do not count


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def _alike(whole: np.ndarray, view: np.ndarray, symmetric: bool, bar: tqdm) -> np.ndarray:
    """Return the pairs with a cosine above `_ALIKE`, int (2, P).

    Where the comparison is `symmetric` those a < b, because the other way round is the same.
    """
    def search(top: int) -> np.ndarray:
        found = [np.zeros((2, 0), int)]
        for left in range(top // 2048 * 2048 if symmetric else 0, len(view), 2048):
            cosine = whole[top:top + 512] @ view[left:left + 2048].T
            a, b = np.divmod(np.flatnonzero(cosine > _ALIKE), cosine.shape[1])
            a, b = a + top, b + left
            found.append(np.stack([a, b])[:, a < b if symmetric else a != b])
        return np.concatenate(found, axis=1)

    # Tiles fit in a processor's cache, but are too small for BLAS to share out: its threads would wait for one another.
    with threadpool_limits(1, "blas"):
        return np.concatenate([np.zeros((2, 0), int), *_in_threads(search, range(0, len(whole), 512), bar)], axis=1)


def _edges(face: np.ndarray) -> np.ndarray:
    """Keep what differs from the surroundings (a difference of Gaussians): the light does not count, faces do."""
    face = face.astype(np.float32)
    return cv2.GaussianBlur(face, (0, 0), 1) - cv2.GaussianBlur(face, (0, 0), 4)


def _aligned_correlations(edges: np.ndarray, view: _View, a: np.ndarray, b: np.ndarray, bar: tqdm) -> np.ndarray:
    """Return the correlation of each pair after alignment, float32 (P,)."""
    middles, others = edges[:, _INNER, _INNER], view.mirror(edges)
    scale = view.side / SIZE  # the search starts where the view of the other face is the whole of this one
    start = np.array([[scale, 0, view.left + _MARGIN * scale], [0, scale, view.top + _MARGIN * scale]], np.float32)

    def align(chunk: list[list[int]]) -> np.ndarray:
        return np.array([_aligned_correlation(middles[one], others[other], start.copy()) for one, other in chunk],
                        np.float32)

    pairs = np.stack([a, b], axis=1).tolist()
    chunks = [pairs[k:k + 256] for k in range(0, len(pairs), 256)]
    # In threads, because OpenCV releases Python's lock.
    return np.concatenate([np.zeros(0, np.float32), *_in_threads(align, chunks, bar)])


def _aligned_correlation(middle: np.ndarray, other: np.ndarray, warp: np.ndarray) -> float:
    """Correlate the middle of a face with another one after alignment from `warp` on, -1 where there is none."""
    try:
        # OpenCV's types leave out that there may be no mask.
        correlation, warp = cv2.findTransformECC(  # type: ignore[call-overload]
            middle, other, warp, cv2.MOTION_AFFINE, _CRITERIA, None, 1)
    except cv2.error:  # the alignment diverged: not one photo
        return -1
    # A warp that ran out of the frame or shrank to a spot correlates perfectly and means nothing.
    reached = warp @ _CORNERS
    inside = -_MARGIN < reached.min() and reached.max() < SIZE - 1 + _MARGIN
    return correlation if inside and np.linalg.det(warp[:, :2]) > 0.25 else -1
