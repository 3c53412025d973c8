"""Make a run folder of a network that was trained elsewhere, so that it can be measured and used like our own."""

import difflib
import hashlib
import re
import warnings
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import files, paths
from ..data.faceset import FaceSet
from ..data.split import Split, split
from ..errors import DataError
from ..labels import EMOTIONS, N_CLASSES, emotion_index
from ..metrics import confusion, fit_temperature
from . import convert, zoo
from .card import Card
from .convert import LAYOUTS, Foreign, Head
from .onnx_network import OnnxNetwork
from .runs import predict_probabilities
from .spec import ENLARGING, FaceSpec, face_to_tensor
from .train import score_parts

if TYPE_CHECKING:
    import onnx

OTHERS = ("contempt", "contemptuous", "calm", "boredom", "bored", "confused", "other", "others", "unknown", "none",
          "nf", "not a face", "-")
"""Names of outputs that are no emotion of FER2013."""
_FACES = 700  # that a network is tried on before it is scored
_TRAIN_FACES = 5000  # of Training that it is scored on, at most
_CLEARLY = 0.1  # so much more accuracy with another order or scale is no chance on as many faces


@dataclass(frozen=True)
class Adoption:
    """What its user knows of a network: the options of the command ``adopt``. ValueError: they disagree."""

    file: Path
    name: str  # of the run folder, and what tables call the network
    labels: tuple[str, ...]  # a name for each of its outputs, in their order
    scale: str  # what it wants of gray values: "-1..1", "0..255", "standard" or "imagenet"
    shape: tuple[int, int, int] | None = None  # (height, width, channels); None: as the file says
    enlarge: str = "linear"  # how its own code makes a face larger: one of `ENLARGING`
    logits: bool = False  # whether its outputs are logits
    source: str = ""  # where it is from, in words

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", self.name):
            raise ValueError(f"--name {self.name}: must be of letters, digits, _, - and ., to name a folder")
        if self.name in zoo.NETWORKS or (paths.MODELS / self.name).exists():
            raise ValueError(f"--name {self.name}: is a network of this project; choose another name")
        if self.shape and (self.shape[0] != self.shape[1] or self.shape[2] not in (1, 3)):
            raise ValueError(f"--input {'x'.join(map(str, self.shape))}: faces are squares here, of 1 channel (gray) "
                             "or 3 (the gray value three times), such as 64x64x1; this network cannot be adopted")
        if self.enlarge not in ENLARGING:
            raise ValueError(f"--enlarge {self.enlarge}: must be one of {', '.join(ENLARGING)}")
        self.head()
        convert.scaling(self.scale, self.shape[2] if self.shape else 3)

    def head(self) -> Head:
        """Return which output is which emotion; ValueError names the label that is wrong."""
        found: dict[int, int] = {}
        strange = []
        for place, label in enumerate(self.labels):
            emotion = emotion_index(label)
            if emotion is None and label.strip().lower() not in OTHERS:
                strange.append(label)
            elif emotion is not None and emotion in found:
                raise ValueError(f"--labels: outputs {found[emotion] + 1} and {place + 1} both mean "
                                 f"{EMOTIONS[emotion]}; give each output its own name, or - if it does not count")
            elif emotion is not None:
                found[emotion] = place
        if strange:
            near = difflib.get_close_matches(strange[0].lower(), EMOTIONS, 1)
            raise ValueError(f"--labels: {strange[0]!r} is not known{f', did you mean {near[0]}?' if near else ';'} "
                             f"emotions are {', '.join(EMOTIONS)}; write contempt, other or - for an output that is "
                             "none of these")
        if len(found) < 2:
            raise ValueError(f"--labels: {', '.join(self.labels)} name fewer than two of {', '.join(EMOTIONS)}; name "
                             "each output in its order, with commas between them")
        emotions = tuple(sorted(found))
        return Head(self.logits, tuple(found[emotion] for emotion in emotions), emotions, len(self.labels))


@dataclass(frozen=True)
class _Fitted:
    """A network in our form, and how it was brought into it."""

    model: "onnx.ModelProto"
    shape: tuple[int, int, int]
    layout: str
    one_by_one: bool


