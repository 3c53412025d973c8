"""Reading FER2013, whichever layout it has; sampling it; downloading it."""
import hashlib
import json
import os
import re
import shutil
import warnings
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from .. import paths
from ..errors import DataError
from ..files import cached_arrays
from .drawn import draw_faces
from .faceset import FaceSet, has_fer2013_counts
from .grouped import divide_groups
from .layouts import Found, NoLayoutError, recognise_layout
from .parse import read_found
from .places import MAX_FACES, reading_errors

KAGGLE = "msambare/fer2013"
"""The public data set that `download` fetches; it needs no account."""
_CACHE_VERSION = 3
_MANY_FILES = 9  # from so many on the cache's key goes by their sizes and times only: 35,887 images take too long
_DRAWN = 3000  # faces, where nobody says how many
_DRAWN_TO_CACHE = 200  # fewer are drawn in a second


def load(source: str | Path | None = None, *, cache: bool = True, drawn: int | None = None) -> FaceSet:
    """Read a data set, whichever layout it has; a `DataError` names the file, the row and the remedy.

    `source` is a file (``.csv``, ``.csv.gz``, ``.zip``, ``.npz``), or a folder that holds one or the image folders,
    itself or one or two levels further down. "drawn" and "drawn:8000" mean drawn faces, and so does `drawn`, their
    number. Without a source it reads what `find` finds; faces are drawn where no place is named and none holds files.

    A table's column "person" (or "group") says who is on each face; where all faces are Training, these persons are
    divided among the parts (`divide_groups`).

    A warning says how many files were left out, and why; so does `FaceSet.left_out`.

    The faces are in the file's order; those of image folders by usage, then by the number in the file name. `cache`
    keeps the arrays in `paths.CACHE`: a CSV is then read some fifty times as fast.

    >>> len(load("drawn:50"))
    50
    """
    if drawn is None and isinstance(source, str) and re.match(r"drawn(:|$)", source):
        number = source.partition(":")[2] or str(_DRAWN)
        drawn = int(number[:18]) if number.isdecimal() else 0
    if drawn is not None:
        if not 1 <= drawn <= MAX_FACES:
            raise DataError(f"{str(source or drawn)[:40]}: from 1 to {MAX_FACES:,} faces can be drawn; write drawn, or "
                            "drawn:8000 for 8,000")
        return _load_drawn(drawn, cache)
    path = Path(paths.DATA if source is None else source).expanduser()
    named = source is not None or bool(os.environ.get("FER_DATA"))
    if not named and not os.path.exists(path):
        return _load_drawn(_DRAWN, cache)
    try:
        found = recognise_layout(path)
    except NoLayoutError as error:
        if named or not error.empty:  # faces that are there are never answered by drawn ones
            raise
        return _load_drawn(_DRAWN, cache)
    with closing(found.place):
        faces = _load_found(found, cache)
    for line in faces.left_out:
        warnings.warn(f"{faces.source}: {line}", stacklevel=2)
    return faces


def _load_found(found: Found, cache: bool) -> FaceSet:
    if cache and found.layout != "arrays":  # arrays are as fast to read as a cache of them
        file = paths.CACHE / f"{hashlib.sha256(os.fsencode(found.source.resolve())).hexdigest()[:16]}.npz"
        arrays = cached_arrays(file, _source_key(found), lambda: read_found(found))
    else:
        arrays = read_found(found)
    found.place.leave_out("copies of faces in the other files", *map(str, arrays.pop("left_out")))
    faces = FaceSet(arrays["pixels"], arrays["emotion"], arrays["usage"], str(found.source), found.layout,
                    has_fer2013_counts(arrays["emotion"]), found.place.notes(), group=arrays.get("group"))
    return divide_groups(faces)


