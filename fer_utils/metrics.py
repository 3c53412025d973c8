"""Scores of predictions: accuracy, F1, their intervals, tests between networks, calibration."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .labels import EMOTIONS, N_CLASSES

if TYPE_CHECKING:  # a webcam starts without pandas
    import pandas as pd


def confusion(true: ArrayLike, predicted: ArrayLike) -> np.ndarray:
    """Count faces by true (rows) and predicted (columns) emotion: int64 (7, 7)."""
    cells = np.asarray(true, np.int64) * N_CLASSES + np.asarray(predicted, np.int64)
    return np.bincount(cells, minlength=N_CLASSES**2).reshape(N_CLASSES, N_CLASSES)


def rates(matrix: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return accuracy (…), precision, recall and F1 (…, 7) of confusion matrices (…, 7, 7); 0/0 counts as 0."""
    matrix = np.asarray(matrix, float)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    true, predicted = matrix.sum(-1), matrix.sum(-2)

    def ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.divide(a, b, out=np.zeros_like(a), where=b > 0)

    return (hits.sum(-1) / np.maximum(matrix.sum((-2, -1)), 1),
            ratio(hits, predicted), ratio(hits, true), ratio(2 * hits, true + predicted))


def macro_f1(matrix: ArrayLike) -> np.ndarray:
    """Return the mean F1 (…) of confusion matrices (…, 7, 7) over the classes that occur, true or predicted.

    scikit-learn leaves the other classes out too.
    """
    matrix = np.asarray(matrix)
    occurs = (matrix.sum(-1) + matrix.sum(-2)) > 0
    return (rates(matrix)[3] * occurs).sum(-1) / np.maximum(occurs.sum(-1), 1)


def scores(true: ArrayLike, probabilities: ArrayLike, clean: np.ndarray | None = None,
           resamples: int = 2000) -> dict[str, Any]:
    """Score probabilities, float (N, 7), against labels 0 to 6, (N,).

    The result can be written as JSON: ``n``, ``accuracy``, ``macro_f1``, each with its ``…_interval`` [low, high];
    ``per_class`` (emotion → precision, recall, f1, f1_interval, support); ``confusion`` (7×7 counts, rows true);
    ``ece`` (expected calibration error); and with `clean`, a bool (N,) that says which faces have no exact or near copy
    in Training, ``clean``: the scores of these faces alone (n, accuracy, macro_f1, their intervals, confusion; those
    of macro_f1 are None where an emotion has no clean face). All scores are 0 to 1. The intervals hold 95 % of
    `resamples` bootstrap samples of the faces.
    """
    true, probabilities = np.asarray(true), np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != N_CLASSES or len(true) != len(probabilities):
        raise ValueError(f"need labels (N,) and probabilities (N, {N_CLASSES}), got {true.shape} and "
                         f"{probabilities.shape}")
    if len(true) == 0:
        raise ValueError("no faces to score")
    if true.min() < 0 or true.max() >= N_CLASSES:
        raise ValueError(f"labels must be 0 to {N_CLASSES - 1}, got {true.min()} to {true.max()}; "
                         "unlabelled faces (-1) cannot be scored")
    result = _scores_of(confusion(true, probabilities.argmax(axis=1)), resamples)
    result["ece"] = round(expected_calibration_error(true, probabilities), 6)
    if clean is not None:
        matrix = confusion(true[clean], probabilities[clean].argmax(axis=1))
        kept = ("n", "accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval", "confusion")
        part = _scores_of(matrix, resamples) if matrix.any() else dict.fromkeys(kept) | {"n": 0}
        result["clean"] = {key: part[key] for key in kept}
        if not matrix.sum(axis=1).all():
            result["clean"] |= {"macro_f1": None, "macro_f1_interval": None}
    return result


def _scores_of(matrix: np.ndarray, resamples: int) -> dict[str, Any]:
    n = int(matrix.sum())
    accuracy, precision, recall, f1 = rates(matrix)
    # Drawing N faces with replacement is drawing a confusion matrix from the multinomial of its cells.
    draws = np.random.default_rng(0).multinomial(n, matrix.ravel() / n, resamples).reshape(-1, N_CLASSES, N_CLASSES)
    drawn_accuracy, _, _, drawn_f1 = rates(draws)

    def short(value: Any) -> float:
        return round(float(value), 6)

    def interval(values: np.ndarray) -> list[float]:
        return [short(end) for end in np.percentile(values, [2.5, 97.5])]

    return {
        "n": n, "accuracy": short(accuracy), "accuracy_interval": interval(drawn_accuracy),
        "macro_f1": short(macro_f1(matrix)), "macro_f1_interval": interval(macro_f1(draws)),
        "per_class": {
            name: {"precision": short(precision[i]), "recall": short(recall[i]), "f1": short(f1[i]),
                   "f1_interval": interval(drawn_f1[:, i]), "support": int(matrix[i].sum())}
            for i, name in enumerate(EMOTIONS)},
        "confusion": matrix.tolist()}


