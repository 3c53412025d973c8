"""Scores of predictions: accuracy, F1, their intervals, tests between networks, calibration."""
import numpy as np

from .labels import EMOTIONS, N_CLASSES


def apply_temperature(probabilities, temperature):
    """Soften (temperature > 1) or sharpen (< 1) probabilities; the winning class stays (Guo et al. 2017).

    A softmax of log p / T is the logits' own softmax at temperature T, so that the logits are not needed.

    Parameters
    ----------
    probabilities : ndarray
        float (N, 7), rows sum to 1.
    temperature : float

    Returns
    -------
    ndarray
        float32 (N, 7), rows sum to 1.
    """
    logits = np.log(np.clip(np.asarray(probabilities, np.float64), 1e-12, 1)) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    out = np.exp(logits)
    return (out / out.sum(axis=1, keepdims=True)).astype(np.float32)


def confusion(true, predicted):
    """Count faces by true (rows) and predicted (columns) emotion: int64 (7, 7)."""
    true, predicted = np.asarray(true, np.int64), np.asarray(predicted, np.int64)
    return np.bincount(true * N_CLASSES + predicted, minlength=N_CLASSES**2).reshape(N_CLASSES, N_CLASSES)


def _rates(matrix):
    """Return accuracy (…), precision, recall and F1 (…, 7) of confusion matrices (…, 7, 7); 0/0 counts as 0."""
    matrix = np.asarray(matrix, float)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    true, predicted = matrix.sum(-1), matrix.sum(-2)

    def ratio(a, b):
        return np.divide(a, b, out=np.zeros_like(a), where=b > 0)

    return (hits.sum(-1) / np.maximum(matrix.sum((-2, -1)), 1),
            ratio(hits, predicted), ratio(hits, true), ratio(2 * hits, true + predicted))


def _macro_f1(matrix):
    """Return the mean F1 over the classes that occur, as scikit-learn does: true or predicted at least once."""
    matrix = np.asarray(matrix)
    f1 = _rates(matrix)[3]
    occurs = (matrix.sum(-1) + matrix.sum(-2)) > 0
    return (f1 * occurs).sum(-1) / np.maximum(occurs.sum(-1), 1)


