"""Where things are; an environment variable can move each place."""
import os
from pathlib import Path


def _named(variable: str) -> Path | None:
    """Return the place that an environment variable names; the variable is made absolute."""
    value = os.environ.get(variable)
    if not value:
        return None
    # Kernels of notebooks inherit the variable and run in another folder, where a relative path means another place.
    os.environ[variable] = str(Path(value).expanduser().resolve())
    return Path(os.environ[variable])


_CHECKOUT = Path(__file__).resolve().parent.parent
# Installed into site-packages there is no checkout around the package: work in the current folder.
ROOT = _named("FER_ROOT") or (_CHECKOUT if (_CHECKOUT / "notebooks").is_dir() else Path.cwd())
"""The project's folder (``FER_ROOT``)."""
DATA = _named("FER_DATA") or ROOT / "data"
"""The data set: a folder, or one file such as ``fer2013.csv`` (``FER_DATA``)."""
CACHE = _named("FER_CACHE") or ROOT / "data" / "cache"
"""Arrays read once and kept (``FER_CACHE``); safe to delete."""
MODELS = _named("FER_MODELS") or ROOT / "models"
"""Trained networks that are shared (``FER_MODELS``)."""
RUNS = _named("FER_RUNS") or MODELS / "runs"
"""Run folders written by training (``FER_RUNS``)."""
FIGURES = _named("FER_FIGURES") or ROOT / "figures"
"""Figures as PNG and PDF (``FER_FIGURES``)."""
EXECUTED = _named("FER_EXECUTED") or ROOT / "executed"
"""Executed copies of the notebooks (``FER_EXECUTED``); safe to delete."""
NOTEBOOKS = ROOT / "notebooks"
_named("FER_YUNET")  # the face detector's file; `vision.detect` reads the variable
