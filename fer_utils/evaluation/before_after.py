"""What training on changed: a network before and after, on the same faces, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm, t

from ..labels import N_CLASSES
from ..metrics import bootstrap_counts, rates, with_interval
from ..networks.own_faces import OwnFaces
from ..networks.runs import load_model, predict_probabilities
from .groups import CANNOT, percentile_interval

LEAST_PERSONS = 5
"""Of fewer persons the bootstrap knows too little: how people differ cannot be told from them."""
_POINTS = 0.1  # the difference that plans are made for
_ALIKE = 0.1  # correlation of the faces of one person, where too few persons are there to measure it


@dataclass(frozen=True)
class Answers:
    """What two networks say of the same faces: labels 0 to 6, int (N,) each."""

    true: np.ndarray
    before: np.ndarray
    after: np.ndarray
    units: np.ndarray | None = None  # who is on each face, (N,); None counts each face for itself


def measure_change(faces: OwnFaces, run: Path | str) -> dict[str, Any]:
    """Compare the network that was started from with the one that was trained on (`networks.own_faces.train_on`).

    The result can be written as JSON: ``own``, on the own held-out faces, as `compare_answers` returns it; ``base``,
    the same on the base's PublicTest (what was forgotten), None where there is none; ``persons`` and ``faces`` of all
    own faces; and ``notes``. PrivateTest of the base is never looked at.
    """
    own, base = faces.own, faces.base
    held_out = own[own.usage == "PrivateTest"]
    old = None if base is None else base[(base.usage == "PublicTest") & base.labelled]
    answers = []
    for name in (faces.start, run):
        model, card = load_model(name)
        answers.append([predict_probabilities(model, part.pixels, card.spec).argmax(axis=1)
                        for part in (held_out, old) if part is not None and len(part)])
    compared = [compare_answers(Answers(part.emotion, before, after, part.group))
                for part, before, after in zip((held_out, old), *answers) if part is not None]
    persons = None if own.group is None else len(np.unique(np.asarray(own.group)))
    return {"own": compared[0], "base": compared[1] if len(compared) > 1 else None, "faces": len(own),
            "persons": persons, "replayed": faces.replayed, "notes": list(faces.notes)}


def compare_answers(answers: Answers) -> dict[str, Any]:
    """Compare two networks' accuracy and macro-F1 on the same faces.

    ``before``, ``after`` and ``change`` hold ``accuracy`` and ``macro_f1``, each with its 95 % ``…_interval``. These
    are of a paired Bayesian bootstrap by person, because faces of one person are alike, or by face where that is wider;
    few persons make them wider still.
    ``conclusion`` is "better", "worse" or "cannot be told", by the accuracy; ``needed_faces`` and ``needed_persons``
    say how many held-out ones a difference of 10 points takes (power 80 %).
    """
    true, before, after = (np.asarray(labels, np.int64) for labels in (answers.true, answers.before, answers.after))
    units = np.arange(len(true)) if answers.units is None else np.unique(answers.units, return_inverse=True)[1]
    persons = int(units.max()) + 1
    right = _draw_outcomes(units, 2 * (true == before) + (true == after), np.ones(4, bool))
    right /= right.sum(axis=1, keepdims=True)
    outcomes = np.ravel_multi_index((true, before, after), (N_CLASSES,) * 3)
    cells = _draw_outcomes(units, outcomes, _possible(true, before, after))
    matrix = cells.reshape(-1, *(N_CLASSES,) * 3)
    values = {"before": {"accuracy": right[:, 2] + right[:, 3], "macro_f1": _macro_f1(matrix.sum(axis=3))},
              "after": {"accuracy": right[:, 1] + right[:, 3], "macro_f1": _macro_f1(matrix.sum(axis=2))}}
    values["change"] = {key: values["after"][key] - values["before"][key] for key in ("accuracy", "macro_f1")}
    result: dict[str, Any] = {"faces": len(true), "persons": None if answers.units is None else persons}
    wider = 1.0 if answers.units is None else _few_persons(persons)
    for name, scores in values.items():
        result[name] = {key: float(value[0]) for key, value in scores.items()}
        least = -1 if name == "change" else 0
        result[name] |= {f"{key}_interval": percentile_interval(
            float(value[0]), np.clip(value[1:].mean() + wider * (value[1:] - value[1:].mean()), least, 1))
            for key, value in scores.items()}
    variance = float(values["change"]["accuracy"][1:].var()) * (persons + 1) / max(persons - 1, 1)
    return result | _conclusion(result, variance, float(right[0, 1] + right[0, 2]))


def _few_persons(persons: int) -> float:
    """Return how much wider intervals must be than the bootstrap's, because few persons tell little of how all differ.

    The bootstrap's variance is too small by (persons - 1) / (persons + 1), and Student's distribution is right where
    the normal one is too narrow. Without this 8 persons gave a false "better" or "worse" in 13 % of trials, now in 5 %.
    """
    if persons < 2:
        return 1.0  # nothing is concluded from one person
    return float(t.isf(0.025, persons - 1) / norm.isf(0.025) * np.sqrt((persons + 1) / (persons - 1)))


def _possible(true: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return which outcomes the draws of macro-F1 can have, bool (343,).

    These are the ones that occur; and of the classes that occur, those in which two of label and answers agree.
    """
    t, b, a = np.indices((N_CLASSES,) * 3)
    classes = np.unique([true, before, after])
    possible = ((t == b) | (t == a) | (b == a)) & np.isin(t, classes) & np.isin(b, classes) & np.isin(a, classes)
    possible[true, before, after] = True
    return possible.ravel()


