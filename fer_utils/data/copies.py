"""Exact and near copies of faces, within and across the official parts; blank faces."""
import hashlib
import os
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations_with_replacement

import cv2
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from .. import paths
from ..labels import UNLABELLED
from .faceset import SIZE, USAGES

BLANK_SPREAD = 6.0
"""Faces whose gray values' standard deviation (0 to 127.5) is below this show nothing.

In FER2013 14 images lie below: 12 black ones, a gray one (0.7) and an all but black one (3.9). The next, at 9.1, is
an underexposed face.
"""
SAME_PHOTO = 0.95
"""Correlation of two aligned faces from which on they are two versions of one photo.

Chosen by looking at FER2013's pairs on either side: of some 300 viewed between 0.95 and 0.97 all look like one photo;
between 0.90 and 0.92 about a quarter are two photos, between 0.88 and 0.90 more than half.
"""
_THUMBNAIL = 12  # pixels a side
_EIGENFACES = 48
_FEW = 40  # so few faces that eigenfaces mean nothing and each pair is compared
_ALIKE = 0.66  # cosine of whitened eigenface coordinates above which a pair is compared closely
_MARGIN = 6  # pixels left out around the part of a face that is searched for in the other
# Which part of the other face may be the whole of this one, as (mirrored, left, top, side): the whole, its centre
# (a tighter crop), its corners (a shifted crop). Mirrored photos are rarer: whole and centre find nearly all of them.
_VIEWS = ((False, 0, 0, 48), (False, 4, 4, 40), (False, 0, 0, 42), (False, 6, 0, 42), (False, 0, 6, 42),
          (False, 6, 6, 42), (True, 0, 0, 48), (True, 4, 4, 40))
_CACHE_VERSION = 1
_PAIRS = {"i": np.int64, "j": np.int64, "correlation": np.float32, "mirrored": bool}


# --- exact copies ------------------------------------------------------------------------------------------------


def face_ids(pixels):
    """Number the distinct faces.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (N, H, W)

    Returns
    -------
    ndarray of int64, shape (N,)
        0 to the number of distinct faces minus 1; equal for faces that are equal byte by byte. The number of a face
        depends on the set of faces, not on their order.
    """
    if not len(pixels):
        return np.zeros(0, np.int64)
    flat = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    return np.unique(flat.view(np.dtype((np.void, flat.shape[1]))).ravel(), return_inverse=True)[1].astype(np.int64)


def exact_copies(pixels):
    """Return how many rows are copies of another: rows minus distinct faces (FER2013: 1,855).

    Parameters
    ----------
    pixels : ndarray of uint8, shape (N, H, W)

    Returns
    -------
    int
    """
    return len(pixels) - len(np.unique(face_ids(pixels)))


def faces_on_both_sides(a_pixels, b_pixels):
    """Return how many faces of b stand byte for byte in a.

    Parameters
    ----------
    a_pixels, b_pixels : ndarray of uint8, shapes (N, H, W) and (M, H, W)

    Returns
    -------
    int
        0 to M.
    """
    ids = face_ids(np.concatenate([a_pixels, b_pixels]))
    return int(np.isin(ids[len(a_pixels):], ids[:len(a_pixels)]).sum())


def copies_in_training(faces):
    """Return how many test faces stand byte for byte in Training (FER2013: 281 and 291).

    Parameters
    ----------
    faces : FaceSet

    Returns
    -------
    dict
        ``{"PublicTest": n, "PrivateTest": n}``.
    """
    return {usage: int(seen_in_training(faces, usage, near=False).sum()) for usage in USAGES[1:]}


def conflicting_groups(pixels, emotion):
    """Return the groups of identical faces that do not all carry one label (FER2013: 59 groups).

    Parameters
    ----------
    pixels : ndarray of uint8, shape (N, H, W)
    emotion : ndarray of int, shape (N,)
        Labels 0 to 6; unlabelled faces (-1) count in no group.

    Returns
    -------
    list of ndarray of int
        The rows of each group, ascending; groups by their first row.
    """
    rows = pd.DataFrame({"face": face_ids(pixels), "emotion": emotion})
    rows = rows[rows["emotion"] != UNLABELLED]
    rows = rows[rows.groupby("face")["emotion"].transform("nunique") > 1]
    return sorted((group.index.to_numpy() for _, group in rows.groupby("face")), key=lambda group: group[0])


