"""Scores of a trained network on one part of a data set."""
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.copies import clean_mask
from ..data.faceset import FaceSet
from ..errors import DataError
from ..labels import EMOTIONS
from ..metrics import scores
from ..networks.runs import ensemble_probabilities, read_card


def evaluate_run(name, faces, usage="PrivateTest", flip=False):
    """Score a trained network, or the mean of several, on one usage of a FaceSet.

    Parameters
    ----------
    name : str or Path
        As `load_model` takes it; names joined by "+" are an ensemble.
    faces : FaceSet
        Needs Training too where clean scores are wanted.
    usage : str
        "Training", "PublicTest" or "PrivateTest".
    flip : bool
        As `ensemble_probabilities`.

    Returns
    -------
    dict
        `scores`' result, its ``clean`` part always there, with ``model``, ``usage``, ``data``, ``flip``, ``exhibit``
        (True when a network was trained under the leaky protocol, so has seen most of these faces) and ``same_data``
        (False when it was trained on other data, which may hold some of these faces).

    Raises
    ------
    DataError
        The usage is absent or unlabelled.
    """
    part = faces.of(usage)
    if not part.labelled.all():
        raise DataError(f"{faces.source}: the faces of {usage} have no labels, so nothing can be scored; use "
                        "fer2013.csv, or write predictions with evaluate.write_submission")
    names = [name] if Path(name).is_dir() else str(name).split("+")
    cards = [read_card(one) for one in names]
    probabilities = ensemble_probabilities(names, part.pixels, flip)
    exhibit = any(card["config"]["protocol"] == "leaky" for card in cards)
    clean = clean_mask(faces, usage)
    if exhibit or clean is None:
        clean = np.zeros(len(part), bool)  # no face is known to be new to the network
    return {"model": "+".join(card["name"] for card in cards), "usage": usage, "data": faces.title, "flip": flip,
            "exhibit": exhibit,
            "same_data": all(card["data"]["fingerprint"] == faces.fingerprint() for card in cards),
            **scores(part.emotion, probabilities, clean)}


def write_submission(path, faces, probabilities):
    """Write predictions for unlabelled faces as the challenge wants them.

    Parameters
    ----------
    path : Path
    faces : FaceSet
        The unlabelled faces, in their file's order.
    probabilities : ndarray
        float (N, 7).

    Returns
    -------
    Path
        A CSV with the columns ``row`` (1-based, in test.csv's order), ``emotion`` (0 to 6) and ``name``.
    """
    if not isinstance(faces, FaceSet) or len(faces) != len(probabilities):
        raise ValueError(f"need one row of probabilities per face, got {len(probabilities)} for {len(faces)} faces")
    predicted = np.asarray(probabilities).argmax(axis=1)
    table = pd.DataFrame({"row": np.arange(1, len(predicted) + 1), "emotion": predicted,
                          "name": np.array(EMOTIONS)[predicted]})
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    return path
