"""Painting of drawn faces: shapes, curves, the turn of a head, and the camera."""
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

SUPERSAMPLE = 4  # canvas pixels to one of the face, each way: smooth edges after INTER_AREA
FIXED_BITS = 3  # OpenCV draws at 1/8 of a canvas pixel
RELIEF_HALF, RELIEF_CELLS = 1.3, 48  # the relief's grid reaches beyond the crop, so that a turned head stays on it
SKIN, HAIR, OTHER = (255, 0), (90, 255), (0, 0)
"""How far each material takes the light on the face's relief, and how far it is made of strands (0 to 255)."""
# Curves over a mouth, an eye (-1 to 1) and a brow (0 to 1), and a circle.
T = np.linspace(-1, 1, 13)
ARC = 1 - T**2
ROUND = np.sqrt(ARC)
BOX = 1 - T**6
U = np.linspace(0, 1, 7)
_ANGLE = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1)
# The relief's grid, and the slopes of a head without features on it.
GRID = np.linspace(-RELIEF_HALF, RELIEF_HALF, RELIEF_CELLS, dtype=np.float32)
SLOPE_X = -(0.55 * GRID + 1.9 * GRID * np.abs(GRID) ** 4)[None, :]
SLOPE_Y = -(0.25 * GRID + 0.35 * GRID**3)[:, None]


class Shape(NamedTuple):
    """A filled polygon (width 0) or a line of that width, in face coordinates."""

    points: np.ndarray
    tone: float
    width: float = 0.0
    depth: float = 1.0  # how far it moves when the head turns: 1 on the front of the face, 0 on the silhouette
    material: tuple = SKIN


def turn_points(points, depth, pose):
    """Turn points about the head's vertical axis and nod them; those at the front move most."""
    x, y = points[:, 0], points[:, 1]
    front = depth * np.sqrt(np.clip(1 - (x / 0.95) ** 2 - (y / 1.5) ** 2, 0, 1))
    turned = np.empty_like(points)
    turned[:, 0] = x * (1 - depth * (1 - np.cos(pose.yaw))) + 0.7 * front * np.sin(pose.yaw)
    turned[:, 1] = y + pose.pitch * front
    return turned


def _to_crop(pose):
    """2×2 matrix and offset from the turned head to the crop."""
    cos, sin = pose.scale * np.cos(pose.roll), pose.scale * np.sin(pose.roll)
    return np.array([[cos, -sin], [sin, cos]]), np.array([pose.x - 0.25 * np.sin(pose.yaw), pose.y])


def paint_shapes(canvas, shapes, pose):
    """Draw shapes in order on a square canvas of one channel (tone) or three (tone and material)."""
    if not shapes:
        return
    lengths = [len(shape.points) for shape in shapes]
    points = np.concatenate([shape.points for shape in shapes])
    depth = np.repeat([shape.depth for shape in shapes], lengths)
    matrix, offset = _to_crop(pose)
    half = canvas.shape[0] / 2
    points = (turn_points(points, depth, pose) @ matrix.T + offset + 1) * half - 0.5
    points = np.rint(points * (1 << FIXED_BITS)).astype(np.int32)
    start = 0
    for shape, length in zip(shapes, lengths):
        corners, start = points[start:start + length], start + length
        colour = (float(shape.tone), *shape.material)
        if shape.width:
            width = max(1, round(shape.width * half * pose.scale))
            cv2.polylines(canvas, [corners], False, colour, width, cv2.LINE_8, FIXED_BITS)
        else:
            cv2.fillPoly(canvas, [corners], colour, cv2.LINE_8, FIXED_BITS)


@lru_cache
def _spline(controls, closed):
    """Basis matrix of a uniform cubic B-spline, six points to each of its control points."""
    step = np.arange(6)[:, None] / 6
    blend = np.hstack([(1 - step) ** 3, 3 * step**3 - 6 * step**2 + 4, -3 * step**3 + 3 * step**2 + 3 * step + 1,
                       step**3]) / 6
    basis = np.zeros((6 * controls, controls))
    for k in range(controls):
        for j in range(4):
            at = (k + j - 1) % controls if closed else min(max(k + j - 1, 0), controls - 1)
            basis[6 * k:6 * k + 6, at] += blend[:, j]
    return basis


def smooth_outline(points, closed=True):
    """Smooth a polygon or a line by a cubic B-spline."""
    points = np.asarray(points, float)
    return _spline(len(points), closed) @ points


def ellipse_outline(x, y, a, b):
    return _CIRCLE * (a, b) + (x, y)


def mirror_outline(points):
    """A left half, listed from top to bottom, closed with its mirror image."""
    points = np.asarray(points, float)
    return np.concatenate([points, points[::-1] * (-1, 1)])


def polygon_between(x, top, bottom):
    """Polygon between two curves over the same x."""
    return np.stack([np.concatenate([x, x[::-1]]), np.concatenate([top, bottom[::-1]])], 1)


def line_points(x, y):
    return np.stack([x, y], 1)


def paint_background(side, rng):
    """A wall, a studio's white or black, or something out of focus."""
    chance = rng.random()
    base = rng.uniform(225, 255) if chance < 0.2 else rng.uniform(0, 30) if chance < 0.38 else rng.uniform(30, 220)
    rough = rng.normal(base, rng.choice((4, 15, 40)), (5, 5)).astype(np.float32)
    return np.clip(cv2.resize(rough, (side, side), interpolation=cv2.INTER_LINEAR), 0, 255).astype(np.uint8)


def photograph(canvas, creases, shade, pose, rng):
    """Light the painting, then take it: lens, sensor, and FER2013's spread of brightness and contrast."""
    size = canvas.shape[0] // SUPERSAMPLE
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    face, skin, hair = small[..., 0], small[..., 1] / 255, small[..., 2] / 255
    creases = cv2.resize(cv2.GaussianBlur(creases, (0, 0), size / 48), (size, size), interpolation=cv2.INTER_AREA)

    # From a pixel of the crop to its place on the face, and on to its cell of the relief.
    matrix, offset = _to_crop(pose)
    back = np.linalg.inv(matrix)
    cells = (RELIEF_CELLS - 1) / (2 * RELIEF_HALF)
    warp = np.column_stack([back * (2 / size) * cells,
                            (back @ (1 / size - 1 - offset) + RELIEF_HALF) * cells])
    shade = cv2.warpAffine(shade, warp, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                           borderMode=cv2.BORDER_REPLICATE)
    face = face * (1 + skin * (shade * (1 - creases / np.float32(255)) - 1))
    strands = cv2.resize(rng.normal(0, 0.11, (5, size // 2)).astype(np.float32), (size, size),
                         interpolation=cv2.INTER_CUBIC)
    face = face * (1 + hair * strands) + 20 * hair * np.abs(strands)

    face = cv2.GaussianBlur(face, (0, 0), size / 48 * rng.uniform(0.3, 0.85))
    gain = np.clip(rng.normal(57, 14), 26, 90) / max(face.std(), 12)
    mean = face.mean()
    face = (face - mean) * np.clip(gain, 0.45, 2) + 0.35 * mean + 0.65 * rng.normal(132, 46)
    face = face + rng.normal(0, rng.uniform(0.5, 4), face.shape)
    return np.clip(np.rint(face), 0, 255).astype(np.uint8)
