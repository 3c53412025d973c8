"""Widgets for a browser: its own camera for kernels that have none, and the photo app.

Pictures travel in messages and never in traits, which Jupyter may save into the notebook file. The browser asks and
the kernel answers, one answer to a question, so that no more is sent than is dealt with.
"""

import io
import re
import sys
import time
import zipfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import anywidget
import cv2
import numpy as np
import pandas as pd

from . import draw, paths
from .labels import COLOURS, EMOTIONS
from .live import Smoother
from .paths import DataError
from .photos import heic_readable, is_heic, quieten_pillow, read_photo
from .predict import Face

STATIC = Path(__file__).parent / "static"
MAX_BYTES = 20 * 2**20
"""Largest photo that is taken."""
MAX_PHOTOS = 50
"""Photos that one person's app holds at a time."""
MAX_PIXELS = 64_000_000
"""A photo of so many pixels needs about 0.5 GB while it is read; several people may share one computer."""
KEPT_SIDE = 1600
"""A photo is kept and shown at no more pixels than this on its longer side."""
MAX_CAPTURES = 50
"""Captures that a camera widget keeps: the last ones."""


def browser_camera(predictor, mirror=True):
    """Return a widget that shows the browser's own camera with what a network sees in each face.

    Start asks for the camera; Space captures; Esc stops and gives the camera back; each is a button too. Frames of at
    most 640 pixels are sent as JPEG, the next one when the last has been answered.

    Where it works: JupyterLab 4, Notebook 7 and Voilà, on a page from https or localhost (browsers give no camera to
    other pages). Google Colab shows widgets of this kind and asks for the camera for its output frame: allow it. VS
    Code shows the widget, but its notebook page has no camera permission, so Start says that it is refused: open the
    notebook in a browser (JupyterLab) instead. A kernel that is busy with a cell answers no frame until it is done.

    Parameters
    ----------
    predictor : predict.Predictor
    mirror : bool
        Show the picture as a mirror does, and capture it so.

    Returns
    -------
    BrowserCamera
        Its `captures` hold what was captured, oldest first.
    """
    return BrowserCamera(predictor, mirror)


def photo_app(predictor, unsure=0.4):
    """Return the photo app: photos in, faces with their expressions out, as pictures, table, CSV and ZIP.

    Photos are sent to the kernel and held there in memory, at most `MAX_PHOTOS` and shrunk to `KEPT_SIDE`, until they
    are cleared or the kernel ends. Nothing is written to disk, to the notebook file or to a log.

    Parameters
    ----------
    predictor : predict.Predictor
    unsure : float
        Under this confidence, 0 to 1, a face is called unsure; a slider moves it.

    Returns
    -------
    PhotoApp
        Its `photos` hold what was looked at, in order.
    """
    return PhotoApp(predictor, unsure)


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
        return Photo(name, note=_sentence(str(error).removeprefix("this photo: ")))
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


def _sentence(text):
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


# The browser's side of both widgets.

def _static(*names):
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)


class _Answering(anywidget.AnyWidget):
    """Answer each of the browser's messages with one message, mistakes included.

    A message is ``{"kind", "view", "id", ...}`` with binary buffers; its answer has the same view and id, so that
    two views of one widget do not take each other's. Nothing of a message is printed or logged.
    """

    _css = _static("widgets.css")

    def __init__(self, predictor):
        super().__init__()
        self.predictor = predictor
        self._answers = {"hello": self._hello}
        self.on_msg(self._receive)

    def __repr__(self):
        return f"{type(self).__name__}, alive while the notebook runs"

    def _receive(self, _, content, buffers):
        asked = {name: content.get(name) for name in ("view", "id")}
        try:
            answer, files = self._answers[content["kind"]](content, buffers)
        except DataError as error:
            answer, files = {"error": _sentence(str(error))}, []
        except Exception as error:  # a traceback would go to the log, and may hold a photo's name
            answer, files = {"error": f"That did not work ({type(error).__name__})."}, []
        self.send(asked | answer, files)

    def _hello(self, content, buffers):
        pictures = [cv2.imencode(".png", cv2.cvtColor(draw.emoji(name, 64), cv2.COLOR_RGBA2BGRA))[1].tobytes()
                    for name in EMOTIONS]
        return {"emotions": EMOTIONS, "colours": [COLOURS[name] for name in EMOTIONS]} | self._settings(), pictures

    def _settings(self):
        return {}


def _plain_face(face):
    return {"box": list(face.box), "probabilities": [round(float(p), 4) for p in face.probabilities]}


@dataclass(frozen=True)
class Capture:
    """A captured picture: when, uint8 (H, W, 3) RGB, and its faces."""

    time: datetime
    image: np.ndarray
    faces: list[Face]


