"""Training: one seed gives one result, at whatever moment a run is killed."""

import gc
import importlib.util
import itertools
import json
import random
import shutil
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from fer_utils.data import split
from fer_utils.data.drawn import draw_faces
from fer_utils.data.faceset import FaceSet
from fer_utils.errors import DataError
from fer_utils.evaluation import evaluate
from fer_utils.metrics import fit_temperature
from fer_utils.networks import callbacks, checkpoints, runs, train, zoo
from fer_utils.networks.backend import import_keras
from fer_utils.networks.recipes import TrainConfig
from fer_utils.networks.spec import FaceSpec
from tests.networks.quick import QUICK, history, same_result

pytestmark = pytest.mark.usefixtures("speck")


def test_a_run_folder_holds_the_model_its_card_and_history(finished, faces):
    assert sorted(p.name for p in finished.iterdir()) == ["card.json", "history.csv", "model.keras"]
    card = json.loads((finished / "card.json").read_text())
    assert TrainConfig.from_dict(card["config"]) == TrainConfig(**QUICK)
    assert FaceSpec.from_dict(card["spec"]) == zoo.network("speck").spec
    assert card["parameters"] == 9 * 8 + 4 * 8 + 9 * 8 * 16 + 4 * 16 + 16 * 7 + 7
    assert card["epochs_run"] == 3 and card["data"]["title"].startswith("drawn")
    assert card["data"]["fingerprint"] == faces.fingerprint()
    assert card["seconds"] > 0 and "keras" in card["versions"]
    assert len(history(finished)) == 3


def test_the_saved_model_has_the_cards_scores(finished, faces):
    model, card = runs.load_model(finished)
    test = faces.of("PrivateTest")
    probabilities = runs.predict_probabilities(model, test.pixels, card.spec)
    predicted = probabilities.argmax(1)
    assert card.scores["PrivateTest"]["accuracy"] == pytest.approx((predicted == test.emotion).mean(), abs=1e-4)
    assert card.scores["PrivateTest"]["macro_f1"] == pytest.approx(
        f1_score(test.emotion, predicted, average="macro"), abs=1e-4)
    again = evaluate.evaluate_run(finished, faces)
    assert again["confusion"] == card.scores["PrivateTest"]["confusion"] and again["clean"]["n"] <= again["n"]


def test_the_best_epoch_is_chosen_on_publictest_alone(finished):
    card, rows = runs.read_card(finished), history(finished)
    assert card.best_epoch == rows["val_accuracy"].idxmax() + 1
    assert card.scores["PublicTest"]["accuracy"] == pytest.approx(rows["val_accuracy"].max(), abs=1e-4)
    assert list(card.scores) == ["PublicTest", "PrivateTest"]


def test_the_last_epoch_is_kept_where_that_is_asked_for(finished, faces, tmp_path):
    best = runs.read_card(finished).best_epoch
    longer = TrainConfig(**QUICK | {"epochs": 4, "learning_rate": 0.05}, keep="last")
    folder = train.train(longer, faces, tmp_path / "last", progress=None)
    card, rows = runs.read_card(folder), history(folder)
    assert card.best_epoch == 4 and 1 <= best <= 3
    assert card.scores["PublicTest"]["accuracy"] == pytest.approx(rows["val_accuracy"].iloc[-1], abs=1e-4)
    assert rows["val_accuracy"].iloc[-1] < rows["val_accuracy"].max(), "an earlier epoch was better, and is not kept"
    with pytest.raises(ValueError, match="patience waits for a better epoch"):
        replace(longer, patience=2)


def test_a_finished_run_is_returned_at_once_and_another_is_refused(finished, faces, monkeypatch):
    monkeypatch.setattr(train, "split", None)  # would fail if anything were trained
    assert train.train(TrainConfig(**QUICK), faces, finished, progress=None) == finished
    with pytest.raises(ValueError, match="learning_rate differ"):
        train.train(TrainConfig(**{**QUICK, "learning_rate": 0.1}), faces, finished)
    with pytest.raises(ValueError, match="data differ"):
        train.train(TrainConfig(**QUICK), faces[:300], finished)


