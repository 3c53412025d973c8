"""Accuracy and shares of expressions by group, from a user's own group labels; a group is never guessed from a face."""
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from ..errors import DataError
from ..files import csv_divider, why_unreadable
from ..labels import EMOTIONS, N_CLASSES, UNLABELLED, emotion_index
from ..metrics import bootstrap_counts, effective_sample_size, macro_f1, with_interval

MOST_GROUPS = 20
PHOTO_COLUMNS = ("photo", "source", "file", "path", "image")
"""Names under which the column of photos is looked for."""
LEAST_PHOTOS = 20
"""From fewer photos it cannot be known how much photos differ, however many faces are on them."""
_DRAWS = 1000
CANNOT = "cannot be told"


@dataclass(frozen=True)
class GroupTable:
    """A user's table: one row for each photo, or, with `has_faces`, for each face that was classified before."""

    rows: pd.DataFrame  # photo (text), group (text), true (int, -1: unknown); with has_faces also predicted
    has_faces: bool


def read_group_table(path: Path | str, group: str = "group", photo: str | None = None,
                     emotion: str | None = None) -> GroupTable:
    """Read a CSV table of group labels.

    `photo`, `group` and `emotion` name its columns. Without `photo` the first of `PHOTO_COLUMNS` is taken. Without
    `emotion` the column "emotion" holds the true emotions, except in a table with our seven columns of probabilities:
    there it is the network's answer. Raises `DataError` for what cannot be used.
    """
    table = _read_csv(path)
    has_faces = set(EMOTIONS) <= set(table.columns)
    photo = photo or next((name for name in PHOTO_COLUMNS if name in table.columns), PHOTO_COLUMNS[0])
    if emotion is None and not has_faces and "emotion" in table.columns:
        emotion = "emotion"
    for name, option in ((photo, "--photo"), (group, "--group"), (emotion, "--emotion")):
        if name is not None and name not in table.columns and len(table.columns) == 1:
            raise DataError(f"{path}: no column {name!r}, only {table.columns[0]!r}; separate the columns by commas")
        if name is not None and name not in table.columns:
            raise DataError(f"{path}: no column {name!r}; it has {', '.join(table.columns)}; name yours by {option}")
    table = table[_photos_only(table)]
    rows = pd.DataFrame({"photo": table[photo].str.strip(), "group": table[group].str.strip()})
    for name, column in ((photo, "photo"), (group, "group")):
        if (rows[column] == "").any():
            raise DataError(f"{path}: row {_line(rows[column] == '')} has nothing in column {name!r} "
                            f"({(rows[column] == '').sum()} such rows); fill it in, or delete the row")
    rows["true"] = _labels(path, table[emotion], emotion) if emotion else UNLABELLED
    if has_faces:
        rows["predicted"] = _answers(path, table)
    elif (twice := rows["photo"].map(os.path.normpath).duplicated()).any():
        name = rows["photo"][twice].iloc[0]
        raise DataError(f"{path}: row {_line(twice)} is a second one of {name}; keep one row for each photo")
    _check_groups(path, rows["group"])
    return GroupTable(rows.reset_index(drop=True), has_faces)


def _read_csv(path: Path | str) -> pd.DataFrame:
    if problem := why_unreadable(path):
        raise DataError(f"{path}: {problem}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", sep=csv_divider(path))
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path}: not a CSV table in UTF-8 ({str(error).splitlines()[0]}); save it as one "
                        "(in spreadsheets: CSV UTF-8)") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(f"{path}: rows have more cells than the {len(table.columns)} columns have names; put cells "
                        "with commas in quotes")
    if table.empty:
        raise DataError(f"{path}: the table has no rows; give it one for each photo")
    return table


def _photos_only(table: pd.DataFrame) -> pd.Series:
    """Return which rows are of faces on photos: a video's rows are frames, and photos without a face have no box."""
    kept = pd.Series(True, table.index)
    if set(EMOTIONS) <= set(table.columns):
        kept &= table[EMOTIONS[0]] != ""
    return kept & (table["kind"] == "photo") if "kind" in table.columns else kept


def _line(wrong: pd.Series) -> int:
    """Return the first wrong row as a spreadsheet numbers it."""
    return int(wrong.index[wrong][0]) + 2


def _labels(path: Path | str, column: pd.Series, name: str | None) -> pd.Series:
    known = column.map(lambda text: UNLABELLED if not text.strip() else emotion_index(text))
    if known.isna().any():
        line = _line(known.isna())
        raise DataError(f"{path}: row {line}, column {name!r}: {column[line - 2]!r} is no emotion; they are "
                        f"{', '.join(EMOTIONS)}, or nothing where it is not known")
    return known.astype(int)


