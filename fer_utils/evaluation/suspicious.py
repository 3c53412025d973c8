"""Suspicious labels: what networks that have not seen a face, and FER+'s annotators, say against its label."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.copies import face_ids
from ..data.faceset import FaceSet
from ..data.ferplus import ferplus_labels
from ..data.grouped import joined_by_copies
from ..data.left_out import image_marks
from ..errors import DataError
from ..labels import EMOTIONS, FERPLUS_TO_FER2013, N_CLASSES, UNLABELLED
from ..networks.recipes import TrainConfig
from ..networks.runs import load_model, predict_probabilities
from ..networks.train import train


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What networks say of Training faces that they have not learnt from."""

    rows: np.ndarray  # int (N,), the labelled Training faces in their data set
    probabilities: np.ndarray  # float32 (N, 7)
    runs: tuple[Path, ...]


def out_of_fold(config: TrainConfig, faces: FaceSet, folds: int = 4, progress: Any = "bar",
                tell: Callable[[int, Path], None] = lambda fold, run: None) -> OutOfFold:
    """Train a network for each fold of Training, without that fold, and let it answer for the fold.

    Copies of a face are in one fold, and so are the faces of a person. The runs are in models/runs, named by config and
    data: the same call goes on where it stopped, and takes finished runs as they are. `tell` hears of each run.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    rows = np.flatnonzero((faces.usage == "Training") & faces.labelled)
    groups = face_ids(faces.pixels[rows]) if faces.group is None else joined_by_copies(faces[rows])
    most = min(np.bincount(faces.emotion[rows]).max(), len(np.unique(groups))) if len(rows) else 0
    if not 2 <= folds <= most:
        raise DataError(f"{faces.source}: {len(rows)} labelled Training faces cannot make {folds} folds; give "
                        + (f"2 to {most} folds, or more faces" if most > 1 else "more faces"))
    probabilities, runs = np.empty((len(rows), N_CLASSES), np.float32), []
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(rows, faces.emotion[rows], groups)
    for fold, (_, asked) in enumerate(parts, 1):
        learnt = np.ones(len(faces), bool)
        learnt[rows[asked]] = False
        # PrivateTest has no part in this; PublicTest chooses the epoch.
        run = train(config, faces[learnt & (faces.usage != "PrivateTest")], progress=progress)
        tell(fold, run)
        model, card = load_model(run)
        probabilities[asked] = predict_probabilities(model, faces.pixels[rows[asked]], card.spec)
        runs.append(run)
    return OutOfFold(rows, probabilities, tuple(runs))


def confident_learning(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the label that is proposed for each face, int64 (N,); its own label where that is not suspicious.

    Confident learning (Northcutt et al., "Confident learning: estimating uncertainty in dataset labels", JAIR 70,
    2021): a face belongs confidently to a class where its probability is at least the mean of this probability among
    the faces with that label. Of several such classes the most probable one counts. The label is suspicious where this
    is another class, and where the most probable class of all is another one, too. Own code, because cleanlab, with
    which a test compares it, has a licence (AGPL) that would bind who uses this package.

    `labels` are int (N,), `probabilities`, float (N, 7), of networks that have not learnt from these faces.
    """
    labels, probabilities = np.asarray(labels, np.int64), np.asarray(probabilities, float)
    counts = np.bincount(labels, minlength=N_CLASSES)
    own = np.bincount(labels, probabilities[np.arange(len(labels)), labels], N_CLASSES)
    threshold = np.where(counts > 0, own / np.maximum(counts, 1), np.inf)  # nobody can belong to a class without faces
    confident = np.where(probabilities >= threshold - 1e-6, probabilities, -1)
    proposed = confident.argmax(axis=1)
    kept = (confident.max(axis=1) < 0) | (probabilities.argmax(axis=1) == labels)
    return np.where(kept, labels, proposed)


