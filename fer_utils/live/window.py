"""The live window: Space captures, Esc closes."""
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np

from .. import files, paths
from ..errors import CameraError
from ..vision.draw import annotate_live
from ..vision.images import encode_image
from ..vision.predict import Face, Predictor, live_predictor
from ..vision.sources import is_remote
from ..vision.video import Camera, FrameSource, open_source
from .view import LiveView

FREEZE_S = 2.0  # seconds that a capture is shown before the live picture goes on
TITLE = "Facial expressions"


def window_problem(hint: str = "use the browser's camera in notebook 06, or write a video with --headless"
                   ) -> str | None:
    """Return why OpenCV cannot open a window here, and what to do, which is the `hint`; None where it can.

    It is tried in a process of its own: without a reachable display Qt ends the whole process, a kernel included.
    """
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


def choose_view(how: str = "auto") -> str:
    """Choose what notebook 06 shows: "window", "browser" (its own camera) or "clip" (a sample).

    "auto" takes the clip where nobody can press a key (papermill, nbconvert), the browser where the kernel is remote,
    has no display or is served by Voilà, and else the window.
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


@dataclass(frozen=True)
class WindowCapture:
    """A frame that was captured by Space, with its faces; a notebook shows it as a picture.

    `image` is uint8 (H, W, 3) RGB as the camera saw it. `faces` are those of this frame alone, not averaged over time.
    `path` is the PNG; the JSON has the same name. A face less confident than `unsure` is called so in the picture.
    """

    image: np.ndarray
    faces: list[Face]
    path: Path
    unsure: float = 0.0

    def picture(self, mirror: bool = False, status: Sequence[str] = ()) -> np.ndarray:
        """Return the image with boxes, emotions and bars drawn on it: uint8 (H, W, 3) RGB."""
        return annotate_live(self.image, self.faces, status, self.unsure, mirror)

    def _repr_png_(self) -> bytes:
        return encode_image(self.picture())


def save_capture(image: np.ndarray, predictor: Predictor, folder: str | Path | None = None,
                 unsure: float = 0.0) -> WindowCapture:
    """Find the faces of a frame, uint8 (H, W, 3) RGB, and write it as PNG, its faces (unsure ones too) as JSON.

    The folder is by default ``captures`` in the project's folder.
    """
    now = datetime.now().astimezone()
    name = f"capture_{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}.png"
    capture = WindowCapture(image, predictor.faces(image), Path(folder or paths.ROOT / "captures") / name, unsure)
    files.write_bytes(capture.path, encode_image(image))
    files.write_json(capture.path.with_suffix(".json"), {
        "file": name, "taken": now.isoformat(timespec="milliseconds"), "width": image.shape[1],
        "height": image.shape[0], "model": predictor.card.name, "detector": predictor.detector.name,
        "faces": [face.to_dict() for face in capture.faces]})
    return capture


class KeyWindow:
    """A window of OpenCV: shows pictures and reads keys."""

    def __init__(self, title: str = TITLE) -> None:
        self._title = title
        # GUI_NORMAL: without Qt's tool bar and its own meaning of the keys.
        cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        self._sized = False

    def show(self, rgb: np.ndarray) -> None:
        """Show a picture, uint8 (H, W, 3) RGB; the first one gives the window its size."""
        if not self._sized:
            scale = min(1280 / rgb.shape[1], 800 / rgb.shape[0], 1)
            cv2.resizeWindow(self._title, max(int(rgb.shape[1] * scale), 160), max(int(rgb.shape[0] * scale), 120))
            self._sized = True
        cv2.imshow(self._title, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def key(self, milliseconds: float) -> str:
        """Wait for a key, and return its character in lower case.

        "" is none, "esc" Esc or a closed window, "back" the backspace key, "other" any other key without a character.
        """
        code = cv2.waitKeyEx(max(int(milliseconds), 1))
        try:
            if cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
                return "esc"
        except cv2.error:  # Qt has ended with its last window
            return "esc"
        if code == -1:
            return ""
        code &= 0xFFFF  # above are flags, such as that of the number lock
        if code in (27, 0xFF1B):
            return "esc"
        if code in (8, 0xFF08):
            return "back"
        return chr(code).lower() if 32 <= code < 127 else "other"  # arrows end in the byte of a letter

    def close(self) -> None:
        """Close all windows."""
        cv2.destroyAllWindows()
        for _ in range(4):  # macOS and Qt take the window away only while events are handled
            cv2.waitKey(1)


def webcam(source: str | Path | int = 0, model: str | Path | Predictor = "fer_net", detector: str | None = None,
           mirror: bool | None = None, out: str | Path | None = None,
           on_capture: Callable[[WindowCapture], object] | None = None, unsure: float = 0.0) -> list[WindowCapture]:
    """Show a source live in a window: Space captures, Esc or q closes, m mirrors, d switches the detector.

    `source` is as `open_source` takes it; a file's last frame stays until a key closes it. `model` and `detector` are
    as `live_predictor` takes them. By default cameras are mirrored, files and streams are not. Captures go into the
    folder `out` (see `save_capture`), and at once to `on_capture`; in a notebook pass ``display``. A face whose
    confidence is below `unsure` is called "unsure".

    Raises `CameraError` where no window or source can be opened, or a camera stops; earlier captures are on disk.
    """
    if problem := window_problem():
        raise CameraError(problem)
    live = LiveView(live_predictor(model, detector), bool(mirror), unsure)
    captures: list[WindowCapture] = []
    with open_source(source) as frames, contextlib.closing(KeyWindow()) as window:
        if mirror is None:
            live.mirror = isinstance(frames, Camera) and isinstance(frames.source, int)

        # Ctrl-C, and the stop button of a notebook, close the window; its captures are returned.
        with contextlib.suppress(KeyboardInterrupt):
            for capture in _watch(frames, window, live, out):
                captures.append(capture)
                if on_capture:
                    on_capture(capture)
    return captures


def _watch(frames: FrameSource, window: KeyWindow, live: LiveView, out: str | Path | None) -> Iterator[WindowCapture]:
    """Show frames until the window is closed; give each capture when it is shown."""
    began = time.perf_counter()  # when the first frame of a file was due
    frame, ended = frames.read(), False
    while frame is not None:
        if not ended:
            window.show(live.picture(frame))
        # The last frame stays until a key closes it.
        wait = 50 if ended else 1 if frames.live else 1000 * (began + frame.time - time.perf_counter())
        key = window.key(wait)
        pressed = bool(key)
        if key == " ":
            before = time.perf_counter()
            capture = save_capture(frame.image, live.pipeline.predictor, out, live.unsure)
            window.show(capture.picture(live.mirror, (f"saved {capture.path.name}", "any key goes on")))
            yield capture
            key = window.key(1000 * FREEZE_S)
            began += time.perf_counter() - before
        if key in ("esc", "q"):
            return
        if key == "m":
            live.mirror = not live.mirror
        if key == "d":
            live.switch_detector()
        if not ended:
            new = frames.read()
            frame, ended = new or frame, new is None
        if ended and pressed:  # no further frame comes to show what a key changed, or to take a capture's place
            window.show(live.picture(frame))
