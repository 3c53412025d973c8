"""Emoji of the seven emotions: faces of the font DejaVu Sans, which matplotlib ships, coloured."""
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..labels import COLOURS, EMOTIONS, emotion_index

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

RGB = {name: tuple(int(colour[i:i + 2], 16) for i in (1, 3, 5)) for name, colour in COLOURS.items()}
"""`labels.COLOURS` as (red, green, blue), 0 to 255."""
_SUPERSAMPLE = 4  # pixels drawn for each pixel of an emoji, both ways: smooth edges after INTER_AREA
LETTERS = "😠😝😧😄😢😲😐"
"""The emoji, in the order of `EMOTIONS`."""
_SKINS = {"angry": (240, 96, 60), "disgust": (140, 190, 70), "fear": (150, 190, 235)}  # the others: _YELLOW
_YELLOW, _INK, _WHITE = (255, 205, 60), (70, 42, 16), (255, 255, 255)


@lru_cache(maxsize=64)
def bold_font(size: int) -> "FreeTypeFont":
    """Return DejaVu Sans Bold, a free font, with letters of so many pixels."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf", size)


@lru_cache(maxsize=256)
def draw_emoji(emotion: str | int, size: int) -> np.ndarray:
    """Draw the emoji of an emotion, by its name or label.

    The result is uint8 (size, size, 4), RGBA, transparent around the face; it is drawn once and kept, so read-only.

        >>> draw_emoji("happy", 24).shape
        (24, 24, 4)
    """
    from PIL import Image, ImageDraw

    label = emotion_index(emotion)
    if label is None:
        raise ValueError(f"emoji: no emotion {emotion!r}; choose one of {', '.join(EMOTIONS)}")
    if size < 1:
        raise ValueError(f"emoji: size is {size}; it must be at least 1 pixel")
    side, letter, skin = size * _SUPERSAMPLE, LETTERS[label], _SKINS.get(EMOTIONS[label], _YELLOW)
    font = bold_font(round(1.2 * side))
    left, top, right, bottom = font.getbbox(letter)
    drawing = Image.new("L", (side, side))
    ImageDraw.Draw(drawing).text(((side - left - right) / 2, (side - top - bottom) / 2), letter, 255, font)
    # The letter draws a face in a ring. The disc takes the ring's place.
    canvas, inside = np.zeros((side, side, 4), np.uint8), np.zeros((side, side), np.uint8)
    for picture, radius, colour in ((canvas, 0.98, [int(0.72 * v) for v in skin]), (canvas, 0.9, skin),
                                    (inside, 0.8, (255,))):
        cv2.circle(picture, (side // 2, side // 2), round(radius * side / 2), (*colour, 255), cv2.FILLED)
    ink = cv2.threshold(np.asarray(drawing) & inside, 127, 255, cv2.THRESH_BINARY)[1]
    outlines = cv2.findContours(ink, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(canvas, outlines, -1, (*_WHITE, 255), cv2.FILLED)  # eyes, teeth: what lines enclose
    canvas[ink > 0] = (*_INK, 255)
    emoji = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    emoji.setflags(write=False)
    return emoji