class BrowserCamera(_Answering):
    """The browser's camera; see `browser_camera`."""

    _esm = _static("common.js", "camera.js")

    def __init__(self, predictor, mirror=True):
        super().__init__(predictor)
        self.mirror, self.captures = mirror, []
        self._smoother = Smoother()
        self._answers |= {"frame": self._frame, "capture": self._capture}

    def _settings(self):
        return {"mirror": self.mirror}

    def _frame(self, content, buffers):
        faces = self.predictor.faces(read_photo(buffers[0]))
        faces = self._smoother.update(faces, time.monotonic()).values()
        return {"faces": [_plain_face(face) for face in faces]}, []

    def _capture(self, content, buffers):
        image = read_photo(buffers[0])
        faces = self.predictor.faces(image)
        self.captures.append(Capture(datetime.now(), image, faces))
        del self.captures[:-MAX_CAPTURES]
        return {"faces": [_plain_face(face) for face in faces]}, []


class PhotoApp(_Answering):
    """The photo app; see `photo_app`."""

    _esm = _static("common.js", "photos.js")

    def __init__(self, predictor, unsure=0.4):
        super().__init__(predictor)
        self.unsure = float(unsure)
        self._photos = {}  # the browser's number: Photo, in order
        self._coming = (None, bytearray())
        self._answers |= {"part": self._part, "photo": self._photo, "show": self._show, "remove": self._remove,
                          "csv": self._csv, "zip": self._zip}

    @property
    def photos(self):
        """The photos that were looked at and not cleared, in order; list of `Photo`."""
        return list(self._photos.values())

    def _settings(self):
        return {"unsure": self.unsure, "max_bytes": MAX_BYTES, "max_photos": MAX_PHOTOS, "heic": heic_readable(),
                "photos": list(self._photos)}

    def _part(self, content, buffers):
        """Take a part of a photo: one message of 20 MB is more than Jupyter's servers let through."""
        number, data = self._coming
        if number != content["photo"]:  # the one before was broken off
            number, data = self._coming = (content["photo"], bytearray())
        for buffer in buffers:
            if len(data) + len(buffer) > MAX_BYTES:
                raise DataError(f"larger than {MAX_BYTES >> 20} MB; shrink it first")
            data += buffer
        return {}, []

    def _photo(self, content, buffers):
        """Look at the photo whose parts have come."""
        self._part(content, buffers)
        data, self._coming = bytes(self._coming[1]), (None, bytearray())
        if len(self._photos) >= MAX_PHOTOS:
            raise DataError(f"left out: {MAX_PHOTOS} photos at once is the limit; remove some first")
        photo = analyse_photo(data, str(content["name"]), self.predictor)
        self._photos[content["photo"]] = photo
        return self._show(content, ())

    def _show(self, content, buffers):
        """Answer with a photo that was looked at: also when the page was loaded anew."""
        photo = self._photos[content["photo"]]
        answer = {"name": photo.name, "width": photo.width, "height": photo.height, "note": photo.note,
                  "faces": [_plain_face(face) for face in photo.faces]}
        return answer, [photo.jpeg] if photo.jpeg else []

    def _remove(self, content, buffers):
        for number in content["photos"]:
            self._photos.pop(number, None)
        return {}, []

    def _csv(self, content, buffers):
        return {}, [faces_csv(self.photos, content["unsure"])]

    def _zip(self, content, buffers):
        def progress(done, of):
            self.send({name: content.get(name) for name in ("view", "id")} | {"done": done, "of": of})

        return {}, [results_zip(self.photos, content["unsure"], progress)]


def app_command(host="127.0.0.1", port=8866, browser=True):
    """Return the command that serves the photo app: notebook 07 by Voilà.

    Parameters
    ----------
    host : str
        The address to listen on. Any but this computer's own also asks visitors for a token, which Voilà prints.
    port : int
    browser : bool
        Open a browser on it.

    Returns
    -------
    list of str
        For `subprocess.run`.
    """
    # voila.json: a page may talk to its own server alone, so what it shows cannot go elsewhere, and fonts that Voilà
    # would fetch are not waited for; cells for readers are left out; kernels that no page uses for 30 minutes end.
    # A page that is left ends its kernel at once: Voilà's only POST, which its pages send without the XSRF token that
    # Jupyter Server would ask for (the kernel's unguessable id stands for it).
    command = [sys.executable, "-m", "voila", str(paths.NOTEBOOKS / "07_photos.ipynb"), f"--Voila.ip={host}",
               f"--port={port}", f"--Voila.config_file_paths={STATIC}"]
    if host not in ("127.0.0.1", "localhost", "::1"):
        command.append("--token")
    return command if browser else [*command, "--no-browser"]
