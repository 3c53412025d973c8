"""The style that all figures share: colours, sizes, helpers, and saving."""
import contextlib
import functools
import io
import os
import re
import tempfile
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image

from .. import paths
from ..labels import COLOURS, EMOTIONS

WIDTH = 8.0
"""Width of a full figure in inches: a page's text width at 10 points a letter."""
STYLE = {
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so figures look the same everywhere
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "hatch.linewidth": 0.7,
    "pdf.fonttype": 42,  # text stays text in the PDF
}
SMALL = 8
"""Font size, in points, of numbers in bars and captions under faces."""
SEQUENTIAL = "Blues"
"""One hue from light to dark, so safe for every colour vision and in gray print; cells near 0 stay white."""
DIVERGING = "PuOr"
BLUE, VERMILLION, ORANGE, GREEN, GRAY = (COLOURS[e] for e in ("sad", "angry", "happy", "disgust", "neutral"))
USAGE_COLOURS = {"Training": BLUE, "PublicTest": ORANGE, "PrivateTest": VERMILLION}
RIGHT, WRONG = BLUE, VERMILLION


@contextlib.contextmanager
def use_style():
    """Draw in the project's style within this context; every function here uses it itself."""
    with plt.rc_context(STYLE):
        yield
        interactive = plt.isinteractive()
    # A notebook's backend turns interactive mode on with the first figure. Were that undone with the style, no later
    # figure would be shown.
    plt.interactive(interactive)


def styled(function):
    @functools.wraps(function)
    def draw(*args, **kwargs):
        with use_style():
            return function(*args, **kwargs)

    return draw


# --- Shared by the figures ---------------------------------------------------------------------------------------


def percent(value, _=None):
    return f"{round(100 * value, 4):g}%"


def new_axes(ax, width, height):
    return plt.subplots(figsize=(width, height))[1] if ax is None else ax


def headline(text, note, width):
    """Return title and note in lines that fit into `width` inches; the note has its own where it does not fit."""
    letters = int(width * 8)
    line = f"{text} ({note})" if note else text
    return line if len(line) <= letters else "\n".join(
        textwrap.fill(part, letters) for part in (text, f"({note})" if note else "") if part)


def set_title(ax, text, note):
    ax.set_title(headline(text, note, ax.figure.get_figwidth()))


def check_columns(table, wanted, what):
    table = pd.DataFrame(table)
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise ValueError(f"{what} needs the columns {', '.join(wanted)}; {', '.join(missing)} missing "
                         f"from {', '.join(map(str, table.columns))}")
    if table.empty:
        raise ValueError(f"{what} has no rows: nothing to draw")
    return table


def rows_by_emotion(table, what):
    """Return a table's rows in the one class order."""
    table = pd.DataFrame(table)
    missing = [emotion for emotion in EMOTIONS if emotion not in table.index]
    if missing:
        raise ValueError(f"{what} needs one row for each emotion; {', '.join(missing)} missing "
                         f"from its index {list(table.index)}")
    return table.loc[list(EMOTIONS)]


def check_fractions(values, what):
    values = np.asarray(values, dtype=float)
    if np.nanmin(values, initial=0) < 0 or np.nanmax(values, initial=0) > 1:
        raise ValueError(f"{what} must be fractions, 0 to 1 (0.65, not 65), got {np.nanmin(values)} to "
                         f"{np.nanmax(values)}")
    return values


# --- Files -------------------------------------------------------------------------------------------------------

MAX_PNG = 500_000
"""Bytes a PNG may have, so that pages with figures stay light."""


def save_figure(figure, name, folder=None):
    """Write a figure as PNG (150 dots an inch) and PDF, each whole or not at all.

    The same figure gives the same bytes: no date or version is written. A PNG larger than `MAX_PNG` is reduced to 256
    colours.

    Parameters
    ----------
    figure : Figure or Axes
    name : str
        File name without suffix: letters, digits, ``_`` and ``-``.
    folder : path, optional
        `paths.FIGURES` when None; made if missing.

    Returns
    -------
    tuple of Path
        PNG and PDF.

    Raises
    ------
    ValueError
        The name has other characters, or the PNG would be larger than `MAX_PNG` even so.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"figure name {name!r} must be letters, digits, _ and - only, without folder or suffix")
    figure = figure.figure
    folder = Path(paths.FIGURES if folder is None else folder)
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
    contents = {}
    with use_style():
        for suffix in metadata:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=STYLE["savefig.dpi"], metadata=metadata[suffix])
            contents[suffix] = buffer.getvalue()
    if len(contents["png"]) > MAX_PNG:
        # 256 colours do for gray faces and flat drawings, in a third of the bytes.
        buffer = io.BytesIO()
        dots = (STYLE["savefig.dpi"],) * 2
        Image.open(io.BytesIO(contents["png"])).convert("RGB").quantize(256, kmeans=3).save(buffer, "png", dpi=dots)
        contents["png"] = buffer.getvalue()
    if len(contents["png"]) > MAX_PNG:
        raise ValueError(f"{name}.png would have {len(contents['png']):,} bytes, more than {MAX_PNG:,}: "
                         "draw fewer faces or a smaller figure")
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, content in contents.items():
        handle, part = tempfile.mkstemp(dir=folder, prefix=f".{name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(part, 0o644)  # mkstemp makes it readable by its owner alone
            os.replace(part, folder / f"{name}.{suffix}")
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
    return folder / f"{name}.png", folder / f"{name}.pdf"
