"""An annotated video and its table while they are written, so that neither a kill nor a full disk ruins them."""
import contextlib
import csv
import errno
import os
import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..errors import CameraError, DataError
from ..vision.containers import boxes

MAX_VIDEO_SIDE = 3840
_ROOM = 1 << 20  # bytes that stay free on the disk
_RAW = [cv2.CAP_PROP_FORMAT, -1]  # packets as they are, not decoded


class Recording:
    """A video and a table in a folder: ``recording-<time>.mkv`` and ``.csv`` until `finish`.

    Of a Matroska file a kill leaves what was written, up to the last seconds; of an MP4 nothing that can be read.
    """

    def __init__(self, out: Path, fps: float, columns: Sequence[str]):
        now = datetime.now()
        self.video = out / f"recording-{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}.mkv"
        self.table = self.video.with_suffix(".csv")
        self._fps, self._pictures, self._size = fps, 0, (0, 0)
        self.seconds = 0.0
        self._writer: cv2.VideoWriter | None = None  # opened when the size of the first picture is known
        self._file = open(self.table, "x", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(columns)

    def add(self, rgb: np.ndarray, time: float, rows: Sequence[Sequence[Any]]) -> None:
        """Write the picture of a time and its rows; raises `OSError` before the disk is full.

        Cameras, screen recordings and phones give frames at uneven times, and the video's frame rate is constant: the
        picture is written several times or not at all, so that the video lasts as long as its source.
        """
        if self._writer is None:
            self._writer = self._open(rgb)
        # The MP4 needs as much room again.
        elif shutil.disk_usage(self.video.parent).free < self.video.stat().st_size + _ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.video.parent))
        if rgb.shape[1::-1] != self._size:
            rgb = cv2.resize(rgb, self._size, interpolation=cv2.INTER_AREA)
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        self.seconds = time + 1 / self._fps
        while self._pictures < round(self.seconds * self._fps):
            self._writer.write(bgr)
            self._pictures += 1
        self._rows.writerows(rows)
        self._file.flush()

    def _open(self, rgb: np.ndarray) -> cv2.VideoWriter:
        scale = min(MAX_VIDEO_SIDE / max(rgb.shape[:2]), 1)
        # The encoder takes even sides from 16 pixels on.
        width, height = (max(round(side * scale) // 2 * 2, 16) for side in rgb.shape[1::-1])
        self._size = width, height
        writer = cv2.VideoWriter(str(self.video), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), self._fps,
                                 self._size)
        if writer.isOpened():
            return writer
        raise CameraError(f"{self.video.parent}: OpenCV cannot write a video there: is the folder writable, the "
                              "disk full?")

    def close(self) -> None:
        """Close both files."""
        with contextlib.suppress(OSError):  # a full disk; `finish` looks whether the video is whole
            self._file.close()
        if self._writer:
            self._writer.release()

    def discard(self) -> None:
        """Delete both files."""
        self.close()
        for path in (self.video, self.table, self.video.with_suffix(".mp4")):
            path.unlink(missing_ok=True)

    def finish(self, video: Path, table: Path, keep: bool) -> None:
        """Make an MP4 of the video, and put both files in their places, or neither.

        Raises `DataError` where that fails, as on a full disk. The recording then stays if it is to be kept.
        """
        self.close()
        whole = self.video.with_suffix(".mp4")
        try:
            found = _remux(self.video, whole, self._fps, self._size)
            if not self._pictures <= found == _packets(whole):
                raise DataError(f"{video}: could not be written whole, so it is as it was before; is there room on "
                                "the disk?")
            _replace({whole: video, self.table: table})
            self.video.unlink()
        except (OSError, DataError) as error:
            whole.unlink(missing_ok=True)
            if not keep:
                self.discard()
                raise
            raise DataError(f"{error} What was recorded is in {self.video.name} and {self.table.name}.") from error


def _packets(path: Path) -> int:
    """Return how many frames a video holds; they are read, but not decoded."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, _RAW)
    return sum(1 for _ in iter(capture.grab, False))


def _remux(path: Path, mp4: Path, fps: float, size: tuple[int, int]) -> int:
    """Write the frames of a video into an MP4 without encoding them anew, and return how many there were."""
    reader = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, _RAW)
    if not reader.isOpened():
        return 0
    config: Any = reader.retrieve(flag=int(reader.get(cv2.CAP_PROP_CODEC_EXTRADATA_INDEX)))[1]
    writer = cv2.VideoWriter(str(mp4), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), fps, size,
                             [cv2.VIDEOWRITER_PROP_RAW_VIDEO, 1])
    count = 0
    while (packet := reader.read()[1]) is not None:
        writer.set(cv2.VIDEOWRITER_PROP_KEY_FLAG, reader.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME))
        # The decoder's configuration, also before the first frame: some players look for it there.
        writer.write(packet if count else np.concatenate([config.ravel(), packet.ravel()])[None])
        count += 1
    writer.release()
    if mp4.is_file():
        _configure(mp4, config.tobytes())
    return count


def _configure(mp4: Path, config: bytes) -> None:
    """Write the decoder's configuration into the header of an MP4, where some players need it and OpenCV leaves it out.

    The header is at the end of the file, so no frame moves. It is left as it is where it is not what OpenCV writes.
    """
    with open(mp4, "r+b") as file:
        start, end = next(((start, end) for kind, start, end in boxes(file) if kind == b"moov"), (0, 0))
        file.seek(start)
        header = bytearray(file.read(end - start))
        box = header.find(b"esds")
        place, entry = box + 34, b"\x05\x80\x80\x80" + bytes([len(config)]) + config
        if box < 0 or header[place] != 6 or header[box + 12] + len(entry) > 127:
            return
        header[place:place] = entry
        for length in (box + 12, box + 20):  # of the descriptors that it is in
            header[length] += len(entry)
        for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"mp4v", b"esds"):
            at = header.rfind(name, 0, box + 4) - 4
            header[at:at + 4] = (int.from_bytes(header[at:at + 4], "big") + len(entry)).to_bytes(4, "big")
        file.seek(start)
        file.write(header)


def _replace(files: dict[Path, Path]) -> None:
    """Put files in the place of others, all or none: where one cannot be, those before come back."""
    done: list[tuple[Path, Path, Path]] = []
    try:
        for new, path in files.items():
            before = path.with_name(f"{new.stem}-before-{path.name}")
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
            if path.exists():
                os.replace(path, before)
            done.append((new, path, before))
            os.replace(new, path)
    except OSError:
        for new, path, before in reversed(done):
            if not new.exists():
                os.replace(path, new)
            if before.exists():
                os.replace(before, path)
        raise
    for _, _, before in done:
        before.unlink(missing_ok=True)
