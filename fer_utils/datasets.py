"""FER2013 in every layout people have it in, read into one `FaceSet`."""

import gzip
import hashlib
import json
import os
import re
import shutil
import tempfile
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from . import paths
from .labels import EMOTIONS, N_CLASSES, UNLABELLED, emotion_index
from .paths import DataError

USAGES = ("Training", "PublicTest", "PrivateTest")
"""The official parts: train on the first, choose by the second, report the third."""
UNLABELLED_USAGE = "Test"
"""The usage given to the challenge's ``test.csv``, whose labels Kaggle withheld."""
SIZE = 48
"""Width and height of a face, in pixels."""
KAGGLE = "msambare/fer2013"
"""The public data set that `download` fetches; it needs no account."""

_REMEDY = "`python -m fer_utils data --download` fetches FER2013; data/README.md says how to get it by hand"
_TABLES = ("fer2013.csv", "icml_face_data.csv", "train.csv", "test.csv")
# The usage of a face when its file name does not tell it.
_SPLITS = {"train": "Training", "validation": "PublicTest", "valid": "PublicTest", "val": "PublicTest",
           "test": "PrivateTest"}
_IMAGE = re.compile(r"(?:(?P<root>.+?)/)??(?P<split>train|validation|valid|val|test)/(?P<emotion>[^/]+)/(?P<stem>[^/]+)"
                    r"\.(?:png|jpe?g|bmp|tiff?|webp)", re.IGNORECASE)
_CACHE_VERSION = 1


