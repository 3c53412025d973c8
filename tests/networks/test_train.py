import dataclasses
import gc
import json
import os
import platform
import subprocess
import sys
import weakref

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from fer_utils import errors
from fer_utils.data import split
from fer_utils.data.drawn import draw_faces
from fer_utils.data.faceset import FaceSet
from fer_utils.data.split import Split
from fer_utils.evaluation import evaluate, tables
from fer_utils.networks import average, backend, recipes, runs, train, zoo
from fer_utils.networks import batches as batches_module
from fer_utils.networks import teach as teach_module
from fer_utils.networks.recipes import TrainConfig
from fer_utils.networks.spec import FaceSpec

pytestmark = pytest.mark.usefixtures("speck")


@pytest.fixture(scope="module")
def faces():
    return draw_faces(400, seed=3)


QUICK = {"model": "speck", "epochs": 3, "batch_size": 64, "learning_rate": 2e-3, "patience": 0}


def history(folder):
    return pd.read_csv(folder / "history.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def finished(speck, faces, tmp_path_factory):
    return train.train(TrainConfig(**QUICK), faces, tmp_path_factory.mktemp("run") / "a", progress=None)


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


def test_a_finished_run_is_returned_at_once_and_another_is_refused(finished, faces, monkeypatch):
    monkeypatch.setattr(train, "split", None)  # would fail if anything were trained
    assert train.train(TrainConfig(**QUICK), faces, finished, progress=None) == finished
    with pytest.raises(ValueError, match="learning_rate differ"):
        train.train(TrainConfig(**{**QUICK, "learning_rate": 0.1}), faces, finished)
    with pytest.raises(ValueError, match="data differ"):
        train.train(TrainConfig(**QUICK), faces[:300], finished)


def _kill_after(monkeypatch, epochs):
    write = train._write_state

    def killed(folder, model, config, fingerprint, history, *rest):
        write(folder, model, config, fingerprint, history, *rest)
        if len(history) == epochs:
            raise KeyboardInterrupt

    monkeypatch.setattr(train, "_write_state", killed)


@pytest.mark.parametrize("config", [
    {**QUICK, "augment": "strong", "balance": "over"},
    # Dropout, schedule, moving average and mixup all have a state that must survive.
    {"model": "speck", "epochs": 3, "batch_size": 64, "learning_rate": 1e-3, "optimizer": "adamw", "ema": 0.9,
     "schedule": "cosine", "warmup_epochs": 0.5, "mixup": 0.2, "weight_decay": 0.05, "augment": "project_b"},
], ids=["adam, over-sampled", "adamw, averaged, mixed up"])
def test_one_seed_gives_one_result_and_a_killed_run_goes_on_to_it(config, faces, tmp_path, monkeypatch):
    config = TrainConfig(**config)
    whole = train.train(config, faces, tmp_path / "whole", progress=None)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _kill_after(patch, 2)
        train.train(config, faces, tmp_path / "killed", progress=None)
    with pytest.raises(errors.DataError, match="not finished"):
        runs.load_model(tmp_path / "killed")
    killed = train.train(config, faces, tmp_path / "killed", progress=None)
    pd.testing.assert_frame_equal(history(whole), history(killed))
    for a, b in zip(runs.load_model(whole)[0].get_weights(), runs.load_model(killed)[0].get_weights()):
        np.testing.assert_array_equal(a, b)


def test_a_plateau_lowers_the_rate_and_a_resumed_run_remembers_it():
    config = TrainConfig(model="speck", schedule="plateau", learning_rate=0.01)
    # The second epoch's loss is the lowest; the 12th after it brings the first tenth, the 12th after that the next.
    losses = [2.0, 1.0, *[1.5] * 26]
    expected = [0.01] * 13 + [0.001] * 12 + [0.0001] * 3

    def rates(done):
        model = zoo.build("speck")
        train.compile_model(model, config, steps_per_epoch=5)
        rows = [{"epoch": i + 1, "val_loss": loss} for i, loss in enumerate(losses)]
        after_validation = train._reduce_on_plateau(model, config, rows[:done])
        seen = []
        for row in rows[done:]:
            after_validation(row)
            seen.append(float(model.optimizer.learning_rate))
        return seen

    assert rates(0) == pytest.approx(expected)
    assert rates(17) == pytest.approx(expected[17:])


def test_two_processes_do_not_train_one_run(faces, tmp_path, monkeypatch):
    config = TrainConfig(**QUICK)
    folder = tmp_path / "run"
    make_batches = batches_module.make_batches

    def beside_another(*arguments):
        monkeypatch.setattr(train, "make_batches", make_batches)
        train.train(config, faces, folder, progress=None)
        return make_batches(*arguments)

    monkeypatch.setattr(train, "make_batches", beside_another)
    with pytest.raises(errors.DataError, match="another process trains this very run"):
        train.train(config, faces, folder, progress=None)
    card = runs.read_card(folder)
    assert len(history(folder)) == card.epochs_run == 3, "the other one's work is whole"


def test_an_interrupted_training_lets_go_of_the_faces(tmp_path, monkeypatch):
    """Keras's own thread goes on waiting to queue the next batch, and holds the object that makes them."""
    def interrupted(*arguments):
        def after_batch():
            raise KeyboardInterrupt
        return after_batch, lambda row: None, lambda: None

    many = draw_faces(400, seed=4)  # 100 batches: more than fit into the queue
    pixels = weakref.ref(many.pixels)
    monkeypatch.setattr(train, "_progress", interrupted)
    monkeypatch.setattr(train, "split", lambda faces, *options: Split(faces, faces, faces, "official", "none"))
    with pytest.raises(KeyboardInterrupt):
        train.train(TrainConfig(**{**QUICK, "batch_size": 4}), many, tmp_path / "run", progress=None)
    del many
    gc.collect()
    assert pixels() is None


def test_only_tensorflow_needs_keras_own_queue(faces, monkeypatch):
    def workers():
        return batches_module.make_batches(faces, TrainConfig(), FaceSpec(), None, 0).workers

    keras = backend.import_keras()
    assert workers() == (2 if keras.backend.backend() == "tensorflow" else 1)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert workers() == 1


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


def test_training_stops_early_by_publictest(faces, tmp_path):
    config = TrainConfig(model="speck", epochs=30, patience=2, learning_rate=1e-7, batch_size=200)
    folder = train.train(config, faces, tmp_path / "run", progress=None)
    rows = history(folder)
    assert len(rows) < 30 and len(rows) == rows["val_accuracy"].idxmax() + 1 + 2


def test_a_network_learns_what_can_be_learnt(tmp_path):
    # A bright bar whose place is the class, in noise: nothing else tells the classes apart.
    rng = np.random.default_rng(0)
    emotion = rng.integers(0, 7, 500).astype(np.int8)
    pixels = rng.integers(0, 100, (500, 48, 48), np.uint8)
    for face, label in zip(pixels, emotion):
        face[:, 6 * label + 3:6 * label + 6] += 120
    usage = np.repeat(["Training", "PublicTest", "PrivateTest"], [300, 100, 100])
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


def test_fused_batch_normalisation_gives_keras_own_numbers(tmp_path):
    keras = backend.import_keras()
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow's is fused")
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(3, 2, (6, 5, 5, 4)), tf.float32)
    weights = [rng.uniform(1, 2, 4) for _ in range(4)]

    def numbers(fuse):
        model = keras.Sequential([keras.Input((5, 5, 4)), keras.layers.BatchNormalization(momentum=0.8),
                                  keras.layers.Flatten(), keras.layers.BatchNormalization()])
        norm = model.layers[0]
        norm.set_weights(weights)
        if fuse:
            backend.fuse_batch_norm(model)
            model.load_weights(tmp_path / "stock.weights.h5")  # files of either fit the other
        else:
            model.save_weights(tmp_path / "stock.weights.h5")
        kinds = [type(layer) is keras.layers.BatchNormalization for layer in (norm, model.layers[-1])]
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(norm(x, training=True) ** 3)
        gradients = tape.gradient(loss, [x, *(weight.value for weight in norm.trainable_variables)])
        return kinds, [np.asarray(n) for n in (loss, *gradients, *norm.get_weights(), norm(x))]

    (kinds, expected), (fused_kinds, found) = numbers(False), numbers(True)
    assert kinds == [True, True] and fused_kinds == [False, True], "of maps, not of vectors"
    for one, other in zip(expected, found):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
    assert not np.allclose(found[-3], weights[2], atol=0.1), "the moving mean must move"


