"""Which of the layouts that people have FER2013 in lies in a folder, file or zip."""
import gzip
import os
import re
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from .. import paths
from ..errors import DataError
from ..labels import EMOTIONS, emotion_index
from .faceset import UNLABELLED_USAGE

_REMEDY = "`python -m fer_utils data --download` fetches FER2013; data/README.md says how to get it by hand"
_TABLES = ("fer2013.csv", "icml_face_data.csv", "train.csv", "test.csv")
# The usage of a face when its file name does not tell it.
FOLDER_USAGES = {"train": "Training", "validation": "PublicTest", "valid": "PublicTest", "val": "PublicTest",
           "test": "PrivateTest"}
IMAGE_PATH = re.compile(r"(?:(?P<root>.+?)/)??(?P<split>train|validation|valid|val|test)/(?P<emotion>[^/]+)/(?P<stem>[^/]+)"
                    r"\.(?:png|jpe?g|bmp|tiff?|webp)", re.IGNORECASE)


# ---- what lies in a folder or an archive ----


class _Folder:
    """Name and open the files in a folder, or one file alone."""

    def __init__(self, path):
        self.alone = path.is_file()  # named itself, so it has to be readable
        self.base = path if path.is_dir() else path.parent
        self.names = list(self._walk()) if path.is_dir() else [path.name]

    def close(self):
        pass

    def _walk(self):
        cache = paths.CACHE.resolve()
        for folder, folders, files in os.walk(self.base, followlinks=True):
            inside = Path(folder).relative_to(self.base)
            # Deeper than two levels only where image folders go on, so that a large folder is not searched through.
            folders[:] = sorted(name for name in folders if not name.startswith((".", "__"))
                                and (len(inside.parts) < 2 or name.lower() in (*FOLDER_USAGES, "images")
                                     or inside.name.lower() in FOLDER_USAGES)
                                and len(inside.parts) < 6 and (Path(folder) / name).resolve() != cache)
            yield from ((inside / name).as_posix() for name in sorted(files) if not name.startswith("."))

    def open(self, name):
        return open(self.base / name, "rb")

    def label(self, name):
        return str(self.base / name)

    def real_files(self, names):
        return [self.base / name for name in names]

    def within(self, name):
        return self.base / name if name else self.base


class _Zip:
    """Name and open the files in a zip archive."""

    def __init__(self, path, alone):
        self.path = path
        self.alone = alone
        with reading_errors(path):
            self.archive = zipfile.ZipFile(path)
        self.names = [name for name in self.archive.namelist() if not name.endswith("/")
                      and not any(part.startswith((".", "__")) for part in name.split("/"))]

    def close(self):
        self.archive.close()

    def open(self, name):
        return self.archive.open(name)

    def label(self, name):
        return f"{self.path}: {name}"

    def real_files(self, names):
        return [self.path]

    def within(self, name):
        return self.path


@dataclass(frozen=True)
class _Found:
    """What `_recognise` recognised: files of a place, and how to read them."""

    place: _Folder | _Zip
    layout: str
    names: tuple
    source: Path


def _must_be_read(place, name):
    """Return whether a file is meant to be FER2013, so that not to recognise it is an error."""
    return place.alone and len(place.names) == 1 or _last(name).removesuffix(".gz") in _TABLES


def _is_table(name):
    return name.lower().endswith((".csv", ".csv.gz"))


def _last(name):
    return name.rpartition("/")[2].lower()


