"""The window for labelling: a face, the photo beside it, and a key for each label."""
import contextlib
import time
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from ..errors import CameraError
from ..labels import EMOTIONS
from ..vision.draw import text_colour
from ..vision.emoji import RGB, bold_font, draw_emoji
from .label_folder import NOT_A_FACE, SKIP
from .label_sources import source_picture
from .labelling import LabelSession
from .window import KeyWindow, window_problem

LABEL_KEYS = {**{str(i): name for i, name in enumerate(EMOTIONS, 1)}, "8": SKIP, " ": SKIP, "9": NOT_A_FACE,
              "n": NOT_A_FACE}
"""The label of each key: 1 to 7 are `EMOTIONS` in their order."""
UNDO_KEYS, CLOSE_KEYS = ("u", "back"), ("esc", "q")
SEEN_S = 0.15  # seconds in which a key is meant for the face before: it was pressed twice, or held
NO_WINDOW = "label in a notebook with live.LabelWidget"
_TITLE = "Label faces"
_WIDTH, _HEIGHT, _FACE, _PAD, _TOP, _KEY_HEIGHT = 1120, 640, 432, 20, 62, 40
_PAPER, _INK, _SOFT, _KEY = (28, 31, 36), (240, 240, 240), (170, 176, 186), (58, 64, 73)


def label_faces(session: LabelSession) -> dict[str, Any]:
    """Ask for the faces of a session in a window until none is left or Esc is pressed; return `label_summary`.

    Keys 1 to 7 are the emotions, Space or 8 skips, 9 or n is not a face, u or Backspace takes back, Esc or q closes.
    Raises `CameraError` where no window can be opened.
    """
    if session.current is None:
        return session.finish()
    if problem := window_problem(NO_WINDOW):
        raise CameraError(problem)
    with contextlib.closing(KeyWindow(_TITLE)) as window, contextlib.suppress(KeyboardInterrupt):
        _ask(session, window)
    return session.finish()


def _ask(session: LabelSession, window: KeyWindow) -> None:
    window.show(label_picture(session))
    shown = time.monotonic()
    while (key := window.key(50)) not in CLOSE_KEYS:
        if time.monotonic() - shown < SEEN_S:
            continue
        if key in UNDO_KEYS:
            session.undo()
        elif key in LABEL_KEYS and session.current:
            session.decide(LABEL_KEYS[key])
        else:
            continue
        window.show(label_picture(session))
        shown = time.monotonic()


def label_picture(session: LabelSession) -> np.ndarray:
    """Draw what the window shows: uint8 (H, W, 3) RGB."""
    from PIL import Image, ImageDraw

    canvas = Image.new("RGB", (_WIDTH, _HEIGHT), _PAPER)
    pen = ImageDraw.Draw(canvas)
    done, of = session.progress
    pen.text((_PAD, 18), f"{done} of {of} faces", _INK, bold_font(20))
    pen.text((_WIDTH - _PAD, 20), session.settings.annotator, _SOFT, bold_font(16), "ra")
    pen.rectangle((0, _TOP - 10, _WIDTH, _TOP - 7), _KEY)
    pen.rectangle((0, _TOP - 10, round(_WIDTH * done / max(of, 1)), _TOP - 7), RGB["surprise"])
    if session.current:
        # Large pixels are hard to look at: between them it is smoothed, and nothing is added.
        face = cv2.resize(session.folder.pixels(session.current.face), (_FACE, _FACE), interpolation=cv2.INTER_CUBIC)
        canvas.paste(Image.fromarray(face), (_PAD, _TOP))
        if session.current.box:  # else it has no photo
            _paste_source(canvas, pen, source_picture(session.current))
    else:
        pen.text((_PAD, _TOP + 40), "All faces are decided. Esc closes.", _INK, bold_font(24))
    pen.text((_PAD, _TOP + _FACE + 12), session.remark, _SOFT, bold_font(15))
    canvas.paste(Image.fromarray(_keys()), (_PAD, _HEIGHT - 2 * _KEY_HEIGHT - 24))
    return np.asarray(canvas)


def _paste_source(canvas: Any, pen: Any, picture: np.ndarray | None) -> None:
    """Put the photo right of the face, as large as there is room."""
    from PIL import Image

    left, width = 2 * _PAD + _FACE, _WIDTH - 3 * _PAD - _FACE
    if picture is None:
        pen.text((left, _TOP), "The photo is not there to be shown.", _SOFT, bold_font(15))
        return
    scale = min(width / picture.shape[1], _FACE / picture.shape[0])
    size = [max(round(side * scale), 1) for side in picture.shape[1::-1]]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas.paste(Image.fromarray(cv2.resize(picture, size, interpolation=way)), (left, _TOP))


@lru_cache(maxsize=1)
def _keys() -> np.ndarray:
    """Draw the keys and what they mean."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (_WIDTH - 2 * _PAD, 2 * _KEY_HEIGHT + 16), _PAPER)
    pen, width = ImageDraw.Draw(picture), picture.width / len(EMOTIONS)
    for i, name in enumerate(EMOTIONS):
        _draw_key(picture, pen, (round(i * width), 0), str(i + 1), name, RGB[name])
    for i, (key, name) in enumerate((("Space 8", "skip"), ("n 9", "not a face"), ("u ⌫", "undo"), ("Esc", "close"))):
        _draw_key(picture, pen, (round(i * width * 7 / 4), _KEY_HEIGHT + 12), key, name, _KEY)
    return np.asarray(picture)


def _draw_key(picture: Any, pen: Any, at: tuple[int, int], key: str, name: str, colour: tuple[int, ...]) -> None:
    from PIL import Image

    (left, top), font = at, bold_font(16)
    wide = round(font.getlength(key)) + 18
    pen.rounded_rectangle((left, top, left + wide, top + _KEY_HEIGHT - 8), 6, colour)
    pen.text((left + wide / 2, top + _KEY_HEIGHT / 2 - 4), key, text_colour(colour), font, "mm")
    left += wide + 8
    if name in EMOTIONS:
        emoji = Image.fromarray(draw_emoji(name, 24))
        picture.paste(emoji, (left, top + 4), emoji)
        left += 30
    pen.text((left, top + _KEY_HEIGHT / 2 - 4), name, _INK, bold_font(14), "lm")
