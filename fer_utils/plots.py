"""Every figure of the project: plain arrays and tables in, one matplotlib figure out.

Functions that draw one panel take ``ax=None`` and return the Axes; those of several panels return the Figure.
``note`` ends the title: give `FaceSet.title`, so that figures of drawn faces say what they are made from.
Shares and accuracies are fractions, 0 to 1; the figures show them in percent.
"""

import contextlib
import functools
import io
import os
import re
import tempfile
import textwrap
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox
from PIL import Image

from . import paths
from .labels import COLOURS, EMOTIONS, N_CLASSES

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


class Mark(NamedTuple):
    """A published accuracy on PrivateTest, as a fraction, with its margin (0: none given) and its source."""

    name: str
    accuracy: float
    margin: float
    source: str


PUBLISHED_MARKS = (
    Mark("human", 0.65, 0.05, "Goodfellow et al. 2013"),
    Mark("mini-Xception", 0.66, 0.0, "Arriaga et al. 2017"),
    Mark("challenge winner", 0.7116, 0.0, "Tang 2013"),
    Mark("VGGNet", 0.7328, 0.0, "Khaireddin & Chen 2021"),
    Mark("ResMaskNet", 0.7414, 0.0, "Pham et al. 2021"),
    Mark("LHC-Net", 0.7442, 0.0, "Pecoraro et al. 2021"),
    Mark("7-network ensemble", 0.7682, 0.0, "Pham et al. 2021"),
)
"""What others report on PrivateTest as published (not on clean PrivateTest), lowest first."""


@contextlib.contextmanager
def use_style():
    """Draw in the project's style within this context; every function here uses it itself."""
    with plt.rc_context(STYLE):
        yield
        interactive = plt.isinteractive()
    # A notebook's backend turns interactive mode on with the first figure. Were that undone with the style, no later
    # figure would be shown.
    plt.interactive(interactive)


def _styled(function):
    @functools.wraps(function)
    def draw(*args, **kwargs):
        with use_style():
            return function(*args, **kwargs)

    return draw


# --- Shared by the figures ---------------------------------------------------------------------------------------


def _percent(value, _=None):
    return f"{round(100 * value, 4):g}%"


def _axes(ax, width, height):
    return plt.subplots(figsize=(width, height))[1] if ax is None else ax


def _headline(text, note, width):
    """Return title and note in lines that fit into `width` inches; the note has its own where it does not fit."""
    letters = int(width * 8)
    line = f"{text} ({note})" if note else text
    return line if len(line) <= letters else "\n".join(
        textwrap.fill(part, letters) for part in (text, f"({note})" if note else "") if part)


def _title(ax, text, note):
    ax.set_title(_headline(text, note, ax.figure.get_figwidth()))


def _columns(table, wanted, what):
    table = pd.DataFrame(table)
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise ValueError(f"{what} needs the columns {', '.join(wanted)}; {', '.join(missing)} missing "
                         f"from {', '.join(map(str, table.columns))}")
    if table.empty:
        raise ValueError(f"{what} has no rows: nothing to draw")
    return table


def _by_emotion(table, what):
    """Return a table's rows in the one class order."""
    table = pd.DataFrame(table)
    missing = [emotion for emotion in EMOTIONS if emotion not in table.index]
    if missing:
        raise ValueError(f"{what} needs one row for each emotion; {', '.join(missing)} missing "
                         f"from its index {list(table.index)}")
    return table.loc[list(EMOTIONS)]


def _fractions(values, what):
    values = np.asarray(values, dtype=float)
    if np.nanmin(values, initial=0) < 0 or np.nanmax(values, initial=0) > 1:
        raise ValueError(f"{what} must be fractions, 0 to 1 (0.65, not 65), got {np.nanmin(values)} to "
                         f"{np.nanmax(values)}")
    return values


def _faces(pixels):
    """Return faces as (N, H, W) or (N, H, W, 3), uint8 or fractions; a single channel is dropped."""
    faces = np.asarray(pixels)
    if faces.ndim == 4 and faces.shape[-1] == 1:
        faces = faces[..., 0]
    if faces.ndim != 3 and not (faces.ndim == 4 and faces.shape[-1] == 3):
        raise ValueError(f"faces must be (N, H, W), (N, H, W, 1) or (N, H, W, 3), got shape {faces.shape}")
    if not len(faces):
        raise ValueError("no faces to draw")
    if faces.dtype == np.uint8:
        return faces
    if not np.issubdtype(faces.dtype, np.floating) or faces.min() < 0 or faces.max() > 1:
        raise ValueError(f"faces must be uint8 0 to 255 or fractions 0 to 1, got {faces.dtype} {faces.min()} to "
                         f"{faces.max()}; draw the pixels, not a standardised tensor")
    return faces


def _gray_faces(pixels):
    faces = _faces(pixels)
    if faces.ndim != 3:
        raise ValueError(f"faces must be gray, (N, H, W) or (N, H, W, 1), got shape {faces.shape}")
    return faces


def _levels(faces):
    """Return uint8 faces or fractions as fractions."""
    return faces / 255 if faces.dtype == np.uint8 else faces.astype(float)


def _labels(values, n, what="emotion"):
    values = np.asarray(values)
    if values.shape != (n,) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{what} must be {n} whole numbers, one a face, got {values.dtype} of shape {values.shape}")
    if n and (values.min() < -1 or values.max() >= N_CLASSES):
        raise ValueError(f"{what} must be 0 to {N_CLASSES - 1}, or -1 for unlabelled, got {values.min()} to "
                         f"{values.max()}")
    return values


def _name(label):
    return EMOTIONS[label] if label >= 0 else "unlabelled"


def _table_of_counts(matrix, what):
    matrix = np.asarray(matrix)
    if matrix.shape != (N_CLASSES, N_CLASSES):
        raise ValueError(f"{what} must be {N_CLASSES} × {N_CLASSES}, rows true and columns predicted, "
                         f"got shape {matrix.shape}")
    if np.any(matrix < 0) or np.any(matrix != np.round(matrix)):
        raise ValueError(f"{what} must hold counts of faces (whole, not negative); give the counts and normalise=True")
    return matrix.astype(int)


