"""Drawn faces in FER2013's shape: what the notebooks run on when there is no data set.

Every face is drawn from parameters, none is taken from a photograph. An expression is a row of facial action units
(Ekman & Friesen, *Facial Action Coding System*, 1978; the prototypes follow their EMFACS table): how far the brows,
lids, cheeks and lips have moved from rest. The units move the outlines of brows, eyes and mouth, and the relief
under them that the light falls on. Who it is, how the head is held, the light, the lens and what stands in the way
are drawn at random and tell nothing about the emotion.

`draw_faces` also plants the flaws that FER2013 itself has (copies across usages, copies with another label, blank
faces), in FER2013's proportions, so that the audit has something to find.
"""

from functools import lru_cache
from types import SimpleNamespace
from typing import NamedTuple

import cv2
import numpy as np

from .datasets import USAGES, FaceSet
from .labels import EMOTIONS, N_CLASSES, emotion_index

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

# Drawing is in face coordinates: the crop is -1 to 1 both ways (x to the right, y down), and the face fills it as it
# fills a FER2013 crop.
EYE_X, EYE_Y, BROW_Y, NOSE_Y, MOUTH_Y, CHIN_Y = 0.34, -0.24, -0.43, 0.2, 0.54, 1.0
SUPERSAMPLE = 4  # canvas pixels to one of the face, each way: smooth edges after INTER_AREA
FIXED_BITS = 3  # OpenCV draws at 1/8 of a canvas pixel
RELIEF_HALF, RELIEF_CELLS = 1.3, 48  # the relief's grid reaches beyond the crop, so that a turned head stays on it

SKIN, HAIR, OTHER = (255, 0), (90, 255), (0, 0)
"""How far each material takes the light on the face's relief, and how far it is made of strands (0 to 255)."""

# Hairlines from temple to temple: height of the hair's lower edge at seven x.
_HAIRLINE_X = np.array((-0.9, -0.66, -0.36, 0, 0.36, 0.66, 0.9))
_HAIRLINES = {
    "bald": None,
    "short": (-0.1, -0.66, -0.86, -0.88, -0.86, -0.66, -0.1),
    "receding": (-0.15, -0.8, -1.02, -0.9, -1.02, -0.8, -0.15),
    "side": (0.0, -0.5, -0.64, -0.84, -0.98, -0.76, -0.1),
    "fringe": (0.6, -0.5, -0.62, -0.62, -0.62, -0.5, 0.6),
    "bob": (0.5, -0.5, -0.78, -0.9, -0.84, -0.55, 0.5),
    "long": (0.7, -0.56, -0.84, -0.92, -0.9, -0.6, 0.7),
    "parted": (0.9, -0.42, -0.84, -0.98, -0.84, -0.42, 0.9),
    "cap": (-0.62, -0.66, -0.7, -0.71, -0.7, -0.66, -0.62),
}
HAIR_STYLES = tuple(_HAIRLINES)
HAIR_SHARES = (0.07, 0.24, 0.09, 0.12, 0.11, 0.1, 0.12, 0.09, 0.06)

# Curves over a mouth, an eye (-1 to 1) and a brow (0 to 1), and a circle.
_T = np.linspace(-1, 1, 13)
_ARC = 1 - _T**2
_ROUND = np.sqrt(_ARC)
_BOX = 1 - _T**6
_U = np.linspace(0, 1, 7)
_ANGLE = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1)
# The relief's grid, and the slopes of a head without features on it.
_GRID = np.linspace(-RELIEF_HALF, RELIEF_HALF, RELIEF_CELLS, dtype=np.float32)
_SLOPE_X = -(0.55 * _GRID + 1.9 * _GRID * np.abs(_GRID) ** 4)[None, :]
_SLOPE_Y = -(0.25 * _GRID + 0.35 * _GRID**3)[:, None]


class _Shape(NamedTuple):
    """A filled polygon (width 0) or a line of that width, in face coordinates."""

    points: np.ndarray
    tone: float
    width: float = 0.0
    depth: float = 1.0  # how far it moves when the head turns: 1 on the front of the face, 0 on the silhouette
    material: tuple = SKIN


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
    canvas[..., 0] = _background(size * SUPERSAMPLE, rng)
    _paint(canvas, [*_behind(person), *_head(person, units), *_eyes(person, units, rng), *_nose(person, units),
                    *_mouth(person, units), *_brows(person, units), *_front_hair(person), *_glasses(rng),
                    *_in_the_way(person, rng)], pose)
    creases = np.zeros((2 * size, 2 * size), np.uint8)
    _paint(creases, _creases(person, units), pose)
    return _photograph(canvas, creases, _relief(person, units, pose, rng), pose, rng)


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


