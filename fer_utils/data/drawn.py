"""Drawn faces in FER2013's shape: what the notebooks run on when there is no data set.

Every face is drawn from parameters, none is taken from a photograph. An expression is a row of facial action units
(Ekman & Friesen, *Facial Action Coding System*, 1978; the prototypes follow their EMFACS table): how far the brows,
lids, cheeks and lips have moved from rest. The units move the outlines of brows, eyes and mouth, and the relief
under them that the light falls on. Who it is, how the head is held, the light, the lens and what stands in the way
are drawn at random and tell nothing about the emotion.

`draw_faces` also plants the flaws that FER2013 itself has (copies across usages, copies with another label, blank
faces), in FER2013's proportions, so that the audit has something to find.
"""
from types import SimpleNamespace

import cv2
import numpy as np

from ..labels import EMOTIONS, N_CLASSES, emotion_index
from .canvas import SUPERSAMPLE, paint_background, paint_shapes, photograph
from .faceset import USAGES, FaceSet
from .portrait import (
    BROW_Y,
    CHIN_Y,
    EYE_X,
    EYE_Y,
    HAIR_SHARES,
    HAIR_STYLES,
    MOUTH_Y,
    NOSE_Y,
    behind_shapes,
    brow_shapes,
    crease_shapes,
    eye_shapes,
    front_hair_shapes,
    glasses_shapes,
    head_shapes,
    mouth_shapes,
    nose_shapes,
    occluder_shapes,
    relief_light,
)

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
# Facial action units, 0 at rest and 1 fully shown; brows, lids and corners also go below rest.
#   inner, outer: ends of the brows up (AU 1, 2; below 0: AU 4)   gather: brows drawn together (AU 4)
#   lids: upper lids up (AU 5; below 0: drooping)   squint: lower lids tight (AU 7)   cheeks: AU 6
#   wrinkle: nose wrinkled (AU 9)   upper: upper lip up (AU 10)   corners: lip corners up (AU 12; below 0: AU 15)
#   stretch: mouth wide (AU 20; below 0: narrow)   open: jaw down (AU 26, 27)   press: lips tight (AU 23, 24)
#   square: lips funnelled so that both rows of teeth show (AU 22)   skew: one side of the face stronger
UNITS = ("inner", "outer", "gather", "lids", "squint", "cheeks", "wrinkle", "upper", "corners", "stretch", "open",
         "press", "square", "skew")
PROTOTYPES = {
    "angry": (
        dict(inner=-1, outer=0.1, gather=1, squint=0.5, corners=-0.4, stretch=-0.15, press=1),
        dict(inner=-1, outer=0.2, gather=1, lids=0.3, wrinkle=0.35, upper=0.4, stretch=0.15, open=0.55, square=1),
    ),
    "disgust": (
        dict(inner=-0.6, outer=-0.45, gather=0.4, lids=-0.3, squint=0.9, cheeks=0.4, wrinkle=1, upper=1, corners=-0.55,
             open=0.12, skew=1),
        dict(inner=-0.6, outer=-0.5, gather=0.3, lids=-0.5, squint=1, cheeks=0.5, wrinkle=1, upper=1, corners=-0.75,
             stretch=-0.1, open=0.32, skew=0.6),
    ),
    "fear": (
        dict(inner=1, outer=0.15, gather=0.8, lids=0.85, corners=-0.3, stretch=0.9, open=0.3, square=0.4),
        dict(inner=1, outer=0.2, gather=0.8, lids=1, corners=-0.45, stretch=0.55, open=0.6, square=0.5),
    ),
    "happy": (
        dict(squint=0.45, cheeks=0.7, corners=1, stretch=0.4),
        dict(squint=0.5, cheeks=0.9, corners=1, stretch=0.6, open=0.3, upper=0.15),
        dict(inner=0.15, outer=0.2, squint=0.7, cheeks=1, corners=1, stretch=0.55, open=0.65),
    ),
    "sad": (
        dict(inner=0.9, outer=-0.7, gather=0.4, lids=-0.45, corners=-1, stretch=-0.1, press=0.15),
        dict(inner=0.8, outer=-0.8, gather=0.6, lids=-0.5, squint=0.6, cheeks=0.3, corners=-1, stretch=0.15, open=0.3),
    ),
    "surprise": (
        dict(inner=0.9, outer=1, lids=0.9, stretch=-0.5, open=1),
        dict(inner=0.9, outer=1, lids=0.9, stretch=-0.4, open=0.6),
    ),
    "neutral": (dict(),),
}
"""How each emotion may show: action units by name, those not named at rest."""
SUBTLE, MIXED, HABIT = 0.08, 0.06, 0.08
"""Shares of faces that hardly show their emotion or mix it with another; spread of the units at rest."""
_PROTOTYPE_VALUES = {emotion: np.array([[variant.get(unit, 0.0) for unit in UNITS] for variant in variants])
                     for emotion, variants in PROTOTYPES.items()}


