"""Crowd pictures with known answers: labelled faces pasted on backgrounds, to try the event report on."""
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ..data.drawn import draw_face
from ..labels import EMOTIONS
from .images import read_photo
from .track import overlaps

WIDTH, HEIGHT, FPS = 640, 480, 30
CLIP_FRAMES, PLAIN_FRAMES, ROUNDS = 150, 20, 3


def portrait():
    """Return a real face that every installation has, matplotlib's portrait of Grace Hopper: uint8 (H, W, 3) RGB."""
    from matplotlib.cbook import get_sample_data

    return read_photo(get_sample_data("grace_hopper.jpg", asfileobj=False))[:420, 40:440]


def write_clip(path, faces=1, frames=None, drawn=False):
    """Write a clip of a portrait that moves, once or six times, over a photo without faces.

    Parameters
    ----------
    path : Path
        An MP4 of 640×480 pixels at 30 frames a second.
    faces : int
        1 to 6.
    frames : int, optional
        By default `CLIP_FRAMES`.
    drawn : bool
        Also a row of drawn faces, one of each emotion, which a detector may or may not take for faces.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    from sklearn.datasets import load_sample_images

    # Out of focus, as behind a face; it also makes the clip small.
    background = cv2.GaussianBlur(cv2.resize(load_sample_images().images[0], (WIDTH, HEIGHT)), (0, 0), 4)
    height = HEIGHT * 2 // 3 if faces == 1 else HEIGHT * 2 // 5
    picture = portrait()
    picture = cv2.resize(picture, (picture.shape[1] * height // picture.shape[0], height),
                         interpolation=cv2.INTER_AREA)
    if drawn:
        row = np.hstack([cv2.resize(draw_face(emotion, 0, 96), (WIDTH // 7, 91)) for emotion in EMOTIONS])
        background[-91:, :row.shape[1]] = row[..., None]
    columns, rows = min(faces, 3), (faces + 2) // 3
    floor = HEIGHT - 91 if drawn else HEIGHT
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise OSError(f"{path}: cannot be written")
    for i in range(frames or CLIP_FRAMES):
        frame = background.copy()
        for k in range(faces):
            room_x, room_y = WIDTH // columns - picture.shape[1], floor // rows - height
            # Each face swings within its own cell, at its own pace.
            x = k % 3 * (WIDTH // columns) + round(room_x * (0.5 + 0.5 * np.sin(i / 20 + k)))
            y = k // 3 * (floor // rows) + round(room_y * (0.5 + 0.5 * np.cos(i / 27 + 2 * k)))
            frame[y:y + height, x:x + picture.shape[1]] = picture
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


PICTURE = (720, 1280)
FACE_SIDES = (90, 160)
COLUMNS, ROWS = 4, 2
"""Each face has a cell of the picture to itself, so that none hides another."""
START = datetime(2024, 6, 1, 18, 0)


def write_crowd(folder, faces, pictures=2000, shares=None, start=START, minutes=240, seed=0):
    """Write crowd pictures as JPEG files, with the time they were taken in EXIF.

    Parameters
    ----------
    folder : str or Path
        Made if missing; the pictures of the first half of the time go into ``entrance``, the others into ``exit``.
    faces : FaceSet
        Labelled faces to paste.
    pictures : int
    shares : array (7,), optional
        Shares of the emotions to draw faces by; by default each emotion present is as frequent as in `faces`.
    start : datetime
        When the first picture is taken.
    minutes : float
        From the first picture to the last.
    seed : int

    Returns
    -------
    DataFrame
        The truth, a row for each pasted face: source (the picture's absolute path), x, y, width, height, emotion.
    """
    from PIL import Image

    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(faces.emotion == label) for label in range(len(EMOTIONS))]
    wanted = np.array([len(m) for m in members], float) if shares is None else np.asarray(shares, float)
    wanted = wanted * [len(m) > 0 for m in members] / np.sum(wanted * [len(m) > 0 for m in members])
    scenes = _scenes()
    rows = []
    for i in range(pictures):
        labels = rng.choice(len(EMOTIONS), rng.integers(1, COLUMNS * ROWS + 1), p=wanted)
        pixels = [faces.pixels[rng.choice(members[label])] for label in labels]
        picture, boxes = draw_crowd(pixels, scenes[rng.integers(len(scenes))], rng)
        path = Path(folder).absolute() / ("entrance" if i < pictures / 2 else "exit") / f"crowd_{i:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(picture)
        exif = image.getexif()
        taken = start + timedelta(minutes=minutes * i / max(pictures - 1, 1))
        exif.get_ifd(0x8769)[36867] = taken.strftime("%Y:%m:%d %H:%M:%S")  # DateTimeOriginal
        image.save(path, quality=90, exif=exif)
        rows += [(str(path), *box, EMOTIONS[label]) for box, label in zip(boxes, labels)]
    return pd.DataFrame(rows, columns=["source", "x", "y", "width", "height", "emotion"])


def draw_crowd(pixels, scene, rng):
    """Paste faces on a scene, each blended into it by a soft neighbourhood.

    Parameters
    ----------
    pixels : sequence of ndarray
        uint8 gray faces, at most `COLUMNS` × `ROWS`.
    scene : ndarray
        uint8 (H, W, 3) RGB without people.
    rng : numpy.random.Generator

    Returns
    -------
    picture : ndarray
        uint8 (720, 1280, 3) RGB.
    boxes : list of (int, int, int, int)
        Left, top, width, height of each pasted face.
    """
    height, width = PICTURE
    picture = cv2.resize(scene, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = cv2.GaussianBlur(picture[:, ::rng.choice((-1, 1))], (0, 0), rng.uniform(1, 6)).astype(np.float32)
    cell_h, cell_w = height // ROWS, width // COLUMNS
    boxes = []
    for face, cell in zip(pixels, rng.permutation(COLUMNS * ROWS)):
        side = int(rng.integers(FACE_SIDES[0], FACE_SIDES[1] + 1))
        edge = side // 2
        face = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
        # What FER2013's crops lack, hair and chin, is the crop's edge continued and blurred.
        patch = cv2.GaussianBlur(cv2.copyMakeBorder(face, *[edge] * 4, cv2.BORDER_REPLICATE), (0, 0), side * 0.06)
        patch[edge:edge + side, edge:edge + side] = face
        patch = patch[..., None] * rng.uniform((1.0, 0.85, 0.75), (1.05, 0.95, 0.9)).astype(np.float32)  # skin's tint
        size = len(patch)
        y, x = np.mgrid[:size, :size] / (size - 1) * 2 - 1
        opaque = np.clip((1 - np.hypot(x, y)) / 0.35, 0, 1)[..., None]
        top = cell // COLUMNS * cell_h + rng.integers(0, max(cell_h - size, 0) + 1)
        left = cell % COLUMNS * cell_w + rng.integers(0, max(cell_w - size, 0) + 1)
        under = picture[top:top + size, left:left + size]
        under += opaque * (patch - under)
        boxes.append((int(left + edge), int(top + edge), side, side))
    return np.clip(picture, 0, 255).astype(np.uint8), boxes


def match(truth, found, overlap=0.3):
    """Pair found faces with pasted ones, picture by picture.

    Parameters
    ----------
    truth : DataFrame
        As `write_crowd` returns it.
    found : DataFrame
        Columns source, x, y, width, height and emotion, as `event.participants` gives them.
    overlap : float
        Least intersection over union of a pair.

    Returns
    -------
    DataFrame
        A row for each pair and for each face without partner: true and predicted (an emotion, or None), source.
    """
    from scipy.optimize import linear_sum_assignment

    columns = ["x", "y", "width", "height"]
    pasted, seen = dict(list(truth.groupby("source"))), dict(list(found.groupby("source")))
    rows = []
    for source in sorted(set(pasted) | set(seen)):
        a, b = pasted.get(source, truth[:0]), seen.get(source, found[:0])
        shared = overlaps(a[columns].to_numpy(), b[columns].to_numpy())
        pairs = [(i, j) for i, j in zip(*linear_sum_assignment(-shared)) if shared[i, j] >= overlap]
        lone_a, lone_b = set(range(len(a))) - {i for i, _ in pairs}, set(range(len(b))) - {j for _, j in pairs}
        rows += [(source, a.emotion.iloc[i], b.emotion.iloc[j]) for i, j in pairs]
        rows += [(source, a.emotion.iloc[i], None) for i in lone_a]
        rows += [(source, None, b.emotion.iloc[j]) for j in lone_b]
    return pd.DataFrame(rows, columns=["source", "true", "predicted"])


def _scenes():
    """Return the two photos without people that scikit-learn ships."""
    from sklearn.datasets import load_sample_images

    return list(load_sample_images().images)
