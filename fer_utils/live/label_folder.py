"""A folder of labelling: faces, who labelled them how, and the data set that comes of it.

``labels.csv`` is a journal: one row a decision, written at once, never changed. ``faces/`` holds the faces as the
network sees them, ``index.csv`` where they are from, ``looked.csv`` which photos and videos were searched, and
``fer2013.csv``, made of the others, what `data.load` reads.
"""
import contextlib
import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock, Timeout

from .. import files
from ..errors import DataError
from ..evaluation.agreement import majority
from ..labels import EMOTIONS

SKIP, NOT_A_FACE, UNDO = "skip", "not a face", "undo"
DECISIONS = (*EMOTIONS, SKIP, NOT_A_FACE)
"""What an annotator can say of a face. The journal also has `UNDO`, which takes back the last word on a face."""
JOURNAL_COLUMNS = ("time", "face", "annotator", "label", "guess")
INDEX_COLUMNS = ("face", "source", "person", "box", "frame")
LOOKED_COLUMNS = ("source", "state", "detector", "faces")
_SIDE = 48  # pixels of a face
_TORN = 1 << 20  # bytes in which the start of a torn last line is looked for


@dataclass(frozen=True)
class LabelFace:
    """A face to be labelled, a row of ``index.csv``.

    `face` is its file in ``faces/``. `source` is the photo or video that shows it, at `box`: left, top, width and
    height in pixels; `frame` is the video's frame. `person` says who it is, as far as that is known: users may edit it.
    """

    face: str
    source: str
    person: str
    box: tuple[int, ...] = ()
    frame: int | None = None


@dataclass(frozen=True)
class Looked:
    """A search of a photo or video, a row of ``looked.csv``.

    `state` is the file's size and time then, `faces` how many new faces it gave.
    """

    source: str
    state: str
    detector: str
    faces: int