def _turn(points, depth, pose):
    """Turn points about the head's vertical axis and nod them; those at the front move most."""
    x, y = points[:, 0], points[:, 1]
    front = depth * np.sqrt(np.clip(1 - (x / 0.95) ** 2 - (y / 1.5) ** 2, 0, 1))
    turned = np.empty_like(points)
    turned[:, 0] = x * (1 - depth * (1 - np.cos(pose.yaw))) + 0.7 * front * np.sin(pose.yaw)
    turned[:, 1] = y + pose.pitch * front
    return turned


def _to_crop(pose):
    """2×2 matrix and offset from the turned head to the crop."""
    cos, sin = pose.scale * np.cos(pose.roll), pose.scale * np.sin(pose.roll)
    return np.array([[cos, -sin], [sin, cos]]), np.array([pose.x - 0.25 * np.sin(pose.yaw), pose.y])


def _paint(canvas, shapes, pose):
    """Draw shapes in order on a square canvas of one channel (tone) or three (tone and material)."""
    if not shapes:
        return
    lengths = [len(shape.points) for shape in shapes]
    points = np.concatenate([shape.points for shape in shapes])
    depth = np.repeat([shape.depth for shape in shapes], lengths)
    matrix, offset = _to_crop(pose)
    half = canvas.shape[0] / 2
    points = (_turn(points, depth, pose) @ matrix.T + offset + 1) * half - 0.5
    points = np.rint(points * (1 << FIXED_BITS)).astype(np.int32)
    start = 0
    for shape, length in zip(shapes, lengths):
        corners, start = points[start:start + length], start + length
        colour = (float(shape.tone), *shape.material)
        if shape.width:
            width = max(1, round(shape.width * half * pose.scale))
            cv2.polylines(canvas, [corners], False, colour, width, cv2.LINE_8, FIXED_BITS)
        else:
            cv2.fillPoly(canvas, [corners], colour, cv2.LINE_8, FIXED_BITS)


@lru_cache
def _spline(controls, closed):
    """Basis matrix of a uniform cubic B-spline, six points to each of its control points."""
    step = np.arange(6)[:, None] / 6
    blend = np.hstack([(1 - step) ** 3, 3 * step**3 - 6 * step**2 + 4, -3 * step**3 + 3 * step**2 + 3 * step + 1,
                       step**3]) / 6
    basis = np.zeros((6 * controls, controls))
    for k in range(controls):
        for j in range(4):
            at = (k + j - 1) % controls if closed else min(max(k + j - 1, 0), controls - 1)
            basis[6 * k:6 * k + 6, at] += blend[:, j]
    return basis


def _smooth(points, closed=True):
    """Smooth a polygon or a line by a cubic B-spline."""
    points = np.asarray(points, float)
    return _spline(len(points), closed) @ points


def _ellipse(x, y, a, b):
    return _CIRCLE * (a, b) + (x, y)


def _mirrored(points):
    """A left half, listed from top to bottom, closed with its mirror image."""
    points = np.asarray(points, float)
    return np.concatenate([points, points[::-1] * (-1, 1)])


def _between(x, top, bottom):
    """Polygon between two curves over the same x."""
    return np.stack([np.concatenate([x, x[::-1]]), np.concatenate([top, bottom[::-1]])], 1)


def _line(x, y):
    return np.stack([x, y], 1)


def _behind(person):
    """Clothes, and the hair that falls behind the face."""
    shoulders = _mirrored([(-0.35, 1.0), (-1.2, 1.18), (-1.8, 2)])
    shapes = [_Shape(shoulders, person.cloth, 0, 0, OTHER)]
    if person.style in ("long", "parted", "fringe"):
        back = _mirrored([(-0.35, -1.35), (-0.85, -1.15), (-1.08, -0.5), (-1.08, 0.2), (-1.05, 0.8), (-0.95, 1.6)])
        shapes.insert(0, _Shape(_smooth(back), 0.85 * person.hair, 0, 0, HAIR))
    elif person.style == "bob":
        back = _mirrored([(-0.35, -1.35), (-0.85, -1.15), (-1.12, -0.4), (-1.12, 0.3), (-0.9, 0.75), (-0.4, 0.8)])
        shapes.insert(0, _Shape(_smooth(back), 0.85 * person.hair, 0, 0, HAIR))
    elif person.style != "bald":
        back = _mirrored([(-0.3, -1.25), (-0.8, -1.1), (-0.98, -0.6), (-0.92, 0.1), (-0.6, 0.3)])
        shapes.insert(0, _Shape(_smooth(back), 0.85 * person.hair, 0, 0, HAIR))
    return shapes