def test_one_seed_gives_one_result_and_an_interrupted_run_goes_on_to_it(faces, tmp_path, interrupt_after, capsys):
    config = TrainConfig(**QUICK, augment="strong", balance="over")
    whole = train.train(config, faces, tmp_path / "whole", progress=None)
    with interrupt_after(2):
        train.train(config, faces, tmp_path / "interrupted", progress=None)
    with pytest.raises(DataError, match="not finished"):
        runs.load_model(tmp_path / "interrupted")
    same_result(whole, train.train(config, faces, tmp_path / "interrupted", progress="bar"))
    bar = capsys.readouterr().err
    assert "speck:  67%" in bar and "speck: 100%" in bar and "epoch 3/3, val accuracy" in bar, "it shows all epochs"


def test_kill_9_at_any_moment_changes_nothing(finished, faces, tmp_path):
    """A real process, killed at a random moment and started again; test_checkpoints.py goes through all moments.

    It has all that has a state which must survive: dropout, schedule, moving average, patience, mixup, taught views.
    """
    config = {**QUICK, "epochs": 6, "optimizer": "adamw", "ema": 0.9, "schedule": "cosine", "warmup_epochs": 0.5,
              "mixup": 0.2, "augment": "strong", "weight_decay": 0.05, "patience": 5, "teachers": [str(finished)],
              "teacher_views": 2}
    out = str(tmp_path / "killed")
    code = ("from fer_utils.data.drawn import draw_faces; from fer_utils.networks import recipes, train, zoo; "
            "from tests.networks.quick import speck_network; zoo.NETWORKS['speck'] = speck_network(); "
            f"train.train(recipes.TrainConfig(**{config}), draw_faces(400, seed=3), {out!r}, None)")
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2],
                          stderr=subprocess.DEVNULL) as process:
        while not checkpoints.last_epoch(tmp_path / "killed") and process.poll() is None:
            time.sleep(0.01)
        time.sleep(random.Random(0).uniform(0, 0.3))
        process.kill()
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(DataError, match="not finished"):
        runs.load_model(tmp_path / "killed")
    whole, killed = (train.train(TrainConfig(**config), faces, tmp_path / name, progress=None)
                     for name in ("whole", "killed"))
    same_result(whole, killed)


def test_a_training_step_is_traced_once(faces, tmp_path, monkeypatch):
    """A second trace, which variables made within the step would ask for, costs seconds with a large network."""
    keras = import_keras()
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow traces a step again")
    traced, step = [], keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda model, data: traced.append(model) or step(model, data))
    train.train(TrainConfig(**{**QUICK, "epochs": 2}), faces, tmp_path / "run", progress=None)
    assert len(traced) == 1


def test_labels_may_be_missing_in_a_part(tmp_path):
    """Those faces are left out; without any in PublicTest a tenth of Training takes its place."""
    faces = draw_faces(300, seed=6)
    emotion = faces.emotion.copy()
    emotion[np.flatnonzero(faces.usage == "PrivateTest")[:3]] = -1
    some = FaceSet(faces.pixels, emotion, faces.usage, "some", "arrays")
    emotion = emotion.copy()
    emotion[faces.usage == "PublicTest"] = -1
    none = FaceSet(faces.pixels, emotion, faces.usage, "none", "arrays")
    for part, chosen_by in ((some, "PublicTest"), (none, "validation")):
        folder = train.train(TrainConfig(**{**QUICK, "epochs": 1}), part, tmp_path / chosen_by, progress=None)
        scored = runs.read_card(folder).scores
        assert list(scored) == [chosen_by, "PrivateTest"]
        usage, test, clean = split.report_part(part)
        assert scored["PrivateTest"]["n"] == (faces.usage == "PrivateTest").sum() - 3 == len(test) == len(clean)
        assert scored["PrivateTest"]["clean"]["n"] == clean.sum()


def test_training_stops_early_by_publictest_and_a_resumed_run_remembers_its_patience(faces, tmp_path, interrupt_after):
    config = TrainConfig(model="speck", epochs=30, patience=2, learning_rate=1e-7, batch_size=200)
    whole = train.train(config, faces, tmp_path / "whole", progress=None)
    rows = checkpoints.read_rows(whole)
    assert len(rows) < 30 and len(rows) == checkpoints.best_epoch(rows) + 2
    with interrupt_after(len(rows) - 1):
        train.train(config, faces, tmp_path / "resumed", progress=None)
    same_result(whole, train.train(config, faces, tmp_path / "resumed", progress=None))
    # A run that was killed before its scores: no epoch may be added.
    assert checkpoints.is_over(rows, config) and not checkpoints.is_over(rows[:-1], config)