def _answers(path: Path | str, table: pd.DataFrame) -> np.ndarray:
    numbers = table[list(EMOTIONS)].apply(pd.to_numeric, errors="coerce")
    wrong = ~numbers.apply(lambda column: column.between(0, 1)).all(axis=1)
    if wrong.any():
        raise DataError(f"{path}: row {_line(wrong)}: a probability is not from 0 to 1; use the file as it was written")
    return numbers.to_numpy().argmax(axis=1)


def _check_groups(path: Path | str, groups: pd.Series) -> None:
    count = groups.nunique()
    if count < 2 or count > MOST_GROUPS:
        raise DataError(f"{path}: {count} group{'' if count == 1 else 's'}; a comparison takes 2 to {MOST_GROUPS}: "
                        "is it the right column (--group), and are there faces in it?")


def read_answers(path: Path | str) -> pd.DataFrame:
    """Read photo and predicted of each face on photos from a faces.csv of ours."""
    table = _read_csv(path)
    name = next((name for name in PHOTO_COLUMNS if name in table.columns), None)
    if name is None or not set(EMOTIONS) <= set(table.columns):
        raise DataError(f"{path}: not a faces.csv of ours: it needs a column of photos and {', '.join(EMOTIONS)}")
    table = table[_photos_only(table)]
    return pd.DataFrame({"photo": table[name], "predicted": _answers(path, table)})


