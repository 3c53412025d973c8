"""Cameras, streams, video files and photos as one kind of source of frames."""
import contextlib
import itertools
import os
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple, Self

import cv2
import numpy as np

from ..errors import CameraError
from ..files import why_unreadable
from . import containers
from .images import read_photo
from .sources import Source, camera_help, is_remote_file, parse_source, public_address

# OpenCV reads these when it first opens a camera or video: the decoder prints nothing between our lines, and nobody
# waits ten seconds for a camera that was unplugged, or a minute until Windows has listed its video filters.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "3")
os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")
# Our errors say what is wrong. OpenCV 4.10 has the first function, later versions have the second.
(getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)
FIRST_FRAME_S, SILENCE_S = 10.0, 3.0  # how long a camera may take to start, and be silent, before it counts as gone
FALLBACK_FPS = 30.0  # frames per second where a file or camera says nothing credible
BAD_FRAMES = 1000  # so many frames in a row that cannot be decoded end a video
LONGEST_PAUSE_S, BACK_S = 3600.0, 1.0  # a clock that goes on by more, or back by more, has been set anew


class Frame(NamedTuple):
    """One picture of a source: uint8 (H, W, 3) RGB, seconds since the first, and its number from 0."""

    image: np.ndarray
    time: float
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody calls on a frame


Wanted = Callable[[float, int], bool]
"""Called once for each frame in order, with its time and its number: whether the frame is wanted."""


def every_moment(seconds: float) -> Wanted:
    """Return a `Wanted` that wants the first frame of each interval of `seconds`; with 0, every frame."""
    last = None

    def wanted(time: float, index: int) -> bool:
        nonlocal last
        moment = int(time / seconds + 1e-6) if seconds else index
        last, before = moment, last
        return moment != before

    return wanted


