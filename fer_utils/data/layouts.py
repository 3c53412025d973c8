"""Which of FER2013's layouts a folder, file or zip has: one function for each, and a reader in `parse.READERS`."""
import re
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..errors import DataError
from ..labels import EMOTIONS, emotion_index
from .faceset import UNLABELLED_USAGE
from .places import IMAGE_FOLDERS, Folder, Place, Zip, csv_columns, reading_errors

IMAGE_PATH = re.compile(rf"(?:(?P<root>.+?)/)??(?P<split>{'|'.join(IMAGE_FOLDERS)})/(?P<emotion>[^/]+)/(?P<stem>[^/]+)"
                        r"\.(?:png|jpe?g|bmp|tiff?|webp)", re.IGNORECASE)
EACH_ROW = "each row"
"""The usage of a table with a column for it."""
_REMEDY = "`python -m fer_utils data --download` fetches FER2013; data/README.md says how to get it by hand"
_TABLE_NAMES = ("fer2013.csv", "icml_face_data.csv", "train.csv", "test.csv")


class Found(NamedTuple):
    """A layout that was recognised: its files, and where they are."""

    place: Place
    layout: str
    names: tuple[str, ...]
    source: Path


class _Table(NamedTuple):
    name: str
    columns: list[str]
    usage: str


def recognise_layout(path: Path) -> Found | None:
    """Return what a file or folder holds, None for a folder without a layout; the caller closes the place.

    A `DataError` says what is wrong with a file that is meant to be FER2013.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder. {_REMEDY}")
    packed = path.is_file() and path.suffix.lower() == ".zip"
    place = Zip(path, alone=True) if packed else Folder(path)
    found = _recognise_in(place)
    if path.is_file() and not found:
        raise nothing_recognised(path)
    zips = (name for name in place.names if name.lower().endswith(".zip"))
    return found or next(filter(None, (_recognise_in(Zip(path / name, alone=False)) for name in zips)), None)


def nothing_recognised(path: Path) -> DataError:
    """Return the error for a path that holds no layout."""
    return DataError(f"{path}: holds no layout of FER2013, itself or one or two levels further down: a CSV with the "
                     "columns emotion, pixels and Usage, image folders train/<emotion>/ and test/<emotion>/, or a "
                     f".npz; each may be in a .zip. {_REMEDY}")


def table_usage(name: str, columns: list[str]) -> str | None:
    """Return the usage of a table's faces, `EACH_ROW` where a column tells it, None for a table without faces."""
    match sorted({column.strip().lower() for column in columns} & {"emotion", "pixels", "usage"}):
        case ["emotion", "pixels", "usage"]:
            return EACH_ROW
        case ["emotion", "pixels"]:
            return "PrivateTest" if _last(name).startswith("test") else "Training"
        case ["pixels"]:
            return UNLABELLED_USAGE
    return None


def _recognise_in(place: Place) -> Found | None:
    with ExitStack() as stack:
        stack.callback(place.close)
        place.names.sort(key=lambda name: (name.count("/"), name))
        tables, problems = _tables(place)
        found = _whole_table(place, tables)
        # With tables of single parts only, a table that cannot be read may be another part: an error, below.
        if not found and not (tables and problems):
            found = _challenge(place, tables) or _image_folders(place) or _arrays(place)
        if not found and problems:
            raise problems[0]
        if found:
            stack.pop_all()  # the place stays open
        return found


def _last(name: str) -> str:
    return name.rpartition("/")[2].lower()


def _must_be_read(place: Place, name: str) -> bool:
    """Return whether a file is meant to be FER2013, so that not to recognise it is an error."""
    return place.alone and len(place.names) == 1 or _last(name).removesuffix(".gz") in _TABLE_NAMES


def _tables(place: Place) -> tuple[list[_Table], list[DataError]]:
    """Return the tables with faces, and the errors of tables that cannot be read as such."""
    tables, problems = [], []
    for name in place.names:
        if not name.lower().endswith((".csv", ".csv.gz")):
            continue
        try:
            columns = csv_columns(place, name)
        except DataError as error:
            empty = isinstance(error.__cause__, pd.errors.EmptyDataError)
            if not empty or _must_be_read(place, name):
                problems.append(error)
            continue
        if usage := table_usage(name, columns):
            tables.append(_Table(name, columns, usage))
        elif _must_be_read(place, name):
            problems.append(DataError(
                f"{place.label(name)}, row 1: the columns are {', '.join(map(repr, columns))[:300]}; "
                "rename them to emotion, pixels and Usage (as in fer2013.csv and icml_face_data.csv), "
                f"emotion and pixels (train.csv) or pixels (test.csv). {_REMEDY}"))
    return tables, problems


def _whole_table(place: Place, tables: list[_Table]) -> Found | None:
    """``fer2013.csv`` or ``icml_face_data.csv``: all faces with their usages."""
    table = min((table for table in tables if table.usage == EACH_ROW),
                key=lambda table: not _last(table.name).startswith("fer2013"), default=None)
    if table is None:
        return None
    blanks = any(column != column.strip() for column in table.columns)
    layout = "icml" if blanks or _last(table.name).startswith("icml") else "fer2013.csv"
    return Found(place, layout, (table.name,), place.path(table.name))


def _challenge(place: Place, tables: list[_Table]) -> Found | None:
    """The challenge's ``train.csv`` and ``test.csv``, or one of them."""
    first = {table.usage: table.name for table in reversed(tables)}
    names = [first[usage] for usage in ("Training", "PrivateTest", UNLABELLED_USAGE) if usage in first]
    if not names:
        return None
    folder = names[0].rpartition("/")[0]
    together = tuple(name for name in names if name.rpartition("/")[0] == folder)
    return Found(place, "challenge", together, place.path(folder if len(together) > 1 else names[0]))


def _image_folders(place: Place) -> Found | None:
    """``train|test/<emotion>/`` or ``train|validation|test/<emotion>/`` (also val, valid)."""
    roots: dict[str, list[re.Match[str]]] = {}
    for name in place.names:
        if match := IMAGE_PATH.fullmatch(name):
            roots.setdefault(match["root"] or "", []).append(match)
    if not roots:
        return None
    # Some archives hold the same images once more further down.
    root, files = min(roots.items(), key=lambda item: (item[0].count("/") + bool(item[0]), item[0]))
    unknown = sorted({f"{file['split']}/{file['emotion']}" for file in files if emotion_index(file["emotion"]) is None})
    if unknown:
        raise DataError(f"{place.path(root)}: {', '.join(unknown[:5])} {'is' if len(unknown) == 1 else 'are'} not "
                        f"named for a known emotion; name the folders {', '.join(EMOTIONS)}, and remove others")
    splits = {file["split"].lower() for file in files}
    return Found(place, "validation" if splits - {"train", "test"} else "folders", tuple(file[0] for file in files),
                 place.path(root))


def _arrays(place: Place) -> Found | None:
    """A ``.npz`` file with the arrays pixels, emotion and usage."""
    for name in place.names:
        if name.lower().endswith(".npz"):
            with reading_errors(place.label(name)), place.open(name) as file, np.load(file) as arrays:
                missing = {"pixels", "emotion", "usage"} - set(arrays.files)
            if not missing:
                return Found(place, "arrays", (name,), place.path(name))
            if _must_be_read(place, name):
                raise DataError(f"{place.label(name)}: has no array {', '.join(sorted(missing))}; save it with "
                                "numpy.savez(file, pixels=…, emotion=…, usage=…)")
    return None
