"""What all figures share: width, fonts, colours and titles; checks of what is drawn; saving."""
import contextlib
import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

from .. import paths
from ..files import write_bytes
from ..labels import COLOURS, EMOTIONS, N_CLASSES

WIDTH = 8.0
"""Width of a full figure, in inches."""
TEXT, LABEL, SMALL = 10, 9, 8
"""Font sizes in points: text and titles of panels; ticks, legends and labels; numbers in bars and captions."""
STYLE: dict[Any, Any] = {
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures look the same everywhere
    "font.size": TEXT,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "xtick.labelsize": LABEL,
    "ytick.labelsize": LABEL,
    "legend.fontsize": LABEL,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "hatch.linewidth": 0.7,
    "pdf.fonttype": 42,  # text stays text in the PDF
}
BLUE, VERMILLION, ORANGE, GREEN, GRAY = (COLOURS[e] for e in ("sad", "angry", "happy", "disgust", "neutral"))
RIGHT, WRONG = BLUE, VERMILLION


@contextlib.contextmanager
def use_style() -> Iterator[None]:
    """Draw in the project's style. It is a context, and the decorator of each function here that draws."""
    with plt.rc_context(STYLE):
        yield
        interactive = plt.isinteractive()
    # A notebook's backend turns interactive mode on with the first figure. If leaving the style turned it off again,
    # no later figure would be shown.
    plt.interactive(interactive)


def new_axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Return `ax`, or without one the Axes of a new figure of this size in inches."""
    return plt.subplots(figsize=(width, height))[1] if ax is None else ax


def set_title(drawn: Axes | Figure, text: str, note: str) -> None:
    """Set the title, with the note in brackets: in its own line if both do not fit into one."""
    figure = drawn.get_figure(root=True)
    assert figure is not None
    letters = int(figure.get_figwidth() * 8)
    parts = [text, f"({note})"] if note else [text]
    title = " ".join(parts)
    if len(title) > letters:
        title = "\n".join(textwrap.fill(part, letters) for part in parts)
    if isinstance(drawn, Axes):
        drawn.set_title(title)
    else:
        drawn.suptitle(title)


def percent(value: float, _: object = None) -> str:
    """Format a fraction as a percentage, with decimals only where it has some; a tick formatter."""
    return f"{round(100 * value, 4):g}%"


# --- Checks: each returns what it checked, as an array or a table ------------------------------------------------


def check_columns(table: pd.DataFrame, wanted: Sequence[str], what: str) -> pd.DataFrame:
    """Check that a table has these columns and at least one row."""
    table = pd.DataFrame(table)
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise ValueError(f"{what} needs the columns {', '.join(wanted)}; {', '.join(missing)} missing "
                         f"from {', '.join(map(str, table.columns))}")
    if table.empty:
        raise ValueError(f"{what} has no rows: nothing to draw")
    return table


def check_emotion_rows(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """Check that a table has a row for each emotion, and return these rows in the order of `EMOTIONS`."""
    table = pd.DataFrame(table)
    missing = [emotion for emotion in EMOTIONS if emotion not in table.index]
    if missing:
        raise ValueError(f"{what} needs one row for each emotion; {', '.join(missing)} missing "
                         f"from its index {list(table.index)}")
    return table.loc[list(EMOTIONS)]


def check_fractions(values: ArrayLike, what: str) -> np.ndarray:
    """Check that values are 0 to 1 or NaN."""
    values = np.asarray(values, dtype=float)
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


# --- Files -------------------------------------------------------------------------------------------------------

MAX_PNG = 500_000
"""Bytes a PNG may have, so that pages with figures stay light."""


def save_figure(figure: Figure | Axes, name: str, folder: Path | str | None = None) -> tuple[Path, Path]:
    """Write a figure as PNG (150 dots an inch) and PDF, each whole or not at all, and return both paths.

    The same figure gives the same bytes: no date or version is written. A PNG of more than `MAX_PNG` bytes is reduced
    to 256 colours; if it is still too large, or the name is no file name without suffix, a ValueError says so. The
    folder is `paths.FIGURES` if none is given.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"figure name {name!r} must be letters, digits, _ and - only, without folder or suffix")
    whole = figure.get_figure(root=True)
    assert whole is not None
    folder = Path(paths.FIGURES if folder is None else folder)
    dpi = STYLE["savefig.dpi"]
    png, pdf = io.BytesIO(), io.BytesIO()
    with use_style():
        whole.savefig(png, format="png", dpi=dpi, metadata={"Software": None})
        whole.savefig(pdf, format="pdf", dpi=dpi, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    if png.tell() > MAX_PNG:
        # 256 colours are enough for gray faces and flat drawings, and take a third of the bytes.
        reduced = Image.open(png).convert("RGB").quantize(256, kmeans=3)
        png = io.BytesIO()
        reduced.save(png, "png", dpi=(dpi, dpi))
    if png.tell() > MAX_PNG:
        raise ValueError(f"{name}.png would have {png.tell():,} bytes, more than {MAX_PNG:,}: "
                         "draw fewer faces or a smaller figure")
    files = folder / f"{name}.png", folder / f"{name}.pdf"
    for file, content in zip(files, (png, pdf)):
        write_bytes(file, content.getvalue())
    return files
