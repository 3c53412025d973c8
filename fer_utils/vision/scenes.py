"""Made-up pictures with known faces: a clip of moving portraits, and crowds of labelled faces."""
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ..data.drawn import draw_face
from ..data.faceset import FaceSet
from ..labels import EMOTIONS
from .images import read_photo
from .track import match_boxes
from .video import native_path

CLIP_WIDTH, CLIP_HEIGHT, CLIP_FPS = 640, 480, 30
CROWD_WIDTH, CROWD_HEIGHT = 1280, 720
FACE_SIDES = (90, 160)  # least and largest side of a face pasted into a crowd picture, in pixels
CROWD_COLUMNS, CROWD_ROWS = 4, 2
"""Cells of a crowd picture. Each face has a cell to itself, so that none hides another."""
EVENT_START = datetime(2024, 6, 1, 18, 0)


def empty_scenes() -> list[np.ndarray]:
    """Return the two photos without people that scikit-learn ships: uint8 (H, W, 3) RGB."""
    from sklearn.datasets import load_sample_images

    return list(load_sample_images().images)


# A clip.

def write_clip(path: Path | str, faces: int = 1, frames: int = 150, drawn: bool = False) -> None:
    """Write a clip in which a portrait moves, 1 to 6 times, over a photo without people.

    It is an MP4 of 640×480 pixels and 30 frames a second. With `drawn` it also shows a row of seven drawn faces, which
    a detector may or may not take for faces. Raises OSError where it cannot be written.
    """
    from matplotlib.cbook import get_sample_data

    writer = cv2.VideoWriter(native_path(path), cv2.VideoWriter.fourcc(*"mp4v"), CLIP_FPS, (CLIP_WIDTH, CLIP_HEIGHT))
    if not writer.isOpened():
        raise OSError(f"{path}: cannot be written")
    # Out of focus, as behind a face; it also makes the clip small.
    background = cv2.GaussianBlur(cv2.resize(empty_scenes()[0], (CLIP_WIDTH, CLIP_HEIGHT)), (0, 0), 4)
    floor = CLIP_HEIGHT
    if drawn:
        side = CLIP_WIDTH // len(EMOTIONS)
        floor -= side
        row = np.hstack([cv2.resize(draw_face(emotion, 0, 96), (side, side)) for emotion in EMOTIONS])
        background[floor:, :row.shape[1]] = row[..., None]
    # Grace Hopper's portrait: a real face that every installation has.
    face = read_photo(get_sample_data("grace_hopper.jpg", asfileobj=False))[:420, 40:440]
    height = CLIP_HEIGHT * 2 // (3 if faces == 1 else 5)
    face = cv2.resize(face, (face.shape[1] * height // face.shape[0], height), interpolation=cv2.INTER_AREA)
    # Each face swings within its own cell, at its own pace.
    cell_width, cell_height = CLIP_WIDTH // min(faces, 3), floor // ((faces + 2) // 3)
    for i in range(frames):
        frame = background.copy()
        for k in range(faces):
            x = k % 3 * cell_width + round((cell_width - face.shape[1]) * (0.5 + 0.5 * np.sin(i / 20 + k)))
            y = k // 3 * cell_height + round((cell_height - height) * (0.5 + 0.5 * np.cos(i / 27 + 2 * k)))
            frame[y:y + height, x:x + face.shape[1]] = face
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


# Crowds.

def write_crowd(folder: Path | str, faces: FaceSet, pictures: int = 2000, shares: Sequence[float] | None = None,
                minutes: float = 240, seed: int = 0) -> pd.DataFrame:
    """Write crowd pictures as JPEG files, with the time they were taken in EXIF: from `EVENT_START` on, for `minutes`.

    The first half goes into the folder ``entrance``, the second into ``exit``. `shares` (7,) says how often each
    emotion is taken, by default as often as in `faces`. Returns a row for each pasted face: source (the picture's
    absolute path), x, y, width, height, emotion.
    """
    from PIL import Image

    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(faces.emotion == label) for label in range(len(EMOTIONS))]
    present = np.array([len(m) for m in members], float)
    wanted = present if shares is None else np.asarray(shares, float) * (present > 0)
    wanted = wanted / wanted.sum()
    scenes = empty_scenes()
    rows = []
    for i in range(pictures):
        labels = rng.choice(len(EMOTIONS), rng.integers(1, CROWD_COLUMNS * CROWD_ROWS + 1), p=wanted)
        pixels = [faces.pixels[rng.choice(members[label])] for label in labels]
        picture, boxes = draw_crowd(pixels, scenes[rng.integers(len(scenes))], rng)
        path = Path(folder).absolute() / ("entrance" if i < pictures / 2 else "exit") / f"crowd_{i:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(picture)
        exif = image.getexif()
        taken = EVENT_START + timedelta(minutes=minutes * i / max(pictures - 1, 1))
        exif.get_ifd(0x8769)[36867] = taken.strftime("%Y:%m:%d %H:%M:%S")  # DateTimeOriginal
        image.save(path, quality=90, exif=exif)
        rows += [(str(path), *box, EMOTIONS[label]) for box, label in zip(boxes, labels)]
    return pd.DataFrame(rows, columns=["source", "x", "y", "width", "height", "emotion"])


def draw_crowd(pixels: Sequence[np.ndarray], scene: np.ndarray,
               rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """Blend faces softly into a scene; return the picture, uint8 (720, 1280, 3) RGB, and the faces' boxes.

    `pixels` are at most `CROWD_COLUMNS` × `CROWD_ROWS` gray faces, uint8 (h, w); the scene is uint8 (H, W, 3) RGB.
    """
    picture = cv2.resize(scene, (CROWD_WIDTH, CROWD_HEIGHT), interpolation=cv2.INTER_CUBIC)
    picture = cv2.GaussianBlur(picture[:, ::rng.choice((-1, 1))], (0, 0), rng.uniform(1, 6)).astype(np.float32)
    cell_width, cell_height = CROWD_WIDTH // CROWD_COLUMNS, CROWD_HEIGHT // CROWD_ROWS
    boxes = []
    for face, cell in zip(pixels, rng.permutation(CROWD_COLUMNS * CROWD_ROWS)):
        side = int(rng.integers(FACE_SIDES[0], FACE_SIDES[1] + 1))
        edge = side // 2
        face = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
        # FER2013's crops lack hair and chin: here the crop's edge is continued and blurred instead.
        patch = cv2.copyMakeBorder(face, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
        patch = cv2.GaussianBlur(patch, (0, 0), side * 0.06)
        patch[edge:edge + side, edge:edge + side] = face
        tint = rng.uniform((1.0, 0.85, 0.75), (1.05, 0.95, 0.9)).astype(np.float32)  # of skin
        size = len(patch)
        y, x = np.mgrid[:size, :size] / (size - 1) * 2 - 1
        opaque = np.clip((1 - np.hypot(x, y)) / 0.35, 0, 1)[..., None]
        top = cell // CROWD_COLUMNS * cell_height + rng.integers(0, max(cell_height - size, 0) + 1)
        left = cell % CROWD_COLUMNS * cell_width + rng.integers(0, max(cell_width - size, 0) + 1)
        under = picture[top:top + size, left:left + size]
        under += opaque * (patch[..., None] * tint - under)
        boxes.append((int(left + edge), int(top + edge), side, side))
    return np.clip(picture, 0, 255).astype(np.uint8), boxes


def match_faces(pasted: pd.DataFrame, found: pd.DataFrame, overlap: float = 0.3) -> pd.DataFrame:
    """Pair the faces that were found in pictures with those that were pasted, by their boxes' overlap or more.

    Both tables have the columns source, x, y, width, height and emotion, as `write_crowd` and
    `event.people.participants` return them. The result has a row for each pair and each face without partner: source,
    and its emotion as pasted (true) and as found (predicted), None where the face is not there.
    """
    columns = ["x", "y", "width", "height"]
    rows: list[tuple[str, str | None, str | None]] = []
    by_source = [{str(source): faces for source, faces in table.groupby("source")} for table in (pasted, found)]
    for source in sorted(set().union(*by_source)):
        a, b = (faces.get(source, pasted[:0]) for faces in by_source)
        pairs, predicted = dict(match_boxes(a[columns], b[columns], overlap)), list(b["emotion"])
        rows += [(source, true, predicted[pairs[i]] if i in pairs else None) for i, true in enumerate(a["emotion"])]
        rows += [(source, None, name) for j, name in enumerate(predicted) if j not in pairs.values()]
    return pd.DataFrame(rows, columns=["source", "true", "predicted"])
