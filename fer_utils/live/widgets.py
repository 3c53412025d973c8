"""Widgets for a browser: its own camera for kernels that have none, and the photo app.

Pictures travel in messages and never in traits, which Jupyter may save into the notebook file. The browser asks and
the kernel answers, one answer to a question, so that no more is sent than is dealt with.
"""
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import anywidget
import cv2
import numpy as np

from .. import paths
from ..errors import DataError
from ..labels import COLOURS, EMOTIONS
from ..vision import emoji
from ..vision.images import heic_readable, read_photo
from ..vision.predict import Face
from ..vision.track import Smoother
from .photos import MAX_BYTES, MAX_PHOTOS, analyse_photo, faces_csv, results_zip, sentence

STATIC = Path(__file__).parent / "static"
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
            answer, files = {"error": sentence(str(error))}, []
        except Exception as error:  # a traceback would go to the log, and may hold a photo's name
            answer, files = {"error": f"That did not work ({type(error).__name__})."}, []
        self.send(asked | answer, files)

    def _hello(self, content, buffers):
        pictures = [cv2.imencode(".png", cv2.cvtColor(emoji.draw_emoji(name, 64), cv2.COLOR_RGBA2BGRA))[1].tobytes()
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
