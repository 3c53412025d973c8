"""FER+: ten annotators' votes for each face of FER2013."""
from pathlib import Path

import numpy as np
import pandas as pd

from .. import paths
from ..errors import DataError
from ..labels import EMOTIONS, FERPLUS_TO_FER2013, FERPLUS_VOTES, UNLABELLED
from .faceset import FaceSet

_REPOSITORY = "https://github.com/microsoft/FERPlus"


def find_ferplus(place: str | Path | None = None) -> Path | None:
    """Return ``fer2013new.csv`` in a folder (by default `paths.DATA`), a folder of it, or beside a file, or None."""
    place = Path(paths.DATA if place is None else place)
    inside = sorted(place.glob("*/fer2013new.csv")) if place.is_dir() else []
    files = [(place if place.is_dir() else place.parent) / "fer2013new.csv", *inside]
    return next((file for file in files if file.is_file()), None)


def read_ferplus(path: str | Path, faces: FaceSet) -> np.ndarray:
    """Read the votes of FER+'s ten annotators, int64 (N, 10): for each face those for each of `FERPLUS_VOTES`.

    `path` is ``fer2013new.csv`` of https://github.com/microsoft/FERPlus (Barsoum et al., "Training deep networks for
    facial expression recognition with crowd-sourced label distribution", ICMI 2016), `faces` all of FER2013 in its
    original order. A `DataError` says that columns are missing, or that the rows are those of other faces.
    """
    remedy = ("FER+ goes by row: load all of FER2013 from a CSV layout (fer2013.csv, icml_face_data.csv), whose order "
              "is the original one, and choose rows of faces and votes together afterwards")
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; fer2013new.csv is in {_REPOSITORY}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as CSV ({error}); fetch it again from {_REPOSITORY}") from None
    missing = [name for name in ("Usage", *FERPLUS_VOTES) if name not in table]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}, found {', '.join(map(str, table))}; "
                        f"take fer2013new.csv of {_REPOSITORY}")
    if len(table) != len(faces):
        raise DataError(f"{path}: votes for {len(table):,} faces, but there are {len(faces):,}. {remedy}")
    wrong = np.flatnonzero(table["Usage"].to_numpy() != faces.usage)
    if wrong.size:
        row = wrong[0]
        raise DataError(f"{path}, row {row + 2}: a {table['Usage'][row]} face, but face {row} of {faces.source} is in "
                        f"{faces.usage[row]}. {remedy}")
    for name in FERPLUS_VOTES:
        if table[name].dtype.kind not in "iu" or table[name].min() < 0:
            raise DataError(f"{path}: not all votes for {name} are whole numbers from 0; fetch the file again from "
                            f"{_REPOSITORY}")
    votes = table[list(FERPLUS_VOTES)].to_numpy(np.int64)
    known = faces.labelled & (ferplus_labels(votes) != UNLABELLED)
    agreement = (ferplus_labels(votes) == faces.emotion)[known].mean() if known.any() else 1
    if agreement < 0.4:  # 65 % on FER2013 in its order; shuffled rows agree by chance, 19 %
        raise DataError(f"{path}: the votes agree with only {agreement:.0%} of the labels, so they are of other rows. "
                        f"{remedy}")
    return votes


def ferplus_labels(votes: np.ndarray) -> np.ndarray:
    """Return the label of the emotion that most annotators saw, int64 (N,), from votes as `read_ferplus` returns them.

    Votes for contempt, unknown and "no face" do not count; -1 where there are no others (16 of PrivateTest's 3,589
    faces). Of equally many votes (163 faces) the first of `EMOTIONS` wins.
    """
    columns = [FERPLUS_TO_FER2013.index(label) for label in range(len(EMOTIONS))]
    votes = np.asarray(votes)[:, columns]
    return np.where(votes.any(axis=1), votes.argmax(axis=1), UNLABELLED)


def ferplus_agreement(emotion: np.ndarray, votes: np.ndarray) -> pd.DataFrame:
    """Count how often FER+'s plurality vote is FER2013's label (64.3 % of PrivateTest; fear 17 %, happy 94 %).

    Returns rows `EMOTIONS` and "all", and columns `faces`, how many have a label and a plurality vote, and `agreement`,
    the fraction of them where both are the same (NaN where there are no faces).
    """
    emotion = np.asarray(emotion)
    voted = ferplus_labels(votes)
    known = (emotion != UNLABELLED) & (voted != UNLABELLED)
    rows = pd.DataFrame({"emotion": emotion[known], "same": voted[known] == emotion[known]})
    by_class = rows.groupby("emotion")["same"].agg(["size", "mean"]).reindex(range(len(EMOTIONS)))
    table = pd.DataFrame({"faces": by_class["size"].fillna(0).astype(int).to_numpy(),
                          "agreement": by_class["mean"].to_numpy(float)}, index=list(EMOTIONS))
    table.loc["all"] = {"faces": len(rows), "agreement": rows["same"].mean()}
    return table.astype({"faces": int})