def _head(person, units):
    """Neck, ears and the outline of the face; an open mouth takes the chin down."""
    width, jaw, chin = person.width, person.jaw * person.width, person.chin + 0.1 * units.open
    neck = _mirrored([(-0.5, 0.4), (-0.46, 0.95), (-0.6, 1.3), (-1, 1.6)])
    outline = _mirrored([(-0.18, -1.16), (-0.55, -1.08), (-0.8 * width, -0.66), (-0.81 * width, -0.15),
                         (-0.78 * width, 0.25), (-0.66 * jaw, 0.66), (-0.38 * jaw, chin - 0.04), (-0.14, chin + 0.07)])
    shapes = [_Shape(neck, 0.62 * person.skin, 0, 0.2)]
    if person.ears:
        for side in (-1, 1):
            shapes += [_Shape(_ellipse(side * 0.8 * width, -0.05, 0.1, 0.2), 0.88 * person.skin, 0, -0.15),
                       _Shape(_ellipse(side * 0.82 * width, -0.05, 0.045, 0.12), 0.65 * person.skin, 0, -0.15)]
    return [*shapes, _Shape(_smooth(outline), person.skin, 0, 0.08)]


def _eyes(person, units, rng):
    """Whites, irises and lids. Everything inside an eye is cut off at its lids."""
    gaze = rng.normal(0, (0.03, 0.012))
    if rng.random() < 0.12:
        gaze[0] += 0.07 * rng.choice((-1, 1))
    white = min(0.45 * person.skin + 125, 235)
    dark = 0.28 * person.skin * (1 - 0.5 * person.lash)
    shapes = []
    for side in (-1, 1):
        outward = _T * side
        x = side * person.eye_x + person.eye_w * _T
        y = person.eye_y - person.slant * outward - 0.012 * units.wrinkle
        upper = person.eye_h * max(0.12, 1 + 0.75 * units.lids - 0.3 * units.squint - 0.2 * units.wrinkle)
        lower = person.eye_h * (0.6 + 0.25 * max(units.lids, 0) - 0.5 * units.squint - 0.4 * units.cheeks)
        lower = max(lower, 0.05 * person.eye_h - 0.6 * upper)
        droop = 0.035 * max(0.0, -units.outer) * (outward + 0.3) - 0.025 * max(0.0, -units.inner) * (0.3 - outward)
        top = y - upper * _ARC**0.75 + np.maximum(droop, -0.02) * _ARC
        bottom = np.maximum(y + lower * _ARC**0.9, top + 0.004)
        shapes.append(_Shape(_between(x, top, bottom), white))
        iris_x, iris_y = side * person.eye_x + gaze[0], person.eye_y - 0.012 + gaze[1]
        for radius, tone in ((0.088, person.iris), (0.04, 8)):
            disc = _ellipse(iris_x, iris_y, radius, radius)
            disc[:, 1] = np.clip(disc[:, 1], np.interp(disc[:, 0], x, top), np.interp(disc[:, 0], x, bottom))
            shapes.append(_Shape(disc, tone))
        if upper > 0.5 * person.eye_h:
            shapes.append(_Shape(_ellipse(iris_x - 0.03, iris_y - 0.03, 0.017, 0.017), 235))
        fold = top - 0.045 - 0.02 * max(units.lids, 0) + 0.02 * _T**2
        shapes += [
            _Shape(_line(x, fold)[1:-1], 0.72 * person.skin, 0.022),
            _Shape(_line(x, bottom), 0.62 * person.skin, 0.016),
            _Shape(_line(x, top - 0.006), dark, 0.03 + 0.025 * person.lash),
        ]
    return shapes


