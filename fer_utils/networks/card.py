"""The card of a trained network: what it is, how it was trained, how it scored."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError
from ..files import read_json
from ..labels import EMOTIONS, N_CLASSES
from .spec import FaceSpec

if TYPE_CHECKING:  # it would load pandas, and the webcam starts without
    from ..data.faceset import FaceSet

_REMEDY = "fetch this file again, or delete its folder and train again"
_LARGEST_FACE = 1000  # pixels; larger ones would need much memory
_TEMPERATURES = (0.01, 100)  # beyond them all probabilities are 0, 1, or equal; fits are from 0.1 to 10


@dataclass(frozen=True)
class Card:
    """What is known of a trained network, read from its card.json.

    `scores` holds, for each part that was scored, what `metrics.scores` returned, and the ``answers``: the predicted
    emotions as digits. Its first part is the one that training chose the best epoch by.
    """

    folder: Path
    name: str
    model: str  # a name of `zoo.NETWORKS`
    origin: str  # whose network it is
    config: dict[str, Any]  # the fields of `TrainConfig`
    spec: FaceSpec
    split: str  # how the faces were split, in words
    title: str  # what these faces are, as `FaceSet.title`
    fingerprint: str  # of these faces, as `FaceSet.fingerprint`
    scores: dict[str, dict[str, Any]]
    temperature: float  # 1 where none was fitted
    parameters: int
    mflops: float  # 10^6 floating point operations for one face
    best_epoch: int
    epochs_run: int
    seconds: float
    averaged: tuple[str, ...] = ()  # the runs of which the weights are the mean
    values: dict[str, Any] = field(default_factory=dict, repr=False)  # card.json as it was read

    @classmethod
    def read(cls, folder: Path | str) -> "Card":
        """Read the card in a folder; DataError names the file and the field if it is missing or damaged."""
        return cls.from_dict(read_json(Path(folder) / "card.json", _REMEDY), folder)

    @classmethod
    def from_dict(cls, values: dict[str, Any], folder: Path | str) -> "Card":
        """Make a card of a folder from the content of its card.json; DataError names the field that is wrong."""
        try:
            _check(values, _FIELDS)
            _check(values, _OPTIONAL_FIELDS, optional=True)
            for usage, part in values["scores"].items():
                _check(part, _SCORES, f"scores.{usage}.")
                _check(part, _OPTIONAL_SCORES, f"scores.{usage}.", optional=True)
            try:
                spec = FaceSpec.from_dict(values["spec"])
            except ValueError as error:
                raise ValueError(f"spec is wrong: {error}") from error
            if spec.size > _LARGEST_FACE:
                raise ValueError(f"spec.size must be at most {_LARGEST_FACE}, got {spec.size}")
            low, high = _TEMPERATURES
            if not low <= (values["temperature"] or 1) <= high:
                raise ValueError(f"temperature must be from {low} to {high}, got {values['temperature']}")
        except ValueError as error:
            raise DataError(f"{Path(folder) / 'card.json'}: {error}; {_REMEDY}") from error
        same = ("name", "model", "origin", "config", "split", "scores", "parameters", "mflops", "best_epoch",
                "epochs_run", "seconds")
        return cls(Path(folder), spec=spec, title=values["data"]["title"], fingerprint=values["data"]["fingerprint"],
                   temperature=values["temperature"] or 1.0, averaged=tuple(values.get("averaged") or ()),
                   values=values, **{name: values[name] for name in same})

    @property
    def protocol(self) -> str:
        """"official" or "leaky"."""
        return self.config["protocol"]

    @property
    def honest(self) -> bool:
        """Whether no test face was in its training. A network of the leaky protocol is an exhibit."""
        return self.protocol == "official"

    @property
    def chosen_by(self) -> str:
        """The part that training chose the best epoch by: "PublicTest", "validation" or "leaky test"."""
        return next(iter(self.scores))

    @property
    def reported(self) -> tuple[str, dict[str, Any]]:
        """The part that the network is compared on, and its scores there.

        It is "PrivateTest"; "leaky test" for an exhibit, as projects A and E reported it; and where PrivateTest has no
        labels, the part that training chose by.
        """
        usage = "PrivateTest" if self.honest and "PrivateTest" in self.scores else self.chosen_by
        return usage, self.scores[usage]

    @property
    def clean(self) -> dict[str, Any]:
        """The reported scores on the faces without a copy in Training; empty where these are not known."""
        return self.reported[1].get("clean") or {}

    def learnt_from(self, faces: "FaceSet") -> bool:
        """Whether these are the faces that it was trained on.

        Also its own faces, to which others were added, and a data set of which Training faces were left out.
        """
        also = ((self.values.get(key) or {}).get("fingerprint") for key in ("own_faces", "left_out_of"))
        return faces.fingerprint() in (self.fingerprint, *also)

    @property
    def minutes(self) -> float:
        """How long the training took."""
        return self.seconds / 60

    @property
    def recipe_stages(self) -> list[tuple[str, float]]:
        """The stages of the recipe that made it, each with its seconds; empty where no recipe did."""
        stages = (self.values.get("recipe") or {}).get("stages") or []
        return [(stage["name"], stage["seconds"]) for stage in stages]

    @property
    def adopted(self) -> dict[str, Any]:
        """What ``adopt`` knows of a network that was trained elsewhere; empty for one that was trained here."""
        return self.values.get("adopted") or {}

    @property
    def training(self) -> str:
        """What sets the training apart: "augmentation strong, seed 1", or "plain"."""
        text = ", ".join(self._differences()) or "plain"
        return text if self.honest else f"leaky protocol, {text}"

    @property
    def label(self) -> str:
        """The network and what sets its training apart, short enough for a figure: "fer_net, strong, seed 1"."""
        told = [word for word in self._differences() if word != "averaged"]
        text = ", ".join([self.model, *told]).replace("augmentation ", "")
        return text if self.honest else text.replace("over-sampled", "leaky")

    def _differences(self) -> list[str]:
        if self.adopted:
            return ["trained elsewhere"]
        balance, augment, seed = (self.config[name] for name in ("balance", "augment", "seed"))
        words = {"none": "", "over": "over-sampled", "under": "under-sampled", "class_weights": "class weights"}
        found = ("" if augment == "none" else f"augmentation {augment}", words.get(balance, balance),
                 "votes" if self.config.get("votes") else "", "distilled" if self.config.get("teachers") else "",
                 "averaged" if self.averaged else "", f"seed {seed}" if seed else "")
        return list(filter(None, found))

    def answers(self, part: "FaceSet", usage: str = "PrivateTest") -> np.ndarray:
        """Return the predicted emotions, int (N,), of the faces of `usage`: from the card, else from the weights.

        `part` holds the faces that were scored, in their order. DataError: it holds as many faces, but others, for the
        card's answers do not have the card's accuracy on them.
        """
        score = self.scores.get(usage, {})
        if len(score.get("answers") or "") == len(part):
            answers = unpack_answers(score["answers"])
            accuracy = (answers == part.emotion).mean()
            if part.labelled.all() and abs(accuracy - score["accuracy"]) > 1e-4:
                raise DataError(f"{self.name}: these are not the {usage} faces that it was scored on, or in another "
                                f"order: its answers are right on {accuracy:.1%} of them, by its card on "
                                f"{score['accuracy']:.1%}. Load the data set that it was trained on")
            return answers
        from .runs import ensemble_probabilities  # which imports this module

        return ensemble_probabilities([self.folder], part.pixels).argmax(axis=1)


def pack_answers(predicted: Sequence[int] | np.ndarray) -> str:
    """Write predicted emotions, int (N,), as one digit for each face."""
    return "".join(map(str, predicted))


def unpack_answers(digits: str) -> np.ndarray:
    """Read what `pack_answers` wrote: int (N,)."""
    return np.array(list(digits), dtype=int)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= sys.float_info.max  # True and False are no numbers


def _is_share(value: Any) -> bool:
    return _is_number(value) and value <= 1


def _is_list(length: int, is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and len(value) == length and all(map(is_right, value))


# What a value must be, in words and as a test.
_TEXT = ("a text", lambda value: isinstance(value, str) and value != "")
_STRING = ("a text, or empty", lambda value: isinstance(value, str))
_PROTOCOL = ("official or leaky", lambda value: value in ("official", "leaky"))
_OBJECT = ("an object", lambda value: isinstance(value, dict) and len(value) > 0)
_WHOLE = ("a whole number", lambda value: _is_number(value) and isinstance(value, int))
_NUMBER = ("a number of at least 0", _is_number)
_TEMPERATURE = ("a positive number or null", lambda value: value is None or (_is_number(value) and value > 0))
_SHARE = ("a number from 0 to 1", _is_share)
_INTERVAL = ("two numbers from 0 to 1", _is_list(2, _is_share))
_CONFUSION = ("7 rows of 7 counts", _is_list(N_CLASSES, _is_list(N_CLASSES, _is_number)))
_NAMES = ("a list of names", lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value))
_NULLS = ("two numbers from 0 to 1, or nulls", _is_list(2, lambda value: value is None or _is_share(value)))
_MAPPING = ("an object", lambda value: isinstance(value, dict))
_STAGES = ("a list of objects with name and seconds", lambda value: isinstance(value, list) and all(
    isinstance(stage, dict) and isinstance(stage.get("name"), str) and _is_number(stage.get("seconds"))
    for stage in value))
_ANSWERS = ("a digit from 0 to 6 for each face", lambda value: isinstance(value, str) and set(value) <= set("0123456"))

_Fields = dict[str, tuple[str, Callable[[Any], bool]]]
_FIELDS: _Fields = {
    "config.balance": _TEXT, "config.augment": _TEXT, "config.protocol": _PROTOCOL, "config.seed": _WHOLE,
    "scores": _OBJECT, "spec": _OBJECT, "name": _TEXT, "model": _TEXT, "origin": _TEXT, "split": _TEXT,
    "parameters": _WHOLE, "best_epoch": _WHOLE, "epochs_run": _WHOLE, "data.title": _TEXT, "data.fingerprint": _TEXT,
    "temperature": _TEMPERATURE, "mflops": _NUMBER, "seconds": _NUMBER}
# Cards of earlier versions, and of networks that were scored less, lack these.
_OPTIONAL_FIELDS: _Fields = {
    "averaged": _NAMES, "adopted": _MAPPING, "recipe": _MAPPING, "recipe.commit": _STRING, "recipe.stages": _STAGES,
    "own_faces": _MAPPING, "left_out_of": _MAPPING, "config.teachers": _NAMES, "devices": _NAMES,
    "precision": _TEXT, "versions": _MAPPING,
    "data.train": _WHOLE, "data.faces": _WHOLE,
    **dict.fromkeys(("config.start", "config.weights", "config.optimizer", "config.schedule"), _TEXT),
    **dict.fromkeys(("config.epochs", "config.patience", "config.batch_size", "config.teacher_views"), _WHOLE),
    **dict.fromkeys(("config.learning_rate", "config.warmup_epochs", "config.weight_decay", "config.mixup"), _NUMBER),
    **dict.fromkeys(("config.ema", "config.label_smoothing", "config.teacher_share"), _SHARE)}
_SCORES: _Fields = {
    "n": _WHOLE, "accuracy": _SHARE, "accuracy_interval": _INTERVAL, "macro_f1": _SHARE, "macro_f1_interval": _INTERVAL,
    **{f"per_class.{emotion}.f1": _SHARE for emotion in EMOTIONS}, "confusion": _CONFUSION}
_OPTIONAL_SCORES: _Fields = {
    "answers": _ANSWERS, "clean": _MAPPING, "clean.n": _WHOLE, "clean.confusion": _CONFUSION,
    **{f"clean.{name}": _SHARE for name in ("accuracy", "macro_f1")},
    **{f"clean.{name}_interval": _NULLS for name in ("accuracy", "macro_f1")},
    **{f"per_class.{emotion}.{name}": kind for emotion in EMOTIONS for name, kind in
       (("precision", _SHARE), ("recall", _SHARE), ("f1_interval", _NULLS), ("support", _WHOLE))}}


def _check(values: Any, fields: _Fields, prefix: str = "", optional: bool = False) -> None:
    """Raise ValueError that names the first field that is missing or wrong; an optional one may be missing or null."""
    for name, (kind, is_right) in fields.items():
        value, missing = values, object()
        for key in name.split("."):
            value = value.get(key, missing) if isinstance(value, dict) else missing
        if optional and (value is missing or value is None):
            continue
        if value is missing:
            raise ValueError(f"{prefix}{name} is missing")
        if not is_right(value):
            raise ValueError(f"{prefix}{name} must be {kind}, got {str(value)[:60]}")