class _Sheet:
    """Faces (or taller tiles) in rows and columns on one Axes; places are in units of a tile's width, y downward.

    One image for all faces draws in a tenth of the time of an Axes for each, and keeps the PDF small.
    """

    LINE = SMALL * 1.3
    """Height of a caption's line in points."""

    def __init__(self, ax, tiles, columns, caption_lines=0, gap=0.06, inches=0.95, beside=0.0, above=0.0):
        tiles = _levels(tiles)
        tall, wide = tiles.shape[1:3]
        self.columns, rows = columns, -(-len(tiles) // columns)
        inches = min(inches, (WIDTH - beside - 0.2) / columns / (1 + gap))
        below = gap + caption_lines * self.LINE / 72 / inches
        step_y, step_x = tall + round(wide * below), wide + round(wide * gap)
        sheet = np.ones((rows * step_y, columns * step_x, 3))
        for i, tile in enumerate(tiles):
            y, x = i // columns * step_y, i % columns * step_x
            sheet[y:y + tall, x:x + wide] = tile if tile.ndim == 3 else tile[..., None]
        self.tall, self.step_x, self.step_y = tall / wide, step_x / wide, step_y / wide
        width, height = columns * self.step_x, rows * self.step_y
        self.ax = _axes(ax, np.clip(width * inches + beside + 0.2, 4.8, WIDTH), height * inches + above + 0.55)
        self.ax.imshow(sheet, extent=(0, width, height, 0), interpolation="nearest")
        # A margin of half the gap, so that frames at the edge are not cut.
        self.ax.set(xticks=[], yticks=[], xlim=(-gap / 2, width - gap / 2), ylim=(height, -gap / 2))
        self.ax.spines[:].set_visible(False)
        self.ax.tick_params(length=0)

    def corner(self, i):
        return i % self.columns * self.step_x, i // self.columns * self.step_y

    def caption(self, i, text):
        x, y = self.corner(i)
        # Line by line from the baseline: the top of a text depends on its letters.
        for k, line in enumerate(text.split("\n"), start=1):
            self.ax.annotate(line, (x + 0.5, y + self.tall), (0, -k * self.LINE - 1), textcoords="offset points",
                             ha="center", va="baseline", fontsize=SMALL)

    def frame(self, i, colour):
        x, y = self.corner(i)
        self.ax.add_patch(Rectangle((x, y), 1, self.tall, fill=False, edgecolor=colour, linewidth=2))

    def name_rows(self, names):
        self.ax.set_yticks(np.arange(len(names)) * self.step_y + self.tall / 2, names)

    def name_columns(self, names):
        self.ax.set_xticks(np.arange(len(names)) * self.step_x + 0.5, names)
        self.ax.xaxis.tick_top()
        self.ax.tick_params(length=0)


def _heatmap(table, text, ax, label, fmt=None, vmax=None):
    """Draw a table as a heatmap with readable numbers in its cells."""
    sns.heatmap(table, annot=text, fmt="", cmap=SEQUENTIAL, vmin=0, vmax=vmax, ax=ax, linewidths=0.5,
                annot_kws={"fontsize": 9}, cbar_kws={"label": label, "format": fmt})
    for number, colour in zip(ax.texts, ax.collections[0].get_facecolors()):
        # Black and white stand out alike against a relative luminance of 0.18 (WCAG 2.1).
        linear = np.where(colour[:3] <= 0.04045, colour[:3] / 12.92, ((colour[:3] + 0.055) / 1.055) ** 2.4)
        number.set_color("black" if linear @ (0.2126, 0.7152, 0.0722) > 0.18 else "white")
    ax.tick_params(length=0)
    ax.tick_params(axis="y", rotation=0)


# --- 01: what the data is ----------------------------------------------------------------------------------------


@_styled
def plot_class_balance(counts, note="", ax=None):
    """Draw how many faces each emotion has in each usage, and each emotion's share of all.

    Parameters
    ----------
    counts : DataFrame
        Rows `EMOTIONS`, a column for each usage, numbers of faces (`FaceSet.counts()`).
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        An emotion has no row, or there are no faces.
    """
    counts = _by_emotion(counts, "counts")
    total = counts.to_numpy().sum()
    if total == 0:
        raise ValueError("counts holds no faces: nothing to draw")
    ax = _axes(ax, WIDTH, 4)
    usages, width = list(counts.columns), 0.86 / counts.shape[1]
    for i, usage in enumerate(usages):
        x = np.arange(N_CLASSES) + (i - (len(usages) - 1) / 2) * width
        bars = ax.bar(x, counts[usage], width, color=USAGE_COLOURS.get(usage, GRAY), label=usage)
        ax.bar_label(bars, [f"{n:,}" for n in counts[usage]], fontsize=SMALL - 1, padding=2)
    shares = counts.sum(axis=1) / total
    ax.set_xticks(range(N_CLASSES), [f"{e}\n{shares[e]:.1%}" for e in EMOTIONS])
    ax.set(xlabel="emotion, and its share of all faces", ylabel="faces", xlim=(-0.55, N_CLASSES - 0.45))
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend(title="usage")
    _title(ax, "Faces of each emotion and usage", note)
    return ax


@_styled
def plot_faces(pixels, emotion, per_class=10, seed=0, note="", ax=None):
    """Draw faces chosen by chance, a row for each emotion that occurs.

    Parameters
    ----------
    pixels : ndarray
        uint8 0-255 or float 0-1, (N, H, W), (N, H, W, 1) or RGB (N, H, W, 3).
    emotion : int array (N,)
    per_class : int
        Faces in a row; an emotion with fewer shows all it has.
    seed : int
        Which faces.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Faces of another shape or range, or labels that do not fit them.
    """
    faces = _faces(pixels)
    emotion = _labels(emotion, len(faces))
    rng = np.random.default_rng(seed)
    labels = np.unique(emotion)
    shown = np.ones((len(labels) * per_class, *faces.shape[1:]))
    for row, label in enumerate(labels):
        members = np.flatnonzero(emotion == label)
        chosen = rng.permutation(members)[:per_class]
        shown[row * per_class:row * per_class + len(chosen)] = _levels(faces[chosen])
    sheet = _Sheet(ax, shown, per_class, inches=0.7, beside=0.8)
    sheet.name_rows([EMOTIONS[label] for label in labels])
    _title(sheet.ax, f"{per_class} faces of each emotion, chosen by chance", note)
    return sheet.ax


@_styled
def plot_mean_faces(pixels, emotion, note="", ax=None):
    """Draw each emotion's mean face and, below it, where it is lighter or darker than the mean of all.

    Parameters
    ----------
    pixels : ndarray
        uint8 0-255 or float 0-1, (N, H, W) or (N, H, W, 1).
    emotion : int array (N,)
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Faces of another shape or range, labels that do not fit them, or an emotion without faces.
    """
    faces = _gray_faces(pixels)
    emotion = _labels(emotion, len(faces))
    absent = [EMOTIONS[label] for label in range(N_CLASSES) if not np.any(emotion == label)]
    if absent:
        raise ValueError(f"no mean face for {', '.join(absent)}: no face has that label")
    counts = np.array([np.sum(emotion == label) for label in range(N_CLASSES)])
    means = np.stack([faces[emotion == label].mean(axis=0) for label in range(N_CLASSES)])
    means = means / 255 if faces.dtype == np.uint8 else means
    difference = means - np.average(means, axis=0, weights=counts)
    limit = np.abs(difference).max() or 1.0
    colours = plt.get_cmap(DIVERGING)(0.5 + difference / limit / 2)[..., :3]
    # Means are flat: stretched to the whole gray range, all by the same amount, they can be told apart.
    stretched = (means - means.min()) / (np.ptp(means) or 1.0)
    sheet = _Sheet(ax, np.concatenate([np.repeat(stretched[..., None], 3, axis=-1), colours]), N_CLASSES,
                   beside=1.9, above=0.4)
    sheet.name_rows(["mean face,\ncontrast\nstretched", "minus mean\nof all faces"])
    sheet.name_columns([f"{e}\n{n:,}" for e, n in zip(EMOTIONS, counts)])
    scale = plt.cm.ScalarMappable(plt.Normalize(-limit * 255, limit * 255), DIVERGING)
    sheet.ax.figure.colorbar(scale, ax=sheet.ax, label="darker  ←  →  lighter", shrink=0.8, aspect=12)
    _title(sheet.ax, "The mean face of each emotion", note)
    return sheet.ax


@_styled
def plot_duplicate_pairs(pixels, pairs, emotion, usage, limit=8, note="", title="Pairs of copies", ax=None):
    """Draw pairs of (nearly) the same face side by side with labels and usages; differing labels are framed.

    Parameters
    ----------
    pixels : ndarray
        uint8 0-255 or float 0-1, (N, H, W), (N, H, W, 1) or RGB (N, H, W, 3).
    pairs : int array (P, 2)
        Indices into `pixels`, such as `audit.near_duplicates(pixels)[["i", "j"]]`.
    emotion : int array (N,)
    usage : str array (N,)
    limit : int
        Pairs to draw, the first ones.
    note : str
    title : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        No pairs, indices out of range, or arrays that do not fit each other.
    """
    faces = _faces(pixels)
    emotion, usage = _labels(emotion, len(faces)), np.asarray(usage)
    if usage.shape != (len(faces),):
        raise ValueError(f"usage must be {len(faces)} names, one a face, got shape {usage.shape}")
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise ValueError(f"pairs must be (P, 2) indices of at least one pair, got shape {pairs.shape}")
    if pairs.min() < 0 or pairs.max() >= len(faces):
        raise ValueError(f"pairs must be indices 0 to {len(faces) - 1}, got {pairs.min()} to {pairs.max()}")
    shown = pairs[:limit]
    order = shown.ravel()
    sheet = _Sheet(ax, faces[order], min(8, len(order)), caption_lines=2.3, gap=0.12)
    for i, face in enumerate(order):
        sheet.caption(i, f"{_name(emotion[face])}\n{usage[face]}")
        if emotion[order[i - i % 2]] != emotion[order[i - i % 2 + 1]]:
            sheet.frame(i, WRONG)
    for column in range(2, sheet.columns, 2):
        sheet.ax.axvline(column * sheet.step_x - 0.06, color="black", linewidth=1)
    _title(sheet.ax, f"{title}: {len(shown)} of {len(pairs):,}; framed where labels differ", note)
    return sheet.ax


@_styled
def plot_intensity(pixels, emotion, note=""):
    """Draw the spread of brightness and of contrast within each emotion; a figure of two panels.

    Parameters
    ----------
    pixels : ndarray
        uint8 0-255 or float 0-1, (N, H, W) or (N, H, W, 1).
    emotion : int array (N,)
    note : str

    Returns
    -------
    Figure
        Brightness is a face's mean gray value, contrast its standard deviation, both 0 to 255. Boxes hold half of
        the faces, whiskers reach 1.5 times the box, points beyond are left out.

    Raises
    ------
    ValueError
        Faces of another shape or range, or labels that do not fit them.
    """
    faces = _gray_faces(pixels)
    emotion = _labels(emotion, len(faces))
    scale = 1 if faces.dtype == np.uint8 else 255
    table = pd.concat([pd.DataFrame({  # an emotion at a time: the spread of all at once takes 660 MB
        "emotion": name, "brightness (mean gray value)": scale * faces[emotion == label].mean(axis=(1, 2)),
        "contrast (standard deviation)": scale * faces[emotion == label].std(axis=(1, 2))})
        for label, name in enumerate(EMOTIONS) if np.any(emotion == label)])
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.6), sharey=True)
    for ax, column in zip(axes, table.columns[1:]):
        sns.boxplot(table, x=column, y="emotion", hue="emotion", order=EMOTIONS, hue_order=EMOTIONS, palette=COLOURS,
                    showfliers=False, width=0.6, saturation=1, linewidth=1, ax=ax, legend=False)
        ax.axvline(table[column].median(), color="black", linestyle=":", linewidth=1)
        ax.set_ylabel("")
    axes[0].set_ylabel("emotion")
    figure.suptitle(_headline("Brightness and contrast of each emotion; dotted: median of all", note, WIDTH))
    return figure


