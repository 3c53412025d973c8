"""FER+: ten annotators' votes for each face of FER2013."""
import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from .. import paths
from ..errors import DataError
from ..files import write_bytes
from ..labels import EMOTIONS, FERPLUS_TO_FER2013, FERPLUS_VOTES, UNLABELLED
from .faceset import FaceSet

_REPOSITORY = "https://github.com/microsoft/FERPlus"
_URL = "https://raw.githubusercontent.com/microsoft/FERPlus/master/fer2013new.csv"
_ROWS = 35_887
# Of the votes as bytes, row by row; file names and line ends do not count, since nothing here reads them.
_VOTES_SHA256 = "935d1852901cf134d0e733572c8b77d27a7ac81edabcffb2f4704e3bae535350"


def find_ferplus(place: str | Path | None = None) -> Path | None:
    """Return ``fer2013new.csv`` in a folder (by default `paths.DATA`), a folder of it, or beside a file, or None."""
    place = Path(paths.DATA if place is None else place)
    inside = sorted(place.glob("*/fer2013new.csv")) if place.is_dir() else []
    files = [(place if place.is_dir() else place.parent) / "fer2013new.csv", *inside]
    return next((file for file in files if file.is_file()), None)


def download_ferplus(dest: str | Path | None = None) -> Path:
    """Fetch ``fer2013new.csv`` from FER+'s repository (1.6 MB), unless it is there, and check the votes in it.

    `dest` is a folder, by default `paths.DATA`; where that is a file, the folder around it. Returns the file: whole, or
    not there at all. A `DataError` says how to get it by hand when the repository cannot be reached.
    """
    dest = Path(paths.DATA if dest is None else dest).expanduser()
    target = (dest.parent if dest.is_file() else dest) / "fer2013new.csv"
    if target.is_file():
        _check_votes(target, str(target))
        return target
    with tempfile.TemporaryDirectory() as folder:
        fetched = _fetch_ferplus(Path(folder), target)
        _check_votes(fetched, _URL)
        write_bytes(target, fetched.read_bytes())
    return target


def _fetch_ferplus(folder: Path, target: Path) -> Path:
    import logging

    import pooch
    import requests

    pooch.get_logger().setLevel(logging.ERROR)
    try:
        return Path(pooch.retrieve(_URL, None, target.name, folder, downloader=pooch.HTTPDownloader(timeout=20)))
    except (requests.RequestException, OSError) as error:
        raise DataError(
            f"{target.name} of FER+ could not be downloaded ({type(error).__name__}: {str(error)[:200]}).\n"
            "When the network is back, try again; or by hand, in a browser:\n"
            f"  1. open {_REPOSITORY}, click {target.name}, and press Download raw file;\n"
            f"  2. put it into {target.parent}\n"
            "  3. python -m fer_utils data --ferplus   checks it") from error


def _check_votes(path: Path, label: str) -> None:
    """Raise a `DataError` where a file does not hold FER+'s votes; `label` is how it is called."""
    table = _read_table(path, label)
    votes = table[list(FERPLUS_VOTES)].to_numpy()
    if len(table) != _ROWS:
        problem = f"has {len(table):,} rows of votes, not {_ROWS:,}"
    elif votes.dtype.kind not in "iu" or hashlib.sha256(votes.astype(np.uint8).tobytes()).hexdigest() != _VOTES_SHA256:
        problem = "its votes are not FER+'s"
    else:
        return
    raise DataError(f"{label}: {problem}; remove the file where you have it, and fetch it again from {_REPOSITORY}")


def _read_table(path: str | Path, label: str) -> pd.DataFrame:
    """Read a table that has the columns of FER+; errors call it `label`."""
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise DataError(f"{label}: no such file; `python -m fer_utils data --ferplus` fetches it from "
                        f"{_REPOSITORY}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{label}: not readable as CSV ({error}); fetch it again from {_REPOSITORY}") from None
    missing = [name for name in ("Usage", *FERPLUS_VOTES) if name not in table]
    if missing:
        raise DataError(f"{label}: no column {', '.join(missing)}, found {', '.join(map(str, table))[:300]}; "
                        f"take fer2013new.csv of {_REPOSITORY}")
    return table


def read_ferplus(path: str | Path, faces: FaceSet) -> np.ndarray:
    """Read the votes of FER+'s ten annotators, int64 (N, 10): for each face those for each of `FERPLUS_VOTES`.

    `path` is ``fer2013new.csv`` of https://github.com/microsoft/FERPlus (Barsoum et al., "Training deep networks for
    facial expression recognition with crowd-sourced label distribution", ICMI 2016), `faces` all of FER2013 in its
    original order. A `DataError` says that columns are missing, or that the rows are those of other faces.
    """
    remedy = ("FER+ goes by row: load all of FER2013 from a CSV layout (fer2013.csv, icml_face_data.csv), whose order "
              "is the original one, and choose rows of faces and votes together afterwards")
    table = _read_table(path, str(path))
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


def with_votes(faces: FaceSet, path: str | Path | None = None) -> FaceSet:
    """Return faces with FER+'s votes, from `path` or from where `find_ferplus` finds them: beside the faces, or data/.

    Drawn faces show what they are meant to show, so all ten votes are for their label. DataError: there are no votes,
    or they are of other faces (`read_ferplus`): load all of FER2013, add the votes, and take a sample afterwards.
    """
    if faces.votes is not None:
        return faces
    if faces.drawn:
        columns = np.array([FERPLUS_TO_FER2013.index(label) for label in range(len(EMOTIONS))])
        votes = np.zeros((len(faces), len(FERPLUS_VOTES)), np.int64)
        rows = np.flatnonzero(faces.labelled)
        votes[rows, columns[faces.emotion[rows]]] = 10
        return replace(faces, votes=votes)
    path = path or find_ferplus(faces.source) or find_ferplus()
    if path is None:
        raise DataError(f"{faces.source}: FER+'s votes (fer2013new.csv) are not beside it; "
                        "`python -m fer_utils data --ferplus` fetches them")
    return replace(faces, votes=read_ferplus(path, faces))


def vote_shares(votes: np.ndarray, emotion: np.ndarray) -> np.ndarray:
    """Turn votes into targets to learn from, float32 (N, 7), rows sum to 1; the faces must be labelled.

    The annotators of FER+ say "neutral" twice as often as FER2013's labels do, and "fear" a quarter as often. A network
    that learns from the bare votes calls too many faces neutral. So each emotion's votes count as many times as it is
    more frequent among the labels than among the votes (the usual correction for another class mix, Saerens et al.
    2002). A face without a vote for one of the seven emotions gets its label.
    """
    columns = [FERPLUS_TO_FER2013.index(label) for label in range(len(EMOTIONS))]
    labels = np.eye(len(EMOTIONS))[emotion]
    votes = np.asarray(votes)[:, columns].astype(float)
    votes = np.where(votes.any(axis=1, keepdims=True), votes, labels)
    shares = votes / votes.sum(axis=1, keepdims=True)
    weighted = shares * labels.mean(axis=0) / np.maximum(shares.mean(axis=0), 1e-12)
    total = weighted.sum(axis=1, keepdims=True)
    # Nothing is left where all votes are for emotions that no label names.
    return np.where(total > 0, weighted / np.where(total > 0, total, 1), labels).astype(np.float32)
