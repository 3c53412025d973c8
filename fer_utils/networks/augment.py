"""Random changes of uint8 faces in training, fast enough that training never waits for them.

One affine map for each face rotates, shifts, shears, zooms and flips it, so pixels are interpolated only once.
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Augmentation:
    """How far each random change goes; the defaults change nothing."""

    rotation: float = 0.0  # largest roll in degrees, either way
    shift: float = 0.0  # largest shift, as a fraction of the size of the face, either way
    shear: float = 0.0  # largest shear in degrees, either way
    zoom: tuple[float, float] = (1.0, 1.0)  # smallest and largest magnification (1.25 crops tighter)
    stretch: float = 0.0  # largest difference between the zoom of width and height
    flip: bool = False  # whether half of the faces are mirrored
    contrast: float = 0.0  # largest relative change
    brightness: float = 0.0  # largest change in gray levels
    gamma: float = 1.0  # largest exponent of the gray-value curve, and one over the smallest
    blur: float = 0.0  # share of the faces with a Gaussian blur
    noise: float = 0.0  # share of the faces with Gaussian noise
    jpeg: float = 0.0  # share of the faces that are packed as JPEG of low quality
    erase: float = 0.0  # share of the faces of which a rectangle is hidden (Zhong et al. 2020, random erasing)
    half: float = 0.0  # share of the faces of which one side is hidden, as behind a hand or a neighbour


AUGMENTATIONS = {
    "none": None,
    # Project B's ImageDataGenerator(rotation_range=20, width_shift_range=.2, height_shift_range=.2, shear_range=.2,
    # zoom_range=.2, horizontal_flip=True). Keras reads shear_range in degrees, so .2 shears hardly at all, and draws
    # the zoom of width and height apart.
    "project_b": Augmentation(rotation=20, shift=0.2, shear=0.2, zoom=(0.8, 1.2), stretch=0.2, flip=True),
    # The peers' ImageDataGenerator(rotation_range=10, width_shift_range=.1, height_shift_range=.1, zoom_range=.1,
    # horizontal_flip=True), for mini-Xception.
    "arriaga": Augmentation(rotation=10, shift=0.1, zoom=(0.9, 1.1), stretch=0.1, flip=True),
    # Ours: what cameras and face detectors do to faces that FER2013's own crops do not show.
    "strong": Augmentation(rotation=15, shift=0.08, shear=5, zoom=(0.85, 1.25), stretch=0.08, flip=True,
                           contrast=0.3, brightness=20, gamma=1.6, blur=0.1, noise=0.15, jpeg=0.05,
                           erase=0.3, half=0.04),
    # The same changes, milder and with little hidden: for small networks and for the last trainings of fer_net.
    "light": Augmentation(rotation=12, shift=0.06, shear=3, zoom=(0.85, 1.2), stretch=0.06, flip=True,
                          contrast=0.25, brightness=15, gamma=1.5, blur=0.1, noise=0.1, jpeg=0.05, erase=0.1),
}
"""Augmentations by name."""


def affine_matrices(n: int, size: int, spec: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Draw the affine maps of `n` faces, float64 (n, 2, 3), about their centre, from the old face to the new one."""
    angle = np.deg2rad(rng.uniform(-spec.rotation, spec.rotation, n))
    shear = np.deg2rad(rng.uniform(-spec.shear, spec.shear, n))
    zoom = np.exp(rng.uniform(np.log(spec.zoom[0]), np.log(spec.zoom[1]), n))
    stretch = np.exp(rng.uniform(-spec.stretch, spec.stretch, n) / 2)
    mirror = np.where(rng.random(n) < (0.5 if spec.flip else 0), -1.0, 1.0)
    shift = rng.uniform(-spec.shift, spec.shift, (n, 2)) * size
    cos, sin = np.cos(angle), np.sin(angle)
    width, height = mirror * zoom * stretch, zoom / stretch
    linear = np.stack([cos * width, (cos * np.tan(shear) - sin) * height,
                       sin * width, (sin * np.tan(shear) + cos) * height], axis=1).reshape(n, 2, 2)
    centre = np.full(2, (size - 1) / 2)
    return np.concatenate([linear, (centre + shift - linear @ centre)[:, :, None]], axis=2)


