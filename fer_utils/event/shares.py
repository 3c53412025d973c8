"""The shares of emotions in a crowd, from the answers of a classifier that makes errors.

Counting the answers gives the *raw* shares. They are biased: a network that takes much *fear* for *sad* reports too
much *sad*. The *corrected* shares use its confusion matrix, which says how often it takes one emotion for another. This
task is called quantification (Forman 2008, "Quantifying counts and costs via classification"; Saerens et al. 2002,
"Adjusting the outputs of a classifier to new a priori probabilities").
"""
import numpy as np
import pandas as pd

from ..labels import EMOTIONS, N_CLASSES, VALENCE, VALENCES
from ..metrics import bootstrap_counts, effective_sample_size
from ..networks.card import Card

SHRINKAGE = 0.1
"""How strongly the corrected shares are pulled to the raw ones.

Without it the noise of the confusion matrix is amplified: its *disgust* row counts only 21 faces. The value was chosen
on halves of PublicTest (the matrix from one half, mixes drawn from the other): 0.1 put fewer faces under a wrong
emotion than 0, than least squares with the matrix, and than Saerens et al.'s use of the probabilities. Notebook 08
measures it on PrivateTest.
"""
PRIOR = 1 / N_CLASSES
"""Pseudo-count of each emotion, one face in all: so even an interval from few faces has a width."""
_TO_VALENCE = np.array([[VALENCE[e] == v for v in VALENCES] for e in EMOTIONS], float)


def known_confusion(card: Card) -> tuple[np.ndarray, str]:
    """Return a network's confusion matrix on the faces it was chosen by, and the name of those faces.

    Copies of training faces are left out where each emotion has other faces: a network makes fewer errors on faces that
    it was trained on than on those of an event. The matrix holds counts, int (7, 7), rows true, columns predicted.
    """
    usage = card.chosen_by
    part = card.scores[usage]
    clean = np.asarray((part.get("clean") or {}).get("confusion") or np.zeros((N_CLASSES, N_CLASSES)))
    if clean.sum(axis=1).all():
        return clean, f"{usage} without copies of training faces"
    return np.asarray(part["confusion"]), usage


def correct_shares(shares: np.ndarray, confusion: np.ndarray, steps: int = 200) -> np.ndarray:
    """Return the true shares that best explain the shares which a classifier reported.

    A face of emotion i is called j with probability rates[i, j], from the confusion matrix, so true shares p give the
    reported shares p @ rates. Solving this for p with the inverse matrix ("adjusted count", Forman 2008) amplifies
    noise and can give negative shares. Expectation-maximisation finds the most probable p instead, which stays between
    0 and 1 with sum 1. Each step also pulls it to the raw shares (`SHRINKAGE`).

    `shares` and the result are (..., 7), rows with sum 1; `confusion` holds counts, rows true, columns predicted.
    """
    shares = np.asarray(shares, float)
    rates = np.asarray(confusion, float) + PRIOR
    rates /= rates.sum(axis=1, keepdims=True)
    estimate = np.full(shares.shape, 1 / N_CLASSES)
    for _ in range(steps):
        estimate = estimate * ((shares / np.maximum(estimate @ rates, 1e-12)) @ rates.T)
        estimate = (estimate + SHRINKAGE * shares) / (1 + SHRINKAGE)
    return estimate


