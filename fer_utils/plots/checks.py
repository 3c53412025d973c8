"""Checks of what is drawn: each one returns what it checked, as an array or a table."""
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..labels import EMOTIONS, N_CLASSES


def check_columns(table: pd.DataFrame, wanted: Sequence[str], what: str) -> pd.DataFrame:
    """Check that a table has these columns and at least one row."""
    table = pd.DataFrame(table)
    if missing := [name for name in wanted if name not in table.columns]:
        raise ValueError(f"{what} needs the columns {', '.join(wanted)}; {', '.join(missing)} missing "
                         f"from {', '.join(map(str, table.columns))}")
    if table.empty:
        raise ValueError(f"{what} has no rows: nothing to draw")
    return table


def check_emotion_rows(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """Check that a table has a row for each emotion, and return these rows in the order of `EMOTIONS`."""
    table = pd.DataFrame(table)
    if missing := [emotion for emotion in EMOTIONS if emotion not in table.index]:
        raise ValueError(f"{what} needs one row for each emotion; {', '.join(missing)} missing "
                         f"from its index {list(table.index)}")
    return table.loc[list(EMOTIONS)]


def check_fractions(values: ArrayLike, what: str) -> np.ndarray:
    """Check that values are 0 to 1 or NaN."""
    try:
        values = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be fractions, 0 to 1, or NaN where they are not known: {error}") from error
    if np.nanmin(values, initial=0) < 0 or np.nanmax(values, initial=0) > 1:
        raise ValueError(f"{what} must be fractions, 0 to 1 (0.65, not 65), got {np.nanmin(values)} to "
                         f"{np.nanmax(values)}")
    return values


def check_faces(pixels: np.ndarray, gray: bool = False) -> np.ndarray:
    """Check faces, uint8 or fractions, and return them as (N, H, W), or as (N, H, W, 3) where colour is allowed."""
    faces = np.asarray(pixels)
    if faces.ndim == 4 and faces.shape[-1] == 1:
        faces = faces[..., 0]
    if faces.ndim != 3 and not (faces.ndim == 4 and faces.shape[-1] == 3):
        raise ValueError(f"faces must be (N, H, W), (N, H, W, 1) or (N, H, W, 3), got shape {faces.shape}")
    if gray and faces.ndim != 3:
        raise ValueError(f"faces must be gray, (N, H, W) or (N, H, W, 1), got shape {faces.shape}")
    if not len(faces):
        raise ValueError("no faces to draw")
    if faces.dtype == np.uint8:
        return faces
    if not np.issubdtype(faces.dtype, np.floating) or faces.min() < 0 or faces.max() > 1:
        raise ValueError(f"faces must be uint8 0 to 255 or fractions 0 to 1, got {faces.dtype} {faces.min()} to "
                         f"{faces.max()}; draw the pixels, not a standardised tensor")
    return faces


def check_labels(values: ArrayLike, n: int, what: str = "emotion") -> np.ndarray:
    """Check that values are labels of n faces, 0 to 6, or -1 for a face without a label."""
    values = np.asarray(values)
    if values.shape != (n,) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{what} must be {n} whole numbers, one a face, got {values.dtype} of shape {values.shape}")
    if n and (values.min() < -1 or values.max() >= N_CLASSES):
        raise ValueError(f"{what} must be 0 to {N_CLASSES - 1}, or -1 for unlabelled, got {values.min()} to "
                         f"{values.max()}")
    return values
