"""Trained networks on disk: a folder each, with its card; light enough for a webcam's start."""

import json
from pathlib import Path

from . import paths
from .paths import DataError


def run_folder(name, weights=True):
    """Find a trained network's folder by name (in models/ or models/runs/) or by path.

    Parameters
    ----------
    name : str or Path
    weights : bool
        False finds also a card that stands alone: the weights are too large to share, or an exhibit's.

    Raises
    ------
    DataError
        There is none; the message lists those that are.
    """
    for folder in (Path(name), paths.MODELS / str(name), paths.RUNS / str(name)):
        if (folder / "card.json").is_file() and (not weights or (folder / "model.keras").is_file()):
            return folder
    if (Path(name) / "state.json").is_file():
        raise DataError(f"{name}: training has not finished; run the same train command again, it goes on")
    known = sorted(p.parent.name for root in (paths.MODELS, paths.RUNS) for p in root.glob("*/model.keras"))
    raise DataError(f"no trained network {str(name)!r} (a folder with model.keras and card.json): "
                    f"{'there are ' + ', '.join(known) if known else 'there is none yet'}; "
                    "train one with: python -m fer_utils train --model cnn3")


def read_card(name):
    """Return the card.json of a trained network as a dict."""
    path = run_folder(name, weights=False) / "card.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: not readable as JSON ({error}); delete the folder and train again") from error
