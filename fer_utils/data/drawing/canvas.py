"""Painting of drawn faces: shapes, curves, the turn of a head, and the camera."""
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .person import Pose

Points = Sequence[tuple[float, float]] | np.ndarray
SUPERSAMPLE = 4  # canvas pixels to one of the face, each way: smooth edges after INTER_AREA
_FIXED_BITS = 3  # OpenCV draws at 1/8 of a canvas pixel
_RELIEF_HALF, _RELIEF_CELLS = 1.3, 48  # the relief's grid extends beyond the crop, so that a turned head stays on it
SKIN, HAIR, OTHER = (255, 0), (90, 255), (0, 0)
"""How far each material takes the light on the face's relief, and how far it is made of strands (0 to 255)."""
_ANGLE = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1)
_STEP = np.arange(6)[:, None] / 6
# Weights of four control points of a uniform cubic B-spline, at six points between the middle two.
_SPLINE = np.hstack([(1 - _STEP) ** 3, 3 * _STEP**3 - 6 * _STEP**2 + 4, -3 * _STEP**3 + 3 * _STEP**2 + 3 * _STEP + 1,
                     _STEP**3]) / 6
# The relief's grid, and the slopes of a head without features on it.
_GRID = np.linspace(-_RELIEF_HALF, _RELIEF_HALF, _RELIEF_CELLS, dtype=np.float32)
_SLOPE_X = -(0.55 * _GRID + 1.9 * _GRID * np.abs(_GRID) ** 4)[None, :]
_SLOPE_Y = -(0.25 * _GRID + 0.35 * _GRID**3)[:, None]


class Shape(NamedTuple):
    """A filled polygon, or a line where it has a width, in face coordinates."""

    points: np.ndarray
    tone: float
    depth: float = 1.0  # how far it moves when the head turns: 1 on the front of the face, 0 on the silhouette
    material: tuple[int, int] = SKIN
    width: float = 0.0


def line(points: Points, tone: float, width: float, depth: float = 1.0, material: tuple[int, int] = SKIN) -> Shape:
    """Return a line as a shape."""
    return Shape(np.asarray(points, float), tone, depth, material, width)


def _turned(points: np.ndarray, depth: float | np.ndarray, pose: Pose) -> np.ndarray:
    """Turn points about the head's vertical axis and nod them; those at the front move most."""
    x, y = points[:, 0], points[:, 1]
    front = depth * np.sqrt(np.clip(1 - (x / 0.95) ** 2 - (y / 1.5) ** 2, 0, 1))
    turned = x * (1 - depth * (1 - np.cos(pose.yaw))) + 0.7 * front * np.sin(pose.yaw)
    return np.stack([turned, y + pose.pitch * front], 1, dtype=points.dtype)


