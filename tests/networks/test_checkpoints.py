"""Checkpoints: at whatever moment a run is killed, its folder holds whole epochs."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from fer_utils.data.faceset import USAGES, FaceSet
from fer_utils.errors import DataError
from fer_utils.networks import checkpoints, train
from fer_utils.networks.backend import import_keras
from fer_utils.networks.callbacks import BackUpWeights
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
            restored = checkpoints.restore_rows(folder, TrainConfig(**CONFIG))
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


def unfinished(folder, **files):
    """Make the folder of a run that was stopped after its second epoch, with some files of other content."""
    config = TrainConfig(**CONFIG)
    rows = [{"epoch": n, "train_loss": float("nan"), "train_accuracy": 0.2, "val_loss": 1.5, "val_accuracy": n / 10,
             "val_macro_f1": 0.1, "learning_rate": 0.003, "seconds": 1.5} for n in (1, 2)]
    checkpoints.write_rows(folder, rows)
    (folder / "state.json").write_text(json.dumps({"config": config.to_dict(), "fingerprint": "f"}))
    for kind in ("last", "best"):
        checkpoints.weights_file(folder, kind, 2).write_bytes(b"damaged")
    for name, content in files.items():
        file = folder / {"state": "state.json", "history": "history.csv"}[name]
        file.write_text(content(file.read_text()))
    return folder, config


@pytest.mark.parametrize("content", ["[]", "null", "{}", '{"config": {}}', '{"config": [1], "fingerprint": "f"}', "{",
                                     '{"config": null, "fingerprint": "f"}', '{"config": {"a": 1}, "fingerprint": "f"}',
                                     '{"config": {"model": "cnn3", "epochs": "x"}, "fingerprint": "f"}',
                                     '{"config": {"model": "cnn3", "learning_rate": NaN}, "fingerprint": "f"}'])
def test_a_damaged_state_names_its_file_and_what_to_do(tmp_path, content):
    folder, config = unfinished(tmp_path)
    assert not checkpoints.is_finished(folder, config, "f")
    folder, config = unfinished(tmp_path, state=lambda _: content)
    with pytest.raises(DataError, match=r"state\.json: .*; delete the folder and train again"):
        checkpoints.is_finished(folder, config, "f")


@pytest.mark.parametrize("change, says", [
    (lambda text: "", "No columns"), (lambda text: text.replace("val_accuracy", "accuracy"), "no column val_accuracy"),
    (lambda text: text.replace(",0.2,", ",x,"), "train_accuracy must be numbers from 0 to 1"),
    (lambda text: text.replace(",0.2,", ",-0.2,"), "train_accuracy must be"),
    (lambda text: text.replace(",0.2,", ",,"), "train_accuracy must be"),
    (lambda text: text.replace(",0.2,", ",2,"), "train_accuracy must be"),
    (lambda text: text.replace(",1.5", ",x"), "val_loss must be numbers"),
    (lambda text: text.replace("0.003", "inf").replace("1.5", "-1"), "seconds must be|learning_rate must be"),
    (lambda text: text.replace("\n2,", "\n3,"), "epoch must count from 1"),
    (lambda text: text.replace("\n2,", f"\n{10**30},"), "epoch must be"),
    (lambda text: text.partition("\n2,")[0] + "\n", "missing, damaged")])
def test_a_damaged_history_names_its_file_the_column_and_what_to_do(tmp_path, change, says):
    folder, _ = unfinished(tmp_path)
    assert [row["epoch"] for row in checkpoints.restore_rows(folder, TrainConfig(**CONFIG))] == [1, 2]
    folder, _ = unfinished(tmp_path, history=change)
    with pytest.raises(DataError, match=rf"history\.csv.*({says}).*delete the folder and train again"):
        checkpoints.restore_rows(folder, TrainConfig(**CONFIG))


def test_damaged_weights_and_those_of_another_network_are_named(tmp_path):
    keras = import_keras()
    one, other = (keras.Sequential([keras.Input((n,)), keras.layers.Dense(7)]) for n in (3, 4))
    folder, _ = unfinished(tmp_path)
    other.save_weights(tmp_path / "best-1.weights.h5")
    for file in (folder / name for name in ("last-2.weights.h5", "best-1.weights.h5", "no-1.weights.h5")):
        with pytest.raises(DataError, match=f"{file.name}: no weights of this network, or damaged"):
            checkpoints.load_weights(one, file)


def test_a_full_disk_is_named_before_hdf5_crashes(tmp_path, limited_files):
    keras = import_keras()
    model = keras.Sequential([keras.Input((400,)), keras.layers.Dense(7)])
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    back_up = BackUpWeights(tmp_path, TrainConfig(**CONFIG), [{"epoch": 1, "val_accuracy": 0.5}])
    back_up.set_model(model)
    limited_files(5000)
    with pytest.raises(OSError, match="File too large: .*best-1.weights.h5"):
        back_up.on_epoch_end(0)
    assert not list(tmp_path.iterdir())
    limited_files(10**9)
    back_up.on_epoch_end(0)
    assert checkpoints.kept_epochs(tmp_path, "best") == checkpoints.kept_epochs(tmp_path, "last") == [1]
