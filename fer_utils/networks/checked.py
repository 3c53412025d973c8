"""Whether a network that was read from a file is what its card says: faces in, probabilities of the emotions out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..labels import N_CLASSES
from .spec import FaceSpec


def check_answers(answer: Callable[[np.ndarray], Any], spec: FaceSpec, file: Path) -> None:
    """Raise a `DataError` if a network, asked about two faces, does not answer with probabilities of the emotions."""
    faces = np.random.default_rng(0).random((2, spec.size, spec.size, spec.channels), np.float32)
    try:
        rows = np.asarray(answer(faces))
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise _other_network(file, f"cannot take what its card.json says, faces of {spec.size}×{spec.size} pixels in "
                             f"{spec.channels} channels ({str(error).strip().partition(chr(10))[0][:200]})") from error
    if rows.shape != (2, N_CLASSES):
        raise _other_network(file, f"answers two faces with an array of shape {rows.shape}, not (2, {N_CLASSES})")
    # Rounding makes a sum of 1.0001; logits, and NaN, are far from it.
    if not (rows.min() > -0.01 and np.abs(rows.sum(axis=1) - 1).max() < 0.01):
        raise _other_network(file, "gives numbers that are no probabilities, which are from 0 to 1 and add up to 1")


def check_shapes(model: Any, spec: FaceSpec, file: Path) -> None:
    """Raise a `DataError` if a model's shapes are not those of its card; this takes no time, unlike an answer."""
    taken, given = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    wanted = (None, spec.size, spec.size, spec.channels)
    fits = isinstance(taken, tuple) and len(taken) == 4 and all(
        have in (None, want) or want is None for have, want in zip(taken, wanted))
    if not fits or not isinstance(given, tuple) or given[1:] != (N_CLASSES,):
        raise _other_network(file, f"takes {taken} and gives {given}, but by its card.json it takes {wanted} and gives "
                             f"{(None, N_CLASSES)}")


def _other_network(file: Path, problem: str) -> DataError:
    return DataError(f"{file}: {problem}; the file belongs to another network or is damaged, so fetch or make it again")
