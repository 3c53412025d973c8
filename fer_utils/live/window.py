"""The live window: Space captures, Esc closes."""
import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np

from .. import paths
from ..errors import CameraError
from ..vision.draw import annotate_live, mirrored
from ..vision.predict import live_predictor
from ..vision.sources import is_remote
from ..vision.video import open_source
from .view import LiveView

FREEZE_S = 2.0  # how long a capture stands still
TITLE = "Facial expressions"


# Where this runs, and what can be shown there.

def window_problem():
    """Return what keeps OpenCV from opening a window here, with what to do; None where it can.

    It is tried in a process of its own: without a reachable display Qt ends the whole process, a kernel included.
    """
    hint = "use the browser's camera in notebook 06, or write a video with --headless"
    if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        return f"there is no display (DISPLAY is not set), so no window can open: {hint}"
    code = "import cv2; cv2.namedWindow('fer'); cv2.destroyAllWindows()"
    try:
        tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return f"the display {os.environ.get('DISPLAY', '')} does not answer: {hint}"
    if tried.returncode == 0:
        return None
    if "not implemented" in tried.stderr:
        return ("this OpenCV was built without windows: pip uninstall opencv-python-headless, then "
                "pip install --force-reinstall opencv-python")
    return f"the display {os.environ.get('DISPLAY', '')} cannot be opened: {hint}"


def choose_view(how="auto"):
    """Choose what notebook 06 shows: a window, the browser's camera, or a sample clip.

    Parameters
    ----------
    how : str
        "window", "browser" or "clip"; "auto" takes the clip where nobody can press a key (papermill, nbconvert), the
        browser where the kernel is remote, has no display or is served by Voilà, and else the window.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        Another word.
    """
    if how in ("window", "browser", "clip"):
        return how
    if how != "auto":
        raise ValueError(f"how must be auto, window, browser or clip, got {how!r}")
    if os.environ.get("SERVER_SOFTWARE", "").startswith("voila"):
        return "browser"
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    # Programs that execute notebooks tell the kernel that nobody will answer an input().
    if not getattr(getattr(shell, "kernel", None), "_allow_stdin", False):
        return "clip"
    without_display = sys.platform.startswith("linux") and not os.environ.get("DISPLAY")
    return "browser" if is_remote() or without_display else "window"


# Captures.

@dataclass(frozen=True)
class Capture:
    """A frame that was captured by Space, with its faces; a notebook shows it as a picture.

    Parameters
    ----------
    image : ndarray
        uint8 (H, W, 3) RGB, as the camera saw it: not mirrored, nothing drawn on it.
    faces : list of predict.Face
        As this frame alone shows them, not averaged over time.
    path : Path
        The PNG; the JSON lies beside it.
    unsure : float
        As in `draw.annotate`.
    """

    image: np.ndarray
    faces: list
    path: Path
    unsure: float = 0.0

    def picture(self, mirror=False, status=()):
        """Return the image with boxes, emotions and bars drawn on it: uint8 (H, W, 3) RGB."""
        image, faces = mirrored(self.image, self.faces) if mirror else (self.image.copy(), self.faces)
        return annotate_live(image, faces, status, self.unsure)

    def _repr_png_(self):
        return _png(self.picture())


def _png(rgb):
    return cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()


def save_capture(image, faces, predictor, folder=None, unsure=0.0):
    """Write a frame as PNG and its faces as JSON beside it.

    Parameters
    ----------
    image : ndarray
        uint8 (H, W, 3) RGB.
    faces : list of predict.Face
    predictor : predict.Predictor
        What named them.
    folder : Path, optional
        By default ``captures`` in the project's folder.
    unsure : float
        As in `draw.annotate`; the JSON holds each face's most probable emotion all the same.

    Returns
    -------
    Capture
    """
    folder = Path(folder or paths.ROOT / "captures")
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now().astimezone()
    path = folder / f"capture_{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}.png"
    described = {"file": path.name, "taken": now.isoformat(timespec="milliseconds"),
                 "width": image.shape[1], "height": image.shape[0], "model": predictor.card.name,
                 "detector": predictor.detector.name, "faces": [face.to_dict() for face in faces]}
    _write_whole(path, _png(image))
    _write_whole(path.with_suffix(".json"), json.dumps(described, indent=1, ensure_ascii=False).encode())
    return Capture(image, faces, path, unsure)


