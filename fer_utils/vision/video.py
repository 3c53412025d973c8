"""Cameras, streams, videos and photos as one kind of source of frames."""
import contextlib
import os
import platform
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import cv2
import numpy as np

from ..errors import CameraError
from .images import PHOTO_ENDINGS, read_photo

# Read by OpenCV when it first opens a camera or video: no decoder's chatter between our lines, no ten seconds of
# waiting for a camera that was unplugged, and no minute of waiting for Windows to list its video filters.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "3")
os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")
FIRST_FRAME_S, SILENCE_S = 10.0, 3.0  # how long a camera may take to start, and be silent, before it counts as gone
REMOTE = ("JUPYTERHUB_USER", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE", "CODESPACES", "SSH_CONNECTION")


def is_remote():
    """Tell whether Python seems to run on another computer than the one its user sits at."""
    return any(os.environ.get(name) for name in REMOTE)


def camera_help(index=0):
    """Say in a few lines what to do about a camera that does not open, on this operating system."""
    browser = "use the browser's camera: how = \"browser\" in notebook 06"
    if is_remote():
        return f"Python runs on another computer, which does not see your camera; {browser}."
    if sys.platform == "darwin":
        return ("In System Settings > Privacy & Security > Camera allow the program that started Python (Terminal, "
                "VS Code, JupyterLab), then quit and start it again. Close other programs that use the camera.")
    if sys.platform == "win32":
        return ("In Settings > Privacy & security > Camera switch on camera access and \"Let desktop apps access your "
                "camera\". Close other programs that use the camera (Teams, Zoom, a browser tab).")
    if "microsoft" in platform.release().lower():
        return (f"WSL hands no camera on: run Python on Windows itself, attach the camera with usbipd-win, or "
                f"{browser}.")
    device = Path(f"/dev/video{index}")
    if not device.exists():
        there = ", ".join(sorted(p.name.removeprefix("video") for p in Path("/dev").glob("video*")))
        return (f"There is no {device}: " + (f"the cameras here are {there}; name one of these." if there else
                f"plug a camera in; in a container pass --device {device}; or {browser}."))
    if not os.access(device, os.R_OK | os.W_OK):
        return f"You may not open {device}: sudo usermod -aG video $USER, then log out and in again."
    return f"Another program may be using it: fuser {device} names it. Close it, or name another camera."


def public_address(address):
    """Return a stream's address without what may hold a password: all but scheme, host and port.

    Some cameras take the password in the path.
    """
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if host else address


class Frame(NamedTuple):
    """One picture of a source: uint8 (H, W, 3) RGB, seconds since the first, and its number from 0."""

    image: np.ndarray
    time: float
    index: int


@contextlib.contextmanager
def _quiet():
    """Keep OpenCV's own warnings back: what is wrong is said once, in words."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


class _Source:
    """What sources share: closing, and going through their frames."""

    live, fps, total = False, None, None  # total: frames, where a file says so

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __iter__(self):
        while (frame := self.read()) is not None:
            yield frame

    def close(self):
        """Let go of the file or camera; may be called twice."""


class Photo(_Source):
    """One photo as a source of one frame."""

    total = 1

    def __init__(self, path):
        self._frame = Frame(read_photo(path).copy(), 0.0, 0)  # a copy: frames are drawn on

    def read(self):
        """Return the frame, then None."""
        frame, self._frame = self._frame, None
        return frame


class VideoFile(_Source):
    """A video file: every frame, in order, as fast as it is asked for."""

    def __init__(self, path):
        with _quiet():
            self._capture = cv2.VideoCapture(str(path))
            opened, self._pending = self._capture.read() if self._capture.isOpened() else (False, None)
        if not opened:
            self._capture.release()
            raise CameraError(f"{path}: no frame can be read: not a video, damaged, or of a kind that OpenCV does not "
                              "know; try: ffmpeg -i FILE -c:v libx264 NEW.mp4")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < 1000 else 30.0
        # Damaged headers name absurd counts.
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.total = int(count) if 0 < count < 1e8 else None
        self._next, self._time = 0, -1 / self.fps

    def read(self):
        """Return the next `Frame`; None at the end, or where the file is cut short."""
        bgr, self._pending = self._pending, None
        if bgr is None:
            with _quiet():
                bgr = self._capture.read()[1]
        if bgr is None:
            return None
        stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        # Some containers have no times, or times that jump back.
        self._time = stamp if stamp > self._time else self._time + 1 / self.fps
        frame = Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), self._time, self._next)
        self._next += 1
        return frame

    def close(self):
        """Close the file."""
        self._capture.release()


class Camera(_Source):
    """A camera or stream, read on a thread of its own: `read` gives the newest frame, however slow its caller is.

    Parameters
    ----------
    source : int or str
        Index of a camera, or address of a stream.

    Raises
    ------
    CameraError
        It does not open.
    """

    live = True

    def __init__(self, source):
        self.source = source
        with _quiet():
            if isinstance(source, int):
                self._capture = cv2.VideoCapture(source)
            else:
                self._capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 8000,
                                                                          cv2.CAP_PROP_READ_TIMEOUT_MSEC, 3000])
        if not self._capture.isOpened():
            self._capture.release()
            raise CameraError(f"{self._name()} does not open. {self._help()}")
        if not isinstance(source, int) and self._capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
            # Read as a stream it would rush by, and most frames would be dropped.
            self._capture.release()
            raise CameraError(f"{self._name()} is a video file, not a camera: download it and give its path")
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a queue of old frames is what makes a picture lag
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 1 <= fps <= 240 else 30.0
        self._new = threading.Condition()
        self._latest, self._start, self._grabbed, self._given, self._stop = None, None, 0, 0, False
        self._thread = threading.Thread(target=self._grab, name="camera", daemon=True)
        self._thread.start()

    def _name(self):
        return f"camera {self.source}" if isinstance(self.source, int) else f"stream {public_address(self.source)}"

    def _help(self):
        return camera_help(self.source) if isinstance(self.source, int) else (
            "Check the address, and that this computer reaches it: ffplay ADDRESS shows it.")

    def _grab(self):
        try:
            while not self._stop:
                bgr = self._capture.read()[1]
                if bgr is None:
                    time.sleep(0.02)  # cameras drop a frame now and then; `read` measures how long it lasts
                    continue
                with self._new:
                    self._latest, self._grabbed = (bgr, time.monotonic()), self._grabbed + 1
                    self._new.notify()
        except cv2.error:  # an unplugged camera may end so: `read` reports the silence
            pass
        finally:
            self._capture.release()  # by this thread: releasing while another reads crashes

    def read(self):
        """Return the newest `Frame`, waiting for one that was not given before.

        Raises
        ------
        CameraError
            None came for `SILENCE_S` seconds (for the first: `FIRST_FRAME_S`).
        """
        with self._new:
            patience = SILENCE_S if self._given else FIRST_FRAME_S
            if not self._new.wait_for(lambda: self._grabbed > self._given, patience):
                if self._given:
                    why = ("unplugged, or taken by another program" if isinstance(self.source, int) else
                           "it has ended, or the connection broke")
                    raise CameraError(f"{self._name()} stopped after {self._given} frames: {why}. {self._help()}")
                raise CameraError(f"{self._name()} opens but gives no picture: busy, or access was refused. "
                                  f"{self._help()}")
            (bgr, now), index = self._latest, self._grabbed - 1
            self._given = self._grabbed
        self._start = now if self._start is None else self._start
        return Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), now - self._start, index)

    def close(self):
        """Stop the thread and let go of the camera."""
        self._stop = True
        self._thread.join(FIRST_FRAME_S)


def open_source(source=0):
    """Open a camera, stream, video file or photo.

    Parameters
    ----------
    source : int, str or Path
        A camera's index (0, "0"), an address with "://", or a file.

    Returns
    -------
    source
        With `read()` → `Frame` or None at the end, iteration over frames, `close()`, `live` (True: frames that come
        while nobody asks are dropped; False: every frame is given), `fps` and `total`; to be used in a ``with``.

    Raises
    ------
    CameraError
        It cannot be opened; the message says what to do.
    DataError
        A photo cannot be read.
    """
    if isinstance(source, (int, np.integer)) or str(source).isdecimal():
        return Camera(int(source))
    if "://" in str(source):
        return Camera(str(source))
    path = Path(source).expanduser()
    if not path.is_file():
        reason = "is a folder" if path.is_dir() else "there is no such file"
        raise CameraError(f"{source}: {reason}; a source is a camera's number, a video, a photo or a stream's address")
    ending = path.suffix.lower()
    return Photo(path) if ending in PHOTO_ENDINGS and ending != ".gif" else VideoFile(path)  # a GIF may be animated