def test_a_plateau_lowers_the_rate_and_a_resumed_run_remembers_it():
    keras = import_keras()
    config = TrainConfig(model="speck", schedule="plateau", learning_rate=0.01)
    # The second epoch's loss is the lowest; the 12th after it brings the first tenth, the 12th after that the next.
    losses = [2.0, 1.0, *[1.5] * 26]
    expected = [0.01] * 13 + [0.001] * 12 + [0.0001] * 3
    rows = [{"epoch": i + 1, "val_loss": loss, "val_accuracy": 0.5} for i, loss in enumerate(losses)]

    def rates(done, rate):
        model = zoo.build("speck")
        train.compile_model(model, config, steps_per_epoch=5)
        model.optimizer.learning_rate = rate  # as it comes from the weights file
        run = train._Run(Path("run"), config, "", None, None)
        watchers = [c for c in train._callbacks(run, None, rows[:done])
                    if isinstance(c, keras.callbacks.ReduceLROnPlateau)]
        for watcher in watchers:
            watcher.set_model(model)
            watcher.on_train_begin()
        seen = []
        for row in rows[done:]:
            for watcher in watchers:
                watcher.on_epoch_end(row["epoch"] - 1, dict(row))
            seen.append(float(model.optimizer.learning_rate))
        return seen

    assert rates(0, 0.01) == pytest.approx(expected)
    assert rates(17, 0.001) == pytest.approx(expected[17:])


def test_a_network_learns_what_can_be_learnt(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "clean_mask", lambda *_, **__: None)  # the search for copies takes longer than training
    # A bright bar whose place is the class, in noise: nothing else tells the classes apart.
    rng = np.random.default_rng(0)
    emotion = rng.integers(0, 7, 300).astype(np.int8)
    pixels = rng.integers(0, 100, (300, 48, 48), np.uint8)
    for face, label in zip(pixels, emotion):
        face[:, 6 * label + 3:6 * label + 6] += 120
    usage = np.repeat(["Training", "PublicTest", "PrivateTest"], [200, 50, 50])
    faces = FaceSet(pixels, emotion, usage, "bars", "arrays")
    config = TrainConfig(model="cnn3", epochs=4, batch_size=16, learning_rate=1e-3)
    card = runs.read_card(train.train(config, faces, tmp_path / "run", progress=None))
    assert card.scores["PrivateTest"]["accuracy"] > 0.95


def test_the_leaky_exhibit_also_reports_faces_it_never_saw(faces, tmp_path):
    config = TrainConfig.for_model("speck", protocol="leaky", epochs=1, batch_size=64)
    card = runs.read_card(train.train(config, faces, tmp_path / "run", progress=None))
    assert list(card.scores) == ["leaky test"] and "exhibit" in card.split
    part = card.scores["leaky test"]
    assert 0 < part["clean"]["n"] < part["n"]
    result = evaluate.evaluate_run(tmp_path / "run", faces)
    assert result["exhibit"] and result["clean"]["n"] == 0, "it has trained on PrivateTest too"


def test_a_run_of_a_version_with_fewer_fields_is_the_same_run(finished, faces, tmp_path, monkeypatch):
    old = shutil.copytree(finished, tmp_path / "old")
    card = json.loads((old / "card.json").read_text())
    del card["config"]["teacher_views"]
    (old / "card.json").write_text(json.dumps(card))
    monkeypatch.setattr(train, "split", None)  # would fail if anything were trained
    assert train.train(TrainConfig(**QUICK), faces, old, progress=None) == old


def test_the_moving_average_watches_training_and_does_not_steer_it(faces, tmp_path):
    config = {**QUICK, "epochs": 2, "augment": "none"}
    plain = train.train(TrainConfig(**config), faces, tmp_path / "plain", progress=None)
    averaged = train.train(TrainConfig(**config, ema=0.9), faces, tmp_path / "averaged", progress=None)
    assert history(plain)["train_loss"].tolist() == history(averaged)["train_loss"].tolist()
    assert history(plain)["val_loss"].tolist() != history(averaged)["val_loss"].tolist()


