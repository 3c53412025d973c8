"""The shares of a crowd's emotions from a classifier that errs: raw counts, and counts corrected for its confusion.

In the literature this is *quantification* (Forman 2008, "Quantifying counts and costs via classification"; Saerens
et al. 2002, "Adjusting the outputs of a classifier to new a priori probabilities").
"""
import numpy as np
import pandas as pd

from ..errors import DataError
from ..labels import EMOTIONS, N_CLASSES, VALENCE, VALENCES

PULL = 0.1
"""How strongly the correction is pulled to the raw shares.

Without it the noise of the confusion matrix, whose *disgust* row stands on 21 faces, is blown up. Chosen on halves of
PublicTest (the matrix from one, mixes drawn from the other): 0.1 booked fewer faces wrongly than 0, than solving for
the matrix by least squares, and than Saerens et al.'s use of the probabilities. Notebook 08 measures it on PrivateTest.
"""
PRIOR = 1 / N_CLASSES
"""Pseudo-counts of each emotion, one face in all, so that few faces never give an interval of no width."""
_TO_VALENCE = np.array([[VALENCE[e] == v for v in VALENCES] for e in EMOTIONS], float)


def known_confusion(card):
    """Return what a trained network took for what on the faces it was chosen by, without those it may remember.

    Copies of training faces are left out where the card says what the network made of the others: it errs less on
    faces that it was trained on than on an event's. Only where an emotion has no such face do all count.

    Parameters
    ----------
    card : dict
        As `cards.read_card` gives it.

    Returns
    -------
    matrix : ndarray
        int (7, 7), faces; rows true, columns predicted.
    usage : str
        "PublicTest", or the part that stood in for it; "… without copies of training faces" where they are left out.

    Raises
    ------
    DataError
        The card holds no confusion matrix.
    """
    usage, part = next(iter(card.get("scores", {}).items()), (None, {}))
    matrix = np.asarray(part.get("confusion", ()))
    clean = np.asarray((part.get("clean") or {}).get("confusion") or np.zeros((N_CLASSES, N_CLASSES)))
    if clean.sum(axis=1).all():
        matrix, usage = clean, f"{usage} without copies of training faces"
    if matrix.shape != (N_CLASSES, N_CLASSES):
        raise DataError(f"the card of {card.get('name', 'this network')} holds no confusion matrix, so its counts "
                        "cannot be corrected; train it again with this version")
    return matrix, usage


def correct(shares, confusion, steps=200):
    """Return the true shares that best explain the shares a classifier reported.

    Expectation-maximisation finds the shares p that make the reported ones most probable when a face of emotion i is
    called j with the confusion matrix's probability; it stays within 0 to 1 and sums to 1, where inverting the matrix
    does not. A prior pulls it to the raw shares (`PULL`).

    Parameters
    ----------
    shares : ndarray
        float (..., 7), of the predicted emotions; rows sum to 1.
    confusion : ndarray
        (7, 7), counts; rows true, columns predicted.
    steps : int

    Returns
    -------
    ndarray
        float (..., 7).
    """
    shares = np.asarray(shares, float)
    rates = np.asarray(confusion, float) + PRIOR
    rates = rates / rates.sum(axis=-1, keepdims=True)
    estimate = np.full(shares.shape, 1 / N_CLASSES)
    for _ in range(steps):
        estimate = estimate * ((shares / np.maximum(estimate @ rates, 1e-12)) @ rates.T)
        estimate = (estimate + PULL * shares) / (1 + PULL)
    return estimate


def draw_raw(units, draws=1000, seed=0):
    """Draw raw shares as they might be with other photos and people of the same kind.

    The Bayesian bootstrap (Rubin 1981) weighs whole units, for faces on one photo tend to look alike; a prior of one
    face in all is added. Where every unit is one face, that is the multinomial's Dirichlet posterior, which is also
    what is drawn from where units spread less than single faces would: one photo alone says nothing of others.

    Parameters
    ----------
    units : ndarray
        int (N, 7): for each photo, or person followed through a video, the faces of each predicted emotion.
    draws, seed : int

    Returns
    -------
    ndarray
        float (draws, 7), rows sum to 1.
    """
    rng = np.random.default_rng(seed)
    counts = rng.gamma(PRIOR, size=(draws, N_CLASSES))
    for start in range(0, len(units), 1000):  # in parts, so that memory stays small
        part = np.asarray(units[start:start + 1000], float)
        counts += rng.exponential(size=(draws, len(part))) @ part
    by_units = counts / counts.sum(axis=1, keepdims=True)
    by_faces = _dirichlet(rng, np.broadcast_to(np.sum(units, axis=0) + PRIOR, (draws, N_CLASSES)))
    alike = len(units) > 1 and by_units.var(axis=0).sum() > by_faces.var(axis=0).sum()
    return by_units if alike else by_faces