def blank_faces(pixels):
    """Find the images that show nothing: nearly one gray value all over.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (N, H, W)

    Returns
    -------
    ndarray of bool, shape (N,)
        Where the gray values' standard deviation is below `BLANK_SPREAD`. Placeholders ("image removed", a warning
        sign) are no faces either, but have contrast.
    """
    return np.std(pixels, axis=(1, 2), dtype=np.float32) < BLANK_SPREAD


# --- near-duplicates ---------------------------------------------------------------------------------------------


def near_duplicates(pixels, *, threshold=SAME_PHOTO, cache=False):
    """Find pairs of faces that are one photo, but not byte for byte.

    The same photo cropped, scaled, lit or compressed otherwise, watermarked or mirrored. A sieve first: all pairs are
    compared by whitened eigenfaces (Turk and Pentland, 1991) of thumbnails, the one face whole, the other whole or
    cropped. What passes is aligned by an affine warp at full resolution (Evangelidis and Psarakis, 2008) and kept if
    it then correlates. So the pairs found are almost all right, but stronger crops are missed: counts are lower
    bounds.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (N, 48, 48)
    threshold : float
        Least correlation, up to 1.
    cache : bool
        Whether to keep the pairs in `paths.CACHE` and to take them from there when they have been found before.

    Returns
    -------
    DataFrame
        A row for each pair of rows of `pixels` that are no exact copies: `i` < `j` (int), `correlation` (float32) of
        their aligned edges and `mirrored` (bool), whether one had to be mirrored for it. By `i` and `j`. Blank faces
        are in no pair. The pairs are the same whatever the order of the faces.
    """
    pixels = np.asarray(pixels)
    if not cache:
        return _pairs_of_rows(pixels, threshold)
    key = hashlib.sha256(f"{_CACHE_VERSION} {threshold} {pixels.shape}".encode())
    key.update(np.ascontiguousarray(pixels))
    file = paths.CACHE / f"near-{key.hexdigest()[:24]}.npz"
    try:
        with np.load(file) as kept:
            return pd.DataFrame({name: kept[name] for name in _PAIRS})
    except Exception:
        pass  # not there, or not readable: found anew
    pairs = _pairs_of_rows(pixels, threshold)
    _keep(file, pairs)
    return pairs


def _pairs_of_rows(pixels, threshold):
    ids = face_ids(pixels)
    _, first = np.unique(ids, return_index=True)
    distinct = first[~blank_faces(pixels[first])]  # in the order of their numbers, not of their rows
    pairs = _pairs_of_distinct(pixels[distinct], threshold)
    # Each pair of distinct faces stands for the pairs of all their copies.
    rows = pd.DataFrame({"row": np.arange(len(ids)), "face": ids})
    pairs = pairs.assign(a=ids[distinct[pairs["a"]]], b=ids[distinct[pairs["b"]]])
    pairs = pairs.merge(rows, left_on="a", right_on="face").merge(rows, left_on="b", right_on="face")
    ends = pairs[["row_x", "row_y"]].to_numpy()
    pairs = pairs.assign(i=ends.min(axis=1), j=ends.max(axis=1))[list(_PAIRS)].astype(_PAIRS)
    return pairs.sort_values(["i", "j"], ignore_index=True)


