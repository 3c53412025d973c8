"""Trained networks on disk: their folder, card, weights and answers."""
import json
import zipfile
from pathlib import Path

import numpy as np

from .. import paths
from ..errors import DataError
from ..labels import N_CLASSES
from .backend import import_keras
from .spec import FaceSpec, face_to_tensor


def run_folder(name, weights=True):
    """Find a trained network's folder by name (in models/ or models/runs/) or by path.

    Parameters
    ----------
    name : str or Path
    weights : bool
        False finds also a card that stands alone: the weights are too large to share, or an exhibit's.

    Raises
    ------
    DataError
        There is none; the message lists those that are.
    """
    for folder in (Path(name), paths.MODELS / str(name), paths.RUNS / str(name)):
        if (folder / "card.json").is_file() and (not weights or (folder / "model.keras").is_file()):
            return folder
    if (Path(name) / "state.json").is_file():
        raise DataError(f"{name}: training has not finished; run the same train command again, it goes on")
    known = sorted(p.parent.name for root in (paths.MODELS, paths.RUNS) for p in root.glob("*/model.keras"))
    raise DataError(f"no trained network {str(name)!r} (a folder with model.keras and card.json): "
                    f"{'there are ' + ', '.join(known) if known else 'there is none yet'}; "
                    "train one with: python -m fer_utils train --model cnn3")


def read_card(name):
    """Return the card.json of a trained network as a dict."""
    path = run_folder(name, weights=False) / "card.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: not readable as JSON ({error}); delete the folder and train again") from error


def predict_probabilities(model, pixels, spec, batch_size=256):
    """Return a network's probabilities for faces.

    Parameters
    ----------
    model : keras.Model
    pixels : ndarray
        uint8 (N, H, W).
    spec : FaceSpec
    batch_size : int
        Faces made into tensors and sent through the network at a time, so that memory stays flat.

    Returns
    -------
    ndarray
        float32 (N, 7), rows sum to 1, columns in `EMOTIONS` order.
    """
    if len(pixels) == 0:
        return np.empty((0, N_CLASSES), np.float32)
    batch_size = min(batch_size, len(pixels))
    parts = []
    for start in range(0, len(pixels), batch_size):
        x = face_to_tensor(pixels[start:start + batch_size], spec)
        # Every batch has one shape, for another would be compiled anew.
        x = np.pad(x, [(0, batch_size - len(x)), (0, 0), (0, 0), (0, 0)])
        # predict_on_batch has none of predict's fixed cost.
        parts.append(np.asarray(model.predict_on_batch(x), np.float32))
    return np.concatenate(parts)[:len(pixels)]


def trained_cards(names=(), fingerprint=None):
    """Return the cards of trained networks.

    Parameters
    ----------
    names : sequence of str
        Those; none means every network in models/ and models/runs/. In models/ a card may stand without weights too
        large to share.
    fingerprint : str, optional
        Only networks trained on the data with this fingerprint (`FaceSet.fingerprint`).

    Returns
    -------
    list of dict
        As `read_card` gives them, each with its ``folder`` (str).

    Raises
    ------
    DataError
        A named network does not exist, or there is none at all.
    """
    folders = [run_folder(name, weights=False) for name in names] or sorted(
        p.parent for root in (paths.MODELS, paths.RUNS) for p in root.glob("*/card.json")
        if root == paths.MODELS or (p.parent / "model.keras").is_file())
    cards = [{**read_card(folder), "folder": str(folder)} for folder in folders]
    if fingerprint is not None:
        cards = [card for card in cards if card["data"]["fingerprint"] == fingerprint]
    if not cards:
        raise DataError("no network has been trained on these faces yet: run notebook 03, or "
                        "python -m fer_utils train --model cnn3. The shared networks were trained on fer2013.csv; "
                        'notebook 05 shows one on other faces where it is named, run = "fer_net"')
    return cards


def best_card(cards):
    """Return the card that is best on PublicTest among those of the official protocol; PrivateTest has no say.

    Raises
    ------
    DataError
        All are exhibits of the leaky protocol.
    """
    honest = [card for card in cards if card["config"]["protocol"] == "official"]
    if not honest:
        raise DataError("every network here was trained under the leaky protocol: train one under the official one")
    # Where the data has no PublicTest, the part held out of Training stands first in its place.
    return max(honest, key=lambda card: next(iter(card["scores"].values()))["accuracy"])


def load_model(name):
    """Read a trained network.

    Parameters
    ----------
    name : str or Path
        A name in models/ or models/runs/, or a folder.

    Returns
    -------
    model : keras.Model
    card : dict

    Raises
    ------
    DataError
        No such network, or its file is damaged.
    """
    keras = import_keras()

    folder, card = run_folder(name), read_card(name)
    try:
        return keras.saving.load_model(folder / "model.keras", compile=False, safe_mode=True), card
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{folder / 'model.keras'}: not readable as a Keras model ({error}); "
                        "fetch or train it again") from error


def ensemble_probabilities(names, pixels, flip=False):
    """Return the mean of trained networks' probabilities.

    Parameters
    ----------
    names : sequence of str
        As `load_model` takes them; one name gives that network's own probabilities.
    pixels : ndarray
        uint8 (N, 48, 48).
    flip : bool
        Let each network also see every face mirrored (test-time augmentation), at twice the cost.

    Returns
    -------
    ndarray
        float32 (N, 7), rows sum to 1.
    """
    views = [pixels, np.ascontiguousarray(pixels[:, :, ::-1])] if flip else [pixels]
    total = np.zeros((len(pixels), N_CLASSES), np.float32)
    for name in names:
        model, card = load_model(name)
        spec = FaceSpec.from_dict(card["spec"])
        total += sum(predict_probabilities(model, view, spec) for view in views)
    return total / (len(names) * len(views))


def pack_answers(predicted):
    """Write predicted emotions, int (N,), as one digit a face, as cards keep them."""
    return "".join(map(str, predicted))


def answers(card, part, usage="PrivateTest"):
    """Return a trained network's predicted emotions, int (N,): from its card, or from its weights.

    Parameters
    ----------
    card : dict
        One of `trained_cards`.
    part : FaceSet
        The faces of `usage` that the card's network was scored on.
    usage : str
    """
    kept = card["scores"].get(usage, {}).get("answers", "")
    if len(kept) == len(part):
        return np.array(list(kept), dtype=int)
    return ensemble_probabilities([card["folder"]], part.pixels).argmax(axis=1)
