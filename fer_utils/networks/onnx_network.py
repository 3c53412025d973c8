"""A network that has only its model.onnx, with the few methods of a Keras model that this project calls."""

from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..errors import DataError


class OnnxNetwork:
    """A ``model.onnx`` in ONNX Runtime: float32 (N, H, W, C) → probabilities, float32 (N, 7).

    It answers, but cannot be trained or explained: `layers`, `get_weights` and the like raise `DataError`.
    """

    def __init__(self, path: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise DataError(f"{path}: not readable by ONNX Runtime ({error}); fetch or adopt it again") from error
        self._path = path
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._input = inputs[0].name
        self.name = path.parent.name
        self.input_shape, self.output_shape = (
            tuple(size if isinstance(size, int) else None for size in one[0].shape) for one in (inputs, outputs))

    def __call__(self, x: np.ndarray, training: bool = False) -> np.ndarray:
        """Return the probabilities of faces, as a Keras model that is called."""
        return self.predict_on_batch(x)

    def predict(self, x: np.ndarray, verbose: Any = "auto") -> np.ndarray:
        """Return the probabilities of faces, as Keras's method of this name."""
        return self.predict_on_batch(x)

    def predict_on_batch(self, x: np.ndarray) -> np.ndarray:
        """Return the probabilities of faces, as Keras's method of this name."""
        return self._session.run(None, {self._input: np.asarray(x, np.float32)})[0]

    def __getattr__(self, name: str) -> NoReturn:
        """Say why what needs a Keras model (Grad-CAM, training, export) cannot be done with this network."""
        if name.startswith("_"):
            raise AttributeError(name)
        raise DataError(f"{self._path.parent}: has no model.keras, only model.onnx, which answers but has no {name!r}; "
                        "Grad-CAM, further training and export need a network that was trained here")