def draw_face(emotion, rng, size=48):
    """Draw one gray face that shows an emotion.

    Parameters
    ----------
    emotion : str or int
        A class of `EMOTIONS`, by name or label.
    rng : numpy.random.Generator or int
        Source of everything that varies, or a seed for one. One state gives one face.
    size : int
        Side of the picture in pixels, at least 16.

    Returns
    -------
    uint8 array (size, size)
        0 is black. Framing, brightness and contrast are spread as in FER2013.

    Raises
    ------
    ValueError
        If the emotion is none of FER2013's seven, or the size is below 16.
    """
    label = emotion_index(emotion)
    if label is None:
        raise ValueError(f"draw_face: no emotion {emotion!r}; choose one of {', '.join(EMOTIONS)}, "
                         f"or a label from 0 to {N_CLASSES - 1}")
    if size < 16:
        raise ValueError(f"draw_face: size is {size}; a face needs at least 16 pixels")
    rng = np.random.default_rng(rng)
    units = _expression(EMOTIONS[label], rng)
    person = _person(rng)
    pose = _pose(rng)

    canvas = np.zeros((size * SUPERSAMPLE, size * SUPERSAMPLE, 3), np.uint8)  # tone, skin, hair
    canvas[..., 0] = paint_background(size * SUPERSAMPLE, rng)
    paint_shapes(canvas, [*behind_shapes(person), *head_shapes(person, units), *eye_shapes(person, units, rng), *nose_shapes(person, units),
                    *mouth_shapes(person, units), *brow_shapes(person, units), *front_hair_shapes(person), *glasses_shapes(rng),
                    *occluder_shapes(person, rng)], pose)
    creases = np.zeros((2 * size, 2 * size), np.uint8)
    paint_shapes(creases, crease_shapes(person, units), pose)
    return photograph(canvas, creases, relief_light(person, units, pose, rng), pose, rng)