def draw_corrected(counts, confusion, start, chains=125, steps=120, kept=8, seed=0):
    """Draw true shares, given the counts a classifier reported and how it erred on known faces.

    Gibbs sampling: share out each reported emotion's faces among the true ones, then draw the true shares and the
    confusion matrix's rows from their Dirichlet distributions, with those faces added. So the draws hold the noise of
    the counts and of the matrix, and stay within 0 to 1.

    Parameters
    ----------
    counts : ndarray
        int (7,), of the predicted emotions.
    confusion : ndarray
        int (7, 7), counts; rows true, columns predicted.
    start : ndarray
        float (7,), shares to start from.
    chains, steps, kept : int
        Of the chains' steps the last `kept` tens are kept: `chains` × `kept` draws.
    seed : int

    Returns
    -------
    ndarray
        float (chains × kept, 7), rows sum to 1.
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


def _dirichlet(rng, weights):
    drawn = rng.gamma(weights) + 1e-300
    return drawn / drawn.sum(axis=-1, keepdims=True)


def estimate(units, confusion, seed=0):
    """Estimate the shares of emotions and valences, raw and corrected, with 95 % intervals.

    The intervals are quantiles of `draw_raw` and of `draw_corrected`; for the latter faces on one photo, which look
    alike, count as so many independent ones as give the raw shares' spread.

    Parameters
    ----------
    units : ndarray
        int (N, 7), as for `draw_raw`.
    confusion : ndarray
        int (7, 7), counts; rows true, columns predicted.
    seed : int

    Returns
    -------
    DataFrame
        Rows `EMOTIONS`, then `VALENCES` as "valence: negative" and so on; columns faces, raw, raw_low, raw_high,
        corrected, corrected_low, corrected_high.

    Raises
    ------
    ValueError
        No face.
    """
    units = np.asarray(units).reshape(-1, N_CLASSES)
    counts = units.sum(axis=0)
    if not counts.sum():
        raise ValueError("no faces, so there are no shares to estimate")
    raw, corrected = counts / counts.sum(), correct(counts / counts.sum(), confusion)
    raw_draws = draw_raw(units, seed=seed)
    mean = raw_draws.mean(axis=0)
    independent = np.clip((mean * (1 - mean)).sum() / raw_draws.var(axis=0).sum() - 1, 1, counts.sum())
    corrected_draws = draw_corrected(np.rint(raw * independent).astype(int), confusion, corrected, seed=seed)
    table = pd.DataFrame({"faces": with_valence(counts)}, index=share_names())
    for name, point, drawn in (("raw", raw, raw_draws), ("corrected", corrected, corrected_draws)):
        low, high = np.quantile(with_valence(drawn), (0.025, 0.975), axis=0)
        table[name] = point = with_valence(point)
        # Priors move draws and point apart a little; the point must not stand outside its interval.
        table[f"{name}_low"], table[f"{name}_high"] = np.minimum(low, point), np.maximum(high, point)
    return table


def with_valence(shares):
    """Append the sums over negative, neutral and positive emotions: (..., 7) becomes (..., 10)."""
    return np.concatenate([shares, np.asarray(shares) @ _TO_VALENCE], axis=-1)


def share_names():
    """Return the names that go with `with_valence`."""
    return [*EMOTIONS, *(f"valence: {name}" for name in VALENCES)]


def check_correction(true, predicted, confusion, mixes=10, n=1000, seed=0):
    """Measure on faces with known labels whether corrected shares are closer to the truth than raw ones.

    Each mix has shares drawn from a flat Dirichlet distribution and `n` faces drawn, with replacement, to match.

    Parameters
    ----------
    true, predicted : int array (N,)
        Labels and a network's answers on faces that it was not trained on and that `confusion` was not counted on.
    confusion : ndarray
        int (7, 7), counts; rows true, columns predicted.
    mixes, n, seed : int

    Returns
    -------
    DataFrame
        A row for each mix: raw_error and corrected_error (half the sum of the differences over the seven emotions:
        the share of faces booked wrongly), raw_valence_error and corrected_valence_error (the same over the three
        valences), raw_inside and corrected_inside (how many of the seven true shares their intervals hold) and closer
        (whether the corrected shares are closer).
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    members = [np.flatnonzero(true == label) for label in range(N_CLASSES)]
    present = np.array([len(m) > 0 for m in members])
    rng = np.random.default_rng(seed)
    rows = []
    for mix in range(mixes):
        wanted = rng.dirichlet(np.ones(N_CLASSES)) * present
        numbers = rng.multinomial(n, wanted / wanted.sum())
        chosen = np.concatenate([rng.choice(m, k) for m, k in zip(members, numbers) if k])
        table = estimate(np.eye(N_CLASSES, dtype=int)[predicted[chosen]], confusion, seed=mix)
        truth = with_valence(numbers / n)
        row = {}
        for name in ("raw", "corrected"):
            gap = np.abs(table[name].to_numpy() - truth)
            inside = (table[f"{name}_low"] <= truth) & (truth <= table[f"{name}_high"])
            row |= {f"{name}_error": gap[:N_CLASSES].sum() / 2, f"{name}_valence_error": gap[N_CLASSES:].sum() / 2,
                    f"{name}_inside": int(inside[:N_CLASSES].sum())}
        rows.append(row | {"closer": row["corrected_error"] < row["raw_error"]})
    return pd.DataFrame(rows)
