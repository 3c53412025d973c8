"""Boxes, names, emoji and bars, drawn on photos and live frames.

Letters are DejaVu Sans, which matplotlib ships under a free licence.
"""
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from ..labels import EMOTIONS
from .emoji import RGB, draw_emoji
from .images import to_rgb
from .predict import Face

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

UNSURE = "unsure"
# In pixels on an image of up to 640 pixels; all of it grows with larger images.
NAME_TEXT, STATUS_TEXT, PANEL_TEXT, PANEL_BAR = 15, 12, 11, 46
DARK_TEXT, LIGHT_TEXT, UNSURE_COLOUR = (22, 22, 22), (255, 255, 255), (110, 110, 110)
TRACK = (60, 60, 60)  # behind the bars: neutral's own gray must stand out from it

Box = tuple[int, int, int, int]  # left, top, width, height
Colour = tuple[int, ...]


def annotate(image: np.ndarray, faces: Sequence[Face], unsure: float = 0.0) -> np.ndarray:
    """Return a copy of a photo with each face's box, emotion and emoji drawn on it.

    `image` is anything that `images.to_rgb` takes; the result is uint8 (H, W, 3) RGB. A face whose confidence is below
    `unsure`, 0 to 1, is called "unsure" instead of an emotion.
    """
    image = to_rgb(image).copy()
    _draw_names(image, faces, unsure)
    return image


def annotate_live(image: np.ndarray, faces: Sequence[Face], status: Sequence[str] = (),
                  unsure: float = 0.0) -> np.ndarray:
    """Draw on a live frame what `annotate` draws, and each face's seven probabilities as bars.

    `image`, uint8 (H, W, 3) RGB, is changed and returned. The lines of `status` go to the lower left corner.
    """
    taken = [face.box for face in faces]
    for face in faces:
        panel = _panel_place(image, face.box, taken)
        if panel:
            taken.append(panel)
            _draw_panel(image, panel, face.probabilities)
        else:
            _draw_columns(image, face.box, face.probabilities)
    _draw_names(image, faces, unsure)
    for row, line in enumerate(reversed(status), 1):
        mask = _letters(line, round(STATUS_TEXT * _scale(image)))
        y = image.shape[0] - row * (mask.shape[0] + 4)
        _shade(image, (4, y, mask.shape[1] + 8, mask.shape[0] + 2))
        _blend(image, 8, y + 1, LIGHT_TEXT, mask)
    return image


def mirrored(image: np.ndarray, faces: Sequence[Face]) -> tuple[np.ndarray, list[Face]]:
    """Return an image and its faces as in a mirror."""
    width = image.shape[1]
    return np.ascontiguousarray(image[:, ::-1]), [
        replace(face, box=(width - face.box[0] - face.box[2], *face.box[1:])) for face in faces]


def shown_emotion(face: Face, unsure: float) -> str:
    """Return the emotion that people are shown: "unsure" where the face's confidence is below `unsure`."""
    return face.emotion if face.confidence >= unsure else UNSURE


def line_width(image: np.ndarray) -> int:
    """Return the width of a box's line in pixels: 2 up to 640 pixels, in proportion above."""
    return round(2 * _scale(image))


def _scale(image: np.ndarray) -> float:
    return max(max(image.shape[:2]) / 640, 1)


# Text and pictures laid on an image.

@lru_cache(maxsize=64)
def _font(size: int) -> "FreeTypeFont":
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf", size)


@lru_cache(maxsize=2048)  # seven names with 101 percentages each, and more
def _letters(text: str, size: int) -> np.ndarray:
    """Return a line of text as a mask, uint8 (height, width). All lines of one size are equally high."""
    from PIL import Image, ImageDraw

    font = _font(size)
    mask = Image.new("L", (max(round(font.getlength(text)), 1), sum(font.getmetrics())))
    ImageDraw.Draw(mask).text((0, 0), text, 255, font)
    return np.asarray(mask)


def _inside(image: np.ndarray, box: Box) -> np.ndarray:
    """Return the part of a box that is inside an image, as a view."""
    x, y, width, height = box
    return image[max(y, 0):max(y + height, 0), max(x, 0):max(x + width, 0)]


def _blend(image: np.ndarray, x: int, y: int, picture: np.ndarray | Colour, alpha: np.ndarray) -> None:
    """Lay a picture (H, W, 3), or one colour, on an image in place, as opaque as alpha, uint8 (H, W), says."""
    below = _inside(image, (x, y, alpha.shape[1], alpha.shape[0]))
    top, left = max(-y, 0), max(-x, 0)
    seen = np.s_[top:top + below.shape[0], left:left + below.shape[1]]
    share = alpha[seen][..., None].astype(np.uint16)
    above = np.broadcast_to(np.asarray(picture, np.uint16), (*alpha.shape, 3))[seen]
    below[:] = (below * (255 - share) + above * share + 127) // 255


def _shade(image: np.ndarray, box: Box) -> None:
    """Darken a box, so that light text can be read on it whatever is below."""
    if (part := _inside(image, box)).size:
        part[:] = cv2.convertScaleAbs(part, alpha=0.35)


def text_colour(background: Colour) -> Colour:
    """Return black or white, whichever has more contrast (relative luminance of WCAG 2)."""
    luminance = np.dot((np.array(background) / 255) ** 2.2, (0.2126, 0.7152, 0.0722))
    return DARK_TEXT if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else LIGHT_TEXT


# Boxes and names.

class Plate(NamedTuple):
    """A face's name on a coloured ground: where it goes, and its text as a mask."""

    box: Box
    letters: np.ndarray