def test_a_function_sees_every_epoch_also_those_of_an_earlier_run(faces, tmp_path, interrupt_after, monkeypatch):
    calls = []

    def draw(rows, status):
        calls.append(([row["epoch"] for row in rows], status))

    # Its clock goes fast, so that it is called for each batch.
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=itertools.count(step=2).__next__))
    with interrupt_after(1):
        train.train(TrainConfig(**QUICK), faces, tmp_path / "run", progress=draw)
    assert calls[0][0] == [] and calls[0][1].startswith("epoch 1:   0%|") and calls[-1] == ([1], "")
    calls.clear()
    train.train(TrainConfig(**QUICK), faces, tmp_path / "run", progress=draw)
    assert calls[0][0] == [1] and calls[0][1].startswith("epoch 2:  33%|"), "all epochs are counted"
    assert [status[:7] for rows, status in calls if rows == [1, 2]] == ["epoch 3"] * 5, "the start, and four batches"
    assert calls[-2:] == [([1, 2, 3], "the best epoch is scored"), ([1, 2, 3], "")]
    calls.clear()
    train.train(TrainConfig(**QUICK), faces, tmp_path / "run", progress=draw)
    assert calls == [([1, 2, 3], "")]


def test_the_second_of_two_trainings_of_one_folder_is_refused_and_the_first_is_whole(faces, tmp_path, monkeypatch):
    config, folder, refused = TrainConfig(**QUICK), tmp_path / "run", []

    class Beside(callbacks.SeedDropout):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch)
            with pytest.raises(DataError, match="another process") as error:
                train.train(config, faces, folder, progress=None)
            refused.append(str(error.value))

    monkeypatch.setattr(callbacks, "SeedDropout", Beside)
    train.train(config, faces, folder, progress=None)
    assert len(refused) == 3 and str(folder) in refused[0]
    assert len(history(folder)) == runs.read_card(folder).epochs_run == 3


def test_an_interrupt_says_in_one_sentence_what_is_kept(faces, tmp_path, monkeypatch):
    def after(wanted):
        batches = []

        class Stopped(callbacks.SeedDropout):
            def on_train_batch_end(self, batch, logs=None):
                batches.append(batch)
                if len(batches) == wanted:
                    raise KeyboardInterrupt
        return Stopped

    folder = tmp_path / "run"
    for wanted, sentence in ((2, "before its first epoch was finished; the same command begins again"),
                             (4 + 2, f"1 of 3 epochs are kept in {folder}; the same command goes on from epoch 2")):
        monkeypatch.setattr(callbacks, "SeedDropout", after(wanted))
        with pytest.raises(train.Interrupted, match=sentence) as stopped:
            train.train(TrainConfig(**QUICK), faces, folder, progress="bar")
        assert isinstance(stopped.value, KeyboardInterrupt) and stopped.value.__context__ is None
        assert "\n" not in str(stopped.value)


def test_a_notebook_shows_an_interrupt_as_one_sentence(capsys):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shell.run_cell("from fer_utils.networks.train import Interrupted\n"
                   "raise Interrupted('Training stopped. It goes on.')")
    assert capsys.readouterr().out.strip() == "Training stopped. It goes on."


def test_an_interrupted_training_lets_go_of_the_faces(tmp_path, monkeypatch):
    """Keras's own thread goes on waiting to queue the next batch, and holds the object that makes them."""
    class Stopped(callbacks.SeedDropout):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    many = draw_faces(400, seed=4)  # 100 batches: more than fit into the queue
    pixels = weakref.ref(many.pixels)
    monkeypatch.setattr(callbacks, "SeedDropout", Stopped)
    monkeypatch.setattr(train, "split", lambda faces, *options: split.Split(faces, faces, faces, "official", "none"))
    with pytest.raises(KeyboardInterrupt):
        train.train(TrainConfig(**{**QUICK, "batch_size": 4}), many, tmp_path / "run", progress=None)
    del many
    gc.collect()
    assert pixels() is None


def test_an_unfinished_run_of_an_earlier_version_is_refused(faces, tmp_path):
    config = TrainConfig(**QUICK)
    (tmp_path / "last-1.weights.h5").write_bytes(b"")
    (tmp_path / "state.json").write_text(json.dumps({
        "config": config.to_dict(), "fingerprint": faces.fingerprint(), "last": "last-1.weights.h5",
        "best": "best-1.weights.npz", "best_epoch": 1, "seconds": 1.0, "history": [{"epoch": 1}]}))
    with pytest.raises(DataError, match="of an earlier version of fer_utils.*delete the folder and train again"):
        train.train(config, faces, tmp_path, progress=None)


