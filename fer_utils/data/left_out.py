"""Training faces that are named in a table and left out, such as those with suspicious labels."""
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import DataError
from ..files import csv_divider, why_unreadable
from .faceset import FaceSet


def image_marks(pixels: np.ndarray) -> list[str]:
    """Return a short hash of each face, uint8 (N, 48, 48), by which a table and its faces are kept together.

    A letter is in front: a spreadsheet would take 12345e678901 for a number, and save another one.
    """
    return [f"x{hashlib.blake2b(face.tobytes(), digest_size=6).hexdigest()}" for face in pixels]


def kept_faces(faces: FaceSet, path: Path | str) -> np.ndarray:
    """Return which faces are kept, bool (N,), without the Training faces of a CSV table.

    Its columns are `face`, an index from 0, and `image`, the face's `image_marks`. `suspicious-labels` writes such
    tables; a row that is deleted there keeps its face. A `DataError` says that the table is damaged, is of other faces,
    or names test faces.
    """
    if reason := why_unreadable(path):
        raise DataError(f"{path}: {reason}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, sep=csv_divider(path))
        number = pd.to_numeric(table["face"])
        if (wrong := number.isna() | (number % 1 != 0)).any():
            raise ValueError(f"row {int(np.argmax(wrong)) + 2}: face {table['face'][np.argmax(wrong)]!r} is no index")
        face = number.to_numpy(np.int64)
        image = table["image"].to_numpy(np.str_)
    except (KeyError, ValueError, OverflowError, pd.errors.ParserError) as error:
        raise DataError(f"{path}: cannot be used as a table of faces ({str(error).splitlines()[0]}); it needs the "
                        "columns face and image, as `python -m fer_utils suspicious-labels` writes them") from error
    there = (face >= 0) & (face < len(faces))
    same = there.copy()
    same[there] = np.array(image_marks(faces.pixels[face[there]]), dtype=np.str_) == image[there]
    if not same.all():
        raise DataError(f"{path}, row {int(np.argmin(same)) + 2}: face {face[np.argmin(same)]} is another one in "
                        f"{faces.source}; give the data that the table was written for, all of it and in its order")
    if (tested := faces.usage[face] != "Training").any():
        raise DataError(f"{path}, row {int(np.argmax(tested)) + 2}: face {face[np.argmax(tested)]} is not a Training "
                        "face; test faces are never left out")
    keep = np.ones(len(faces), bool)
    keep[face] = False
    return keep
