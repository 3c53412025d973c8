"""Widgets for a browser: its own camera, for kernels that have none, and the photo app.

Pictures travel in messages and never in traits, because Jupyter may save those in the notebook file. The browser asks
and the kernel answers, one answer to each question, so no more is sent than can be dealt with.
"""
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import anywidget
import numpy as np

from ..errors import DataError
from ..labels import COLOURS, EMOTIONS
from ..vision.emoji import draw_emoji
from ..vision.images import encode_image, heic_readable, read_photo
from ..vision.pipeline import Pipeline
from ..vision.predict import Face, Predictor
from .photos import MAX_BYTES, MAX_PHOTOS, TOO_LARGE, SeenPhoto, analyse_photo, faces_csv, results_zip, sentence

STATIC = Path(__file__).parent / "static"
MAX_CAPTURES = 50  # captures that a camera widget keeps: the last ones

Message = dict[str, Any]
Files = Sequence[bytes | memoryview]
Answer = tuple[Message, Files]


# The kernel's side of all widgets.

def _static(*names: str) -> str:
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)


def widget_script(*names: str) -> str:
    """Return modules as one, because a widget is one: each after those that it imports from, in one scope.

    So the lines "import … from" and the words "export" go, but the last module's "export default" stays.
    """
    modules = _static("words.js", "common.js", "webcam.js", "kernel.js", *names)
    return re.sub(r"^export (?!default)", "", re.sub(r"^import .+;\n", "", modules, flags=re.M), flags=re.M)


class AnsweringWidget(anywidget.AnyWidget):
    """Answers each of the browser's messages with one message, also where something fails.

    A message is ``{"kind", "view", "id", ...}`` with binary files; the method ``_answer_KIND`` answers it. The answer
    has the same view and id, so that two views of one widget do not take each other's. Nothing of a message is printed
    or logged.
    """

    _css = _static("widgets.css")

    def __init__(self) -> None:
        super().__init__()
        self.on_msg(self._receive)

    def __repr__(self) -> str:
        return f"{type(self).__name__}, alive while the notebook runs"

    def _receive(self, _: object, content: Message, files: Files) -> None:
        try:
            answer, files = getattr(self, f"_answer_{content['kind']}")(content, files)
        except DataError as error:
            answer, files = {"error": sentence(str(error))}, []
        except Exception as error:  # a traceback would go to the log, and may hold a photo's name
            answer, files = {"error": f"That did not work ({type(error).__name__})."}, []
        self._reply(content, answer, files)

    def _reply(self, question: Message, answer: Message, files: Files = ()) -> None:
        self.send({name: question.get(name) for name in ("view", "id")} | answer, files)

    def _answer_hello(self, content: Message, files: Files) -> Answer:
        pictures = [encode_image(draw_emoji(name, 64)) for name in EMOTIONS]
        return {"emotions": EMOTIONS, "colours": [COLOURS[name] for name in EMOTIONS]} | self._settings(), pictures

    def _settings(self) -> Message:
        """Return what a widget's page needs besides the emotions; nothing, unless the widget says more."""
        return {}


def _described(faces: Sequence[Face]) -> list[Message]:
    return [{"box": list(face.box), "probabilities": [round(float(p), 4) for p in face.probabilities]}
            for face in faces]


# The camera.

@dataclass(frozen=True)
class BrowserCapture:
    """A picture that was captured in the browser, uint8 (H, W, 3) RGB, and the faces that it shows."""

    time: datetime
    image: np.ndarray
    faces: list[Face]


