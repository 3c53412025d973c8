"""Photos that people send: checked, searched for faces, tabulated and packed."""
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pandas as pd

from ..labels import EMOTIONS
from ..vision.draw import annotate, shown_emotion
from ..vision.images import look_at_photo, quieten_pillow, read_photo
from ..vision.predict import Face, Predictor

MAX_BYTES = 20 * 2**20
"""The largest file that is taken."""
MAX_PHOTOS = 50
"""Photos that one person's app holds at a time."""
MAX_SENT_PIXELS = 64_000_000
"""Reading a photo of so many pixels needs about 0.5 GB; several people may share one computer."""
KEPT_SIDE = 1600
"""A photo is kept and shown with at most so many pixels on its longer side."""


@dataclass(frozen=True)
class SeenPhoto:
    """A photo that was searched for faces.

    `name` is what its owner called it: it may hold anything. `width` and `height` are those of the photo as it came,
    turned upright; so are the boxes of `faces`, largest first. `jpeg` is the photo with at most `KEPT_SIDE` pixels and
    without EXIF; it is empty where the photo could not be read, and `note` says why. `note` also mentions an animation
    or that no face was found.
    """

    name: str
    width: int = 0
    height: int = 0
    jpeg: bytes = b""
    faces: tuple[Face, ...] = ()
    note: str = ""


def analyse_photo(data: bytes, name: str, predictor: Predictor) -> SeenPhoto:
    """Find and classify the faces of a photo that somebody sent; `data` are the bytes of its file.

    A photo that cannot be read raises nothing: its `note` says what is wrong.
    """
    problem, moving = _check_header(data)
    seen = None
    if not problem:
        seen, problem = look_at_photo(data, lambda image: (image, tuple(predictor.faces(image))))
    if seen is None:
        return SeenPhoto(name, note=sentence(problem.removeprefix("this photo: ")))
    image, faces = seen
    notes = ["An animation: only its first picture was looked at."] * moving + ["No face found."] * (not faces)
    return SeenPhoto(name, image.shape[1], image.shape[0], _jpeg(_shrunk(image)), faces, " ".join(notes))


def _check_header(data: bytes) -> tuple[str, bool]:
    """Return why a photo must not be decoded ("" where it may), and whether it is an animation."""
    from PIL import Image

    if len(data) > MAX_BYTES:
        return f"larger than {MAX_BYTES >> 20} MB; shrink it first", False
    pixels, moving = 0, False
    try:
        quieten_pillow()
        with Image.open(io.BytesIO(data)) as image:  # reads the header only
            pixels = image.width * image.height
            moving = getattr(image, "is_animated", False)
    except Image.DecompressionBombError:
        pixels = MAX_SENT_PIXELS + 1
    except Exception:  # damaged headers raise errors of any kind; read_photo says what is wrong
        pass
    if pixels > MAX_SENT_PIXELS:
        return f"too many pixels (at most {MAX_SENT_PIXELS // 10**6} million); shrink it first", False
    return "", moving


def sentence(text: str) -> str:
    """Return an error's text with a capital letter and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _shrunk(image: np.ndarray) -> np.ndarray:
    scale = KEPT_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = [max(round(side * scale), 1) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _jpeg(image: np.ndarray) -> bytes:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes()


def annotated_photo(photo: SeenPhoto, unsure: float = 0.0) -> np.ndarray:
    """Return a photo with its faces drawn on it: uint8 (H, W, 3) RGB, at most `KEPT_SIDE` pixels."""
    image = read_photo(photo.jpeg)
    scale = image.shape[1] / photo.width
    faces = []
    for face in photo.faces:
        x, y, width, height = (round(v * scale) for v in face.box)
        faces.append(replace(face, box=(x, y, width, height)))
    return annotate(image, faces, unsure)


def face_table(photos: Sequence[SeenPhoto], unsure: float = 0.0) -> pd.DataFrame:
    """Tabulate the faces of photos: a row for each face, and one for each photo without any.

    The columns are the photo's number and name, the face's number, box (pixels), detector's score, emotion and
    confidence, the seven probabilities, and the photo's note. Under the confidence `unsure` the emotion is "unsure".
    """
    rows = []
    for number, photo in enumerate(photos, 1):
        for i, face in enumerate(photo.faces or [None], 1):
            row = {"number": number, "photo": photo.name, "note": photo.note}
            if face:
                row |= dict(zip(("x", "y", "width", "height"), face.box)) | dict(zip(EMOTIONS, face.probabilities))
                row |= {"face": i, "score": face.score, "emotion": shown_emotion(face, unsure),
                        "confidence": face.confidence}
            rows.append(row)
    whole = dict.fromkeys(["number", "face", "x", "y", "width", "height"], "Int64")
    return pd.DataFrame(rows, columns=["number", "photo", "face", "x", "y", "width", "height", "score", "emotion",
                                       "confidence", *EMOTIONS, "note"]).astype(whole)


def escape_formula(text: str) -> str:
    """Put a quote before a text that a spreadsheet would take for a formula and run.

        >>> escape_formula("=cmd()"), escape_formula("me.jpg")
        ("'=cmd()", 'me.jpg')
    """
    return "'" + text if text[:1] in tuple("=+-@\t\r") else text


def faces_csv(photos: Sequence[SeenPhoto], unsure: float = 0.0) -> bytes:
    """Return `face_table` as a CSV file that spreadsheets open: UTF-8 with a byte order mark."""
    table = face_table(photos, unsure)
    table["photo"] = table["photo"].map(escape_formula)
    return table.to_csv(index=False, float_format="%.4f").encode("utf-8-sig")


def results_zip(photos: Sequence[SeenPhoto], unsure: float = 0.0,
                progress: Callable[[int, int], None] | None = None) -> bytes:
    """Return the annotated photos and their table as a ZIP file, made in memory.

    It holds ``faces.csv`` and ``01_name.jpg`` and so on, numbered as in the table; photos that could not be read are
    left out. `progress` is called with (done, of) after each photo.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:  # JPEGs do not get smaller
        for number, photo in enumerate(photos, 1):
            if photo.jpeg:
                archive.writestr(f"{number:02d}_{_safe_stem(photo.name)}.jpg", _jpeg(annotated_photo(photo, unsure)))
            if progress:
                progress(number, len(photos))
        archive.writestr("faces.csv", faces_csv(photos, unsure), zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _safe_stem(name: str) -> str:
    """Return a file name's stem in characters that any system takes; the number before it makes it unique."""
    stem = re.sub(r"\.\w{1,5}$", "", re.split(r"[/\\]", name)[-1])
    return re.sub(r"[^\w-]+", "_", stem).strip("_")[:60] or "photo"