def _pairs_of_distinct(faces, threshold):
    """Return pairs a, b of indices of `faces`, with correlation and mirrored; each pair once."""
    describe = _descriptor(faces)
    whole = describe(faces)
    edges = np.stack([_edges(face) for face in faces]) if len(faces) else np.zeros((0, SIZE, SIZE), np.float32)
    found = pd.DataFrame({"a": np.zeros(0, int), "b": np.zeros(0, int), "correlation": [], "mirrored": []})
    # Shown on a terminal only: there one may wait for half a minute.
    for mirrored, left, top, side in tqdm(_VIEWS, "comparing faces", disable=None, leave=False):
        others, other_edges = faces, edges
        if mirrored:
            others, other_edges = faces[:, :, ::-1], np.ascontiguousarray(edges[:, :, ::-1])
        view = describe(others[:, top:top + side, left:left + side])
        a, b = _alike(whole, view, once=side == SIZE)
        new = ~np.isin(_code(a, b, len(faces)), _code(found["a"], found["b"], len(faces)))
        a, b = a[new], b[new]
        correlation = _aligned_correlation(edges, other_edges, a, b, left, top, side / SIZE)
        same = correlation >= threshold
        some = pd.DataFrame({"a": np.minimum(a, b), "b": np.maximum(a, b), "correlation": correlation,
                             "mirrored": mirrored})[same]
        some = some.sort_values("correlation", ascending=False).drop_duplicates(["a", "b"])
        found = pd.concat([found, some]) if len(found) else some
    return found


def _code(a, b, n):
    """Number unordered pairs, so that sets of them can be compared."""
    return np.minimum(a, b).astype(np.int64) * n + np.maximum(a, b)