def _brows(person, units):
    tone = min(0.5 * person.skin, 0.35 * person.skin + 0.35 * person.hair)
    shapes = []
    for side in (-1, 1):
        start = 0.135 - 0.06 * units.gather
        x = side * (start + (0.56 - start) * _U)
        y = (person.brow_y - person.arch * np.sin(np.pi * 0.8 * _U) - 0.125 * units.inner * (1 - _U) ** 1.3
             - 0.13 * units.outer * _U**1.2 + 0.02 * units.gather * (1 - _U) + 0.03 * units.wrinkle
             - 0.03 * units.skew * side)
        half = person.brow_w * np.array((0.75, 1, 1, 0.95, 0.8, 0.55, 0.2))
        shapes.append(_Shape(_between(x, y - half, y + half), tone))
    return shapes


def _nose(person, units):
    y = person.nose_y - 0.035 * units.wrinkle - 0.015 * units.upper
    wide = person.nose_w * (1 + 0.15 * units.wrinkle + 0.06 * max(units.corners, 0))
    shapes = []
    for side in (-1, 1):
        wing = [(side * 0.105 * wide, y - 0.06), (side * 0.155 * wide, y - 0.01), (side * 0.15 * wide, y + 0.06),
                (side * 0.1 * wide, y + 0.08)]
        shapes += [_Shape(_smooth(wing, closed=False), 0.7 * person.skin, 0.022),
                   _Shape(_ellipse(side * 0.07 * wide, y + 0.075, 0.042 * wide, 0.02), 0.38 * person.skin)]
    return shapes


def _lips(person, units):
    """Curves of the mouth over x: outer and inner edge of the upper lip, inner and outer edge of the lower lip."""
    wide = person.mouth_w * (1 + 0.3 * units.stretch + 0.14 * max(units.corners, 0) - 0.1 * units.press)
    x = wide * _T
    uneven = 1 + 0.6 * units.skew * _T
    seam = (person.mouth_y + 0.05 * units.open - 0.05 * units.upper - 0.16 * units.corners * (_T**2 - 0.4)
            + (0.05 * units.skew * _T * max(units.upper, 0)))
    shape = (1 - min(units.square, 1)) * _ROUND + min(units.square, 1) * _BOX
    gap = 0.36 * units.open
    upper_inner = seam - (0.3 * gap + 0.045 * units.upper * uneven) * shape
    lower_inner = seam + (0.7 * gap + 0.01 * units.upper) * shape
    thick = person.lip * max(0.15, 1 - 0.75 * units.press - 0.2 * max(units.stretch, 0) - 0.15 * units.open)
    bow = _ARC**0.6 * (1 - 0.3 * np.exp(-((_T / 0.14) ** 2)))
    pout = 1 + 0.25 * max(0.0, -units.corners) * (units.press < 0.5)
    return x, upper_inner - 0.06 * thick * bow, upper_inner, lower_inner, lower_inner + 0.075 * thick * pout * _ARC**0.7


def _mouth(person, units):
    x, upper_outer, upper_inner, lower_inner, lower_outer = _lips(person, units)
    lip = person.lip_tone * person.skin
    shapes = [_Shape(_between(x, upper_outer, upper_inner), 0.9 * lip),
              _Shape(_between(x, lower_inner, lower_outer), 1.08 * lip)]
    gap = lower_inner - upper_inner
    if gap.max() > 0.035:
        shapes.append(_Shape(_between(x, upper_inner, lower_inner), 28))
        if gap.max() > 0.16:
            rise = np.minimum(0.45 * gap, 0.1) * _ARC
            shapes.append(_Shape(_between(x, lower_inner - rise, lower_inner), 0.5 * person.skin))
        inside = np.abs(_T) < 0.95
        bare = min(1.0, max(0.25, 1.1 * units.corners, 1.2 * units.square, 0.8 * units.upper))
        height = np.minimum((0.42 if units.square > 0.3 else 1) * gap, 0.105 * bare)
        teeth = 95 + 0.55 * person.skin
        shapes.append(_Shape(_between(x, upper_inner, upper_inner + height)[np.tile(inside, 2)], teeth))
        if units.square > 0.3:
            height = np.minimum(0.4 * gap, 0.075 * units.square)
            shapes.append(_Shape(_between(x, lower_inner - height, lower_inner)[np.tile(inside, 2)], 0.9 * teeth))
    else:
        shapes.append(_Shape(_line(x, (upper_inner + lower_inner) / 2), 0.3 * person.skin, 0.028))
    return shapes


