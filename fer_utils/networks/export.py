"""Write a trained network as ONNX, which runs without TensorFlow."""

import contextlib
import io
import logging
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError, MissingExtraError, naming_the_extra
from ..files import whole, why_unreadable
from .backend import import_keras
from .runs import load_model, run_folder

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-4
"""How much a probability may differ between Keras and ONNX Runtime."""


def write_onnx(model: "keras.Model", path: Path | str) -> None:
    """Write a Keras model as ONNX: float32, any batch size; what the exporters print is held back."""
    if import_keras().backend.backend() != "tensorflow":
        raise RuntimeError("writing ONNX needs Keras's TensorFlow backend: unset KERAS_BACKEND and export again")
    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # only a model that has been called can be traced
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # tf2onnx's, about NumPy
        model.export(path, format="onnx", verbose=False)


def export_onnx(name: Path | str) -> tuple[Path, float]:
    """Write the ``model.onnx`` of a trained network into its folder and compare it with ``model.keras``.

    Returns the file and the largest difference of a probability on 64 random faces; RuntimeError, and no file, where
    it is above `TOLERANCE`.
    """
    import onnxruntime

    folder = run_folder(name)
    model, card = load_model(name)
    x = np.random.default_rng(0).standard_normal((64, *card.spec.input_shape), np.float32)
    expected = np.asarray(model(x, training=False))
    with whole(folder / "model.onnx") as part:
        write_onnx(model, part)
        # Not by its path: ONNX Runtime takes none that is not UTF-8.
        session = onnxruntime.InferenceSession(part.read_bytes(), providers=["CPUExecutionProvider"])
        difference = float(np.abs(session.run(None, {session.get_inputs()[0].name: x})[0] - expected).max())
        if difference > TOLERANCE:
            raise RuntimeError(f"{folder}: ONNX Runtime's probabilities differ from Keras's by {difference:.1e}")
    return folder / "model.onnx", difference


def onnx_file(name: Path | str) -> Path:
    """Return the ``model.onnx`` of a trained network; where it is missing, it is written first, which takes TensorFlow.

    The larger networks are shared without it. `DataError` where it cannot be written or read.
    """
    path = run_folder(name) / "model.onnx"
    if not path.exists():
        print(f"{str(path)!r} is not there yet: writing it, once", file=sys.stderr)
        try:
            with naming_the_extra():
                export_onnx(name)
        except (MissingExtraError, OSError, RuntimeError) as error:
            raise DataError(f"{path}: is not there, and could not be written ({error}); write it where that works: "
                            f"python -m fer_utils export {name}") from error
    if problem := why_unreadable(path):
        raise DataError(f"{path}: {problem}")
    return path
