"""Drawn faces in FER2013's shape: what the notebooks run on when there is no data set.

Every face is drawn from parameters, none is taken from a photograph. Facial action units (`drawing.person`) move the
outlines of brows, eyes and mouth, and the relief under them that the light falls on. Person, pose, light, lens and what
hides a part of the face say nothing about the emotion. `draw_faces` also plants the flaws of FER2013 itself, so that
the audit has something to find.
"""
import cv2
import numpy as np

from ..labels import EMOTIONS, N_CLASSES, emotion_index
from .drawing.canvas import SUPERSAMPLE, background, paint_shapes, photograph, relief_light
from .drawing.person import Person, Pose, random_units
from .drawing.shapes import crease_shapes, face_shapes, relief_bumps
from .faceset import USAGES, FaceSet

FER2013_COUNTS = ((3995, 436, 4097, 7215, 4830, 3171, 4965),
                  (467, 56, 496, 895, 653, 415, 607),
                  (491, 55, 528, 879, 594, 416, 626))
"""Faces of FER2013 in each usage (rows, as `USAGES`) and class (columns, as `EMOTIONS`)."""
# Counted on FER2013 itself: its flaws, which `draw_faces` plants in proportion.
FER2013_FACES = 35_887
FER2013_EXACT_COPIES = 1_855
FER2013_TEST_FACES_IN_TRAINING = {"PublicTest": 281, "PrivateTest": 291}
FER2013_CONFLICTING_GROUPS = 59
FER2013_BLANK_FACES = 13
NEAR_DUPLICATES = 0.015
"""Share of the drawn rows that are a slightly shifted, brighter or recompressed version of a Training face."""
MIN_FACES_FOR_FLAWS = 200
"""Smaller sets are drawn without planted flaws: one blank face could be all there is of a class."""


def draw_face(emotion: str | int, rng: np.random.Generator | int, size: int = 48) -> np.ndarray:
    """Draw one gray face that shows an emotion, a name or label of `EMOTIONS`: uint8 (size, size), size at least 16.

    All that varies comes from `rng` or its seed; framing, brightness and contrast are spread as in FER2013.

    >>> draw_face("happy", 0).shape
    (48, 48)
    """
    label = emotion_index(emotion)
    if label is None:
        raise ValueError(f"draw_face: no emotion {emotion!r}; choose one of {', '.join(EMOTIONS)}, "
                         f"or a label from 0 to {N_CLASSES - 1}")
    if size < 16:
        raise ValueError(f"draw_face: size is {size}; a face needs at least 16 pixels")
    rng = np.random.default_rng(rng)
    units, person, pose = random_units(EMOTIONS[label], rng), Person(rng), Pose(rng)
    canvas = np.zeros((size * SUPERSAMPLE, size * SUPERSAMPLE, 3), np.uint8)  # tone, skin, hair
    canvas[..., 0] = background(size * SUPERSAMPLE, rng)
    paint_shapes(canvas, face_shapes(person, units, rng), pose)
    creases = np.zeros((2 * size, 2 * size), np.uint8)
    paint_shapes(creases, crease_shapes(person, units), pose)
    return photograph(canvas, creases, relief_light(relief_bumps(person, units), pose, rng), pose, rng)


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
    n = len(pixels)
    training = np.flatnonzero(usage == "Training")
    # The first Training face of each class is never overwritten: every class keeps an original to copy.
    first = [training[emotion[training] == label][0] for label in range(N_CLASSES)]
    in_training = rng.permutation(np.setdiff1d(training, first))
    in_test = {name: rng.permutation(np.flatnonzero(usage == name)) for name in FER2013_TEST_FACES_IN_TRAINING}

    n_leaked = {name: round(len(rows) * FER2013_TEST_FACES_IN_TRAINING[name] / sum(FER2013_COUNTS[USAGES.index(name)]))
                for name, rows in in_test.items()}
    n_relabelled = max(2, round(n * FER2013_CONFLICTING_GROUPS / FER2013_FACES))
    n_same = round(n * FER2013_EXACT_COPIES / FER2013_FACES) - n_relabelled - sum(n_leaked.values())
    n_blank = max(2, round(n * FER2013_BLANK_FACES / FER2013_FACES))

    relabelled, same, blank, rest = np.split(in_training, np.cumsum([n_relabelled, n_same, n_blank]))
    copies = np.concatenate([same, *(rows[:n_leaked[name]] for name, rows in in_test.items())])
    rest = np.concatenate([rest, *(rows[n_leaked[name]:] for name, rows in in_test.items())])
    near = rng.choice(rest, round(n * NEAR_DUPLICATES), replace=False)

    originals = np.setdiff1d(training, np.concatenate([relabelled, copies, blank, near]))
    of_class = [originals[emotion[originals] == label] for label in range(N_CLASSES)]
    for row in copies:
        pixels[row] = pixels[rng.choice(of_class[emotion[row]])]
    taken: list[int] = []
    for row in relabelled:  # no source twice, so that each makes one group of conflicting labels
        others = originals[emotion[originals] != emotion[row]]
        taken.append(rng.choice(np.setdiff1d(others, taken)))
        pixels[row] = pixels[taken[-1]]
    for row in near:
        pixels[row] = _nearly_same(pixels[rng.choice(of_class[emotion[row]])], rng)
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
