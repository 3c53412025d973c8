"""Figures made of faces."""
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from ..labels import EMOTIONS, N_CLASSES
from .checks import check_faces, check_fractions, check_labels
from .style import BLUE, GRAY, RIGHT, SMALL, WIDTH, WRONG, new_axes, titled, use_style

LINE = SMALL * 1.3
"""Height of one line of a caption, in points."""
LABEL_NAMES = (*EMOTIONS, "unlabelled")  # a label of -1 picks the last one


def _rgb(faces: np.ndarray) -> np.ndarray:
    """Return faces as fractions (N, H, W, 3)."""
    faces = faces / 255 if faces.dtype == np.uint8 else faces.astype(float)
    return faces if faces.ndim == 4 else np.repeat(faces[..., None], 3, axis=-1)


class _FaceGrid:
    """Faces, or taller tiles, in rows and columns on one Axes; positions are in widths of a tile, y downward.

    One image for all faces takes a tenth of the time of one Axes for each face, and keeps the PDF small. Each tile has
    a caption below it and the colour of its frame ("": none). `gap` between tiles is in widths of a tile, `space` below
    captions in lines; a tile is `inches` wide at most; inches `beside` and `above` the tiles are left free.
    """

    def __init__(self, ax: Axes | None, tiles: np.ndarray, columns: int, *, captions: Sequence[str] = (),
                 frames: Sequence[str] = (), gap: float = 0.06, space: float = 0.4, inches: float = 0.95,
                 beside: float = 0.0, above: float = 0.0):
        tiles = _rgb(tiles)
        tall, wide = tiles.shape[1:3]
        rows = -(-len(tiles) // columns)
        inches = min(inches, (WIDTH - beside - 0.2) / columns / (1 + gap))
        lines = max(caption.count("\n") + 1 + space for caption in captions) if captions else 0
        step_y, step_x = tall + round(wide * (gap + lines * LINE / 72 / inches)), wide + round(wide * gap)
        image = np.ones((rows * step_y, columns * step_x, 3))
        for i, tile in enumerate(tiles):
            y, x = i // columns * step_y, i % columns * step_x
            image[y:y + tall, x:x + wide] = tile
        self.columns, self.tall, self.step_x, self.step_y = columns, tall / wide, step_x / wide, step_y / wide
        width, height = columns * self.step_x, rows * self.step_y
        self.ax = new_axes(ax, np.clip(width * inches + beside + 0.2, 4.8, WIDTH), height * inches + above + 0.55)
        self.ax.imshow(image, extent=(0, width, height, 0), interpolation="nearest")
        # A margin of half the gap, so that frames at the edge are not cut.
        self.ax.set(xticks=[], yticks=[], xlim=(-gap / 2, width - gap / 2), ylim=(height, -gap / 2))
        self.ax.spines[:].set_visible(False)
        self.ax.tick_params(length=0)
        corners = [(i % columns * self.step_x, i // columns * self.step_y) for i in range(len(tiles))]
        for (x, y), caption in zip(corners, captions):
            # Line by line from the baseline: the top of a text depends on its letters.
            for k, line in enumerate(caption.split("\n"), start=1):
                self.ax.annotate(line, (x + 0.5, y + self.tall), (0, -k * LINE - 1), textcoords="offset points",
                                 ha="center", va="baseline", fontsize=SMALL)
        for corner, colour in zip(corners, frames):
            if colour:
                self.ax.add_patch(Rectangle(corner, 1, self.tall, fill=False, edgecolor=colour, linewidth=2))

    def name_rows(self, names: Sequence[str]) -> None:
        self.ax.set_yticks(np.arange(len(names)) * self.step_y + self.tall / 2, names)

    def name_columns(self, names: Sequence[str]) -> None:
        self.ax.set_xticks(np.arange(len(names)) * self.step_x + 0.5, names)
        self.ax.xaxis.tick_top()
        self.ax.tick_params(length=0)

    def add_colorbar(self, cmap: str, low: float, high: float, label: str, aspect: float,
                     location: str = "right") -> None:
        scale = plt.cm.ScalarMappable(plt.Normalize(low, high), cmap)
        self.ax.figure.colorbar(scale, ax=self.ax, label=label, shrink=0.8, aspect=aspect, location=location)


@use_style()
def plot_faces(pixels: np.ndarray, emotion: np.ndarray, per_class: int = 10, seed: int = 0, note: str = "",
               ax: Axes | None = None) -> Axes:
    """Draw randomly chosen faces, one row for each emotion that occurs; a rare emotion shows all it has.

    `pixels` are (N, H, W), (N, H, W, 1) or RGB (N, H, W, 3), uint8 0-255 or float 0-1, in all figures of faces.
    """
    faces = check_faces(pixels)
    emotion = check_labels(emotion, len(faces))
    rng = np.random.default_rng(seed)
    labels = np.unique(emotion)
    shown = np.ones((len(labels), per_class, *faces.shape[1:3], 3))
    for row, label in zip(shown, labels):
        chosen = rng.permutation(np.flatnonzero(emotion == label))[:per_class]
        row[:len(chosen)] = _rgb(faces[chosen])
    grid = _FaceGrid(ax, np.concatenate(shown), per_class, inches=0.7, beside=0.8)
    grid.name_rows([EMOTIONS[label] for label in labels])
    return titled(grid.ax, f"{per_class} faces of each emotion, chosen by chance", note)


@use_style()
def plot_mean_faces(pixels: np.ndarray, emotion: np.ndarray, note: str = "", ax: Axes | None = None) -> Axes:
    """Draw the mean face of each emotion and, below it, where it is lighter or darker than the mean of all.

    Faces must be gray; an emotion without faces is a ValueError.
    """
    faces = check_faces(pixels, gray=True)
    emotion = check_labels(emotion, len(faces))
    counts = np.array([np.sum(emotion == label) for label in range(N_CLASSES)])
    if not counts.all():
        absent = ", ".join(EMOTIONS[label] for label in np.flatnonzero(counts == 0))
        raise ValueError(f"no mean face for {absent}: no face has that label")
    means = np.stack([faces[emotion == label].mean(axis=0) for label in range(N_CLASSES)])
    means = means / 255 if faces.dtype == np.uint8 else means
    difference = means - np.average(means, axis=0, weights=counts)
    limit = np.abs(difference).max() or 1.0
    colours = plt.get_cmap("PuOr")(0.5 + difference / limit / 2)[..., :3]
    # Mean faces have little contrast. All are stretched by the same amount to the whole gray range.
    stretched = (means - means.min()) / (np.ptp(means) or 1.0)
    grid = _FaceGrid(ax, np.concatenate([_rgb(stretched), colours]), N_CLASSES, beside=1.0, above=1.1)
    grid.name_rows(["mean face,\ncontrast\nstretched", "minus the\nmean of\nall faces"])
    grid.name_columns([f"{e}\n{n:,}" for e, n in zip(EMOTIONS, counts)])
    grid.add_colorbar("PuOr", -limit * 255, limit * 255, "gray levels darker (−) or lighter (+) than the mean of all",
                      aspect=40, location="bottom")
    return titled(grid.ax, "The mean face of each emotion", note)


@use_style()
def plot_duplicate_pairs(pixels: np.ndarray, pairs: ArrayLike, emotion: np.ndarray, usage: np.ndarray, limit: int = 8,
                         note: str = "", title: str = "Pairs of copies", ax: Axes | None = None) -> Axes:
    """Draw pairs of (nearly) the same face side by side with labels and usages; a frame says that the labels differ.

    `pairs` are indices (P, 2) into `pixels`, such as ``data.near_duplicates(pixels)[["i", "j"]]``; the first `limit`
    are drawn. `usage` are names (N,), such as "Training".
    """
    faces = check_faces(pixels)
    emotion, usage = check_labels(emotion, len(faces)), np.asarray(usage)
    if usage.shape != (len(faces),):
        raise ValueError(f"usage must be {len(faces)} names, one a face, got shape {usage.shape}")
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise ValueError(f"pairs must be (P, 2) indices of at least one pair, got shape {pairs.shape}")
    if pairs.min() < 0 or pairs.max() >= len(faces):
        raise ValueError(f"pairs must be indices 0 to {len(faces) - 1}, got {pairs.min()} to {pairs.max()}")
    shown = pairs[:limit]
    order = shown.ravel()
    differ = emotion[shown[:, 0]] != emotion[shown[:, 1]]
    grid = _FaceGrid(ax, faces[order], min(8, len(order)), gap=0.12, space=0.3,
                     captions=[f"{LABEL_NAMES[emotion[face]]}\n{usage[face]}" for face in order],
                     frames=np.where(np.repeat(differ, 2), WRONG, "").tolist())
    for column in range(2, grid.columns, 2):
        grid.ax.axvline(column * grid.step_x - 0.06, color="black", linewidth=1)
    return titled(grid.ax, f"{title}: {len(shown)} of {len(pairs):,}; framed where labels differ", note)


@use_style()
def plot_augmentation(original: np.ndarray, augmented: np.ndarray, note: str = "", title: str = "Augmentation",
                      ax: Axes | None = None) -> Axes:
    """Draw faces beside their augmented versions: the original, framed, first in its row; one face fills several rows.

    `augmented` has K versions of each face, (N, K, …); or `original` is one face (H, W) and `augmented` (K, H, W).
    """
    original, augmented = np.asarray(original), np.asarray(augmented)
    one = original.ndim == 2
    if one:
        original, augmented = original[None], augmented[None]
    if augmented.ndim != original.ndim + 1 or (augmented.shape[:1] + augmented.shape[2:]) != original.shape:
        raise ValueError(f"augmented must hold K versions of each original of shape {original.shape}: "
                         f"(N, K, …), got {augmented.shape}")
    rows = np.concatenate([original[:, None], augmented], axis=1)
    faces = check_faces(np.concatenate(rows))
    names = ["original", *map(str, range(1, rows.shape[1]))]
    frames = [BLUE, *[""] * (len(names) - 1)] * len(rows)
    if one:
        grid = _FaceGrid(ax, faces, min(7, len(faces)), captions=names, frames=frames)
    else:
        grid = _FaceGrid(ax, faces, len(names), frames=frames, above=0.2)
        grid.name_columns(names)
    return titled(grid.ax, title, note)


@use_style()
def plot_face_examples(pixels: np.ndarray, true: ArrayLike | None, predicted: ArrayLike,
                       probability: ArrayLike | None = None, columns: int = 6, note: str = "",
                       title: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw faces with their true and predicted emotions; the frame is blue if they agree, orange-red if not.

    `true` is -1 where the emotion is not known, None if none is; `probability` (N,) is that of the predicted emotion.
    """
    faces = check_faces(pixels)
    columns = min(columns, len(faces))
    captions, frames = _captions(len(faces), true, predicted, probability, narrow=columns > 6)
    grid = _FaceGrid(ax, faces, columns, captions=captions, frames=[frame or GRAY for frame in frames], inches=1.2)
    if title is None:
        right = {frame == RIGHT for frame in frames if frame}
        title = ("Predicted emotions" if not right else "Faces with true and predicted emotions" if len(right) > 1 else
                 "Correctly classified faces" if right == {True} else "Wrongly classified faces")
    return titled(grid.ax, title, note)


def _captions(n: int, true: ArrayLike | None, predicted: ArrayLike, probability: ArrayLike | None,
              narrow: bool) -> tuple[list[str], list[str]]:
    """Return a caption and a frame's colour ("": truth unknown) for each face.

    Narrow faces have the probability in a line of its own.
    """
    true = np.full(n, -1) if true is None else check_labels(true, n, "true")
    predicted = check_labels(predicted, n, "predicted")
    sure = [""] * n
    if probability is not None:
        probability = check_fractions(probability, "probability")
        if probability.shape != (n,):
            raise ValueError(f"probability must be {n} numbers, one a face, got shape {probability.shape}")
        sure = [("\n" if narrow else " ") + f"{p:.0%}" for p in probability]
    captions = [(f"true: {EMOTIONS[t]}\n" if t >= 0 else "") + f"pred: {LABEL_NAMES[p]}{s}"
                for t, p, s in zip(true, predicted, sure)]
    return captions, ["" if t < 0 else RIGHT if t == p else WRONG for t, p in zip(true, predicted)]


@use_style()
def plot_gradcam(pixels: np.ndarray, heatmaps: ArrayLike, true: ArrayLike | None = None,
                 predicted: ArrayLike | None = None, probability: ArrayLike | None = None, columns: int = 6,
                 note: str = "", title: str = "Grad-CAM of the predicted emotion",
                 ax: Axes | None = None) -> Axes:
    """Draw faces and, below each one, the same face under its heatmap.

    `heatmaps` are (N, H, W), 0 to 1 (`evaluation.grad_cam`). `true` and `probability` are those of
    `plot_face_examples`; captions are drawn only with `predicted`.
    """
    rgb = _rgb(check_faces(pixels))
    heatmaps = check_fractions(heatmaps, "heatmaps")
    if heatmaps.shape != rgb.shape[:3]:
        raise ValueError(f"heatmaps must be one a face, shape {rgb.shape[:3]}, got {heatmaps.shape}")
    # Colour only where there is heat: the rest of the face stays as it is.
    colour, alpha = plt.get_cmap("viridis")(heatmaps)[..., :3], 0.75 * heatmaps[..., None]
    over = (1 - alpha) * rgb + alpha * colour
    tiles = np.concatenate([rgb, np.ones_like(rgb[:, :2]), over], axis=1)
    columns = min(columns, len(rgb))
    captions, frames = ([], []) if predicted is None else _captions(
        len(rgb), true, predicted, probability, narrow=columns > 5)
    grid = _FaceGrid(ax, tiles, columns, captions=captions, frames=frames, inches=1.2, beside=0.9)
    grid.add_colorbar("viridis", 0, 1, "heat", aspect=18)
    return titled(grid.ax, title, note)