@dataclass(frozen=True, eq=False)
class FaceSet:
    """Hold faces with their labels and their official parts.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (N, 48, 48)
        Gray faces, 0 black to 255 white.
    emotion : ndarray of int8, shape (N,)
        Labels 0 to 6 in the order of `EMOTIONS`; -1 where the label is not known.
    usage : ndarray of str, shape (N,)
        ``Training``, ``PublicTest``, ``PrivateTest``, or ``Test`` for faces without labels.
    source : str
        The file or folder they were read from, or "drawn faces".
    layout : str
        "fer2013.csv", "icml", "challenge", "folders", "validation", "arrays" or "drawn".

    Raises
    ------
    DataError
        When shapes, dtypes, labels or usages are not as above.
    """

    pixels: np.ndarray
    emotion: np.ndarray
    usage: np.ndarray
    source: str
    layout: str

    def __post_init__(self):
        n = len(self.pixels) if self.pixels.ndim else 0
        if self.pixels.shape != (n, SIZE, SIZE) or self.pixels.dtype != np.uint8:
            raise DataError(f"{self.source}: pixels are {self.pixels.dtype} {self.pixels.shape}, "
                            f"not uint8 (N, {SIZE}, {SIZE}); scale and resize them first")
        object.__setattr__(self, "usage", np.asarray(self.usage, dtype="<U11"))
        if self.emotion.shape != (n,) or self.usage.shape != (n,):
            raise DataError(f"{self.source}: {n} faces but {self.emotion.shape} labels and {self.usage.shape} usages; "
                            "give one of each per face")
        if self.emotion.dtype.kind not in "iu":
            raise DataError(f"{self.source}: labels are {self.emotion.dtype}, not integers 0 to {N_CLASSES - 1}")
        wrong = np.flatnonzero((self.emotion.astype(np.int64) < UNLABELLED) | (self.emotion >= N_CLASSES))
        if wrong.size:
            raise DataError(f"{self.source}, face {wrong[0]}: emotion {self.emotion[wrong[0]]} is outside "
                            f"0–{N_CLASSES - 1} (or {UNLABELLED} for unlabelled)")
        object.__setattr__(self, "emotion", self.emotion.astype(np.int8))
        wrong = np.flatnonzero(~np.isin(self.usage, (*USAGES, UNLABELLED_USAGE)))
        if wrong.size:
            raise DataError(f"{self.source}, face {wrong[0]}: unknown usage {str(self.usage[wrong[0]])!r}; "
                            f"the usages are {', '.join(USAGES)} and {UNLABELLED_USAGE}")

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, keep):
        """Return the faces of a mask, of indices or of a slice as a `FaceSet`."""
        if isinstance(keep, (int, np.integer)):
            keep = [keep]
        return FaceSet(self.pixels[keep], self.emotion[keep], self.usage[keep], self.source, self.layout)

    @property
    def labelled(self):
        """Mask of the faces whose emotion is known, bool (N,)."""
        return self.emotion != UNLABELLED

    @property
    def drawn(self):
        """Whether the faces are drawn ones and not FER2013."""
        return self.layout == "drawn"

    @property
    def title(self):
        """What to call the faces in a figure's title."""
        return "drawn faces, not FER2013" if self.drawn else "FER2013"

    def usages(self):
        """Return the usages present, in official order."""
        return [usage for usage in (*USAGES, UNLABELLED_USAGE) if (self.usage == usage).any()]

    def of(self, usage, *, labelled=False):
        """Return the faces of one usage.

        Parameters
        ----------
        usage : str
            One of `USAGES`, or "Test".
        labelled : bool
            Whether every face must have a label, as it must for training and for evaluation.

        Returns
        -------
        FaceSet

        Raises
        ------
        DataError
            When there are no faces of this usage, or when labels are asked for and there are none.
        """
        part = self[self.usage == usage]
        if len(part) and (part.labelled.all() or not labelled):
            return part
        there = ", ".join(f"{name} ({(self.usage == name).sum():,} faces"
                          f"{'' if self.labelled[self.usage == name].all() else ', unlabelled'})"
                          for name in self.usages())
        wrong = f"the {usage} faces have no labels" if len(part) else f"there are no {usage} faces"
        raise DataError(f"{self.source}: {wrong}; there: {there or 'none'}. "
                        "The challenge's train.csv and test.csv hold labels for Training only: "
                        "use fer2013.csv or icml_face_data.csv, which hold the labels of all three usages")

    def counts(self):
        """Return how many faces each class has in each usage.

        Returns
        -------
        DataFrame of int
            Rows `EMOTIONS`, columns the usages present. Unlabelled faces are in no row, so a column may be all 0.
        """
        return pd.DataFrame({usage: np.bincount(self.emotion[(self.usage == usage) & self.labelled],
                                                minlength=N_CLASSES) for usage in self.usages()},
                            index=list(EMOTIONS))

    def fingerprint(self):
        """Return the SHA-256, in hex, of pixels, labels and usages in their order."""
        digest = hashlib.sha256()
        for array in (self.pixels, self.emotion, self.usage):
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()



def load(source=None, *, cache=True, drawn=None):
    """Read a data set, whichever layout it has.

    Parameters
    ----------
    source : str or Path, optional
        A file (``.csv``, ``.csv.gz``, ``.zip``, ``.npz``) or a folder that holds one or the image folders, itself or
        one or two levels further down. "drawn" and "drawn:8000" mean drawn faces. Without it: what `find` finds,
        and drawn faces where that is nothing.
    cache : bool
        Whether to keep the arrays in `paths.CACHE`, so that the next time is some fifty times as fast (for a CSV, and
        for 200 drawn faces or more).
    drawn : int, optional
        Draw this many faces instead of reading any.

    Returns
    -------
    FaceSet
        In the file's order; image folders by usage, then by the number in the file name. The arrays are writable.

    Raises
    ------
    DataError
        When the source does not exist, holds no layout of FER2013, or a wrong value; it names file, row and remedy.
    """
    if drawn is None and isinstance(source, str) and re.match(r"drawn(:|$)", source):
        number = source.partition(":")[2] or "3000"
        drawn = int(number) if number.isdigit() else 0
    if drawn is not None:
        if drawn < 1:
            raise DataError(f"{source or drawn}: there must be faces to draw; write drawn, or drawn:8000 for 8,000")
        return _draw(drawn, cache)
    if source is None and not paths.DATA.exists() and not os.environ.get("FER_DATA"):
        return _draw(cache=cache)
    path = Path(paths.DATA if source is None else source).expanduser()
    found = _recognise(path)
    if found is None and source is None and path.is_dir():
        return _draw(cache=cache)
    if found is None:
        raise _nothing(path)
    with closing(found.place):
        return _read(found, cache)


