"""From a photo or frame to faces with probabilities: all faces of a frame in one batch, without TensorFlow."""
import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..errors import DataError
from ..labels import EMOTIONS, N_CLASSES
from ..metrics import apply_temperature
from ..networks.checked import check_answers
from ..networks.export import onnx_file
from ..networks.runs import read_card
from ..networks.spec import face_to_tensor
from .detect import DETECTORS, Detection, Detector, crop_face, live_detector, make_detector
from .images import to_rgb

ENGINES = ("onnx", "keras")


@dataclass(frozen=True)
class Face:
    """One face of an image, with what a network sees in it.

    `box` is (left, top, width, height) in whole pixels within the image; `score` is the detector's confidence, 0 to 1;
    `probabilities` are float32 (7,), calibrated, in `EMOTIONS` order.
    """

    box: tuple[int, int, int, int]
    score: float
    probabilities: np.ndarray

    @property
    def emotion(self) -> str:
        """The most probable emotion."""
        return EMOTIONS[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """Its probability."""
        return float(self.probabilities.max())

    def to_dict(self) -> dict[str, Any]:
        """Return the face as JSON holds it."""
        return {"box": list(self.box), "score": round(self.score, 4), "emotion": self.emotion,
                "probabilities": {name: round(float(p), 4) for name, p in zip(EMOTIONS, self.probabilities)}}


class Predictor:
    """Find faces and name their expressions.

    `model` is a trained network's name in models/ or models/runs/, or its folder; `detector` is "auto", "yunet", "haar"
    or a `Detector`. The engines "onnx" and "keras" give the same probabilities to 1e-4; `threads` are ONNX Runtime's,
    by default one for each core. A missing model.onnx is written first. Raises `DataError` where the network's or the
    detector's file is not there.
    """

    def __init__(self, model: str | Path = "fer_net", detector: str | Detector = "auto", engine: str = "onnx",
                 threads: int | None = None):
        if engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
        self.card = read_card(model)
        self.spec = self.card.spec
        self.detector = make_detector(detector) if isinstance(detector, str) else detector
        self._network = (_onnx if engine == "onnx" else _keras)(model, threads)
        check_answers(self._network, self.spec, self.card.folder / f"model.{engine}")

    def with_detector(self, detector: Detector) -> Self:
        """Return this predictor with another detector; both share one network."""
        other = copy.copy(self)
        other.detector = detector
        return other

    def probabilities(self, crops: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Return calibrated probabilities of face crops of any sizes, uint8 gray or RGB: float32 (N, 7)."""
        if len(crops) == 0:
            return np.empty((0, N_CLASSES), np.float32)
        return apply_temperature(self._network(face_to_tensor(crops, self.spec)), self.card.temperature)

    def classify(self, image: np.ndarray, detections: Sequence[Detection],
                 on_stage: Callable[[str], None] | None = None) -> list[Face]:
        """Return the faces of detections in an image, uint8 (H, W, 3) RGB; all go through the network in one batch.

        `on_stage` is called with "crop" and "classify", each when that stage is done.
        """
        crops = [crop_face(image, found, self.detector.margin) for found in detections]
        if on_stage:
            on_stage("crop")
        rows = self.probabilities(crops)
        if on_stage:
            on_stage("classify")
        return [Face(_whole_box(found, image), found.score, row) for found, row in zip(detections, rows)]

    def faces(self, image: np.ndarray) -> list[Face]:
        """Find and classify the faces of an image, largest first; it is anything that `images.to_rgb` takes."""
        image = to_rgb(image)
        return self.classify(image, self.detector.detect(image))


def live_predictor(model: str | Path | Predictor = "fer_net", detector: str | None = None) -> Predictor:
    """Make a predictor for live frames, which are searched for faces at `LIVE_SIDE` pixels.

    A predictor that is given is not changed, and its kind of detector ("yunet", "haar") is kept unless `detector`
    names another.
    """
    if isinstance(model, (str, Path)):
        return Predictor(model, live_detector(detector or "auto"))
    name = detector or model.detector.name
    return model.with_detector(live_detector(name)) if name in (*DETECTORS, "auto") else model


def _whole_box(found: Detection, image: np.ndarray) -> tuple[int, int, int, int]:
    """Return a box in whole pixels, cut to the image."""
    x, y, width, height = found.box
    left, top = int(np.clip(round(x), 0, image.shape[1] - 1)), int(np.clip(round(y), 0, image.shape[0] - 1))
    right = int(np.clip(round(x + width), left + 1, image.shape[1]))
    bottom = int(np.clip(round(y + height), top + 1, image.shape[0]))
    return left, top, right - left, bottom - top


def _onnx(model: str | Path, threads: int | None) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    path = onnx_file(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = 3
    # Its idle threads would spin, and take the cores from the face detector between two frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # Not by its path: ONNX Runtime takes none that is not UTF-8.
        session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise DataError(f"{path}: not readable by ONNX Runtime ({error}); write it again with: "
                        f"python -m fer_utils export {model}") from error
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def _keras(model: str | Path, threads: int | None) -> Callable[[np.ndarray], np.ndarray]:
    from ..networks.runs import load_model

    network = load_model(model)[0]
    return lambda x: np.asarray(network(x, training=False))