def run_onnx(model: "onnx.ModelProto", x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both outputs of a network that `convert.wrap` made."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a layout that does not fit is tried, too, and is no error
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    probabilities, values = session.run(["probabilities", "values"], {"face": x})
    return probabilities, values


def adopt(wanted: Adoption, faces: FaceSet) -> Path:
    """Read a network, check what is said of it, score it as training scores one, and return its run folder.

    The folder, ``models/runs/<name>``, then holds ``model.onnx``, which takes faces and gives probabilities like those
    of our own networks, ``card.json`` and ``history.csv``, whose one epoch, 0, is the network as it came.

    ValueError: an option contradicts the file or the faces. DataError: the file is no such network.
    """
    folder = paths.RUNS / wanted.name
    if (folder / "card.json").is_file() and not Card.read(folder).adopted:
        raise ValueError(f"--name {wanted.name}: {folder} holds a network that was trained here; choose another name")
    foreign = convert.read_network(wanted.file, wanted.shape)
    parts = split(faces)
    tried = parts.validation[np.unique(np.linspace(0, len(parts.validation) - 1, _FACES).astype(int))]
    fitted = _fit(wanted, foreign, tried.pixels)
    probabilities, values = run_onnx(fitted.model, face_to_tensor(tried.pixels, _spec(wanted, fitted.shape)))
    _check_values(wanted, values)
    _check_answers(wanted, foreign, fitted, tried, probabilities)
    with files.whole(folder / "model.onnx") as part:
        part.write_bytes(_alone(fitted.model))
        card, history = _scored(wanted, foreign, fitted, OnnxNetwork(part), faces, parts)
        (folder / "card.json").unlink(missing_ok=True)  # of an earlier network of this name
    files.write_csv(folder / "history.csv", pd.DataFrame([history]))
    files.write_json(folder / "card.json", card)
    return folder


def _spec(wanted: Adoption, shape: tuple[int, int, int]) -> FaceSpec:
    return FaceSpec(shape[0], shape[2], "standard" if wanted.scale == "standard" else "unit", wanted.enlarge)


def _alone(model: "onnx.ModelProto") -> bytes:
    """Return a network without its second output, which only the checks need."""
    copy = type(model).FromString(model.SerializeToString())
    del copy.graph.output[1:]
    return copy.SerializeToString()


def _shapes(wanted: Adoption, foreign: Foreign) -> list[tuple[str, tuple[int, int, int]]]:
    """Return the layouts in which a network may take faces, each with (height, width, channels)."""
    found: list[tuple[str, tuple[int, int, int]]] = []
    for layout, axes in LAYOUTS.items():
        sizes = foreign.shape[1:]
        if len(sizes) != len(axes):
            continue
        stated = dict(zip(axes, sizes))
        shape = wanted.shape or (stated[0] or 0, stated[1] or 0, stated.get(2, 1) or 0)
        fits = all(size in (None, shape[axis]) for axis, size in stated.items()) and (2 in stated or shape[2] == 1)
        if fits and shape[2] in (1, 3) and shape[0] == shape[1] and shape[0] >= 8:
            found.append((layout, shape))
    if not found:
        said = "×".join("?" if size is None else str(size) for size in foreign.shape) or "a single number"
        asked = f", not {'x'.join(map(str, wanted.shape))}" if wanted.shape else ""
        raise DataError(f"{wanted.file}: takes an array of {said} (first the number of faces){asked}; give height, "
                        "width and channels with --input, such as 64x64x1. Faces are squares here, of 1 or 3 channels")
    return found


def _fit(wanted: Adoption, foreign: Foreign, pixels: np.ndarray) -> _Fitted:
    """Bring a network into our form in the first layout in which it runs and answers as it does in its own library."""
    from onnx import TensorProto

    kinds = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8}
    if foreign.element not in kinds or (foreign.element == TensorProto.UINT8 and wanted.scale != "0..255"):
        kind = TensorProto.DataType.Name(foreign.element).lower()
        raise DataError(f"{wanted.file}: takes numbers of type {kind}; " + (
            "these are gray values as they are: give --scale 0..255" if kind == "uint8" else
            "export it with float inputs (quantise its weights alone)"))
    if foreign.shape[0] not in (None, 1):
        raise DataError(f"{wanted.file}: takes exactly {foreign.shape[0]} faces at once; export it for one face, or "
                        "for any number (dynamic_axes in torch.onnx.export)")
    reason: Exception | None = None
    for layout, shape in _shapes(wanted, foreign):
        x = face_to_tensor(pixels[:4], _spec(wanted, shape))
        try:
            expected = np.concatenate([_own_values(wanted, foreign, layout, face[None]) for face in x])
        except DataError:
            raise
        except Exception as error:  # it takes another layout; each library says so in its own way
            reason = error
            continue
        # Some files for one face take several, and some that leave their number open hold a 1 inside.
        for one_by_one in (False, True):
            model = convert.wrap(foreign, shape, layout, wanted.scale, wanted.head(), one_by_one)
            try:
                values = run_onnx(model, x)[1]
            except Exception as error:  # ONNX Runtime's exceptions share no base class
                reason = error
                continue
            if np.allclose(values, expected, rtol=0.05, atol=0.05):
                return _Fitted(model, shape, layout, one_by_one)
            reason = RuntimeError(f"{np.abs(values - expected).max():.2g} apart from its own library")
    raise DataError(f"{wanted.file}: does not answer after it was converted ({str(reason).strip()[:200]}); check "
                    "--input, or export it as .onnx where it was made")


