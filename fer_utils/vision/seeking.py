"""A part of a video file: the same frames, with the same times, as reading the whole file gives."""
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2

from . import containers
from .video import Frame, VideoFile, Wanted, native_path

_LEADS_S = (2.0, 12.0, 40.0)
"""So far before its part a reader begins, until from two places the same picture comes: mostly from the first two."""


class Sight(NamedTuple):
    """A frame, to be known again: its time, and its picture as 8 x 8 gray values in hexadecimal digits."""

    time: float
    gray: str

    def same(self, other: "Sight") -> bool:
        """Return whether this is the same frame, also where another computer decoded it, which may round otherwise."""
        here, there = bytes.fromhex(self.gray), bytes.fromhex(other.gray)
        return (self.time == other.time and len(here) == len(there)
                and all(abs(one - two) <= 3 for one, two in zip(here, there)))


class VideoPart(VideoFile):
    """The frames of a video file from `begin` to before `end`, in seconds from the video's start.

    A frame's `index` is counted from the part's first frame; its time is that in the video. After the frames were read,
    `first` and `following` are the first frame from `begin` and from `end` on, or None where there is none; `count` is
    the number of the part's frames, and `ended` says whether the video ends in it.

    A file need not seek exactly. So the reader comes to its first frame from two places before; where that gives two
    pictures, or times that do not rise, it tries one more, and then reads the file from its start.
    """

    def __init__(self, path: str | Path, begin: float = 0.0, end: float = math.inf):
        self._end, self.begin, self.ended = math.inf, begin, False
        self.first: Sight | None = None
        self.following: Sight | None = None
        self._before: float | None = None  # the time of the frame before the first
        super().__init__(path)
        if begin > 0:
            ways: list[tuple[float, float, int]] = []
            for way in (self._come(begin, lead) for lead in _LEADS_S):
                if way in ways:
                    break
                ways += [way] if way else []
            else:
                self._come_from_start(path, begin)
        if self._waiting:
            self.first = self._sight()
            if self._time >= end:  # there is no frame in this part
                self.following, self._waiting, self.skipped, self._index = self.first, False, 0, -1
        self._end = end

    @property
    def starts_at(self) -> float:
        """What the file's clock says at time 0."""
        return self._start or 0.0

    @property
    def count(self) -> int:
        return self._index + 1

    def frames(self, start: int = 0, wanted: Wanted | None = None) -> Iterator[Frame]:
        """Give the frames that `wanted` says yes to; it is asked about the one before the first too, as number -1."""
        if wanted and self._before is not None:
            wanted(self._before, -1)
        return super().frames(start, wanted)

    def _come(self, begin: float, lead: float) -> tuple[float, float, int] | None:
        """Go to the first frame from so many seconds before; return what was found, or None where that is not sure."""
        place = self.starts_at + begin - lead
        if begin <= lead or not self._capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * place) or not self._capture.grab():
            return None
        before = self._time = self._passed()
        if before >= begin:
            return None
        while self._time < begin:
            before = self._time
            if not self._step() or self._time != self._passed():
                return None
        readable, bgr = self._capture.retrieve()
        return before, self._time, zlib.crc32(bgr.tobytes()) if readable and bgr is not None else -1

    def _come_from_start(self, path: str | Path, begin: float) -> None:
        self.close()
        self.ended, self.skipped = False, 0
        super().__init__(path)
        while self._waiting and self._time < begin:
            self._waiting = self._step()

    def _step(self) -> bool:
        """Go on by one frame; those before it are another part's."""
        self._before, self.skipped, self._index = self._time, 0, -1
        return self._grab()

    def _passed(self) -> float:
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 - self.starts_at

    def _grab(self) -> bool:
        index, skipped = self._index, self.skipped
        if self.following:
            return False
        if not super()._grab():
            self.ended = True
            return False
        if self._time >= self._end:
            self.following = self._sight()
            self._index, self.skipped = index, skipped
            return False
        return True

    def _sight(self) -> Sight:
        readable, bgr = self._capture.retrieve()
        if not readable or bgr is None:
            return Sight(self._time, "")
        gray = cv2.cvtColor(cv2.resize(bgr, (8, 8), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
        return Sight(self._time, gray.tobytes().hex())


def find_cuts(path: str | Path, length: float) -> list[float]:
    """Return at which seconds a video may be cut into parts of about `length` seconds: at key frames.

    There are none where it is shorter than two parts, where its file has no index of key frames, where they lie too far
    apart, or where its end is missing.
    """
    path = native_path(path)
    with open(path, "rb") as file:
        indexed = file.read(4) == b"\x1aE\xdf\xa3" or any(kind == b"moov" for kind, _, _ in containers.boxes(file))
        if not indexed or containers.is_cut(file) is not False:
            return []
        shown = containers.shown_seconds(file)
    if shown and shown < 2 * length:
        return []  # which spares most files to be opened
    with VideoPart(path) as video:
        duration, start = video.duration or 0.0, video.starts_at
    if shown and not 0.9 < duration / shown < 1.1:
        return []
    packets = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
    cuts = [_key_frame(packets, start, number * length, length / 2) for number in range(1, int(duration / length))]
    packets.release()
    return [] if None in cuts else [cut for cut in cuts if cut is not None]


def _key_frame(packets: cv2.VideoCapture, start: float, wanted: float, most: float) -> float | None:
    """Return the time of a key frame near a time, in whole milliseconds and not later than it; None: there is none."""
    packets.set(cv2.CAP_PROP_POS_MSEC, 1000 * (start + wanted))
    while packets.grab():
        time = packets.get(cv2.CAP_PROP_POS_MSEC) / 1000 - start
        if time >= wanted + most:
            return None
        if packets.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) and time > wanted - most:
            return math.floor(1000 * time - 0.5) / 1000
    return None