def test_an_unfinished_run_without_its_history_is_refused(faces, tmp_path, interrupt_after):
    with interrupt_after(2):
        train.train(TrainConfig(**QUICK), faces, tmp_path / "run", progress=None)
    with pytest.raises(ValueError, match="learning_rate differ"):
        train.train(TrainConfig(**{**QUICK, "learning_rate": 0.1}), faces, tmp_path / "run")
    (tmp_path / "run" / "history.csv").unlink()
    with pytest.raises(DataError, match="history.csv or best-….weights.h5 is missing, damaged"):
        train.train(TrainConfig(**QUICK), faces, tmp_path / "run", progress=None)


def test_a_run_that_could_not_begin_leaves_its_folder_to_another(faces, tmp_path):
    with pytest.raises(DataError, match="no trained network 'nobody'"):
        train.train(TrainConfig(**QUICK, start="nobody"), faces, tmp_path, progress=None)
    assert not checkpoints.is_finished(tmp_path, TrainConfig(**QUICK), faces.fingerprint()), "and it is not refused"


def test_progress_that_nobody_knows_is_an_error(faces, tmp_path):
    with pytest.raises(ValueError, match='"bar", None or a function, got .lines.'):
        train.train(TrainConfig(), faces, tmp_path, progress="lines")


def test_tensorboard_is_asked_for_and_not_there(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install tensorboard"):
        train.train(TrainConfig(**QUICK), faces, tmp_path / "run", progress=None, tensorboard=tmp_path / "logs")
    assert not (tmp_path / "run").exists()


def test_bfloat16_is_trained_in_and_float32_is_saved(faces, tmp_path):
    config = TrainConfig(**{**QUICK, "precision": "mixed_bfloat16"})
    folder = train.train(config, faces, tmp_path / "run", progress=None)
    model, card = runs.load_model(folder)
    assert card.values["precision"] == "mixed_bfloat16"
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert card.scores["PublicTest"]["accuracy"] == pytest.approx(history(folder)["val_accuracy"].max(), abs=0.03)


def test_validation_is_scored_as_evaluation_does(faces, tmp_path):
    """Without label smoothing and weight penalties, and macro-F1 over the classes that occur."""
    part = faces[(faces.emotion < 3) | (faces.usage == "Training")]
    config = TrainConfig(**{**QUICK, "epochs": 1, "label_smoothing": 0.3})
    folder = train.train(config, part, tmp_path / "run", progress=None)
    public = part.of("PublicTest")
    model, _ = runs.load_model(folder)
    seen = runs.predict_probabilities(model, public.pixels, zoo.network("speck").spec)
    row = history(folder).iloc[0]
    assert row["val_loss"] == pytest.approx(-np.log(seen[np.arange(len(public)), public.emotion]).mean(), abs=2e-5)
    assert row["val_macro_f1"] == pytest.approx(f1_score(public.emotion, seen.argmax(1), average="macro"), abs=2e-5)
    assert list(pd.read_csv(folder / "history.csv")) == [
        "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_macro_f1", "learning_rate", "seconds"]


def test_the_temperature_is_that_of_faces_without_copies_on_the_mix_of_all(faces):
    part = faces.of("PublicTest")
    clean = np.arange(len(part)) % 3 > 0
    rng = np.random.default_rng(0)
    sure = np.eye(7, dtype=np.float32)[part.emotion] * 0.9 + 0.1 / 7  # right: as on faces that are known by heart
    unsure = rng.dirichlet(np.ones(7), len(part)).astype(np.float32)
    probabilities = np.where(clean[:, None], unsure, sure)
    found = train.clean_temperature(part, probabilities, clean)
    labels = part.emotion[clean]
    times = np.array([(part.emotion == label).sum() / (labels == label).sum() for label in labels])
    assert found == pytest.approx(fit_temperature(labels, unsure[clean], times), rel=1e-3)
    assert found > train.clean_temperature(part, probabilities, None) + 0.1, "with the known faces it would look surer"