def _frame_rate(capture: cv2.VideoCapture, lowest: float, highest: float) -> float:
    """Return the nominal frame rate, which is a hint: frames have their own times."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if lowest <= fps <= highest else FALLBACK_FPS


def native_path(path: str | Path) -> str:
    """Return a path for OpenCV and FFmpeg: absolute, because a relative "12:30.mp4" is taken for an address.

    Raises `CameraError` where it is not UTF-8: OpenCV would end the process.
    """
    path = os.path.abspath(path)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise CameraError(f"{path!r}: this name is not UTF-8, so OpenCV cannot open it; rename it") from None
    return path


class FrameSource(ABC):
    """A source of frames: iterate over it, inside a ``with``.

    `live` sources drop the frames that come while nobody asks. `fps` is the nominal frame rate and `total` the number
    of frames by a file's header; both are hints, or None. `skipped` frames could not be decoded.
    """

    live: bool = False
    fps: float | None = None
    total: int | None = None
    skipped: int = 0

    @abstractmethod
    def read(self) -> Frame | None:
        """Return the next frame, None at the end."""

    def close(self) -> None:  # noqa: B027  # a photo has nothing to close
        """Close the file or camera; may be called twice."""

    def cut_short(self, seconds: float) -> bool:
        """Return whether the source, which ended after so many seconds, lacks over a tenth of its end."""
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame


class Photo(FrameSource):
    """One photo as a source of one frame."""

    total = 1

    def __init__(self, path: str | Path):
        self._frame: Frame | None = Frame(read_photo(path), 0.0, 0)

    def read(self) -> Frame | None:
        frame, self._frame = self._frame, None
        return frame


class VideoFile(FrameSource):
    """A video file: its frames in order, with the times that the file gives them.

    A frame that cannot be decoded is skipped and counted in `skipped`; `BAD_FRAMES` of them in a row end the video.
    """

    def __init__(self, path: str | Path):
        path = self._path = native_path(path)
        if problem := why_unreadable(path):
            raise CameraError(f"{path}: {problem}")
        self._capture = cv2.VideoCapture(path)
        self._index, self._time = -1, 0.0
        self._odd = 0  # so many frames in a row had times far away
        self._start: float | None = None  # what the file's clock says at time 0
        self.fps: float = _frame_rate(self._capture, 1e-3, 999)
        # Damaged headers claim absurd counts.
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.total = int(count) if 0 < count < 1e8 else None
        # Whether the frame that was grabbed last is still to be given.
        self._waiting = any(self._retrieve() is not None for _ in iter(self._grab, False))
        if not self._waiting:
            self.close()
            raise CameraError(f"{path}: no frame can be read: not a video, damaged, or of a kind that OpenCV does not "
                              "know; try: ffmpeg -i FILE -c:v libx264 NEW.mp4")

    @property
    def duration(self) -> float | None:
        """Seconds, as the header says: a hint."""
        return self.total / self.fps if self.total else None

    def cut_short(self, seconds: float) -> bool:
        # By time, because Matroska and WebM count as if no frame were left out.
        says_so = bool(self.total) and seconds * self.fps < 0.9 * (self.total or 0)
        return says_so and containers.ended_early(self._path, seconds, self._index + 1)

    def frames(self, start: int = 0, wanted: Wanted | None = None) -> Iterator[Frame]:
        """Give the frames from number `start` on that `wanted` (asked about each, from 0) says yes to.

        The others are not decoded into pictures, which is faster.
        """
        while self._waiting or self._grab():
            self._waiting = False
            # `wanted` is asked first: it may remember what it was asked.
            if ((wanted is None or wanted(self._time, self._index)) and self._index >= start
                    and (image := self._retrieve()) is not None):
                yield Frame(image, self._time, self._index)

    def read(self) -> Frame | None:
        return next(self.frames(), None)

    def _grab(self) -> bool:
        """Go to the next frame that can be decoded."""
        bad = next((i for i in range(BAD_FRAMES) if self._capture.grab()), None)
        if bad is None:
            return False
        self.skipped += bad
        self._index += 1 + bad
        self._time = self._next_time(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, (1 + bad) / self.fps)
        return True

    def _next_time(self, stamp: float, step: float) -> float:
        """Return the time of the next frame by its own clock, or `step` later where that cannot be."""
        if self._start is None:
            self._start = stamp  # the clock of a recording may start late
            return 0.0
        passed = stamp - self._start
        if -BACK_S < passed - self._time < LONGEST_PAUSE_S:
            self._odd = 0
            if passed > self._time:
                return passed
        else:
            self._odd += 1
            if self._odd > 2:  # not one damaged frame, but a recorder that began anew
                self._start, self._odd = stamp - self._time - step, 0
        return self._time + step  # some containers have no times, or times that jump back

    def _retrieve(self) -> np.ndarray | None:
        readable, bgr = self._capture.retrieve()
        if not readable or bgr is None:
            self.skipped += 1
            return None
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        self._capture.release()


def read_frames(path: str | Path, numbers: Collection[int]) -> dict[int, np.ndarray]:
    """Return frames of a video by their numbers, uint8 (H, W, 3) RGB, without those that cannot be read."""
    # Seeking is not exact in every container: the frames before are skipped instead, once for all.
    with VideoFile(path) as video:
        found = video.frames(wanted=lambda _, index: index in numbers)
        return {frame.index: frame.image for frame in itertools.islice(found, len(set(numbers)))}


class Camera(FrameSource):
    """A camera (its number) or stream (its address), read on a thread of its own, so that `read` never lags."""

    live = True

    def __init__(self, source: int | str):
        self.source = source
        if isinstance(source, int):
            self._capture = cv2.VideoCapture(source)
        else:
            self._capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 8000,
                                                                      cv2.CAP_PROP_READ_TIMEOUT_MSEC, 3000])
        if not self._capture.isOpened():
            self._capture.release()
            raise self._error("does not open")
        if isinstance(source, str) and self._capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
            # Read as a stream most of its frames would be dropped.
            self._capture.release()
            raise CameraError(f"stream {public_address(source)} is a video file, not a camera: download it and give "
                              "its path")
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a queue of old frames is what makes a picture lag
        self.fps: float = _frame_rate(self._capture, 1, 240)
        self._newest: queue.Queue[Frame] = queue.Queue(1)  # of BGR, which nobody asked for yet
        self._start: float | None = None
        self._given, self._stop = 0, False
        self._thread = threading.Thread(target=self._grab, name="camera", daemon=True)
        self._thread.start()

    def _error(self, what: str) -> CameraError:
        if isinstance(self.source, int):
            return CameraError(f"camera {self.source} {what}. {camera_help(self.source)}")
        return CameraError(f"stream {public_address(self.source)} {what}. Check the address, and that this computer "
                           "reaches it: ffplay ADDRESS shows it.")

    def _grab(self) -> None:
        try:
            index = 0
            while not self._stop:
                bgr = self._capture.read()[1]
                if bgr is None:
                    time.sleep(0.02)  # cameras drop a frame now and then; `read` measures how long it lasts
                    continue
                with contextlib.suppress(queue.Empty):
                    self._newest.get_nowait()
                self._newest.put(Frame(bgr, time.monotonic(), index))
                index += 1
        except cv2.error:  # an unplugged camera may end so: `read` reports the silence
            pass
        finally:
            self._capture.release()  # by this thread: releasing while another reads crashes

    def read(self) -> Frame:
        """Return the newest frame that was not given before; raises `CameraError` where none comes for too long."""
        try:
            bgr, now, index = self._newest.get(timeout=SILENCE_S if self._given else FIRST_FRAME_S)
        except queue.Empty:
            raise self._error(self._silence()) from None
        self._given = index + 1
        self._start = now if self._start is None else self._start
        return Frame(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), now - self._start, index)

    def _silence(self) -> str:
        if not self._given:
            return "opens but gives no picture: busy, or access was refused"
        why = ("unplugged, or taken by another program" if isinstance(self.source, int) else
               "it has ended, or the connection broke")
        return f"stopped after {self._given} frames: {why}"

    def close(self) -> None:
        self._stop = True
        self._thread.join(FIRST_FRAME_S)


def open_source(source: str | Path | int | Source = 0) -> FrameSource:
    """Open a camera (0, "0"), a stream (an address with "://"), a video file or a photo.

    Raises `CameraError` where it cannot be opened, and `DataError` where a photo cannot be read.
    """
    named = source
    source = source if isinstance(source, Source) else parse_source(source)
    if is_remote_file(source):
        raise CameraError(f"{source.address}: is a file, not a camera: download it and give its path")
    if source.kind == "folder":
        raise CameraError(f"{named}: is a folder; a source is a camera's number, a video, a photo or a stream's "
                          "address")
    if source.kind in ("camera", "stream"):
        return Camera(int(source.address) if source.kind == "camera" else source.address)
    return Photo(source.address) if source.kind == "photo" else VideoFile(source.address)