def find(place=None):
    """Return the data set that lies in a place.

    Parameters
    ----------
    place : str or Path, optional
        A file or a folder, by default `paths.DATA`. The cache in it does not count.

    Returns
    -------
    Path or None
        The file or folder to give to `load`; None when a folder holds no layout of FER2013 or does not exist.

    Raises
    ------
    DataError
        When what lies there is meant to be FER2013 but cannot be read as such.
    """
    path = Path(paths.DATA if place is None else place).expanduser()
    if not path.exists():
        return None
    found = _recognise(path)
    if found is None and not path.is_dir():
        raise _nothing(path)
    if found is None:
        return None
    found.place.close()
    return found.source


def sample(faces, n, seed=0):
    """Draw some faces so that usages and classes keep their proportions.

    Parameters
    ----------
    faces : FaceSet
    n : int
        How many to keep; all of them when there are no more than that.
    seed : int

    Returns
    -------
    FaceSet
        In the original order; the same for the same seed.
    """
    if n >= len(faces):
        return faces
    from sklearn.utils import resample

    strata = np.char.add(faces.usage, faces.emotion.astype("<U2"))
    keep = resample(np.arange(len(faces)), replace=False, n_samples=n, stratify=strata, random_state=seed)
    return faces[np.sort(keep)]


def download(dest=None):
    """Fetch FER2013 from Kaggle (`KAGGLE`, 60 MB, no account needed) with a progress bar.

    Parameters
    ----------
    dest : str or Path, optional
        The folder to put it in, by default `paths.DATA`.

    Returns
    -------
    Path
        ``dest/fer2013``, whole or not there at all. When it is there already, nothing is fetched.

    Raises
    ------
    DataError
        When Kaggle cannot be reached; it says how to download by hand.
    """
    dest = Path(paths.DATA if dest is None else dest).expanduser()
    target = dest / "fer2013"
    if target.is_dir() and find(target):
        return target
    if target.is_dir() and any(target.iterdir()):
        raise DataError(f"{target}: is there, but holds no layout of FER2013; remove it and download again")
    if dest.is_file():
        raise DataError(f"{dest}: is a file, so nothing can be downloaded into it; name a folder (FER_DATA)")
    import kagglehub

    # Kept between tries: kagglehub goes on from what it has.
    part = dest / ".download"
    part.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("KAGGLEHUB_CACHE")
    os.environ["KAGGLEHUB_CACHE"] = str(part)
    try:
        fetched = Path(kagglehub.dataset_download(KAGGLE))
        if find(fetched) is None:
            raise DataError(f"{fetched}: the download holds no layout of FER2013")
        whole = part / "whole"
        shutil.rmtree(whole, ignore_errors=True)
        # A copy, for on Colab and Kaggle the folder is mounted read-only.
        shutil.copytree(fetched, whole)
        if target.is_dir():
            target.rmdir()  # empty
        os.replace(whole, target)
    except Exception as error:
        raise DataError(
            f"FER2013 could not be downloaded ({type(error).__name__}: {str(error)[:200]}).\n"
            "When the network is back, try again; or by hand, in a browser:\n"
            f"  1. open https://www.kaggle.com/datasets/{KAGGLE} and press Download (archive.zip);\n"
            "     or take icml_face_data.csv, after accepting the challenge's rules, from https://www.kaggle.com/c/"
            "challenges-in-representation-learning-facial-expression-recognition-challenge/data\n"
            f"  2. put the file, as it is, into {dest}\n"
            "  3. python -m fer_utils data   says what was found") from error
    finally:
        if before is None:
            del os.environ["KAGGLEHUB_CACHE"]
        else:
            os.environ["KAGGLEHUB_CACHE"] = before
        if not any(part.iterdir()):
            part.rmdir()
    shutil.rmtree(part, ignore_errors=True)
    return target