def _draw_names(image: np.ndarray, faces: Sequence[Face], unsure: float) -> None:
    plates: list[Plate] = []
    thick = line_width(image)
    for face in faces:
        x, y, width, height = face.box
        for colour, thickness in ((DARK_TEXT, thick + 2), (_colour(face, unsure), thick)):
            cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), colour, thickness, cv2.LINE_AA)
        plates.append(place_plate(image, face, unsure, [plate.box for plate in plates]))
    for face, plate in reversed(list(zip(faces, plates))):  # the largest face comes first, its name on top
        _draw_plate(image, face, unsure, plate)


def _colour(face: Face, unsure: float) -> Colour:
    return RGB[face.emotion] if face.confidence >= unsure else UNSURE_COLOUR


def place_plate(image: np.ndarray, face: Face, unsure: float, taken: Sequence[Box]) -> Plate:
    """Place a face's name above it or inside its upper edge; without its percentage if that would meet `taken`."""
    sure, scale = face.confidence >= unsure, _scale(image)
    # Smaller letters on the small faces of a crowd.
    size = round(np.clip(face.box[2] * 0.17, max(NAME_TEXT * scale * 0.6, 10), NAME_TEXT * scale))
    for text in (f"{face.emotion} {face.confidence:.0%}", face.emotion) if sure else (UNSURE,):
        letters = _letters(text, size)
        height = letters.shape[0] + size // 3
        width = letters.shape[1] + (height if sure else 0) + 2 * (size // 3)
        left = int(np.clip(face.box[0] - 1, 0, max(image.shape[1] - width, 0)))
        top = face.box[1] - height if face.box[1] >= height else face.box[1]
        plate = Plate((left, top, width, height), letters)
        if not _meets(plate.box, taken):
            break
    return plate


def _meets(box: Box, others: Sequence[Box]) -> bool:
    x, y, width, height = box
    return any(x < left + w and left < x + width and y < top + h and top < y + height for left, top, w, h in others)


def _draw_plate(image: np.ndarray, face: Face, unsure: float, plate: Plate) -> None:
    left, top, width, height = plate.box
    colour = _colour(face, unsure)
    _inside(image, plate.box)[:] = colour
    if face.confidence >= unsure:
        emoji = draw_emoji(face.emotion, height)
        _blend(image, left, top, emoji[..., :3], emoji[..., 3])
    pad = height - plate.letters.shape[0]
    _blend(image, left + width - pad - plate.letters.shape[1], top + pad // 2, text_colour(colour), plate.letters)


# Bars: a panel beside a face, or small columns below it where there is no room.

@lru_cache(maxsize=16)
def _panel_names(size: int) -> np.ndarray:
    """Return the seven names below one another, aligned right, as one mask: uint8 (height, width)."""
    masks = [_letters(name, size) for name in EMOTIONS]
    names = np.zeros((_panel_row(len(masks), size)[0], max(mask.shape[1] for mask in masks)), np.uint8)
    for i, mask in enumerate(masks):
        top = _panel_row(i, size)[0] - (mask.shape[0] - size) // 2
        names[top:top + mask.shape[0], names.shape[1] - mask.shape[1]:] |= mask
    return names


def _panel_row(i: int, size: int) -> tuple[int, int]:
    """Return where a row of the panel begins and ends, in pixels from the panel's top."""
    gap = size * 5 // 11
    return gap + i * (size + gap), (i + 1) * (size + gap)


def _panel_sizes(image: np.ndarray) -> tuple[int, int]:
    """Return the height of a panel's letters and the length of a full bar."""
    return round(PANEL_TEXT * _scale(image)), round(PANEL_BAR * _scale(image))


def _panel_place(image: np.ndarray, box: Box, taken: Sequence[Box]) -> Box | None:
    """Find room for the bars right or left of a face; None where there is none."""
    size, bar = _panel_sizes(image)
    height, names = _panel_names(size).shape
    width, gap = names + bar + 3 * size // 2, line_width(image) + 4
    if height > image.shape[0]:
        return None
    y = int(np.clip(box[1], 0, image.shape[0] - height))
    for x in (box[0] + box[2] + gap, box[0] - gap - width):
        if 0 <= x <= image.shape[1] - width and not _meets((x, y, width, height), taken):
            return x, y, width, height
    return None


def _draw_panel(image: np.ndarray, place: Box, probabilities: np.ndarray) -> None:
    """Draw seven rows of name and bar."""
    (size, bar), (x, y) = _panel_sizes(image), place[:2]
    names = _panel_names(size)
    _shade(image, place)
    _blend(image, x + size // 2, y, LIGHT_TEXT, names)
    left = x + size + names.shape[1]
    for i, (name, share) in enumerate(zip(EMOTIONS, probabilities)):
        top, below = (y + edge for edge in _panel_row(i, size))
        cv2.rectangle(image, (left, top), (left + bar - 1, below - 1), TRACK, -1)
        if share >= 0.5 / bar:
            reach = max(round(bar * float(share)), 1)
            cv2.rectangle(image, (left, top), (left + reach - 1, below - 1), RGB[name], -1)


def _draw_columns(image: np.ndarray, box: Box, probabilities: np.ndarray) -> None:
    """Draw the seven bars small, below the face or on its lower part."""
    x, y, width, height = box
    tall = int(np.clip(height // 3, 4, 40))
    top = y + height + line_width(image)
    if top + tall > image.shape[0]:
        top = y + height - tall
    step = width / len(EMOTIONS)
    _shade(image, (x, top, width, tall))
    for i, (name, share) in enumerate(zip(EMOTIONS, probabilities)):
        left, right = round(x + i * step) + 1, round(x + (i + 1) * step) - 1
        reach = round((tall - 2) * float(share))
        if reach and right >= left:
            cv2.rectangle(image, (left, top + tall - reach), (right, top + tall - 1), RGB[name], -1)
