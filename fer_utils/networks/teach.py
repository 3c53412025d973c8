"""Learning from trained networks: soft targets, teachers of each view, weights to start from."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.faceset import FaceSet
from ..data.ferplus import vote_shares
from ..errors import DataError
from .backend import import_keras, xla_setting
from .card import Card
from .recipes import TrainConfig
from .runs import load_model, predict_probabilities, read_card
from .spec import FaceSpec, one_hot

if TYPE_CHECKING:
    import keras


def soft_targets(faces: FaceSet, config: TrainConfig) -> np.ndarray:
    """Mix each face's label with FER+'s votes, and with what the config's teachers see in it and in its mirror image.

    FER2013's labels are noisy and some faces show two emotions; ten annotators, and teachers trained on the same
    Training part, know both.

    The result is float32 (N, 7), rows sum to 1: the labels, one-hot, if there are neither votes nor teachers; teachers
    that see each view come later. DataError: a teacher or the votes are not there. ValueError: a teacher saw test faces
    (leaky protocol).
    """
    targets = one_hot(faces.emotion)
    if config.votes:
        if faces.votes is None:
            raise DataError(f"{faces.source}: training with votes needs FER+'s votes; add them with data.with_votes")
        share = np.float32(config.votes)
        targets = (1 - share) * targets + share * vote_shares(faces.votes, faces.emotion)
    if not config.teachers or config.teacher_views:
        return targets
    seen = np.zeros_like(targets)
    for name in config.teachers:
        model, card = load_honest_run(name, "teach")
        for pixels in (faces.pixels, np.ascontiguousarray(faces.pixels[:, :, ::-1])):
            seen += predict_probabilities(model, pixels, card.spec)
    share = np.float32(config.teacher_share)
    return (1 - share) * targets + share * seen / np.float32(2 * len(config.teachers))


def teach_views(config: TrainConfig, spec: FaceSpec,
                precision: str) -> Callable[[np.ndarray, tuple[int, int]], np.ndarray] | None:
    """Return the function that gives what the config's teachers see in a batch; None if they see each face once.

    It takes a tensor and a key, and returns the teachers' mean probabilities, float32 (N, 7). It keeps them under the
    key, and returns them for it from then on. `spec` is the input of the network that learns, and so of its teachers;
    `precision` is the Keras dtype policy in which they compute.

    DataError: a teacher is not there. ValueError: it saw test faces (leaky protocol), or takes other inputs.
    """
    if not config.teacher_views:
        return None
    teachers: list[keras.Model] = []
    kept: dict[tuple[int, int], np.ndarray] = {}
    for name in config.teachers:
        model, card = load_honest_run(name, "teach")
        if card.spec != spec:
            raise ValueError(f"teacher_views: {name} takes other inputs than {config.model}; teachers that see the "
                             "same views must take the same, others can teach with teacher_views=0")
        teachers.append(_in_precision(model, precision))

    def teach(x: np.ndarray, key: tuple[int, int]) -> np.ndarray:
        if key not in kept:
            kept[key] = np.mean([np.asarray(model.predict_on_batch(x)) for model in teachers], axis=0)
        return kept[key]

    return teach


def _in_precision(model: "keras.Model", precision: str) -> "keras.Model":
    """Return a trained model that computes in another dtype policy, except for its float32 end."""
    keras = import_keras()

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        return type(layer).from_config(config if layer.name in ("logits", "probabilities")
                                       else config | {"dtype": precision})

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    copy.compile(jit_compile=xla_setting())
    return copy


def load_honest_run(name: str, purpose: str) -> "tuple[keras.Model, Card]":
    """Read a trained run, model and card, for another network to use; ValueError if it saw test faces.

    `purpose` completes the error's "it must not … another network".
    """
    model, card = load_model(name)
    if not card.honest:
        raise ValueError(f"{name} was trained under the {card.protocol} protocol, on test faces: "
                         f"it must not {purpose} another network")
    return model, card


def start_weights(name: str, network: str) -> list[np.ndarray]:
    """Return the weights of the run that training starts from; ValueError if it is not of this network."""
    model, card = load_honest_run(name, "start")
    if card.model != network:
        raise ValueError(f"start: {name} is a {card.model}, not a {network}")
    return model.get_weights()


def warn_of_other_data(config: TrainConfig, fingerprint: str) -> None:
    """Warn of each teacher or start that was trained on other data than these."""
    for name in filter(None, (*config.teachers, config.start)):
        if read_card(name).fingerprint != fingerprint:
            warnings.warn(f"{name} was trained on other data (another file, order or sample) than the network that "
                          "learns from it: if its training faces are among the test faces here, the scores flatter",
                          stacklevel=4)  # whoever called `train`
