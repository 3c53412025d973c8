"""The table of an event's faces on disk: written as they come, read back whole whatever stopped the writing."""
import csv
import io
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import files
from ..errors import DataError
from ..labels import EMOTIONS, N_CLASSES
from ..vision.predict import Face

FACES, PROGRESS, SETTINGS, ERRORS = "faces.csv", "progress.jsonl", "settings.json", "errors.csv"
COLUMNS = ("source", "kind", "time", "clock", "frame", "seconds", "track", "x", "y", "width", "height", "score",
           *EMOTIONS)


@dataclass(frozen=True)
class Settings:
    """What must stay the same for all faces of one table."""

    model: str
    weights: str  # the start of its file's SHA-256
    detector: str
    every: float  # seconds of video between two frames that are looked at
    confusion: list[list[int]]  # of the network on the faces it was chosen by, rows true, columns predicted
    confusion_usage: str  # what these faces are: "FER2013, PublicTest"


@dataclass(frozen=True)
class Record:
    """How far one source got, and how long faces.csv was then."""

    source: str
    kind: str  # "photo", "video", "camera", "part" (of a video) or, not searched, "folder"
    state: str  # "done", "partial" or "failed"
    position: int  # the next frame of a video
    faces: int  # of a photo
    bytes: int  # of faces.csv
    rows: int
    note: str  # what could not be read


@dataclass(frozen=True)
class Footage:
    """A video or a camera's recording."""

    source: str
    kind: str  # "video", "camera" or "part" (of a video)
    began: datetime  # when its first frame was
    clock: str  # what says so: "video", "file" or "camera"


@contextmanager
def open_table(out: Path | str, settings: Settings) -> Iterator["EventTable"]:
    """Open the table in a folder, which is made if it is missing, for this process alone.

    Raises `DataError` if another process writes there, or if faces.csv has other settings or is something else.
    """
    out = Path(out)
    with files.only_one(out, "another event is being collected into this folder"):
        _check_settings(out, settings)
        table = EventTable(out, settings)
        try:
            yield table
        except BaseException:  # what ended it is said, not that a full disk also has no room for errors.csv
            with suppress(OSError):
                table.close()
            raise
        table.close()


def _check_settings(out: Path, settings: Settings) -> None:
    if (out / SETTINGS).is_file():
        if changed := changed_settings(read_settings(out), settings, "was", "now"):
            raise DataError(f"{out} holds faces that were collected differently ({changed}), so they cannot "
                            "be compared: choose another folder, or delete this one")
    elif (out / FACES).exists():
        raise DataError(f"{out / FACES} exists, but there is no {SETTINGS} that says what made it; choose another "
                        "folder")
    else:
        files.write_json(out / SETTINGS, asdict(settings))


def changed_settings(before: Settings, now: Settings, was: str = "is", becomes: str = "and") -> str:
    """Return which settings differ, and how, as a part of a sentence; "" where none does."""
    old, new = asdict(before), asdict(now)
    return "; ".join(name if name == "confusion" else f"{name} {was} {old[name]}, {becomes} {new[name]}"
                     for name in new if old[name] != new[name])