@_styled
def plot_ferplus_agreement(table, note="", ax=None):
    """Draw how often FER+'s annotators agree with FER2013's label.

    Parameters
    ----------
    table : DataFrame
        Index: emotions, and "all" if wanted. Columns: `agreement` (fraction of faces whose FER+ plurality vote is
        FER2013's label; NaN where there are none), `faces` (how many), as `audit.ferplus_agreement` gives them.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        A column is missing or `agreement` is no fraction.

    References
    ----------
    Barsoum et al., "Training deep networks for facial expression recognition with crowd-sourced label distribution",
    ICMI 2016 (FER+).
    """
    table = _columns(table, ["agreement", "faces"], "FER+ agreement")
    agreement = _fractions(table["agreement"], "agreement")
    ax = _axes(ax, WIDTH, 0.9 + 0.34 * len(table))
    colours = [COLOURS.get(name, "black") for name in table.index]
    bars = ax.barh([str(name) for name in table.index], np.nan_to_num(agreement), color=colours, height=0.7)
    texts = [f"{a:.1%} of {n:,}" if n else "no faces" for a, n in zip(agreement, table["faces"])]
    ax.bar_label(bars, texts, fontsize=9, padding=4)
    ax.invert_yaxis()
    ax.set(xlim=(0, 1.18), xlabel="faces whose FER+ plurality vote is FER2013's label", ylabel="FER2013's label",
           xticks=np.arange(0, 1.01, 0.2))
    ax.spines["bottom"].set_bounds(0, 1)
    ax.xaxis.set_major_formatter(_percent)
    _title(ax, "Ten FER+ annotators against FER2013's label", note)
    return ax


@_styled
def plot_votes(table, note="", ax=None):
    """Draw what FER+'s annotators saw in the faces of each FER2013 label.

    Parameters
    ----------
    table : DataFrame
        Rows `EMOTIONS` (FER2013's label), columns FER+'s plurality votes, numbers of faces.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes
        Cells hold the percentage of the row's faces.

    Raises
    ------
    ValueError
        An emotion has no row.
    """
    table = _by_emotion(table, "the table of votes")
    shares = table.div(table.sum(axis=1).clip(lower=1), axis=0)
    ax = _axes(ax, WIDTH, 4.4)
    _heatmap(shares, shares.map("{:.0%}".format), ax, "share of the row", _percent, vmax=1)
    ax.set_xticks(ax.get_xticks(), table.columns, rotation=30, ha="right", rotation_mode="anchor")
    ax.set(xlabel="FER+ plurality vote", ylabel="FER2013's label")
    _title(ax, "What ten FER+ annotators saw in FER2013's classes", note)
    return ax


# --- 02: preparing it --------------------------------------------------------------------------------------------


@_styled
def plot_resampling(counts, note=""):
    """Draw the class counts of the training part before and after each way of balancing; a panel for each.

    Parameters
    ----------
    counts : DataFrame
        Rows `EMOTIONS`, a column for each way ("none", "over", …), numbers of faces.
    note : str

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        An emotion has no row.
    """
    counts = _by_emotion(counts, "counts")
    columns = min(3, counts.shape[1])
    rows = -(-counts.shape[1] // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 0.6 + 2.3 * rows), sharex=True, sharey=True,
                                squeeze=False)
    largest = counts.to_numpy().max()
    for ax, method in zip(axes.flat, counts.columns):
        bars = ax.barh(EMOTIONS, counts[method], color=[COLOURS[e] for e in EMOTIONS], height=0.75)
        ax.bar_label(bars, [f"{n:,}" for n in counts[method]], fontsize=SMALL, padding=3)
        ax.set_title(f"{method}: {counts[method].sum():,}", fontsize=10)
        ax.set_xlim(0, largest * 1.25)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.tick_params(labelbottom=True)
        ax.xaxis.set_major_formatter("{x:,.0f}")
    axes[0, 0].invert_yaxis()
    for ax in axes.flat[counts.shape[1]:]:
        ax.set_axis_off()
    for ax in axes.flat[max(0, counts.shape[1] - columns):counts.shape[1]]:
        ax.set_xlabel("faces")
    figure.suptitle(_headline("Training faces of each emotion by way of balancing", note, WIDTH))
    return figure


