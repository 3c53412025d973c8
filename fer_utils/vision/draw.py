"""Boxes, names, emoji and bars, drawn on photos and live frames.

Names, bars and status lines are small pictures of their own, uint8 (H, W, 4) RGBA, which are laid on the image.
"""
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np

from ..labels import EMOTIONS, N_CLASSES
from .emoji import RGB, bold_font, draw_emoji
from .images import to_rgb
from .predict import Face

UNSURE = "unsure"
# In pixels on an image of up to 640 pixels; all of it grows with larger images.
NAME_TEXT, STATUS_TEXT, PANEL_TEXT, PANEL_BAR = 15, 12, 11, 46
DARK_TEXT, LIGHT_TEXT, UNSURE_COLOUR = (22, 22, 22), (255, 255, 255), (110, 110, 110)
SHADE = (0, 0, 0, 166)  # below bars and status: light text can be read on it whatever the image shows
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


def annotate_live(image: np.ndarray, faces: Sequence[Face], status: Sequence[str] = (), unsure: float = 0.0,
                  mirror: bool = False) -> np.ndarray:
    """Return a copy of a live frame with what `annotate` draws, and each face's seven probabilities as bars.

    `image` is uint8 (H, W, 3) RGB; with `mirror` it is shown as in a mirror. The lines of `status` go to the lower left
    corner.
    """
    image, faces = mirrored(image, faces) if mirror else (image.copy(), faces)
    taken = [face.box for face in faces]
    for face in faces:
        _draw_bars(image, face, taken)
    _draw_names(image, faces, unsure)
    y = image.shape[0]
    for line in reversed(status):
        picture = _plate(line, round(STATUS_TEXT * _scale(image)), SHADE)
        y -= len(picture)
        _lay(picture, image, 4, y)
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


def text_colour(background: Colour) -> Colour:
    """Return black or white, whichever has more contrast (relative luminance of WCAG 2)."""
    luminance = np.dot((np.array(background[:3]) / 255) ** 2.2, (0.2126, 0.7152, 0.0722))
    return DARK_TEXT if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else LIGHT_TEXT


def _lay(picture: np.ndarray, image: np.ndarray, x: int, y: int) -> None:
    """Lay a picture, RGBA, on an image in place, the part of it that is inside."""
    below = image[max(y, 0):max(y + picture.shape[0], 0), max(x, 0):max(x + picture.shape[1], 0)]
    if below.size:
        top, left = max(-y, 0), max(-x, 0)
        seen = picture[top:top + below.shape[0], left:left + below.shape[1]]
        opaque = cv2.cvtColor(seen[..., 3], cv2.COLOR_GRAY2RGB)
        below[:] = cv2.add(cv2.multiply(below, 255 - opaque, scale=1 / 255),
                           cv2.multiply(seen[..., :3], opaque, scale=1 / 255))


def _meets(box: Box, others: Sequence[Box]) -> bool:
    x, y, width, height = box
    return any(x < left + w and left < x + width and y < top + h and top < y + height for left, top, w, h in others)


# Boxes and names.

def _draw_names(image: np.ndarray, faces: Sequence[Face], unsure: float) -> None:
    plates: list[tuple[Box, np.ndarray]] = []
    thick = line_width(image)
    for face in faces:
        x, y, width, height = face.box
        colour = RGB.get(shown_emotion(face, unsure), UNSURE_COLOUR)
        for line, thickness in ((DARK_TEXT, thick + 2), (colour, thick)):
            cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), line, thickness, cv2.LINE_AA)
        plates.append(place_plate(image, face, unsure, [box for box, _ in plates]))
    for box, plate in reversed(plates):  # the largest face comes first, its name on top
        _lay(plate, image, *box[:2])


