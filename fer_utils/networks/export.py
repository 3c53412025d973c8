"""Write a trained network as ONNX, which runs without TensorFlow."""
import contextlib
import io
import logging
import os
import warnings

import numpy as np

from .backend import import_keras
from .runs import load_model, run_folder
from .spec import FaceSpec

TOLERANCE = 1e-4


def write_onnx(model, path):
    """Write a Keras model as ONNX: float32, any batch size; exporters' chatter is held back."""
    keras = import_keras()
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError("writing ONNX needs Keras's TensorFlow backend: unset KERAS_BACKEND and export again")
    model(np.zeros((1, *model.input_shape[1:]), np.float32))  # the export traces a model that has been called
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # tf2onnx's, about NumPy
        model.export(path, format="onnx", verbose=False)


def export_onnx(name):
    """Write a trained network's ``model.onnx`` beside its ``model.keras`` and compare the two.

    Parameters
    ----------
    name : str or Path
        A name in models/ or models/runs/, or a folder.

    Returns
    -------
    path : Path
    difference : float
        The largest difference of a probability between Keras and ONNX Runtime, on 64 random faces.

    Raises
    ------
    RuntimeError
        They differ by more than 1e-4 (the file is not written), or the backend is not TensorFlow.
    """
    import onnxruntime

    folder = run_folder(name)
    model, card = load_model(name)
    spec = FaceSpec.from_dict(card["spec"])
    x = np.random.default_rng(0).standard_normal((64, *spec.input_shape), np.float32)
    expected = np.asarray(model(x, training=False))
    part = folder / "part.model.onnx"
    try:
        write_onnx(model, part)
        session = onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"])
        difference = float(np.abs(session.run(None, {session.get_inputs()[0].name: x})[0] - expected).max())
        if difference > TOLERANCE:
            raise RuntimeError(f"{folder}: ONNX Runtime's probabilities differ from Keras's by {difference:.1e}")
        os.replace(part, folder / "model.onnx")
    finally:
        part.unlink(missing_ok=True)
    return folder / "model.onnx", difference