def _own_values(wanted: Adoption, foreign: Foreign, layout: str, face: np.ndarray) -> np.ndarray:
    """Return what a network gives in its own library for one face of our form, (1, count); DataError: another count."""
    change = convert.scaling(wanted.scale, face.shape[3])
    x = face if change is None else face * change[0] + change[1]
    x = x.transpose(0, *(1 + axis for axis in LAYOUTS[layout])) if x.ndim == 1 + len(LAYOUTS[layout]) else x[..., 0]
    values = np.asarray(foreign.run(x.round() if wanted.scale == "0..255" else x), np.float32)
    if values.size != len(wanted.labels):
        raise DataError(f"{wanted.file}: gives {values.size} values for a face, but --labels names "
                        f"{len(wanted.labels)} ({', '.join(wanted.labels)}); name each output in its order, also one "
                        "that is no emotion of FER2013: contempt, other or -")
    return values.reshape(1, -1)


def _check_values(wanted: Adoption, values: np.ndarray) -> None:
    """Raise what is wrong with a network's own values for some faces, (N, count)."""
    n = f"{len(values)} faces"
    if not np.isfinite(values).all():
        raise DataError(f"{wanted.file}: gives values for {n} that are no numbers (NaN or infinite); check --scale "
                        f"{wanted.scale}, or the file is damaged")
    if len(values) > 1 and np.ptp(values, axis=0).max() < 1e-4:
        raise DataError(f"{wanted.file}: gives the same values for each of {n}; check --scale {wanted.scale} and "
                        "--input, or the file holds untrained weights")
    sums = values.sum(axis=1)
    probable = values.min() >= -1e-3 and np.abs(sums - 1).max() < 0.01
    if wanted.logits and probable:
        raise ValueError(f"--logits: the values of {wanted.file} are probabilities already (at least 0, their sum is "
                         "1); leave --logits out")
    if not wanted.logits and not probable:
        raise ValueError(f"{wanted.file}: its values are no probabilities: they are {values.min():.3g} to "
                         f"{values.max():.3g}, and their sums {sums.min():.3g} to {sums.max():.3g} instead of 1. If "
                         "they are logits (the network ends without softmax), give --logits")