def scores(true, probabilities, clean=None, resamples=2000, seed=0):
    """Score predictions against labels.

    Parameters
    ----------
    true : array_like of int, (N,)
        Labels 0 to 6.
    probabilities : ndarray
        float (N, 7).
    clean : ndarray of bool, (N,), optional
        Faces that stand neither exactly nor nearly in Training; scored apart.
    resamples : int
        Bootstrap resamples for the intervals.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``n``, ``accuracy``, ``accuracy_interval`` [lo, hi], ``macro_f1``, ``macro_f1_interval``, ``per_class``
        (emotion → precision, recall, f1, f1_interval, support), ``confusion`` (7×7 counts, rows true),
        ``ece`` (expected calibration error) and, with `clean`, ``clean`` (n, accuracy, accuracy_interval, macro_f1,
        macro_f1_interval, confusion; both of macro_f1 are None where an emotion has no clean face).
        All shares are 0 to 1; intervals are 95 % percentile bootstrap over faces.

    Raises
    ------
    ValueError
        No faces, unlabelled faces, or lengths that differ.
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
    predicted = probabilities.argmax(axis=1)
    matrix = confusion(true, predicted)
    accuracy, precision, recall, f1 = _rates(matrix)
    # Drawing N faces with replacement is drawing a confusion matrix from the multinomial of its cells.
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(true), matrix.ravel() / len(true), resamples).reshape(-1, N_CLASSES, N_CLASSES)
    drawn_accuracy, _, _, drawn_f1 = _rates(draws)

    def interval(values):
        return [round(float(v), 6) for v in np.percentile(values, [2.5, 97.5])]

    result = {
        "n": len(true),
        "accuracy": round(float(accuracy), 6),
        "accuracy_interval": interval(drawn_accuracy),
        "macro_f1": round(float(_macro_f1(matrix)), 6),
        "macro_f1_interval": interval(_macro_f1(draws)),
        "per_class": {
            name: {"precision": round(float(precision[i]), 6), "recall": round(float(recall[i]), 6),
                   "f1": round(float(f1[i]), 6), "f1_interval": interval(drawn_f1[:, i]),
                   "support": int(matrix[i].sum())}
            for i, name in enumerate(EMOTIONS)},
        "confusion": matrix.tolist(),
        "ece": round(expected_calibration_error(true, probabilities), 6),
    }
    if clean is not None:
        result["clean"] = {"n": int(np.sum(clean)), "accuracy": None, "accuracy_interval": None, "macro_f1": None,
                           "macro_f1_interval": None, "confusion": None}
        if np.any(clean):
            part = scores(true[clean], probabilities[clean], resamples=resamples, seed=seed)
            result["clean"] = {key: part[key] for key in result["clean"]}
            if np.unique(true[clean]).size < N_CLASSES:
                result["clean"] |= {"macro_f1": None, "macro_f1_interval": None}
    return result


def with_interval(value, interval, percent=False):
    """Write a score with its interval: "72.2% [70.7, 73.6]" or "0.708 [0.690, 0.726]".

    Parameters
    ----------
    value : float or None
        A score, 0 to 1; "–" where there is none.
    interval : (float, float) or None
        Left out where there is none: cards of earlier versions lack some.
    percent : bool
    """
    if value is None or np.isnan(value):
        return "–"
    text = f"{value:.1%}" if percent else f"{value:.3f}"
    if interval is None or any(end is None or np.isnan(end) for end in interval):
        return text
    low, high = interval
    return f"{text} [{100 * low:.1f}, {100 * high:.1f}]" if percent else f"{text} [{low:.3f}, {high:.3f}]"


def accuracy_on_mix(matrix, faces):
    """Return the accuracy that a network would have on faces of another mix of classes, by its recall of each class.

    Two accuracies on parts with other shares of the easy classes do not compare; on one mix they do (direct
    standardisation).

    Parameters
    ----------
    matrix : array_like of int, (7, 7)
        A confusion matrix, rows true.
    faces : array_like of int, (7,)
        How many faces of each class the other mix has.

    Returns
    -------
    float
        NaN where the mix has a class of which the matrix has no face.
    """
    matrix, faces = np.asarray(matrix, float), np.asarray(faces, float)
    there = faces > 0
    if not there.any() or (matrix.sum(1)[there] == 0).any():
        return float("nan")
    recall = np.diagonal(matrix)[there] / matrix.sum(1)[there]
    return float((recall * faces[there]).sum() / faces.sum())


def per_class_table(result):
    """Return the per-class part of `scores` as a DataFrame, one row an emotion."""
    import pandas as pd

    table = pd.DataFrame(result["per_class"]).T
    interval = pd.DataFrame(table.pop("f1_interval").tolist(), index=table.index, columns=["f1_low", "f1_high"])
    table = table.astype({"support": int, "precision": float, "recall": float, "f1": float})
    return pd.concat([table, interval], axis=1)


def confused_pairs(matrix, top=5):
    """Return the most frequent confusions of a 7×7 count matrix.

    Returns
    -------
    DataFrame
        Columns true, predicted, faces, share (of the true class), most faces first.
    """
    matrix = np.asarray(matrix)
    rows = [(EMOTIONS[i], EMOTIONS[j], int(matrix[i, j]), matrix[i, j] / max(matrix[i].sum(), 1))
            for i in range(N_CLASSES) for j in range(N_CLASSES) if i != j]
    import pandas as pd

    table = pd.DataFrame(rows, columns=["true", "predicted", "faces", "share"])
    return table.sort_values("faces", ascending=False, kind="stable").head(top).reset_index(drop=True)


def mcnemar(correct_a, correct_b):
    """Test whether two models err alike on the same faces (exact McNemar test).

    Parameters
    ----------
    correct_a, correct_b : array_like of bool, (N,)

    Returns
    -------
    dict
        ``only_a``, ``only_b`` (faces that only one of them gets right) and the two-sided ``p``.
    """
    from scipy.stats import binomtest

    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.shape != b.shape:
        raise ValueError(f"both models must have judged the same faces, got {a.shape} and {b.shape}")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    p = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return {"only_a": only_a, "only_b": only_b, "p": float(p)}


def reliability(true, probabilities, bins=15):
    """Compare confidence with accuracy, in bins of equal width.

    Returns
    -------
    DataFrame
        Columns low, high (the bin's edges), n, confidence (mean top probability), accuracy; bins without faces are
        left out.
    """
    true, probabilities = np.asarray(true), np.asarray(probabilities)
    top = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == true
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.digitize(top, edges[1:-1], right=True), 0, bins - 1)
    import pandas as pd

    table = pd.DataFrame({"bin": which, "confidence": top, "accuracy": right.astype(float)})
    table = table.groupby("bin").agg(n=("accuracy", "size"), confidence=("confidence", "mean"),
                                     accuracy=("accuracy", "mean")).reset_index()
    table.insert(0, "low", edges[table["bin"]])
    table.insert(1, "high", edges[table["bin"] + 1])
    return table.drop(columns="bin")


def expected_calibration_error(true, probabilities, bins=15):
    """Return the mean gap between confidence and accuracy, 0 to 1 (Guo et al. 2017)."""
    table = reliability(true, probabilities, bins)
    return float((table["n"] * (table["confidence"] - table["accuracy"]).abs()).sum() / table["n"].sum())


def fit_temperature(true, probabilities):
    """Find the temperature with the least log loss (Guo et al. 2017); fit it on PublicTest.

    Parameters
    ----------
    true : array_like of int, (N,)
    probabilities : ndarray
        float (N, 7).

    Returns
    -------
    float
        0.1 to 10.
    """
    from scipy.optimize import minimize_scalar

    true = np.asarray(true)

    def log_loss(log_temperature):
        picked = apply_temperature(probabilities, np.exp(log_temperature))[np.arange(len(true)), true]
        return -np.log(np.clip(picked, 1e-12, 1)).mean()

    best = minimize_scalar(log_loss, bounds=(np.log(0.1), np.log(10)), method="bounded")
    return float(np.exp(best.x))


def clean_same_mix(part):
    """Return the accuracy on a part's clean faces if their classes were mixed as in the whole part; NaN if unknown.

    Parameters
    ----------
    part : dict
        As `scores` returns it.
    """
    matrix = (part.get("clean") or {}).get("confusion")
    return float("nan") if matrix is None else accuracy_on_mix(matrix, np.sum(part["confusion"], axis=1))


def log_loss(true, probabilities):
    return float(-np.log(np.clip(probabilities[np.arange(len(true)), true], 1e-7, 1)).mean())
