"""The official split, the leaky one as an exhibit, and balancing of the training part."""
import warnings
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..errors import DataError
from ..labels import EMOTIONS
from .copies import clean_mask, face_ids
from .faceset import USAGES, FaceSet
from .grouped import LEAST_GROUPS, divide_groups, shared_groups

PROTOCOLS = ("official", "leaky")
"""Train on Training, choose on PublicTest, report PrivateTest; or over-sample everything and split afterwards."""
BALANCES = ("none", "over", "under", "smote", "class_weights")
"""Ways to make up for rare classes, in the training part only."""


@dataclass(frozen=True, eq=False)
class Split:
    """The labelled faces to train on, to choose a network by, and to report, each with its original usage."""

    train: FaceSet
    validation: FaceSet
    test: FaceSet  # empty where the data set has no labelled PrivateTest
    protocol: str
    balance: str  # what was done to `train`
    class_weight: dict[int, float] | None = None  # of the classes in the loss, for the balance "class_weights"

    @property
    def exhibit(self) -> bool:
        """Whether the split shows a mistake, so that no score on it may be compared with others."""
        return self.protocol == "leaky"

    @property
    def label(self) -> str:
        """What to call the split in a title or a table."""
        if self.exhibit:
            return "leaky split (exhibit: copies of one face on both sides)"
        held_out = self.chosen_by == "validation"
        if self.train.group is not None and not held_out:
            return "own parts, by person"
        return "official Training, a tenth of it held out to choose by" if held_out else "official split"

    @property
    def chosen_by(self) -> str:
        """What `validation` is: "PublicTest", "validation" where it was held out of Training, or "leaky test"."""
        if self.exhibit:
            return "leaky test"
        return "validation" if (self.validation.usage == "Training").any() else "PublicTest"

    @property
    def reported(self) -> FaceSet:
        """The faces that scores are reported on: `test`, or `validation` where there are no labelled test faces."""
        return self.test if len(self.test) else self.validation


def split(faces: FaceSet, protocol: str = "official", balance: str = "none", seed: int = 0) -> Split:
    """Divide faces into a training, a validation and a test part; unlabelled faces are in none.

    "official" trains on Training (balanced), validates on PublicTest and tests on PrivateTest. Where there is no
    labelled PublicTest, a tenth of Training is held out for validation, by class, identical faces staying together.
    Faces with groups (persons), all of them Training, are divided by group among all three parts (`divide_groups`).

    "leaky" is what projects A and E did, for the record: over-sample *all* labelled faces, then draw a tenth as test
    part (and validate on that). Most test faces then have a copy in the training part. It is an exhibit, and takes
    `balance` "over" only.

    An unknown `protocol` or `balance` is a `ValueError`; no or too few labelled Training faces are a `DataError`.

    >>> import fer_utils as fer
    >>> parts = split(fer.load("drawn:100"), balance="over")
    >>> parts.label, len(parts.test)
    ('official split', 10)
    """
    _check(protocol, PROTOCOLS, "protocol")
    _check(balance, BALANCES, "balance")
    if protocol == "leaky":
        return _leaky(faces, balance, seed)
    faces = divide_groups(faces)
    if shared := shared_groups(faces):
        warnings.warn(f"{faces.source}: {len(shared)} persons are in two parts of the data, such as {shared[0]!r}: "
                      "the scores flatter", stacklevel=2)
    train, validation, test = (faces[(faces.usage == usage) & faces.labelled] for usage in USAGES)
    if not len(train):
        raise DataError(f"{faces.source}: there are no labelled Training faces to train on; "
                        "the official protocol needs FER2013's Training part")
    if faces.group is not None and not len(validation):
        raise DataError(f"{faces.source}: the faces of {len(np.unique(faces.group))} persons are too few to keep some "
                        f"persons for the test; bring faces of {LEAST_GROUPS} at least, better of 20")
    if not len(validation):
        train, validation = _hold_out(train)
    weights = class_weights(train.emotion) if balance == "class_weights" else None
    return Split(_balanced(train, balance, seed), validation, test, protocol, balance, weights)


def _check(value: str, known: tuple[str, ...], what: str) -> None:
    if value not in known:
        raise ValueError(f"unknown {what} {value!r}; known: {', '.join(known)}")


def _hold_out(train: FaceSet) -> tuple[FaceSet, FaceSet]:
    """Return Training without a tenth, and that tenth; all copies of a face are on one side."""
    from sklearn.model_selection import StratifiedGroupKFold

    ids = face_ids(train.pixels)
    n_folds = min(10, len(np.unique(ids)), np.bincount(train.emotion).max())
    if n_folds < 2:
        raise DataError(f"{train.source}: {len(train)} Training faces are too few to hold some out for validation; "
                        "give a data set with a labelled PublicTest, or more faces")
    # Always the same tenth, because networks of several seeds are compared on it, and teach one another.
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # A class with fewer than ten faces is not in each tenth: that is known, and no reason to stop.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        kept, held_out = next(folds.split(ids, train.emotion, ids))
    return train[kept], train[held_out]


def _leaky(faces: FaceSet, balance: str, seed: int) -> Split:
    from sklearn.model_selection import train_test_split

    if balance != "over":
        raise ValueError(f"the leaky protocol over-samples everything before it splits, so balance must be 'over', "
                         f"not {balance!r}")
    rows = np.flatnonzero(faces.labelled)
    rows = rows[_sampled_rows(faces.emotion[rows], "over", seed)]
    try:
        train, test = train_test_split(rows, test_size=0.1, stratify=faces.emotion[rows], random_state=seed)
    except ValueError as error:
        raise DataError(f"{faces.source}: {len(rows)} labelled faces are too few for the leaky protocol's split of "
                        f"each class ({error})") from None
    return Split(faces[train], faces[test], faces[test], "leaky", balance)


