"""Emoji of the seven emotions, drawn."""
from functools import lru_cache

import cv2
import numpy as np

from ..labels import COLOURS, EMOTIONS, emotion_index

SUPERSAMPLE = 4  # pixels drawn for each pixel of an emoji, both ways: smooth edges after INTER_AREA
RGB = {name: tuple(int(colour[i:i + 2], 16) for i in (1, 3, 5)) for name, colour in COLOURS.items()}
"""`labels.COLOURS` as (red, green, blue), 0 to 255."""
# Emoji. Coordinates are in the face's own circle: -1 to 1 both ways, x to the right and y down.

INK, WHITE, MOUTH, TONGUE, TEAR = (70, 42, 16), (255, 255, 255), (96, 24, 24), (235, 100, 110), (70, 160, 240)
YELLOW, RED, GREEN, PALE = (255, 205, 60), (240, 96, 60), (140, 190, 70), (150, 190, 235)


def draw_emoji(emotion, size):
    """Draw the emoji of an emotion.

    Parameters
    ----------
    emotion : str or int
        A class of `EMOTIONS`, by name or label.
    size : int
        Side in pixels, at least 1.

    Returns
    -------
    ndarray
        uint8 (size, size, 4), RGBA, transparent around the face; read-only, for it is drawn once and kept.

    Raises
    ------
    ValueError
        No such emotion, or no size.
    """
    label = emotion_index(emotion)
    if label is None:
        raise ValueError(f"emoji: no emotion {emotion!r}; choose one of {', '.join(EMOTIONS)}")
    if size < 1:
        raise ValueError(f"emoji: size is {size}; it must be at least 1 pixel")
    return _emoji(EMOTIONS[label], int(size))


@lru_cache(maxsize=256)
def _emoji(emotion, size):
    pen = _Pen(size * SUPERSAMPLE)
    skin = {"angry": RED, "disgust": GREEN}.get(emotion, YELLOW)
    pen.disc(0, 0, 0.98, tuple(int(0.72 * v) for v in skin))
    pen.disc(0, 0, 0.9, skin)
    _FEATURES[emotion](pen)
    sprite = np.dstack([pen.canvas, _Pen(size * SUPERSAMPLE).disc(0, 0, 0.98, WHITE).canvas[..., 0]])
    sprite = cv2.resize(sprite, (size, size), interpolation=cv2.INTER_AREA)
    sprite.setflags(write=False)
    return sprite


class _Pen:
    """Draws on a square canvas in the coordinates of the face's circle."""

    def __init__(self, side):
        self.canvas, self.half = np.zeros((side, side, 3), np.uint8), side / 2

    def _at(self, *points):
        return np.round((np.array(points) + 1) * self.half * 16).astype(np.int32)  # OpenCV draws at 1/16 of a pixel

    def _width(self, width):
        return max(round(width * self.half), 1)

    def disc(self, x, y, radius, colour, height=None):
        axes = tuple(int(r * self.half * 16) for r in (radius, height or radius))
        cv2.ellipse(self.canvas, tuple(map(int, self._at((x, y))[0])), axes, 0, 0, 360, colour, -1, cv2.LINE_AA, 4)
        return self

    def line(self, points, width, colour=INK):
        cv2.polylines(self.canvas, [self._at(*points)], False, colour, self._width(width), cv2.LINE_AA, 4)

    def shape(self, points, colour):
        cv2.fillPoly(self.canvas, [self._at(*points)], colour, cv2.LINE_AA, 4)

    def arc(self, x, y, radius, height, start, end, width, colour=INK):
        self.line(_arc(x, y, radius, height, start, end), width, colour)


def _arc(x, y, radius, height, start, end):
    """Points of an ellipse from one angle to another, in degrees; 0 is right, 90 is down."""
    angles = np.radians(np.linspace(start, end, 40))
    return np.stack([x + radius * np.cos(angles), y + height * np.sin(angles)], 1)


def _eyes(pen, white=0.0, pupil=0.11, y=-0.16, height=None):
    for side in (-0.36, 0.36):
        if white:
            pen.disc(side, y, white * 1.2, INK, white * 1.2)
            pen.disc(side, y, white, WHITE)
        pen.disc(side, y, pupil, INK, height)


def _brows(pen, inner, outer, width=0.09):
    for side in (-1, 1):
        pen.line([(side * 0.16, inner), (side * 0.58, outer)], width)


def _draw_angry(pen):
    _eyes(pen, pupil=0.12, y=-0.06)
    _brows(pen, -0.16, -0.46, 0.14)
    pen.arc(0, 0.72, 0.4, 0.32, 200, 340, 0.12)


def _draw_disgust(pen):
    for side in (-1, 1):  # squeezed eyes: > <
        pen.line([(side * 0.56, -0.36), (side * 0.22, -0.2), (side * 0.56, -0.06)], 0.09)
    x = np.linspace(-0.46, 0.46, 40)
    pen.shape([*_arc(0.12, 0.44, 0.2, 0.36, 0, 180)], TONGUE)
    pen.line([(0.12, 0.5), (0.12, 0.64)], 0.04, MOUTH)
    pen.line(np.stack([x, 0.42 + 0.08 * np.sin(x * 14)], 1), 0.1)


def _draw_fear(pen):
    pen.shape(_arc(0, 0, 0.9, 0.9, 192, 348), PALE)  # the blood leaves the forehead
    _eyes(pen, white=0.2, pupil=0.07, y=-0.14)
    _brows(pen, -0.62, -0.44, 0.08)
    pen.shape([(-0.44, 0.68), (-0.36, 0.36), (0.36, 0.36), (0.44, 0.68)], MOUTH)
    pen.shape([(-0.36, 0.6), (-0.31, 0.43), (0.31, 0.43), (0.36, 0.6)], WHITE)
    for x in (-0.17, 0, 0.17):
        pen.line([(x, 0.43), (x, 0.6)], 0.03, MOUTH)


def _draw_happy(pen):
    for side in (-0.36, 0.36):
        pen.arc(side, -0.08, 0.18, 0.2, 190, 350, 0.11)
    pen.shape(_arc(0, 0.14, 0.56, 0.58, 0, 180), MOUTH)
    pen.shape([(-0.53, 0.14), (0.53, 0.14), (0.47, 0.3), (-0.47, 0.3)], WHITE)
    pen.shape(_arc(0, 0.66, 0.3, 0.2, 180, 360), TONGUE)


def _draw_sad(pen):
    _eyes(pen, pupil=0.11, y=-0.08)
    _brows(pen, -0.5, -0.32, 0.09)
    pen.arc(0, 0.66, 0.34, 0.24, 200, 340, 0.1)
    pen.shape([(-0.46, 0.06), (-0.6, 0.36), (-0.32, 0.36)], TEAR)
    pen.disc(-0.46, 0.4, 0.15, TEAR)


def _draw_surprise(pen):
    _eyes(pen, white=0.21, pupil=0.1, y=-0.14)
    for side in (-0.38, 0.38):
        pen.arc(side, -0.42, 0.22, 0.16, 200, 340, 0.08)
    pen.disc(0, 0.48, 0.22, MOUTH, 0.3)


def _draw_neutral(pen):
    _eyes(pen, pupil=0.12, y=-0.14)
    pen.line([(-0.4, 0.4), (0.4, 0.4)], 0.11)


_FEATURES = {"angry": _draw_angry, "disgust": _draw_disgust, "fear": _draw_fear, "happy": _draw_happy,
             "sad": _draw_sad, "surprise": _draw_surprise, "neutral": _draw_neutral}
