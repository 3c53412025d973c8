"""The official split, the leaky one as an exhibit, and balancing of the training part."""
import warnings
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from ..errors import DataError
from ..labels import EMOTIONS
from .copies import clean_mask, face_ids, faces_on_both_sides
from .faceset import FaceSet


def report_part(faces):
    """Return the part that scores are reported on.

    Parameters
    ----------
    faces : FaceSet

    Returns
    -------
    usage : str
        "PrivateTest". Where the data has no labels for it (the challenge's files, project C's folders) the part that
        training chose by, which flatters: "PublicTest", or "validation" where that was held out of Training.
    part : FaceSet
    clean : ndarray of bool, or None
        As `clean_mask`; None for "validation".
    """
    parts = split(faces)
    usage = str(parts.reported.usage[0])
    if usage == "Training":
        return "validation", parts.reported, None
    return usage, parts.reported, clean_mask(faces, usage, labelled=True)


PROTOCOLS = ("official", "leaky")
"""Train on Training, choose on PublicTest, report PrivateTest; or over-sample everything and split afterwards."""
BALANCES = ("none", "over", "under", "smote", "class_weights")
"""Ways to make up for rare classes, in the training part only."""
_LEAKY_TEST_SHARE = 0.1
_VALIDATION_FOLDS = 10  # one of them is held out where there is no PublicTest


@dataclass(frozen=True, eq=False)
class Split:
    """Hold the faces to train on, to choose a model by, and to report.

    Parameters
    ----------
    train, validation, test : FaceSet
        Labelled faces; `test` is empty where the data set has no labelled PrivateTest. Each face's ``usage`` is the
        original one.
    protocol : str
        One of `PROTOCOLS`.
    balance : str
        One of `BALANCES`; what was done to `train`.
    class_weight : dict of int to float, or None
        Weights of the classes in the loss, where `balance` is "class_weights".
    """

    train: FaceSet
    validation: FaceSet
    test: FaceSet
    protocol: str
    balance: str
    class_weight: dict | None = None

    @property
    def exhibit(self):
        """Whether the split shows a mistake, so that no score on it may be compared with others."""
        return self.protocol == "leaky"

    @property
    def label(self):
        """What to call the split in a title or a table."""
        if self.exhibit:
            return "leaky split (exhibit: copies of one face on both sides)"
        held_out = (self.validation.usage == "Training").any()
        return "official Training, a tenth of it held out to choose by" if held_out else "official split"

    @property
    def reported(self):
        """The faces that scores are reported on: `test`, or `validation` where there are no labelled test faces."""
        return self.test if len(self.test) else self.validation


def split(faces, protocol="official", balance="none", seed=0):
    """Divide faces into a training, a validation and a test part.

    "official" trains on Training (balanced), validates on PublicTest and tests on PrivateTest. Where there is no
    labelled PublicTest, a tenth of Training is held out for validation, by class, identical faces staying together.

    "leaky" is what projects A and E did, for the record: over-sample *all* labelled faces, then draw a tenth as test
    part (and validate on that). Most test faces then have a copy in the training part. It is an exhibit.

    Parameters
    ----------
    faces : FaceSet
        Unlabelled faces get into no part.
    protocol : str
        One of `PROTOCOLS`.
    balance : str
        One of `BALANCES`; "over" under the leaky protocol.
    seed : int
        Of all that is drawn.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        Unknown protocol or balance, or "leaky" with another balance than "over".
    DataError
        No labelled Training faces, or too few to draw from.
    """
    _check(protocol, PROTOCOLS, "protocol")
    _check(balance, BALANCES, "balance")
    if protocol == "leaky":
        return _leaky(faces, balance, seed)
    train = faces[(faces.usage == "Training") & faces.labelled]
    validation = faces[(faces.usage == "PublicTest") & faces.labelled]
    test = faces[(faces.usage == "PrivateTest") & faces.labelled]
    if not len(train):
        raise DataError(f"{faces.source}: there are no labelled Training faces to train on; "
                        "the official protocol needs FER2013's Training part")
    if not len(validation):
        # Always the same tenth: networks of several seeds are compared on it, and teach each other.
        train, validation = _hold_out(train, 0)
    weights = class_weights(train.emotion) if balance == "class_weights" else None
    return Split(_balanced(train, balance, seed), validation, test, protocol, balance, weights)


def _check(value, known, what):
    if value not in known:
        raise ValueError(f"unknown {what} {value!r}; known: {', '.join(known)}")


def _hold_out(train, seed):
    """Return Training without, and with nothing but, a tenth that takes all copies of its faces along."""
    from sklearn.model_selection import StratifiedGroupKFold

    ids = face_ids(train.pixels)
    n_folds = min(_VALIDATION_FOLDS, len(np.unique(ids)), np.bincount(train.emotion).max())
    if n_folds < 2:
        raise DataError(f"{train.source}: {len(train)} Training faces are too few to hold some out for validation; "
                        "give a data set with a labelled PublicTest, or more faces")
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A class with fewer than ten faces is not in each tenth: known, and no reason to stop.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        kept, held_out = next(folds.split(ids, train.emotion, ids))
    return train[kept], train[held_out]


def _leaky(faces, balance, seed):
    from sklearn.model_selection import train_test_split

    if balance != "over":
        raise ValueError(f"the leaky protocol over-samples everything before it splits, so balance must be 'over', "
                         f"not {balance!r}")
    rows = np.flatnonzero(faces.labelled)
    rows = rows[_sampled_rows(faces.emotion[rows], "over", seed)]
    try:
        train, test = train_test_split(rows, test_size=_LEAKY_TEST_SHARE, stratify=faces.emotion[rows],
                                       random_state=seed)
    except ValueError as error:
        raise DataError(f"{faces.source}: {len(rows)} labelled faces are too few for the leaky protocol's split of "
                        f"each class ({error})") from None
    return Split(faces[train], faces[test], faces[test], "leaky", balance)