def _check_answers(wanted: Adoption, foreign: Foreign, fitted: _Fitted, tried: FaceSet,
                   probabilities: np.ndarray) -> None:
    """Raise ValueError where another order of labels or another scale fits labelled faces clearly better."""
    from scipy.optimize import linear_sum_assignment

    if tried.drawn:
        warnings.warn("there is no data set, only drawn faces: whether --labels and --scale are right cannot be told; "
                      "adopt it again where FER2013 is", stacklevel=3)
        return
    head = wanted.head()
    matrix = confusion(tried.emotion, probabilities.argmax(axis=1))
    right = matrix.trace() / len(tried)
    known = np.ix_(head.emotions, head.emotions)
    best = linear_sum_assignment(matrix[known].T, maximize=True)[1]  # for each output the emotion that it fits best
    if matrix[known].T[np.arange(len(best)), best].sum() / len(tried) > right + _CLEARLY:
        labels = list(wanted.labels)
        for emotion, fits in zip(head.emotions, best):
            labels[head.outputs[head.emotions.index(emotion)]] = EMOTIONS[head.emotions[fits]]
        raise ValueError(f"--labels {','.join(wanted.labels)}: seem to be in another order than the outputs; only "
                         f"{right:.0%} of {len(tried)} labelled faces are right so. By its answers the order is "
                         f"{','.join(labels)}")
    for scale in ("0..1", "-1..1", "0..255", "standard", *["imagenet"] * (fitted.shape[2] == 3)):
        other = convert.wrap(foreign, fitted.shape, fitted.layout, scale, head, fitted.one_by_one)
        x = face_to_tensor(tried.pixels, _spec(replace(wanted, scale=scale), fitted.shape))
        share = (run_onnx(other, x)[0].argmax(axis=1) == tried.emotion).mean()
        if share > right + _CLEARLY:
            raise ValueError(f"--scale {wanted.scale}: only {right:.0%} of {len(tried)} labelled faces are right so, "
                             f"but {share:.0%} with --scale {scale}; give that")
    usual = np.bincount(tried.emotion, minlength=N_CLASSES).max() / len(tried)
    if right <= usual:
        warnings.warn(f"{wanted.name} is right on {right:.0%} of {len(tried)} faces; to name one emotion always would "
                      f"be right on {usual:.0%}. Check --labels, --scale and --input", stacklevel=3)


def _scored(wanted: Adoption, foreign: Foreign, fitted: _Fitted, network: OnnxNetwork, faces: FaceSet,
            parts: Split) -> tuple[dict[str, Any], dict[str, Any]]:
    """Score a network; return the content of its card.json and the one row of its history.csv."""
    spec, head = _spec(wanted, fitted.shape), wanted.head()
    results, temperature = score_parts(network, spec, faces, parts)
    some = parts.train[::-(-len(parts.train) // _TRAIN_FACES)]
    train = predict_probabilities(network, some.pixels, spec).argmax(axis=1) == some.emotion
    if len(head.emotions) < N_CLASSES:  # faces of the others would ask for a temperature that blurs everything
        part = parts.validation[np.isin(parts.validation.emotion, head.emotions)]
        temperature = round(fit_temperature(part.emotion, predict_probabilities(network, part.pixels, spec)), 4)
    chosen = results[parts.chosen_by]
    history = {"epoch": 0, "train_accuracy": round(float(train.mean()), 5),
               "val_accuracy": round(chosen["accuracy"], 5), "val_macro_f1": round(chosen["macro_f1"], 5)}
    source = wanted.source or wanted.file.name
    return {
        "name": wanted.name, "model": wanted.name,
        "origin": f"not ours, from {source}; its training data is not known to us",
        "config": {"model": wanted.name, "protocol": "official", "balance": "unknown", "augment": "unknown", "seed": 0},
        "spec": spec.to_dict(), "split": parts.label, "parameters": foreign.parameters,
        "mflops": convert.work(foreign.model, [fitted.shape[axis] for axis in LAYOUTS[fitted.layout]]),
        "data": {"title": f"unknown faces, scored on {faces.title}", "layout": faces.layout, "faces": len(faces),
                 "fingerprint": faces.fingerprint()},
        "scores": results, "temperature": temperature, "best_epoch": 0, "epochs_run": 0, "seconds": 0,
        "adopted": {
            "source": source, "file": wanted.file.name, "sha256": hashlib.sha256(wanted.file.read_bytes()).hexdigest(),
            "labels": list(wanted.labels), "outputs": "logits, to which a softmax was added" if wanted.logits else
            "probabilities", "scale": wanted.scale, "enlarge": wanted.enlarge,
            "input": "x".join(map(str, fitted.shape)), "layout": fitted.layout,
            "dropped": [label for place, label in enumerate(wanted.labels) if place not in head.outputs],
            "missing": [name for emotion, name in enumerate(EMOTIONS) if emotion not in head.emotions]},
        "versions": {name: version(name) for name in ("numpy", "onnx", "onnxruntime")},
        "finished": datetime.now(UTC).isoformat(timespec="seconds")}, history
