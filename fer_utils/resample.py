"""Protocols that split the faces, and balancing of the training part by imbalanced-learn."""

from dataclasses import dataclass

import cv2
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from .audit import face_ids, faces_on_both_sides
from .datasets import DataError, FaceSet
from .labels import EMOTIONS

PROTOCOLS = ("official", "leaky")
BALANCES = ("none", "over", "under", "smote", "class_weights")
_LABELS = {
    "official": "official split",
    "held out": "official Training, a tenth of it held out to choose by",
    "leaky": "leaky split (exhibit: copies of one face on both sides)",
}


@dataclass(frozen=True, eq=False)
class Split:
    """Faces to train on, to choose by and to report.

    Parameters
    ----------
    train, validation, test : FaceSet
        `test` is empty where the data has no labelled PrivateTest.
    protocol, balance : str
    class_weight : dict or None
        Label → weight in the loss, under "class_weights".
    label : str
        What figures and cards call this split.
    """

    train: FaceSet
    validation: FaceSet
    test: FaceSet
    protocol: str
    balance: str
    class_weight: dict | None
    label: str

    @property
    def exhibit(self):
        """Whether scores under this protocol measure memory and rank nothing."""
        return self.protocol == "leaky"


def class_weights(emotion):
    """Return the weight of each class that lets all count alike: faces / (classes × faces of the class).

    Parameters
    ----------
    emotion : array_like of int, (N,)
        Labels 0 to 6.

    Returns
    -------
    dict
        Label → float, for the labels that occur; as scikit-learn's "balanced".
    """
    labels, counts = np.unique(emotion, return_counts=True)
    return {int(label): float(len(emotion) / (len(labels) * n)) for label, n in zip(labels, counts)}


def balance(pixels, emotion, how, seed=0):
    """Balance the classes of training faces.

    Parameters
    ----------
    pixels : ndarray
        uint8 (N, H, W).
    emotion : ndarray
        int (N,), labels 0 to 6.
    how : str
        "over" repeats faces of the rarer classes until all are as large as the largest; "under" drops faces until
        all are as small as the smallest; "smote" (Chawla et al. 2002) makes new faces between neighbours of a class;
        "none" and "class_weights" change nothing.
    seed : int

    Returns
    -------
    pixels, emotion : ndarray
        As given, (M, H, W) and (M,).

    Raises
    ------
    ValueError
        Another way; SMOTE with a class of one face.
    """
    if how not in BALANCES:
        raise ValueError(f"balance must be one of {', '.join(BALANCES)}, got {how!r}")
    if how in ("none", "class_weights"):
        return pixels, emotion
    if how == "smote":
        return _smote(pixels, emotion, seed)
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler

    sampler = (RandomOverSampler if how == "over" else RandomUnderSampler)(random_state=seed)
    # Row numbers are sampled instead of pixels: the same rows, without copying the faces back and forth.
    rows, _ = sampler.fit_resample(np.arange(len(emotion))[:, None], emotion)
    return pixels[rows[:, 0]], emotion[rows[:, 0]]


def _smote(pixels, emotion, seed):
    from imblearn.over_sampling import SMOTE

    labels, counts = np.unique(emotion, return_counts=True)
    if counts.min() < 2:
        alone = EMOTIONS[labels[counts.argmin()]]
        raise ValueError(f"SMOTE mixes a face with a neighbour of its class, but {alone} has one face; "
                         "take more faces, or balance by 'over'")
    sampler = SMOTE(random_state=seed, k_neighbors=min(5, int(counts.min()) - 1))
    flat, labels = sampler.fit_resample(pixels.reshape(len(pixels), -1).astype(np.float32), emotion)
    return np.clip(np.rint(flat), 0, 255).astype(np.uint8).reshape(-1, *pixels.shape[1:]), labels