def with_interval(value: float | None, interval: Sequence[float | None] | None, percent: bool = False) -> str:
    """Write a score, 0 to 1, with its interval; "–" where there is no score.

    Example
    -------
    >>> with_interval(0.7216, (0.7067, 0.7363), percent=True), with_interval(0.7075, None)
    ('72.2% [70.7, 73.6]', '0.708')
    """
    if value is None or np.isnan(value):
        return "–"
    text = f"{value:.1%}" if percent else f"{value:.3f}"
    if interval is None or any(end is None or np.isnan(end) for end in interval):
        return text
    ends = [f"{100 * end:.1f}" if percent else f"{end:.3f}" for end in interval if end is not None]
    return f"{text} [{', '.join(ends)}]"


def accuracy_on_mix(matrix: ArrayLike, faces: ArrayLike) -> float:
    """Return the accuracy that a network would have on another mix of classes, from its recall of each class.

    Accuracies on parts with different shares of the easy classes cannot be compared; on one mix they can (direct
    standardisation). `matrix` is its confusion matrix, (7, 7), rows true; `faces`, (7,), counts each class of the
    other mix. NaN where the mix has a class of which the matrix has no face.
    """
    matrix, faces = np.asarray(matrix, float), np.asarray(faces, float)
    there = faces > 0
    if not there.any() or (matrix.sum(1)[there] == 0).any():
        return float("nan")
    recall = np.diagonal(matrix)[there] / matrix.sum(1)[there]
    return float((recall * faces[there]).sum() / faces.sum())


def clean_same_mix(part: dict[str, Any]) -> float:
    """Return the accuracy on the clean faces of `scores` on the mix of classes of the whole part; NaN if unknown."""
    matrix = (part.get("clean") or {}).get("confusion")
    return float("nan") if matrix is None else accuracy_on_mix(matrix, np.sum(part["confusion"], axis=1))


def memory_gap(part: dict[str, Any]) -> tuple[float, float, float]:
    """Return the memory gap of `scores`, and the ends of its 95 % interval; NaN where it is not known.

    It is the accuracy on the faces with a copy in Training minus that on the clean ones. The interval is that of the
    difference of two shares (normal approximation).
    """
    clean = np.array((part.get("clean") or {}).get("confusion") or np.zeros((N_CLASSES, N_CLASSES)), float)
    copies = np.asarray(part["confusion"], float) - clean
    if not (clean.any() and copies.any()):
        return float("nan"), float("nan"), float("nan")
    (a, m), (b, n) = ((matrix.trace() / matrix.sum(), matrix.sum()) for matrix in (copies, clean))
    half = 1.96 * np.sqrt(a * (1 - a) / m + b * (1 - b) / n)
    return float(a - b), float(a - b - half), float(a - b + half)


def per_class_table(result: dict[str, Any]) -> "pd.DataFrame":
    """Return the per-class part of `scores`: precision, recall, f1, support, f1_low, f1_high for each emotion."""
    import pandas as pd

    table = pd.DataFrame.from_dict(result["per_class"], orient="index")
    table[["f1_low", "f1_high"]] = table.pop("f1_interval").tolist()
    return table