def _draw(n=3000, cache=True):
    from . import synthetic  # draws a FaceSet, so it imports this module

    if not cache or n < 200:
        return synthetic.draw_faces(n)
    # Another version of the code, or of what it draws with, draws other faces.
    facts = [_CACHE_VERSION, n, cv2.__version__, np.__version__, Path(synthetic.__file__).read_text(encoding="utf-8")]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    file = paths.CACHE / f"drawn-{n}.npz"
    faces = _read_cache(file, key, "drawn faces", "drawn")
    if faces is None:
        faces = synthetic.draw_faces(n)
        _write_cache(file, key, faces)
    return faces


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
                                and (len(inside.parts) < 2 or name.lower() in (*_SPLITS, "images")
                                     or inside.name.lower() in _SPLITS)
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
        with _reading(path):
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


def _recognise(path, alone=True):
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
            if name.lower().endswith(".zip") and (found := _recognise(path / name, alone=False)):
                return found
    return None


def _nothing(path):
    return DataError(f"{path}: holds no layout of FER2013, itself or one or two levels further down: a CSV with the "
                     "columns emotion, pixels and Usage, image folders train/<emotion>/ and test/<emotion>/, or a "
                     f".npz; each may be in a .zip. {_REMEDY}")


def _tables(place, wrong):
    """Recognise the CSV layouts by their columns; errors of other tables go to the list `wrong`."""
    by_role = {}
    for name in filter(_is_table, place.names):
        try:
            columns = _columns(place, name)
        except DataError as error:
            wrong.append(error)
            continue
        role = _role(name, columns)
        if role is None and _must_be_read(place, name):
            wrong.append(DataError(
                f"{place.label(name)}, row 1: the columns are {', '.join(map(repr, columns))[:300]}; "
                "rename them to emotion, pixels and Usage (as in fer2013.csv and icml_face_data.csv), "
                f"emotion and pixels (train.csv) or pixels (test.csv). {_REMEDY}"))
        by_role.setdefault(role, []).append(name)
    if "all" in by_role:
        name = min(by_role["all"], key=lambda name: not _last(name).startswith("fer2013"))
        blanks = any(column != column.strip() for column in _columns(place, name))
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


def _role(name, columns):
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
        if match := _IMAGE.fullmatch(name):
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
            with _reading(place.label(name)), place.open(name) as file, np.load(file) as arrays:
                missing = {"pixels", "emotion", "usage"} - set(arrays.files)
            if not missing:
                return _Found(place, "arrays", (name,), place.within(name))
            if _must_be_read(place, name):
                raise DataError(f"{place.label(name)}: has no array {', '.join(sorted(missing))}; save it with "
                                "numpy.savez(file, pixels=…, emotion=…, usage=…)")
    return None


@contextmanager
def _reading(label):
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


# ---- reading ----


def _read(found, cache):
    key = _cache_key(found) if cache and found.layout != "arrays" else None
    file = paths.CACHE / f"{hashlib.sha256(str(found.source.resolve()).encode()).hexdigest()[:16]}.npz"
    if key and (faces := _read_cache(file, key, str(found.source), found.layout)):
        return faces
    read = {"arrays": _read_arrays, "folders": _read_images, "validation": _read_images}.get(found.layout, _read_tables)
    faces = FaceSet(*read(found), str(found.source), found.layout)
    if key:
        _write_cache(file, key, faces)
    return faces


def _read_tables(found):
    parts = [_read_table(found.place, name) for name in found.names]
    return [np.concatenate(arrays) for arrays in zip(*parts)]


def _columns(place, name):
    with _reading(place.label(name)), _open_table(place, name) as file:
        try:
            return list(pd.read_csv(file, nrows=0, encoding_errors="replace").columns)
        except pd.errors.EmptyDataError:
            if _must_be_read(place, name):
                raise
            return []