@_styled
def plot_augmentation(original, augmented, note="", title="Augmentation", ax=None):
    """Draw faces beside their augmented versions: the original, framed, first in its row; one face fills several rows.

    Parameters
    ----------
    original : ndarray
        (N, H, W), (N, H, W, 1) or RGB (N, H, W, 3), uint8 0-255 or float 0-1; or one face (H, W).
    augmented : ndarray or list
        For each of the N faces K versions of the same shape: (N, K, …); or, for one face, K versions.
    note : str
    title : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        The augmented faces are not as many, or not of the same shape, as the originals.
    """
    original, augmented = np.asarray(original), np.asarray(augmented)
    one = original.ndim == 2
    if one:
        original, augmented = original[None], augmented[None]
    if augmented.ndim != original.ndim + 1 or (augmented.shape[:1] + augmented.shape[2:]) != original.shape:
        raise ValueError(f"augmented must hold K versions of each original of shape {original.shape}: "
                         f"(N, K, …), got {augmented.shape}")
    rows = np.concatenate([original[:, None], augmented], axis=1)
    faces = _faces(rows.reshape(-1, *rows.shape[2:]))
    names = ["original"] + [str(i) for i in range(1, rows.shape[1])]
    if one:
        sheet = _Sheet(ax, faces, min(7, len(faces)), caption_lines=1.4)
        for i, name in enumerate(names):
            sheet.caption(i, name)
    else:
        sheet = _Sheet(ax, faces, len(names), above=0.2)
        sheet.name_columns(names)
    for i in range(len(original)):
        sheet.frame(i * len(names), BLUE)
    _title(sheet.ax, title, note)
    return sheet.ax


@_styled
def plot_leak(table, note=""):
    """Draw the leak: test faces that also stand in training, and what a mere memoriser scores; two panels.

    Parameters
    ----------
    table : DataFrame
        Index: protocols ("official", "leaky"). Columns: `both_sides` (test faces that stand in training too),
        `test_faces` (all), `memoriser_accuracy` (fraction a look-up table of training faces gets right).
    note : str

    Returns
    -------
    Figure
        The leaky protocol is hatched and called an exhibit.

    Raises
    ------
    ValueError
        A column is missing or an accuracy is no fraction.
    """
    table = _columns(table, ["both_sides", "test_faces", "memoriser_accuracy"], "the leak's table")
    accuracy = _fractions(table["memoriser_accuracy"], "memoriser_accuracy")
    shares = _fractions(table["both_sides"] / table["test_faces"], "both_sides / test_faces")
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.8), sharey=True)
    leaky = [protocol == "leaky" for protocol in table.index]
    names = [f"{protocol}\n(exhibit)" if leak else str(protocol) for protocol, leak in zip(table.index, leaky)]
    texts = ([f"{s:.1%}\n{b:,} of {n:,}" for s, b, n in zip(shares, table["both_sides"], table["test_faces"])],
             [f"{a:.1%}" for a in accuracy])
    titles = ("Test faces that stand in training too", "Accuracy of a look-up table")
    for ax, values, text, title in zip(axes, (shares, accuracy), texts, titles):
        bars = ax.bar(names, values, width=0.6, edgecolor="black", color=[VERMILLION if k else BLUE for k in leaky])
        for bar, leak in zip(bars, leaky):
            bar.set_hatch("//" if leak else "")
        ax.bar_label(bars, text, fontsize=9, padding=3)
        ax.set_title(title, fontsize=10)
        ax.set(ylim=(0, 1.15), yticks=np.arange(0, 1.01, 0.2), xlabel="protocol", ylabel="share of test faces")
        ax.spines["left"].set_bounds(0, 1)
        ax.yaxis.set_major_formatter(_percent)
        ax.yaxis.set_tick_params(labelleft=True)
    figure.suptitle(_headline("The leak: over-sampling before the split", note, WIDTH))
    return figure


# --- 03: training ------------------------------------------------------------------------------------------------


@_styled
def plot_history(history, name="", validation="PublicTest", note=""):
    """Draw a training run's accuracy and loss by epoch, side by side, its best epoch marked.

    Parameters
    ----------
    history : DataFrame
        A row for each epoch: epoch, train_loss, train_accuracy, val_loss, val_accuracy; val_macro_f1 and
        learning_rate are drawn where there are.
    name : str
        The run's name, for the title.
    validation : str
        What the val_ columns are measured on.
    note : str

    Returns
    -------
    Figure
        The best epoch is the first of highest val_accuracy.

    Raises
    ------
    ValueError
        A column is missing or there is no epoch.
    """
    history = _columns(history, ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"], "the history")
    epoch = history["epoch"].to_numpy()
    best = int(np.nanargmax(history["val_accuracy"]))
    marker = "o" if len(history) < 16 else ""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.6))
    for ax, quantity in zip(axes, ("accuracy", "loss")):
        ax.plot(epoch, history[f"train_{quantity}"], color=BLUE, linestyle="--", marker=marker, ms=3, label="training")
        ax.plot(epoch, history[f"val_{quantity}"], color=VERMILLION, marker=marker, ms=3, label=validation)
        ax.axvline(epoch[best], color="black", linestyle=":", linewidth=1)
        ax.plot(epoch[best], history[f"val_{quantity}"].iloc[best], "D", color="black", ms=6, zorder=5,
                label=f"best epoch: {epoch[best]}")
        ax.set(xlabel="epoch", ylabel=quantity)
        ax.grid(True, axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    if "val_macro_f1" in history:
        axes[0].plot(epoch, history["val_macro_f1"], color=GREEN, linestyle="-.", marker=marker, ms=3,
                     label=f"{validation} macro F1")
    axes[0].yaxis.set_major_formatter(_percent)
    axes[0].set_ylabel("accuracy, macro F1" if "val_macro_f1" in history else "accuracy")
    axes[0].set_title(f"best {validation} accuracy {history['val_accuracy'].iloc[best]:.1%}", fontsize=10)
    axes[1].set_ylabel("loss (cross-entropy)")
    axes[1].set_title(f"loss at that epoch {history['val_loss'].iloc[best]:.3f}", fontsize=10)
    if "learning_rate" in history:
        right = axes[1].twinx()
        right.plot(epoch, history["learning_rate"], color=GRAY, linewidth=1, drawstyle="steps-post", marker=marker,
                   ms=3)
        right.set_ylim(bottom=0)
        right.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
        right.set_ylabel("learning rate", color="#555555")
        right.tick_params(colors="#555555")
        right.spines["right"].set_visible(True)
        axes[1].plot([], [], color=GRAY, linewidth=1, label="learning rate")
    for ax in axes:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    figure.suptitle(_headline(f"Training of {name}" if name else "Training", note, WIDTH))
    return figure


class _Block:
    """One box of the network's diagram: layers drawn together, where they get their input, what they give."""

    def __init__(self, kind, text, shape, parameters, parents):
        self.kind, self.text, self.shape, self.parameters, self.parents = kind, text, shape, parameters, parents


KIND_COLOURS = {"convolution": "#B3D1E5", "pooling": "#F8DFB0", "dense": "#B3E0D4", "sum or product": "#EFD6E3",
                "other": "#E5E5E5"}
_FOLLOWERS = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "Activation", "ReLU", "LeakyReLU",
              "PReLU", "ELU", "Softmax", "Dropout", "SpatialDropout2D")
_SHORT = {"BatchNormalization": "BN", "LayerNormalization": "LN", "GroupNormalization": "GN", "InputLayer": "input",
          "Flatten": "flatten", "Dense": "dense", "Add": "+", "Multiply": "×", "Softmax": "softmax",
          "Concatenate": "concatenate",
          "GlobalAveragePooling2D": "global average pool", "GlobalMaxPooling2D": "global max pool",
          "MaxPooling2D": "max pool", "AveragePooling2D": "average pool", "Rescaling": "rescale"}


def _times(values):
    return "×".join("?" if v is None else str(v) for v in values)


def _kind(layer):
    name = type(layer).__name__
    if "Conv" in name:
        return "convolution"
    if "Pool" in name:
        return "pooling"
    if name == "Dense":
        return "dense"
    return "sum or product" if name in ("Add", "Multiply", "Concatenate", "Subtract", "Average") else "other"


