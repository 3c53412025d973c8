"""Figures made of faces."""
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from ..labels import EMOTIONS, N_CLASSES
from .style import BLUE, DIVERGING, GRAY, RIGHT, SMALL, WIDTH, WRONG, check_fractions, new_axes, set_title, styled


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


def check_gray_faces(pixels):
    faces = _faces(pixels)
    if faces.ndim != 3:
        raise ValueError(f"faces must be gray, (N, H, W) or (N, H, W, 1), got shape {faces.shape}")
    return faces


def _levels(faces):
    """Return uint8 faces or fractions as fractions."""
    return faces / 255 if faces.dtype == np.uint8 else faces.astype(float)


def check_labels(values, n, what="emotion"):
    values = np.asarray(values)
    if values.shape != (n,) or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{what} must be {n} whole numbers, one a face, got {values.dtype} of shape {values.shape}")
    if n and (values.min() < -1 or values.max() >= N_CLASSES):
        raise ValueError(f"{what} must be 0 to {N_CLASSES - 1}, or -1 for unlabelled, got {values.min()} to "
                         f"{values.max()}")
    return values


def _name(label):
    return EMOTIONS[label] if label >= 0 else "unlabelled"


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
        self.ax = new_axes(ax, np.clip(width * inches + beside + 0.2, 4.8, WIDTH), height * inches + above + 0.55)
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


@styled
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
    emotion = check_labels(emotion, len(faces))
    rng = np.random.default_rng(seed)
    labels = np.unique(emotion)
    shown = np.ones((len(labels) * per_class, *faces.shape[1:]))
    for row, label in enumerate(labels):
        members = np.flatnonzero(emotion == label)
        chosen = rng.permutation(members)[:per_class]
        shown[row * per_class:row * per_class + len(chosen)] = _levels(faces[chosen])
    sheet = _Sheet(ax, shown, per_class, inches=0.7, beside=0.8)
    sheet.name_rows([EMOTIONS[label] for label in labels])
    set_title(sheet.ax, f"{per_class} faces of each emotion, chosen by chance", note)
    return sheet.ax


@styled
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
    faces = check_gray_faces(pixels)
    emotion = check_labels(emotion, len(faces))
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
    set_title(sheet.ax, "The mean face of each emotion", note)
    return sheet.ax


@styled
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
    sheet = _Sheet(ax, faces[order], min(8, len(order)), caption_lines=2.3, gap=0.12)
    for i, face in enumerate(order):
        sheet.caption(i, f"{_name(emotion[face])}\n{usage[face]}")
        if emotion[order[i - i % 2]] != emotion[order[i - i % 2 + 1]]:
            sheet.frame(i, WRONG)
    for column in range(2, sheet.columns, 2):
        sheet.ax.axvline(column * sheet.step_x - 0.06, color="black", linewidth=1)
    set_title(sheet.ax, f"{title}: {len(shown)} of {len(pairs):,}; framed where labels differ", note)
    return sheet.ax


@styled
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
    set_title(sheet.ax, title, note)
    return sheet.ax


@styled
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
    true = np.full(n, -1) if true is None else check_labels(true, n, "true")
    predicted = check_labels(predicted, n, "predicted")
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
    set_title(sheet.ax, title, note)
    return sheet.ax


def _verdicts(true, predicted, probability, narrow):
    """Return a caption of up to three lines for each face; narrow faces have the probability on its own."""
    if probability is not None:
        probability = check_fractions(probability, "probability")
        if probability.shape != predicted.shape:
            raise ValueError(f"probability must be {len(predicted)} numbers, one a face, got shape {probability.shape}")
    captions = []
    for i, label in enumerate(predicted):
        sure = "" if probability is None else ("\n" if narrow else " ") + f"{probability[i]:.0%}"
        captions.append((f"true: {_name(true[i])}\n" if true[i] >= 0 else "") + f"pred: {_name(label)}{sure}")
    return captions


@styled
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
    heatmaps = check_fractions(heatmaps, "heatmaps")
    if heatmaps.shape != faces.shape[:3]:
        raise ValueError(f"heatmaps must be one a face, shape {faces.shape[:3]}, got {heatmaps.shape}")
    rgb = faces if faces.ndim == 4 else np.repeat(faces[..., None], 3, axis=-1)
    # Colour only where there is heat: the rest of the face stays as it is.
    colour, alpha = plt.get_cmap("viridis")(heatmaps)[..., :3], 0.75 * heatmaps[..., None]
    over = (1 - alpha) * rgb + alpha * colour
    tiles = np.concatenate([rgb, np.ones_like(rgb[:, :2]), over], axis=1)
    captions, columns = [], min(columns, n)
    if predicted is not None:
        predicted = check_labels(predicted, n, "predicted")
        true = np.full(n, -1) if true is None else check_labels(true, n, "true")
        captions = _verdicts(true, predicted, probability, narrow=columns > 5)
    lines = max((caption.count("\n") + 1.4 for caption in captions), default=0)
    sheet = _Sheet(ax, tiles, columns, caption_lines=lines, inches=1.2, beside=0.9)
    for i, caption in enumerate(captions):
        sheet.caption(i, caption)
        if true[i] >= 0:
            sheet.frame(i, RIGHT if true[i] == predicted[i] else WRONG)
    scale = plt.cm.ScalarMappable(plt.Normalize(0, 1), "viridis")
    sheet.ax.figure.colorbar(scale, ax=sheet.ax, label="heat", shrink=0.8, aspect=18)
    set_title(sheet.ax, title, note)
    return sheet.ax