def suspicious_table(faces: FaceSet, found: OutOfFold) -> pd.DataFrame:
    """Return the Training faces whose label is suspicious by `confident_learning`, the most suspicious first.

    The columns: ``face``, its index in the data set from 0; ``image``, a mark of its pixels (both for
    `data.left_out.kept_faces`); ``label`` and ``proposed``; ``score``, the probability of its label (0 to 1, low is
    suspicious); and where there are FER+'s votes ``ferplus``, their plurality, and ``votes_for_label``.
    """
    labels = faces.emotion[found.rows].astype(np.int64)
    proposed = confident_learning(labels, found.probabilities)
    at = np.flatnonzero(proposed != labels)
    score = found.probabilities[at, labels[at]]
    at, score = at[np.argsort(score, kind="stable")], np.sort(score, kind="stable")
    names, rows = np.array([*EMOTIONS, ""]), found.rows[at]
    table = pd.DataFrame({"face": rows, "image": image_marks(faces.pixels[rows]), "label": names[labels[at]],
                          "proposed": names[proposed[at]], "score": score})
    if faces.votes is not None:
        table["ferplus"] = names[ferplus_labels(faces.votes[rows])]
        column = np.array([FERPLUS_TO_FER2013.index(label) for label in range(N_CLASSES)])
        table["votes_for_label"] = faces.votes[rows, column[labels[at]]]
    return table


def suspicion_counts(faces: FaceSet, found: OutOfFold) -> dict[str, Any]:
    """Count the labels that each judge calls wrong: the networks, FER+'s plurality, both, and both with one proposal.

    Where there are no votes, FER+'s numbers are None. ``faces`` counts the judged Training faces, ``accuracy`` is the
    networks' agreement with the labels, out of fold, and ``usable`` says whether this is well above that of calling all
    faces by the most frequent label (by a tenth of all faces); ``by_label`` has the networks' and FER+'s counts.
    """
    labels = faces.emotion[found.rows].astype(np.int64)
    proposed = confident_learning(labels, found.probabilities)
    suspected, right = proposed != labels, float((found.probabilities.argmax(axis=1) == labels).mean())
    result: dict[str, Any] = {
        "faces": len(labels), "accuracy": right, "usable": bool(right >= 0.1 + np.bincount(labels).max() / len(labels)),
        "networks": int(suspected.sum()), "ferplus": None, "both": None, "both_propose_the_same": None,
        "by_label": {name: {"faces": int((labels == i).sum()), "networks": int((suspected & (labels == i)).sum())}
                     for i, name in enumerate(EMOTIONS)}}
    if faces.votes is not None:
        voted = ferplus_labels(faces.votes[found.rows])
        against = (voted != labels) & (voted != UNLABELLED)
        result |= {"ferplus": int(against.sum()), "both": int((against & suspected).sum()),
                   "both_propose_the_same": int((suspected & against & (voted == proposed)).sum())}
        for i, name in enumerate(EMOTIONS):
            result["by_label"][name]["ferplus"] = int((against & (labels == i)).sum())
    return result


def suspicion_text(result: dict[str, Any]) -> str:
    """Write the counts for people."""
    n = result["faces"]

    def share(count: int) -> str:
        return f"{count:,} ({count / n:.1%})"

    lines = [f"Of {n:,} labels of Training the networks suspect {share(result['networks'])}; they agree with "
             f"{result['accuracy']:.1%}, where they answer for faces that they have not learnt from."]
    if not result["usable"]:
        lines.insert(0, "NOT USABLE: the networks know little more than the most frequent label, so their suspicions "
                        "mean nothing. Train them longer (--epochs), on more faces, or take another network (--model).")
    if result["ferplus"] is None:
        lines.append("FER+'s votes are not here to compare with (`python -m fer_utils data --ferplus`).")
    else:
        by_chance = result["ferplus"] / n * result["networks"]
        lines += [f"FER+'s plurality is against {share(result['ferplus'])}; both are against {share(result['both'])}, "
                  f"where {by_chance:,.0f} would be by chance.",
                  f"In {share(result['both_propose_the_same'])} both propose the same other emotion."]
    return "\n".join([*lines, "", pd.DataFrame(result["by_label"]).T.to_string()])
