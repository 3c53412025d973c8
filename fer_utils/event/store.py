"""The table of an event's faces on disk: written as they come, read whole whatever stopped the writing."""
import csv
import io
import json
import os
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout

from ..errors import DataError
from ..labels import EMOTIONS
from ..vision.track import Tracker

FACES, PROGRESS, SETTINGS, ERRORS = "faces.csv", "progress.jsonl", "settings.json", "errors.csv"
COLUMNS = ("source", "kind", "time", "clock", "frame", "seconds", "track", "x", "y", "width", "height", "score",
           *EMOTIONS)


@dataclass(frozen=True)
class Settings:
    """What must stay the same for all faces of one table.

    Parameters
    ----------
    model, weights : str
        A trained network's name, and the start of the SHA-256 of its file.
    detector : str
        "yunet" or "haar".
    every : float
        Seconds of video between two frames that are looked at.
    confusion : tuple of tuple of int
        What the network took for what on the faces it was chosen by: rows true, columns predicted.
    confusion_usage : str
        Which faces those were, as "FER2013, PublicTest".
    """

    model: str
    weights: str
    detector: str
    every: float
    confusion: tuple
    confusion_usage: str


class EventTable:
    """faces.csv, and the journal that says how far each source got and how long faces.csv was then.

    Rows beyond the journal's last line, and half a line at the end of either file, are what a kill left: cut off.

    Parameters
    ----------
    out : str or Path
        Its folder, made if missing.
    settings : Settings

    Raises
    ------
    DataError
        The folder holds faces that were collected with other settings, or a faces.csv that is not ours; or another
        process writes there.
    """

    MARK_SECONDS = 2.0
    """How often a video's place is written."""

    def __init__(self, out, settings):
        self.out = out = Path(out)
        self.settings = settings
        out.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(out / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise DataError(f"{out}: another event is being collected into this folder; wait for its end, or name "
                            "another folder") from None
        try:
            self._open(settings)
        except BaseException:
            self._lock.release()
            raise

    def _open(self, settings):
        out = self.out
        self._check(settings)
        records, kept = _good_journal(out)
        self._size, self.rows = (records[-1]["bytes"], records[-1]["rows"]) if records else (0, 0)
        self.records = {record["source"]: record for record in records}
        self._faces, self._progress = (open(out / name, "ab", buffering=0) for name in (FACES, PROGRESS))
        self._faces.truncate(self._size)
        self._progress.truncate(kept)
        if not self._size:
            self._write([COLUMNS])
            self.rows = 0
        self._marked = time.monotonic()

    def _check(self, settings):
        file = self.out / SETTINGS
        if not file.is_file():
            if (self.out / FACES).exists():
                raise DataError(f"{self.out / FACES}: there already, but no {SETTINGS} beside it says what made it; "
                                "choose another folder")
            part = file.with_suffix(".part")
            part.write_text(json.dumps(asdict(settings), indent=1), encoding="utf-8")
            os.replace(part, file)
            return
        before, now = read_settings(self.out), asdict(settings)
        now = json.loads(json.dumps(now))  # tuples become lists
        changed = [name if name == "confusion" else f"{name} was {before.get(name)}, now {now[name]}"
                   for name in now if before.get(name) != now[name]]
        if changed:
            raise DataError(f"{self.out} holds faces collected otherwise ({'; '.join(changed)}), which would not "
                            "compare: choose another folder, or delete this one")

    def state(self, source):
        """Return "done", "partial" (a video), "failed", or None where a source has not been looked at."""
        return self.records.get(source, {}).get("state")

    def _write(self, rows):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self._size += self._faces.write(text.getvalue().encode("utf-8", "surrogateescape"))
        self.rows += len(rows)

    def add_photo(self, source, taken, faces):
        """Write the `Face` list of a photo; `taken` is its time and the clock that says so."""
        when, clock = taken
        self._write([(source, "photo", when.isoformat(" ", "seconds"), clock, "", "", "", *_cells(face))
                     for face in faces])
        self.mark(source, "photo", "done", faces=len(faces))

    def add_frame(self, source, kind, tracker, faces, index, position, began):
        """Write the `Face` list of a frame: its number, its seconds from the start, and when that was."""
        when = (began + timedelta(seconds=position)).isoformat(" ", "milliseconds")
        tracks = tracker.update([face.box for face in faces], position)
        self._write([(source, kind, when, kind, index, position, track, *_cells(face))
                     for track, face in zip(tracks, faces)])
        if time.monotonic() - self._marked > self.MARK_SECONDS:
            self.mark(source, kind, "partial", position=index + 1)

    def mark(self, source, kind, state, position=0, faces=0, note=""):
        """Write that a source is done, failed, or a video's next frame."""
        record = {"source": source, "kind": kind, "state": state, "position": position, "faces": faces,
                  "bytes": self._size, "rows": self.rows, "note": note}
        self._progress.write(json.dumps(record).encode() + b"\n")
        self.records[source] = record
        self._marked = time.monotonic()

    def resume(self, source):
        """Return a tracker that knows a video's faces so far, and its next frame."""
        tracker = new_tracker(self.settings.every)
        record = self.records.get(source)
        if record is None or not record["position"]:
            return tracker, 0
        rows = read_faces(self.out)
        rows = rows[rows.source == source]
        for position, group in rows.groupby("seconds"):  # the same boxes in the same order give the same numbers
            tracker.update(group[["x", "y", "width", "height"]].to_numpy().tolist(), position)
        return tracker, record["position"]

    def close(self):
        """Write errors.csv and close the files."""
        try:
            self._faces.close()
            self._progress.close()
            errors = [(r["source"], r["note"]) for r in self.records.values() if r["note"]]
            write_csv(pd.DataFrame(errors, columns=["source", "error"]), self.out / ERRORS)
        finally:
            self._lock.release()


def new_tracker(every):
    """Make the tracker of a video: patient enough for a face that turns away, loose enough for one walking past."""
    return Tracker(patience=max(1.0, 3 * every), overlap=0.1)  # looks may lie further apart than a second


def _cells(face):
    return (*face.box, round(face.score, 4), *(round(float(p), 5) for p in face.probabilities))


def _good_journal(out):
    """Return the journal's records that faces.csv bears out, and how many bytes of it they are."""
    faces, progress = out / FACES, out / PROGRESS
    size = faces.stat().st_size if faces.is_file() else 0
    records, kept = [], 0
    for line in progress.read_bytes().splitlines(keepends=True) if progress.is_file() else ():
        record = _parsed(line)
        if record is None or record["bytes"] > size:
            break
        records.append(record)
        kept += len(line)
    return records, kept


def _parsed(line):
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except json.JSONDecodeError:
        return None


def write_csv(table, path):
    """Write a DataFrame as CSV, whole or not at all."""
    part = path.with_suffix(".part")
    table.to_csv(part, index=False, errors="surrogateescape")
    os.replace(part, path)


def read_settings(out):
    """Return the settings.json of a folder that `collect` filled, as a dict.

    Raises
    ------
    DataError
        It is not there or damaged.
    """
    file = Path(out) / SETTINGS
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(f"{file}: not readable ({error}); collect into a new folder") from error


def read_journal(out):
    """Return how far each source got: a list of dicts with source, kind, state, position, faces and note."""
    return list({record["source"]: record for record in _good_journal(Path(out))[0]}.values())


def read_faces(out):
    """Read the finished rows of faces.csv, also while `collect` runs or after it was killed.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`; ``track`` is missing for photos.
    """
    records = _good_journal(Path(out))[0]
    if not records:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    with open(Path(out) / FACES, "rb") as file:
        return pd.read_csv(io.BytesIO(file.read(records[-1]["bytes"])), encoding_errors="surrogateescape",
                           dtype={"source": str, "frame": "Int64", "track": "Int64"}, keep_default_na=False,
                           na_values={name: [""] for name in COLUMNS if name != "source"})


def read_errors(out):
    """Return what could not be read as a list of {"source": …, "error": …}."""
    return [{"source": record["source"], "error": record["note"]} for record in read_journal(out) if record["note"]]
