"""Pictures of the page without a server: example photos of drawn faces, and the emoji."""
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ..data.drawn import draw_face
from ..labels import EMOTIONS
from ..vision.emoji import draw_emoji
from ..vision.images import encode_image

EMOJI_SIDE = 72
_TINT = np.array((1.0, 0.93, 0.86))  # drawn faces are gray; this makes them a little warmer
_FACE, _FRAME, _GAP, _ABOVE = 230, 14, 34, 72  # pixels: a drawn face, the paper around it, the wall beside and above it
# The emotions of each example picture, and where the drawing of each face begins.
EXAMPLES = {"one": (("happy",), 4), "two": (("surprise", "neutral"), 10), "seven": (EMOTIONS, 30)}


def write_pictures(folder: Path | str) -> None:
    """Write ``example-one.jpg`` and so on, and ``emoji-angry.png`` and so on, into a folder."""
    for name, (emotions, seed) in EXAMPLES.items():
        (Path(folder) / f"example-{name}.jpg").write_bytes(encode_image(draw_wall(emotions, seed), 82))
    for emotion in EMOTIONS:
        (Path(folder) / f"emoji-{emotion}.png").write_bytes(encode_image(draw_emoji(emotion, EMOJI_SIDE)))


def draw_wall(emotions: Sequence[str], seed: int, columns: int = 4) -> np.ndarray:
    """Draw portraits, one of each emotion, as prints on a coloured wall: uint8 (H, W, 3) RGB."""
    side, columns = _FACE + 2 * _FRAME, min(columns, len(emotions))
    rows = -(-len(emotions) // columns)
    step = side + _GAP
    wall = np.full((rows * (side + _ABOVE) + _GAP, columns * step + _GAP, 3), (206, 217, 226), np.uint8)
    for i, emotion in enumerate(emotions):
        row, column = divmod(i, columns)
        indent = step * (columns - min(len(emotions) - row * columns, columns)) // 2  # the last row is in the middle
        x, y = _GAP + column * step + indent, _ABOVE + row * (side + _ABOVE)
        face = cv2.resize(draw_face(EMOTIONS.index(emotion), seed + i, 2 * _FACE), (_FACE, _FACE),
                          interpolation=cv2.INTER_AREA)
        wall[y + 8:y + side + 8, x + 5:x + side + 5] = (168, 180, 190)  # its shadow
        wall[y:y + side, x:x + side] = 250
        wall[y + _FRAME:y + side - _FRAME, x + _FRAME:x + side - _FRAME] = face[..., None] * _TINT
    return wall
