"""`FaceSet`: faces with their labels and their official parts."""
import hashlib
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from ..errors import DataError
from ..labels import EMOTIONS, N_CLASSES, UNLABELLED

USAGES = ("Training", "PublicTest", "PrivateTest")
"""The official parts: train on the first, choose by the second, report the third."""
UNLABELLED_USAGE = "Test"
"""The usage given to the challenge's ``test.csv``, whose labels Kaggle withheld."""
SIZE = 48
"""Width and height of a face, in pixels."""
FER2013_COUNTS = ((3995, 436, 4097, 7215, 4830, 3171, 4965),
                  (467, 56, 496, 895, 653, 415, 607),
                  (491, 55, 528, 879, 594, 416, 626))
"""Faces of FER2013 in each usage (rows, as `USAGES`) and class (columns, as `EMOTIONS`)."""
_FER2013_UNLABELLED = 7178  # faces of the challenge's test.csv


@dataclass(frozen=True, eq=False)
class FaceSet:
    """Faces with their labels and their official parts; a `DataError` says which shape, dtype or value is wrong."""

    pixels: np.ndarray  # gray faces, uint8 (N, 48, 48)
    emotion: np.ndarray  # labels, int8 (N,): 0 to 6 in the order of `EMOTIONS`, -1 where not known
    usage: np.ndarray  # str (N,): "Training", "PublicTest", "PrivateTest", or "Test" for faces without labels
    source: str  # the file or folder they were read from, or "drawn faces"
    layout: str  # "fer2013.csv", "icml", "challenge", "folders", "validation", "arrays" or "drawn"
    fer2013: bool = False  # whether they are faces of FER2013
    left_out: tuple[str, ...] = ()  # lines: how many files of the source were not read, which, and why
    votes: np.ndarray | None = None  # FER+'s votes, int (N, 10), where `ferplus.with_votes` added them
    group: np.ndarray | None = None  # str (N,), the person or photo of each face, if told: a split divides no group

    def __post_init__(self) -> None:
        n = len(self.pixels) if self.pixels.ndim else 0
        if self.pixels.shape != (n, SIZE, SIZE) or self.pixels.dtype != np.uint8:
            raise DataError(f"{self.source}: pixels are {self.pixels.dtype} {self.pixels.shape}, "
                            f"not uint8 (N, {SIZE}, {SIZE}); scale and resize them first")
        object.__setattr__(self, "usage", np.asarray(self.usage, dtype="<U11"))
        if self.emotion.shape != (n,) or self.usage.shape != (n,):
            raise DataError(f"{self.source}: {n} faces but {self.emotion.shape} labels and {self.usage.shape} usages; "
                            "give one of each per face")
        if self.emotion.dtype.kind not in "iu":
            raise DataError(f"{self.source}: labels are {self.emotion.dtype}, not integers 0 to {N_CLASSES - 1}")
        wrong = np.flatnonzero((self.emotion.astype(np.int64) < UNLABELLED) | (self.emotion >= N_CLASSES))
        if wrong.size:
            raise DataError(f"{self.source}, face {wrong[0]}: emotion {self.emotion[wrong[0]]} is outside "
                            f"0–{N_CLASSES - 1} (or {UNLABELLED} for unlabelled)")
        object.__setattr__(self, "emotion", self.emotion.astype(np.int8))
        for name in ("votes", "group"):
            more = getattr(self, name)
            if more is not None and len(more) != n:
                raise DataError(f"{self.source}: {n} faces, but {name} of {len(more)}; give one of each per face")
        wrong = np.flatnonzero(~np.isin(self.usage, (*USAGES, UNLABELLED_USAGE)))
        if wrong.size:
            raise DataError(f"{self.source}, face {wrong[0]}: unknown usage {str(self.usage[wrong[0]])!r}; "
                            f"the usages are {', '.join(USAGES)} and {UNLABELLED_USAGE}")

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, keep: int | slice | list[int] | np.ndarray) -> "FaceSet":
        """Return the faces of a mask, of indices or of a slice."""
        rows = [keep] if isinstance(keep, (int, np.integer)) else keep
        return replace(self, pixels=self.pixels[rows], emotion=self.emotion[rows], usage=self.usage[rows],
                       votes=None if self.votes is None else self.votes[rows],
                       group=None if self.group is None else self.group[rows])

    @property
    def labelled(self) -> np.ndarray:
        """Mask of the faces whose emotion is known, bool (N,)."""
        return self.emotion != UNLABELLED

    @property
    def drawn(self) -> bool:
        """Whether the faces are drawn ones and not FER2013."""
        return self.layout == "drawn"

    @property
    def title(self) -> str:
        """What to call the faces in a figure's title."""
        return "drawn faces, not FER2013" if self.drawn else "FER2013" if self.fer2013 else "own faces"

    def usages(self) -> list[str]:
        """Return the usages present, in official order."""
        return [usage for usage in (*USAGES, UNLABELLED_USAGE) if (self.usage == usage).any()]

    def of(self, usage: str, *, labelled: bool = False) -> "FaceSet":
        """Return the faces of one usage; a `DataError` says that there are none, or no labels asked for."""
        part = self[self.usage == usage]
        if len(part) and (part.labelled.all() or not labelled):
            return part
        masks = {name: self.usage == name for name in self.usages()}
        there = ", ".join(f"{name} ({mask.sum():,} faces{'' if self.labelled[mask].all() else ', unlabelled'})"
                          for name, mask in masks.items())
        wrong = f"the {usage} faces have no labels" if len(part) else f"there are no {usage} faces"
        raise DataError(f"{self.source}: {wrong}; there: {there or 'none'}. "
                        "The challenge's train.csv and test.csv hold labels for Training only: "
                        "use fer2013.csv or icml_face_data.csv, which hold the labels of all three usages")

    def counts(self) -> pd.DataFrame:
        """Return how many labelled faces each class (rows) has in each usage present (columns)."""
        return pd.DataFrame({usage: np.bincount(self.emotion[(self.usage == usage) & self.labelled],
                                                minlength=N_CLASSES) for usage in self.usages()},
                            index=list(EMOTIONS))

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, of pixels, labels, usages and groups in their order."""
        digest = hashlib.sha256()
        for array in (self.pixels, self.emotion, self.usage):
            digest.update(np.ascontiguousarray(array).data)
        if self.group is not None:
            digest.update("\n".join(map(str, self.group)).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def has_fer2013_counts(emotion: np.ndarray) -> bool:
    """Return whether labels, int (N,), are those of all of FER2013 or of some of its parts, by the faces of each class.

    Its layouts hold the same faces, but some in another order, or compressed as JPEG.
    """
    known = emotion[emotion != UNLABELLED]
    counts = np.bincount(known, minlength=N_CLASSES)
    parts = (some for n in range(4) for some in combinations(np.array(FER2013_COUNTS), n))
    return (len(emotion) > 0 and len(emotion) - len(known) in (0, _FER2013_UNLABELLED)
            and any((counts == sum(some)).all() for some in parts))
