"""When photos and videos were taken, by the best evidence that their files hold."""
import contextlib
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from .containers import boxes
from .images import read_exif

_EXIF = ((36867, 36881, "exif"), (36868, 36882, "exif digitized"), (306, 36880, "exif changed"))
"""Tags of a moment (DateTimeOriginal, DateTimeDigitized, DateTime), those of its zone (OffsetTime…), what to call it.

The best evidence comes first: DateTime is the last change by a camera or an editor."""
_DATE = re.compile(r"(\d{4})[-:/.](\d\d?)[-:/.](\d\d?)[T ]+(\d\d?):(\d\d?)(?::(\d\d?))?(?:[.,]\d+)?"
                   r"\s*(Z|[+-]\d\d:?\d\d)?")
_HEADER = 1 << 26  # bytes of an MP4's header; those of other videos are within the first of them
_HEAD = 1 << 20
_WMV = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # the object that holds its date


def photo_time(path: str | Path) -> tuple[datetime, str]:
    """Return when a photo was taken, in this computer's time zone and without it, and which clock says so.

    The clock is "exif" (DateTimeOriginal), "exif digitized", "exif changed" (DateTime), or "file" (its last change)
    where EXIF says nothing or something impossible. Cameras write local time: it is only converted where its zone is
    given too.
    """
    tags = read_exif(path)
    for date, zone, clock in _EXIF:
        taken = _moment(_text(tags.get(date)), _text(tags.get(zone)))
        if taken and 1900 <= taken.year <= datetime.now().year + 1:  # one photo of the year 1 would stretch the event
            return taken, clock
    return datetime.fromtimestamp(os.path.getmtime(path)), "file"


def video_time(path: str | Path, seconds: float) -> tuple[datetime, str]:
    """Return when a video of so many seconds began, as `photo_time` does.

    The clock is "video" where the file says when it was made, else "file": a recorder writes a file's date when it
    stops.
    """
    with contextlib.suppress(Exception), open(path, "rb") as file:  # whatever a damaged header breaks
        made = _made(file)
        if made and 1990 <= made.year <= datetime.now().year + 1:  # 1904 and 1970 mean: the clock was not set
            return made, "video"
    return datetime.fromtimestamp(os.path.getmtime(path)) - timedelta(seconds=seconds), "file"


def _made(file: BinaryIO) -> datetime | None:
    """Return when a video was made, by its header: MP4, MOV, Matroska, WebM, AVI or WMV."""
    head = file.read(_HEAD)
    if head[:4] == b"\x1aE\xdf\xa3":
        found = re.search(rb"\x44\x61\x88(.{8})", head, re.DOTALL)  # DateUTC
        return found and _utc(2001, int.from_bytes(found[1], "big", signed=True) / 1e9)
    if head[:4] == b"RIFF":
        found = re.search(rb"IDIT.{4}\w{3} (\w{3} [ \d]\d [\d:]{8} \d{4})", head, re.DOTALL)
        if found:
            return datetime.strptime(found[1].decode(), "%b %d %H:%M:%S %Y")
        return _moment(_text(head.partition(b"ICRD")[2][4:40]))
    if _WMV in head:
        return _utc(1601, int.from_bytes(head.partition(_WMV)[2][32:40], "little") / 1e7)
    for kind, start, end in boxes(file):
        if kind == b"moov":
            file.seek(start)
            moov = file.read(min(end - start, _HEADER))
            # Apple's own date has the zone where the video was made.
            own = moov.partition(b"com.apple.quicktime.creationdate")[2] or moov.partition(b"\xa9day")[2]
            header = moov.partition(b"mvhd")[2]
            wide = header[:1] == b"\1"
            since = int.from_bytes(header[4:12 if wide else 8], "big")
            return _moment(_text(own)) or (_utc(1904, since) if since else None)
    return None


def _utc(year: int, seconds: float) -> datetime:
    """Return so many seconds after a year's beginning in UTC as local time."""
    return (datetime(year, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone().replace(tzinfo=None)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")


def _moment(text: str, zone: str = "") -> datetime | None:
    """Read a date with a time, in EXIF's spelling, ISO 8601 or like these; None where there is none."""
    found = _DATE.search(text)
    if not found:
        return None
    with contextlib.suppress(ValueError, OverflowError, OSError):
        year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
        moment = datetime(year, month, day, hour, minute, second)
        zone = (found[7] or zone.strip("\0 ")).replace("Z", "+00:00")
        if not re.fullmatch(r"[+-]\d\d:?\d\d", zone):
            return moment
        return datetime.fromisoformat(f"{moment.isoformat()}{zone}").astimezone().replace(tzinfo=None)
    return None
