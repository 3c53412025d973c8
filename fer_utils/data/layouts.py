"""Which of FER2013's layouts a folder, file or zip has: one function for each, and a reader in `parse.READERS`."""
import itertools
import os
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..errors import DataError
from ..files import why_unreadable
from ..labels import EMOTIONS, emotion_index
from .faceset import UNLABELLED_USAGE
from .places import PARTS, UNPACK, Place, csv_columns, home, listed, packed_as, part_of, reading_errors

EACH_ROW = "each row"
"""The usage of a table with a column for it."""
_REMEDY = "`python -m fer_utils data --download` fetches FER2013; data/README.md says how to get it by hand"
_TABLE_NAMES = ("fer2013.csv", "icml_face_data.csv", "train.csv", "test.csv")
_IMAGES = (".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_TEXTS = (".md", ".txt", ".pdf", ".html", ".json", ".ipynb", ".py", ".docx", ".log", ".ini", ".db", ".lock")
_OF_US = ("fer2013new.csv", "readme.md", "license", "thumbs.db", "desktop.ini")  # the first is FER+'s votes
_SNIFFED = 50  # files of unknown kinds, at most
_TEXTS_REASON = "of another kind"


class Found(NamedTuple):
    """A layout that was recognised: its files, and where they are."""

    place: Place
    layout: str
    names: tuple[str, ...]
    source: Path
    doubts: tuple[str, ...] = ()
    """What may hold other parts of the data set; so it is an error where parts are missing."""


class NoLayoutError(DataError):
    """A place holds no layout; `empty` says that it holds nothing that could be one."""

    empty = False


class Image(NamedTuple):
    """The image of a face, by its name: ``root/part/emotion/…/file``."""

    name: str
    root: str
    folder: str  # part/emotion
    within: str  # below the root
    usage: str
    emotion: int | None


class _Table(NamedTuple):
    name: str
    columns: list[str]
    usage: str


def recognise_layout(path: Path) -> Found:
    """Return what a file or folder holds; the caller closes the place.

    A `DataError` says what is wrong with a file that is meant to be FER2013; it is a `NoLayoutError` where none is.
    """
    if not os.path.isdir(path) and (reason := why_unreadable(path)):
        raise DataError(f"{path}: {reason}. {_REMEDY}")
    with ExitStack() as stack:
        place = Place(path)
        stack.callback(place.close)
        found = _recognise_in(place)
        if not found:
            raise _nothing_recognised(path, place)
        stack.pop_all()  # the place stays open
        return found


def _nothing_recognised(path: Path, place: Place) -> NoLayoutError:
    error = NoLayoutError(
        f"{path}: holds no layout of FER2013, itself or one or two levels further down: a CSV with the columns "
        "emotion, pixels and Usage, image folders train/<emotion>/ and test/<emotion>/, or a .npz; each may be in a "
        ".zip. " + "".join(f"It {note}. " for note in place.notes()).replace("It left out", "Not read:") + _REMEDY)
    error.empty = not set(place.left_out) - {_TEXTS_REASON}
    return error


def table_usage(name: str, columns: list[str]) -> str | None:
    """Return the usage of a table's faces, `EACH_ROW` where a column tells it, None for a table without faces."""
    match sorted({column.strip().lower() for column in columns} & {"emotion", "pixels", "usage"}):
        case ["emotion", "pixels", "usage"]:
            return EACH_ROW
        case ["emotion", "pixels"]:
            return named_part(name) or "Training"
        case ["pixels"]:
            return UNLABELLED_USAGE
    return None


def named_part(name: str) -> str | None:
    """Return the usage that a file's name tells, or else the nearest folder's; None where none does."""
    return next(filter(None, map(part_of, reversed(name.split("/")))), None)


def _recognise_in(place: Place) -> Found | None:
    place.names.sort(key=lambda name: (place.packed(name), name.count("/"), name))
    _leave_out_others(place)
    archives = tuple(map(str, place.problems.values()))
    tables, images, arrays = _tables(place), _images(place), _arrays(place)
    found = None
    if tables:
        found = _found_tables(place, tables, (*map(str, place.problems.values()), *_others(place, images, arrays)))
    elif images:
        found = _found_images(place, images, (*archives, *_others(place, [], arrays)))
    elif arrays:
        found = Found(place, "arrays", tuple(arrays), _common(place, arrays), archives)
    elif place.problems:
        raise next(iter(place.problems.values()))
    place.leave_out("that cannot be read as they are", *place.problems)
    return found


def _others(place: Place, images: list[Image], arrays: list[str]) -> list[str]:
    """Leave out faces in other layouts; return that they may be other parts."""
    doubts = []
    for names, what in (([image.name for image in images], "image folders"), (arrays, ".npz files")):
        if names:
            place.leave_out(f"{what}, since faces in another layout are read", *names)
            doubts.append(f"{place.where}: holds {what} too ({listed(names)}); name the one to read, or bring all "
                          "parts into one layout")
    return doubts


def _common(place: Place, names: list[str]) -> Path:
    """Return the file, or the folder that holds all the named files."""
    if len(names) == 1:
        return place.path(names[0])
    archives = {place.path(name) for name in names if place.packed(name)}
    if len(archives) == 1 and all(map(place.packed, names)):
        return archives.pop()
    same = itertools.takewhile(lambda folders: len(set(folders)) == 1, zip(*(name.split("/")[:-1] for name in names)))
    return place.path("/".join(folders[0] for folders in same))


def _last(name: str) -> str:
    return name.rpartition("/")[2].lower()


def _must_be_read(place: Place, name: str) -> bool:
    """Return whether a file is meant to be FER2013, so that not to recognise it is an error."""
    return place.alone and len(place.names) == 1 or _last(name).removesuffix(".gz") in _TABLE_NAMES


def _tables(place: Place) -> list[_Table]:
    """Return the tables with faces; the errors of those that cannot be read as such are the place's problems."""
    tables = []
    for name in place.names:
        if not name.lower().endswith((".csv", ".csv.gz")):
            continue
        try:
            columns = csv_columns(place, name)
        except DataError as error:
            empty = isinstance(error.__cause__, pd.errors.EmptyDataError)
            if not empty or _must_be_read(place, name):
                place.problems[name] = error
            continue
        if usage := table_usage(name, columns):
            tables.append(_Table(name, columns, usage))
        elif _must_be_read(place, name):
            place.problems[name] = DataError(
                f"{place.label(name)}, row 1: the columns are {', '.join(map(repr, columns))[:300]}; "
                "rename them to emotion, pixels and Usage (as in fer2013.csv and icml_face_data.csv), "
                f"emotion and pixels (train.csv) or pixels (test.csv). {_REMEDY}")
        elif _last(name) not in _OF_US:
            place.leave_out("a table without the columns emotion, pixels and Usage", name)
    return tables


def _found_tables(place: Place, tables: list[_Table], doubts: tuple[str, ...]) -> Found:
    """``fer2013.csv`` or ``icml_face_data.csv``; the challenge's ``train.csv`` and ``test.csv``; or other parts."""
    tables = sorted(tables, key=lambda table: (table.usage != EACH_ROW, not _last(table.name).startswith("fer2013")))
    names = [table.name for table in tables]
    blanks = any(column != column.strip() for column in tables[0].columns)
    icml = blanks or _last(names[0]).startswith("icml")
    layout = "challenge" if tables[0].usage != EACH_ROW else "icml" if icml else "fer2013.csv"
    return Found(place, layout, tuple(names), _common(place, names), doubts)


def image_of(name: str) -> Image | None:
    """Return what a name tells of the image of a face, None for another file."""
    folders = name.split("/")[:-1]
    if not name.lower().endswith(_IMAGES):
        return None
    for at, (part, below) in enumerate(itertools.pairwise(folders)):
        usage, emotion = part_of(part), emotion_index(below[:40])
        alone = part.lower() in PARTS and at == len(folders) - 2
        if usage and (emotion is not None or alone):
            told = next((told for told in ("Training", "PublicTest", "PrivateTest")
                         if _last(name).startswith(told.lower())), usage)
            return Image(name, "/".join(folders[:at]), f"{part}/{below}",
                         "/".join(name.split("/")[at:]).lower(), told, emotion)
    return None


def _images(place: Place) -> list[Image]:
    """Return the images of faces; leave out other images."""
    images = []
    for name in place.names:
        if image := image_of(name):
            images.append(image)
        elif name.lower().endswith(_IMAGES):
            place.leave_out("an image outside folders such as train/happy/", name)
    return images


def _found_images(place: Place, images: list[Image], doubts: tuple[str, ...]) -> Found:
    """``train|test/<emotion>/`` or ``train|validation|test/<emotion>/`` (also val, valid)."""
    roots: dict[str, list[Image]] = {}
    for image in images:
        roots.setdefault(image.root, []).append(image)
    (root, taken), *others = sorted(roots.items(), key=lambda item: (
        place.packed(item[1][0].name), item[0].count("/") + bool(item[0]), item[0]))
    taken = list(taken)
    for other, more in others:
        usages, here = {image.usage for image in more}, {image.usage for image in taken}
        if _copies(place, more, taken):
            place.leave_out(f"a copy of an image in {place.path(root)}", *(image.name for image in more))
        elif not usages & here and home(other) == home(root):
            taken += more
        else:
            raise DataError(f"{place.where}: both {root or '.'} and {other or '.'} hold image folders, and it is not "
                            "certain that they belong together; name one of the two, or bring their images into one "
                            "train, one validation and one test folder")
    unknown = sorted({image.folder for image in taken if image.emotion is None})
    if unknown:
        raise DataError(f"{place.path(root)}: {', '.join(unknown[:5])} {'is' if len(unknown) == 1 else 'are'} not "
                        f"named for a known emotion; name the folders {', '.join(EMOTIONS)}, and remove others")
    official = all(PARTS.get(image.folder.partition("/")[0].lower()) != "PublicTest" for image in taken)
    names = [image.name for image in taken]
    return Found(place, "folders" if official else "validation", tuple(names),
                 place.path(root) if len(taken) == len(roots[root]) else _common(place, names), doubts)


def _copies(place: Place, images: list[Image], of: list[Image]) -> bool:
    """Return whether images have the names and the bytes of others; the bytes of some twenty are compared."""
    there = {image.within: image.name for image in of}
    pairs = [(image.name, there.get(image.within)) for image in images]
    if not all(other and place.size(name) == place.size(other) for name, other in pairs):
        return False
    for name, other in pairs[::max(1, len(pairs) // 20)]:
        assert other
        with place.open(name) as one, place.open(other) as two:
            if one.read() != two.read():
                return False
    return True


def _arrays(place: Place) -> list[str]:
    """Return the ``.npz`` files with the arrays pixels, emotion and usage."""
    found = []
    for name in place.names:
        if not name.lower().endswith(".npz"):
            continue
        with reading_errors(place.label(name)), place.open(name) as file, zipfile.ZipFile(file) as arrays:
            missing = {"pixels", "emotion", "usage"} - {inner.removesuffix(".npy") for inner in arrays.namelist()}
        if not missing:
            found.append(name)
        elif _must_be_read(place, name):
            raise DataError(f"{place.label(name)}: has no array {', '.join(sorted(missing))}; save it with "
                            "numpy.savez(file, pixels=…, emotion=…, usage=…)")
        else:
            place.leave_out("without the arrays pixels, emotion and usage", name)
    return found


def _leave_out_others(place: Place) -> None:
    """Leave out files of no layout; archives, which may hold parts, are problems."""
    looked_into = 0
    for name in place.names:
        last = _last(name)
        if last.endswith((*_IMAGES, ".csv", ".csv.gz", ".npz")) or last in _OF_US:
            continue
        if last.endswith(_TEXTS):
            place.leave_out(_TEXTS_REASON, name)
            continue
        looked_into += 1
        kind = None
        if looked_into <= _SNIFFED:
            try:
                with reading_errors(place.label(name)), place.open(name) as file:
                    kind = packed_as(file.read(512))
            except DataError as error:
                place.problems[name] = error
                continue
        if kind:
            place.problems[name] = DataError(f"{place.label(name)}: is {kind}; {UNPACK}")
        else:
            place.leave_out("of an unknown kind", name)