def bootstrap_shares(units: np.ndarray, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """Draw the raw shares that other photos and people of the same kind might give.

    See `metrics.bootstrap_counts`. `units`, int (N, 7), counts the predicted emotions of each photo, and of each person
    followed through a video. The result is float (draws, 7), rows with sum 1.
    """
    counts = bootstrap_counts(np.asarray(units), draws=draws, seed=seed)
    return counts / counts.sum(axis=1, keepdims=True)


def sample_true_shares(counts: np.ndarray, confusion: np.ndarray, start: np.ndarray, chains: int = 125,
                       steps: int = 120, kept: int = 8, seed: int = 0) -> np.ndarray:
    """Draw true shares from their posterior, given the counts of a classifier and its errors on known faces.

    The true emotion of each face is unknown, and so are the exact error rates. Gibbs sampling (Gelfand & Smith 1990)
    draws in turn: the true emotions of the faces that were called j, then the true shares, then the rows of the
    confusion matrix with those faces added. So the draws include the noise of both the counts and the matrix, which
    inverting the matrix would not show, and they stay between 0 and 1.

    `counts`, int (7,), are of the predicted emotions; the chains begin at the shares `start`, (7,). Every tenth step is
    kept, the last `kept` of each chain: float (chains × kept, 7), rows with sum 1.
    """
    rng = np.random.default_rng(seed)
    known = np.asarray(confusion, float) + PRIOR
    rates = _dirichlet(rng, np.broadcast_to(known, (chains, N_CLASSES, N_CLASSES)))
    truth = np.broadcast_to(start, (chains, N_CLASSES))
    draws = []
    for step in range(1, steps + 1):
        joint = truth[:, :, None] * rates + 1e-12
        of_true = (joint / joint.sum(axis=1, keepdims=True)).transpose(0, 2, 1)  # (chain, predicted, true)
        faces = rng.multinomial(counts, of_true)
        truth = _dirichlet(rng, faces.sum(axis=1) + 0.5)
        rates = _dirichlet(rng, known + faces.transpose(0, 2, 1))
        if step > steps - 10 * kept and step % 10 == 0:
            draws.append(truth)
    return np.concatenate(draws)


def _dirichlet(rng: np.random.Generator, weights: np.ndarray) -> np.ndarray:
    drawn = rng.gamma(weights) + 1e-300
    return drawn / drawn.sum(axis=-1, keepdims=True)


def estimate_shares(units: np.ndarray, confusion: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Estimate the shares of emotions and valences, raw and corrected, with 95 % intervals.

    The intervals are quantiles of `bootstrap_shares` and of `sample_true_shares`. The latter takes each face as
    independent, so it is given the effective sample size and not the number of faces.

    `units` is as for `bootstrap_shares`, `confusion` as for `correct_shares`. The rows are the seven emotions, then
    "valence: negative" and so on; the columns are faces, raw, raw_low, raw_high, corrected, corrected_low and
    corrected_high. Raises `ValueError` without a face.
    """
    units = np.asarray(units).reshape(-1, N_CLASSES)
    counts = units.sum(axis=0)
    if not counts.sum():
        raise ValueError("no faces, so there are no shares to estimate")
    raw = counts / counts.sum()
    corrected = correct_shares(raw, confusion)
    raw_draws = bootstrap_shares(units, seed=seed)
    independent = np.clip(effective_sample_size(raw_draws), 1, counts.sum())
    corrected_draws = sample_true_shares(np.rint(raw * independent).astype(int), confusion, corrected, seed=seed)
    table = pd.DataFrame({"faces": with_valence(counts)}, [*EMOTIONS, *(f"valence: {name}" for name in VALENCES)])
    for name, point, drawn in (("raw", raw, raw_draws), ("corrected", corrected, corrected_draws)):
        low, high = np.quantile(with_valence(drawn), (0.025, 0.975), axis=0)
        table[name] = point = with_valence(point)
        # The priors move the draws a little against the point; it must not lie outside its own interval.
        table[f"{name}_low"], table[f"{name}_high"] = np.minimum(low, point), np.maximum(high, point)
    return table


def with_valence(shares: np.ndarray) -> np.ndarray:
    """Append the sums over negative, neutral and positive emotions: (..., 7) becomes (..., 10)."""
    return np.concatenate([shares, np.asarray(shares) @ _TO_VALENCE], axis=-1)


def check_correction(true: np.ndarray, predicted: np.ndarray, confusion: np.ndarray, mixes: int = 10, n: int = 1000,
                     seed: int = 0) -> pd.DataFrame:
    """Measure on faces with known labels whether corrected shares are closer to the truth than raw ones.

    Each mix has shares drawn from a flat Dirichlet distribution, and `n` faces drawn with replacement to match them.
    `true` and `predicted`, int (N,), are labels and answers on faces that neither the network was trained on nor
    `confusion` counted on.

    The result has a row for each mix. raw_error and corrected_error are half the sum of the differences from the seven
    true shares, raw_valence_error and corrected_valence_error the same over the three valences. raw_inside and
    corrected_inside say how many of the seven true shares lie in their intervals, and closer whether corrected_error is
    the smaller.
    """
    members = [np.flatnonzero(np.asarray(true) == label) for label in range(N_CLASSES)]
    answers = np.eye(N_CLASSES, dtype=int)[predicted]
    rng = np.random.default_rng(seed)
    rows = []
    for mix in range(mixes):
        wanted = rng.dirichlet(np.ones(N_CLASSES)) * [len(m) > 0 for m in members]
        numbers = rng.multinomial(n, wanted / wanted.sum())
        chosen = np.concatenate([rng.choice(m, k) for m, k in zip(members, numbers) if k])
        table, truth = estimate_shares(answers[chosen], confusion, seed=mix), with_valence(numbers / n)
        row: dict[str, float] = {}
        for name in ("raw", "corrected"):
            gap = np.abs(table[name].to_numpy() - truth)
            inside = (table[f"{name}_low"] <= truth) & (truth <= table[f"{name}_high"])
            row |= {f"{name}_error": gap[:N_CLASSES].sum() / 2, f"{name}_valence_error": gap[N_CLASSES:].sum() / 2,
                    f"{name}_inside": int(inside[:N_CLASSES].sum())}
        rows.append({**row, "closer": row["corrected_error"] < row["raw_error"]})
    return pd.DataFrame(rows)