def _source_key(found: Found) -> str:
    """Return what changes when a source does: paths, sizes, times, and the hash of each file's first MiB."""
    facts: list[object] = [_CACHE_VERSION, found.layout, found.names]
    files = list(dict.fromkeys(map(found.place.path, found.names)))
    few = len(files) < _MANY_FILES
    for file in files:
        status = file.stat()
        facts.append([str(file.resolve()) if few else str(file), status.st_size, status.st_mtime_ns])
        if few:
            with reading_errors(str(file)), open(file, "rb") as start:
                facts.append(hashlib.sha256(start.read(1 << 20)).hexdigest())
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _load_drawn(n: int, cache: bool) -> FaceSet:
    def draw() -> dict[str, np.ndarray]:
        faces = draw_faces(n)
        return {"pixels": faces.pixels, "emotion": faces.emotion, "usage": faces.usage}

    if cache and n >= _DRAWN_TO_CACHE:
        # Other versions of the code, or of what it draws with, draw other faces.
        here = Path(__file__).parent
        code = [file.read_text(encoding="utf-8") for file in sorted(here.glob("drawn*.py"))]
        facts = json.dumps([_CACHE_VERSION, n, cv2.__version__, np.__version__, *code])
        arrays = cached_arrays(paths.CACHE / f"drawn-{n}.npz", hashlib.sha256(facts.encode()).hexdigest(), draw)
    else:
        arrays = draw()
    return FaceSet(arrays["pixels"], arrays["emotion"], arrays["usage"], "drawn faces", "drawn")


def find(place: str | Path | None = None) -> Path | None:
    """Return the file or folder to give to `load` in a place, by default `paths.DATA`; None where there is none.

    The cache in it does not count. A `DataError` says what is wrong with a file that is meant to be FER2013.
    """
    path = Path(paths.DATA if place is None else place).expanduser()
    if not os.path.exists(path):
        return None
    try:
        found = recognise_layout(path)
    except NoLayoutError:
        return None
    found.place.close()
    return found.source


def sample(faces: FaceSet, n: int, seed: int = 0) -> FaceSet:
    """Draw `n` faces (or all, if fewer) so that usages and classes keep their proportions, in the original order."""
    return faces if n >= len(faces) else faces[sample_rows(faces, n, seed)]


def sample_rows(faces: FaceSet, n: int, seed: int = 0) -> np.ndarray:
    """Return the rows, int (M,), ascending, of the faces that `sample` draws."""
    if n < 1:
        raise ValueError(f"a sample must have at least 1 face, got {n}")
    if n >= len(faces):
        return np.arange(len(faces))
    from sklearn.utils import resample

    strata = np.char.add(faces.usage, faces.emotion.astype("<U2"))
    keep = resample(np.arange(len(faces)), replace=False, n_samples=n, stratify=strata, random_state=seed)
    return np.sort(keep)


def download(dest: str | Path | None = None) -> Path:
    """Fetch FER2013 from Kaggle (`KAGGLE`, 60 MB, no account needed), unless it is there, with a progress bar.

    Returns ``fer2013`` in the folder `dest`, by default `paths.DATA`: whole or not there at all. A `DataError` says how
    to download by hand when Kaggle cannot be reached.
    """
    dest = Path(paths.DATA if dest is None else dest).expanduser()
    target = dest / "fer2013"
    if target.is_dir() and find(target):
        return target
    if target.is_dir() and any(target.iterdir()):
        raise DataError(f"{target}: is there, but holds no layout of FER2013; remove it and download again")
    if dest.is_file():
        raise DataError(f"{dest}: is a file, so nothing can be downloaded into it; name a folder (FER_DATA)")
    part = dest / ".download"  # kept between tries: kagglehub goes on from what it has
    part.mkdir(parents=True, exist_ok=True)
    try:
        fetched = _fetch(part)
        if find(fetched) is None:
            raise DataError(f"{fetched}: the download holds no layout of FER2013")
        whole = part / "whole"
        shutil.rmtree(whole, ignore_errors=True)
        shutil.copytree(fetched, whole)  # a copy, because on Colab and Kaggle the folder is mounted read-only
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
        if not any(part.iterdir()):
            part.rmdir()
    shutil.rmtree(part, ignore_errors=True)
    return target


def _fetch(folder: Path) -> Path:
    """Download into a folder, where kagglehub makes folders of its own; return the one with the data."""
    import kagglehub

    before = os.environ.get("KAGGLEHUB_CACHE")
    os.environ["KAGGLEHUB_CACHE"] = str(folder)
    try:
        return Path(kagglehub.dataset_download(KAGGLE))
    finally:
        if before is None:
            del os.environ["KAGGLEHUB_CACHE"]
        else:
            os.environ["KAGGLEHUB_CACHE"] = before
