"""How far annotators agree on faces, and what most of them say."""
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def majority(labels: Iterable[str]) -> str | None:
    """Return the most frequent label; None where there is none, or where two are equally frequent.

    >>> majority(["happy", "sad", "happy"]), majority(["happy", "sad"])
    ('happy', None)
    """
    (label, most), (_, second), *_ = [*Counter(labels).most_common(2), ("", 0), ("", 0)]
    return label if most > second else None


def cohen_kappa(a: Mapping[str, str], b: Mapping[str, str]) -> tuple[float | None, int]:
    """Return Cohen's kappa of two annotators (label by face), and how many faces both have labelled.

    1 is full agreement, 0 is what chance gives. It is None where chance alone gives full agreement: no face in common,
    or one label for all faces.
    """
    from sklearn.metrics import cohen_kappa_score

    both = sorted(a.keys() & b.keys())
    first, second = [a[face] for face in both], [b[face] for face in both]
    if len({*first, *second}) < 2:
        return None, len(both)
    return float(cohen_kappa_score(first, second)), len(both)


def fleiss_kappa(counts: ArrayLike) -> float | None:
    """Return Fleiss' kappa of several annotators (Fleiss 1971, *Psychological Bulletin* 76).

    `counts` are int (faces, labels): how many annotators gave a face each label, of equally many annotators for each
    face. It is None where chance alone gives full agreement. Own code, because statsmodels would be a large dependency
    for these four lines.

    >>> fleiss_kappa([[2, 0], [0, 2]])
    1.0
    """
    counts = np.asarray(counts, float)
    if counts.ndim != 2 or not len(counts):
        raise ValueError(f"counts must be a table (faces, labels) with a face at least, got shape {counts.shape}")
    raters = counts[0].sum()
    if raters < 2 or (counts.sum(axis=1) != raters).any():
        raise ValueError("each face must have labels of the same number of annotators, two or more")
    agreed = ((counts * (counts - 1)).sum(axis=1) / (raters * (raters - 1))).mean()
    by_chance = ((counts.sum(axis=0) / counts.sum()) ** 2).sum()
    return None if by_chance == 1 else float((agreed - by_chance) / (1 - by_chance))


def annotator_agreement(labels: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """Compare annotators: each two by Cohen's kappa, three and more by Fleiss' kappa, too.

    `labels` are by annotator and face. Fleiss' kappa takes the faces that all of them have labelled. Each row has
    ``annotators``, ``measure`` ("Cohen" or "Fleiss"), ``faces``, ``same`` (the share of faces with one label by all)
    and ``kappa``; both are None where no face is in common, ``kappa`` also where all have one label.
    """
    rows = []
    for names in [*combinations(sorted(labels), 2), *([tuple(sorted(labels))] if len(labels) > 2 else [])]:
        given = [labels[name] for name in names]
        faces = sorted(set.intersection(*(set(each) for each in given)))
        kappa = None
        if len(names) == 2:
            kappa, _ = cohen_kappa(*given)
        elif faces:
            every = sorted({each[face] for each in given for face in faces})
            kappa = fleiss_kappa([[sum(each[face] == label for each in given) for label in every] for face in faces])
        same = [len({each[face] for each in given}) == 1 for face in faces]
        rows.append({"annotators": list(names), "measure": "Cohen" if len(names) == 2 else "Fleiss",
                     "faces": len(faces), "same": float(np.mean(same)) if faces else None, "kappa": kappa})
    return rows
