"""What all figures share: width, fonts, colours, titles and saving."""
import contextlib
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from .. import paths
from ..files import write_bytes
from ..labels import COLOURS

if os.environ.get("FER_STYLE") not in (None, "", "thesis"):
    raise ValueError(f"FER_STYLE is {os.environ['FER_STYLE']!r}: set it to thesis, or leave it out")
THESIS = os.environ.get("FER_STYLE") == "thesis"
"""Whether figures are made for a printed page (``FER_STYLE=thesis``): narrow, in serif letters, without titles."""
WIDTH = 6.3 if THESIS else 8.0
"""Width of a full figure, in inches; 6.3 is that of the text on A4."""
MAX_PNG = 500_000
"""Bytes a PNG may have, so that pages with figures stay light."""
TEXT, LABEL, SMALL = 10, 9, 8
"""Font sizes in points: text and titles of panels; ticks, legends and labels; numbers in bars and captions."""
STYLE: dict[Any, Any] = {
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08, "figure.constrained_layout.w_pad": 0.08,
    "figure.dpi": 100, "savefig.dpi": 150,
    # Both come with matplotlib, so figures look the same everywhere.
    "font.family": "STIXGeneral" if THESIS else "DejaVu Sans", "mathtext.fontset": "stix" if THESIS else "dejavusans",
    "font.size": TEXT, "xtick.labelsize": LABEL, "ytick.labelsize": LABEL, "legend.fontsize": LABEL,
    "axes.titlesize": 11, "axes.titleweight": "bold", "figure.titlesize": 11, "figure.titleweight": "bold",
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "axes.axisbelow": True, "grid.color": "#DDDDDD", "hatch.linewidth": 0.7,
    "pdf.fonttype": 42,  # text stays text in the PDF
}
BLUE, VERMILLION, ORANGE, GREEN, GRAY = (COLOURS[e] for e in ("sad", "angry", "happy", "disgust", "neutral"))
RIGHT, WRONG = BLUE, VERMILLION
Drawn = TypeVar("Drawn", Axes, Figure)


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


def titled(drawn: Drawn, text: str, note: str) -> Drawn:
    """Set the title and return what was drawn. The note is in brackets, in its own line if both do not fit into one.

    A line that does not fit either gets smaller letters, so no title has three lines.
    """
    figure = drawn.get_figure(root=True)
    assert figure is not None
    letters = int(figure.get_figwidth() * 8)
    parts = [text, f"({note})"] if note else [text]
    title = " ".join(parts)
    if len(title) > letters:
        title = "\n".join(parts)
    size = STYLE["axes.titlesize"] * min(1, letters / max(map(len, title.split("\n"))))
    if isinstance(drawn, Axes):
        drawn.set_title(title, fontsize=size)
    else:
        drawn.suptitle(title, fontsize=size)
    return drawn


def percent(value: float, _: object = None) -> str:
    """Format a fraction as a percentage, with decimals only where it has some; a tick formatter."""
    return f"{round(100 * value, 4):g}%"


def save_figure(figure: Figure | Axes, name: str, folder: Path | str | None = None) -> tuple[Path, Path]:
    """Write a figure as PNG (150 dots an inch) and PDF, each whole or not at all, and return both paths.

    The same figure gives the same bytes: no date or version is written. A PNG of more than `MAX_PNG` bytes is reduced
    to 256 colours; if it is still too large, or the name is no file name without suffix, a ValueError says so. The
    folder is `paths.FIGURES` if none is given. For a thesis, `fit_page` changes the figure first.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"figure name {name!r} must be letters, digits, _ and - only, without folder or suffix")
    whole = figure.get_figure(root=True)
    assert whole is not None
    folder = Path(paths.FIGURES if folder is None else folder)
    dpi = STYLE["savefig.dpi"]
    png, pdf = io.BytesIO(), io.BytesIO()
    with use_style():
        if THESIS:
            fit_page(whole)
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


def fit_page(figure: Figure) -> None:
    """Change a figure for a thesis: at most `WIDTH` wide, all letters of one family, and no title: its caption says it.

    Titles of panels stay, as they say which is which.
    """
    if figure.get_suptitle():
        figure.suptitle("")
    named = [ax for ax in figure.axes if ax.get_title()]
    if len(named) == 1:
        named[0].set_title("")
    scale = min(WIDTH / figure.get_figwidth(), 1)
    figure.set_size_inches(scale * figure.get_figwidth(), scale * figure.get_figheight())
    for text in figure.findobj(Text):
        text.set(fontfamily=STYLE["font.family"], fontsize=scale * float(text.get_fontsize()))