def recognise_layout(path, alone=True):
    """Return what `path` holds as a `_Found` whose place is open, or None when it holds no layout."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder. {_REMEDY}")
    is_zip = path.is_file() and path.suffix.lower() == ".zip"
    place = _Zip(path, alone) if is_zip else _Folder(path)
    with ExitStack() as stack:
        stack.callback(place.close)
        place.names.sort(key=lambda name: (name.count("/"), name))
        wrong = []
        if found := _tables(place, wrong) or _images(place) or _arrays(place):
            stack.pop_all()
            return found
        if wrong:
            raise wrong[0]
    if path.is_dir():
        for name in place.names:
            if name.lower().endswith(".zip") and (found := recognise_layout(path / name, alone=False)):
                return found
    return None


def nothing_recognised(path):
    return DataError(f"{path}: holds no layout of FER2013, itself or one or two levels further down: a CSV with the "
                     "columns emotion, pixels and Usage, image folders train/<emotion>/ and test/<emotion>/, or a "
                     f".npz; each may be in a .zip. {_REMEDY}")


def _tables(place, wrong):
    """Recognise the CSV layouts by their columns; errors of other tables go to the list `wrong`."""
    by_role = {}
    for name in filter(_is_table, place.names):
        try:
            columns = table_columns(place, name)
        except DataError as error:
            wrong.append(error)
            continue
        role = table_role(name, columns)
        if role is None and _must_be_read(place, name):
            wrong.append(DataError(
                f"{place.label(name)}, row 1: the columns are {', '.join(map(repr, columns))[:300]}; "
                "rename them to emotion, pixels and Usage (as in fer2013.csv and icml_face_data.csv), "
                f"emotion and pixels (train.csv) or pixels (test.csv). {_REMEDY}"))
        by_role.setdefault(role, []).append(name)
    if "all" in by_role:
        name = min(by_role["all"], key=lambda name: not _last(name).startswith("fer2013"))
        blanks = any(column != column.strip() for column in table_columns(place, name))
        return _Found(place, "icml" if blanks or _last(name).startswith("icml") else "fer2013.csv", (name,),
                      place.within(name))
    names = [by_role[role][0] for role in ("Training", "PrivateTest", UNLABELLED_USAGE) if role in by_role]
    if not names:
        return None
    if wrong:  # perhaps the other half of the challenge's two tables
        raise wrong[0]
    folder = names[0].rpartition("/")[0]
    names = tuple(name for name in names if name.rpartition("/")[0] == folder)
    return _Found(place, "challenge", names, place.within(folder if len(names) > 1 else names[0]))


def table_role(name, columns):
    """Return "all" for a table that has usages, the usage of its faces for one that has not, None for another table."""
    columns = {column.strip().lower() for column in columns}
    if "pixels" not in columns:
        return None
    if "emotion" not in columns:
        return UNLABELLED_USAGE if "usage" not in columns else None
    if "usage" in columns:
        return "all"
    return "PrivateTest" if _last(name).startswith("test") else "Training"


def _images(place):
    """Recognise ``train|test/<emotion>/`` and ``train|validation|test/<emotion>/`` (also val, valid)."""
    roots = {}
    for name in place.names:
        if match := IMAGE_PATH.fullmatch(name):
            roots.setdefault(match["root"] or "", []).append((name, match))
    if not roots:
        return None
    # Some archives hold the same images once more further down.
    root, files = min(roots.items(), key=lambda item: (item[0].count("/") + bool(item[0]), item[0]))
    unknown = sorted({f"{match['split']}/{match['emotion']}" for _, match in files
                      if emotion_index(match["emotion"]) is None})
    if unknown:
        raise DataError(f"{place.within(root)}: {', '.join(unknown[:5])} {'is' if len(unknown) == 1 else 'are'} not "
                        f"named for a known emotion; name the folders {', '.join(EMOTIONS)}, and remove others")
    splits = {match["split"].lower() for _, match in files}
    return _Found(place, "validation" if splits - {"train", "test"} else "folders", tuple(name for name, _ in files),
                  place.within(root))


def _arrays(place):
    for name in place.names:
        if name.lower().endswith(".npz"):
            with reading_errors(place.label(name)), place.open(name) as file, np.load(file) as arrays:
                missing = {"pixels", "emotion", "usage"} - set(arrays.files)
            if not missing:
                return _Found(place, "arrays", (name,), place.within(name))
            if _must_be_read(place, name):
                raise DataError(f"{place.label(name)}: has no array {', '.join(sorted(missing))}; save it with "
                                "numpy.savez(file, pixels=…, emotion=…, usage=…)")
    return None


@contextmanager
def reading_errors(label):
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


def table_columns(place, name):
    with reading_errors(place.label(name)), open_table(place, name) as file:
        try:
            return list(pd.read_csv(file, nrows=0, encoding_errors="replace").columns)
        except pd.errors.EmptyDataError:
            if _must_be_read(place, name):
                raise
            return []


@contextmanager
def open_table(place, name):
    with place.open(name) as file:
        if name.lower().endswith(".gz"):
            with gzip.open(file) as unpacked:
                yield unpacked
        else:
            yield file
