"""Scores of trained networks on one part of a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.copies import clean_mask
from ..data.faceset import FaceSet
from ..data.ferplus import ferplus_labels
from ..errors import DataError
from ..files import write_csv
from ..labels import EMOTIONS, UNLABELLED
from ..networks.runs import ensemble_probabilities, read_card, score_faces


def evaluate_run(name: Path | str, faces: FaceSet, usage: str = "PrivateTest", views: int = 1) -> dict[str, Any]:
    """Score a trained network, or the mean of several, on one part: "Training", "PublicTest" or "PrivateTest".

    Names joined by "+" are an ensemble; each network sees so many `runs.face_views`. Clean scores need
    `faces` with their Training part. To `metrics.scores` the result adds what was scored, ``exhibit`` (a network was
    trained under the leaky protocol, so on most of these faces), ``same_data`` (False where a network was trained on
    other data, in which some of these faces may be) and ``adopted`` (a network was trained elsewhere, on data that are
    not known); where `faces` have FER+'s votes also ``ferplus`` (how often an answer is what most of FER+'s annotators
    saw, on faces that have such votes, and on the clean ones of these). DataError: the part is not there, or has no
    labels.
    """
    result = evaluate_networks([name] if Path(name).is_dir() else str(name).split("+"), faces, usage, views)
    del result["answers"]
    return result


def evaluate_networks(names: Sequence[Path | str], faces: FaceSet, usage: str, views: int) -> dict[str, Any]:
    """Return the result of `evaluate_run` for an ensemble, and its ``answers`` as a card keeps them."""
    part = faces.of(usage)
    if not part.labelled.all():
        raise DataError(f"{faces.source}: the faces of {usage} have no labels, so nothing can be scored; use "
                        "fer2013.csv, or write predictions with evaluation.write_submission")
    cards = [read_card(name) for name in names]
    exhibit = not all(card.honest for card in cards)
    clean = clean_mask(faces, usage)
    if exhibit or clean is None:
        clean = np.zeros(len(part), bool)  # no face is known to be new to the networks
    probabilities = ensemble_probabilities(names, part.pixels, views)
    result = {"model": "+".join(card.name for card in cards), "usage": usage, "data": faces.title,
              "flip": views > 1, "views": views,
              "exhibit": exhibit, "same_data": all(card.learnt_from(faces) for card in cards),
              "adopted": any(card.adopted for card in cards), **score_faces(part, probabilities, clean)}
    if part.votes is not None:
        result["ferplus"] = _ferplus_accuracy(probabilities.argmax(axis=1), ferplus_labels(part.votes), clean)
    return result


def _ferplus_accuracy(answers: np.ndarray, voted: np.ndarray, clean: np.ndarray) -> dict[str, float | None]:
    right, known = answers == voted, voted != UNLABELLED
    return {name: float(right[rows].mean()) if rows.any() else None
            for name, rows in (("accuracy", known), ("clean_accuracy", known & clean))}


def write_submission(path: Path | str, faces: FaceSet, probabilities: np.ndarray) -> Path:
    """Write predictions for unlabelled faces, in the order of their file, as the challenge wants them.

    The CSV has the columns ``row`` (1-based, in the order of test.csv), ``emotion`` (0 to 6) and ``name``.
    """
    if not isinstance(faces, FaceSet) or len(faces) != len(probabilities):
        raise ValueError(f"need one row of probabilities per face, got {len(probabilities)} for {len(faces)} faces")
    predicted = np.asarray(probabilities).argmax(axis=1)
    write_csv(path, pd.DataFrame({"row": np.arange(1, len(predicted) + 1), "emotion": predicted,
                                  "name": np.array(EMOTIONS)[predicted]}))
    return Path(path)
