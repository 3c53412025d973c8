"""Emoji of the seven emotions, drawn from circles, arcs and lines at the size asked for."""
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..labels import COLOURS, EMOTIONS, emotion_index

_SUPERSAMPLE = 4  # pixels drawn for each pixel of an emoji, both ways: smooth edges after INTER_AREA
_FIXED_BITS = 4  # OpenCV draws at 1/16 of a pixel
RGB = {name: tuple(int(colour[i:i + 2], 16) for i in (1, 3, 5)) for name, colour in COLOURS.items()}
"""`labels.COLOURS` as (red, green, blue), 0 to 255."""

INK, WHITE, MOUTH, TONGUE, TEAR = (70, 42, 16), (255, 255, 255), (96, 24, 24), (235, 100, 110), (70, 160, 240)
YELLOW, ANGRY_RED, DISGUST_GREEN, PALE = (255, 205, 60), (240, 96, 60), (140, 190, 70), (150, 190, 235)


def draw_emoji(emotion: str | int, size: int) -> np.ndarray:
    """Draw the emoji of an emotion, by its name or label.

    The result is uint8 (size, size, 4), RGBA, transparent around the face; it is drawn once and kept, so read-only.

        >>> draw_emoji("happy", 24).shape
        (24, 24, 4)
    """
    label = emotion_index(emotion)
    if label is None:
        raise ValueError(f"emoji: no emotion {emotion!r}; choose one of {', '.join(EMOTIONS)}")
    if size < 1:
        raise ValueError(f"emoji: size is {size}; it must be at least 1 pixel")
    return _emoji(EMOTIONS[label], int(size))


@lru_cache(maxsize=256)
def _emoji(emotion: str, size: int) -> np.ndarray:
    pen = _Pen(size * _SUPERSAMPLE)
    skin = {"angry": ANGRY_RED, "disgust": DISGUST_GREEN}.get(emotion, YELLOW)
    pen.disc(0, 0, 0.98, [int(0.72 * v) for v in skin])
    pen.disc(0, 0, 0.9, skin)
    _draw_features(pen, emotion)
    emoji = cv2.resize(pen.canvas, (size, size), interpolation=cv2.INTER_AREA)
    emoji.setflags(write=False)
    return emoji


class _Pen:
    """Draws on a transparent square in the face's own coordinates: -1 to 1 both ways, x to the right and y down."""

    def __init__(self, side: int):
        self.canvas, self.half = np.zeros((side, side, 4), np.uint8), side / 2

    def _at(self, points: ArrayLike) -> np.ndarray:
        return np.round((np.asarray(points) + 1) * self.half * 2**_FIXED_BITS).astype(np.int32)

    def disc(self, x: float, y: float, radius: float, colour: Sequence[int], height: float | None = None) -> None:
        axes = [int(r * self.half * 2**_FIXED_BITS) for r in (radius, height or radius)]
        cv2.ellipse(self.canvas, self._at((x, y)).tolist(), axes, 0, 0, 360, (*colour, 255), -1, cv2.LINE_AA,
                    _FIXED_BITS)

    def line(self, points: ArrayLike, width: float, colour: Sequence[int] = INK) -> None:
        cv2.polylines(self.canvas, [self._at(points)], False, (*colour, 255), max(round(width * self.half), 1),
                      cv2.LINE_AA, _FIXED_BITS)

    def shape(self, points: ArrayLike, colour: Sequence[int]) -> None:
        cv2.fillPoly(self.canvas, [self._at(points)], (*colour, 255), cv2.LINE_AA, _FIXED_BITS)

    def eyes(self, y: float, pupil: float, white: float = 0.0) -> None:
        for x in (-0.36, 0.36):
            if white:
                self.disc(x, y, white * 1.2, INK)
                self.disc(x, y, white, WHITE)
            self.disc(x, y, pupil, INK)

    def brows(self, inner: float, outer: float, width: float) -> None:
        for side in (-1, 1):
            self.line([(side * 0.16, inner), (side * 0.58, outer)], width)


def _arc(x: float, y: float, radius: float, height: float, start: float, end: float) -> np.ndarray:
    """Return points of an ellipse from one angle to another, in degrees; 0 is right, 90 is down."""
    angles = np.radians(np.linspace(start, end, 40))
    return np.stack([x + radius * np.cos(angles), y + height * np.sin(angles)], 1)


def _draw_features(pen: _Pen, emotion: str) -> None:
    match emotion:
        case "angry":
            pen.eyes(-0.06, 0.12)
            pen.brows(-0.16, -0.46, 0.14)
            pen.line(_arc(0, 0.72, 0.4, 0.32, 200, 340), 0.12)
        case "disgust":
            for side in (-1, 1):  # squeezed eyes: > <
                pen.line([(side * 0.56, -0.36), (side * 0.22, -0.2), (side * 0.56, -0.06)], 0.09)
            along = np.linspace(-0.46, 0.46, 40)
            pen.shape(_arc(0.12, 0.44, 0.2, 0.36, 0, 180), TONGUE)
            pen.line([(0.12, 0.5), (0.12, 0.64)], 0.04, MOUTH)
            pen.line(np.stack([along, 0.42 + 0.08 * np.sin(along * 14)], 1), 0.1)
        case "fear":
            pen.shape(_arc(0, 0, 0.9, 0.9, 192, 348), PALE)  # the blood leaves the forehead
            pen.eyes(-0.14, 0.07, 0.2)
            pen.brows(-0.62, -0.44, 0.08)
            pen.shape([(-0.44, 0.68), (-0.36, 0.36), (0.36, 0.36), (0.44, 0.68)], MOUTH)
            pen.shape([(-0.36, 0.6), (-0.31, 0.43), (0.31, 0.43), (0.36, 0.6)], WHITE)
            for x in (-0.17, 0, 0.17):
                pen.line([(x, 0.43), (x, 0.6)], 0.03, MOUTH)
        case "happy":
            for x in (-0.36, 0.36):
                pen.line(_arc(x, -0.08, 0.18, 0.2, 190, 350), 0.11)
            pen.shape(_arc(0, 0.14, 0.56, 0.58, 0, 180), MOUTH)
            pen.shape([(-0.53, 0.14), (0.53, 0.14), (0.47, 0.3), (-0.47, 0.3)], WHITE)
            pen.shape(_arc(0, 0.66, 0.3, 0.2, 180, 360), TONGUE)
        case "sad":
            pen.eyes(-0.08, 0.11)
            pen.brows(-0.5, -0.32, 0.09)
            pen.line(_arc(0, 0.66, 0.34, 0.24, 200, 340), 0.1)
            pen.shape([(-0.46, 0.06), (-0.6, 0.36), (-0.32, 0.36)], TEAR)
            pen.disc(-0.46, 0.4, 0.15, TEAR)
        case "surprise":
            pen.eyes(-0.14, 0.1, 0.21)
            for x in (-0.38, 0.38):
                pen.line(_arc(x, -0.42, 0.22, 0.16, 200, 340), 0.08)
            pen.disc(0, 0.48, 0.22, MOUTH, 0.3)
        case "neutral":
            pen.eyes(-0.14, 0.12)
            pen.line([(-0.4, 0.4), (0.4, 0.4)], 0.11)
