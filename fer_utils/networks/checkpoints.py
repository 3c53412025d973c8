"""What an unfinished run keeps in its folder, so that the same command goes on from there.

state.json says which run it is, last-N.weights.h5 holds weights and optimiser after epoch N, best-N.weights.h5 those
of the epoch that is kept, history.csv a row for each epoch. An epoch counts as soon as its last-….weights.h5 is there;
its other files are written before. So a run that is killed at any moment loses the epoch that it was in, and no more.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .. import files
from ..errors import DataError
from .card import Card
from .recipes import TrainConfig

if TYPE_CHECKING:
    import keras

Row = dict[str, Any]  # one epoch's numbers, as in history.csv

_REMEDY = "delete the folder and train again"
_RANGES = {"epoch": (1, 10**9), "train_loss": (0, math.inf), "train_accuracy": (0, 1), "val_loss": (0, math.inf),
           "val_accuracy": (0, 1), "val_macro_f1": (0, 1), "learning_rate": (0, math.inf), "seconds": (0, math.inf)}


def weights_file(folder: Path, kind: str, epoch: int) -> Path:
    """Return where an epoch's weights are while training: `kind` is "last" or "best"."""
    return folder / f"{kind}-{epoch}.weights.h5"


def kept_epochs(folder: Path, kind: str) -> list[int]:
    """Return the epochs, in order, of which there are weights of a kind."""
    names = (path.name.split(".")[0].removeprefix(f"{kind}-") for path in folder.glob(f"{kind}-*.weights.h5"))
    return sorted(int(name) for name in names if name.isdecimal())


def last_epoch(folder: Path) -> int:
    """Return the number of epochs that an unfinished run has kept; 0 for none."""
    return max(kept_epochs(folder, "last"), default=0)


def best_epoch(rows: Sequence[Row]) -> int:
    """Return the epoch, counted from 1, of the best PublicTest accuracy; the first of equals."""
    return max(rows, key=lambda row: row["val_accuracy"])["epoch"]


def kept_epoch(rows: Sequence[Row], config: TrainConfig) -> int:
    """Return the epoch, counted from 1, whose weights a training keeps: the best one, or the last (`keep`)."""
    return rows[-1]["epoch"] if config.keep == "last" else best_epoch(rows)


def is_over(rows: list[Row], config: TrainConfig) -> bool:
    """Return whether no epoch is left to train: all are done, or the last `patience` of them were no better."""
    stopped = config.patience and rows and len(rows) - best_epoch(rows) >= config.patience
    return len(rows) >= config.epochs or bool(stopped)


def is_finished(folder: Path, config: TrainConfig, fingerprint: str) -> bool:
    """Return whether a folder holds this very run finished, rather than unfinished or not at all.

    ValueError: it holds another run. DataError: its card.json or state.json is damaged.
    """
    state = folder / "state.json"
    finished = (folder / "card.json").is_file()
    if finished:
        card = Card.read(folder)
        values, there = card.config, card.fingerprint
    elif state.is_file() and last_epoch(folder):
        found = files.read_json(state, _REMEDY)
        if not (isinstance(found, dict) and isinstance(found.get("config"), dict)
                and isinstance(found.get("fingerprint"), str)):
            raise DataError(f"{state}: must hold an object config and a text fingerprint; {_REMEDY}")
        values, there = found["config"], found["fingerprint"]
    else:
        return False
    try:
        other = TrainConfig.from_dict(values).to_dict()  # a field that its version did not know has its default
    except (ValueError, TypeError) as error:
        raise DataError(f"{folder / ('card.json' if finished else 'state.json')}: is damaged or of another version "
                        f"({error}); {_REMEDY}") from error
    if other != config.to_dict() or there != fingerprint:
        changed = [k for k, v in config.to_dict().items() if other[k] != v] or ["data"]
        raise ValueError(f"{folder} holds another run ({', '.join(changed)} differ); choose another folder, "
                         "or delete this one")
    return finished


def restore_rows(folder: Path, config: TrainConfig) -> list[Row]:
    """Return the rows of the epochs that count.

    DataError: files are missing, or come from an earlier version, which kept the best weights otherwise.
    """
    done = last_epoch(folder)
    if not done:
        return []
    reason = ""
    try:
        rows = read_rows(folder, done)
        if len(rows) == done and kept_epoch(rows, config) in kept_epochs(folder, "best"):
            return rows
    except DataError as error:
        reason = f" ({str(error).removesuffix(f'; {_REMEDY}')})"
    raise DataError(f"{folder}: history.csv or best-….weights.h5 is missing, damaged, or of an earlier version of "
                    f"fer_utils{reason}, so this training cannot go on; {_REMEDY}")


def read_rows(folder: Path, n: int | None = None) -> list[Row]:
    """Return the first `n` rows of history.csv, or all; DataError names what is wrong in it."""
    file = folder / "history.csv"
    try:
        table = pd.read_csv(file, nrows=n, float_precision="round_trip")
        for name, (low, high) in _RANGES.items():
            if name not in table:
                raise ValueError(f"it has no column {name}")
            # A training that went wrong has losses that are no numbers, and pandas reads them so.
            if table[name].dtype.kind not in "if" or not (table[name].between(low, high).all() or "loss" in name):
                raise ValueError(f"{name} must be numbers from {low:g} to {high:g}")
        if table["epoch"].tolist() != list(range(1, len(table) + 1)):
            raise ValueError("epoch must count from 1")
    except (OSError, ValueError, TypeError) as error:  # pandas's own errors are ValueErrors
        raise DataError(f"{file}: cannot be read ({str(error).strip()}); {_REMEDY}") from error
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def load_weights(model: "keras.Model", file: Path) -> None:
    """Read a network's weights; DataError: the file is damaged, or of another network."""
    try:
        model.load_weights(file)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(f"{file}: no weights of this network, or damaged ({str(error).partition(chr(10))[0][:200]}); "
                        f"{_REMEDY}") from error


def write_rows(folder: Path, rows: list[Row]) -> None:
    """Write history.csv, whole or not at all."""
    files.write_csv(folder / "history.csv", pd.DataFrame(rows))


def remove_checkpoints(folder: Path) -> None:
    """Remove what only going on needed; the run is finished."""
    for pattern in ("last-*.weights.h5", "best-*.weights.h5", "part-*", ".lock", "state.json"):
        for old in folder.glob(pattern):
            old.unlink(missing_ok=True)
