"""What is drawn on photos and live frames: boxes, names, emoji and bars.

The emoji are our own drawings, made of circles, arcs and lines at the size asked for. Letters are DejaVu Sans,
which comes with matplotlib under a free licence.
"""
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from ..labels import EMOTIONS
from .emoji import RGB, draw_emoji
from .images import to_rgb

TEXT = 15  # height of letters in pixels on an image of 640 pixels; larger images get larger ones
UNSURE = "unsure"
DARK, LIGHT, GRAY = (22, 22, 22), (255, 255, 255), (110, 110, 110)
TRACK = (60, 60, 60)  # behind the bars: neutral's own gray must stand out from it


# Text and pictures laid on an image.

@lru_cache(maxsize=64)
def _font(size):
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf", size)


@lru_cache(maxsize=2048)  # seven names with 101 percentages each, and more
def _letters(text, size):
    """Return a line of text as a mask, uint8 (height, width); all lines of one size are equally high."""
    font = _font(size)
    ascent, descent = font.getmetrics()
    mask = np.zeros((ascent + descent, max(round(font.getlength(text)), 1)), np.uint8)
    glyphs, (x, y) = font.getmask2(text, mode="L")
    if glyphs.size[0]:
        pixels = np.asarray(glyphs, np.uint8).reshape(glyphs.size[::-1])
        part = mask[y:y + pixels.shape[0], x:x + pixels.shape[1]]
        part[:] = pixels[:part.shape[0], :part.shape[1]]
    return mask


def _inside(image, x, y, width, height):
    """Cut a rectangle to an image: slices into the image, and those into the rectangle."""
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + width, image.shape[1]), min(y + height, image.shape[0])
    x1, y1 = max(x1, x0), max(y1, y0)
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))


def _blend(image, x, y, colour, alpha):
    """Lay a colour, or a picture (H, W, 3), on an image in place where alpha, uint8 (H, W), lets it show."""
    there, here = _inside(image, x, y, alpha.shape[1], alpha.shape[0])
    share = alpha[here][..., None].astype(np.uint16)
    picture = np.asarray(colour, np.uint16) if np.ndim(colour) == 1 else colour[here].astype(np.uint16)
    image[there] = (image[there] * (255 - share) + picture * share + 127) // 255


def _shade(image, x, y, width, height, share=0.35):
    """Darken a rectangle, so that light text can be read on it whatever is below."""
    there, _ = _inside(image, x, y, width, height)
    if image[there].size:
        image[there] = cv2.convertScaleAbs(image[there], alpha=share)