def report_part(faces: FaceSet) -> tuple[str, FaceSet, np.ndarray | None]:
    """Return the usage that scores are reported on, its labelled faces, and which of them are clean (`clean_mask`).

    The usage is "PrivateTest". Where the data has no labels for it (the challenge's files, project C's folders) it is
    the part that training chose by, which flatters: "PublicTest", or "validation" where that was held out of Training;
    then the clean ones are None.
    """
    part = split(faces).reported
    usage = str(part.usage[0])
    return "validation" if usage == "Training" else usage, part, clean_mask(faces, usage, labelled=True)


def balance(pixels: np.ndarray, emotion: np.ndarray, how: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make classes equally frequent with imbalanced-learn; returns pixels, uint8 (M, H, W), and labels.

    "over" repeats random faces of the rarer classes, "under" drops random faces of the more frequent ones, "smote" adds
    faces between a face and one of its five nearest neighbours of its class, fewer in a tiny class (Chawla et al.,
    "SMOTE: Synthetic minority over-sampling technique", JAIR 16, 2002). "none" and "class_weights" change nothing. The
    given faces come first for "over" and "smote", and stay in order for "under".
    """
    _check(how, BALANCES, "balance")
    labels, counts = np.unique(emotion, return_counts=True)
    if how in ("none", "class_weights") or len(labels) < 2:  # imbalanced-learn refuses a single class
        return pixels, emotion
    if how in ("over", "under"):
        rows = _sampled_rows(emotion, how, seed)
        return pixels[rows], emotion[rows]
    if counts.min() < 2:
        raise ValueError(f"SMOTE makes faces between two of a class, but there is a single face of "
                         f"{EMOTIONS[labels[counts.argmin()]]}; use balance 'over' or more faces")
    from imblearn.over_sampling import SMOTE

    sampler = SMOTE(random_state=seed, k_neighbors=min(5, counts.min() - 1))
    flat, emotion = sampler.fit_resample(pixels.reshape(len(pixels), -1).astype(np.float32), emotion)
    return np.clip(np.rint(flat), 0, 255).astype(np.uint8).reshape(-1, *pixels.shape[1:]), emotion


def _sampled_rows(emotion: np.ndarray, how: str, seed: int) -> np.ndarray:
    """Return which rows over- or under-sampling takes; rows cost less memory than faces."""
    if len(np.unique(emotion)) < 2:
        return np.arange(len(emotion))  # one class is balanced, and imbalanced-learn refuses it
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler

    sampler = (RandomOverSampler if how == "over" else RandomUnderSampler)(random_state=seed)
    sampler.fit_resample(np.arange(len(emotion))[:, None], emotion)
    rows = sampler.sample_indices_
    return rows if how == "over" else np.sort(rows)


def _balanced(train: FaceSet, how: str, seed: int) -> FaceSet:
    if how in ("over", "under"):
        return train[_sampled_rows(train.emotion, how, seed)]
    pixels, emotion = balance(train.pixels, train.emotion, how, seed)
    if len(emotion) == len(train):
        return train
    return replace(train, pixels=pixels, emotion=emotion, usage=np.full(len(emotion), "Training"), votes=None,
                   group=None)  # SMOTE's faces were never seen by an annotator


def class_weights(emotion: np.ndarray) -> dict[int, float]:
    """Weight classes by N / (classes present × their faces), 0 without faces; over all faces the mean is 1."""
    counts = np.bincount(emotion, minlength=len(EMOTIONS))
    present = int(np.count_nonzero(counts))
    return {label: len(emotion) / (present * n) if n else 0.0 for label, n in enumerate(counts.tolist())}


def leak_count(parts: Split) -> int:
    """Count the test faces (`Split.reported`) that are byte for byte in the training part (291; leaky: thousands)."""
    ids = face_ids(np.concatenate([parts.train.pixels, parts.reported.pixels]))
    return int(np.isin(ids[len(parts.train):], ids[:len(parts.train)]).sum())


def memoriser_accuracy(parts: Split, size: int = 16, limit: int | None = None, seed: int = 0,
                       test: FaceSet | None = None) -> float:
    """Return the accuracy (0 to 1) of a memoriser, which says the label of the training face that is most alike.

    One nearest neighbour, by the Euclidean distance of thumbnails of `size` pixels, on `test` (by default
    `Split.reported`), or on `limit` random faces of it. It shows the leak without any training: on FER2013 it scores
    81.0 % on the leaky split, where projects A and E published 81.39 % and 81.07 %. On the official split it scores
    40.6 %, and 26.0 % on those of its faces that are not in Training, which is less than by calling them all happy
    (30.7 %).
    """
    from sklearn.neighbors import KNeighborsClassifier

    test = parts.reported if test is None else test
    if limit is not None and limit < len(test):
        test = test[np.sort(np.random.default_rng(seed).choice(len(test), limit, replace=False))]

    def thumbnails(faces: FaceSet) -> np.ndarray:
        small = [cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA) for face in faces.pixels]
        return np.reshape(small, (len(faces), -1)).astype(np.float32)

    # Each distinct face once: copies change no nearest neighbour, and the search is shorter without them.
    train = parts.train[np.unique(face_ids(parts.train.pixels), return_index=True)[1]]
    memoriser = KNeighborsClassifier(1, algorithm="brute").fit(thumbnails(train), train.emotion)
    return float(memoriser.score(thumbnails(test), test.emotion))