class BrowserCamera(AnsweringWidget):
    """The browser's own camera, with what a network sees in each face.

    Start asks for the camera, Space captures, Esc stops and gives the camera back; each is also a button. The widget's
    `captures` hold what was captured, oldest first. With `mirror` it is shown, and captured, as in a mirror.

    It works in JupyterLab 4, Notebook 7 and Voilà, on a page from https or localhost (browsers give no camera to other
    pages). Google Colab asks for the camera for its output frame: allow it. VS Code refuses it: use JupyterLab there.
    A kernel that is busy with a cell answers no frame until it is done.
    """

    _esm = widget_script("camera.js")

    def __init__(self, predictor: Predictor, mirror: bool = True):
        super().__init__()
        self.predictor, self.mirror = predictor, mirror
        self.captures: list[BrowserCapture] = []
        self._pipeline = Pipeline(predictor)

    def _settings(self) -> Message:
        return {"mirror": self.mirror}

    def _answer_frame(self, content: Message, files: Files) -> Answer:
        faces = self._pipeline.look(read_photo(bytes(files[0])))
        return {"faces": _described([*self._pipeline.follow(faces, time.monotonic()).values()])}, []

    def _answer_capture(self, content: Message, files: Files) -> Answer:
        image = read_photo(bytes(files[0]))
        faces = self.predictor.faces(image)  # as this picture alone shows them, not averaged over time
        self.captures.append(BrowserCapture(datetime.now(), image, faces))
        del self.captures[:-MAX_CAPTURES]
        return {"faces": _described(faces)}, []


# The photo app.

class PhotoApp(AnsweringWidget):
    """The photo app: photos in, faces with their expressions out, as pictures, table, CSV and ZIP.

    Photos are held in the kernel's memory, at most `MAX_PHOTOS` and shrunk to `KEPT_SIDE`, until they are cleared or it
    ends. Nothing is written to disk, to the notebook file or to a log. Below the confidence `unsure`, 0 to 1, a face is
    called unsure; a slider changes that. The app's `photos` hold what was looked at.
    """

    _esm = widget_script("photos.js")

    def __init__(self, predictor: Predictor, unsure: float = 0.4):
        super().__init__()
        self.predictor, self.unsure = predictor, float(unsure)
        self._photos: dict[str, SeenPhoto] = {}  # by the browser's number, in order
        self._coming: tuple[str | None, bytearray] = (None, bytearray())

    @property
    def photos(self) -> list[SeenPhoto]:
        """The photos that were looked at and not cleared, in order."""
        return list(self._photos.values())

    def _settings(self) -> Message:
        return {"unsure": self.unsure, "max_bytes": MAX_BYTES, "max_photos": MAX_PHOTOS, "heic": heic_readable(),
                "photos": list(self._photos)}

    def _answer_part(self, content: Message, files: Files) -> Answer:
        """Take a part of a photo: one message of 20 MB is more than Jupyter's servers let through."""
        number, data = self._coming
        if number != content["photo"]:  # the photo before was broken off
            number, data = self._coming = (content["photo"], bytearray())
        for part in files:
            if len(data) + len(part) > MAX_BYTES:
                raise DataError(TOO_LARGE)
            data += part
        return {}, []

    def _answer_photo(self, content: Message, files: Files) -> Answer:
        """Look at the photo whose last part comes with this message."""
        self._answer_part(content, files)
        data, self._coming = bytes(self._coming[1]), (None, bytearray())
        if len(self._photos) >= MAX_PHOTOS:
            raise DataError(f"left out: {MAX_PHOTOS} photos at once is the limit; remove some first")
        self._photos[content["photo"]] = analyse_photo(data, str(content["name"]), self.predictor)
        return self._answer_show(content, ())

    def _answer_show(self, content: Message, files: Files) -> Answer:
        """Answer with a photo that was looked at; a page that was loaded anew asks for it again."""
        photo = self._photos[content["photo"]]
        return {"name": photo.name, "width": photo.width, "height": photo.height, "note": photo.note,
                "faces": _described(photo.faces)}, [photo.jpeg] if photo.jpeg else []

    def _answer_remove(self, content: Message, files: Files) -> Answer:
        for number in content["photos"]:
            self._photos.pop(number, None)
        return {}, []

    def _answer_csv(self, content: Message, files: Files) -> Answer:
        return {}, [faces_csv(self.photos, content["unsure"])]

    def _answer_zip(self, content: Message, files: Files) -> Answer:
        return {}, [results_zip(self.photos, content["unsure"],
                                lambda done, of: self._reply(content, {"done": done, "of": of}))]


browser_camera, photo_app = BrowserCamera, PhotoApp  # as notebooks call them
