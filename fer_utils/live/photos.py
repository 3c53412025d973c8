"""Photos that people send: checked, searched for faces, tabulated and packed."""
import io
import re
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..files import without_formulas
from ..labels import EMOTIONS
from ..vision.draw import annotate, shown_emotion
from ..vision.images import encode_image, is_animated, look_at_photo, read_photo, shrunk
from ..vision.predict import Face, Predictor

MAX_BYTES = 20 * 2**20  # the largest file that is taken
TOO_LARGE = f"larger than {MAX_BYTES >> 20} MB; shrink it first"
MAX_PHOTOS = 50  # photos that one person's app holds at a time
MAX_SENT_PIXELS = 64_000_000  # reading so many takes up to 0.5 GB for a moment; several people may share a computer
# Decoders of these take more for each pixel: with so many, 0.5 GB too. Before the colon: place and bytes of their mark.
_FEWER_PIXELS = {(8, b"WEBP"): 32_000_000, (4, b"jP  "): 24_000_000, (0, b"\xff\x4f\xff\x51"): 24_000_000,
                 (0, b"II"): 40_000_000, (0, b"MM"): 40_000_000, (4, b"ftyp"): 50_000_000}
MAX_SECONDS = 20.0  # for one photo; a small file can be made so that it keeps a decoder busy for minutes
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
        pixels = next((limit for (at, mark), limit in _FEWER_PIXELS.items() if data.startswith(mark, at)),
                      MAX_SENT_PIXELS)
        try:
            with _time_limit(MAX_SECONDS):
                seen, problem = look_at_photo(data, lambda image: (image, tuple(predictor.faces(image))), pixels)
        except _TooSlow:
            problem = f"took longer than {MAX_SECONDS:g} seconds; save it as JPEG"
    if seen is None:
        return SeenPhoto(name, note=sentence(problem.removeprefix("this photo: ")))
    image, faces = seen
    notes = (["An animation: only its first picture was looked at."] * is_animated(data)
             + ["No face found."] * (not faces))
    jpeg = encode_image(shrunk(image, KEPT_SIDE)[0], JPEG_QUALITY)
    return SeenPhoto(name, image.shape[1], image.shape[0], jpeg, faces, " ".join(notes))


class _TooSlow(BaseException):
    """Not an `Exception`, which those who read a damaged file catch."""


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise `_TooSlow` in what takes longer, as soon as it comes back from C; where there are no timers, never."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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


def faces_csv(photos: Sequence[SeenPhoto], unsure: float = 0.0) -> bytes:
    """Return `face_table` as a CSV file that spreadsheets open: UTF-8 with a byte order mark."""
    table = without_formulas(face_table(photos, unsure))
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
