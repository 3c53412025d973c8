"""`FaceSet`: faces with their labels and their official parts."""
import hashlib
from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class FaceSet:
    """Hold faces with their labels and their official parts.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (N, 48, 48)
        Gray faces, 0 black to 255 white.
    emotion : ndarray of int8, shape (N,)
        Labels 0 to 6 in the order of `EMOTIONS`; -1 where the label is not known.
    usage : ndarray of str, shape (N,)
        ``Training``, ``PublicTest``, ``PrivateTest``, or ``Test`` for faces without labels.
    source : str
        The file or folder they were read from, or "drawn faces".
    layout : str
        "fer2013.csv", "icml", "challenge", "folders", "validation", "arrays" or "drawn".

    Raises
    ------
    DataError
        When shapes, dtypes, labels or usages are not as above.
    """

    pixels: np.ndarray
    emotion: np.ndarray
    usage: np.ndarray
    source: str
    layout: str

    def __post_init__(self):
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
        wrong = np.flatnonzero(~np.isin(self.usage, (*USAGES, UNLABELLED_USAGE)))
        if wrong.size:
            raise DataError(f"{self.source}, face {wrong[0]}: unknown usage {str(self.usage[wrong[0]])!r}; "
                            f"the usages are {', '.join(USAGES)} and {UNLABELLED_USAGE}")

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, keep):
        """Return the faces of a mask, of indices or of a slice as a `FaceSet`."""
        if isinstance(keep, (int, np.integer)):
            keep = [keep]
        return FaceSet(self.pixels[keep], self.emotion[keep], self.usage[keep], self.source, self.layout)

    @property
    def labelled(self):
        """Mask of the faces whose emotion is known, bool (N,)."""
        return self.emotion != UNLABELLED

    @property
    def drawn(self):
        """Whether the faces are drawn ones and not FER2013."""
        return self.layout == "drawn"

    @property
    def title(self):
        """What to call the faces in a figure's title."""
        return "drawn faces, not FER2013" if self.drawn else "FER2013"

    def usages(self):
        """Return the usages present, in official order."""
        return [usage for usage in (*USAGES, UNLABELLED_USAGE) if (self.usage == usage).any()]

    def of(self, usage, *, labelled=False):
        """Return the faces of one usage.

        Parameters
        ----------
        usage : str
            One of `USAGES`, or "Test".
        labelled : bool
            Whether every face must have a label, as it must for training and for evaluation.

        Returns
        -------
        FaceSet

        Raises
        ------
        DataError
            When there are no faces of this usage, or when labels are asked for and there are none.
        """
        part = self[self.usage == usage]
        if len(part) and (part.labelled.all() or not labelled):
            return part
        there = ", ".join(f"{name} ({(self.usage == name).sum():,} faces"
                          f"{'' if self.labelled[self.usage == name].all() else ', unlabelled'})"
                          for name in self.usages())
        wrong = f"the {usage} faces have no labels" if len(part) else f"there are no {usage} faces"
        raise DataError(f"{self.source}: {wrong}; there: {there or 'none'}. "
                        "The challenge's train.csv and test.csv hold labels for Training only: "
                        "use fer2013.csv or icml_face_data.csv, which hold the labels of all three usages")

    def counts(self):
        """Return how many faces each class has in each usage.

        Returns
        -------
        DataFrame of int
            Rows `EMOTIONS`, columns the usages present. Unlabelled faces are in no row, so a column may be all 0.
        """
        return pd.DataFrame({usage: np.bincount(self.emotion[(self.usage == usage) & self.labelled],
                                                minlength=N_CLASSES) for usage in self.usages()},
                            index=list(EMOTIONS))

    def fingerprint(self):
        """Return the SHA-256, in hex, of pixels, labels and usages in their order."""
        digest = hashlib.sha256()
        for array in (self.pixels, self.emotion, self.usage):
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()