def place_plate(image: np.ndarray, face: Face, unsure: float, taken: Sequence[Box]) -> tuple[Box, np.ndarray]:
    """Return a face's name, and where it goes: above the face or inside its upper edge.

    It is without its percentage if that would meet `taken`.
    """
    scale, emotion = _scale(image), shown_emotion(face, unsure)
    # Smaller letters on the small faces of a crowd.
    size = round(np.clip(face.box[2] * 0.17, max(NAME_TEXT * scale * 0.6, 10), NAME_TEXT * scale))
    for text in (emotion,) if emotion == UNSURE else (f"{emotion} {face.confidence:.0%}", emotion):
        plate = _plate(text, size, RGB.get(emotion, UNSURE_COLOUR), emotion)
        height, width = plate.shape[:2]
        left = int(np.clip(face.box[0] - 1, 0, max(image.shape[1] - width, 0)))
        box = (left, face.box[1] - height if face.box[1] >= height else face.box[1], width, height)
        if not _meets(box, taken):
            break
    return box, plate


@lru_cache(maxsize=512)  # some of seven names with 101 percentages each
def _plate(text: str, size: int, ground: Colour, emotion: str = UNSURE) -> np.ndarray:
    """Draw a line of text on a ground, RGB or RGBA, behind its emotion's emoji; all of one size are equally high."""
    from PIL import Image, ImageDraw

    font, pad = bold_font(size), size // 3
    height = sum(font.getmetrics()) + pad
    left = pad if emotion == UNSURE else pad + height
    plate = Image.new("RGBA", (left + max(round(font.getlength(text)), 1) + pad, height), ground)
    ImageDraw.Draw(plate).text((left, pad // 2), text, text_colour(ground), font)
    if emotion != UNSURE:
        plate.alpha_composite(Image.fromarray(draw_emoji(emotion, height)))
    return np.asarray(plate)


# Bars: a panel beside a face, or small columns below it where there is no room.

def _draw_bars(image: np.ndarray, face: Face, taken: list[Box]) -> None:
    """Draw the seven probabilities of a face right or left of it, where they meet none of `taken`, or below it."""
    (x, y, width, height), gap = face.box, line_width(image) + 4
    sizes = round(PANEL_TEXT * _scale(image)), round(PANEL_BAR * _scale(image))
    panel = _panel(*sizes)
    tall, wide = panel.shape[:2]
    top = int(np.clip(y, 0, max(image.shape[0] - tall, 0)))
    for left in (x + width + gap, x - gap - wide):
        place = (left, top, wide, tall)
        if tall <= image.shape[0] and 0 <= left <= image.shape[1] - wide and not _meets(place, taken):
            taken.append(place)
            return _lay(_with_bars(panel, *sizes, face.probabilities), image, left, top)
    columns = _columns(width, int(np.clip(height // 3, 4, 40)), face.probabilities)
    below = y + height + line_width(image)
    _lay(columns, image, x, below if below + len(columns) <= image.shape[0] else y + height - len(columns))


@lru_cache(maxsize=16)
def _panel(size: int, bar: int) -> np.ndarray:
    """Draw the seven names, in letters of a size, below one another, each before a bar's empty track."""
    from PIL import Image, ImageDraw

    font, gap = bold_font(size), size * 5 // 11
    left = size + max(round(font.getlength(name)) for name in EMOTIONS)
    panel = Image.new("RGBA", (left + bar + size // 2, gap + N_CLASSES * (size + gap)), SHADE)
    pen = ImageDraw.Draw(panel)
    for top, name in zip(range(gap, panel.height, size + gap), EMOTIONS):
        pen.text((left - size // 2, top - (sum(font.getmetrics()) - size) // 2), name, LIGHT_TEXT, font, "ra")
        pen.rectangle((left, top, left + bar - 1, top + size - 1), TRACK)
    return np.asarray(panel)


def _with_bars(panel: np.ndarray, size: int, bar: int, probabilities: np.ndarray) -> np.ndarray:
    panel, gap, left = panel.copy(), size * 5 // 11, panel.shape[1] - size // 2 - bar
    for top, name, share in zip(range(gap, len(panel), size + gap), EMOTIONS, probabilities):
        panel[top:top + size, left:left + round(bar * float(share))] = (*RGB[name], 255)
    return panel


def _columns(width: int, height: int, probabilities: np.ndarray) -> np.ndarray:
    columns = np.full((height, width, 4), SHADE, np.uint8)
    for i, (name, share) in enumerate(zip(EMOTIONS, probabilities)):
        left, right = (round(k * width / N_CLASSES) for k in (i, i + 1))
        columns[height - round((height - 2) * float(share)):, left + 1:right] = (*RGB[name], 255)
    return columns
