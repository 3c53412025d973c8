"""Checkpoints: at whatever moment a run is killed, its folder holds whole epochs."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fer_utils.data.faceset import USAGES, FaceSet
from fer_utils.networks import checkpoints, train
from fer_utils.networks.backend import import_keras
from fer_utils.networks.recipes import TrainConfig
from tests.networks.quick import QUICK, same_result

pytestmark = pytest.mark.usefixtures("speck")
CONFIG = {**QUICK, "batch_size": 32, "learning_rate": 0.003, "seed": 2}


@pytest.fixture(scope="module")
def faces():
    """Stripes, the wider the later the class: so easy that the second epoch is far better than the first."""
    rng = np.random.default_rng(0)
    emotion = np.arange(420) % 7
    stripes = np.sin(np.arange(48) / (1 + emotion[:, None] / 2)) > 0
    pixels = 200 * np.repeat(stripes[:, None], 48, axis=1) + rng.integers(0, 40, (420, 48, 48))
    usage = np.array(USAGES)[np.repeat([0, 1, 2], [280, 70, 70])]
    return FaceSet(pixels.astype(np.uint8), emotion, usage, "stripes", "arrays")


@pytest.fixture(scope="module")
def moments(speck, faces, tmp_path_factory):
    """A finished run, and copies of its folder from each moment at which a file changed after the first epoch.

    Of each file that is not written whole there is also a copy with half of it.
    """
    root = tmp_path_factory.mktemp("moments")
    run, copies = root / "run", []

    def keep(half=None):
        if checkpoints.last_epoch(run):
            copies.append(Path(shutil.copytree(run, root / str(len(copies)))))
            if half:
                os.truncate(copies[-1] / half, (copies[-1] / half).stat().st_size - 20)

    def watched(change, written=lambda *arguments: None):
        def changed(*arguments, **options):
            keep()
            result = change(*arguments, **options)
            half = written(*arguments)
            if half:
                keep(half)
            keep()
            return result
        return changed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", watched(os.replace))
        patch.setattr(Path, "unlink", watched(Path.unlink))
        model = import_keras().Model
        patch.setattr(model, "save_weights", watched(model.save_weights, lambda model, path, *_, **__: Path(path).name))
        train.train(TrainConfig(**CONFIG), faces, run, progress=None)
    return run, copies


def test_a_run_killed_at_any_moment_keeps_whole_epochs(moments, tmp_path):
    run, copies = moments
    rows, sizes, kept = checkpoints.read_rows(run), {}, []
    assert checkpoints.best_epoch(rows) > 1, "a later epoch was better, so all files were written again"
    for copy in copies:
        for path in copy.glob("*-*.weights.h5"):
            sizes[path.name] = max(sizes.get(path.name, 0), path.stat().st_size)
    for copy in copies:
        if not (copy / "card.json").is_file():
            folder = shutil.copytree(copy, tmp_path / copy.name)
            restored = checkpoints.restore_rows(folder)
            assert restored == rows[:len(restored)]
            kept.append(len(restored))
            for path in (checkpoints.weights_file(folder, "last", len(restored)),
                         checkpoints.weights_file(folder, "best", checkpoints.best_epoch(restored))):
                assert path.stat().st_size == sizes[path.name]
    assert kept == sorted(kept) and set(kept) == {1, 2, 3}


@pytest.mark.parametrize("moment, happened", [
    ("the second epoch's best weights alone", lambda folder: (folder / "best-2.weights.h5").is_file()),
    ("old weights not yet removed", lambda folder: len(checkpoints.kept_epochs(folder, "last")) == 2),
    ("no card yet", lambda folder: (folder / "model.keras").is_file()),
    ("checkpoints not yet removed", lambda folder: (folder / "card.json").is_file())])
def test_from_any_moment_a_run_goes_on_to_the_same_result(moment, happened, moments, faces, tmp_path):
    run, copies = moments
    folder = shutil.copytree(next(filter(happened, copies)), tmp_path / "run")
    assert (folder / "state.json").is_file()
    same_result(run, train.train(TrainConfig(**CONFIG), faces, folder, progress=None))