def _front_hair(person):
    line = _HAIRLINES[person.style]
    if line is None:
        return []
    edge = _smooth(_line(_HAIRLINE_X, line + person.hairline), closed=False)
    above = [(1.05, edge[-1, 1]), (1.08, -0.6), (0.9, -1.5), (-0.9, -1.5), (-1.08, -0.6), (-1.05, edge[0, 1])]
    cap = person.style == "cap"
    shapes = [_Shape(np.concatenate([edge, above]), person.cloth if cap else person.hair, 0, 0.25,
                     OTHER if cap else HAIR)]
    if cap:
        shapes.append(_Shape(edge, 0.7 * person.cloth, 0.05, 0.25, OTHER))
    return shapes


def _glasses(rng):
    if rng.random() > 0.1:
        return []
    tone, width = rng.uniform(10, 70), rng.uniform(0.02, 0.045)
    a, b = rng.uniform(0.2, 0.25), rng.uniform(0.13, 0.2)
    dark = rng.random() < 0.15
    shapes = []
    for side in (-1, 1):
        rim = _ellipse(side * EYE_X, EYE_Y + 0.02, a, b)
        if dark:
            shapes.append(_Shape(rim, tone, 0, 1.05, OTHER))
        arm = np.array([(side * (EYE_X + a), EYE_Y), (side * 0.85, EYE_Y - 0.02)])
        shapes += [_Shape(np.concatenate([rim, rim[:1]]), tone, width, 1.05, OTHER),
                   _Shape(arm, tone, width, 0.6, OTHER)]
    bridge = np.array([(a - EYE_X, EYE_Y), (0, EYE_Y - 0.03), (EYE_X - a, EYE_Y)])
    return [*shapes, _Shape(bridge, tone, width, 1.05, OTHER)]


def _in_the_way(person, rng):
    """What hides part of one face in twelve: a hand, a microphone, a lock of hair, the edge of something."""
    chance = rng.random()
    if chance > 0.085:
        return []
    side = rng.choice((-1, 1))
    if chance < 0.035:
        return _hand(person, side, rng)
    if chance < 0.05:
        x, y = side * rng.uniform(0.1, 0.45), rng.uniform(0.65, 0.85)
        stem = np.array([(x, y), (x + side * 0.25, 1.5)])
        return [_Shape(stem, 30, 0.12, 0, OTHER), _Shape(_ellipse(x, y, 0.17, 0.19), 50, 0, 0, OTHER),
                _Shape(_ellipse(x - 0.05, y - 0.06, 0.06, 0.06), 80, 0, 0, OTHER)]
    if chance < 0.07:
        lock = [(side * 0.1, -1.2), (side * 0.2, -0.5), (side * 0.42, 0), (side * 0.62, 0.7), (side * 1.1, 0.9),
                (side * 1.1, -1.2)]
        return [_Shape(_smooth(lock), person.hair, 0, 0.2, HAIR)]
    edge = rng.uniform(0.45, 0.7)
    return [_Shape(np.array([(side * edge, -2), (side * (edge + 0.2), 2), (side * 2, 2), (side * 2, -2)]),
                   rng.uniform(10, 200), 0, 0, OTHER)]


def _hand(person, side, rng):
    """Four fingers along the cheek, their gaps in shadow."""
    x, y = side * rng.uniform(0.5, 0.75), rng.uniform(0.25, 0.6)
    shapes = []
    for finger in range(4):
        shift = np.array((side * 0.02 * finger, 0.17 * finger))
        tip, knuckle = np.array((x, y)) + shift, np.array((x + side * 0.6, y + 0.45)) + shift
        bone = np.array([tip, (tip + knuckle) / 2 + (0, 0.04), knuckle])
        shapes += [_Shape(bone + (0, 0.03), 0.55 * person.skin, 0.19, 0), _Shape(bone, 0.95 * person.skin, 0.15, 0)]
    return shapes


