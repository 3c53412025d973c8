"""Draw the committed figures anew by executing the notebooks, without training, and compare two folders of figures."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from ..data.drawn import FER2013_FACES
from ..data.load import load
from ..errors import DataError
from .notebooks import Job, execute, notebook_parameters, notebook_sources

# Notebook 03 trains. Its committed figures show the shared trainings, so a few faces and one epoch are enough here.
_SHORT_TRAINING: dict[str, Any] = {"sample": 700, "epochs": 1}
_MODELS_DRAWN = ("cnn3", "fer_net")
_OTHERS = re.compile(r"03_(history_(.+-(official|leaky)-|fer_net)|augmentation)")
"""What notebook 03 draws too, and is not committed: figures of a throw-away training or of a second model."""
_SCREENSHOTS = {"07_app.png", "08_report.png"}
"""Pictures that no notebook draws."""
BLOCK, SAME = 8, 16
"""Two pictures are the same to the eye where no block of 8×8 pixels differs by 16 gray levels in its mean."""


def draw_figures(out: Path | str, only: Sequence[str] | None = None, data: str | None = None) -> list[Path]:
    """Execute the notebooks, all or the numbers in `only`, and write their figures into the folder `out`.

    The networks are those of `models/`; nothing is trained but a throw-away network. DataError: FER2013 is not there,
    so that the figures would show other faces.
    """
    from tqdm import tqdm

    sources, faces, out = notebook_sources(only), load(data), Path(out).resolve()
    if faces.drawn:
        raise DataError("the committed figures show FER2013, which was not found; data/README.md says how to get it")
    if len(faces) != FER2013_FACES:
        raise DataError(f"the committed figures show FER2013, which has {FER2013_FACES:,} faces, and "
                        f"{faces.source} has {len(faces):,}; name the whole of FER2013 with --data")
    out.mkdir(parents=True, exist_ok=True)
    jobs: list[tuple[Path, dict[str, Any]]] = []
    for source in sources:
        runs = [_SHORT_TRAINING | {"model": name} for name in _MODELS_DRAWN] if source.stem == "03_train" else [{}]
        jobs += [(source, run) for run in runs]
    with tempfile.TemporaryDirectory() as scratch:
        drawn = Path(scratch) / "figures"
        with _environment(FER_FIGURES=drawn, FER_RUNS=Path(scratch) / "runs"):
            for source, parameters in tqdm(jobs, unit="notebook"):
                if "data" in notebook_parameters(source):
                    parameters["data"] = data and str(Path(data).resolve())
                execute(Job(source, Path(scratch) / source.name, parameters))
        names = sorted(path.name for path in drawn.iterdir() if not _OTHERS.match(path.name))
        return [Path(shutil.copyfile(drawn / name, out / name)) for name in names]


@contextmanager
def _environment(**places: Path) -> Iterator[None]:
    """Set environment variables, which the kernels of notebooks inherit."""
    before = {name: os.environ.get(name) for name in places}
    os.environ.update({name: str(place) for name, place in places.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def check_figures(committed: Path | str, only: Sequence[str] | None = None, data: str | None = None) -> pd.DataFrame:
    """Draw the figures elsewhere, and return how those in a folder differ from them, as `compare_figures` does."""
    if not any(Path(committed).glob("*.png")):
        raise DataError(f"{committed}: holds no figures (PNG) to check; run this in the folder of the project, or name "
                        "theirs with --out")
    with tempfile.TemporaryDirectory() as scratch:
        draw_figures(scratch, only, data)
        return compare_figures(committed, scratch, only)


def compare_figures(committed: Path | str, drawn: Path | str, only: Sequence[str] | None = None) -> pd.DataFrame:
    """Compare the PNG files of two folders: a row for each name, with ``state`` and ``difference``.

    ``state`` is "equal" (the same bytes), "same" (a difference that no eye sees), "differs", "not drawn",
    "needs FER+" (whose file is not beside the data set) or "not committed"; ``difference`` is that of
    `picture_difference`. `only` are numbers of notebooks.
    """
    folders = Path(committed), Path(drawn)
    numbers = [source.name[:2] for source in notebook_sources(only)]
    old, new = ({path.name for path in folder.glob("*.png") if path.name[:2] in numbers} - _SCREENSHOTS
                for folder in folders)
    rows = []
    for name in sorted(old | new):
        if name not in old or name not in new:
            missing = "needs FER+" if "ferplus" in name else "not drawn"
            rows.append((name, missing if name in old else "not committed", np.nan))
            continue
        one, other = (folder / name for folder in folders)
        try:
            difference = 0.0 if one.read_bytes() == other.read_bytes() else picture_difference(one, other)
        except OSError:  # one is damaged
            difference = float("inf")
        state = "equal" if difference == 0 else "same" if difference < SAME else "differs"
        rows.append((name, state, difference))
    return pd.DataFrame(rows, columns=["figure", "state", "difference"])


def picture_difference(one: Path, other: Path) -> float:
    """Return the largest difference of two pictures in a block's mean, in gray levels; infinite for other sizes."""
    a, b = (np.asarray(Image.open(path).convert("RGB"), np.float32) for path in (one, other))
    if a.shape != b.shape:
        return float("inf")
    size = (max(a.shape[1] // BLOCK, 1), max(a.shape[0] // BLOCK, 1))
    return float(np.abs(cv2.resize(a - b, size, interpolation=cv2.INTER_AREA)).max())
