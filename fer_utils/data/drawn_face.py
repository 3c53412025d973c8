"""One drawn face: a mean face that shows an emotion, bent into a person's, lit, turned and photographed.

An expression is a row of facial action units (Ekman & Friesen, *Facial Action Coding System*, 1978; the prototypes
follow their EMFACS table): how far the brows, lids and lips have moved from rest. Everything else is drawn at random
and says nothing about the emotion.

Face coordinates: the crop is -1 to 1 both ways (x to the right, y down), and the face fills it as in FER2013.
"""
from typing import NamedTuple

import cv2
import numpy as np

from ..labels import EMOTIONS, N_CLASSES, emotion_index

Points = np.ndarray | list[tuple[float, float]]
_HALF = 1.25  # half a canvas's side in face coordinates: a face that is shifted or turned stays on it
_SUPERSAMPLE = 4  # canvas pixels to one of the face, each way: smooth edges after INTER_AREA
_FIXED_BITS = 3  # OpenCV draws at 1/8 of a canvas pixel
_EYE_X, _EYE_Y, _NOSE_Y, _MOUTH_Y = 0.34, -0.24, 0.2, 0.54
_SIDES = (-1, 1)
# Curves over an eye or the mouth (-1 to 1), over a brow (0 to 1), and around an ellipse.
_T = np.linspace(-1, 1, 13)
_ARC = 1 - _T**2
_U = np.linspace(0, 1, 7)
_ANGLE = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1)


class Units(NamedTuple):
    """Facial action units, 0 at rest and 1 fully shown; brows, lids and corners also go below rest."""

    inner: float = 0.0  # inner ends of the brows up (AU 1; below 0: AU 4)
    outer: float = 0.0  # outer ends of the brows up (AU 2; below 0: AU 4)
    gather: float = 0.0  # brows drawn together (AU 4)
    lids: float = 0.0  # upper lids up (AU 5; below 0: drooping)
    squint: float = 0.0  # cheeks and lower lids up (AU 6, 7)
    wrinkle: float = 0.0  # nose wrinkled (AU 9)
    upper: float = 0.0  # upper lip up (AU 10)
    corners: float = 0.0  # lip corners up (AU 12; below 0: AU 15)
    stretch: float = 0.0  # mouth wide (AU 20; below 0: narrow)
    open: float = 0.0  # jaw down (AU 26, 27)
    press: float = 0.0  # lips tight (AU 23, 24)
    teeth: float = 0.0  # lips drawn back so that teeth show (AU 22, 25)


PROTOTYPES = {
    "angry": (Units(inner=-1, outer=0.1, gather=1, squint=0.5, corners=-0.4, stretch=-0.15, press=1),
              Units(inner=-1, outer=0.2, gather=1, lids=0.3, wrinkle=0.3, upper=0.4, stretch=0.15, open=0.5, teeth=1)),
    "disgust": (Units(inner=-0.6, outer=-0.5, gather=0.3, lids=-0.4, squint=1, wrinkle=1, upper=1, corners=-0.7,
                      open=0.2, teeth=0.5),),
    "fear": (Units(inner=1, outer=0.15, gather=0.8, lids=0.85, corners=-0.3, stretch=0.9, open=0.3, teeth=0.6),
             Units(inner=1, outer=0.2, gather=0.8, lids=1, corners=-0.45, stretch=0.55, open=0.6, teeth=0.4)),
    "happy": (Units(squint=0.7, corners=1, stretch=0.4),
              Units(inner=0.1, outer=0.2, squint=0.9, corners=1, stretch=0.6, open=0.5, teeth=1)),
    "sad": (Units(inner=0.9, outer=-0.7, gather=0.4, lids=-0.45, corners=-1, stretch=-0.1, press=0.15),
            Units(inner=0.8, outer=-0.8, gather=0.6, lids=-0.5, squint=0.6, corners=-1, stretch=0.15, open=0.3)),
    "surprise": (Units(inner=0.9, outer=1, lids=0.9, stretch=-0.4, open=0.8),),
    "neutral": (Units(),),
}
"""How each emotion may show."""