@contextmanager
def _open_table(place, name):
    with place.open(name) as file:
        if name.lower().endswith(".gz"):
            with gzip.open(file) as unpacked:
                yield unpacked
        else:
            yield file


def _read_table(place, name):
    label = place.label(name)
    columns = _columns(place, name)
    role = _role(name, columns)
    wanted = {column: column.strip().lower() for column in columns
              if column.strip().lower() in ("emotion", "pixels", "usage")}

    def parse(chunk):
        chunk = chunk.rename(columns=wanted)
        chunk = chunk[(chunk != "").any(axis=1)]  # blank lines, often one at the end
        return _parse_rows(label, chunk, role)

    # In chunks: 300 MB of text never stand in memory at once. Threads were measured here and gain nothing.
    with _reading(label), _open_table(place, name) as file:
        chunks = pd.read_csv(file, dtype=str, usecols=list(wanted), keep_default_na=False, skip_blank_lines=False,
                             encoding_errors="replace", chunksize=1024)
        parts = [parse(chunk) for chunk in chunks]
    if not sum(len(emotion) for _, emotion, _ in parts):
        raise DataError(f"{label}: has a header and no rows; download or copy it again")
    return [np.concatenate(arrays) for arrays in zip(*parts)]


def _parse_rows(label, chunk, role):
    """Turn rows of text into pixels, labels and usages; the index counts rows from 0 under the header."""
    problems = []  # (row, what), the first of each kind

    def check(wrong, describe):
        if wrong.any():
            first = int(np.argmax(wrong))
            problems.append((chunk.index[first], describe(first)))

    n = len(chunk)
    if role == UNLABELLED_USAGE:
        emotion = np.full(n, UNLABELLED, np.int8)
    else:
        number = pd.to_numeric(chunk["emotion"].str.strip(), errors="coerce")
        check(~number.isin(range(N_CLASSES)).to_numpy(),
              lambda i: f"emotion {chunk['emotion'].iloc[i][:20]!r} is not one of 0–{N_CLASSES - 1}")
        emotion = number.fillna(UNLABELLED).to_numpy().clip(UNLABELLED, N_CLASSES).astype(np.int8)
    if role == "all":
        usage = chunk["usage"].str.strip().to_numpy().astype("<U11")
        check(~chunk["usage"].str.strip().isin(USAGES).to_numpy(),
              lambda i: f"unknown usage {chunk['usage'].iloc[i][:20]!r}, not one of {', '.join(USAGES)}")
    else:
        usage = np.full(n, role, "<U11")
    texts = chunk["pixels"].tolist()
    blocks = []
    for start in range(0, n, 128):  # blocks that fit the processor's cache
        block = texts[start:start + 128]
        pixels = _parse_pixels(block)
        if pixels is None:
            pixels, bad, problem = _parse_slowly(block)
            if problem:
                problems.append((chunk.index[start + bad], problem))
                break
        blocks.append(pixels)
    if problems:
        row, problem = min(problems)
        raise DataError(f"{label}, row {row + 2}: {problem}; if the file was cut off, download or copy it again, "
                        "else correct or remove this row")
    return np.concatenate(blocks) if blocks else np.empty((0, SIZE, SIZE), np.uint8), emotion, usage


def _parse_pixels(texts):
    """Return the pixels, uint8 (n, 48, 48), of blank-separated decimals; None unless all is exactly as it should be.

    Works on all the bytes at once, several times as fast as splitting and converting each row.
    """
    data = np.frombuffer(f"   {' '.join(texts)} ".encode(), np.uint8)
    digit = data - np.uint8(ord("0"))
    is_digit = digit < 10
    if not (is_digit | (data == ord(" "))).all():
        return None
    if (is_digit[3:] & is_digit[2:-1] & is_digit[1:-2] & is_digit[:-3]).any():
        return None  # a number of four digits
    digit *= is_digit
    tens = digit.copy()  # at each digit: what it and the digit before it say
    tens[1:] += digit[:-1] * np.uint8(10)
    tens *= is_digit
    ends = np.flatnonzero(is_digit[:-1] & ~is_digit[1:])
    lengths = 3 + np.cumsum([len(text) + 1 for text in texts])
    each = SIZE * SIZE * np.arange(1, len(texts) + 1)
    if not np.array_equal(np.searchsorted(ends, lengths), each):
        return None
    values = digit[ends] + tens[ends - 1] * np.uint16(10)
    return None if values.max() > 255 else values.astype(np.uint8).reshape(-1, SIZE, SIZE)


