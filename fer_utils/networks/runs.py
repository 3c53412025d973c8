"""Trained networks on disk: find their folder, read card and weights, and let them answer."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import paths
from ..errors import DataError
from ..labels import N_CLASSES
from ..metrics import scores
from .backend import import_keras
from .card import Card, pack_answers
from .checked import check_answers, check_shapes
from .onnx_network import OnnxNetwork
from .spec import FaceSpec, face_to_tensor

if TYPE_CHECKING:  # the webcam starts without Keras and pandas
    import keras

    from ..data.faceset import FaceSet


def run_folder(name: Path | str, weights: bool = True) -> Path:
    """Find the folder of a trained network by its name (in models/ or models/runs/) or path.

    `weights=False` also finds a card without weights, which are too large to share. DataError lists the networks.
    """
    for folder in (Path(name), paths.MODELS / str(name), paths.RUNS / str(name)):
        if (folder / "card.json").is_file() and (not weights or network_file(folder)):
            return folder
    if (Path(name) / "state.json").is_file():
        raise DataError(f"{name}: training has not finished; run the same train command again, it goes on")
    known = sorted(p.parent.name for root in (paths.MODELS, paths.RUNS) for p in root.glob("*/card.json")
                   if network_file(p.parent))
    raise DataError(f"no trained network {str(name)!r} (a folder with model.keras and card.json): "
                    f"{'there are ' + ', '.join(known) if known else 'there is none yet'}; "
                    "train one with: python -m fer_utils train --model cnn3")


def network_file(folder: Path) -> Path | None:
    """Return the file that holds a network's weights: model.keras, else model.onnx (an adopted network); None: none."""
    return next((file for file in (folder / "model.keras", folder / "model.onnx") if file.is_file()), None)


def read_card(name: Path | str) -> Card:
    """Read the card of a trained network, found as `run_folder` finds it, with or without weights."""
    return Card.read(run_folder(name, weights=False))


def trained_cards(names: Sequence[Path | str] = (), fingerprint: str | None = None) -> list[Card]:
    """Read the cards of the named networks; no names mean every network in models/ and models/runs/.

    `fingerprint` keeps only the networks that were trained on the faces with this `FaceSet.fingerprint`. DataError: a
    named network is not there, or no network is left.
    """
    folders = [run_folder(name, weights=False) for name in names] or sorted(
        p.parent for root in (paths.MODELS, paths.RUNS) for p in root.glob("*/card.json")
        if root == paths.MODELS or network_file(p.parent))
    cards = [Card.read(folder) for folder in folders]
    cards = [card for card in cards if fingerprint in (None, card.fingerprint)]
    if not cards:
        raise DataError("no network has been trained on these faces yet: run notebook 03, or "
                        "python -m fer_utils train --model cnn3. The shared networks were trained on fer2013.csv; "
                        'notebook 05 shows one on other faces where it is named, run = "fer_net"')
    return cards


def best_card(cards: Iterable[Card]) -> Card:
    """Return the card that is best on PublicTest among those of the official protocol; DataError if there is none.

    A network that was trained elsewhere (`adopt`) is taken only where there is no other: nobody here knows which faces
    it has learnt from, or was chosen by.
    """
    honest = [card for card in cards if card.honest]
    honest = [card for card in honest if not card.adopted] or honest
    if not honest:
        raise DataError("every network here was trained under the leaky protocol: train one under the official one")
    # Where the data has no PublicTest, a part held out of Training takes its place.
    return max(honest, key=lambda card: card.scores[card.chosen_by]["accuracy"])


def load_model(name: Path | str) -> "tuple[keras.Model, Card]":
    """Read a trained network and its card; DataError if there is none of that name or a file is damaged.

    A network that has only model.onnx (`adopt`) is an `OnnxNetwork`: it answers, but has no layers.
    """
    folder, card = run_folder(name), read_card(name)
    if not (folder / "model.keras").is_file():
        network = OnnxNetwork(folder / "model.onnx")
        check_answers(network, card.spec, folder / "model.onnx")
        return network, card
    keras = import_keras()
    try:
        model = keras.saving.load_model(folder / "model.keras", compile=False, safe_mode=True)
    except Exception as error:  # a damaged or foreign file makes Keras raise errors of any kind
        raise DataError(f"{folder / 'model.keras'}: not readable as a Keras model ({error}); "
                        "fetch or train it again") from error
    check_shapes(model, card.spec, folder / "model.keras")
    return model, card


def predict_probabilities(model: "keras.Model", pixels: np.ndarray, spec: FaceSpec,
                          batch_size: int = 256) -> np.ndarray:
    """Return the probabilities, float32 (N, 7), that a network gives to faces, uint8 (N, H, W)."""
    if len(pixels) == 0:
        return np.empty((0, N_CLASSES), np.float32)
    batch_size = min(batch_size, len(pixels))
    parts = []
    for start in range(0, len(pixels), batch_size):
        x = face_to_tensor(pixels[start:start + batch_size], spec)
        # All batches have one shape: for another one the network would be compiled again.
        x = np.pad(x, [(0, batch_size - len(x)), (0, 0), (0, 0), (0, 0)])
        parts.append(np.asarray(model.predict_on_batch(x), np.float32))  # without the fixed cost of predict
    return np.concatenate(parts)[:len(pixels)]


VIEWS = (1, 2, 10)
"""How many views of each face a network can be shown in a test: see `face_views`."""
_SHIFT = 2  # pixels


def face_views(pixels: np.ndarray, views: int) -> list[np.ndarray]:
    """Return views of faces, uint8 (N, H, W), for a network to answer (test-time augmentation).

    1 is the face alone, 2 are it and its mirror image, 10 are these two of the face as it is and shifted by two pixels
    to the left, right, top and bottom, where the edge is repeated.
    """
    if views not in VIEWS:
        raise ValueError(f"views must be one of {', '.join(map(str, VIEWS))}, got {views!r}")
    wide = np.pad(pixels, ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT)), mode="edge")
    places = [(1, 1), (0, 1), (2, 1), (1, 0), (1, 2)] if views == 10 else [(1, 1)]
    height, width = pixels.shape[1:]
    shown = [wide[:, top * _SHIFT:top * _SHIFT + height, left * _SHIFT:left * _SHIFT + width] for top, left in places]
    return [np.ascontiguousarray(view[:, :, ::step]) for view in shown for step in ((1, -1) if views > 1 else (1,))]


def ensemble_probabilities(names: Sequence[Path | str], pixels: np.ndarray, views: int = 1) -> np.ndarray:
    """Return the mean of the probabilities, float32 (N, 7), that trained networks give to faces, uint8 (N, 48, 48).

    Each network sees so many `face_views`, at as many times the cost.
    """
    shown = face_views(pixels, views)
    total = np.zeros((len(pixels), N_CLASSES), np.float32)
    for name in names:
        model, card = load_model(name)
        total += sum(predict_probabilities(model, view, card.spec) for view in shown)
    return total / (len(names) * len(shown))


def score_faces(faces: "FaceSet", probabilities: np.ndarray, clean: np.ndarray | None = None) -> dict[str, Any]:
    """Return `metrics.scores` of labelled faces, and the answers, by which networks can be compared face by face."""
    return scores(faces.emotion, probabilities, clean) | {"answers": pack_answers(probabilities.argmax(axis=1))}