def _draw_outcomes(units: np.ndarray, outcomes: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """Count outcomes, (1 + draws, size): first what was seen, then as other people like these might give it.

    `possible`, bool (size,), says which outcomes these people might give, because that none was wrong proves little.
    """
    counted, size = np.flatnonzero(possible), len(possible)
    table = np.zeros((units.max() + 1, len(counted)))
    np.add.at(table, (units, np.searchsorted(counted, outcomes)), 1)
    drawn = np.zeros((1, size))
    drawn[0, counted] = table.sum(axis=0)
    draws = bootstrap_counts(table)
    drawn = np.repeat(drawn, 1 + len(draws), axis=0)
    drawn[1:, counted] = draws
    return drawn


def _macro_f1(matrix: np.ndarray) -> np.ndarray:
    """Return macro-F1 over the classes that occur in the first matrix, as in `metrics.macro_f1`, for all of them."""
    return rates(matrix)[3][:, matrix[0].sum(axis=0) + matrix[0].sum(axis=1) > 0].mean(axis=1)


def _conclusion(result: dict[str, Any], variance: float, discordant: float) -> dict[str, Any]:
    """Say what the change is, and what would tell it; `discordant` is the share of faces that one network has right."""
    n, persons = result["faces"], result["persons"]
    low, high = result["change"]["accuracy_interval"]
    known = persons is None or persons >= LEAST_PERSONS
    conclusion = "better" if known and low > 0 else "worse" if known and high < 0 else CANNOT
    # Few faces know the share badly: plan with the upper end of what it may be.
    share = min(max(discordant, _POINTS) + 0.98 / np.sqrt(n), 1.0)
    each = n / persons if persons else 1.0
    alone = (discordant - result["change"]["accuracy"]**2) / n  # the variance, were faces independent
    alike = np.clip(variance / alone, 1, each) if known and alone > 0 else 1 + _ALIKE * (each - 1)
    needed = ceil(alike * needed_pairs(share))
    return {"conclusion": conclusion, "needed_faces": needed,
            "needed_persons": max(ceil(needed / each), LEAST_PERSONS) if persons else None}


def needed_pairs(discordant: float, points: float = _POINTS, power: float = 0.8) -> int:
    """Return how many faces show a change of accuracy of so many points, at 5 %, two-sided (Connor 1987).

    `discordant` is the share of the faces that only one of the two networks has right.

    >>> needed_pairs(0.3)
    234
    """
    a, b = norm.isf(0.025), norm.ppf(power)
    return ceil((a * np.sqrt(discordant) + b * np.sqrt(discordant - points**2))**2 / points**2)


def change_text(result: dict[str, Any]) -> str:
    """Write the result for people."""
    own, base = result["own"], result["base"]
    lines = [f"{'':<24}{'before':<22}{'after':<22}change"]
    lines += _rows("own faces, held out", own)
    if base:
        lines += _rows("old faces (PublicTest)", base)
    whose = f" of {own['persons']} persons" if own["persons"] else ""
    lines += ["", f"Held out, neither learnt from nor chosen by: {own['faces']} own faces{whose}. Intervals hold 95 %."]
    lines += [_own_sentence(result), *([_base_sentence(base)] if base else [])]
    return "\n".join([*lines, *(f"Note: {note}." for note in result["notes"])])


def _rows(title: str, part: dict[str, Any]) -> list[str]:
    rows = []
    for key, name, percent in (("accuracy", f"{title}:", True), ("macro_f1", "  macro-F1", False)):
        cells = [with_interval(part[when][key], part[when][f"{key}_interval"], percent) for when in ("before", "after")]
        low, high = part["change"][f"{key}_interval"]
        rows.append(f"{name:<24}{cells[0]:<22}{cells[1]:<22}" + _points(part["change"][key], (low, high), percent))
    return rows


def _points(value: float, interval: Sequence[float], percent: bool = True) -> str:
    scale, form = (100, "+.1f") if percent else (1, "+.3f")
    low, high = (format(scale * end, form) for end in interval)
    return f"{scale * value:{form}}{' points' if percent else ''} [{low}, {high}]"


def _own_sentence(result: dict[str, Any]) -> str:
    own = result["own"]
    if own["conclusion"] != CANNOT:
        return f"On your faces it has become {own['conclusion']}."
    why = "the interval of the change holds 0"
    if own["persons"] is not None and own["persons"] < LEAST_PERSONS:
        why = f"{own['persons']} held-out persons are too few (at least {LEAST_PERSONS})"
    whole = result["faces"] / own["faces"]
    needed = f"{own['needed_faces']:,} held-out faces"
    if own["needed_persons"]:
        needed += f" of {own['needed_persons']:,} persons"
        whole_needed = f"{ceil(own['needed_faces'] * whole):,} faces of {ceil(own['needed_persons'] * whole):,} persons"
    else:
        whole_needed = f"{ceil(own['needed_faces'] * whole):,} faces"
    return (f"Whether it has become better on your faces cannot be told: {why}. A change of 10 points takes some "
            f"{needed}, so {whole_needed} in all.")


def _base_sentence(base: dict[str, Any]) -> str:
    if base["conclusion"] == CANNOT:
        return "On the old faces no change can be told."
    return {"worse": "It has forgotten some of the old faces.",
            "better": "On the old faces it has become better, too."}[base["conclusion"]]