def draw_faces(n=3000, seed=0):
    """Draw a set of faces in FER2013's shape, with its class imbalance, its usages and its flaws.

    Usage × class counts are FER2013's, scaled to `n` and rounded by largest remainder; from 21 faces on there is at
    least one of each class in each usage, from 200 on at least two.

    From 200 faces on, FER2013's own flaws are planted in its proportions, so that an audit has something to find.
    Every source stands in Training:

    - exact copies: 5.2 % of the rows; 7.8 % of PublicTest and 8.1 % of PrivateTest stand in Training,
      the other copies within Training;
    - of those within Training, at least two are labelled with another emotion than the face they copy
      (59 groups in 35,887 rows);
    - blank faces of one gray level each: 13 in 35,887 rows, at least two, in Training;
    - near-duplicates: 1.5 % of the rows, in any usage, are a Training face shifted by a pixel, a little brighter or
      darker, or recompressed.

    Parameters
    ----------
    n : int
        Number of faces, at least 1. `FER2013_FACES` gives exactly FER2013's counts.
    seed : int
        One seed gives one set on one machine.

    Returns
    -------
    FaceSet
        Of layout "drawn" and source "drawn faces": pixels uint8 (n, 48, 48), emotion int8 (n,), usage (n,).
        Training, PublicTest and PrivateTest follow one another, shuffled within.

    Raises
    ------
    ValueError
        If `n` is below 1.
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


def _counts(n):
    """Share n faces out to usages (rows) and classes (columns) as FER2013 does, by largest remainder."""
    share = np.array(FER2013_COUNTS)
    least = 2 if n >= MIN_FACES_FOR_FLAWS else 1 if n >= share.size else 0
    quota = n * share / share.sum()
    # Cells below the minimum get it, and the others share what is left, until no other cell falls below.
    counts = np.full(share.shape, least)
    free = quota >= least
    while True:
        quota = np.where(free, (n - least * (~free).sum()) * share / max(share[free].sum(), 1), 0)
        below = free & (quota < least)
        if not below.any():
            break
        free &= ~below
    counts[free] = np.floor(quota[free])
    missing = n - counts.sum()
    remainder = np.where(free, quota - np.floor(quota), -1)
    counts.flat[np.argsort(-remainder, axis=None, kind="stable")[:missing]] += 1
    return counts


def _plant_flaws(pixels, emotion, usage, rng):
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
    taken = []
    for row in relabelled:  # no source twice, so that each makes one group of conflicting labels
        others = originals[emotion[originals] != emotion[row]]
        taken.append(rng.choice(np.setdiff1d(others, taken)))
        pixels[row] = pixels[taken[-1]]
    for row in near:
        pixels[row] = _nearly_same(pixels[rng.choice(of_class[emotion[row]])], rng)
    for row, level in zip(blank, rng.permutation(256)):  # 256 blank faces that differ are enough for 700,000 rows
        pixels[row] = level


def _nearly_same(face, rng):
    """Shift a face by a pixel, change its brightness, or recompress it."""
    kind = rng.integers(3)
    if kind == 0:
        dx, dy = ((-1, 0), (1, 0), (0, -1), (0, 1))[rng.integers(4)]
        warp = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        return cv2.warpAffine(face, warp, face.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    if kind == 1:
        return cv2.add(face, float(rng.integers(4, 13) * rng.choice((-1, 1))))
    return cv2.imdecode(cv2.imencode(".jpg", face, (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 90))))[1],
                        cv2.IMREAD_GRAYSCALE)


def _expression(emotion, rng):
    """Action units of one face: a prototype of the emotion, weak or strong, at times mixed with another."""
    variants = PROTOTYPES[emotion]
    values = _PROTOTYPE_VALUES[emotion][rng.integers(len(variants))]
    chance = rng.random()
    if chance < SUBTLE:
        values = values * rng.uniform(0.15, 0.5)
    elif chance < SUBTLE + MIXED:
        other = EMOTIONS[rng.integers(N_CLASSES)]
        share = rng.uniform(0.3, 0.5)
        values = (1 - share) * values + share * _PROTOTYPE_VALUES[other][rng.integers(len(PROTOTYPES[other]))]
    else:
        values = values * rng.uniform(0.65, 1.2)
    values = values + rng.normal(0, HABIT, len(UNITS))
    units = dict(zip(UNITS, values.tolist()))
    for name in ("gather", "squint", "cheeks", "wrinkle", "upper", "open", "press", "square"):  # these only contract
        units[name] = max(0.0, units[name])
    units["open"] = max(0.0, units["open"] - 0.08)  # most mouths at rest are shut
    units["skew"] *= rng.choice((-1, 1))
    return SimpleNamespace(**units)


def _person(rng):
    """Who it is: proportions as factors or in face coordinates, tones in gray levels, the rest 0 to 1."""
    normal = rng.normal(0, 1, 16).tolist()
    skin = rng.uniform(95, 220)
    age = rng.beta(1.2, 2.5)
    hair = rng.choice((18, 35, 60, 95, 150, 195), p=(0.25, 0.27, 0.18, 0.12, 0.08, 0.1)) + rng.uniform(-10, 15)
    style = HAIR_STYLES[rng.choice(len(HAIR_STYLES), p=HAIR_SHARES)]
    short = style in ("bald", "short", "receding", "cap")
    return SimpleNamespace(
        skin=skin, age=age, hair=min(hair, skin + 30), style=style, cloth=rng.uniform(15, 235),
        width=1 + 0.05 * normal[0], jaw=1 + 0.07 * normal[1], chin=CHIN_Y + 0.04 * normal[2],
        eye_x=EYE_X + 0.015 * normal[3], eye_y=EYE_Y + 0.015 * normal[4], eye_w=0.165 * (1 + 0.08 * normal[5]),
        eye_h=0.072 * (1 + 0.13 * normal[6]), slant=0.012 * normal[7], iris=rng.uniform(20, 90),
        brow_y=BROW_Y + 0.02 * normal[8], brow_w=0.036 * (1 + 0.22 * normal[9]), arch=0.03 + 0.015 * normal[10],
        nose_w=1 + 0.12 * normal[11], nose_y=NOSE_Y + 0.02 * normal[12],
        mouth_y=MOUTH_Y + 0.02 * normal[13], mouth_w=0.275 * (1 + 0.07 * normal[14]), lip=1 + 0.22 * normal[15],
        lip_tone=rng.uniform(0.55, 0.85), lash=rng.uniform(0, 1) if not short else 0.0,
        beard=rng.uniform(0.3, 1) if short and rng.random() < 0.3 else 0.0,
        hairline=rng.normal(0, 0.03, 7), ears=short or style == "side",
    )


def _pose(rng):
    """How the head is held and cropped: turn to the side and roll in radians, the rest in face coordinates."""
    return SimpleNamespace(
        yaw=rng.normal(0, 0.22), roll=rng.normal(0, 0.1), pitch=rng.normal(0, 0.05),
        scale=rng.normal(1.05, 0.06), x=rng.normal(0, 0.04), y=rng.normal(0, 0.04),
    )