# --- balancing ---------------------------------------------------------------------------------------------------


def balance(pixels, emotion, how, seed=0):
    """Make classes equally frequent with imbalanced-learn.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (N, H, W)
    emotion : ndarray of int, shape (N,)
    how : str
        "over" repeats random faces of the rarer classes, "under" drops random faces of the more frequent ones, "smote"
        adds faces between a face and one of its five nearest neighbours of its class (fewer in a tiny class). "none"
        and "class_weights" change nothing.
    seed : int

    Returns
    -------
    pixels : ndarray of uint8, shape (M, H, W)
    emotion : ndarray, shape (M,)
        The given faces first for "over" and "smote"; in their order for "under".

    Raises
    ------
    ValueError
        Unknown `how`, or SMOTE with a single face of a class.

    References
    ----------
    Chawla et al., "SMOTE: Synthetic minority over-sampling technique", JAIR 16, 2002.
    """
    _check(how, BALANCES, "balance")
    if how == "smote":
        return _smote(pixels, emotion, seed)
    if how in ("over", "under"):
        rows = _sampled_rows(emotion, how, seed)
        return pixels[rows], emotion[rows]
    return pixels, emotion


def _sampled_rows(emotion, how, seed):
    """Return which rows over- or under-sampling takes; rows cost less memory than faces."""
    if len(np.unique(emotion)) < 2:
        return np.arange(len(emotion))  # one class is balanced, and imbalanced-learn refuses it
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler

    sampler = (RandomOverSampler if how == "over" else RandomUnderSampler)(random_state=seed)
    sampler.fit_resample(np.arange(len(emotion))[:, None], emotion)
    rows = sampler.sample_indices_
    return rows if how == "over" else np.sort(rows)


def _smote(pixels, emotion, seed):
    labels, counts = np.unique(emotion, return_counts=True)
    if len(labels) < 2:
        return pixels, emotion
    if counts.min() < 2:
        raise ValueError(f"SMOTE makes faces between two of a class, but there is a single face of "
                         f"{EMOTIONS[labels[counts.argmin()]]}; use balance 'over' or more faces")
    from imblearn.over_sampling import SMOTE

    sampler = SMOTE(random_state=seed, k_neighbors=min(5, counts.min() - 1))
    flat, emotion = sampler.fit_resample(pixels.reshape(len(pixels), -1).astype(np.float32), emotion)
    return np.clip(np.rint(flat), 0, 255).astype(np.uint8).reshape(-1, *pixels.shape[1:]), emotion


def _balanced(train, how, seed):
    if how in ("over", "under"):
        return train[_sampled_rows(train.emotion, how, seed)]
    pixels, emotion = balance(train.pixels, train.emotion, how, seed)
    return FaceSet(pixels, emotion, np.full(len(emotion), "Training"), train.source, train.layout)


def class_weights(emotion):
    """Weight classes by the inverse of their frequency.

    Parameters
    ----------
    emotion : ndarray of int, shape (N,)
        Labels 0 to 6.

    Returns
    -------
    dict of int to float
        For each class N / (classes present × its faces), 0 for a class without faces; over all faces the mean is 1.
    """
    counts = np.bincount(emotion, minlength=len(EMOTIONS))
    present = int(np.count_nonzero(counts))
    return {label: len(emotion) / (present * n) if n else 0.0 for label, n in enumerate(counts.tolist())}


# --- the leak, counted and shown ---------------------------------------------------------------------------------


def leak_count(parts):
    """Count the test faces (`Split.reported`) that stand byte for byte in the training part.

    Parameters
    ----------
    parts : Split

    Returns
    -------
    int
        Under the official protocol FER2013's own copies only (291); thousands under the leaky one.
    """
    return faces_on_both_sides(parts.train.pixels, parts.reported.pixels)


def memoriser_accuracy(parts, size=16, limit=None, seed=0, test=None):
    """Score who has learnt nothing but the training faces by heart: the label of the most alike one.

    One nearest neighbour, by the Euclidean distance of thumbnails. No training is needed to see the leak. On FER2013
    this memoriser scores 81.0 % on the leaky split, where projects A and E published 81.39 % and 81.07 %; on the
    official split 40.6 %, and 26.0 % on those of its faces that do not stand in Training, which is less than by
    calling them all happy (30.7 %).

    Parameters
    ----------
    parts : Split
    size : int
        Side of the thumbnails, in pixels.
    limit : int, optional
        Score only so many random ones of the faces.
    seed : int
        Of what `limit` draws.
    test : FaceSet, optional
        The faces to score, by default `Split.reported`.

    Returns
    -------
    float
        Accuracy, 0 to 1.
    """
    from sklearn.neighbors import KNeighborsClassifier

    test = parts.reported if test is None else test
    if limit is not None and limit < len(test):
        test = test[np.sort(np.random.default_rng(seed).choice(len(test), limit, replace=False))]
    shrink = partial(cv2.resize, dsize=(size, size), interpolation=cv2.INTER_AREA)

    def thumbnails(pixels):
        return np.stack([shrink(face) for face in pixels]).reshape(len(pixels), -1).astype(np.float32)

    # Each distinct face once: its copies change no nearest neighbour, and the search is as much shorter.
    train = parts.train[np.unique(face_ids(parts.train.pixels), return_index=True)[1]]
    memoriser = KNeighborsClassifier(1, algorithm="brute").fit(thumbnails(train.pixels), train.emotion)
    return float(memoriser.score(thumbnails(test.pixels), test.emotion))
