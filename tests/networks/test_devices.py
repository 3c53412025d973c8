"""A training on two devices has the curve of one; what cannot be dealt out is said before a training."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_utils.cli import main
from fer_utils.errors import DataError
from fer_utils.evaluation.training_text import training_text
from fer_utils.networks import devices, runs, train
from fer_utils.networks.backend import import_keras
from fer_utils.networks.batches import ValidationBatches
from fer_utils.networks.recipes import TrainConfig
from fer_utils.networks.spec import FaceSpec
from tests.networks.quick import QUICK, history

pytestmark = pytest.mark.usefixtures("speck")
ALL = {**QUICK, "optimizer": "adamw", "ema": 0.9, "schedule": "cosine", "warmup_epochs": 0.5, "mixup": 0.2,
       "augment": "strong", "weight_decay": 0.05, "balance": "class_weights", "teacher_views": 2}
TRAIN = """
import sys
from fer_utils.data.drawn import draw_faces
from fer_utils.networks import devices, recipes, train, zoo
from tests.networks.quick import speck_network

def stop(rows, text):
    if len(rows) == 2:
        raise KeyboardInterrupt

zoo.NETWORKS["speck"] = speck_network()
count, out, config = int(sys.argv[1]), sys.argv[2], recipes.TrainConfig(**eval(sys.argv[3]))
with devices.spread_over(count, virtual=True):
    for progress in (stop, None):
        try:
            train.train(config, draw_faces(400, seed=3), out, progress)
        except KeyboardInterrupt:
            pass
"""


def run_apart(count, out, config, backend="tensorflow"):
    """Train in a process of its own, where the processor can still be divided; it is interrupted once, and goes on."""
    command = [sys.executable, "-c", TRAIN, str(count), str(out), repr(config)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], env={**os.environ, "KERAS_BACKEND": backend},
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return out


def test_two_devices_have_the_curve_of_one(finished, faces, tmp_path):
    """All that one device does for a whole batch is there: normalisation, dropout, class weights, teachers' views."""
    config = ALL | {"teachers": [str(finished)]}
    one = train.train(TrainConfig(**config), faces, tmp_path / "one", progress=None)
    two = run_apart(2, tmp_path / "two", config)
    np.testing.assert_allclose(history(two), history(one), atol=1e-3)
    for a, b in zip(*(runs.load_model(folder)[0].get_weights() for folder in (one, two))):
        np.testing.assert_allclose(a, b, atol=2e-3)
    card = runs.read_card(two)
    assert card.values["devices"] == ["cpu:0", "cpu:1"] and "devices" not in runs.read_card(one).values
    assert card.config == runs.read_card(one).config
    assert "on 2 devices (cpu:0, cpu:1)" in "".join(training_text(card))


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax")
def test_two_devices_have_the_curve_of_one_under_jax(finished, tmp_path):
    config = ALL | {"teachers": [str(finished)]}
    one, two = (run_apart(count, tmp_path / str(count), config, "jax") for count in (1, 2))
    np.testing.assert_allclose(history(two), history(one), atol=1e-3)
    assert runs.read_card(two).values["devices"] == ["cpu:0", "cpu:1"]


def test_what_cannot_be_dealt_out_is_said_before_a_training(faces, tmp_path, monkeypatch):
    keras = import_keras()
    keras.ops.zeros(1)  # the backend has begun
    with pytest.raises(ValueError, match="at least 1, got 0"), devices.spread_over(0):
        pass
    with pytest.raises(DataError, match=r"99 devices are asked for, and \w+ sees \d+ here \(.*:0.*\); ask for fewer"):
        with devices.spread_over(99):
            pass
    with pytest.raises(DataError, match="has already begun with .* not 99; ask for virtual devices in a new process"):
        with devices.spread_over(99, virtual=True):
            pass
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(DataError, match="backend torch a training takes one device"), devices.spread_over(2):
        pass
    assert devices.used_devices() == ()


def test_virtual_devices_need_a_number(capsys):
    assert main(["train", "--model", "cnn3", "--data", "drawn:60", "--virtual-devices"]) == 1
    assert "--virtual-devices goes with --devices N" in capsys.readouterr().err


def test_batches_are_shared_out_equally(faces, tmp_path, monkeypatch):
    assert [devices.even_batch(64, n) for n in (1, 3, 63, 64, 1000)] == [1, 2, 62, 64, 64]
    monkeypatch.setattr(devices, "used_devices", lambda: ("gpu:0", "gpu:1", "gpu:2"))
    assert [devices.even_batch(60, n) for n in (6, 13, 59, 1000)] == [6, 12, 54, 60]
    with pytest.raises(ValueError, match="5 faces are too few for 3 devices"):
        devices.even_batch(60, 5)
    with pytest.raises(ValueError, match="batch_size must be a multiple of 6 on 3 devices, got 64"):
        train.train(TrainConfig(**QUICK), faces, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    for backend, n, sizes in (("tensorflow", 100, [93, 7]), ("tensorflow", 600, [255, 255, 90]),
                              ("jax", 600, [255, 255, 90]), ("jax", 601, [256, 256, 89])):
        monkeypatch.setattr(import_keras().backend, "backend", lambda backend=backend: backend)
        validation = ValidationBatches(faces[np.arange(n) % len(faces)], FaceSpec(48, 1, "unit"))
        assert [len(validation[i][0]) for i in range(len(validation))] == sizes
    monkeypatch.setattr(import_keras().backend, "backend", lambda: "tensorflow")
    with pytest.raises(ValueError, match="4 faces of PublicTest are too few for 3 devices"):
        devices.validation_batch(256, 4)