def _write_whole(path, data):
    part = path.with_name(f"part.{path.name}")
    part.write_bytes(data)
    os.replace(part, path)


# The window.

class _Window:
    """OpenCV's window: shows frames and reads keys."""

    def __init__(self):
        # GUI_NORMAL: without Qt's tool bar and its own meaning of the keys.
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._sized = False

    def show(self, rgb):
        if not self._sized:
            scale = min(1280 / rgb.shape[1], 800 / rgb.shape[0], 1)
            cv2.resizeWindow(TITLE, max(int(rgb.shape[1] * scale), 160), max(int(rgb.shape[0] * scale), 120))
            self._sized = True
        cv2.imshow(TITLE, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def key(self, milliseconds):
        """Wait for a key: its character in lower case, "" for none, "esc" for Esc or a closed window, else "other"."""
        code = cv2.waitKeyEx(max(int(milliseconds), 1))
        try:
            if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
                return "esc"
        except cv2.error:  # Qt has ended with its last window
            return "esc"
        if code == -1:
            return ""
        code &= 0xFFFF  # above are flags, such as that of the number lock
        if code in (27, 0xFF1B):
            return "esc"
        return chr(code).lower() if 32 <= code < 127 else "other"  # arrows end in the byte of a letter

    def close(self):
        cv2.destroyAllWindows()
        for _ in range(4):  # macOS and Qt take the window away only while events are handled
            cv2.waitKey(1)


def webcam(source=0, model="fer_net", detector=None, mirror=None, out=None, on_capture=None, unsure=0.0):
    """Show a source live in a window: Space captures, Esc or q closes, m mirrors, d switches the detector.

    Parameters
    ----------
    source : int, str or Path
        As `open_source` takes it. Every frame of a file is shown, no faster than at its own speed; its last frame
        stays until a key closes it.
    model, detector
        As `live_predictor` takes them.
    mirror : bool, optional
        Show it as in a mirror; by default cameras are mirrored, files and streams are not.
    out : Path, optional
        Folder for captures; as in `save_capture`.
    on_capture : callable, optional
        Called with each `Capture` at once; in a notebook pass ``display``.
    unsure : float
        A face whose confidence is below this is called "unsure".

    Returns
    -------
    list of Capture

    Raises
    ------
    CameraError
        No window can be opened, the source does not open or stops; captures made before are on disk.
    """
    problem = window_problem()
    if problem:
        raise CameraError(problem)
    live = LiveView(live_predictor(model, detector), mirror, unsure)
    captures = []
    with open_source(source) as frames, contextlib.closing(_Window()) as window:
        if mirror is None:
            live.mirror = isinstance(getattr(frames, "source", None), int)
        try:
            _watch(frames, window, live, captures, out, on_capture)
        except KeyboardInterrupt:  # the stop button of a notebook closes the window, and its captures are returned
            pass
    return captures


def _watch(frames, window, live, captures, out, on_capture):
    """Show frames until the window is closed."""
    late = time.perf_counter()  # when the first frame of a file was due
    frame, ended = None, False
    while True:
        new = None if ended else frames.read()
        ended = ended or new is None
        if new is not None:
            frame = new
            window.show(live.picture(frame))
        if ended:  # the last frame stays, until a key closes it
            wait = 50
        else:
            wait = 1 if frames.live else 1000 * (late + frame.time - time.perf_counter())
        key = window.key(wait)
        pressed = bool(key)
        if key == " ":
            before = time.perf_counter()
            key = _capture(frame, window, live, captures, out, on_capture)
            late += time.perf_counter() - before
        if key in ("esc", "q"):
            return
        if key == "m":
            live.mirror = not live.mirror
        if key == "d":
            live.switch_detector()
        if ended and pressed:  # no further frame comes to show what a key changed, or to take a capture's place
            window.show(live.picture(frame))


def _capture(frame, window, live, captures, out, on_capture):
    """Freeze, classify and save a frame; return the key that ended the freeze."""
    capture = save_capture(frame.image, live.pipeline.predictor.faces(frame.image), live.pipeline.predictor, out, live.unsure)
    captures.append(capture)
    window.show(capture.picture(live.mirror, (f"saved {capture.path.name}", "any key goes on")))
    if on_capture:
        on_capture(capture)
    until = time.perf_counter() + FREEZE_S
    key = ""
    while not key and time.perf_counter() < until:
        key = window.key(50)
    return key if key != " " else ""