def _parse_slowly(texts):
    """Return the pixels as `_parse_pixels` does, or else the first row in which something is wrong, and what."""
    rows = [text.split() for text in texts]
    for i, values in enumerate(rows):
        for j, value in enumerate(values):
            if not re.fullmatch(r"-?[0-9]+", value):
                return None, i, f"pixel {j + 1} is {value[:20]!r}, not a whole number"
            if value.startswith("-") or len(value.lstrip("0")) > 3 or int(value) > 255:
                return None, i, f"pixel {j + 1} is {value[:20]}, outside 0–255"
        if len(values) != SIZE * SIZE:
            return None, i, f"{len(values)} pixel values instead of {SIZE * SIZE}"
    return np.array(rows).astype(np.uint8).reshape(-1, SIZE, SIZE), None, None


def _read_images(found):
    usages = (*USAGES, UNLABELLED_USAGE)

    def facts(name):
        match = _IMAGE.fullmatch(name)
        usage = next((usage for usage in USAGES if match["stem"].lower().startswith(usage.lower())),
                     _SPLITS[match["split"].lower()])
        numbers = re.findall(r"\d+", match["stem"])
        return usages.index(usage), int(numbers[-1]) if numbers else -1, name, emotion_index(match["emotion"])

    def decode(batch):
        return np.stack([_read_image(found.place, name) for name in batch])

    ordered = sorted(facts(name) for name in found.names)
    names = [name for _, _, name, _ in ordered]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pixels = np.concatenate(list(pool.map(decode, (names[i:i + 256] for i in range(0, len(names), 256)))))
    return (pixels, np.array([emotion for *_, emotion in ordered], np.int8),
            np.array([usages[index] for index, *_ in ordered], "<U11"))


def _read_image(place, name):
    with _reading(place.label(name)), place.open(name) as file:
        data = file.read()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        image = None
    if image is None:
        raise DataError(f"{place.label(name)}: {len(data)} bytes that are no whole image (cut off or corrupt); "
                        "download or copy it again, or remove it")
    return image if image.shape == (SIZE, SIZE) else cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def _read_arrays(found):
    label = found.place.label(found.names[0])
    with _reading(label), found.place.open(found.names[0]) as file, np.load(file) as arrays:
        return arrays["pixels"], arrays["emotion"], arrays["usage"]


# ---- the cache ----


def _cache_key(found):
    """Return what changes when a source does: paths, sizes, times, and the hash of each file's first MiB."""
    facts = [_CACHE_VERSION, found.layout, found.names]
    files = found.place.real_files(found.names)
    for file in files:
        status = file.stat()
        facts.append([str(file.resolve()) if len(files) < 9 else str(file), status.st_size, status.st_mtime_ns])
        if len(files) < 9:  # not of each of 35,887 images
            with open(file, "rb") as start:
                facts.append(hashlib.sha256(start.read(1 << 20)).hexdigest())
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _read_cache(file, key, source, layout):
    try:
        with np.load(file) as arrays:
            if str(arrays["key"]) == key:
                return FaceSet(arrays["pixels"], arrays["emotion"], arrays["usage"], source, layout)
    except Exception:
        pass  # whatever is wrong with the cache, the source is still there
    return None


def _write_cache(file, key, faces):
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=file.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as output:
                np.savez(output, pixels=faces.pixels, emotion=faces.emotion, usage=faces.usage, key=key)
            os.replace(part, file)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        warnings.warn(f"{file.parent}: the data set could not be cached ({error}); it will be read anew each time",
                      stacklevel=3)