def gray_curve(gamma: float | np.ndarray, contrast: float | np.ndarray,
               brightness: float | np.ndarray = 0.0) -> np.ndarray:
    """Make look-up tables of gray values, uint8 (…, 256): gamma, then contrast about the middle, then brightness."""
    level = np.linspace(0, 1, 256) ** gamma * 255
    return np.rint(np.clip((level - 127.5) * contrast + 127.5 + brightness, 0, 255)).astype(np.uint8)


def jpeg(face: np.ndarray, quality: int) -> np.ndarray:
    """Pack a gray face as JPEG of a quality of 0 to 100, and unpack it."""
    packed = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE))


def _hide(face: np.ndarray, spec: Augmentation, rng: np.random.Generator) -> None:
    """Hide a rectangle or a side of one face, in place."""
    size = len(face)
    fill = rng.integers(0, 256)
    if rng.random() < spec.erase:
        height, width = rng.integers(size // 8, size // 2, 2)
        top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
        face[top:top + height, left:left + width] = fill
    if rng.random() < spec.half:
        cut = rng.integers(size // 5, size // 2 + 1)
        np.rot90(face, int(rng.integers(4)))[:cut] = fill


def augment_faces(pixels: np.ndarray, spec: Augmentation | None, rng: np.random.Generator) -> np.ndarray:
    """Return faces, uint8 (N, S, S), changed at random; without a `spec`, as they are."""
    if spec is None:
        return pixels
    n, size = len(pixels), pixels.shape[1]
    matrices = affine_matrices(n, size, spec, rng)
    gamma = np.exp(rng.uniform(-1, 1, (n, 1)) * np.log(spec.gamma))
    contrast = 1 + rng.uniform(-spec.contrast, spec.contrast, (n, 1))
    curves = gray_curve(gamma, contrast, rng.uniform(-spec.brightness, spec.brightness, (n, 1)))
    blurred, packed = rng.random(n) < spec.blur, rng.random(n) < spec.jpeg
    out = np.empty_like(pixels)
    for i in range(n):
        face = cv2.warpAffine(pixels[i], matrices[i], (size, size), flags=cv2.INTER_LINEAR,
                              borderMode=cv2.BORDER_REPLICATE)
        if blurred[i]:
            face = cv2.GaussianBlur(face, (0, 0), rng.uniform(0.5, 1.3))
        if packed[i]:
            face = jpeg(face, int(rng.integers(20, 60)))
        out[i] = curves[i][face]
        if spec.erase or spec.half:
            _hide(out[i], spec, rng)
    noisy = np.flatnonzero(rng.random(n) < spec.noise)
    if noisy.size:
        sigma = rng.uniform(2, 12, (noisy.size, 1, 1))
        grain = rng.standard_normal((noisy.size, size, size), np.float32) * sigma
        out[noisy] = np.rint(np.clip(out[noisy] + grain, 0, 255)).astype(np.uint8)
    return out


def random_crops(x: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a square of `side` pixels at a random place out of each face, float32 (N, H, W, C); 0 cuts nothing."""
    if not side:
        return x
    top, left = rng.integers(0, x.shape[1] - side + 1, (2, len(x)))
    squares = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))  # (N, tops, lefts, C, side, side)
    return np.ascontiguousarray(squares[np.arange(len(x)), top, left].transpose(0, 2, 3, 1))


def mixup(x: np.ndarray, y: np.ndarray, alpha: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Blend each face and its label with another of the batch (Zhang et al. 2018, mixup).

    `x` is float32 (N, H, W, C), `y` float32 (N, classes). `alpha` is that of the Beta distribution; 0 blends nothing.
    """
    if not alpha:
        return x, y
    share = rng.beta(alpha, alpha, len(x)).astype(np.float32)
    share = np.maximum(share, 1 - share)
    other = rng.permutation(len(x))
    sx, sy = share[:, None, None, None], share[:, None]
    return x * sx + x[other] * (1 - sx), y * sy + y[other] * (1 - sy)
