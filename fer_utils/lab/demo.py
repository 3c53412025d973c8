"""The moving picture of the README: the live view on a made-up scene, as an animated WebP file."""
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from ..data.drawn_face import PROTOTYPES, Units, draw_person
from ..files import whole
from ..vision.draw import annotate_live
from ..vision.images import read_photo
from ..vision.pipeline import Pipeline
from ..vision.predict import live_predictor
from ..vision.scenes import empty_scenes
from ..vision.video import Frame

DEMO_WIDTH, DEMO_HEIGHT, SECONDS, FRAMES = 720, 400, 10, 150
QUALITY = 75  # of WebP, up to 100
_SHOWN = (("neutral", 0), ("happy", 1), ("surprise", 0), ("fear", 0), ("sad", 1), ("angry", 0), ("disgust", 0))
"""What the drawn person shows, one after the other: an emotion and which of its `PROTOTYPES`."""
_HELD = 0.5  # share of an expression's time in which it stays as it is
_PERSON, _SIDE, _CORNER = 66, 244, 16  # seed of the drawn person; a portrait's height and its round corners in pixels
_TONES = (0, 70, 150, 215, 255)
_COLOURS = ((22, 18, 20), (104, 66, 50), (214, 158, 124), (248, 216, 186), (255, 247, 235))
"""Colours, RGB, of some gray levels of the drawn person."""


def write_demo(path: Path | str, frames: int = FRAMES) -> None:
    """Write an animated WebP that ends as it begins: two portraits with what `fer_net` sees in them.

    One person is drawn and changes her expression; the other is Grace Hopper, whose portrait, in the public domain,
    matplotlib ships. Faces are found by Haar's cascade, which every installation has, so everybody gets the same
    picture. It lasts `SECONDS`, whatever the number of `frames`.
    """
    from PIL import Image

    path = Path(path)
    if path.is_dir() or path.suffix.lower() != ".webp":
        raise ValueError(f"{path}: the moving picture is written in the format WebP; name a file that ends in .webp")
    if frames < 1:
        raise ValueError(f"a moving picture needs at least one frame, got {frames}")
    pipeline, pictures = Pipeline(live_predictor("fer_net", "haar"), search_every=1), []
    path.parent.mkdir(parents=True, exist_ok=True)  # before the work
    lead = -(-2 * frames // SECONDS)  # two seconds that are not shown fill the means over time
    for i in range(lead + frames):
        scene, time = draw_scene((i - lead) % frames / frames), i * SECONDS / frames
        pipeline.step(Frame(scene, time, i))
        if i >= lead:
            pictures.append(Image.fromarray(annotate_live(scene, pipeline.recent(time))))
    with whole(path) as part:
        pictures[0].save(part, "WEBP", save_all=True, append_images=pictures[1:], loop=0, quality=QUALITY, method=4,
                         duration=round(1000 * SECONDS / frames))


def draw_scene(phase: float) -> np.ndarray:
    """Draw the two portraits at a phase from 0 to 1: uint8 (DEMO_HEIGHT, DEMO_WIDTH, 3) RGB."""
    scene, real = _background().copy(), _real_portrait()
    sway, nod = np.sin(2 * np.pi * phase), np.cos(2 * np.pi * phase)
    _hang(scene, _drawn_portrait(phase), 18 + round(8 * sway), 78 + round(16 * nod))
    _hang(scene, real, 376 + round(8 * nod), 78 - round(16 * sway))
    return scene


@cache
def _background() -> np.ndarray:
    """Return a photo without people, out of focus as behind a face."""
    return cv2.GaussianBlur(cv2.resize(empty_scenes()[0][:356], (DEMO_WIDTH, DEMO_HEIGHT)), (0, 0), 7)


@cache
def _real_portrait() -> np.ndarray:
    from matplotlib.cbook import get_sample_data

    photo = read_photo(get_sample_data("grace_hopper.jpg", asfileobj=False))[:420, 60:420]
    return cv2.resize(photo, (photo.shape[1] * _SIDE // len(photo), _SIDE), interpolation=cv2.INTER_AREA)


def _hang(scene: np.ndarray, portrait: np.ndarray, left: int, top: int) -> None:
    """Lay a portrait with round corners on a scene in place."""
    height, width = portrait.shape[:2]
    inner = np.zeros((height, width), np.uint8)
    inner[_CORNER:-_CORNER, _CORNER:-_CORNER] = 1
    away = cv2.distanceTransform(1 - inner, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    opaque = np.clip(_CORNER + 0.5 - away, 0, 1)[..., None]
    under = scene[top:top + height, left:left + width]
    under[:] = np.rint(under + opaque * (portrait - under.astype(np.float32)))


def _drawn_portrait(phase: float) -> np.ndarray:
    """Draw the person before a light wall: uint8 (_SIDE, _SIDE, 3) RGB."""
    tone, person = draw_person(_expression(phase), np.random.default_rng(_PERSON), _SIDE)
    levels = np.interp(np.arange(256)[:, None], _TONES, np.arange(len(_TONES)))
    colours = np.stack([np.interp(levels[:, 0], np.arange(len(_TONES)), channel) for channel in zip(*_COLOURS)], 1)
    wall = np.linspace(238, 205, _SIDE)[:, None, None] * (0.93, 0.97, 1.0)
    skin = colours[np.clip(np.rint(tone / np.maximum(person, 1e-3)), 0, 255).astype(int)]
    return np.rint(skin * person[..., None] + wall * (1 - person[..., None])).astype(np.uint8)


def _expression(phase: float) -> Units:
    """Return the expression at a phase: each is held for a while, then passes smoothly into the next."""
    place = phase * len(_SHOWN)
    now, passed = int(place), max(0.0, (place % 1 - _HELD) / (1 - _HELD))
    one, other = (np.array(PROTOTYPES[name][which])
                  for name, which in (_SHOWN[k % len(_SHOWN)] for k in (now, now + 1)))
    return Units(*(one + passed**2 * (3 - 2 * passed) * (other - one)).tolist())