def join_answers(labels: GroupTable, answers: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Give each face its photo's group: a table of photo, group, true, predicted; and how many photos have no face.

    `answers` has photo and predicted. Photos match by their whole path, else by a file name that only one photo has.
    An emotion of a photo with several faces counts for none of them, since it does not say whose it is.
    """
    there = dict.fromkeys(answers["photo"])
    by_name: dict[str, list[str]] = {}
    for photo in there:
        by_name.setdefault(Path(photo).name, []).append(photo)
    found = {}
    for photo in labels.rows["photo"]:
        same = [photo] if photo in there else by_name.get(Path(photo).name, [])
        if len(same) > 1:
            raise DataError(f"{photo}: {len(same)} photos have this name; write the whole path, as {same[0]}")
        found[photo] = same[0] if same else None
    if len(taken := [photo for photo in found.values() if photo]) != len(set(taken)):
        raise DataError("two rows of the table are of one photo in the faces; write the whole paths")
    rows = labels.rows.assign(photo=labels.rows["photo"].map(found)).dropna(subset="photo")
    faces = rows.merge(answers, on="photo")
    faces.loc[faces["photo"].duplicated(keep=False), "true"] = UNLABELLED
    return faces, len(labels.rows) - len(rows)


def needed_faces(share: float, points: float = 0.1, comparisons: int = 1, power: float = 0.8) -> int:
    """Return how many faces each of two groups needs, so that a difference of `points` is seen with this power.

    The two-proportion formula (Fleiss 1981) at 5 % in all, divided among the comparisons; the second share is the one
    nearer to one half, where more faces are needed.

    >>> needed_faces(0.6)
    385
    """
    other = share - points if share > 0.5 else share + points
    z = norm.isf(0.025 / comparisons) + norm.ppf(power)
    return ceil(z**2 * (share * (1 - share) + other * (1 - other)) / points**2)


def holm(p: Sequence[float]) -> np.ndarray:
    """Return p-values adjusted for their number (Holm 1979)."""
    values = np.asarray(p, float)
    order = np.argsort(values)
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def _per_photo(faces: pd.DataFrame, cells: np.ndarray, size: int) -> np.ndarray:
    """Count outcomes on each photo: float (photos, size)."""
    photo, names = pd.factorize(faces["photo"])
    return np.bincount(photo * size + cells, minlength=len(names) * size).reshape(-1, size).astype(float)


def _shares(counts: np.ndarray) -> np.ndarray:
    return counts / counts.sum(axis=-1, keepdims=True)


def percentile_interval(point: float, draws: np.ndarray) -> list[float]:
    """Return the ends of the 95 % interval of draws, (N,), around the point that they are drawn for."""
    low, high = np.percentile(draws, [2.5, 97.5])  # the pseudo-count must not move them past the point
    return [float(min(low, point)), float(max(high, point))]


def _measure(faces: pd.DataFrame, seed: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the numbers of one group, and the draws of its shares, (draws, 7), and accuracy, (draws, 1)."""
    units = _per_photo(faces, faces["predicted"].to_numpy(), N_CLASSES)
    point, draws = _shares(units.sum(axis=0)), _shares(bootstrap_counts(units, seed=seed))
    row: dict[str, Any] = {"faces": len(faces), "photos": len(units),
                           "effective": min(effective_sample_size(draws), len(faces)),
                           "shares": {name: {"share": float(point[i]),
                                             "interval": percentile_interval(point[i], draws[:, i])}
                                      for i, name in enumerate(EMOTIONS)},
                           "labelled": 0, "labelled_photos": 0, "effective_labelled": 0.0, "accuracy": None,
                           "accuracy_interval": None, "macro_f1": None, "macro_f1_interval": None}
    kept = {"share": draws}
    known = faces[faces["true"] != UNLABELLED]
    if len(known):
        true, predicted = known["true"].to_numpy(), known["predicted"].to_numpy()
        right = _per_photo(known, (true == predicted).astype(int), 2)
        kept["accuracy"] = _shares(bootstrap_counts(right, seed=seed))
        accuracy = float((true == predicted).mean())
        cells = _per_photo(known, true * N_CLASSES + predicted, N_CLASSES**2)
        matrix = cells.sum(axis=0).reshape(N_CLASSES, N_CLASSES)
        occurs = matrix.sum(0) + matrix.sum(1) > 0
        f1 = float(macro_f1(matrix))
        f1_draws = macro_f1(bootstrap_counts(cells, np.outer(occurs, occurs).ravel(), seed=seed)
                            .reshape(-1, *matrix.shape))
        row |= {"labelled": len(known), "labelled_photos": len(cells),
                "effective_labelled": min(effective_sample_size(kept["accuracy"]), len(known)), "accuracy": accuracy,
                "accuracy_interval": percentile_interval(accuracy, kept["accuracy"][:, 1]),
                "macro_f1": f1, "macro_f1_interval": percentile_interval(f1, f1_draws) if occurs.sum() > 1 else None}
        kept["accuracy"] = kept["accuracy"][:, 1:]
    return row, kept


def audit_groups(faces: pd.DataFrame) -> dict[str, Any]:
    """Compare groups of faces: a table of photo, group, true (-1: unknown) and predicted.

    The result can be written as JSON: ``groups`` (a list: group, faces, photos, shares, accuracy, macro_f1 and their
    95 % intervals), and ``shares`` and ``accuracy``: how many faces a group needs, which groups have them, how many
    comparisons of these ``differ``, and the largest difference: of those that do, or else of all. The unit is the
    photo: its faces are correlated.
    """
    if faces["group"].nunique() < 2:
        raise DataError("fewer than two groups have a face, so there is nothing to compare")
    groups, drawn = [], []
    for seed, name in enumerate(sorted(faces["group"].unique(), key=_number_order)):
        row, draws = _measure(faces[faces["group"] == name], seed)
        groups.append({"group": str(name), **row})
        drawn.append(draws)
    pooled = np.bincount(faces["predicted"], minlength=N_CLASSES) / len(faces)
    points = [[row["shares"][name]["share"] for name in EMOTIONS] for row in groups]
    result = {"groups": groups, "photo_is_unit": True,
              "shares": _compare(groups, points, [draws["share"] for draws in drawn], EMOTIONS,
                                 float(pooled[np.abs(pooled - 0.5).argmin()]), ("effective", "photos")),
              "accuracy": None}
    known = faces[faces["true"] != UNLABELLED]
    if len(known):
        right = float((known["true"] == known["predicted"]).mean())
        none = np.full((_DRAWS, 1), np.nan)
        result["accuracy"] = _compare(groups, [[row["accuracy"]] for row in groups],
                                      [draws.get("accuracy", none) for draws in drawn], ["accuracy"], right,
                                      ("effective_labelled", "labelled_photos"))
    return result


def _number_order(name: str) -> list[str | int]:
    """Return a key to sort names by, numbers in them by their value: 9 comes before 10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", str(name))]


def _compare(groups: Sequence[dict[str, Any]], points: list[list[float]], draws: list[np.ndarray],
             names: Sequence[str], share: float, sizes: tuple[str, str]) -> dict[str, Any]:
    """Compare each pair of groups that have enough faces; each of `names` is a comparison of its own.

    `sizes` are the keys under which a group tells its independent faces and its photos.
    """
    size, photos = sizes
    pairs = len(groups) * (len(groups) - 1) // 2
    # A share known from few faces may be wrong: plan with the end of its interval that needs more of them.
    width = 0.98 / np.sqrt(max(sum(row[size] for row in groups), 1))
    share = float(np.clip(0.5, share - width, share + width))
    needed = needed_faces(share, comparisons=pairs * len(names))
    enough = [i for i, row in enumerate(groups) if row[size] >= needed and row[photos] >= LEAST_PHOTOS]
    found: dict[str, Any] = {"needed": needed, "points": 0.1, "enough": [groups[i]["group"] for i in enough],
                             "comparisons": 0, "differ": 0, "largest": None, "conclusion": CANNOT}
    rows = []
    for a, b in combinations(enough, 2):
        units = min(groups[a][photos], groups[b][photos])  # so many photos tell the spread: Student's distribution
        for k, name in enumerate(names):
            if points[a][k] < points[b][k]:
                high, low = b, a
            else:
                high, low = a, b
            difference, spread = points[high][k] - points[low][k], draws[high][:, k] - draws[low][:, k]
            p = 2 * float(t.sf(difference / spread.std(), units - 1))
            rows.append({"of": name, "higher": groups[high]["group"], "lower": groups[low]["group"],
                         "difference": difference, "interval": percentile_interval(difference, spread), "p": p})
    if rows:
        for row, adjusted in zip(rows, holm([row["p"] for row in rows])):
            row["p_holm"] = float(adjusted)
        # The largest of all may be of a small group and chance, while a smaller one of large groups is none.
        differ = [row for row in rows if row["p_holm"] < 0.05]
        found |= {"comparisons": len(rows), "differ": len(differ),
                  "largest": max(differ or rows, key=lambda row: row["difference"]),
                  "conclusion": "differs" if differ else "no difference was seen"}
    return found


def flat_table(result: dict[str, Any]) -> pd.DataFrame:
    """Return the numbers of each group as a flat table, for a spreadsheet."""
    rows = []
    for row in result["groups"]:
        flat = {key: row[key] for key in ("group", "faces", "photos", "labelled")}
        for name in ("accuracy", "macro_f1"):
            flat[name] = row[name]
            flat[f"{name}_low"], flat[f"{name}_high"] = row[f"{name}_interval"] or (None, None)
        for name, share in row["shares"].items():
            flat[name], (flat[f"{name}_low"], flat[f"{name}_high"]) = share["share"], share["interval"]
        for what in ("accuracy", "shares"):
            flat[f"enough_for_{what}"] = bool(result[what]) and row["group"] in result[what]["enough"]
        rows.append(flat)
    return pd.DataFrame(rows)


def _short(name: str, letters: int = 16) -> str:
    name = "".join(c if c.isprintable() else "?" for c in name)
    return name if len(name) <= letters else name[:letters - 1] + "…"


def audit_text(result: dict[str, Any]) -> str:
    """Write the result for people, in at most 100 columns."""
    lines = [f"{'group':<16} {'faces':>7} {'photos':>7}  {'accuracy':<22} macro-F1"]
    for row in result["groups"]:
        lines.append(f"{_short(row['group']):<16} {row['faces']:>7,} {row['photos']:>7,}  "
                     f"{with_interval(row['accuracy'], row['accuracy_interval'], True):<22} "
                     f"{with_interval(row['macro_f1'], row['macro_f1_interval'])}")
    lines += ["", "Share of each predicted expression, 95 % intervals:"]
    for names in (EMOTIONS[:4], EMOTIONS[4:]):
        lines.append(f"{'group':<16} " + " ".join(f"{name:<20}" for name in names).rstrip())
        for row in result["groups"]:
            cells = [with_interval(row["shares"][n]["share"], row["shares"][n]["interval"], True) for n in names]
            lines.append(f"{_short(row['group']):<16} " + " ".join(f"{cell:<20}" for cell in cells).rstrip())
    for what in ("accuracy", "shares"):
        lines += ["", *_conclusion(result, what)]
    return "\n".join(lines)


def _conclusion(result: dict[str, Any], what: str) -> list[str]:
    found = result[what]
    if found is None:
        return ["Accuracy: cannot be told without true emotions (a column emotion)."]
    lines, best = [f"{what.capitalize()}: a difference of 10 points takes {found['needed']:,} independent faces a "
                   f"group, on {LEAST_PHOTOS} photos or more."], found["largest"]
    size, photos = (("effective_labelled", "labelled_photos") if what == "accuracy" else ("effective", "photos"))
    lines += [f"  {_short(row['group'])}: cannot be told; its faces count as {row[size]:,.0f} independent ones, on "
              f"{row[photos]:,} photo{'' if row[photos] == 1 else 's'}"
              for row in result["groups"] if row["group"] not in found["enough"]]
    if best:
        low, high = (100 * end for end in best["interval"])
        word = (f"{found['differ']:,} of these comparisons differ" if found["differ"] else
                "No difference was seen; that does not prove none")
        of = "" if what == "accuracy" else f"{best['of']}, "
        which = "Largest difference" + (" that is no chance" if found["differ"] else "")
        lines += [f"  {which}: {of}{_short(best['higher'])} over {_short(best['lower'])}",
                  f"  {100 * best['difference']:.1f} points [{low:.1f}, {high:.1f}] (that pair alone); p "
                  f"{best['p_holm']:.3g} among {found['comparisons']} comparisons (Holm)", f"  {word}."]
    return lines