@pytest.mark.parametrize("vendor, flags, support", [
    ("GenuineIntel", "avx2 avx512_bf16 amx_bf16", "faster"), ("AuthenticAMD", "avx512_bf16", "faster"),
    ("GenuineIntel", "avx2 avx512_bf16 avx512_fp16", "native"), ("AuthenticAMD", "avx2", "emulated"),
    (None, "", "emulated")])
def test_auto_is_bfloat16_where_that_is_faster(vendor, flags, support, tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    if vendor:
        cpuinfo.write_text(f"vendor_id\t: {vendor}\nflags\t\t: {flags}\n")
    assert recipes.bfloat16_support(cpuinfo) == support
    monkeypatch.setattr(train, "bfloat16_support", lambda: support)
    assert recipes.resolve_precision("auto") == ("mixed_bfloat16" if support == "faster" else "float32")
    assert recipes.resolve_precision("mixed_bfloat16") == "mixed_bfloat16"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="TensorFlow's switch is for x86 alone")
@pytest.mark.parametrize("asked, convolved", [(None, True), ("0", False)])
def test_onednn_computes_unless_it_is_switched_off(asked, convolved):
    """Whatever the processor; oneDNN itself tells, under ONEDNN_VERBOSE, what it computes."""
    code = ("from fer_utils.backend import import_keras; keras = import_keras(); "
            "keras.layers.Conv2D(4, 3)(keras.ops.ones((2, 8, 8, 3)))")
    env = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    env |= {"KERAS_BACKEND": "tensorflow", "ONEDNN_VERBOSE": "1"} | ({"TF_ENABLE_ONEDNN_OPTS": asked} if asked else {})
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert (",convolution," in ran.stdout) == convolved, ran.stdout


