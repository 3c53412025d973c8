"""Own faces divided by person, so that none is both learnt from and tested on."""
import warnings
from collections import Counter
from dataclasses import replace

import numpy as np

from .copies import face_ids, near_duplicates
from .faceset import FaceSet

LEAST_GROUPS = 3
"""Fewer groups cannot be divided among Training, PublicTest and PrivateTest."""


def divide_groups(faces: FaceSet) -> FaceSet:
    """Return faces with groups with these divided: some 60 % Training, 20 % PublicTest, 20 % PrivateTest.

    A group is never divided, and two groups with exact or near copies of one face count as one: that is one person on
    two photos, or one photo in two sizes. Shares of the classes are kept as
    far as that allows (scikit-learn's StratifiedGroupKFold); the same faces are always divided in the same way. Nothing
    changes for faces without groups, with other parts than Training, or of fewer than `LEAST_GROUPS` groups.
    """
    labelled = np.flatnonzero(faces.labelled)
    if faces.group is None or not (faces.usage[labelled] == "Training").all():
        return faces
    group = joined_by_copies(faces)[labelled]
    n = len(np.unique(group))
    if n < LEAST_GROUPS:
        return faces
    folds = _folds(faces.emotion[labelled], group, min(5, n))
    # A group with very many faces stays in Training.
    folds.sort(key=lambda rows: abs(5 * len(rows) - len(labelled)))
    usage = faces.usage.copy()
    for name, rows in zip(("PrivateTest", "PublicTest"), folds):
        usage[labelled[rows]] = name
    return replace(faces, usage=usage)


def _folds(emotion: np.ndarray, group: np.ndarray, n: int) -> list[np.ndarray]:
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        if np.bincount(emotion).max() >= n:  # scikit-learn refuses fewer
            folds = [rows for _, rows in StratifiedGroupKFold(n, shuffle=True, random_state=0).split(
                group, emotion, group) if len(rows)]
            if len(folds) >= LEAST_GROUPS:
                return folds
    return [rows for _, rows in GroupKFold(n).split(group, groups=group)]


def joined_by_copies(faces: FaceSet) -> np.ndarray:
    """Number the groups of grouped faces, int (N,): those with exact or near copies of one face have one number."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = [" ".join(str(name).casefold().split()) for name in np.asarray(faces.group)]  # Ada and ada are one
    face, group = face_ids(faces.pixels), np.unique(names, return_inverse=True)[1]
    size, pairs = face.max() + 1, near_duplicates(faces.pixels, cache=True)
    ends = np.concatenate([face, face[pairs["i"]]]), np.concatenate([size + group, face[pairs["j"]]])
    links = coo_array((np.ones(len(ends[0])), ends), shape=(size + group.max() + 1,) * 2)
    return connected_components(links, directed=False)[1][size + group]


def shared_groups(faces: FaceSet) -> list[str]:
    """Return the groups that have faces in more than one part."""
    if faces.group is None:
        return []
    parts = {(str(group), str(usage)) for group, usage in zip(faces.group, faces.usage)}
    return sorted(group for group, n in Counter(group for group, _ in parts).items() if n > 1)
