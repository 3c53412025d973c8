"""Reading FER2013, whichever layout it has; sampling it; downloading it."""
import hashlib
import json
import os
import re
import shutil
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from .. import paths
from ..errors import DataError
from .layouts import nothing_recognised, recognise_layout
from .parse import CACHE_VERSION, read_cache, read_faces, write_cache

KAGGLE = "msambare/fer2013"
"""The public data set that `download` fetches; it needs no account."""


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
    found = recognise_layout(path)
    if found is None and source is None and path.is_dir():
        return _draw(cache=cache)
    if found is None:
        raise nothing_recognised(path)
    with closing(found.place):
        return read_faces(found, cache)


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
    found = recognise_layout(path)
    if found is None and not path.is_dir():
        raise nothing_recognised(path)
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
    from . import canvas, drawn, portrait

    if not cache or n < 200:
        return drawn.draw_faces(n)
    # Another version of the code, or of what it draws with, draws other faces.
    facts = [CACHE_VERSION, n, cv2.__version__, np.__version__, *(Path(m.__file__).read_text(encoding="utf-8") for m in (drawn, portrait, canvas))]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    file = paths.CACHE / f"drawn-{n}.npz"
    faces = read_cache(file, key, "drawn faces", "drawn")
    if faces is None:
        faces = drawn.draw_faces(n)
        write_cache(file, key, faces)
    return faces
