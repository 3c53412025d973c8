"""Where things live; each place can be moved by an environment variable."""
import os
from pathlib import Path


def _place(variable, default):
    value = os.environ.get(variable)
    if not value:
        return default
    # Kernels of notebooks inherit it and stand in another folder, where a relative path would mean another place.
    os.environ[variable] = str(Path(value).expanduser().resolve())
    return Path(os.environ[variable])


def _project_root():
    checkout = Path(__file__).resolve().parent.parent
    # Installed into site-packages there is no checkout around the package: work where the user stands.
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


ROOT = _place("FER_ROOT", _project_root())
"""The project's folder (``FER_ROOT``)."""
DATA = _place("FER_DATA", ROOT / "data")
"""The data set: a folder, or one file such as ``fer2013.csv`` (``FER_DATA``)."""
CACHE = _place("FER_CACHE", ROOT / "data" / "cache")
"""Arrays read once and kept (``FER_CACHE``); safe to delete."""
MODELS = _place("FER_MODELS", ROOT / "models")
"""Trained networks that are shared (``FER_MODELS``)."""
RUNS = _place("FER_RUNS", MODELS / "runs")
"""Run folders written by training (``FER_RUNS``)."""
FIGURES = _place("FER_FIGURES", ROOT / "figures")
"""Figures as PNG and PDF (``FER_FIGURES``)."""
EXECUTED = _place("FER_EXECUTED", ROOT / "executed")
"""Executed copies of the notebooks (``FER_EXECUTED``); safe to delete."""
NOTEBOOKS = ROOT / "notebooks"
_place("FER_YUNET", None)  # read where it is needed: `faces.yunet_file`
