"""The files of a data set, in a folder, in zip archives or alone, and what goes wrong while they are read."""
import gzip
import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import pandas as pd

from .. import paths
from ..errors import DataError

PARTS = {"training": "Training", "train": "Training", "publictest": "PublicTest", "validation": "PublicTest",
         "valid": "PublicTest", "val": "PublicTest", "dev": "PublicTest", "privatetest": "PrivateTest",
         "testing": "PrivateTest", "test": "PrivateTest"}
"""Words in the names of files and folders, and the usage of the faces in them."""
MAX_FACES = 1_000_000
"""More faces (2.3 GB) are refused: a small archive can claim what no memory holds."""
_PART = re.compile(r"(?<![a-z])(?:(?:public|private)[\W_]?test|training|train|validation|valid|val|dev|testing|test)"
                   r"(?![a-z])")
_HEAD = 1 << 16  # bytes; a table's first row is shorter
_PACKED = {b"\x1f\x8b": "a gzip file", b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file",
           b"PK\x03\x04": "a zip archive", b"7z\xbc\xaf": "a 7-Zip archive",
           b"Rar!": "a RAR archive", b"\x28\xb5\x2f\xfd": "a Zstandard file"}
_DEEPEST = 8
UNPACK = "unpack it first, with tar -xf or a program for archives"


class Place:
    """The files in a folder, with those in its zip archives, in one archive, or one file alone.

    `names` are the files; one in an archive is called as if the archive were a folder. `left_out` holds, for a reason,
    the files and folders that are not read because of it.
    """

    def __init__(self, path: Path) -> None:
        folder = os.path.isdir(path)
        self.where, self.alone = path, not folder  # a file that is named itself has to be readable
        self.base = path if folder else path.parent
        self.left_out: dict[str, list[str]] = {}
        self.problems: dict[str, DataError] = {}  # of files that cannot be read
        self._archives: dict[str, zipfile.ZipFile] = {}
        self._seen: set[tuple[int, int]] = set()
        with ExitStack() as stack:
            stack.callback(self.close)
            files = list(self._walk(path, ())) if folder else [path.name]
            self.names = [name for name in files if not name.lower().endswith(".zip")]
            for name in files:
                if name.lower().endswith(".zip"):
                    self.names += self._in_archive(name)
            stack.pop_all()

    def leave_out(self, reason: str, *names: str) -> None:
        """Note that files or folders are not read, and why."""
        if names:
            self.left_out.setdefault(reason, []).extend(names)

    def _walk(self, folder: Path, inside: tuple[str, ...]) -> Iterator[str]:
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
            status = folder.stat()
        except OSError as error:
            if not inside:
                raise DataError(f"{folder}: {_permission_or(error)}") from error
            self.leave_out(_permission_or(error), "/".join(inside))
            return
        if (status.st_dev, status.st_ino) in self._seen:
            self.leave_out("a link to a folder that is read already", "/".join(inside))
            return
        self._seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            names = (*inside, entry.name)
            if entry.name.startswith("."):
                continue
            kind = _kind(entry)
            if kind == "folder":
                if entry.name.startswith("__") or _is_cache(Path(entry)):
                    continue
                if _far_down(names):
                    self.leave_out("too far down to be looked into", "/".join(names))
                else:
                    yield from self._walk(Path(entry), names)
            elif kind == "file":
                yield "/".join(names)
            else:
                self.leave_out("a pipe, socket, device or broken link", "/".join(names))

    def _in_archive(self, name: str) -> list[str]:
        """Open a zip archive; return the files in it."""
        try:
            with reading_errors(str(self.base / name)):
                archive = self._archives[name] = zipfile.ZipFile(self.base / name)
        except DataError as error:
            problem = error
            with suppress(OSError), open(self.base / name, "rb") as file:
                if (kind := packed_as(file.read(512))) not in (None, "a zip archive"):
                    problem = DataError(f"{self.base / name}: is {kind} of another name; {UNPACK}")
            if self.alone:
                raise problem from error
            self.problems[name] = problem
            return []
        return [f"{name}/{inner}" for inner in archive.namelist() if not inner.endswith("/")
                and not any(part.startswith((".", "__")) and part != ".." for part in inner.split("/"))]

    def _split(self, name: str) -> tuple[str, str]:
        """Divide a name into the archive, "" where it is in none, and the name in it."""
        archive = next((archive for archive in self._archives if name.startswith(f"{archive}/")), "")
        return archive, name.removeprefix(f"{archive}/") if archive else name

    def close(self) -> None:
        """Close the archives."""
        for archive in self._archives.values():
            archive.close()

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        archive, inner = self._split(name)
        return self._archives[archive].open(inner) if archive else open(self.base / name, "rb")

    def size(self, name: str) -> int:
        """Return how many bytes a file has, unpacked."""
        archive, inner = self._split(name)
        return self._archives[archive].getinfo(inner).file_size if archive else (self.base / name).stat().st_size

    def packed(self, name: str) -> bool:
        """Return whether a file is in an archive."""
        return bool(self._split(name)[0])

    def path(self, name: str) -> Path:
        """Return the file on disk that holds the named file, or the named folder."""
        return self.base / (self._split(name)[0] or name)

    def label(self, name: str) -> str:
        """Return how errors call a file."""
        archive, inner = self._split(name)
        return f"{self.base / archive}: {inner}" if archive else str(self.base / name)

    def notes(self) -> tuple[str, ...]:
        """Return a line for each reason why files are left out: how many, which, and why."""
        return tuple(f"left out {len(names):,} ({reason}): {listed(names)}" for reason, names in self.left_out.items())


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return some names and how many more there are; signs that no screen shows become "?"."""
    shown = ", ".join("".join(sign if sign.isprintable() else "?" for sign in name[-100:]) for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown


def _is_cache(folder: Path) -> bool:
    return folder.resolve() in (paths.CACHE.resolve(), (paths.DATA / "cache").resolve())


def _kind(entry: os.DirEntry[str]) -> str:
    with suppress(OSError):  # of a link to itself
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    return ""


def _far_down(names: tuple[str, ...]) -> bool:
    """Return whether a folder is deeper than two levels, and no image folder, so that nothing is searched for ever."""
    return len(names) > 2 and (len(names) > _DEEPEST or names[-1].lower() != "images"
                               and not any(part_of(name) for name in names))


def part_of(name: str) -> str | None:
    """Return the usage that a word in a name of a file or folder tells, None where there is none or several."""
    found = {PARTS[re.sub(r"[\W_]", "", word)] for word in _PART.findall(name.lower())}
    return found.pop() if len(found) == 1 else None


def home(folder: str) -> str:
    """Return a folder without the folders and archives at its end that tell the part: those of one data set agree."""
    names = folder.split("/") if folder else []
    while names and (part_of(names[-1]) or names[-1] == ".." or names[-1].lower().endswith(".zip")):
        names.pop()
    return "/".join(names)


def packed_as(head: bytes) -> str | None:
    """Return what kind of archive a file is, by its first bytes; None where it is none."""
    if head[257:262] == b"ustar":
        return "a tar archive"
    return next((kind for start, kind in _PACKED.items() if head.startswith(start)), None)


@contextmanager
def open_csv(place: Place, name: str) -> Iterator[IO[bytes]]:
    """Open a CSV file, unpacked where it is a ``.csv.gz``."""
    with place.open(name) as file:
        # A GzipFile reads as any binary file does.
        yield gzip.open(file) if name.lower().endswith(".gz") else file  # type: ignore[misc]


def csv_columns(place: Place, name: str) -> list[str]:
    """Return the column names in a CSV file's first row."""
    label = place.label(name)
    with reading_errors(label), open_csv(place, name) as file:
        head = file.read(_HEAD)
        if kind := packed_as(head):
            raise DataError(f"{label}: is {kind}, not CSV; {UNPACK}")
        if b"\0" in head:
            raise DataError(f"{label}, row 1: is no text in UTF-8; save it as CSV in UTF-8, or download it again")
        first = re.split(rb"[\r\n]", head.lstrip(b"\r\n"), maxsplit=1)
        if len(first) == 1 and len(head) == _HEAD:
            raise DataError(f"{label}, row 1: is longer than {_HEAD:,} bytes, so it does not hold names of columns; "
                            "put them there, or remove the file")
        columns = list(pd.read_csv(io.BytesIO(first[0]), nrows=0, encoding_errors="replace").columns)
        # pandas calls the second of two columns of one name "emotion.1".
        plain = [re.sub(r"\.\d+$", "", column).strip().lower() for column in columns]
        if twice := [column for column in ("emotion", "pixels", "usage") if plain.count(column) > 1]:
            raise DataError(f"{label}, row 1: the column {twice[0]} is there {plain.count(twice[0])} times; remove or "
                            "rename those that are not to be read")
        return columns


