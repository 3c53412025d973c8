"""What a training takes from networks trained before: teachers and start weights."""
import warnings

import numpy as np

from .backend import import_keras, xla_setting
from .runs import load_model, predict_probabilities, read_card
from .spec import one_hot


def soft_targets(faces, config):
    """Mix each face's label with what the config's teachers see in it and in its mirror image, if they see it once.

    FER2013's labels are noisy and some faces show two emotions; teachers trained on the same Training part know both.

    Returns
    -------
    ndarray
        float32 (N, 7), rows sum to 1; the labels, one-hot, without teachers or where they see each view.

    Raises
    ------
    DataError
        A teacher is not there.
    ValueError
        A teacher saw test faces (leaky protocol).
    """
    targets = one_hot(faces.emotion)
    if not config.teachers or config.teacher_views:
        return targets
    seen = np.zeros_like(targets)
    for name in config.teachers:
        model, card = honest_run(name, "teach")
        for pixels in (faces.pixels, np.ascontiguousarray(faces.pixels[:, :, ::-1])):
            seen += predict_probabilities(model, pixels, card.spec)
    share = np.float32(config.teacher_share)
    return (1 - share) * targets + share * seen / np.float32(2 * len(config.teachers))


def teach_views(config, spec, precision):
    """Return the function that tells what the config's teachers see in a batch; None if they see each face once.

    Parameters
    ----------
    config : TrainConfig
    spec : FaceSpec
        The input of the network that learns, and so of its teachers.
    precision : str
        Keras dtype policy that the teachers compute in.

    Returns
    -------
    callable or None
        (x, key) → float32 (N, 7), the teachers' mean probabilities for the tensor `x`; kept under `key`, and
        returned for it from then on.

    Raises
    ------
    DataError
        A teacher is not there.
    ValueError
        A teacher saw test faces (leaky protocol), or takes other inputs.
    """
    if not config.teacher_views:
        return None
    teachers, kept = [], {}
    for name in config.teachers:
        model, card = honest_run(name, "teach")
        if card.spec != spec:
            raise ValueError(f"teacher_views: {name} takes other inputs than {config.model}; teachers that see the "
                             "same views must take the same, others can teach with teacher_views=0")
        teachers.append(_in_precision(model, precision))

    def teach(x, key):
        if key not in kept:
            kept[key] = np.mean([np.asarray(model.predict_on_batch(x)) for model in teachers], axis=0)
        return kept[key]

    return teach


def _in_precision(model, precision):
    """Return a trained model that computes in another dtype policy, but for its float32 end."""
    keras = import_keras()

    def clone(layer):
        config = layer.get_config()
        return type(layer).from_config(config if layer.name in ("logits", "probabilities")
                                       else config | {"dtype": precision})

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    copy.compile(jit_compile=xla_setting())
    return copy


def honest_run(name, purpose):
    model, card = load_model(name)
    if not card.honest:
        raise ValueError(f"{name} was trained under the {card.protocol} protocol, on test faces: "
                         f"it must not {purpose} another network")
    return model, card


def warn_of_other_data(config, fingerprint):
    for name in filter(None, (*config.teachers, config.start)):
        if read_card(name).fingerprint != fingerprint:
            warnings.warn(f"{name} was trained on other data (another file, order or sample) than the network that "
                          "learns from it: where its training faces are among the test faces here, the scores flatter",
                          stacklevel=3)


def start_weights(config):
    model, card = honest_run(config.start, "start")
    if card.model != config.model:
        raise ValueError(f"start: {config.start} is a {card.model}, not a {config.model}")
    return model.get_weights()
