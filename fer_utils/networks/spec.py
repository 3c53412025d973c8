"""The one function that turns faces into the input of a network, in training and everywhere after it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..labels import EMOTIONS, N_CLASSES

SCALINGS = ("unit", "standard")
"""The gray value / 255, so [0, 1]; or each face with zero mean and unit variance, without its light and exposure."""
ENLARGING = {"cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR}
"""How a smaller face grows to a network's size. Other projects mostly take OpenCV's default, linear; a network that was
trained so loses a percentage point with cubic."""


@dataclass(frozen=True)
class FaceSpec:
    """What the faces of a network look like; stored with each model. A value that is not allowed raises ValueError."""

    size: int = 48  # height and width in pixels
    channels: int = 1  # 1: gray; 3: the gray value three times
    scaling: str = "unit"  # one of `SCALINGS`
    enlarge: str = "cubic"  # one of `ENLARGING`

    def __post_init__(self) -> None:
        if not (isinstance(self.size, int) and self.size >= 8):
            raise ValueError(f"FaceSpec.size must be a whole number of at least 8 pixels, got {self.size!r}")
        if self.channels not in (1, 3):
            raise ValueError(f"FaceSpec.channels must be 1 (gray) or 3, got {self.channels!r}")
        if self.scaling not in SCALINGS:
            raise ValueError(f"FaceSpec.scaling must be one of {', '.join(SCALINGS)}, got {self.scaling!r}")
        if self.enlarge not in ENLARGING:
            raise ValueError(f"FaceSpec.enlarge must be one of {', '.join(ENLARGING)}, got {self.enlarge!r}")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one face as the network takes it: (height, width, channels)."""
        return (self.size, self.size, self.channels)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict that JSON can hold; cubic enlarging, which most networks have, is left out."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("enlarge", "cubic")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "FaceSpec":
        """Make a FaceSpec from the result of `to_dict`; an unknown key raises ValueError."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"FaceSpec has no {sorted(unknown)}; it has {[f.name for f in fields(cls)]}")
        return cls(**values)


def to_gray(face: np.ndarray) -> np.ndarray:
    """Return one face crop, uint8, as gray (H, W): from gray, (H, W, 1), RGB or RGBA; ValueError if it is none."""
    face = np.asarray(face)
    if face.dtype != np.uint8:
        raise ValueError(f"a face must be uint8 with values 0 to 255, got {face.dtype}")
    if face.size == 0:
        raise ValueError(f"a face must have at least one pixel, got shape {face.shape}")
    if face.ndim == 2:
        return face
    if face.ndim == 3 and face.shape[2] == 1:
        return face[:, :, 0]
    if face.ndim == 3 and face.shape[2] in (3, 4):
        return cv2.cvtColor(face, cv2.COLOR_RGB2GRAY if face.shape[2] == 3 else cv2.COLOR_RGBA2GRAY)
    raise ValueError(f"a face must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got shape {face.shape}")


def face_to_tensor(faces: np.ndarray | Sequence[np.ndarray], spec: FaceSpec) -> np.ndarray:
    """Make the input of a network from faces.

    All code of this project goes through here, so that a network gets at the webcam what it got in training. `faces`
    are uint8: a stack (N, H, W) or (N, H, W, C), or a list of crops of any sizes, each as `to_gray` takes it. The
    result is float32 (N, spec.size, spec.size, spec.channels).

    >>> face_to_tensor(np.full((2, 48, 48), 255, np.uint8), FaceSpec(size=48, channels=1, scaling="unit")).shape
    (2, 48, 48, 1)
    """
    if isinstance(faces, np.ndarray) and (faces.ndim < 3 or (
            faces.ndim == 3 and faces.shape[2] in (3, 4) and faces.shape[1] > 4)):
        raise ValueError(f"faces must be a stack (N, H, W) or a list of crops, got shape {faces.shape}; "
                         "for one face write faces[None]")
    size = (spec.size, spec.size)
    if isinstance(faces, np.ndarray) and faces.dtype == np.uint8 and faces.shape[1:] == size:
        gray = faces
    else:
        gray = np.empty((len(faces), *size), np.uint8)
        for i, face in enumerate(map(to_gray, faces)):
            # Averaging areas is right to shrink a face, but leaves blocks where it grows.
            shrink = face.shape[0] > spec.size or face.shape[1] > spec.size
            gray[i] = cv2.resize(face, size, interpolation=cv2.INTER_AREA if shrink else ENLARGING[spec.enlarge])
    x = gray[..., None].astype(np.float32)
    if spec.scaling == "unit":
        x /= 255
    else:
        x -= x.mean(axis=(1, 2, 3), keepdims=True)
        # A blank face has no variance; one gray level is the least that a camera can tell apart.
        x /= np.maximum(x.std(axis=(1, 2, 3), keepdims=True), 1)
    return np.repeat(x, spec.channels, axis=3) if spec.channels > 1 else x


def one_hot(emotion: ArrayLike) -> np.ndarray:
    """Return labels 0 to 6, (N,), as one-hot rows, float32 (N, 7); other labels, -1 too, raise ValueError."""
    emotion = np.asarray(emotion)
    bad = np.flatnonzero((emotion < 0) | (emotion >= N_CLASSES))
    if bad.size:
        raise ValueError(f"label {emotion[bad[0]]} of row {bad[0]} is not 0 to {N_CLASSES - 1} "
                         f"({', '.join(EMOTIONS)}); leave unlabelled faces out first")
    return np.eye(N_CLASSES, dtype=np.float32)[emotion]