def _creases(person, units):
    """Folds and shadows of the skin; a shape's tone is how much light it takes away, 0 to 255."""
    x, upper_outer, _, _, lower_outer = _lips(person, units)
    smile, age = max(units.corners, 0), person.age
    y = person.nose_y
    shapes = []
    if person.beard:
        for grow, share in ((0.1, 0.4), (0.05, 0.7), (0, 1)):
            beard = _mirrored([(-0.16, y + 0.2 - 0.3 * grow), (-0.42, y + 0.36 - grow), (-0.72, 0.2 - grow),
                               (-0.78, 0.5), (-0.5, 1.15)])
            shapes.append(_Shape(_smooth(beard), share * (30 + 95 * person.beard), 0, 0.6))
        bare = _between(1.05 * x, upper_outer - 0.01, lower_outer + 0.02)
        shapes.append(_Shape(bare, 0))
    raised = (max(units.inner, 0) + max(units.outer, 0)) / 2
    for level, height in enumerate((-0.64, -0.74, -0.84)):
        tone = 14 * age + 55 * raised * (level < 2)
        bend = -0.05 * max(units.outer, 0) * _ARC + 0.02
        shapes.append(_Shape(_line(0.42 * _T, height + bend), tone, 0.035))
    for side in (-1, 1):
        fold = 12 + 35 * age + 70 * max(0.8 * smile, units.wrinkle, units.upper, 0.5 * units.square)
        end = x[-1] + 0.07
        naso = [(side * 0.15, y - 0.02), (side * (0.24 + 0.04 * smile), y + 0.1), (side * end, person.mouth_y - 0.07),
                (side * (end + 0.01), person.mouth_y + 0.06)]
        shapes.append(_Shape(_smooth(naso, closed=False), min(fold, 110), 0.05))
        bag = 20 + 45 * age + 45 * max(units.squint, units.cheeks)
        under = person.eye_y + 0.11 + 0.05 * _ARC - 0.02 * units.cheeks
        shapes.append(_Shape(_line(side * person.eye_x + 0.15 * _T, under)[2:-2], min(bag, 110), 0.03))
        for rise in (-0.06, 0.0, 0.06):
            foot = np.array([(side * 0.58, person.eye_y + 0.3 * rise), (side * 0.7, person.eye_y + rise)])
            shapes.append(_Shape(foot, 18 * age + 50 * units.cheeks * (units.corners > 0.2), 0.022))
        furrow = np.array([(side * 0.055, person.brow_y - 0.1), (side * 0.045, person.brow_y + 0.08)])
        shapes.append(_Shape(furrow, min(12 * age + 110 * units.gather, 140), 0.03))
        corner = _ellipse(side * (x[-1] + 0.015), (upper_outer[0] if side < 0 else upper_outer[-1]), 0.03, 0.03)
        shapes.append(_Shape(corner, 70))
    for height in (-0.22, -0.14, -0.06):
        shapes.append(_Shape(_line(0.09 * _T, height - 0.03 * _T**2), min(125 * units.wrinkle, 140), 0.03))
    shapes.append(_Shape(_line(0.13 * _T, y + 0.12 - 0.03 * _T**2), 55, 0.05))  # under the nose
    shapes.append(_Shape(_line(0.6 * x, lower_outer.max() + 0.05 - 0.02 * _T**2), 60, 0.06))  # under the lip
    sulk = max(0.0, -units.corners) * max(0.0, 1 - units.open)
    shapes.append(_Shape(_line(0.16 * _T, person.chin - 0.2 - 0.05 * _ARC), min(70 * sulk, 90), 0.05))
    return shapes


