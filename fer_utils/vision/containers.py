"""The structure of a video file, which tells whether its end is missing.

The numbers of frames and the durations in headers do not tell it: they may be invented, or count sound, the time before
the first frame, and frames that were trimmed.
"""
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2

_HEADER = 1 << 26  # bytes of an MP4's header; one of hours has a few million
_ZEROS = 4096  # so many at the end: a download that was not finished, whose file had its full size from the start


def ended_early(path: str | Path, seconds: float, frames: int) -> bool:
    """Return whether a file, of which so many seconds and frames could be read, holds a tenth more or had more."""
    with open(path, "rb") as file:
        shown = shown_seconds(file)
        if shown:
            return seconds < 0.9 * shown
        if is_cut(file) is not False:
            return True
    packets = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
    return frames < 0.9 * sum(1 for _ in iter(packets.grab, False))


def is_cut(file: BinaryIO) -> bool | None:
    """Return whether the end of an AVI, MP4, MOV, Matroska or WebM file is missing; None where one cannot know.

    The sizes of the outermost parts tell it.
    """
    file.seek(0)
    start = file.read(12)
    if start[:4] == b"RIFF":
        end = max(_chunk_ends(file), default=0)
    elif start[:4] == b"\x1aE\xdf\xa3":
        end = max(_element_ends(file), default=0)
    elif start[:1] == b"G" or start[:4] == b"\0\0\1\xba":
        return False  # MPEG streams say nothing of their whole: OpenCV counts by their first and last time
    else:
        end = max((end for kind, _, end in boxes(file) if kind.isalpha()), default=0)
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _ZEROS, 0))
    return None if not end else end > size or not any(file.read())


def shown_seconds(file: BinaryIO) -> float:
    """Return how long an MP4 or MOV file shows its video, without what was trimmed; 0 where it does not say."""
    moov = b""
    for kind, start, end in boxes(file):
        if kind == b"moov":
            file.seek(start)
            moov = file.read(min(end - start, _HEADER))
    track = next((track for track in moov.split(b"trak")[1:] if b"vide" in track), b"")
    scale, shown = _number(moov, b"mvhd", 12, 20, 4), _number(track, b"tkhd", 20, 28, 8)
    return shown / scale if scale and shown < 1 << 31 else 0.0


def _number(data: bytes, box: bytes, place: int, place_1: int, length_1: int) -> int:
    """Return a number of four bytes at this place after a box's name; the others are those of the box's version 1."""
    content = data.partition(box)[2]
    if content[:1] == b"\1":
        return int.from_bytes(content[place_1:place_1 + length_1], "big")
    return int.from_bytes(content[place:place + 4], "big")


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Give the type, the start and the end of each outermost box of an MP4 or MOV file."""
    start, size = 0, file.seek(0, os.SEEK_END)
    while start + 8 <= size:
        file.seek(start)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:], "big")
        end = start + length if length else size  # 0: up to the end of the file
        if end < start + 8:
            return
        yield head[4:8], start, end
        start = end


def _chunk_ends(file: BinaryIO) -> Iterator[int]:
    """Give the ends of an AVI's chunks: one of each gigabyte."""
    start = 0
    while True:
        file.seek(start)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        if head[:4] != b"RIFF" or not length:  # a recorder that was killed has not written it
            return
        start += 8 + length
        yield start


def _element_ends(file: BinaryIO) -> Iterator[int]:
    """Give the end of a Matroska file's segment, which a live recording does not know."""
    start = 0
    for _ in ("header", "segment"):
        file.seek(start + 4)  # after its name
        head = file.read(8)
        count = 9 - head[0].bit_length() if head else 9  # bytes of the length
        most = (1 << 7 * count) - 1
        length = int.from_bytes(head[:count], "big") & most
        if count > 8 or length == most:
            return
        start += 4 + count + length
    yield start