def test_class_weights_reach_the_loss(faces):
    weights = {i: float(i) for i in range(7)}
    batches = batches_module.make_batches(faces, TrainConfig(batch_size=32), FaceSpec(), weights, epoch=0)
    x, y, w = batches[0]
    np.testing.assert_array_equal(w, y.argmax(1))
    assert x.shape == (32, 48, 48, 1)


def test_an_epoch_shows_each_face_once_in_a_new_order(faces):
    config = TrainConfig(batch_size=40)
    epochs = [batches_module.make_batches(faces, config, FaceSpec(), None, epoch) for epoch in (0, 1)]
    first, second = (np.concatenate([b[i][0] for i in range(len(b))]) for b in epochs)
    assert len(first) == 400 and (first != second).any()
    np.testing.assert_allclose(np.sort(first.ravel()), np.sort(faces.pixels.ravel() / 255), atol=1e-6)


def test_config_refuses_what_it_does_not_know():
    assert TrainConfig.from_dict(TrainConfig().to_dict()) == TrainConfig()
    with pytest.raises(ValueError, match="learning_rat.*learning_rate"):
        TrainConfig.from_dict({"learning_rat": 1})
    for wrong in ({"model": "x"}, {"protocol": "x"}, {"balance": "x"}, {"augment": "x"}, {"epochs": 0},
                  {"epochs": 1.5}, {"learning_rate": 0}, {"ema": 2}, {"precision": "float8"}, {"optimizer": "x"}):
        with pytest.raises(ValueError):
            TrainConfig(**wrong)
    with pytest.raises(ValueError, match="over"):
        TrainConfig(protocol="leaky")


def test_wrong_kinds_are_named():
    for wrong in ({"label_smoothing": "abc"}, {"teachers": 5}, {"learning_rate": None}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            TrainConfig(**wrong)
    assert TrainConfig.for_model("fer_net", epochs=1).warmup_epochs == 1, "the recipe's warm-up fits a short run"


def test_a_networks_own_recipe_is_its_projects():
    config = TrainConfig.for_model("cnn5_bn")
    assert (config.balance, config.learning_rate, config.batch_size, config.epochs) == ("over", 1e-4, 32, 35)
    assert TrainConfig.for_model("cnn5_bn", epochs=None, balance="none").balance == "none"
    assert TrainConfig.for_model("cnn3").epochs == 100
    peers = TrainConfig.for_model("mini_xception")
    assert (peers.augment, peers.schedule, peers.batch_size) == ("arriaga", "plateau", 32)


def test_run_names_tell_runs_apart():
    a, b = TrainConfig(), TrainConfig(learning_rate=1e-3)
    assert a.run_name("x") != b.run_name("x") != b.run_name("y")
    assert a.run_name("x").startswith("cnn3-official-none-none-seed0-")


def test_a_run_of_a_version_with_fewer_fields_is_the_same_run(finished, faces, tmp_path, monkeypatch):
    import shutil

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


def test_lines_show_the_whole_training_also_of_a_run_that_was_done_before(faces, finished, capsys):
    train.train(TrainConfig(**QUICK), faces, finished, progress="lines")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]