class EventTable:
    """faces.csv, and the journal (progress.jsonl) that says how far each source got and how long faces.csv was then.

    A kill may leave rows that the journal does not know, and half a line at the end of either file: these are cut off.
    `open_table` makes one.
    """

    MARK_SECONDS = 2.0
    """How often the place in a video is written to the journal."""

    def __init__(self, out: Path, settings: Settings):
        self.out, self.settings = out, settings
        records, journal_bytes = _valid_records(out)
        if records:
            _finished_rows(out / FACES, records[-1])  # which raises where an editor changed it, before it is cut
        size, self.rows = (records[-1].bytes, records[-1].rows) if records else (0, 0)
        self.records = {record.source: record for record in records}
        self._faces, self._progress = (open(out / name, "ab", buffering=0) for name in (FACES, PROGRESS))
        self._faces.truncate(size)
        self._progress.truncate(journal_bytes)
        if not size:
            self._write([COLUMNS])
            self.rows = 0
        self._marked = time.monotonic()

    def state(self, source: str) -> str | None:
        """Return "done", "partial" (a video), "failed", or None where a source has not been looked at."""
        return self.records[source].state if source in self.records else None

    def position(self, source: str) -> int:
        """Return the next frame of a video."""
        return self.records[source].position if source in self.records else 0

    def add_photo(self, source: str, taken: datetime, clock: str, faces: Sequence[Face]) -> None:
        """Write the faces of a photo, when it was taken, and which clock says so."""
        self._write([(source, "photo", taken.isoformat(" ", "seconds"), clock, "", "", "", *_cells(face))
                     for face in faces])
        self.mark(source, "photo", "done", faces=len(faces))

    def add_frame(self, recording: Footage, index: int, seconds: float, faces: Mapping[int, Face]) -> None:
        """Write the faces of a frame, by track: the frame's number, and its seconds from the recording's start."""
        self._write(_frame_rows(recording, index, seconds, faces))
        if time.monotonic() - self._marked > self.MARK_SECONDS:
            self.mark(recording.source, recording.kind, "partial", position=index + 1)

    def add_part(self, part: Footage, frames: Iterable[tuple[int, float, Sequence[Face]]], position: int,
                 note: str) -> None:
        """Write the faces of all frames of a part of a video: each frame's number and seconds, and its faces."""
        self._write([row for index, seconds, faces in frames
                     for row in _frame_rows(part, index, seconds, dict(enumerate(faces)))])
        self.mark(part.source, part.kind, "done", position, note=note)

    def frames_before(self, source: str) -> dict[float, list[Face]]:
        """Return the faces of a video's frames so far, in their order, by seconds from its start."""
        rows = read_faces(self.out)
        rows = rows.loc[rows["source"] == source, ["seconds", "x", "y", "width", "height", "score", *EMOTIONS]]
        frames: dict[float, list[Face]] = {}
        for seconds, x, y, width, height, score, *probabilities in rows.itertuples(index=False, name=None):
            face = Face((int(x), int(y), int(width), int(height)), score, np.array(probabilities, np.float32))
            frames.setdefault(seconds, []).append(face)
        return frames

    def mark(self, source: str, kind: str, state: str, position: int = 0, faces: int = 0, note: str = "") -> None:
        """Write to the journal how far a source got (see `Record`)."""
        size = os.fstat(self._faces.fileno()).st_size
        record = Record(source, kind, state, position, faces, size, self.rows, note)
        _append(self._progress, json.dumps(asdict(record)).encode() + b"\n")
        self.records[source] = record
        self._marked = time.monotonic()

    def add_copy(self, record: Record, rows: bytes, n_rows: int) -> None:
        """Write a source as another table has it: how far it got, and its rows as they are in that faces.csv."""
        _append(self._faces, rows)
        self.rows += n_rows
        self.mark(record.source, record.kind, record.state, record.position, record.faces, record.note)

    def close(self) -> None:
        """Close the files and write errors.csv."""
        self._faces.close()
        self._progress.close()
        files.write_csv(self.out / ERRORS, pd.DataFrame(read_errors(self.out), columns=["source", "error"]))

    def _write(self, rows: Sequence[Sequence[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        _append(self._faces, text.getvalue().encode("utf-8", "surrogateescape"))
        self.rows += len(rows)


def _frame_rows(recording: Footage, index: int, seconds: float, faces: Mapping[int, Face]) -> list[tuple[Any, ...]]:
    when = (recording.began + timedelta(seconds=seconds)).isoformat(" ", "milliseconds")
    return [(recording.source, recording.kind, when, recording.clock, index, seconds, track, *_cells(face))
            for track, face in faces.items()]


def _append(file: io.FileIO, data: bytes) -> None:
    """Write all of the data, or nothing and raise `DataError`: a full disk may take a part of it."""
    before, rest = os.fstat(file.fileno()).st_size, memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest):]
    except BaseException as error:  # Ctrl-C too
        file.truncate(before)
        if isinstance(error, OSError):
            raise DataError(f"{os.fsdecode(file.name)}: could not be written ({error.strerror}). What was finished is "
                            "kept: make room there, then the same command goes on.") from error
        raise


def _cells(face: Face) -> tuple[float, ...]:
    return (*face.box, round(face.score, 4), *(round(float(p), 5) for p in face.probabilities))


def _valid_records(out: Path) -> tuple[list[Record], int]:
    """Return the journal's records up to the first that does not fit faces.csv, and their length in bytes.

    A line that was cut off is the last one, and does not count; `DataError` names another that is damaged.
    """
    faces, progress = out / FACES, out / PROGRESS
    size = faces.stat().st_size if faces.is_file() else 0
    records: list[Record] = []
    lines = progress.read_bytes().splitlines(keepends=True) if progress.is_file() else []
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            records.append(_record(json.loads(line), records))
        except (ValueError, TypeError) as error:
            raise DataError(f"{progress}, line {number}: is damaged ({error}); put back a copy of this file, or "
                            "collect into a new folder") from error
    fit = sum(record.bytes <= size for record in records)  # the first ones, since their bytes only rise
    return records[:fit], sum(map(len, lines[:fit]))


def _record(values: dict[str, Any], before: Sequence[Record]) -> Record:
    """Return a line of the journal as a record; TypeError: it has other fields, or values that cannot be."""
    record = Record(**values)
    if not all(isinstance(text, str) for text in (record.source, record.kind, record.state, record.note)):
        raise TypeError("source, kind, state and note must be texts")
    counts = (record.position, record.faces, record.bytes, record.rows)
    if not all(type(count) is int and count >= 0 for count in counts):
        raise TypeError("position, faces, bytes and rows must be whole numbers from 0")
    if before and (record.bytes < before[-1].bytes or record.rows < before[-1].rows):
        raise TypeError("bytes and rows must not fall")
    return record


def read_settings(out: Path | str) -> Settings:
    """Return the settings that a folder's faces were collected with; `DataError` where they cannot be read."""
    file, remedy = Path(out) / SETTINGS, "collect into a new folder"
    try:
        settings = Settings(**files.read_json(file, remedy))
        texts = (settings.model, settings.weights, settings.detector, settings.confusion_usage)
        confusion = np.array(settings.confusion)
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("model, weights, detector and confusion_usage must be texts")
        if type(settings.every) not in (int, float) or not 0 <= settings.every < math.inf:
            raise TypeError("every must be a number of seconds, 0 or more")
        if confusion.shape != (N_CLASSES, N_CLASSES) or confusion.dtype.kind not in "iu" or confusion.min() < 0:
            raise TypeError(f"confusion must be {N_CLASSES} rows of {N_CLASSES} counts")
        return settings
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: not the settings of an event ({error}); {remedy}") from error


def read_journal(out: Path | str) -> list[Record]:
    """Return how far each source got, also while `collect_event` runs."""
    return list({record.source: record for record in _valid_records(Path(out))[0]}.values())


def read_faces(out: Path | str) -> pd.DataFrame:
    """Return the finished rows of faces.csv, also while `collect_event` runs or after it was killed.

    The columns are `COLUMNS`. Photos have no frame, seconds and track.
    """
    records = _valid_records(Path(out))[0]
    if not records:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    return _finished_rows(Path(out) / FACES, records[-1])


def _finished_rows(faces: Path, record: Record) -> pd.DataFrame:
    """Return the rows that faces.csv had at a record; `DataError` where they are damaged, or a spreadsheet saved it."""
    dtype: Any = {"source": str, "frame": "Int64", "track": "Int64", "seconds": float, "score": float,
                  **dict.fromkeys(("x", "y", "width", "height"), int), **dict.fromkeys(EMOTIONS, float)}
    with open(faces, "rb") as file:
        data = file.read(record.bytes)
    try:
        rows = pd.read_csv(io.BytesIO(data), encoding_errors="surrogateescape", dtype=dtype, keep_default_na=False,
                           na_values={name: [""] for name in COLUMNS if name != "source"})
        if tuple(rows) != COLUMNS or len(rows) != record.rows or not data.endswith(b"\n"):
            raise ValueError(f"its {record.rows} rows of {len(COLUMNS)} columns are not as they were written")
        pd.to_datetime(rows["time"], format="ISO8601")
        if not rows[[*EMOTIONS]].apply(lambda column: column.between(0, 1)).all(axis=None):
            raise ValueError("a probability is not from 0 to 1")
    except (ValueError, TypeError) as error:
        raise DataError(f"{faces}: was changed or is damaged ({str(error).splitlines()[0]}); put back a copy of it, or "
                        "collect into a new folder") from error
    return rows


@dataclass(frozen=True)
class StoredSource:
    """What a table has of one source."""

    record: Record  # how far it got
    pieces: list[tuple[int, int]]  # where its rows begin and end in faces.csv, in bytes; several where a video went on
    rows: int


def read_sources(out: Path | str) -> dict[str, StoredSource]:
    """Return what a table has of each source; `DataError` where it is damaged."""
    file, records = Path(out) / FACES, _valid_records(Path(out))[0]
    if not records:
        return {}
    sources = _finished_rows(file, records[-1])["source"].to_numpy()
    with open(file, "rb") as faces:
        start, rows = len(faces.readline()), 0
    found: dict[str, StoredSource] = {}
    for record in records:  # the rows since the record before are this one's
        if not (sources[rows:record.rows] == record.source).all():
            raise DataError(f"{file}: was changed or is damaged (rows of another source where those of {record.source} "
                            "were written); put back a copy of it, or collect into a new folder")
        before = found.get(record.source, StoredSource(record, [], 0))
        pieces = [*before.pieces, (start, record.bytes)] if record.bytes > start else before.pieces
        found[record.source] = StoredSource(record, pieces, before.rows + record.rows - rows)
        start, rows = record.bytes, record.rows
    return found


def copy_rows(out: Path | str, source: StoredSource, table: EventTable) -> None:
    """Write to another table what the table in the folder `out` has of a source."""
    table.add_copy(source.record, stored_rows(out, source), source.rows)


def stored_rows(out: Path | str, source: StoredSource) -> bytes:
    """Return the rows that the table in the folder `out` has of a source, as they are in faces.csv."""
    rows = b""
    with open(Path(out) / FACES, "rb") as faces:
        for start, stop in source.pieces:
            faces.seek(start)
            rows += faces.read(stop - start)
    return rows


def count_kinds(records: Iterable[Record]) -> dict[str, int]:
    """Return how many records are of photos, videos and cameras."""
    kinds = [record.kind for record in records]
    return {f"{kind}s": kinds.count(kind) for kind in ("photo", "video", "camera")}


def read_errors(out: Path | str) -> list[dict[str, str]]:
    """Return what could not be read as a list of {"source": …, "error": …}."""
    return [{"source": record.source, "error": record.note} for record in read_journal(out) if record.note]