def _layer_text(layer):
    """Say in a few words what a layer does; its number of filters or units stands in the output shape."""
    name = type(layer).__name__
    strides = getattr(layer, "strides", (1, 1))
    if "Conv" in name:
        words = {"SeparableConv2D": "sep. conv", "DepthwiseConv2D": "depthwise conv"}.get(name, "conv")
        text = f"{words} {_times(layer.kernel_size)}" + (f" /{strides[0]}" if strides[0] > 1 else "")
    elif hasattr(layer, "pool_size"):
        text = f"{_SHORT.get(name, name)} {_times(layer.pool_size)}"
    elif "Dropout" in name:
        text = f"dropout {layer.rate:g}"
    elif name == "Activation":
        text = layer.activation.__name__
    else:
        text = _SHORT.get(name, name)
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return text if name == "Activation" or activation == "linear" else f"{text} · {activation.replace('relu', 'ReLU')}"


def _network_blocks(model):
    """Return a network as blocks in order: normalisation, activation and dropout join the layer they follow."""
    import keras

    # A sequential model's own list lacks its input, and neither list has the operations between layers.
    layers = keras.Model(model.inputs, model.outputs).operations
    for layer in layers:
        if isinstance(layer, keras.Model):
            raise ValueError(f"network {model.name!r} is not flat: draw the network {layer.name!r} inside it by itself")
    place = {id(tensor): i for i, layer in enumerate(layers) for tensor in keras.tree.flatten(layer.output)}
    parents = [[] if type(layer).__name__ == "InputLayer" else
               [place[id(tensor)] for tensor in keras.tree.flatten(layer.input) if id(tensor) in place]
               for layer in layers]
    children = [[i for i, above in enumerate(parents) if j in above] for j in range(len(layers))]

    def gate(i):
        """Return the layers between a product and the other of its inputs, when they are a chain beside it."""
        for start, other in ((0, 1), (1, 0)):
            chain, j = [], parents[i][start]
            while j != parents[i][other] and len(parents[j]) == 1 and len(children[j]) == 1:
                chain.append(j)
                j = parents[j][0]
            if chain and j == parents[i][other]:
                return chain, j
        return [], None

    gated = {}
    for i, layer in enumerate(layers):
        if type(layer).__name__ == "Multiply" and len(parents[i]) == 2:
            chain, source = gate(i)
            if chain:
                parents[i] = [source]
                children[source] = [i] + [c for c in children[source] if c not in (i, chain[-1])]
                gated[i] = chain
    hidden = {j for chain in gated.values() for j in chain}

    blocks, block_of = [], {}
    for i, layer in enumerate(layers):
        if i in hidden:
            continue
        parameters = sum(layers[j].count_params() for j in [i, *gated.get(i, [])] if hasattr(layers[j], "count_params"))
        shape = _times(keras.tree.flatten(layer.output)[0].shape[1:])
        text = _layer_text(layer)
        if i in gated:
            pooled = any("GlobalAverage" in type(layers[j]).__name__ for j in gated[i])
            text = "squeeze-excite ×" if pooled else "gate ×"
        above = parents[i]
        if (type(layer).__name__ in _FOLLOWERS and len(above) == 1 and len(children[above[0]]) == 1
                and blocks[block_of[above[0]]].text != "input"):
            block = blocks[block_of[above[0]]]
            block.text, block.shape = f"{block.text} · {text}", shape
            block.parameters += parameters
            block_of[i] = block_of[above[0]]
        else:
            block_of[i] = len(blocks)
            blocks.append(_Block(_kind(layer), text, shape, parameters, [block_of[j] for j in above]))
    return blocks


def _main_path_and_skips(blocks):
    """Return the longest way through the network, and the short cuts beside it as (from, to, text)."""
    length, before = [], []
    for block in blocks:
        longest = max(block.parents, key=lambda j: length[j], default=None)
        before.append(longest)
        length.append(1 if longest is None else length[longest] + 1)
    path, j = [], len(blocks) - 1
    while j is not None:
        path.append(j)
        j = before[j]
    path.reverse()
    at = {j: k for k, j in enumerate(path)}

    def sources(j, text):
        if j in at:
            return [(at[j], text)]
        text = [f"{blocks[j].text}", *text]
        return [found for parent in blocks[j].parents for found in sources(parent, text)]

    skips = []
    for k, j in enumerate(path):
        for parent in blocks[j].parents:
            if parent != before[j]:
                skips += [(start, k, " · ".join(text)) for start, text in sources(parent, [])]
    return [blocks[j] for j in path], skips