@contextmanager
def reading_errors(label: str) -> Iterator[None]:
    """Turn what goes wrong while reading into a `DataError` that names the file."""
    again = "download or copy it again"
    try:
        yield
    except DataError:
        raise
    except pd.errors.EmptyDataError as error:
        raise DataError(f"{label}: the file is empty; {again}") from error
    except pd.errors.ParserError as error:
        # pandas counts lines from 1 where it says line, from 0 where it says row.
        at = re.search(r"(line|row) (\d+)", str(error))
        row = f", row {int(at[2]) + (at[1] == 'row')}" if at else ""
        raise DataError(f"{label}{row}: is no row of a CSV ({str(error).strip()}); correct it, or {again}") from error
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise DataError(f"{label}: is cut off or corrupt ({str(error).strip()}); {again}") from error
    except MemoryError as error:
        raise DataError(f"{label}: needs more memory than there is; use a smaller file") from error
    except PermissionError as error:
        raise DataError(f"{label}: {_permission_or(error)}") from error
    except (OSError, ValueError, RuntimeError) as error:
        # numpy would advise to unpickle, which runs whatever code the file holds.
        reason = "no array file, or one of Python objects" if "pickle" in str(error) else str(error).strip()
        raise DataError(f"{label}: cannot be read ({reason}); {again}, or unpack it first") from error


def _permission_or(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "you have no permission to read it; ask its owner, or change that with chmod"
    return f"cannot be read: {error.strerror or error}"
