"""Exact and near copies of faces, within and across the official parts; blank faces."""
import hashlib
from itertools import product

import numpy as np
import pandas as pd

from .. import paths
from ..files import cached_arrays
from ..labels import UNLABELLED
from .faceset import USAGES, FaceSet
from .near_copies import near_pairs

BLANK_SPREAD = 6.0
"""Faces whose gray values' standard deviation (0 to 127.5) is below this show nothing.

In FER2013 14 images are below: 12 black ones, a gray one (0.7) and an almost black one (3.9). The next, at 9.1, is
an underexposed face.
"""
SAME_PHOTO = 0.95
"""Correlation of two aligned faces from which on they are two versions of one photo.

Chosen by looking at FER2013's pairs on either side: of some 300 viewed between 0.95 and 0.97 all look like one photo;
between 0.90 and 0.92 about a quarter are two photos, between 0.88 and 0.90 more than half.
"""
_CACHE_VERSION = 1
_PAIRS = {"i": np.int64, "j": np.int64, "correlation": np.float32, "mirrored": bool}


def face_ids(pixels: np.ndarray) -> np.ndarray:
    """Number the distinct faces of a uint8 array (N, H, W) from 0: int64 (N,), equal for faces equal byte by byte.

    A face's number depends on the set of faces, not on their order.
    """
    if not len(pixels):
        return np.zeros(0, np.int64)
    flat = np.ascontiguousarray(pixels).reshape(len(pixels), -1)
    return np.unique(flat.view(np.dtype((np.void, flat.shape[1]))).ravel(), return_inverse=True)[1].astype(np.int64)


def exact_copies(pixels: np.ndarray) -> int:
    """Return how many rows are copies of another: rows minus distinct faces (FER2013: 1,855)."""
    return len(pixels) - len(np.unique(face_ids(pixels)))


def copies_in_training(faces: FaceSet) -> dict[str, int]:
    """Return how many faces of PublicTest and PrivateTest are byte for byte in Training (FER2013: 281 and 291)."""
    return {usage: int(seen_in_training(faces, usage, near=False).sum()) for usage in USAGES[1:]}


def conflicting_groups(pixels: np.ndarray, emotion: np.ndarray) -> list[np.ndarray]:
    """Return the groups of identical faces that do not all have one label (FER2013: 59 groups).

    Each group is its rows, ascending; groups are ordered by their first row. Unlabelled faces are in none.
    """
    rows = pd.DataFrame({"face": face_ids(pixels), "emotion": emotion})
    rows = rows[rows["emotion"] != UNLABELLED]
    rows = rows[rows.groupby("face")["emotion"].transform("nunique") > 1]
    return sorted((group.index.to_numpy() for _, group in rows.groupby("face")), key=lambda group: group[0])


def blank_faces(pixels: np.ndarray) -> np.ndarray:
    """Find the images that show nothing, nearly one gray value all over: bool (N,).

    Placeholders ("image removed", a warning sign) are no faces either, but have contrast.
    """
    return np.std(pixels, axis=(1, 2), dtype=np.float32) < BLANK_SPREAD


def near_duplicates(pixels: np.ndarray, *, threshold: float = SAME_PHOTO, cache: bool = False) -> pd.DataFrame:
    """Find pairs of faces that are one photo (cropped, scaled, lit, compressed, marked or mirrored), but not equal.

    `near_copies` says how. The pairs found are almost all right, but stronger crops are missed: counts are lower
    bounds. `cache` keeps the pairs in `paths.CACHE`; to find them in all of FER2013 takes a minute.

    Returns a row for each pair of rows of `pixels`, uint8 (N, 48, 48): `i` < `j` (int), `correlation` (float32) of
    their aligned edges, at least `threshold`, and `mirrored` (bool), whether one had to be mirrored for it. Sorted by
    `i` and `j`. Blank faces are in no pair. The order of the faces does not matter.
    """
    pixels = np.ascontiguousarray(pixels)
    if not cache:
        return _pairs_of_rows(pixels, threshold)
    digest = hashlib.sha256(f"{_CACHE_VERSION} {threshold} {pixels.shape}".encode())
    digest.update(pixels.data)
    key = digest.hexdigest()
    return pd.DataFrame(cached_arrays(
        paths.CACHE / f"near-{key[:24]}.npz", key,
        lambda: {str(name): column.to_numpy() for name, column in _pairs_of_rows(pixels, threshold).items()}))