def draw_face(emotion: str | int, rng: np.random.Generator | int, size: int = 48,
              person: int | None = None) -> np.ndarray:
    """Draw one gray face that shows an emotion, a name or label of `EMOTIONS`: uint8 (size, size), size at least 16.

    All that varies comes from `rng` or its seed, but head, hair and light from `person`, a seed, where it is given:
    equal ones give one person. Framing, brightness and contrast are spread as in FER2013.

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
    look = rng if person is None else np.random.default_rng(person)
    tone, covered = draw_person(_random_units(label, rng), look, size)
    return _photograph(tone + (1 - covered) * _random_background(size, rng), rng)


def draw_person(units: Units, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one person, lit and turned at random, before nothing.

    Returns the gray levels, 0 where nobody is, and how much of each pixel the person covers, 0 to 1: both float
    (size, size). Equal states of `rng` give the same person, whatever the expression.
    """
    canvas = np.zeros((_SUPERSAMPLE * size, _SUPERSAMPLE * size, 2), np.uint8)  # tone, and 255 where the person is
    _paint_person(canvas, units, rng)
    light, (x, y) = _random_light(rng), _random_view(size, rng)

    def seen(picture: np.ndarray) -> np.ndarray:
        scale = len(picture) / (2 * _HALF)
        crop = cv2.remap(picture, (x + _HALF) * scale - 0.5, (y + _HALF) * scale - 0.5, cv2.INTER_LINEAR,
                         borderMode=cv2.BORDER_REPLICATE)
        return cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)

    tone, person = cv2.split(seen(canvas))
    return tone * seen(light), person / 255


def _random_units(label: int, rng: np.random.Generator) -> Units:
    """Draw an expression: a prototype of the emotion, weak or strong, with a little of another emotion."""
    shown = [PROTOTYPES[EMOTIONS[k]] for k in (label, rng.integers(N_CLASSES))]
    own, other = (np.array(prototypes[rng.integers(len(prototypes))]) for prototypes in shown)
    values = own + rng.triangular(0, 0, 0.3) * (other - own)
    units = Units(*(rng.triangular(0.4, 1, 1.3) * values + rng.normal(0, 0.08, len(values))).tolist())
    never_below_rest = ("gather", "squint", "wrinkle", "upper", "open", "press", "teeth")
    return units._replace(**{name: max(0.0, getattr(units, name)) for name in never_below_rest})


def _draw(canvas: np.ndarray, points: Points, tone: float, width: float = 0.0) -> None:
    """Fill a polygon, or draw a line where it has a width; all in face coordinates, points (N, 2)."""
    scale = len(canvas) / (2 * _HALF)
    corners = np.rint(((np.asarray(points) + _HALF) * scale - 0.5) * (1 << _FIXED_BITS)).astype(np.int32)
    if width:
        cv2.polylines(canvas, [corners], False, (tone, 255), max(1, round(width * scale)), cv2.LINE_8, _FIXED_BITS)
    else:
        cv2.fillPoly(canvas, [corners], (tone, 255), cv2.LINE_8, _FIXED_BITS)


def _ellipse(x: float, y: float, a: float, b: float) -> np.ndarray:
    return _CIRCLE * (a, b) + (x, y)


