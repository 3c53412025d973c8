"""From a photo or frame to faces with probabilities: all faces of a frame in one batch, without TensorFlow."""
import copy
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..labels import EMOTIONS, N_CLASSES
from ..metrics import apply_temperature
from ..networks.runs import read_card, run_folder
from ..networks.spec import FaceSpec, face_to_tensor
from .detect import DETECTORS, LIVE_SIDE, Detection, crop_face, live_detector, make_detector
from .images import to_rgb


def live_predictor(model="fer_net", detector=None, side=LIVE_SIDE):
    """Make a predictor for live frames.

    Parameters
    ----------
    model : str, Path or predict.Predictor
        A network's name or folder, or a predictor: it is not changed, and its kind of detector is kept.
    detector : str, optional
        "auto", "yunet" or "haar".
    side : int
        As in `live_detector`.

    Returns
    -------
    predict.Predictor
    """
    if isinstance(model, (str, Path)):
        return Predictor(model, live_detector(detector or "auto", side))
    predictor = copy.copy(model)
    name = detector or predictor.detector.name
    if name in (*DETECTORS, "auto"):
        predictor.detector = live_detector(name, side)
    return predictor


ENGINES = ("onnx", "keras")


@dataclass(frozen=True)
class Face:
    """One face of an image, with what a network sees in it.

    Parameters
    ----------
    box : (int, int, int, int)
        Left, top, width, height in pixels; within the image.
    score : float
        The detector's confidence, 0 to 1.
    probabilities : ndarray
        float32 (7,), calibrated, in `EMOTIONS` order.
    """

    box: tuple
    score: float
    probabilities: np.ndarray

    @property
    def emotion(self):
        """The most probable emotion's name."""
        return EMOTIONS[int(self.probabilities.argmax())]

    @property
    def confidence(self):
        """The most probable emotion's probability."""
        return float(self.probabilities.max())

    def to_dict(self):
        """Return the face as JSON holds it."""
        return {"box": list(self.box), "score": round(self.score, 4), "emotion": self.emotion,
                "probabilities": {name: round(float(p), 4) for name, p in zip(EMOTIONS, self.probabilities)}}


class Predictor:
    """Find faces and name their expressions.

    Parameters
    ----------
    model : str or Path
        A trained network: a name in models/ or models/runs/, or its folder.
    detector : str or detector
        "auto", "yunet", "haar", or an object with `detect(image)`, `name` and `margin`.
    engine : str
        "onnx" (ONNX Runtime) or "keras"; both give the same probabilities to 1e-4.
    threads : int, optional
        CPU threads of ONNX Runtime; by default one a core.

    Raises
    ------
    DataError
        The network, its ONNX file or the detector's file is not there.
    ValueError
        Unknown engine or detector.
    """

    def __init__(self, model="fer_net", detector="auto", engine="onnx", threads=None):
        if engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
        self.card = read_card(model)
        self.spec = FaceSpec.from_dict(self.card["spec"])
        self.temperature = self.card["temperature"] or 1.0
        self.detector = make_detector(detector) if isinstance(detector, str) else detector
        self._network = (_onnx if engine == "onnx" else _keras)(model, threads)

    def probabilities(self, crops):
        """Return calibrated probabilities of face crops.

        Parameters
        ----------
        crops : ndarray or list of ndarray
            As `preprocess.face_to_tensor` takes them: uint8 gray or RGB, any sizes.

        Returns
        -------
        ndarray
            float32 (N, 7), rows sum to 1, columns in `EMOTIONS` order.
        """
        if len(crops) == 0:
            return np.empty((0, N_CLASSES), np.float32)
        return apply_temperature(self._network(face_to_tensor(crops, self.spec)), self.temperature)

    def classify(self, image, detections):
        """Return the `Face` list of faces already found in an image, uint8 (H, W, 3) RGB."""
        crops = [crop_face(image, found, self.detector.margin) for found in detections]
        return [Face(_whole_box(found, image), found.score, row)
                for found, row in zip(detections, self.probabilities(crops))]

    def faces(self, image):
        """Find and classify the faces of an image.

        Parameters
        ----------
        image : ndarray
            uint8 or uint16; (H, W) gray, (H, W, 3) RGB or (H, W, 4) RGBA, of any size.

        Returns
        -------
        list of Face
            Largest first.
        """
        image = to_rgb(image)
        return self.classify(image, self.detector.detect(image))


def _whole_box(found: Detection, image):
    """Return a box in whole pixels, cut to the image."""
    x, y, width, height = found.box
    left, top = int(np.clip(round(x), 0, image.shape[1] - 1)), int(np.clip(round(y), 0, image.shape[0] - 1))
    right = int(np.clip(round(x + width), left + 1, image.shape[1]))
    bottom = int(np.clip(round(y + height), top + 1, image.shape[0]))
    return left, top, right - left, bottom - top


def _onnx(model, threads):
    import onnxruntime

    path = run_folder(model) / "model.onnx"
    if not path.is_file():
        raise DataError(f"{path}: not there; write it with: python -m fer_utils export {model}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = 3
    # Its idle threads would spin, and take the cores from the face detector between two frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise DataError(f"{path}: not readable by ONNX Runtime ({error}); write it again with: "
                        f"python -m fer_utils export {model}") from error
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def _keras(model, threads):
    from ..networks.runs import load_model

    network = load_model(model)[0]
    return lambda x: np.asarray(network(x, training=False))
