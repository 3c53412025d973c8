"""Long videos in parts: looked at by several shards, and followed as one when these are put together."""
import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self, TypedDict

import numpy as np

from ..errors import DataError
from ..vision.clocks import video_time
from ..vision.predict import Face
from ..vision.seeking import Sight, VideoPart, find_cuts
from ..vision.sources import Source, is_remote_file
from ..vision.track import Tracker
from ..vision.video import VideoFile, every_moment
from .store import COLUMNS, EventTable, Footage, Record, StoredSource, stored_rows

PARTS_SEEN = "parts.jsonl"
PART_S = 60.0
"""About so many seconds has a part; videos of two or more are cut. To come to its first frame costs a part 3 to 6 % of
looking at a minute (720p, key frames 8 to 10 seconds apart, every 0.1 seconds)."""


@dataclass(frozen=True)
class Part:
    """A part of a video, in seconds from its start; `end` is infinite for the last."""

    path: str
    number: int
    of: int
    begin: float
    end: float

    @classmethod
    def parse(cls, address: str) -> Self:
        """Read the address of a source of the kind "part"; `DataError` where it is none."""
        found = re.fullmatch(r"(.*) \(part (\d+) of (\d+): (\d+\.\d+) to (\d+\.\d+|inf) s\)", address, re.DOTALL)
        if not found:
            raise DataError(f"{address} is no part of a video; use one version of fer_utils for all shards")
        return cls(found[1], int(found[2]), int(found[3]), float(found[4]), float(found[5]))

    @property
    def source(self) -> Source:
        return Source("part", f"{self.path} (part {self.number} of {self.of}: {self.begin:.3f} to {self.end:.3f} s)")


def path_of(source: Source) -> str:
    """Return the path of a source's file."""
    return Part.parse(source.address).path if source.kind == "part" else source.address


def cut_videos(found: Sequence[Source]) -> list[Source]:
    """Return the sources, long videos in parts: the same ones for any number of shards."""
    return [part for source in found
            for part in (_parts_of(source) if source.kind == "video" and not is_remote_file(source) else [source])]


def _parts_of(video: Source) -> list[Source]:
    try:
        cuts = find_cuts(video.address, PART_S)
    except Exception:  # whatever a damaged file breaks: who looks at the whole video reports it
        cuts = []
    if not cuts:
        return [video]
    times = [0.0, *cuts, math.inf]
    return [Part(video.address, number, len(times) - 1, *between).source
            for number, between in enumerate(zip(times, times[1:]), 1)]


def uncut(sources: Iterable[Source]) -> Iterator[tuple[Source, list[Source]]]:
    """Give each source once, and of a video that was cut its parts in order; `DataError` where parts are missing."""
    videos: dict[str, list[Source]] = {}
    for source in sources:
        if source.kind != "part":
            yield source, []
            continue
        part = Part.parse(source.address)
        parts = videos.setdefault(part.path, [])
        parts.append(source)
        if len(parts) == part.of:
            yield Source("video", part.path), sorted(parts, key=lambda each: Part.parse(each.address).number)
            del videos[part.path]
    if videos:
        raise DataError(f"{next(iter(videos))}: parts of it are missing in the list of sources; run all shards again "
                        "into a new folder")


class Following(TypedDict):
    """Options of a `Tracker`."""

    smooth_seconds: float
    overlap: float
    patience: float


def how_to_follow(every: float) -> Following:
    """Return how the people of recordings are followed.

    Whoever turns away for a moment, or walks past, stays the same person. Frames may lie further apart than a second.
    """
    return {"smooth_seconds": 0, "overlap": 0.1, "patience": max(1.0, 3 * every)}


def skipped_note(path: str, skipped: int) -> str:
    """Return what is said of frames that could not be decoded; "" where there are none."""
    if not skipped:
        return ""
    frames, were = ("1 frame", "was") if skipped == 1 else (f"{skipped} frames", "were")
    return f"{path}: {frames} could not be decoded and {were} skipped"


def cut_note(video: VideoFile, path: str, last: float, every: float) -> str:
    """Return what is said of a video, looked at until `last`, whose end is missing; "" where it is there.

    Headers count up to a second too much, after the last look there may be `every` seconds, and the last frame of a
    time lapse lasts for many.
    """
    short = video.cut_short(last + max(every, 1 / (video.fps or 1)) + 1)
    return f"{path}: cut short, {last:.0f} of {video.duration or 0:.0f} seconds could be read" if short else ""


# ---- looking at one part ----


@dataclass(frozen=True)
class _Seen:
    """What is known of a part that was looked at, beside its faces; frames are counted from its first."""

    source: str
    frames: int
    position: int  # after the last frame that was looked at
    skipped: int
    ended: bool  # whether the video ends in it
    cut: str  # what is said of a missing end
    first: Sight | None
    following: Sight | None  # the next part's first


