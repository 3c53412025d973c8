"""Drawn faces in FER2013's shape: what the notebooks run on when there is no data set.

None is taken from a photograph (`drawn_face`). `draw_faces` plants the flaws of FER2013 too, so that the audit has
something to find.
"""
import cv2
import numpy as np

from ..labels import N_CLASSES
from .drawn_face import draw_face
from .faceset import FER2013_COUNTS, USAGES, FaceSet

FER2013_FACES = 35_887
# Flaws of FER2013, counted on it: `draw_faces` plants them in proportion.
FER2013_EXACT_COPIES = 1_855
FER2013_TEST_FACES_IN_TRAINING = {"PublicTest": 281, "PrivateTest": 291}
FER2013_CONFLICTING_GROUPS = 59
FER2013_BLANK_FACES = 13
NEAR_DUPLICATES = 0.015
"""Share of the drawn rows that are a slightly shifted, brighter or recompressed version of a Training face."""
MIN_FACES_FOR_FLAWS = 200
"""Smaller sets are drawn without planted flaws: one blank face could be all there is of a class."""


def draw_faces(n: int = 3000, seed: int = 0) -> FaceSet:
    """Draw a set of faces in FER2013's shape, with its class imbalance, its usages and its flaws.

    Usage × class counts are FER2013's, scaled to `n` and rounded by largest remainder, but at least one from 21 faces
    on, and two from 200 on. Training, PublicTest and PrivateTest follow one another, shuffled within. One seed gives
    one set on one machine. From 200 faces on FER2013's flaws are planted too (all copies are of Training faces):

    - exact copies: 5.2 % of the rows, among them 7.8 % of PublicTest, 8.1 % of PrivateTest, and in Training at least
      two with another label than the face they copy (59 groups in 35,887 rows);
    - blank faces of one gray level each: 13 in 35,887 rows, at least two, in Training;
    - near copies: 1.5 % of the rows, a face shifted by a pixel, a little brighter or darker, or recompressed.
    """
    if n < 1:
        raise ValueError(f"draw_faces: n is {n}; ask for at least one face")
    rng = np.random.default_rng(seed)
    counts = _counts(n)
    emotion = np.concatenate([rng.permutation(np.repeat(np.arange(N_CLASSES, dtype=np.int8), row)) for row in counts])
    usage = np.repeat(USAGES, counts.sum(axis=1))
    pixels = np.stack([draw_face(label, rng) for label in emotion])
    if n >= MIN_FACES_FOR_FLAWS:
        _plant_flaws(pixels, emotion, usage, rng)
    return FaceSet(pixels, emotion, usage, source="drawn faces", layout="drawn")


def _counts(n: int) -> np.ndarray:
    """Share n faces out to usages (rows) and classes (columns) as FER2013 does, by largest remainder."""
    share = np.array(FER2013_COUNTS)
    least = 2 if n >= MIN_FACES_FOR_FLAWS else 1 if n >= share.size else 0
    quota = n * share / share.sum()
    # Cells below the minimum get it, and the others share what is left, until no other cell falls below.
    free = np.full(share.shape, True)
    while (below := free & (quota < least)).any():
        free &= ~below
        quota = np.where(free, (n - least * (~free).sum()) * share / max(share[free].sum(), 1), 0)
    counts = np.where(free, np.floor(quota), least).astype(int)
    remainder = np.where(free, quota - np.floor(quota), -1)
    counts.flat[np.argsort(-remainder, axis=None, kind="stable")[:n - counts.sum()]] += 1
    return counts


def _plant_flaws(pixels: np.ndarray, emotion: np.ndarray, usage: np.ndarray, rng: np.random.Generator) -> None:
    """Overwrite some rows of `pixels`; labels and usages, and with them the counts, stay as they are."""
    whole = {name: rng.permutation(np.flatnonzero(usage == name)) for name in USAGES}
    # The first Training face of each class is never overwritten: every class keeps an original to copy.
    training = whole["Training"]
    whole["Training"] = np.delete(training, np.unique(emotion[training], return_index=True)[1])

    def in_proportion(count: int, least: int = 0) -> int:
        return max(least, round(len(pixels) * count / FER2013_FACES))

    def take(name: str, count: int) -> np.ndarray:
        rows, whole[name] = np.split(whole[name], [count])
        return rows

    leaked = np.concatenate([take(name, in_proportion(n)) for name, n in FER2013_TEST_FACES_IN_TRAINING.items()])
    relabelled = take("Training", in_proportion(FER2013_CONFLICTING_GROUPS, least=2))
    blank = take("Training", in_proportion(FER2013_BLANK_FACES, least=2))
    same = take("Training", in_proportion(FER2013_EXACT_COPIES) - len(leaked) - len(relabelled))
    near = rng.choice(np.concatenate(list(whole.values())), round(len(pixels) * NEAR_DUPLICATES), replace=False)
    originals = np.setdiff1d(training, np.concatenate([relabelled, blank, same, near]))
    for row in np.concatenate([leaked, same]):
        pixels[row] = pixels[rng.choice(originals[emotion[originals] == emotion[row]])]
    for row in near:
        pixels[row] = _nearly_same(pixels[rng.choice(originals[emotion[originals] == emotion[row]])], rng)
    for row in relabelled:  # no original twice, so that each makes one group of conflicting labels
        original = rng.choice(originals[emotion[originals] != emotion[row]])
        pixels[row] = pixels[original]
        originals = originals[originals != original]
    for row, level in zip(blank, rng.permutation(256)):  # 256 blank faces that differ are enough for 700,000 rows
        pixels[row] = level


def _nearly_same(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift a face by a pixel, change its brightness, or recompress it."""
    kind = rng.integers(3)
    if kind == 0:
        left, top = ((2, 1), (0, 1), (1, 2), (1, 0))[rng.integers(4)]
        return np.pad(face, 1, mode="edge")[top:top + len(face), left:left + len(face)]
    if kind == 1:
        step = int(rng.integers(4, 13) * rng.choice((-1, 1)))
        return np.clip(face.astype(np.int16) + step, 0, 255).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", face, (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 90))))[1]
    return cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)  # type: ignore[return-value]  # just encoded, so never None
