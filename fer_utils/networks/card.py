"""The card of a trained network: what it is, how it was trained, how it scored."""

import math
from collections.abc import Sequence
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
        fields = _Fields(Path(folder) / "card.json", values)
        for name in ("balance", "augment"):
            fields.get("a text", "config", name)
        fields.get("official or leaky", "config", "protocol")
        fields.get("a whole number", "config", "seed")
        for usage in fields.get("an object", "scores"):
            fields.check_scores(usage)
        try:
            spec = FaceSpec.from_dict(fields.get("an object", "spec"))
        except ValueError as error:
            raise fields.error(f"spec is wrong: {error}") from error
        text, count = {}, {}
        for name in ("name", "model", "origin", "split"):
            text[name] = fields.get("a text", name)
        for name in ("parameters", "best_epoch", "epochs_run"):
            count[name] = fields.get("a whole number", name)
        return cls(Path(folder), config=values["config"], spec=spec, title=fields.get("a text", "data", "title"),
                   fingerprint=fields.get("a text", "data", "fingerprint"), scores=values["scores"],
                   temperature=fields.get("a positive number or null", "temperature") or 1.0,
                   mflops=fields.get("a number of at least 0", "mflops"),
                   seconds=fields.get("a number of at least 0", "seconds"),
                   averaged=tuple(values.get("averaged") or ()), values=values, **text, **count)

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

    @property
    def minutes(self) -> float:
        """How long the training took."""
        return self.seconds / 60

    @property
    def training(self) -> str:
        """What sets the training apart: "augmentation strong, seed 1", or "plain"."""
        text = ", ".join(self._differences()) or "plain"
        return text if self.honest else f"leaky protocol, {text}"

    @property
    def label(self) -> str:
        """The network and what sets its training apart, short enough for a figure: "fer_net, strong, seed 1"."""
        return ", ".join([self.model, *self._differences()]).replace("augmentation ", "")

    def _differences(self) -> list[str]:
        balance, augment, seed = (self.config[name] for name in ("balance", "augment", "seed"))
        words = {"none": "", "over": "over-sampled", "under": "under-sampled", "class_weights": "class weights"}
        return [word for word in (
            "" if augment == "none" else f"augmentation {augment}", words.get(balance, balance),
            "distilled" if self.config.get("teachers") else "", "averaged" if self.averaged else "",
            f"seed {seed}" if seed else "") if word]

    def answers(self, part: "FaceSet", usage: str = "PrivateTest") -> np.ndarray:
        """Return the predicted emotions, int (N,), of the faces of `usage`: from the card, else from the weights.

        `part` must hold the very faces that were scored, in their order.
        """
        digits = self.scores.get(usage, {}).get("answers", "")
        if len(digits) == len(part):
            return unpack_answers(digits)
        from .runs import ensemble_probabilities  # which imports this module

        return ensemble_probabilities([self.folder], part.pixels).argmax(axis=1)


def pack_answers(predicted: Sequence[int] | np.ndarray) -> str:
    """Write predicted emotions, int (N,), as one digit for each face."""
    return "".join(map(str, predicted))


def unpack_answers(digits: str) -> np.ndarray:
    """Read what `pack_answers` wrote: int (N,)."""
    return np.array(list(digits), dtype=int)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_share(value: Any) -> bool:
    return _is_number(value) and value <= 1


_KINDS = {
    "a text": lambda value: isinstance(value, str) and value != "",
    "official or leaky": lambda value: value in ("official", "leaky"),
    "an object": lambda value: isinstance(value, dict) and len(value) > 0,
    "a whole number": lambda value: _is_number(value) and isinstance(value, int),
    "a number of at least 0": _is_number,
    "a positive number or null": lambda value: value is None or (_is_number(value) and value > 0),
    "a number from 0 to 1": _is_share,
    "two numbers from 0 to 1": lambda value: isinstance(value, list) and len(value) == 2 and all(map(_is_share, value)),
    "7 rows of 7 counts": lambda value: isinstance(value, list) and len(value) == N_CLASSES and all(
        isinstance(row, list) and len(row) == N_CLASSES and all(map(_is_number, row)) for row in value),
    "a digit from 0 to 6 for each face": lambda value: isinstance(value, str) and set(value) <= set("0123456"),
}


class _Fields:
    """The fields of one card.json, each checked when it is read."""

    def __init__(self, path: Path, values: Any) -> None:
        self.path, self.values = path, values

    def error(self, wrong: str) -> DataError:
        return DataError(f"{self.path}: {wrong}; {_REMEDY}")

    def get(self, kind: str, *keys: str) -> Any:
        """Return the field at the end of the keys; it must be of a kind of `_KINDS`."""
        value, name = self.values, ".".join(keys)
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                raise self.error(f"{name} is missing")
            value = value[key]
        if not _KINDS[kind](value):
            raise self.error(f"{name} must be {kind}, got {str(value)[:60]}")
        return value

    def check_scores(self, usage: str) -> None:
        part = ("scores", usage)
        self.get("a whole number", *part, "n")
        for name in ("accuracy", "macro_f1"):
            self.get("a number from 0 to 1", *part, name)
            self.get("two numbers from 0 to 1", *part, f"{name}_interval")
        for emotion in EMOTIONS:
            self.get("a number from 0 to 1", *part, "per_class", emotion, "f1")
        self.get("7 rows of 7 counts", *part, "confusion")
        scores = self.values["scores"][usage]
        if "answers" in scores:
            self.get("a digit from 0 to 6 for each face", *part, "answers")
        if (scores.get("clean") or {}).get("confusion") is not None:
            self.get("7 rows of 7 counts", *part, "clean", "confusion")