def split(faces, protocol="official", balance="none", seed=0):
    """Split faces for training.

    Parameters
    ----------
    faces : FaceSet
        Unlabelled faces are left out.
    protocol : str
        "official": train on Training, choose on PublicTest, report PrivateTest. Where there is no PublicTest, a tenth
        of Training, drawn by class with all copies of a face on one side, is held out to choose by.
        "leaky": an exhibit, projects A's and E's mistake: over-sample all faces, then draw a tenth of them for
        testing. That tenth is validation and test in one, as it was there.
    balance : str
        One of `BALANCES`; changes the training part only. The leaky protocol is "over" by its nature.
    seed : int

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        Unknown protocol or balance, or another balance under "leaky".
    DataError
        There are no Training faces.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {protocol!r}")
    if balance not in BALANCES:
        raise ValueError(f"balance must be one of {', '.join(BALANCES)}, got {balance!r}")
    faces = faces[faces.labelled]
    if protocol == "leaky":
        return _leaky(faces, balance, seed)
    train, label = faces.of("Training"), _LABELS["official"]
    validation, test = faces[faces.usage == "PublicTest"], faces[faces.usage == "PrivateTest"]
    if not len(validation):
        train, validation = _hold_out(train, seed)
        label = _LABELS["held out"]
    weight = class_weights(train.emotion) if balance == "class_weights" else None
    return Split(_balanced(train, balance, seed), validation, test, protocol, balance, weight, label)


def _balanced(train, how, seed):
    pixels, emotion = balance(train.pixels, train.emotion, how, seed)
    return FaceSet(pixels, emotion, np.full(len(pixels), "Training"), train.source, train.layout)


def _hold_out(train, seed):
    """Draw a tenth of the training faces, by class, all copies of a face on one side."""
    ids = face_ids(train.pixels)
    folds = StratifiedGroupKFold(n_splits=10, shuffle=True, random_state=seed)
    try:
        kept, held = next(folds.split(ids, train.emotion, groups=ids))
    except ValueError as error:
        raise DataError(f"{train.source}: there is no PublicTest to choose by, and {len(train)} Training faces are too "
                        f"few to hold a tenth of them out ({error})") from None
    return train[np.sort(kept)], train[np.sort(held)]


def _leaky(faces, how, seed):
    if how != "over":
        raise ValueError(f"the leaky protocol over-samples everything before it splits: balance must be 'over', "
                         f"got {how!r}")
    rows = np.arange(len(faces))
    from imblearn.over_sampling import RandomOverSampler

    rows, emotion = RandomOverSampler(random_state=seed).fit_resample(rows[:, None], faces.emotion)
    train, test = train_test_split(rows[:, 0], test_size=0.1, stratify=emotion, random_state=seed)
    # The original usage stays with each face: only so can one ask later what the network never saw.
    return Split(faces[train], faces[test], faces[test], "leaky", "over", None, _LABELS["leaky"])


def leak_count(parts):
    """Count the test faces of a `Split` that stand in its training part, byte for byte."""
    return faces_on_both_sides(parts.train.pixels, parts.test.pixels)


def memoriser_accuracy(parts, size=16, test_faces=2000, seed=0):
    """Score a memoriser: it repeats the label of the most similar training face and learns nothing.

    Parameters
    ----------
    parts : Split
    size : int
        Faces are compared at this many pixels a side.
    test_faces : int
        At most so many test faces, drawn by chance, are asked about.
    seed : int

    Returns
    -------
    float
        Share of right answers, 0 to 1, of scikit-learn's 1-nearest-neighbour classifier.
    """
    from sklearn.neighbors import KNeighborsClassifier

    def small(pixels):
        return np.stack([cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA) for face in pixels]).reshape(
            len(pixels), -1).astype(np.float32)

    rows = np.random.default_rng(seed).permutation(len(parts.test))[:test_faces]
    # Each distinct face is kept once: repeating it changes no nearest neighbour.
    _, first = np.unique(face_ids(parts.train.pixels), return_index=True)
    memory = KNeighborsClassifier(n_neighbors=1, algorithm="brute").fit(small(parts.train.pixels[first]),
                                                                       parts.train.emotion[first])
    return float(memory.score(small(parts.test.pixels[rows]), parts.test.emotion[rows]))