def _relief(person, units, pose, rng):
    """Light on the face, by Lambert's law, from a relief of Gaussian bumps; 1 is skin that faces the light.

    Returns a float32 array (`RELIEF_CELLS`, `RELIEF_CELLS`) in face coordinates, before roll, scale and shift.
    """
    nose, mouth = person.nose_y, person.mouth_y
    middle = [  # y, half width, half height, rise
        (-0.72, 0.4, 0.2, 0.05), (person.brow_y, 0.07, 0.08, 0.02 + 0.04 * units.gather),
        (nose - 0.24, 0.065 * person.nose_w, 0.2, 0.13), (nose, 0.085 * person.nose_w, 0.075, 0.15),
        (mouth - 0.07, 0.19, 0.05, 0.03), (mouth + 0.06 + 0.25 * units.open, 0.14, 0.045, 0.045),
        (mouth + 0.16 + 0.25 * units.open, 0.15, 0.04, -0.03), (person.chin - 0.13, 0.17, 0.1, 0.09),
    ]
    sides = [  # x, y, half width, half height, rise
        (0.3, person.brow_y + 0.01 - 0.06 * units.inner, 0.2, 0.06, 0.045), (0.3, person.eye_y, 0.15, 0.1, -0.075),
        (person.eye_x, person.eye_y, 0.1, 0.065, 0.05), (0.12 * person.nose_w, nose + 0.03, 0.045, 0.05, 0.05),
        (0.43, 0.1 - 0.06 * units.cheeks, 0.17, 0.14, 0.055 + 0.06 * units.cheeks),
        (0.5, 0.45, 0.13, 0.2, -0.05 * person.age), (0.62, -0.55, 0.1, 0.2, -0.03),
    ]
    bumps = np.array([(0, *bump) for bump in middle] + [(side * x, *bump) for x, *bump in sides for side in (-1, 1)],
                     np.float32)
    centre, half, rise = _turn(bumps[:, :2], 1, pose), bumps[:, 2:4], bumps[:, 4:]
    dx = (_GRID - centre[:, :1]) / half[:, :1]
    dy = (_GRID - centre[:, 1:]) / half[:, 1:]
    # A bump is a product of a curve over x and one over y, so that a sum of bumps, or of slopes, is a matrix product.
    over_x, over_y = np.exp(-0.5 * dx**2), rise * np.exp(-0.5 * dy**2)
    slope_x = over_y.T @ (-dx / half[:, :1] * over_x) + _SLOPE_X - np.float32(0.6 * np.sin(pose.yaw))
    slope_y = (-dy / half[:, 1:] * over_y).T @ over_x + _SLOPE_Y
    light = np.array((rng.normal(0, 0.55), rng.normal(-0.4, 0.25), 1), np.float32)
    light /= np.linalg.norm(light)
    facing = (light[2] - light[0] * slope_x - light[1] * slope_y) / np.sqrt(1 + slope_x**2 + slope_y**2)
    ambient = np.float32(rng.uniform(0.2, 0.55))
    facing = np.maximum(facing, 0)
    shine = np.float32(rng.uniform(0, 0.2)) * facing**12
    return ambient + (1.05 - ambient) * facing + shine


def _background(side, rng):
    """A wall, a studio's white or black, or something out of focus."""
    chance = rng.random()
    base = rng.uniform(225, 255) if chance < 0.2 else rng.uniform(0, 30) if chance < 0.38 else rng.uniform(30, 220)
    rough = rng.normal(base, rng.choice((4, 15, 40)), (5, 5)).astype(np.float32)
    return np.clip(cv2.resize(rough, (side, side), interpolation=cv2.INTER_LINEAR), 0, 255).astype(np.uint8)


def _photograph(canvas, creases, shade, pose, rng):
    """Light the painting, then take it: lens, sensor, and FER2013's spread of brightness and contrast."""
    size = canvas.shape[0] // SUPERSAMPLE
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    face, skin, hair = small[..., 0], small[..., 1] / 255, small[..., 2] / 255
    creases = cv2.resize(cv2.GaussianBlur(creases, (0, 0), size / 48), (size, size), interpolation=cv2.INTER_AREA)

    # From a pixel of the crop to its place on the face, and on to its cell of the relief.
    matrix, offset = _to_crop(pose)
    back = np.linalg.inv(matrix)
    cells = (RELIEF_CELLS - 1) / (2 * RELIEF_HALF)
    warp = np.column_stack([back * (2 / size) * cells,
                            (back @ (1 / size - 1 - offset) + RELIEF_HALF) * cells])
    shade = cv2.warpAffine(shade, warp, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                           borderMode=cv2.BORDER_REPLICATE)
    face = face * (1 + skin * (shade * (1 - creases / np.float32(255)) - 1))
    strands = cv2.resize(rng.normal(0, 0.11, (5, size // 2)).astype(np.float32), (size, size),
                         interpolation=cv2.INTER_CUBIC)
    face = face * (1 + hair * strands) + 20 * hair * np.abs(strands)

    face = cv2.GaussianBlur(face, (0, 0), size / 48 * rng.uniform(0.3, 0.85))
    gain = np.clip(rng.normal(57, 14), 26, 90) / max(face.std(), 12)
    mean = face.mean()
    face = (face - mean) * np.clip(gain, 0.45, 2) + 0.35 * mean + 0.65 * rng.normal(132, 46)
    face = face + rng.normal(0, rng.uniform(0.5, 4), face.shape)
    return np.clip(np.rint(face), 0, 255).astype(np.uint8)