def _descriptor(faces):
    """Return a function from crops of faces to unit vectors, close for like ones; fitted to `faces`."""
    if len(faces) < _FEW:
        return lambda crops: np.ones((len(crops), 1), np.float32)
    from sklearn.decomposition import PCA

    eigenfaces = PCA(min(_EIGENFACES, len(faces) // 20), whiten=True, svd_solver="covariance_eigh")
    eigenfaces.fit(_thumbnails(faces))
    return lambda crops: _unit(eigenfaces.transform(_thumbnails(crops)))


def _thumbnails(crops):
    small = np.stack([cv2.resize(crop, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA) for crop in crops])
    small = small.reshape(len(crops), -1).astype(np.float32)
    return _unit(small - small.mean(axis=1, keepdims=True))  # brightness and contrast do not count


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)


def _edges(face):
    """Keep what differs from the surroundings (a difference of Gaussians): the light does not count, faces do."""
    face = face.astype(np.float32)
    return cv2.GaussianBlur(face, (0, 0), 1) - cv2.GaussianBlur(face, (0, 0), 4)


def _alike(whole, view, once):
    """Return the pairs with a cosine above `_ALIKE`; with `once` those a < b, as the other way round is the same."""
    def search(top):
        found = [(np.zeros(0, int), np.zeros(0, int))]
        for left in range(top // 2048 * 2048 if once else 0, len(view), 2048):
            cosine = whole[top:top + 512] @ view[left:left + 2048].T
            a, b = np.divmod(np.flatnonzero(cosine > _ALIKE), cosine.shape[1])
            a, b = a + top, b + left
            keep = a < b if once else a != b
            found.append((a[keep], b[keep]))
        return np.concatenate(found, axis=1)

    # Tiles fit in a processor's cache, but are too small for BLAS to share out: its threads would wait for one another.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.concatenate([np.zeros((2, 0), int), *pool.map(search, range(0, len(whole), 512))], axis=1)


def _aligned_correlation(edges, other_edges, a, b, left, top, scale):
    """Correlate the middle of each face a with face b after alignment, -1 where there is none.

    The search starts where the square of `scale` times a face's size at (left, top) of b is the whole of a.
    """
    start = np.array([[scale, 0, left + _MARGIN * scale], [0, scale, top + _MARGIN * scale]], np.float32)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 1e-3)
    inner = slice(_MARGIN, SIZE - _MARGIN)
    end = SIZE - 2 * _MARGIN - 1
    corners = np.array([[0, end, 0, end], [0, 0, end, end], [1, 1, 1, 1]])

    def align(pairs):
        correlation = np.full(len(pairs), -1, np.float32)
        for k, (one, other) in enumerate(pairs):
            try:
                value, warp = cv2.findTransformECC(edges[one, inner, inner], other_edges[other], start.copy(),
                                                   cv2.MOTION_AFFINE, criteria, None, 1)
            except cv2.error:  # the alignment diverged: not one photo
                continue
            # A warp that ran out of the frame or shrank to a spot correlates perfectly and means nothing.
            reached = warp @ corners
            inside = -_MARGIN < reached.min() and reached.max() < SIZE - 1 + _MARGIN
            if inside and np.linalg.det(warp[:, :2]) > 0.25:
                correlation[k] = value
        return correlation

    pairs = np.stack([a, b], axis=1).tolist()
    chunks = [pairs[k:k + 256] for k in range(0, len(pairs), 256)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV lets go of Python's lock
        return np.concatenate([np.zeros(0, np.float32), *pool.map(align, chunks)])


def _keep(file, pairs):
    """Write pairs to the cache, whole or not at all."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=file.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as output:
                np.savez(output, **{name: pairs[name].to_numpy() for name in _PAIRS})
            os.replace(part, file)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        warnings.warn(f"{file.parent}: the near-duplicates could not be cached ({error}); they will be searched for "
                      "anew each time", stacklevel=3)


# --- across the official parts -----------------------------------------------------------------------------------


def seen_in_training(faces, usage="PrivateTest", near=True, pairs=None):
    """Find the faces of a part whose photo stands in Training too; the others are the clean ones.

    Parameters
    ----------
    faces : FaceSet
        All of them, Training included.
    usage : str
        The part that is looked at.
    near : bool
        Whether near-duplicates count too, not exact copies alone.
    pairs : DataFrame, optional
        What `near_duplicates` found among ``faces.pixels``; searched for once, and cached, where it is not given.

    Returns
    -------
    ndarray of bool
        A value for each face of ``faces.usage == usage``, in their order.
    """
    ids = face_ids(faces.pixels)
    training, part = faces.usage == "Training", faces.usage == usage
    seen = np.isin(ids, ids[training])
    if near:
        pairs = near_duplicates(faces.pixels, cache=True) if pairs is None else pairs
        i, j = pairs["i"].to_numpy(), pairs["j"].to_numpy()
        seen[i[training[j]]] = True
        seen[j[training[i]]] = True
    return seen[part]


def duplicate_table(faces, pairs=None):
    """Count copies within and across the official parts.

    Parameters
    ----------
    faces : FaceSet
    pairs : DataFrame, optional
        What `near_duplicates` found among ``faces.pixels``; searched for once, and cached, where it is not given.

    Returns
    -------
    DataFrame
        A row for each `kind` ("exact", "near"), `usage` and `other` usage: `faces`, how many faces of `usage` have at
        least one copy of this kind in `other`; `share` of all of `usage`; `pairs`, how many pairs that makes (five
        copies of a face are ten pairs); `where`, "within" one usage or "across" two.
    """
    near = near_duplicates(faces.pixels, cache=True) if pairs is None else pairs
    kinds = {"exact": _exact_pairs(faces.pixels), "near": near[["i", "j"]].to_numpy()}
    present = faces.usages()
    rows = []
    for kind, found in kinds.items():
        both = np.concatenate([found, found[:, ::-1]])
        from_usage, to_usage = faces.usage[both[:, 0]], faces.usage[both[:, 1]]
        for usage in present:
            for other in present:
                here = both[(from_usage == usage) & (to_usage == other)]
                n = len(np.unique(here[:, 0]))
                rows.append({"kind": kind, "usage": usage, "other": other,
                             "where": "within" if usage == other else "across", "faces": n,
                             "share": n / int((faces.usage == usage).sum()),
                             "pairs": len(here) // (2 if usage == other else 1)})
    return pd.DataFrame(rows)


def _exact_pairs(pixels):
    """Return all pairs of rows i < j with equal faces, int (P, 2)."""
    ids = pd.Series(face_ids(pixels))
    groups = ids[ids.duplicated(keep=False)].groupby(ids).groups.values()
    pairs = [(i, j) for rows in groups for i, j in combinations_with_replacement(sorted(rows), 2) if i < j]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def clean_mask(faces, usage, labelled=False):
    """Return which faces of a test usage stand neither exactly nor nearly in Training: bool (N,).

    With `labelled` of its labelled faces only. None for Training itself, and where there is none.
    """
    if usage == "Training" or "Training" not in faces.usage:
        return None
    clean = ~seen_in_training(faces, usage)
    return clean[faces.labelled[faces.usage == usage]] if labelled else clean