def confused_pairs(matrix: ArrayLike, top: int = 5) -> "pd.DataFrame":
    """Return the most frequent confusions of a confusion matrix: true, predicted, faces, share (of the true class)."""
    import pandas as pd

    matrix = np.asarray(matrix)
    rows = [(EMOTIONS[i], EMOTIONS[j], int(matrix[i, j]), matrix[i, j] / max(matrix[i].sum(), 1))
            for i in range(N_CLASSES) for j in range(N_CLASSES) if i != j]
    table = pd.DataFrame(rows, columns=["true", "predicted", "faces", "share"])
    return table.sort_values("faces", ascending=False, kind="stable").head(top).reset_index(drop=True)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> dict[str, Any]:
    """Test whether two models make errors on the same faces (exact McNemar test, two-sided ``p``).

    Both arguments, bool (N,), say which faces a model has right; ``only_a`` counts those that only the first has right.
    """
    from scipy.stats import binomtest

    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.shape != b.shape:
        raise ValueError(f"both models must have judged the same faces, got {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return {"only_a": only_a, "only_b": only_b, "p": float(p)}


def reliability(true: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> "pd.DataFrame":
    """Compare confidence, the mean of the highest probabilities, with accuracy in bins of equal width.

    The columns are low and high (the bin's edges), n, confidence and accuracy; bins without faces are left out.
    """
    import pandas as pd

    true, probabilities = np.asarray(true), np.asarray(probabilities)
    top = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == true
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.digitize(top, edges[1:-1], right=True), 0, bins - 1)
    table = pd.DataFrame({"low": edges[which], "high": edges[which + 1], "confidence": top, "accuracy": right})
    return table.groupby(["low", "high"], as_index=False).agg(
        n=("accuracy", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean"))


def expected_calibration_error(true: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """Return the mean gap between confidence and accuracy, 0 to 1 (Guo et al. 2017)."""
    table = reliability(true, probabilities, bins)
    return float((table["n"] * (table["confidence"] - table["accuracy"]).abs()).sum() / table["n"].sum())


def log_loss(true: ArrayLike, probabilities: ArrayLike, least: float = 1e-7,
             weights: ArrayLike | None = None) -> float:
    """Return the mean of -log p of the true classes (cross-entropy); probabilities count as at least `least`.

    `weights`, (N,), says how much each face counts; by default all count the same.
    """
    picked = np.asarray(probabilities)[np.arange(np.size(true)), np.asarray(true)]
    loss = -np.log(np.clip(picked, least, 1))
    return float(np.average(loss, weights=None if weights is None else np.asarray(weights, float)))


def apply_temperature(probabilities: ArrayLike, temperature: float) -> np.ndarray:
    """Soften (temperature > 1) or sharpen (< 1) probabilities, float32 (N, 7), by one temperature (Guo et al. 2017).

    The softmax of log p / T equals the softmax of the logits at temperature T, so the logits are not needed.
    """
    logits = np.log(np.clip(np.asarray(probabilities, np.float64), 1e-12, 1)) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    out = np.exp(logits)
    return (out / out.sum(axis=1, keepdims=True)).astype(np.float32)


def fit_temperature(true: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Find the temperature, 0.1 to 10, with the least log loss (Guo et al. 2017); fit it on PublicTest.

    `weights`, (N,), says how much each face counts, such as `weights_for_mix`.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_t: float) -> float:
        return log_loss(true, apply_temperature(probabilities, np.exp(log_t)), least=1e-12, weights=weights)

    best = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10)), method="bounded")
    return float(np.exp(best.x))


def weights_for_mix(emotion: ArrayLike, faces: ArrayLike) -> np.ndarray:
    """Weigh labelled faces, float (N,), so that each class counts as much as it does among other faces.

    `emotion` are the labels, 0 to 6; `faces`, (7,), counts each class of the other faces. The weights sum to N.

    >>> weights_for_mix([0, 0, 0, 1], [5, 5, 0, 0, 0, 0, 0]).round(2).tolist()
    [0.67, 0.67, 0.67, 2.0]
    """
    emotion, faces = np.asarray(emotion), np.asarray(faces, float)
    weights = (faces / np.maximum(np.bincount(emotion, minlength=N_CLASSES), 1))[emotion]
    return weights * len(emotion) / weights.sum()


def bootstrap_counts(units: np.ndarray, there: np.ndarray | None = None, draws: int = 1000,
                     seed: int = 0) -> np.ndarray:
    """Draw weighted counts of outcomes, float (draws, K), that other photos of the same kind might give.

    The Bayesian bootstrap (Rubin 1981) gives each unit a random weight. A unit is a whole photo, or a person, because
    faces on one photo are correlated: at a joke all smile. Where units vary less than independent faces would, for
    example because there is only one photo, the draws come from the posterior of independent faces (a Dirichlet
    distribution), which is wider. So the spread is never too small.

    `units`, (N, K), counts the outcomes of each unit; `there`, bool (K,), says which outcomes are possible (default:
    all). These share a pseudo-count of one face, so that an interval from few faces has a width, too.
    """
    rng = np.random.default_rng(seed)
    there = np.ones(units.shape[1], bool) if there is None else there
    prior = there / max(there.sum(), 1)
    by_units = rng.gamma(np.where(there, prior, 1), size=(draws, units.shape[1])) * there
    for start in range(0, len(units), 1000):  # in parts, to use little memory
        part = np.asarray(units[start:start + 1000], float)
        by_units += rng.exponential(size=(draws, len(part))) @ part
    total = units.sum(axis=0) + prior
    by_faces = rng.gamma(np.where(total > 0, total, 1), size=by_units.shape) * (total > 0)
    spread = [(drawn / drawn.sum(axis=1, keepdims=True)).var(axis=0).sum() for drawn in (by_units, by_faces)]
    return by_units if len(units) > 1 and spread[0] > spread[1] else by_faces


def effective_sample_size(draws: np.ndarray) -> float:
    """Return how many independent faces would give shares with the spread of these draws, (N, K).

    Faces on one photo are correlated, so 100 of them say less than 100 single ones (Kish 1965, "Survey Sampling").
    For n independent faces the variance of a share p is p (1 - p) / (n + 1). This is solved for n, with the variances
    of all shares added up.
    """
    mean = draws.mean(axis=0)
    return float((mean * (1 - mean)).sum() / draws.var(axis=0).sum() - 1)
