"""Photos that somebody sends: checked, looked at, tabulated and packed."""
import io
import re
import zipfile
from dataclasses import dataclass, replace

import cv2
import pandas as pd

from ..errors import DataError
from ..labels import EMOTIONS
from ..vision import draw
from ..vision.images import heic_readable, is_heic, quieten_pillow, read_photo

MAX_BYTES = 20 * 2**20
"""Largest photo that is taken."""
MAX_PHOTOS = 50
"""Photos that one person's app holds at a time."""
MAX_PIXELS = 64_000_000
"""A photo of so many pixels needs about 0.5 GB while it is read; several people may share one computer."""
KEPT_SIDE = 1600
"""A photo is kept and shown at no more pixels than this on its longer side."""


# Photos, without a browser.

@dataclass(frozen=True)
class Photo:
    """A photo that was looked at.

    Parameters
    ----------
    name : str
        As its owner called it; anything may stand in it.
    width, height : int
        Of the photo as it came, turned upright.
    jpeg : bytes
        The photo at no more than `KEPT_SIDE` pixels, without EXIF; empty where it could not be read.
    faces : tuple of predict.Face
        Boxes in pixels of the photo as it came; largest first.
    note : str
        What is worth saying about it: no face, an animation, or why it could not be read.
    """

    name: str
    width: int = 0
    height: int = 0
    jpeg: bytes = b""
    faces: tuple = ()
    note: str = ""


def analyse_photo(data, name, predictor):
    """Find and classify the faces of a photo that somebody sent.

    Parameters
    ----------
    data : bytes
        The file: JPEG, PNG, WebP or whatever else `photos.read_photo` takes.
    name : str
    predictor : predict.Predictor

    Returns
    -------
    Photo
        One that cannot be read has no `jpeg`, and its `note` says why.
    """
    try:
        note = _check_photo(data)
        image = read_photo(data)
        faces = tuple(predictor.faces(image))
    except DataError as error:
        return Photo(name, note=sentence(str(error).removeprefix("this photo: ")))
    except Exception as error:  # one photo that breaks a decoder or detector must not end the others
        return Photo(name, note=f"Could not be looked at ({type(error).__name__}).")
    notes = [note, "" if faces else "No face found."]
    return Photo(name, image.shape[1], image.shape[0], _jpeg(_shrunk(image)), faces, " ".join(filter(None, notes)))


def _check_photo(data):
    """Return what is to be said of a photo before it is decoded; raise DataError where it must not be."""
    from PIL import Image, UnidentifiedImageError

    if len(data) > MAX_BYTES:
        raise DataError(f"larger than {MAX_BYTES >> 20} MB; shrink it first")
    if is_heic(data) and not heic_readable():
        raise DataError("HEIC cannot be read here (pip install pillow-heif); send it as JPEG")
    try:
        quieten_pillow()
        with Image.open(io.BytesIO(data)) as image:  # reads the header only
            pixels, moving = image.width * image.height, getattr(image, "n_frames", 1) > 1
    except Image.DecompressionBombError:
        pixels = MAX_PIXELS + 1
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return ""  # read_photo says what is wrong
    if pixels > MAX_PIXELS:
        raise DataError(f"too many pixels (at most {MAX_PIXELS // 10**6} million); shrink it first")
    return "An animation: only its first picture was looked at." if moving else ""


def sentence(text):
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _shrunk(image):
    scale = KEPT_SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = tuple(max(round(side * scale), 1) for side in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _jpeg(image, quality=88):
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def annotated_photo(photo, unsure=0.0):
    """Return a photo with its faces drawn on it: uint8 (H, W, 3) RGB, at most `KEPT_SIDE` pixels."""
    image = read_photo(photo.jpeg)
    scale = image.shape[1] / photo.width
    faces = [replace(face, box=tuple(round(v * scale) for v in face.box)) for face in photo.faces]
    return draw.annotate(image, faces, unsure)


def face_table(photos, unsure=0.0):
    """Tabulate the faces of photos.

    Parameters
    ----------
    photos : sequence of Photo
    unsure : float
        Under this confidence, 0 to 1, a face's emotion is "unsure".

    Returns
    -------
    DataFrame
        A row for each face, and one for a photo without any: number and name of the photo; number, box (pixels),
        detector score, emotion and confidence of the face; seven probabilities; the photo's note.
    """
    rows = []
    for number, photo in enumerate(photos, 1):
        for i, face in enumerate(photo.faces or [None], 1):
            row = {"number": number, "photo": photo.name, "note": photo.note}
            if face:
                row |= dict(zip(("x", "y", "width", "height"), face.box)) | dict(zip(EMOTIONS, face.probabilities))
                row |= {"face": i, "score": face.score, "emotion": _called(face, unsure), "confidence": face.confidence}
            rows.append(row)
    columns = ["number", "photo", "face", "x", "y", "width", "height", "score", "emotion", "confidence", *EMOTIONS,
               "note"]
    whole = dict.fromkeys(["number", "face", "x", "y", "width", "height"], "Int64")
    return pd.DataFrame(rows, columns=columns).astype(whole)


def _called(face, unsure):
    return face.emotion if face.confidence >= unsure else draw.UNSURE


def faces_csv(photos, unsure=0.0):
    """Return `face_table` as the bytes of a CSV file that spreadsheets open: UTF-8 with its mark."""
    table = face_table(photos, unsure)
    # A name such as "=cmd()" is a formula to a spreadsheet, unless a quote stands before it.
    table["photo"] = ["'" + name if name[:1] in tuple("=+-@\t\r") else name for name in table["photo"]]
    return table.to_csv(index=False, float_format="%.4f").encode("utf-8-sig")


def results_zip(photos, unsure=0.0, progress=None):
    """Return the annotated photos and the table as the bytes of a ZIP file, made in memory.

    Parameters
    ----------
    photos : sequence of Photo
    unsure : float
        Under this confidence, 0 to 1, a face is called unsure.
    progress : callable, optional
        Called with (done, of) after each photo.

    Returns
    -------
    bytes
        ``01_name.jpg`` and so on, numbered as in ``faces.csv``; photos that could not be read are left out.
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


def _safe_stem(name):
    """Return a file name's stem as any system takes it; the number before it makes it unique."""
    stem = re.sub(r"\.\w{1,5}$", "", re.split(r"[/\\]", name)[-1])
    return re.sub(r"[^\w-]+", "_", stem).strip("_")[:60] or "photo"