def _text_colour(background):
    """Black or white, whichever has more contrast (WCAG's relative luminance)."""
    linear = [(v / 255) ** 2.2 for v in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return DARK if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else LIGHT


def _text_size(image, box):
    """Return the letters' height: by the image's size, smaller on small faces of a crowd."""
    whole = TEXT * max(max(image.shape[:2]) / 640, 1)
    return round(np.clip(box[2] * 0.17, max(whole * 0.6, 10), whole))


def line_width(image):
    """Return the width of a box's line in pixels: 2 up to 640 pixels, in proportion above."""
    return max(round(2 * max(image.shape[:2]) / 640), 2)


def _box(image, face, colour):
    x, y, width, height = face.box
    corners = (x, y), (x + width - 1, y + height - 1)
    thick = line_width(image)
    cv2.rectangle(image, *corners, DARK, thick + 2, cv2.LINE_AA)
    cv2.rectangle(image, *corners, colour, thick, cv2.LINE_AA)


def _name(image, face, unsure, taken):
    """Find the emotion's plate: above the face, or in its upper edge; without a number where that meets another plate.

    Returns
    -------
    plate : (int, int, int, int)
        Left, top, width, height.
    mask : ndarray
        The text's.
    """
    sure = face.confidence >= unsure
    size = _text_size(image, face.box)
    for text in (f"{face.emotion} {face.confidence:.0%}", face.emotion) if sure else (UNSURE,):
        mask = _letters(text, size)
        height = mask.shape[0] + size // 3
        width = mask.shape[1] + (height if sure else 0) + 2 * (size // 3)
        left = int(np.clip(face.box[0] - 1, 0, max(image.shape[1] - width, 0)))
        top = face.box[1] - height if face.box[1] >= height else face.box[1]
        plate = left, top, width, height
        if not any(_meet(plate, other) for other in taken):
            break
    return plate, mask


def _meet(a, b):
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _plate(image, face, unsure, plate, mask):
    left, top, width, height = plate
    sure = face.confidence >= unsure
    colour = RGB[face.emotion] if sure else GRAY
    there, _ = _inside(image, *plate)
    image[there] = colour
    if sure:
        sprite = draw_emoji(face.emotion, height)
        _blend(image, left, top, sprite[..., :3], sprite[..., 3])
    pad = height - mask.shape[0]
    _blend(image, left + width - pad - mask.shape[1], top + pad // 2, _text_colour(colour), mask)


def _colour(face, unsure):
    return RGB[face.emotion] if face.confidence >= unsure else GRAY


def annotate(image, faces, unsure=0.0):
    """Draw faces' boxes, emotions and emoji on a copy of a photo.

    Parameters
    ----------
    image : ndarray
        As `photos.to_rgb` takes it.
    faces : list of predict.Face
        Boxes in pixels of this image.
    unsure : float
        A face whose confidence is below this, 0 to 1, is called "unsure" instead of an emotion.

    Returns
    -------
    ndarray
        uint8 (H, W, 3), RGB, new. Lines and letters grow with the image.
    """
    image = to_rgb(image).copy()
    _names(image, faces, unsure)
    return image


def _names(image, faces, unsure):
    for face in faces:
        _box(image, face, _colour(face, unsure))
    plates = []
    for face in faces:
        plates.append(_name(image, face, unsure, [plate for plate, _ in plates]))
    for face, (plate, mask) in reversed(list(zip(faces, plates))):  # the largest face comes first, its name on top
        _plate(image, face, unsure, plate, mask)


def annotate_live(image, faces, status=(), unsure=0.0):
    """Draw on a live frame, in place: what `annotate` draws, and each face's seven probabilities as bars.

    Parameters
    ----------
    image : ndarray
        uint8 (H, W, 3), RGB; it is changed.
    faces : list of predict.Face
    status : sequence of str
        Lines for the lower left corner: frames a second, the keys. They grow with the image.
    unsure : float
        As in `annotate`.

    Returns
    -------
    ndarray
        `image`.
    """
    taken = [face.box for face in faces]
    for face in faces:
        place = _panel_place(image, face.box, [box for box in taken if box is not face.box])
        if place:
            taken.append(place)
            _panel(image, place, face.probabilities)
        else:
            _columns(image, face.box, face.probabilities)
    _names(image, faces, unsure)
    size = round(12 * max(max(image.shape[:2]) / 640, 1))  # large frames are shown shrunk
    for row, line in enumerate(reversed(status)):
        mask = _letters(line, size)
        y = image.shape[0] - (row + 1) * (mask.shape[0] + 4)
        _shade(image, 4, y, mask.shape[1] + 8, mask.shape[0] + 2)
        _blend(image, 8, y + 1, LIGHT, mask)
    return image


PANEL_TEXT, PANEL_BAR = 11, 46  # on 640 pixels: height of letters, length of a full bar


@lru_cache(maxsize=16)
def _panel_names(text):
    """Return the seven names below one another, aligned right, as one mask: uint8 (height, width)."""
    masks = [_letters(name, text) for name in EMOTIONS]
    names = np.zeros((_row(len(masks), text)[0], max(mask.shape[1] for mask in masks)), np.uint8)
    for i, mask in enumerate(masks):
        top = _row(i, text)[0] - (mask.shape[0] - text) // 2
        names[top:top + mask.shape[0], names.shape[1] - mask.shape[1]:] |= mask
    return names


def _row(i, text):
    """Return where a row of the panel begins and ends, in pixels from the panel's top."""
    gap = text * 5 // 11
    return gap + i * (text + gap), (i + 1) * (text + gap)


def _panel_size(image):
    """Return the height of letters, the length of a full bar, and the panel's width and height."""
    scale = max(max(image.shape[:2]) / 640, 1)
    text, bar = round(PANEL_TEXT * scale), round(PANEL_BAR * scale)
    height, names = _panel_names(text).shape
    return text, bar, names + bar + 3 * text // 2, height


def _panel_place(image, box, taken):
    """Find room for the bars right or left of a face: (x, y, width, height), or None where there is none."""
    _, _, width, height = _panel_size(image)
    gap = line_width(image) + 4
    if height > image.shape[0]:
        return None
    y = int(np.clip(box[1], 0, image.shape[0] - height))
    for x in (box[0] + box[2] + gap, box[0] - gap - width):
        free = all(x >= bx + bw or x + width <= bx or y >= by + bh or y + height <= by for bx, by, bw, bh in taken)
        if x >= 0 and x + width <= image.shape[1] and free:
            return x, y, width, height
    return None


def _panel(image, place, probabilities):
    """Draw seven rows of name and bar."""
    text, bar, width, height = _panel_size(image)
    x, y = place[:2]
    _shade(image, *place)
    names = _panel_names(text)
    _blend(image, x + text // 2, y, LIGHT, names)
    left = x + text + names.shape[1]
    for i, (name, share) in enumerate(zip(EMOTIONS, probabilities)):
        top, below = _row(i, text)
        cv2.rectangle(image, (left, y + top), (left + bar - 1, y + below - 1), TRACK, -1)
        if share >= 0.5 / bar:
            end = left + max(round(bar * float(share)), 1)
            cv2.rectangle(image, (left, y + top), (end - 1, y + below - 1), RGB[name], -1)


def _columns(image, box, probabilities):
    """Draw the seven bars small, below the face or on its lower part, where there is no room beside it."""
    x, y, width, height = box
    tall = int(np.clip(height // 3, 4, 40))
    top = y + height + line_width(image)
    top = top if top + tall <= image.shape[0] else y + height - tall
    step = width / len(EMOTIONS)
    _shade(image, x, top, width, tall)
    for i, (name, share) in enumerate(zip(EMOTIONS, probabilities)):
        left, right = round(x + i * step) + 1, round(x + (i + 1) * step) - 1
        reach = round((tall - 2) * float(share))
        if reach and right >= left:
            cv2.rectangle(image, (left, top + tall - reach), (right, top + tall - 1), RGB[name], -1)


def mirrored(image, faces):
    """Return an image and its faces as in a mirror."""
    width = image.shape[1]
    return np.ascontiguousarray(image[:, ::-1]), [
        replace(face, box=(width - face.box[0] - face.box[2], *face.box[1:])) for face in faces]