def _pairs_of_rows(pixels: np.ndarray, threshold: float) -> pd.DataFrame:
    ids = face_ids(pixels)
    _, first = np.unique(ids, return_index=True)
    distinct = first[~blank_faces(pixels[first])]  # in the order of their numbers, not of their rows
    pairs = near_pairs(pixels[distinct], threshold)
    # A pair of distinct faces makes a pair of each copy of the one and each copy of the other.
    rows = pd.DataFrame({"row": np.arange(len(ids)), "face": ids})
    pairs = pairs.assign(a=ids[distinct[pairs["a"]]], b=ids[distinct[pairs["b"]]])
    pairs = pairs.merge(rows, left_on="a", right_on="face").merge(rows, left_on="b", right_on="face")
    ends = pairs[["row_x", "row_y"]].to_numpy()
    pairs = pairs.assign(i=ends.min(axis=1), j=ends.max(axis=1))[list(_PAIRS)].astype(_PAIRS)
    return pairs.sort_values(["i", "j"], ignore_index=True)


def seen_in_training(faces: FaceSet, usage: str = "PrivateTest", near: bool = True,
                     pairs: pd.DataFrame | None = None) -> np.ndarray:
    """Return which faces of a usage have a copy in Training, bool in their order; the others are the clean ones.

    With `near`, near copies count too: `pairs` as `near_duplicates` found them, or else searched for, and cached.
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


def copies_of(pixels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which faces, uint8 (N, 48, 48), are exact or near copies of `others`, uint8 (M, 48, 48): bool (N,)."""
    ids = face_ids(np.concatenate([pixels, others]))
    copied = np.isin(ids[:len(pixels)], ids[len(pixels):])
    rows = np.flatnonzero(~copied & ~blank_faces(pixels))
    rows = rows[np.unique(ids[rows], return_index=True)[1]]
    others = others[np.unique(ids[len(pixels):], return_index=True)[1]]
    others = others[~blank_faces(others)]
    if len(rows) and len(others):
        pairs = near_pairs(np.concatenate([pixels[rows], others]), SAME_PHOTO, len(rows))
        copied |= np.isin(ids[:len(pixels)], ids[rows[pairs["a"].unique()]])
    return copied


def clean_mask(faces: FaceSet, usage: str, labelled: bool = False) -> np.ndarray | None:
    """Return which faces of a usage (or its `labelled` ones) have no exact or near copy in Training, as bool.

    None for Training itself, and where there is no Training.
    """
    if usage == "Training" or "Training" not in faces.usage:
        return None
    clean = ~seen_in_training(faces, usage)
    return clean[faces.labelled[faces.usage == usage]] if labelled else clean


def duplicate_table(faces: FaceSet, pairs: pd.DataFrame | None = None) -> pd.DataFrame:
    """Count copies within and across the official parts; `pairs` as in `seen_in_training`.

    Returns a row for each `kind` ("exact", "near"), `usage` and `other` usage: `faces`, how many faces of `usage` have
    at least one copy of this kind in `other`; `share` of all of `usage`; `pairs`, how many pairs that makes (five
    copies of a face are ten pairs); `where`, "within" one usage or "across" two.
    """
    near = near_duplicates(faces.pixels, cache=True) if pairs is None else pairs
    kinds = {"exact": _exact_pairs(faces.pixels), "near": near[["i", "j"]].to_numpy()}
    rows = []
    for (kind, found), usage, other in product(kinds.items(), faces.usages(), faces.usages()):
        both = np.concatenate([found, found[:, ::-1]])
        here = both[(faces.usage[both] == (usage, other)).all(axis=1)]
        n, same = len(np.unique(here[:, 0])), usage == other
        rows.append({"kind": kind, "usage": usage, "other": other, "where": "within" if same else "across", "faces": n,
                     "share": n / int((faces.usage == usage).sum()), "pairs": len(here) // (2 if same else 1)})
    return pd.DataFrame(rows)


def _exact_pairs(pixels: np.ndarray) -> np.ndarray:
    """Return all pairs of rows i < j with equal faces, int (P, 2)."""
    rows = pd.DataFrame({"row": np.arange(len(pixels)), "face": face_ids(pixels)})
    pairs = rows.merge(rows, on="face")[["row_x", "row_y"]].to_numpy()
    return pairs[pairs[:, 0] < pairs[:, 1]]