def _wrap_columns(n, skips, rows):
    """Return where each column of the diagram starts: about equal in height, with no short cut that passes a break.

    A short cut may start at the last box of a column; a column grows beyond `rows` where there is no such break.
    """
    free = [i for i in range(1, n) if not any(a < i - 1 and i <= b for a, b, _ in skips)]
    starts, columns = [0], -(-n // rows)
    while n - starts[-1] > rows:
        wanted = starts[-1] + -(-(n - starts[-1]) // max(columns - len(starts) + 1, 2))
        later = [i for i in free if i > starts[-1]]
        if not later:
            break
        starts.append(min(later, key=lambda i: (abs(i - wanted), i)))
    return starts


@_styled
def plot_network(model, rows=14, note="", ax=None):
    """Draw a network as a diagram: boxes top to bottom and left to right, short cuts beside them.

    Normalisation, activation and dropout stand in the box of the layer they follow. Each box says what the layers do,
    the shape they give and how many parameters they have. ``/2`` is a stride of 2.

    Parameters
    ----------
    model : keras.Model
        Built; functional and flat, or sequential.
    rows : int
        Boxes in a column at most.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        The model is not built, is no stack or graph of layers, or holds another model.
    """
    if not getattr(model, "inputs", None):
        raise ValueError(f"{getattr(model, 'name', model)!r} has no layers to draw: give a built functional or "
                         "sequential Keras model")
    blocks, skips = _main_path_and_skips(_network_blocks(model))
    starts = _wrap_columns(len(blocks), skips, rows)
    column = np.searchsorted(starts, range(len(blocks)), side="right") - 1
    row = np.arange(len(blocks)) - np.take(starts, column)

    # Lanes: short cuts that pass each other run side by side.
    lanes, lane_of = [], []
    for a, b, _ in skips:
        lane = next((k for k, taken in enumerate(lanes) if all(b <= c or d <= a for c, d in taken)), len(lanes))
        lanes[lane:lane + 1] = [[*(lanes[lane] if lane < len(lanes) else []), (a, b)]]
        lane_of.append(lane)
    width, height, step_y = 2.35, 0.46, 0.66
    step_x = width + 0.3 + 0.28 * len(lanes) + (0.35 if skips else 0)
    total_width, total_height = (column.max() + 1) * step_x, (row.max() + 1) * step_y
    ax = _axes(ax, max(total_width, 4.8) + 0.3, total_height + 0.85)
    ax.set(xlim=(-0.05, total_width), ylim=(total_height - 0.05, -0.12))
    ax.set_axis_off()
    left, top = column * step_x, row * step_y
    line = {"color": "black", "linewidth": 1}
    arrow = {**line, "arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 8}
    between = step_x - (0.45 if skips else 0.12)  # from a box's left edge to the line up to the next column

    for i, block in enumerate(blocks):
        ax.add_patch(FancyBboxPatch((left[i], top[i]), width, height, boxstyle="round,pad=0,rounding_size=0.06",
                                    facecolor=KIND_COLOURS[block.kind], edgecolor="#555555", linewidth=0.8))
        size = SMALL if len(block.text) <= 36 else SMALL * 36 / len(block.text)
        ax.text(left[i] + width / 2, top[i] + 0.14, block.text, ha="center", va="center", fontsize=size, weight="bold")
        count = f"   {block.parameters:,} parameters" if block.parameters else ""
        ax.text(left[i] + width / 2, top[i] + 0.33, block.shape + count, ha="center", va="center", fontsize=SMALL)
        if not i:
            continue
        if column[i] == column[i - 1]:
            ax.annotate("", (left[i] + width / 2, top[i]), (left[i] + width / 2, top[i - 1] + height), arrowprops=arrow)
        else:
            x, y = left[i - 1] + width / 2, top[i - 1] + height
            up = left[i - 1] + between
            ax.plot([x, x, up, up, left[i] + width / 2], [y, y + 0.1, y + 0.1, -0.09, -0.09], **line)
            ax.annotate("", (left[i] + width / 2, 0), (left[i] + width / 2, -0.09), arrowprops=arrow)
    line, arrow = {**line, "color": VERMILLION}, {**arrow, "color": VERMILLION}
    for (a, b, text), lane in zip(skips, lane_of):
        end = top[b] + height * 0.3
        if column[a] == column[b]:
            side, x = 1, left[b] + width + 0.14 + 0.28 * lane
            start = top[a] + height * 0.7
            ax.plot([left[a] + width, x, x], [start, start, end], **line)
        else:  # from the last box of a column: the line to the next column carries what the short cut takes
            side, x, start = -1, left[b] - 0.14, -0.09
            ax.plot([x, x], [start, end], **line)
        ax.annotate("", (left[b] + (width if side > 0 else 0), end), (x, end), arrowprops=arrow)
        ax.text(x + 0.1 * side, (start + end) / 2, text, rotation=270, ha="center", va="center", fontsize=SMALL - 1,
                color=VERMILLION)
    handles = [Rectangle((0, 0), 1, 1, facecolor=KIND_COLOURS[kind], edgecolor="#555555", linewidth=0.8, label=kind)
               for kind in KIND_COLOURS if any(block.kind == kind for block in blocks)]
    if skips:
        handles.append(plt.Line2D([], [], label="short cut", **line))
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), columnspacing=1, handlelength=1.2,
              ncols=6 if len(starts) > 1 or len(handles) < 5 else 3)
    _title(ax, f"{model.name}: {model.count_params():,} parameters", note)
    return ax


# --- 04: comparing networks --------------------------------------------------------------------------------------


def _models_table(table, wanted):
    table = _columns(table, wanted, "the table of models").copy()
    for name in ("accuracy", "low", "high", "clean_accuracy"):
        if name in table:
            table[name] = _fractions(table[name], name)
    return table


@_styled
def plot_comparison(table, marks=PUBLISHED_MARKS, note="", ax=None):
    """Draw the accuracy of networks with 95 % intervals, on PrivateTest as published and clean, beside published marks.

    Parameters
    ----------
    table : DataFrame
        A row for each run (`evaluate.results_table`): name, accuracy, low, high (its interval), clean_accuracy (on
        clean PrivateTest; may be missing), parameters, protocol ("official" or "leaky"). Fractions.
    marks : sequence of Mark
        Reference lines.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes
        From top to bottom the marks, the official runs and the leaky ones, each best first. The leaky ones are hollow,
        hatched and called an exhibit: they are scored on faces that stand in their training part.

    Raises
    ------
    ValueError
        A column is missing, a score is no fraction, or a protocol is unknown.
    """
    table = _models_table(table, ["name", "accuracy", "low", "high", "clean_accuracy", "parameters", "protocol"])
    unknown = set(table["protocol"]) - {"official", "leaky"}
    if unknown:
        raise ValueError(f"protocol must be official or leaky, got {', '.join(map(str, sorted(unknown)))}")
    marks = sorted(marks, key=lambda mark: -mark.accuracy)
    rows = [("head", "Published")] + [("mark", mark) for mark in marks] if marks else []
    for kind, head in (("official", "Official split"), ("leaky", "Exhibit: leaky split")):
        part = table[table["protocol"] == kind].sort_values("accuracy", ascending=False, kind="stable")
        if len(part):
            rows += [("head", head)] + [(kind, row) for row in part.itertuples()]
    ax = _axes(ax, WIDTH, 1.3 + 0.27 * len(rows))
    names, values = [], []
    for y, (kind, row) in enumerate(rows):
        if kind == "head":
            names.append(row)
            values.append({"Published": "accuracy", "Official split": "accuracy [95 %]    clean"}.get(
                row, "accuracy [95 %]  unseen"))
            ax.axhline(y - 0.5, color="black", linewidth=0.8)
        elif kind == "mark":
            names.append(f"{row.name} ({row.source})")
            values.append(f"{row.accuracy:.1%}" + (f" ± {row.margin:.0%}" if row.margin else ""))
            ax.axvline(row.accuracy, color=GRAY, linestyle="--", linewidth=0.8, zorder=0.6)
            if row.margin:
                ax.axvspan(row.accuracy - row.margin, row.accuracy + row.margin, color=GRAY, alpha=0.15, linewidth=0,
                           zorder=0.5)
            ax.plot(row.accuracy, y, "|", color="black", ms=12, mew=2)
        else:
            leaky = kind == "leaky"
            names.append(f"{row.name} ({row.parameters / 1e6:.2g} M)")
            clean = "     –" if pd.isna(row.clean_accuracy) else f"{row.clean_accuracy:6.1%}"
            values.append(f"{row.accuracy:.1%} [{100 * row.low:.1f}, {100 * row.high:.1f}]  {clean}")
            colour = VERMILLION if leaky else BLUE
            if leaky:
                ax.barh(y, row.high - row.low, left=row.low, height=0.5, facecolor="none", edgecolor=colour,
                        hatch="////", linewidth=0.8)
            else:
                ax.plot([row.low, row.high], [y, y], color=colour, linewidth=2.5, solid_capstyle="butt")
            ax.plot(row.accuracy, y, "o", color=colour, ms=7, markerfacecolor="white" if leaky else colour, mew=1.5)
            ax.plot(row.clean_accuracy, y, "D", color=ORANGE, markerfacecolor="white" if leaky else ORANGE,
                    markeredgecolor=ORANGE if leaky else "black", mew=1.2 if leaky else 0.7, ms=6, zorder=3)
    handles = [plt.Line2D([], [], color=BLUE, marker="o", ms=7, linewidth=2.5, label="PrivateTest, 95 % interval"),
               plt.Line2D([], [], color=ORANGE, marker="D", markeredgecolor="black", mew=0.7, ms=6, linestyle="",
                          label="clean: without faces seen in training")]
    if "leaky" in set(table["protocol"]):
        handles += [plt.Line2D([], [], color=VERMILLION, marker="o", markerfacecolor="white", ms=7, mew=1.5,
                               linestyle="", label="leaky test part"),
                    plt.Line2D([], [], color=ORANGE, marker="D", markerfacecolor="white", mew=1.2, ms=6, linestyle="",
                               label="of it, faces never seen: other classes")]
    if marks:
        handles.append(plt.Line2D([], [], color=GRAY, linestyle="--", linewidth=0.8, label="published; human ± 5 %"))
    ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel="accuracy")
    ax.set_yticks(range(len(rows)), names)
    right = ax.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), values)
    for side in (ax, right):
        side.tick_params(axis="y", length=0)
        for label, (kind, _) in zip(side.get_yticklabels(), rows):
            label.set_weight("bold" if kind == "head" else "normal")
    for spine in (ax.spines["left"], right.spines["right"]):
        spine.set_visible(False)
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(_percent)
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.4, -0.55 / (0.27 * len(rows))), ncols=2)
    _title(ax, "Accuracy beside the published marks", note)
    return ax


