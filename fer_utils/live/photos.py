"""Photos that people send: checked, searched for faces, tabulated and packed."""
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..labels import EMOTIONS
from ..vision.draw import annotate, shown_emotion
from ..vision.images import encode_image, is_animated, look_at_photo, read_photo, shrunk
from ..vision.predict import Face, Predictor

MAX_BYTES = 20 * 2**20  # the largest file that is taken
TOO_LARGE = f"larger than {MAX_BYTES >> 20} MB; shrink it first"
MAX_PHOTOS = 50  # photos that one person's app holds at a time
MAX_SENT_PIXELS = 64_000_000  # reading so many takes 0.3 to 1 GB for a moment; several people may share a computer
JPEG_QUALITY = 88
KEPT_SIDE = 1600  # a photo is kept and shown with at most so many pixels on its longer side


@dataclass(frozen=True)
class SeenPhoto:
    """A photo that was searched for faces.

    `name` is what its owner called it: it may hold anything. `width`, `height` and the boxes of `faces` (largest first)
    are those of the photo as it came, turned upright. `jpeg` is the photo with at most `KEPT_SIDE` pixels and without
    EXIF, empty where it could not be read. `note` says why, or that it is an animation or shows no face.
    """

    name: str
    width: int = 0
    height: int = 0
    jpeg: bytes = b""
    faces: tuple[Face, ...] = ()
    note: str = ""


def analyse_photo(data: bytes, name: str, predictor: Predictor) -> SeenPhoto:
    """Find and classify the faces of a photo that somebody sent, the bytes of a file, whatever they hold."""
    seen, problem = None, TOO_LARGE
    if len(data) <= MAX_BYTES:
        seen, problem = look_at_photo(data, lambda image: (image, tuple(predictor.faces(image))), MAX_SENT_PIXELS)
    if seen is None:
        return SeenPhoto(name, note=sentence(problem.removeprefix("this photo: ")))
    image, faces = seen
    notes = (["An animation: only its first picture was looked at."] * is_animated(data)
             + ["No face found."] * (not faces))
    jpeg = encode_image(shrunk(image, KEPT_SIDE)[0], JPEG_QUALITY)
    return SeenPhoto(name, image.shape[1], image.shape[0], jpeg, faces, " ".join(notes))


def sentence(text: str) -> str:
    """Return an error's text with a capital letter and a full stop."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def annotated_photo(photo: SeenPhoto, unsure: float = 0.0) -> np.ndarray:
    """Return a photo with its faces drawn on it: uint8 (H, W, 3) RGB, at most `KEPT_SIDE` pixels."""
    image = read_photo(photo.jpeg)
    scale = image.shape[1] / photo.width
    return annotate(image, [replace(face, box=tuple(round(v * scale) for v in face.box)) for face in photo.faces],
                    unsure)


def face_table(photos: Sequence[SeenPhoto], unsure: float = 0.0) -> pd.DataFrame:
    """Tabulate the faces of photos: a row for each face, and one for each photo without any.

    Under the confidence `unsure` a face's emotion is "unsure".
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
    """Return a ZIP file of ``faces.csv`` and the annotated photos, ``01_name.jpg`` and so on as the table numbers them.

    Photos that could not be read are left out. `progress` is called with (done, of) after each photo.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:  # JPEGs do not get smaller
        for number, photo in enumerate(photos, 1):
            if photo.jpeg:
                archive.writestr(f"{number:02d}_{_safe_stem(photo.name)}.jpg",
                                 encode_image(annotated_photo(photo, unsure), JPEG_QUALITY))
            if progress:
                progress(number, len(photos))
        archive.writestr("faces.csv", faces_csv(photos, unsure), zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _safe_stem(name: str) -> str:
    """Return a file name's stem in characters that any system takes; the number before it makes it unique."""
    stem = re.sub(r"\.\w{1,5}$", "", re.split(r"[/\\]", name)[-1])
    return re.sub(r"[^\w-]+", "_", stem).strip("_")[:60] or "photo"
