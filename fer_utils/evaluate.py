"""Scores, their intervals, tests between models, calibration; and reading a trained network back."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from . import paths
from .audit import seen_in_training
from .backend import import_keras
from .calibration import apply_temperature
from .cards import read_card, run_folder
from .datasets import FaceSet
from .labels import EMOTIONS, N_CLASSES
from .paths import DataError
from .preprocess import FaceSpec, face_to_tensor
from .resample import split


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
    if pd.isna(value):
        return "–"
    text = f"{value:.1%}" if percent else f"{value:.3f}"
    if interval is None or any(pd.isna(end) for end in interval):
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


def clean_mask(faces, usage, labelled=False):
    """Return which faces of a test usage stand neither exactly nor nearly in Training: bool (N,).

    With `labelled` of its labelled faces only. None for Training itself, and where there is none.
    """
    if usage == "Training" or "Training" not in faces.usage:
        return None
    clean = ~seen_in_training(faces, usage)
    return clean[faces.labelled[faces.usage == usage]] if labelled else clean


def report_part(faces):
    """Return the part that scores are reported on.

    Parameters
    ----------
    faces : FaceSet

    Returns
    -------
    usage : str
        "PrivateTest". Where the data has no labels for it (the challenge's files, project C's folders) the part that
        training chose by, which flatters: "PublicTest", or "validation" where that was held out of Training.
    part : FaceSet
    clean : ndarray of bool, or None
        As `clean_mask`; None for "validation".
    """
    parts = split(faces)
    usage = str(parts.reported.usage[0])
    if usage == "Training":
        return "validation", parts.reported, None
    return usage, parts.reported, clean_mask(faces, usage, labelled=True)


def results_table(cards, usage="PrivateTest"):
    """Lay the cards of trained networks out as one table, best first, exhibits last.

    Parameters
    ----------
    cards : iterable of dict
        As `read_card` gives them.
    usage : str

    Returns
    -------
    DataFrame
        name, label (the network and what sets its training apart, for figures), model, protocol, balance, augment,
        seed, scored_on, accuracy, low, high, macro_f1, macro_f1_low, macro_f1_high, clean_accuracy,
        clean_same_mix (clean accuracy if the classes were mixed as among all faces scored), clean_macro_f1,
        parameters, mflops, epochs, minutes, data. Under the leaky protocol the scores are those of its
        own leaky test part, as projects A and E reported them; where the data has no labels for `usage`, those of
        the part that training chose by.
    """
    rows = []
    for card in cards:
        exhibit = card["config"]["protocol"] == "leaky"
        scored_on = "leaky test" if exhibit else usage
        if scored_on not in card["scores"]:
            scored_on = next(iter(card["scores"]))
        part = card["scores"][scored_on]
        clean = part.get("clean") or {}
        rows.append({
            "name": card["name"], "label": _label(card), "model": card["model"],
            "protocol": card["config"]["protocol"], "balance": card["config"]["balance"],
            "augment": card["config"]["augment"], "seed": card["config"]["seed"],
            "scored_on": scored_on, "accuracy": part["accuracy"],
            "low": part["accuracy_interval"][0], "high": part["accuracy_interval"][1],
            "macro_f1": part["macro_f1"], "macro_f1_low": part["macro_f1_interval"][0],
            "macro_f1_high": part["macro_f1_interval"][1], "clean_accuracy": clean.get("accuracy"),
            "clean_same_mix": clean_same_mix(part), "clean_macro_f1": clean.get("macro_f1"),
            "parameters": card["parameters"], "mflops": card["mflops"],
            "epochs": card["epochs_run"], "minutes": round(card["seconds"] / 60, 1), "data": card["data"]["title"]})
    table = pd.DataFrame(rows)
    if len(table):
        table = table.sort_values(["protocol", "accuracy"], ascending=[False, False], kind="stable")
    return table.reset_index(drop=True)


def _label(card):
    config = card["config"]
    balance = {"none": "", "over": "over-sampled", "under": "under-sampled", "class_weights": "class weights"}
    words = [config["model"], config["augment"].replace("none", ""),
             balance.get(config["balance"], config["balance"]), "distilled" if config.get("teachers") else "",
             "averaged" if card.get("averaged") else "", f"seed {config['seed']}" if config["seed"] else ""]
    return ", ".join(word for word in words if word)


def seed_table(cards, usage="PrivateTest"):
    """Lay out how far scores spread between runs of one recipe that differ in nothing but their seed.

    Parameters
    ----------
    cards : iterable of dict
        As `read_card` gives them.
    usage : str

    Returns
    -------
    DataFrame
        A row for each honest recipe that several seeds were trained by: ``label``, ``seeds`` (how many), and the
        ``mean``, ``sd`` (sample standard deviation), ``lowest`` and ``highest`` of their accuracies, ``half_width``
        (half their mean 95 % bootstrap interval), and ``macro_f1`` and ``macro_f1_sd``. Empty if there is none.
    """
    recipes = {}
    for card in cards:
        if card["config"]["protocol"] == "official" and usage in card["scores"] and not card.get("averaged"):
            # An older card lacks the fields that came later, which are off by default.
            key = str(sorted((name, value) for name, value in card["config"].items() if value and name != "seed"))
            recipes.setdefault((key, card["data"]["fingerprint"]), {})[card["config"]["seed"]] = card
    rows = []
    for runs in recipes.values():
        parts = [card["scores"][usage] for card in runs.values()]
        if len(parts) < 2:
            continue
        accuracy, macro_f1 = (np.array([part[name] for part in parts]) for name in ("accuracy", "macro_f1"))
        config = next(iter(runs.values()))["config"] | {"seed": 0}
        rows.append({"label": _label({"config": config}), "seeds": len(parts), "mean": accuracy.mean(),
                     "sd": accuracy.std(ddof=1), "lowest": accuracy.min(), "highest": accuracy.max(),
                     "half_width": np.mean([np.ptp(part["accuracy_interval"]) / 2 for part in parts]),
                     "macro_f1": macro_f1.mean(), "macro_f1_sd": macro_f1.std(ddof=1)})
    return pd.DataFrame(rows)


def clean_same_mix(part):
    """Return the accuracy on a part's clean faces if their classes were mixed as in the whole part; NaN if unknown.

    Parameters
    ----------
    part : dict
        As `scores` returns it.
    """
    matrix = (part.get("clean") or {}).get("confusion")
    return float("nan") if matrix is None else accuracy_on_mix(matrix, np.sum(part["confusion"], axis=1))


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