class TestTeachersAndStarts:
    def test_soft_targets_mix_labels_with_the_teachers_two_views(self, finished, faces):
        part = faces.of("Training")
        model, card = runs.load_model(finished)
        spec = card.spec
        seen = (runs.predict_probabilities(model, part.pixels, spec)
                + runs.predict_probabilities(model, part.pixels[:, :, ::-1].copy(), spec)) / 2
        config = TrainConfig(**QUICK, teachers=(str(finished), str(finished)), teacher_share=0.25)
        targets = teach_module.soft_targets(part, config)
        assert np.allclose(targets, 0.75 * np.eye(7)[part.emotion] + 0.25 * seen, atol=1e-5)
        assert np.allclose(targets.sum(1), 1, atol=1e-5)

    @pytest.mark.parametrize("precision, tolerance", [("float32", 1e-5), ("mixed_bfloat16", 0.02)])
    def test_teachers_of_views_see_each_face_as_the_network_does(self, finished, faces, precision, tolerance):
        part, spec = faces.of("Training"), zoo.network("speck").spec
        config = TrainConfig(**QUICK, augment="strong", mixup=0.4, teachers=(str(finished), str(finished)),
                             teacher_share=0.25, teacher_views=2)
        x, labels = batches_module.make_batches(part, config, spec, None, 0)[1]
        model = runs.load_model(finished)[0]
        teach = teach_module.teach_views(config, spec, precision)
        seen, targets = batches_module.make_batches(part, config, spec, None, 0, teach=teach)[1]
        assert np.array_equal(x, seen) and labels.max(1).min() < 1, "mixup mixed some labels"
        assert np.allclose(targets, 0.75 * labels + 0.25 * model.predict(x, verbose=0), atol=tolerance)
        assert np.array_equal(teach_module.soft_targets(part, config), np.eye(7, dtype=np.float32)[part.emotion])

    def test_the_teachers_passes_come_again_and_are_not_computed_again(self, finished, faces):
        part, spec = faces.of("Training"), zoo.network("speck").spec
        config = TrainConfig(**QUICK, augment="strong", teachers=(str(finished),), teacher_views=2)
        teach = teach_module.teach_views(config, spec, "float32")
        first, second, third, fourth = (batches_module.make_batches(part, config, spec, None, epoch, teach=teach)[0]
                                        for epoch in range(4))
        assert all(np.array_equal(a, b) for a, b in [*zip(first, third), *zip(second, fourth)])
        assert not np.array_equal(first[0], second[0])
        assert teach(None, (0, 0)) is teach(None, (0, 0)), "kept: nothing is predicted"

    def test_a_resumed_run_of_taught_views_goes_on_as_an_unbroken_one(self, finished, faces, tmp_path, monkeypatch):
        config = TrainConfig(**QUICK, augment="light", teachers=(str(finished),), teacher_share=0.9, teacher_views=2)
        unbroken = train.train(config, faces, tmp_path / "unbroken", progress=None)
        with monkeypatch.context() as patch:
            _kill_after(patch, 2)
            with pytest.raises(KeyboardInterrupt):
                train.train(config, faces, tmp_path / "killed", progress=None)
        resumed = train.train(config, faces, tmp_path / "killed", progress=None)
        pd.testing.assert_frame_equal(history(unbroken), history(resumed))

    def test_a_teacher_of_views_must_take_the_networks_inputs(self, finished):
        config = TrainConfig(model="fer_net", teachers=(str(finished),), teacher_views=2)
        with pytest.raises(ValueError, match="takes other inputs than fer_net"):
            teach_module.teach_views(config, zoo.network("fer_net").spec, "float32")

    def test_a_run_started_from_another_begins_with_its_weights(self, finished, faces, tmp_path):
        config = TrainConfig(**{**QUICK, "epochs": 1, "learning_rate": 1e-12}, start=str(finished),
                             teachers=[str(finished)])
        folder = train.train(config, faces, tmp_path / "run", progress=None)
        before, after = (runs.load_model(f)[0] for f in (finished, folder))
        for a, b in zip(before.trainable_weights, after.trainable_weights):
            assert np.allclose(a, b, atol=1e-6)
        card = runs.read_card(folder)
        assert TrainConfig.from_dict(card.config) == config and card.config["teachers"] == [str(finished)]

    def test_another_networks_weights_are_refused(self, finished, faces, tmp_path):
        with pytest.raises(ValueError, match="is a speck, not a cnn3"):
            train.train(TrainConfig(model="cnn3", epochs=1, start=str(finished)), faces, tmp_path, progress=None)

    def test_a_leaky_teacher_is_refused(self, finished, faces, tmp_path):
        import shutil

        leaky = shutil.copytree(finished, tmp_path / "leaky")
        card = json.loads((leaky / "card.json").read_text())
        card["config"]["protocol"] = "leaky"
        (leaky / "card.json").write_text(json.dumps(card))
        for options in ({"teachers": (str(leaky),)}, {"start": str(leaky)}):
            with pytest.raises(ValueError, match="leaky protocol, on test faces"):
                train.train(TrainConfig(**QUICK, **options), faces, tmp_path / "run", progress=None)

    def test_an_average_has_the_mean_of_the_weights_and_its_own_scores(self, finished, faces, tmp_path):
        going_on = TrainConfig(**{**QUICK, "epochs": 1}, start=str(finished))
        second = train.train(going_on, faces, tmp_path / "second", progress=None)
        # Named twice the second counts twice.
        (tmp_path / "mean").mkdir()
        (tmp_path / "mean" / "model.onnx").write_bytes(b"of weights that stood here before")
        folder = average.average([str(finished), str(second), str(second)], faces, tmp_path / "mean")
        assert not (folder / "model.onnx").exists(), "it would serve other weights"
        first, last, mean = (runs.load_model(f)[0] for f in (finished, second, folder))
        for a, b, c in zip(first.get_weights(), last.get_weights(), mean.get_weights()):
            np.testing.assert_allclose(c, (a + 2 * b) / 3, rtol=1e-5, atol=1e-6)
        card = runs.read_card(folder)
        assert card.averaged == (finished.name, "second", "second") and card.name == "mean"
        again = evaluate.evaluate_run(folder, faces)
        assert {name: card.scores["PrivateTest"][name] for name in ("confusion", "ece")} == {
            name: again[name] for name in ("confusion", "ece")}
        assert again["ece"] != runs.read_card(second).scores["PrivateTest"]["ece"]
        assert card.config == going_on.to_dict()
        assert (folder / "history.csv").read_text() == (second / "history.csv").read_text()
        assert tables.results_table([card])["label"].item().endswith(", averaged")
        assert tables.seed_table([card, dataclasses.replace(card, config=card.config | {"seed": 5})]).empty

    def test_what_has_no_mean_is_refused(self, finished, faces, tmp_path):
        import shutil

        out = tmp_path / "mean"
        with pytest.raises(ValueError, match="two trained runs or more"):
            average.average([str(finished)], faces, out)
        with pytest.raises(ValueError, match="trained on other faces"):
            average.average([str(finished)] * 2, faces[:-1], out)
        with pytest.raises(ValueError, match="holds a run already"):
            average.average([str(finished)] * 2, faces, finished)
        for change, word in (({"model": "cnn3"}, "is a cnn3 and"),
                             ({"config": {"protocol": "leaky"}}, "on test faces")):
            other = shutil.copytree(finished, tmp_path / "other", dirs_exist_ok=True)
            card = json.loads((finished / "card.json").read_text())
            card |= {name: card[name] | value if name == "config" else value for name, value in change.items()}
            (other / "card.json").write_text(json.dumps(card))
            with pytest.raises(ValueError, match=word):
                average.average([str(other), str(finished)], faces, out)
        assert not out.exists()

    @pytest.mark.parametrize("options, word", [({"teachers": "fer_net"}, "teachers must be a list"),
                                               ({"teacher_share": 1.5}, "teacher_share"),
                                               ({"teacher_views": 2}, "teacher_views=2 needs teachers"),
                                               ({"teacher_views": -1}, "teacher_views must be"),
                                               ({"start": "a", "weights": "imagenet", "model": "vgg16"}, "give one")])
    def test_wrong_values_are_refused(self, options, word):
        with pytest.raises(ValueError, match=word):
            TrainConfig(**options)