class LabelFolder:
    """The files of a labelling. Several annotators may write at the same time.

    A folder that is missing or empty becomes one with the first face. Raises `DataError` where the folder cannot be
    read, or is something else, or a file in it is damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser()
        self.faces: dict[str, LabelFace] = {}
        self._read: dict[str, LabelFace] = {}  # as `index.csv` had them
        if self.path.exists() and not self.path.is_dir():
            raise DataError(f"{self.path}: is a file; name a folder for the labels")
        if (self.path / "fer2013.csv").exists() and not (self.path / "index.csv").exists():
            raise DataError(f"{self.path}: holds a fer2013.csv that was not made by labelling; name another folder")
        self.read_index()
        self.labels()  # so that a damaged journal is said before anybody labels

    # Faces.

    def picture(self, face: str) -> Path:
        """Return where the picture of a face is."""
        return self.path / "faces" / face

    def there(self) -> dict[str, LabelFace]:
        """Return the faces whose pictures are there: who deletes a picture takes the face out."""
        return {name: face for name, face in self.faces.items() if self.picture(name).is_file()}

    def pixels(self, face: str) -> np.ndarray:
        """Return a face, uint8 (48, 48)."""
        data = np.frombuffer(self.picture(face).read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if data.size else None
        if image is None or image.shape != (_SIDE, _SIDE):
            raise DataError(f"{self.picture(face)}: is no picture of {_SIDE}×{_SIDE} pixels; delete it to leave the "
                            "face out")
        return image

    def add(self, faces: Sequence[LabelFace], pixels: Sequence[np.ndarray] | np.ndarray) -> None:
        """Write the pictures of faces, uint8 (48, 48) each; until `save_index` they do not count."""
        self.picture("").mkdir(parents=True, exist_ok=True)
        for face, image in zip(faces, pixels):
            self.picture(face.face).write_bytes(cv2.imencode(".png", image)[1].tobytes())
            self.faces[face.face] = face

    def save_index(self) -> None:
        """Write what has changed in `faces` to ``index.csv``, whole or not at all.

        What a user, or another program, wrote there meanwhile is kept.
        """
        before, now = self._read, self.faces
        self.read_index()
        changed = {name: face for name, face in now.items() if before.get(name) != face}
        removed = before.keys() - now.keys()
        self.faces = {name: face for name, face in self.faces.items() if name not in removed} | changed
        self._write("index.csv", INDEX_COLUMNS, (
            (face.face, face.source, face.person, " ".join(map(str, face.box)),
             "" if face.frame is None else face.frame) for face in self.faces.values()))
        self._read = dict(self.faces)

    def read_looked(self) -> dict[str, Looked]:
        """Return the searches by source; without those of a damaged file, for they can be made again."""
        with contextlib.suppress(DataError, ValueError):
            return {row["source"]: Looked(row["source"], row["state"], row["detector"], int(row["faces"]))
                    for _, row in self._rows("looked.csv", LOOKED_COLUMNS)}
        return {}

    def save_looked(self, looked: dict[str, Looked]) -> None:
        """Write ``looked.csv``, whole or not at all."""
        self._write("looked.csv", LOOKED_COLUMNS, (
            (one.source, one.state, one.detector, one.faces) for one in looked.values()))

    def _write(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        with files.whole(self.path / name) as part, \
                open(part, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *rows])

    def read_index(self) -> None:
        """Read ``index.csv`` anew: a user may have edited it, another program may have added faces."""
        self.faces = {face.face: face for face in self._indexed()}
        self._read = dict(self.faces)

    def _indexed(self) -> Iterator[LabelFace]:
        for number, row in self._rows("index.csv", INDEX_COLUMNS[:3]):
            name, box, frame = row["face"], row.get("box") or "", row.get("frame") or ""
            try:
                if not name or Path(name).name != name:
                    raise ValueError(f"{name!r} is no file's name")
                place = tuple(int(value) for value in box.split())
                if len(place) not in (0, 4):
                    raise ValueError(f"box {box!r} is not left, top, width and height")
                # Without a name the photo is the person, as at first.
                person = row["person"].strip() or row["source"]
                yield LabelFace(name, row["source"], person, place, int(frame) if frame else None)
            except ValueError as error:
                raise self._damaged("index.csv", number, str(error)) from error

    def _rows(self, name: str, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
        """Give the rows of a table with their line's number; a last line without an end was torn by a kill."""
        path = self.path / name
        try:
            text = path.read_bytes().decode("utf-8-sig", "surrogateescape") if path.exists() else ""
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); name another folder, or make it "
                            "readable") from error
        start = text.rfind("\n") + 1
        if name == "labels.csv" and not _is_decision(text[start:]):
            text = text[:start]
        if not text:
            return
        divider = ","
        if name == "index.csv":  # users write names into it, and some spreadsheets save it with semicolons
            divider = files.csv_divider(path)
        lines = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=divider)
        try:
            yield from self._checked(lines, name, columns)
        except csv.Error as error:
            raise self._damaged(name, lines.line_num, f"{error}; is there a quote too many above?") from error

    def _checked(self, lines: csv.DictReader, name: str,
                 columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
        if missing := [column for column in columns if column not in (lines.fieldnames or ())]:
            raise self._damaged(name, 1, f"there is no column {missing[0]}; columns are divided by commas")
        for row in lines:
            if any(row[column] is None for column in columns):
                raise self._damaged(name, lines.line_num, "it is too short")
            if name == "labels.csv" and any("\n" in row[column] for column in columns):
                raise self._damaged(name, lines.line_num, "a cell has several lines: a quote is too many")
            yield lines.line_num, row

    def _damaged(self, name: str, line: int, why: str) -> DataError:
        return DataError(f"{self.path / name}, line {line}: {why}; correct it, put back a copy of the file, or name "
                         "another folder")

    # Labels.

    def labels(self) -> dict[str, dict[str, str]]:
        """Return what each annotator says now: one of `DECISIONS` by face, in the order of the decisions."""
        said: dict[str, dict[str, str]] = {}
        for number, row in self._rows("labels.csv", JOURNAL_COLUMNS):
            label, own = row["label"].strip().lower(), said.setdefault(row["annotator"], {})
            if label not in (*DECISIONS, UNDO):
                raise self._damaged("labels.csv", number, f"label {label!r} is none of {', '.join(DECISIONS)}, {UNDO}")
            own.pop(row["face"], None)
            if label != UNDO:
                own[row["face"]] = label
        return {annotator: own for annotator, own in said.items() if own}

    def note(self, face: str, annotator: str, label: str, guess: str = "") -> None:
        """Write a decision to the journal, at once; a line that a kill has torn is removed."""
        row = io.StringIO()
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        csv.writer(row, lineterminator="\n").writerow((now, face, annotator, label, guess))
        path = self.path / "labels.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / ".labels.lock", timeout=10), open(path, "a+b", buffering=0) as file:
                _append_line(file, row.getvalue().encode("utf-8", "surrogateescape"))
        except Timeout:
            raise DataError(f"{path}: another program holds it; end that, then go on") from None
        except OSError as error:
            raise DataError(f"{path}: could not be written ({error.strerror}); what was labelled before is kept: make "
                            "room there, then go on") from error

    def outcomes(self) -> dict[str, str | None]:
        """Return what most annotators say of each face that is there and decided: a label, or None for a tie.

        It is `SKIP` where all have skipped the face.
        """
        given: dict[str, list[str]] = {}
        for own in self.labels().values():
            for face, label in own.items():
                given.setdefault(face, []).append(label)
        found = {}
        for face in self.there().keys() & given.keys():
            counted = [label for label in given[face] if label != SKIP]
            found[face] = majority(counted) if counted else SKIP
        return found

    def write_fer2013(self) -> dict[str, int]:
        """Make ``fer2013.csv`` anew, of the faces that most annotators give an emotion; return their number by it."""
        outcomes = self.outcomes()
        labelled = [(face, label) for face in self.faces.values()
                    if (label := outcomes.get(face.face)) is not None and label in EMOTIONS]
        if labelled:
            self._write("fer2013.csv", ("emotion", "pixels", "Usage", "person", "source"), (
                (EMOTIONS.index(label), " ".join(map(str, self.pixels(face.face).ravel())), "Training",
                 files.escape_formula(face.person), files.escape_formula(face.source)) for face, label in labelled))
        else:
            (self.path / "fer2013.csv").unlink(missing_ok=True)
        return {name: sum(label == name for _, label in labelled) for name in EMOTIONS}


def _is_decision(line: str) -> bool:
    """Return whether a last line without an end is whole, as some editors write it, and was not torn by a kill."""
    cells = next(csv.reader([line[:10_000]]), [])
    return len(cells) >= len(JOURNAL_COLUMNS) and cells[3].strip().lower() in (*DECISIONS, UNDO)


def _append_line(file: io.FileIO, line: bytes) -> None:
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - _TORN, 0))
    tail = file.readall()
    whole = end - len(tail) + tail.rfind(b"\n") + 1
    before = b"" if whole else ",".join(JOURNAL_COLUMNS).encode() + b"\n"
    if _is_decision(tail[tail.rfind(b"\n") + 1:].decode("utf-8", "surrogateescape")):
        whole, before = end, b"\n"
    elif whole < end:
        file.truncate(whole)
    rest = memoryview(before + line)
    try:
        while rest:
            rest = rest[file.write(rest):]
        os.fsync(file.fileno())
    except BaseException:  # a full disk may take a part of it
        with contextlib.suppress(OSError):
            file.truncate(whole)
        raise