def _to_crop(pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """Return the 2×2 matrix and offset from the turned head to the crop."""
    cos, sin = pose.scale * np.cos(pose.roll), pose.scale * np.sin(pose.roll)
    return np.array([[cos, -sin], [sin, cos]]), np.array([pose.x - 0.25 * np.sin(pose.yaw), pose.y])


def paint_shapes(canvas: np.ndarray, shapes: list[Shape], pose: Pose) -> None:
    """Draw shapes in order on a square canvas of one channel (tone) or three (tone and material)."""
    lengths = [len(shape.points) for shape in shapes]
    ends = np.cumsum(lengths).tolist()
    points = np.concatenate([shape.points for shape in shapes])
    depth = np.repeat([shape.depth for shape in shapes], lengths)
    matrix, offset = _to_crop(pose)
    half = canvas.shape[0] / 2
    points = (_turned(points, depth, pose) @ matrix.T + offset + 1) * half - 0.5
    points = np.rint(points * (1 << _FIXED_BITS)).astype(np.int32)
    for shape, length, end in zip(shapes, lengths, ends):
        corners, colour = points[end - length:end], (float(shape.tone), *shape.material)
        if shape.width:
            width = max(1, round(shape.width * half * pose.scale))
            cv2.polylines(canvas, [corners], False, colour, width, cv2.LINE_8, _FIXED_BITS)
        else:
            cv2.fillPoly(canvas, [corners], colour, cv2.LINE_8, _FIXED_BITS)


def smooth_outline(points: Points, closed: bool = True) -> np.ndarray:
    """Smooth a polygon or a line by a cubic B-spline."""
    around = np.arange(len(points))[:, None] + (-1, 0, 1, 2)
    controls = np.asarray(points, float).take(around, axis=0, mode="wrap" if closed else "clip")
    return (_SPLINE @ controls).reshape(-1, 2)


def ellipse_outline(x: float, y: float, a: float, b: float) -> np.ndarray:
    """Return a polygon with the half axes a and b."""
    return _CIRCLE * (a, b) + (x, y)


def mirror_outline(points: Points) -> np.ndarray:
    """Close a left half, listed from top to bottom, with its mirror image."""
    points = np.asarray(points, float)
    return np.concatenate([points, points[::-1] * (-1, 1)])


def polygon_between(x: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Return the polygon between two curves over the same x."""
    return np.stack([np.concatenate([x, x[::-1]]), np.concatenate([top, bottom[::-1]])], 1)


def background(side: int, rng: np.random.Generator) -> np.ndarray:
    """Return a wall, a studio's white or black, or something out of focus."""
    chance = rng.random()
    base = rng.uniform(225, 255) if chance < 0.2 else rng.uniform(0, 30) if chance < 0.38 else rng.uniform(30, 220)
    rough = rng.normal(base, rng.choice((4, 15, 40)), (5, 5)).astype(np.float32)
    return np.clip(cv2.resize(rough, (side, side), interpolation=cv2.INTER_LINEAR), 0, 255).astype(np.uint8)


def relief_light(bumps: np.ndarray, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Light the relief by Lambert's law; 1 is skin that faces the light.

    Returns a float32 array (48, 48) over face coordinates, before roll, scale and shift.
    """
    centre, half, rise = _turned(bumps[:, :2], 1, pose), bumps[:, 2:4], bumps[:, 4:]
    dx = (_GRID - centre[:, :1]) / half[:, :1]
    dy = (_GRID - centre[:, 1:]) / half[:, 1:]
    # A bump is a product of a curve over x and one over y, so that a sum of bumps, or of slopes, is a matrix product.
    over_x, over_y = np.exp(-0.5 * dx**2), rise * np.exp(-0.5 * dy**2)
    slope_x = over_y.T @ (-dx / half[:, :1] * over_x) + _SLOPE_X - np.float32(0.6 * np.sin(pose.yaw))
    slope_y = (-dy / half[:, 1:] * over_y).T @ over_x + _SLOPE_Y
    light = np.array((rng.normal(0, 0.55), rng.normal(-0.4, 0.25), 1), np.float32)
    light /= np.linalg.norm(light)
    facing = (light[2] - light[0] * slope_x - light[1] * slope_y) / np.sqrt(1 + slope_x**2 + slope_y**2)
    ambient = np.float32(rng.uniform(0.2, 0.55))
    facing = np.maximum(facing, 0)
    shine = np.float32(rng.uniform(0, 0.2)) * facing**12
    return ambient + (1.05 - ambient) * facing + shine


def photograph(canvas: np.ndarray, creases: np.ndarray, shade: np.ndarray, pose: Pose,
               rng: np.random.Generator) -> np.ndarray:
    """Light the painting, then take it: lens, sensor, and FER2013's spread of brightness and contrast."""
    size = canvas.shape[0] // SUPERSAMPLE
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    face, skin, hair = small[..., 0], small[..., 1] / 255, small[..., 2] / 255
    creases = cv2.resize(cv2.GaussianBlur(creases, (0, 0), size / 48), (size, size), interpolation=cv2.INTER_AREA)

    # From a pixel of the crop to its place on the face, and on to its cell of the relief.
    matrix, offset = _to_crop(pose)
    back = np.linalg.inv(matrix)
    cells = (_RELIEF_CELLS - 1) / (2 * _RELIEF_HALF)
    warp = np.column_stack([back * (2 / size) * cells,
                            (back @ (1 / size - 1 - offset) + _RELIEF_HALF) * cells])
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