def _place_labels(ax, x, y, radii, texts):
    """Write a text beside each marker (radii in points), on the first side where it meets no other text or marker and
    no other marker comes between.
    """
    figure = ax.figure
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    pixels = figure.dpi / 72
    centres = ax.transData.transform(np.column_stack([x, y]))
    taken = [Bbox.from_extents(px - r * pixels, py - r * pixels, px + r * pixels, py + r * pixels)
             for (px, py), r in zip(centres, radii)]
    inside = ax.get_window_extent(renderer)
    sides = [(1, 0, "left", "center"), (-1, 0, "right", "center"), (0, 1, "center", "bottom"), (0, -1, "center", "top"),
             (0.8, 0.8, "left", "bottom"), (0.8, -0.8, "left", "top"), (-0.8, 0.8, "right", "bottom"),
             (-0.8, -0.8, "right", "top")]
    for i, text in enumerate(texts):
        for dx, dy, ha, va in sides:
            label = ax.annotate(text, (x[i], y[i]), ((radii[i] + 3) * dx, (radii[i] + 3) * dy), ha=ha, va=va,
                                textcoords="offset points", fontsize=9,
                                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
            box = label.get_window_extent(renderer)
            beside = np.clip(centres[i], box.min, box.max)
            away = np.hypot(*(centres - beside).T) - np.multiply(radii, pixels)
            free = away[i] <= away.min() + 1 and not any(box.overlaps(other) for other in taken)
            if free and inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1:
                break
            if (dx, dy, ha, va) != sides[-1]:
                label.remove()
        taken.append(box)


@_styled
def plot_accuracy_vs_cost(table, cost="cpu_ms", note="", ax=None):
    """Draw the accuracy of networks against what one face costs; the marker's area grows with the parameters.

    Parameters
    ----------
    table : DataFrame
        A row for each network: name, accuracy (fraction), parameters and the cost's column. Rows of protocol
        "leaky" are left out: their accuracy ranks nothing.
    cost : str
        "cpu_ms" (milliseconds a face), "mflops" (10^6 floating point operations a face), or another column.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes
        The line joins the networks that none beats in both accuracy and cost.

    Raises
    ------
    ValueError
        A column is missing, an accuracy is no fraction or a cost is not positive.
    """
    table = _models_table(table, ["name", "accuracy", "parameters", cost])
    if "protocol" in table:
        table = _columns(table[table["protocol"] != "leaky"], [], "the table of models on the official split")
    if not (table[cost] > 0).all():
        raise ValueError(f"{cost} must be positive to be drawn on a log scale, got {table[cost].min()}")
    ax = _axes(ax, WIDTH, 4.4)
    table = table.sort_values([cost, "accuracy"], ascending=[True, False], kind="stable")
    x, y = table[cost].to_numpy(float), table["accuracy"].to_numpy(float)
    best = np.maximum.accumulate(y)
    front = np.r_[True, best[1:] > best[:-1]]
    ax.plot(x[front], y[front], color=GRAY, linestyle=":", linewidth=1.2, zorder=1, label="none is better and cheaper")

    def area(parameters):
        return 25 + 60 * np.sqrt(np.asarray(parameters) / 1e6)

    ax.scatter(x, y, s=area(table["parameters"]), color=BLUE, alpha=0.8, edgecolor="black", linewidth=0.7, zorder=2)
    for millions in (0.1, 1, 10):
        ax.scatter([], [], s=area(millions * 1e6), color=BLUE, alpha=0.8, edgecolor="black", linewidth=0.7,
                   label=f"{millions:g} M parameters")
    ax.set_xscale("log")
    ax.margins(x=0.14, y=0.14)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(_percent)
    names = {"cpu_ms": "CPU time of one face (ms, log scale)", "mflops": "MFLOPs of one face (log scale)"}
    ax.set(xlabel=names.get(cost, f"{cost} (log scale)"), ylabel="accuracy on PrivateTest")
    ax.grid(True)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4, columnspacing=1.2)
    _title(ax, "Accuracy against cost", note)
    _place_labels(ax, x, y, np.sqrt(area(table["parameters"]) / np.pi), list(table["name"]))
    return ax


# --- 05: evaluating one ------------------------------------------------------------------------------------------


@_styled
def plot_confusion(matrix, normalise=False, note="", ax=None):
    """Draw a confusion matrix.

    Parameters
    ----------
    matrix : int array (7, 7)
        Faces by true (rows) and predicted (columns) emotion.
    normalise : bool
        Show percentages of each row (the diagonal is recall) in place of counts.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Another shape, or no counts.
    """
    matrix = _table_of_counts(matrix, "the confusion matrix")
    ax = _axes(ax, 6.6, 5.4)
    if normalise:
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        text = [[f"{share:.0%}" for share in line] for line in shares]
        _heatmap(pd.DataFrame(shares), text, ax, "share of the true emotion's faces", _percent, vmax=1)
    else:
        _heatmap(pd.DataFrame(matrix), [[f"{n:,}" for n in line] for line in matrix], ax, "faces", "{x:,.0f}")
    ax.set_xticks(ax.get_xticks(), EMOTIONS, rotation=30, ha="right", rotation_mode="anchor")
    ax.set_yticks(ax.get_yticks(), EMOTIONS)
    ax.set(xlabel="predicted emotion", ylabel="true emotion")
    share = f"{np.trace(matrix) / max(matrix.sum(), 1):.1%}"
    _title(ax, f"Confusion matrix by true emotion: {share} right" if normalise else
           f"Confusion matrix: {share} of {matrix.sum():,} faces right", note)
    return ax


@_styled
def plot_per_class(table, note="", ax=None):
    """Draw precision, recall and F1 of each emotion, with intervals where given.

    Parameters
    ----------
    table : DataFrame
        Rows `EMOTIONS`; columns precision, recall, f1 (fractions); optionally support, and for each score
        its interval, e.g. f1_low and f1_high (`evaluate.per_class_table`).
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        An emotion or a column is missing, or a score is no fraction.
    """
    scores = {"precision": ORANGE, "recall": COLOURS["surprise"], "f1": BLUE}
    table = _columns(_by_emotion(table, "per-class scores"), list(scores), "per-class scores")
    ax = _axes(ax, WIDTH, 4.2)
    for i, (score, colour) in enumerate(scores.items()):
        values = _fractions(table[score], score)
        x = np.arange(N_CLASSES) + (i - 1) * 0.28
        ax.bar(x, values, 0.28, color=colour, edgecolor="white", label={"f1": "F1"}.get(score, score))
        if f"{score}_low" in table and f"{score}_high" in table:
            low, high = (_fractions(table[f"{score}_{end}"], f"{score}_{end}") for end in ("low", "high"))
            ax.vlines(x, low, high, color="black", linewidth=1.2)
        for place, value in zip(x, values):
            ax.text(place, 0.012, f"{100 * value:.0f}", ha="center", va="bottom", fontsize=SMALL,
                    color="white" if colour == BLUE and value > 0.07 else "black", weight="bold")
    names = [f"{e}\n{int(table['support'][e]):,} faces" if "support" in table else e for e in EMOTIONS]
    ax.set_xticks(range(N_CLASSES), names)
    ax.set(ylim=(0, 1), xlabel="emotion", ylabel="score", xlim=(-0.55, N_CLASSES - 0.45))
    ax.yaxis.set_major_formatter(_percent)
    ax.grid(True, axis="y")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    intervals = any(f"{score}_low" in table for score in scores)
    _title(ax, "Scores of each emotion" + (", lines: 95 % intervals" if intervals else ""), note)
    return ax


