"""The files of a data set, in a folder or in a zip archive, and what goes wrong while they are read."""
import gzip
import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pandas as pd

from .. import paths
from ..errors import DataError

IMAGE_FOLDERS = {"train": "Training", "validation": "PublicTest", "valid": "PublicTest", "val": "PublicTest",
                 "test": "PrivateTest"}
"""Folders of images, and the usage of a face in them whose file name does not tell it."""


class Folder:
    """Name and open the files in a folder, or one file alone."""

    def __init__(self, path: Path) -> None:
        self.alone = path.is_file()  # named itself, so it has to be readable
        self.base = path if path.is_dir() else path.parent
        self.names = list(self._walk()) if path.is_dir() else [path.name]

    def _walk(self) -> Iterator[str]:
        cache = paths.CACHE.resolve()
        for folder, folders, files in os.walk(self.base, followlinks=True):
            inside = Path(folder).relative_to(self.base)
            # Deeper than two levels only where image folders go on, so that a large folder is not searched through.
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__"))
                                and (len(inside.parts) < 2 or name.lower() in (*IMAGE_FOLDERS, "images")
                                     or inside.name.lower() in IMAGE_FOLDERS)
                                and len(inside.parts) < 6 and (Path(folder) / name).resolve() != cache)
            yield from ((inside / name).as_posix() for name in sorted(files) if not name.startswith("."))

    def close(self) -> None:
        pass

    def open(self, name: str) -> IO[bytes]:
        return open(self.base / name, "rb")

    def path(self, name: str) -> Path:
        """Return the file on disk that holds the named file, or the named folder."""
        return self.base / name

    def label(self, name: str) -> str:
        """Return how errors call a file."""
        return str(self.base / name)


class Zip:
    """Name and open the files in a zip archive."""

    def __init__(self, path: Path, alone: bool) -> None:
        self.file, self.alone = path, alone
        with reading_errors(str(path)):
            self.archive = zipfile.ZipFile(path)
        self.names = [name for name in self.archive.namelist() if not name.endswith("/")
                      and not any(part.startswith((".", "__")) for part in name.split("/"))]

    def close(self) -> None:
        self.archive.close()

    def open(self, name: str) -> IO[bytes]:
        return self.archive.open(name)

    def path(self, name: str) -> Path:
        return self.file

    def label(self, name: str) -> str:
        return f"{self.file}: {name}"


Place = Folder | Zip


@contextmanager
def open_csv(place: Place, name: str) -> Iterator[IO[bytes]]:
    """Open a CSV file, unpacked where it is a ``.csv.gz``."""
    with place.open(name) as file:
        # A GzipFile reads as any binary file does.
        yield gzip.open(file) if name.lower().endswith(".gz") else file  # type: ignore[misc]


def csv_columns(place: Place, name: str) -> list[str]:
    """Return the column names in a CSV file's first row."""
    with reading_errors(place.label(name)), open_csv(place, name) as file:
        return list(pd.read_csv(file, nrows=0, encoding_errors="replace").columns)


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
    except (OSError, ValueError, RuntimeError) as error:
        # numpy would advise to unpickle, which runs whatever code the file holds.
        reason = "no array file, or one of Python objects" if "pickle" in str(error) else str(error).strip()
        raise DataError(f"{label}: cannot be read ({reason}); {again}, or unpack it first") from error