def _curve(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([x, y], 1)


def _between(x: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Return the polygon between two curves over the same x."""
    return np.concatenate([_curve(x, top), _curve(x, bottom)[::-1]])


def _paint_person(canvas: np.ndarray, units: Units, rng: np.random.Generator) -> None:
    """Paint everything from back to front."""
    skin, bald = rng.uniform(95, 220), rng.random() < 0.1
    hair = min(10 + 190 * rng.beta(0.9, 2), skin + 30)
    length, wide = 0.1 if rng.random() < 0.6 else rng.uniform(0.4, 2.5), rng.uniform(0.88, 1.1)
    middle, half = (length - 1.3) / 2, (length + 1.3) / 2
    if not bald:
        _draw(canvas, _ellipse(0, middle, wide, half), 0.85 * hair)
    _draw(canvas, _ellipse(0, 2, 1.5, 0.9), rng.uniform(15, 235))  # the clothes
    _draw(canvas, [(0, 0.5), (0, 1.25)], 0.62 * skin, 0.85)  # the neck
    if bald or length < 0.5:
        for side in _SIDES:
            _draw(canvas, _ellipse(0.8 * side, -0.05, 0.1, 0.2), 0.85 * skin)
    x, y = _CIRCLE.T
    jaw = 1 - rng.uniform(0.05, 0.25) * np.maximum(y, 0)
    _draw(canvas, _curve(0.81 * jaw * x, (1.08 + 0.1 * units.open * (y > 0)) * y - 0.05), skin)
    _paint_folds(canvas, units, skin, rng)
    _paint_eyes(canvas, units, skin, rng)
    _paint_nose(canvas, units, skin)
    _paint_mouth(canvas, units, skin, rng)
    _paint_brows(canvas, units, min(0.5 * skin, 0.35 * (skin + hair)), rng)
    if not bald:
        top = middle - half * np.sqrt(_ARC)
        edge = rng.uniform(-1, -0.6) + rng.uniform(0.5, 1.5) * np.abs(_T - rng.normal(0, 0.15)) ** rng.uniform(2, 5)
        _draw(canvas, _between(wide * _T, top, np.maximum(top, edge)), hair)
    _paint_what_hides(canvas, rng)


def _paint_folds(canvas: np.ndarray, units: Units, skin: float, rng: np.random.Generator) -> None:
    """Paint the folds on the forehead, on the nose, between the brows and beside the mouth."""
    age, smile, outer = rng.uniform(0, 0.15), max(units.corners, 0), max(units.outer, 0)

    def fold(points: Points, depth: float) -> None:
        _draw(canvas, points, skin * (1 - min(age + depth, 0.6)), 0.03)

    for y in (-0.64, -0.74):
        fold(_curve(0.42 * _T, y - 0.05 * outer * _ARC), 0.1 * (max(units.inner, 0) + outer))
    for y in (-0.22, -0.14, -0.06):
        fold(_curve(0.09 * _T, y - 0.03 * _T**2), 0.45 * units.wrinkle)
    for side in _SIDES:
        fold([(side * 0.05, -0.53), (side * 0.045, -0.35)], 0.4 * units.gather)
        fold([(side * 0.16, 0.18), (side * (0.3 + 0.04 * smile), 0.3), (side * (0.37 + 0.1 * smile), 0.5)],
             0.3 * max(smile, units.wrinkle, units.upper))


def _paint_eyes(canvas: np.ndarray, units: Units, skin: float, rng: np.random.Generator) -> None:
    """Paint whites, irises and lids. Everything inside an eye is cut off at its lids."""
    gaze, iris, tall = rng.normal(0, (0.035, 0.012)), rng.uniform(20, 90), 0.072 * rng.normal(1, 0.13)
    upper = tall * max(0.12, 1 + 0.75 * units.lids - 0.3 * units.squint - 0.2 * units.wrinkle)
    lower = tall * max(0.05, 0.6 + 0.25 * max(units.lids, 0) - 0.7 * units.squint)
    tilt = 0.03 * (units.inner - units.outer)  # lids follow the brows
    for side in _SIDES:
        x = side * _EYE_X + 0.165 * _T
        top = _EYE_Y - upper * _ARC**0.75 + tilt * side * _T * _ARC
        bottom = np.maximum(_EYE_Y + lower * _ARC, top + 0.004)
        _draw(canvas, _between(x, top, bottom), min(0.45 * skin + 125, 235))
        for radius, tone in ((0.088, iris), (0.04, 8)):
            disc = _ellipse(side * _EYE_X + gaze[0], _EYE_Y + gaze[1], radius, radius)
            disc[:, 1] = np.clip(disc[:, 1], np.interp(disc[:, 0], x, top), np.interp(disc[:, 0], x, bottom))
            _draw(canvas, disc, tone)
        for y, shade, width in ((top - 0.05, 0.75, 0.022), (bottom, 0.62, 0.016), (top, 0.25, 0.04)):
            _draw(canvas, _curve(x, y), shade * skin, width)


def _paint_brows(canvas: np.ndarray, units: Units, tone: float, rng: np.random.Generator) -> None:
    start, half = 0.135 - 0.06 * units.gather, 0.036 * rng.normal(1, 0.2) * (1 - 0.8 * _U**3)
    y = (-0.43 - 0.03 * np.sin(np.pi * 0.8 * _U) - 0.125 * units.inner * (1 - _U) ** 1.3 - 0.13 * units.outer * _U**1.2
         + 0.02 * units.gather * (1 - _U) + 0.03 * units.wrinkle)
    for side in _SIDES:
        _draw(canvas, _between(side * (start + (0.56 - start) * _U), y - half, y + half), tone)


def _paint_nose(canvas: np.ndarray, units: Units, skin: float) -> None:
    y, wide = _NOSE_Y - 0.035 * units.wrinkle - 0.015 * units.upper, 1 + 0.15 * units.wrinkle
    for x in (-wide, wide):
        _draw(canvas, [(0.105 * x, y - 0.06), (0.15 * x, y), (0.14 * x, y + 0.06)], 0.7 * skin, 0.022)
        _draw(canvas, _ellipse(0.07 * x, y + 0.075, 0.042, 0.02), 0.38 * skin)


def _paint_mouth(canvas: np.ndarray, units: Units, skin: float, rng: np.random.Generator) -> None:
    """Paint lips, what is between them, and the upper teeth."""
    x = 0.275 * (1 + 0.3 * units.stretch + 0.2 * max(units.corners, 0) - 0.1 * units.press) * _T
    seam = _MOUTH_Y + 0.05 * units.open - 0.05 * units.upper - 0.16 * units.corners * (_T**2 - 0.4)
    shape = _ARC ** (0.5 - 0.3 * min(units.teeth, 1))  # round, or nearly square
    top = seam - (0.11 * units.open + 0.045 * units.upper) * shape
    bottom = seam + 0.25 * units.open * shape
    thick = 0.065 * rng.normal(1, 0.2) * max(0.15, 1 - 0.75 * units.press - 0.15 * units.open) * _ARC**0.6
    inside = _between(x, top, bottom)
    _draw(canvas, _between(x, top - thick, bottom + thick), rng.uniform(0.55, 0.85) * skin)
    _draw(canvas, inside, 0.3 * skin, 0.025)
    _draw(canvas, inside, 28)
    _draw(canvas, _between(x, top, np.minimum(bottom, top + 0.11 * units.teeth)), 95 + 0.55 * skin)


def _paint_what_hides(canvas: np.ndarray, rng: np.random.Generator) -> None:
    """Paint glasses on one face in ten, and something like an arm across one in twelve."""
    if rng.random() < 0.1:
        tone = rng.uniform(10, 70)
        for side in _SIDES:
            rim = _ellipse(side * _EYE_X, _EYE_Y + 0.02, 0.23, 0.17)
            _draw(canvas, [*rim, rim[0], (side * 0.57, _EYE_Y), (side * 0.85, _EYE_Y)], tone, 0.03)
    if rng.random() < 0.085:
        arm = np.array([(rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.9)), (1.2, 1.3)]) * (rng.choice(_SIDES), 1)
        _draw(canvas, arm, rng.uniform(10, 200), 0.35)


def _slopes() -> tuple[np.ndarray, np.ndarray]:
    """Return how steep a mean face is along x and along y: float32 (48, 48) over the canvas."""
    at = np.linspace(-_HALF, _HALF, 48, dtype=np.float32)
    height = -(0.3 * at**2 + 0.3 * at**6) - (0.12 * at**2 + 0.09 * at**4)[:, None]
    for x, y, a, b, rise in (  # a Gaussian bump on either side: its place, half width, half height and rise
            (0, -0.04, 0.065, 0.2, 0.065), (0, 0.2, 0.085, 0.075, 0.075), (0, 0.87, 0.17, 0.1, 0.045),  # nose, chin
            (0.3, -0.43, 0.2, 0.06, 0.045), (0.3, -0.24, 0.15, 0.1, -0.075), (0.43, 0.08, 0.17, 0.14, 0.07)):
        for side in _SIDES:
            height += rise * np.outer(np.exp(-((at - y) / b) ** 2 / 2), np.exp(-((at - side * x) / a) ** 2 / 2))
    along_y, along_x = np.gradient(height, at[1] - at[0])
    return along_x, along_y


_SLOPE_X, _SLOPE_Y = _slopes()


def _random_light(rng: np.random.Generator) -> np.ndarray:
    """Light the mean face by Lambert's law: float32 (48, 48) over the canvas, 1 for skin that faces the light."""
    x, y = rng.normal((0, -0.4), (0.55, 0.25)).tolist()
    facing = (1 - x * _SLOPE_X - y * _SLOPE_Y) / np.sqrt((1 + _SLOPE_X**2 + _SLOPE_Y**2) * (1 + x**2 + y**2))
    ambient = rng.uniform(0.2, 0.55)
    return ambient + (1.05 - ambient) * np.maximum(facing, 0)


def _random_view(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return where two by two points of each pixel lie on the face: x and y, float32 (2, 2 * size, 2 * size)."""
    yaw, roll, nod = rng.normal(0, (0.22, 0.1, 0.05))
    scale, left, top = rng.normal((1.05, 0, 0), (0.06, 0.04, 0.04))
    cos, sin = np.cos(roll) / scale, np.sin(roll) / scale
    at = (np.arange(2 * size) + 0.5) / size - 1
    x, y = (at - left)[None], (at - top)[:, None]
    x, y = cos * x + sin * y, cos * y - sin * x
    front = np.maximum(1 - (x / 0.95) ** 2 - (y / 1.5) ** 2, 0)  # the front of a turned head moves most
    # Each person is the mean face, smoothly bent at random.
    bent = cv2.resize(rng.normal(0, 0.025, (4, 4, 2)), (2 * size, 2 * size), interpolation=cv2.INTER_CUBIC)
    return np.stack([x - 0.7 * np.sin(yaw) * front + bent[..., 0], y - nod * front + bent[..., 1]], dtype=np.float32)


def _random_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a wall, a studio's white or black, or something out of focus: float32 (size, size)."""
    low, high = ((225, 255), (0, 30), (30, 220))[rng.choice(3, p=(0.2, 0.18, 0.62))]
    rough = rng.normal(rng.uniform(low, high), rng.choice((4, 15, 40)), (5, 5)).astype(np.float32)
    return np.clip(cv2.resize(rough, (size, size)), 0, 255)


def _photograph(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return what lens and sensor make of a face, with FER2013's spread of brightness and contrast."""
    face = cv2.GaussianBlur(face, (0, 0), len(face) / 48 * rng.uniform(0.3, 0.85))
    gain = np.clip(rng.normal(57, 14), 26, 90) / max(face.std(), 12)
    mean = face.mean()
    face = (face - mean) * np.clip(gain, 0.45, 2) + 0.35 * mean + 0.65 * rng.normal(132, 46)
    face = face + rng.normal(0, rng.uniform(0.5, 4), face.shape)
    return np.clip(np.rint(face), 0, 255).astype(np.uint8)