def collect_part(address: str, table: EventTable, look: Callable[[np.ndarray], list[Face]],
                 ahead: Callable[..., Iterator[tuple[Any, Callable[[], list[Face]]]]],
                 advance: Callable[[], Any]) -> None:
    """Look at a part of a video and write its faces, all or none; nobody is followed yet."""
    part, every = Part.parse(address), table.settings.every
    frames: list[tuple[int, float, list[Face]]] = []
    try:
        with VideoPart(part.path, part.begin, part.end) as video:
            recording = Footage(address, "part", *video_time(part.path, video.duration or 0))
            for frame, looked in ahead(lambda frame: look(frame.image), video.frames(0, every_moment(every))):
                frames.append((frame.index, round(frame.time, 3), looked()))
                advance()
            seen = _Seen(address, video.count, frames[-1][0] + 1 if frames else 0, video.skipped, video.ended,
                         _cut(video, part.path, frames[-1][1] if frames else 0.0, every), video.first, video.following)
    except Exception as error:  # whatever one video breaks, the sources after it can still be looked at
        table.mark(address, "part", "failed", note=str(error) if isinstance(error, DataError) else
                   f"{part.path}: could not be looked at ({type(error).__name__}: {error})")
        return
    with open(table.out / PARTS_SEEN, "ab") as file:
        file.write(b"\n" + json.dumps(asdict(seen)).encode() + b"\n")  # a killed process may have left half a line
    table.add_part(recording, frames, seen.position, _joined(seen.cut, skipped_note(part.path, seen.skipped)))


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _cut(video: VideoPart, path: str, last: float, every: float) -> str:
    """Return what a reader of the whole video says of its end, where that is in this part."""
    if not (video.ended and video.count and video.total) or last * video.fps > 0.9 * video.total:
        return ""  # as nearly always
    with VideoFile(path) as whole:
        last = 0.0
        for frame in whole.frames(0, every_moment(every)):
            last = round(frame.time, 3)
        return cut_note(whole, path, last, every)


# ---- putting the parts together ----


def join_parts(path: str, parts: Sequence[tuple[Path, StoredSource]], table: EventTable) -> None:
    """Write a video to a table, as one run would, from its parts in order, each with the folder of its shard.

    Where a part failed, or does not fit to the one before it, the video ends there and is reported.
    """
    tracker = Tracker(**how_to_follow(table.settings.every))
    rows, n_rows, before = io.BytesIO(), 0, 0
    position, skipped, problem, cut = 0, 0, "", ""
    following: Sight | None = None
    for folder, stored in parts:
        if stored.record.state != "done":
            problem = stored.record.note
            break
        seen = _seen(folder, stored.record.source)
        if following and not (seen.first and following.same(seen.first)):
            problem = (f"{path}: cannot be put together from its parts at {following.time:.0f} seconds, because it has "
                       "changed or gives other pictures when it is read from there; look at it without shards")
            break
        text, count = _followed(path, stored_rows(folder, stored), before, tracker)
        rows.write(text)
        n_rows += count
        position = before + seen.position if seen.position else position
        before, skipped, following, cut = before + seen.frames, skipped + seen.skipped, seen.following, seen.cut
        if seen.ended:
            break
    note = problem or _joined(cut, skipped_note(path, skipped))
    record = Record(path, "video", "failed" if problem else "done", position, 0, 0, 0, note)
    table.add_copy(record, rows.getvalue(), n_rows)


def _seen(folder: Path, source: str) -> _Seen:
    """Return what is known of a part; `DataError` where that cannot be read."""
    file, found = folder / PARTS_SEEN, None
    try:
        for line in file.read_bytes().splitlines():
            if line.endswith(b"}"):  # not one at which the process was killed
                values = json.loads(line)
                found = values if values["source"] == source else found
        if found is None:
            raise ValueError(f"nothing about {source}")
        first, following = (Sight(*found[name]) if found[name] else None for name in ("first", "following"))
        return _Seen(**{**found, "first": first, "following": following})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{file}: does not describe the parts of its shard ({error}); run this shard again into a new "
                        "folder") from error


_UNUSED = np.zeros(0, np.float32)  # the tracker goes by boxes


def _followed(path: str, text: bytes, before: int, tracker: Tracker) -> tuple[bytes, int]:
    """Return a part's rows as rows of the video, with the numbers that the tracker gives, and how many they are."""
    rows = list(csv.DictReader(io.StringIO(text.decode("utf-8", "surrogateescape"), newline=""), COLUMNS))
    frames: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        frames.setdefault(row["frame"], []).append(row)
    for number, inside in frames.items():
        faces = [Face((int(row["x"]), int(row["y"]), int(row["width"]), int(row["height"])), 0.0, _UNUSED)
                 for row in inside]
        for row, track in zip(inside, tracker.update(faces, float(inside[0]["seconds"]))):
            row.update(source=path, kind="video", frame=str(before + int(number)), track=str(track))
    written = io.StringIO()
    csv.DictWriter(written, COLUMNS, lineterminator="\n").writerows(rows)
    return written.getvalue().encode("utf-8", "surrogateescape"), len(rows)
