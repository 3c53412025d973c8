"""The one function that turns faces into a network's input: for training, evaluation, webcam, uploads and export."""
from dataclasses import asdict, dataclass, fields

import cv2
import numpy as np

from ..labels import EMOTIONS, N_CLASSES

SCALINGS = ("unit", "standard")


@dataclass(frozen=True)
class FaceSpec:
    """What a network wants its faces to look like; stored with each model.

    Parameters
    ----------
    size : int
        Height and width in pixels.
    channels : int
        1 (gray) or 3 (the gray value three times).
    scaling : str
        "unit": gray value / 255, so [0, 1]. "standard": each face to zero mean and unit variance, which
        takes lighting and camera exposure out.

    Raises
    ------
    ValueError
        A value is not one of these.
    """

    size: int = 48
    channels: int = 1
    scaling: str = "unit"

    def __post_init__(self):
        if not (isinstance(self.size, int) and self.size >= 8):
            raise ValueError(f"FaceSpec.size must be a whole number of at least 8 pixels, got {self.size!r}")
        if self.channels not in (1, 3):
            raise ValueError(f"FaceSpec.channels must be 1 (gray) or 3, got {self.channels!r}")
        if self.scaling not in SCALINGS:
            raise ValueError(f"FaceSpec.scaling must be one of {', '.join(SCALINGS)}, got {self.scaling!r}")

    @property
    def input_shape(self):
        """Shape of one face as the network takes it: (height, width, channels)."""
        return (self.size, self.size, self.channels)

    def to_dict(self):
        """Return the fields as a dict that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Make a FaceSpec from `to_dict`'s result; an unknown key raises ValueError."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"FaceSpec has no {sorted(unknown)}; it has {[f.name for f in fields(cls)]}")
        return cls(**values)


def to_gray(face):
    """Return one face crop as uint8 gray.

    Parameters
    ----------
    face : ndarray
        uint8, (H, W) gray, (H, W, 1) gray, (H, W, 3) RGB or (H, W, 4) RGBA.

    Returns
    -------
    ndarray
        uint8 (H, W).

    Raises
    ------
    ValueError
        Another shape or dtype, or an empty crop.
    """
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


def face_to_tensor(faces, spec):
    """Make a network's input from faces.

    Every path in this project goes through here, so that a network meets at the webcam what it met in training.

    Parameters
    ----------
    faces : ndarray or sequence of ndarray
        uint8. A stack (N, H, W) of gray faces or (N, H, W, C); or a list of crops of any sizes, each as
        `to_gray` takes it. Colours are RGB.
    spec : FaceSpec

    Returns
    -------
    ndarray
        float32 (N, spec.size, spec.size, spec.channels); [0, 1] under "unit", zero mean and unit variance
        per face under "standard".

    Raises
    ------
    ValueError
        A face is not an image; a single face without its leading axis.
    """
    if isinstance(faces, np.ndarray) and (faces.ndim < 3 or (
            faces.ndim == 3 and faces.shape[2] in (3, 4) and faces.shape[1] > 4)):
        raise ValueError(f"faces must be a stack (N, H, W) or a list of crops, got shape {faces.shape}; "
                         "for one face write faces[None]")
    size = (spec.size, spec.size)
    if isinstance(faces, np.ndarray) and faces.ndim == 3 and faces.shape[1:] == size:
        if faces.dtype != np.uint8:
            raise ValueError(f"a face must be uint8 with values 0 to 255, got {faces.dtype}")
        gray = faces
    else:
        gray = np.empty((len(faces), *size), np.uint8)
        for i, face in enumerate(faces):
            face = to_gray(face)
            # Averaging areas is right when shrinking; it would leave blocks when enlarging.
            shrink = face.shape[0] > spec.size or face.shape[1] > spec.size
            gray[i] = cv2.resize(face, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
    x = gray[..., None].astype(np.float32)
    if spec.scaling == "unit":
        x /= 255
    else:
        x -= x.mean(axis=(1, 2, 3), keepdims=True)
        # A blank face has no variance; one gray level is the least a camera can tell.
        x /= np.maximum(x.std(axis=(1, 2, 3), keepdims=True), 1)
    return np.repeat(x, spec.channels, axis=3) if spec.channels > 1 else x


def one_hot(emotion):
    """Return labels as one-hot rows.

    Parameters
    ----------
    emotion : array_like of int, (N,)
        0 to 6.

    Returns
    -------
    ndarray
        float32 (N, 7).

    Raises
    ------
    ValueError
        A label outside 0 to 6, unlabelled (-1) ones included.
    """
    emotion = np.asarray(emotion)
    bad = np.flatnonzero((emotion < 0) | (emotion >= N_CLASSES))
    if bad.size:
        raise ValueError(f"label {emotion[bad[0]]} of row {bad[0]} is not 0 to {N_CLASSES - 1} "
                         f"({', '.join(EMOTIONS)}); leave unlabelled faces out first")
    return np.eye(N_CLASSES, dtype=np.float32)[emotion]