@_styled
def plot_reliability(bins, ece, note=""):
    """Draw how often the network is right at each confidence, and how often it is that sure; two panels.

    Parameters
    ----------
    bins : DataFrame
        A row for each bin of confidence that has faces (`evaluate.reliability`): low, high (its edges), n (faces),
        confidence (mean), accuracy.
    ece : float
        Expected calibration error, a fraction.
    note : str

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        A column is missing, or values are no fractions.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    bins = _columns(bins, ["low", "high", "n", "confidence", "accuracy"], "the reliability diagram")
    for name in ("low", "high", "confidence", "accuracy"):
        _fractions(bins[name], name)
    _fractions([ece], "ece")
    figure, (ax, below) = plt.subplots(2, 1, figsize=(6.4, 6), sharex=True, height_ratios=[3, 1])
    place = {"x": bins["low"], "width": bins["high"] - bins["low"], "align": "edge", "edgecolor": "black",
             "linewidth": 0.8}
    ax.bar(height=bins["accuracy"], color=BLUE, label="accuracy", **place)
    gap = bins["confidence"] - bins["accuracy"]
    ax.bar(height=gap, bottom=bins["accuracy"], **{**place, "edgecolor": VERMILLION}, facecolor="none", hatch="//",
           label="gap to confidence")
    ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="calibrated")
    ax.set(ylabel="share of right faces", xlim=(0, 1.005), ylim=(0, 1))
    ax.yaxis.set_major_formatter(_percent)
    ax.legend(loc="upper left")
    below.bar(height=bins["n"], color=GRAY, **place)
    below.set(xlabel="confidence (probability of the predicted emotion)", ylabel="faces")
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.xaxis.set_major_formatter(_percent)
    _title(ax, f"Reliability; expected calibration error {ece:.1%}", note)
    return figure


@_styled
def plot_face_examples(pixels, true, predicted, probability=None, columns=6, note="", title=None, ax=None):
    """Draw faces with their true and predicted emotions; framed blue where right, orange-red where wrong.

    Parameters
    ----------
    pixels : ndarray
        uint8 0-255 or float 0-1, (N, H, W), (N, H, W, 1) or RGB (N, H, W, 3).
    true : int array (N,) or None
        None, or -1 for a face, where the emotion is not known.
    predicted : int array (N,)
    probability : float array (N,), optional
        Of the predicted emotion.
    columns : int
    note : str
    title : str, optional
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Arrays that do not fit each other, or values out of range.
    """
    faces = _faces(pixels)
    n = len(faces)
    true = np.full(n, -1) if true is None else _labels(true, n, "true")
    predicted = _labels(predicted, n, "predicted")
    columns = min(columns, n)
    captions = _verdicts(true, predicted, probability, narrow=columns > 6)
    lines = 1 + max(caption.count("\n") for caption in captions)
    sheet = _Sheet(ax, faces, columns, caption_lines=lines + 0.4, inches=1.2)
    for i, caption in enumerate(captions):
        colour = GRAY if true[i] < 0 else RIGHT if true[i] == predicted[i] else WRONG
        sheet.frame(i, colour)
        sheet.caption(i, caption)
    if title is None:
        known = true >= 0
        right = true[known] == predicted[known]
        title = ("Predicted emotions" if not len(right) else "Correctly classified faces" if right.all() else
                 "Wrongly classified faces" if not right.any() else "Faces with true and predicted emotions")
    _title(sheet.ax, title, note)
    return sheet.ax


def _verdicts(true, predicted, probability, narrow):
    """Return a caption of up to three lines for each face; narrow faces have the probability on its own."""
    if probability is not None:
        probability = _fractions(probability, "probability")
        if probability.shape != predicted.shape:
            raise ValueError(f"probability must be {len(predicted)} numbers, one a face, got shape {probability.shape}")
    captions = []
    for i, label in enumerate(predicted):
        sure = "" if probability is None else ("\n" if narrow else " ") + f"{probability[i]:.0%}"
        captions.append((f"true: {_name(true[i])}\n" if true[i] >= 0 else "") + f"pred: {_name(label)}{sure}")
    return captions


@_styled
def plot_confused_pairs(matrix, top=10, note="", ax=None):
    """Draw the most frequent mistakes of a confusion matrix.

    Parameters
    ----------
    matrix : int array (7, 7)
        Faces by true (rows) and predicted (columns) emotion.
    top : int
        Mistakes to draw; those that never happened are left out.
    note : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Another shape, no counts, or no mistake at all.
    """
    matrix = _table_of_counts(matrix, "the confusion matrix")
    wrong = matrix - np.diag(np.diag(matrix))
    order = [divmod(int(k), N_CLASSES) for k in np.argsort(-wrong, axis=None, kind="stable")[:top]]
    order = [(i, j) for i, j in order if wrong[i, j]]
    if not order:
        raise ValueError("the confusion matrix holds no mistake: nothing to draw")
    ax = _axes(ax, WIDTH, 1.1 + 0.3 * len(order))
    counts = [wrong[i, j] for i, j in order]
    bars = ax.barh([f"{EMOTIONS[i]} → {EMOTIONS[j]}" for i, j in order], counts, height=0.7,
                   color=[COLOURS[EMOTIONS[i]] for i, _ in order])
    ax.bar_label(bars, [f"{wrong[i, j]:,} ({wrong[i, j] / matrix[i].sum():.0%} of {EMOTIONS[i]})" for i, j in order],
                 fontsize=9, padding=4)
    ax.invert_yaxis()
    ax.set(xlim=(0, max(counts) * 1.3), xlabel="faces", ylabel="true → predicted")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    _title(ax, f"The {len(order)} most frequent mistakes", note)
    return ax


@_styled
def plot_gradcam(pixels, heatmaps, true=None, predicted=None, probability=None, columns=6, note="",
                 title="Grad-CAM: what spoke for the predicted emotion", ax=None):
    """Draw faces, each above itself with its heatmap over it.

    Parameters
    ----------
    pixels : ndarray
        uint8 0-255 or float 0-1, (N, H, W), (N, H, W, 1) or RGB (N, H, W, 3).
    heatmaps : float array (N, H, W)
        In [0, 1] (`explain.grad_cam`).
    true, predicted : int array (N,), optional
    probability : float array (N,), optional
        Of the predicted emotion.
    columns : int
    note : str
    title : str
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Arrays that do not fit each other, or values out of range.
    """
    faces = _levels(_faces(pixels))
    n = len(faces)
    heatmaps = _fractions(heatmaps, "heatmaps")
    if heatmaps.shape != faces.shape[:3]:
        raise ValueError(f"heatmaps must be one a face, shape {faces.shape[:3]}, got {heatmaps.shape}")
    rgb = faces if faces.ndim == 4 else np.repeat(faces[..., None], 3, axis=-1)
    # Colour only where there is heat: the rest of the face stays as it is.
    colour, alpha = plt.get_cmap("viridis")(heatmaps)[..., :3], 0.75 * heatmaps[..., None]
    over = (1 - alpha) * rgb + alpha * colour
    tiles = np.concatenate([rgb, np.ones_like(rgb[:, :2]), over], axis=1)
    captions, columns = [], min(columns, n)
    if predicted is not None:
        predicted = _labels(predicted, n, "predicted")
        true = np.full(n, -1) if true is None else _labels(true, n, "true")
        captions = _verdicts(true, predicted, probability, narrow=columns > 5)
    lines = max((caption.count("\n") + 1.4 for caption in captions), default=0)
    sheet = _Sheet(ax, tiles, columns, caption_lines=lines, inches=1.2, beside=0.9)
    for i, caption in enumerate(captions):
        sheet.caption(i, caption)
        if true[i] >= 0:
            sheet.frame(i, RIGHT if true[i] == predicted[i] else WRONG)
    scale = plt.cm.ScalarMappable(plt.Normalize(0, 1), "viridis")
    sheet.ax.figure.colorbar(scale, ax=sheet.ax, label="heat", shrink=0.8, aspect=18)
    _title(sheet.ax, title, note)
    return sheet.ax


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
