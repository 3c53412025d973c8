"""Training on with own faces: drawn people in a style that the network has never seen."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fer_utils.cli import main
from fer_utils.data.drawn_people import draw_people
from fer_utils.data.grouped import divide_groups
from fer_utils.errors import DataError
from fer_utils.evaluation import evaluate
from fer_utils.networks import own_faces, runs, train, zoo
from fer_utils.networks.recipes import TrainConfig
from tests.networks.quick import same_result

SHOWN = ("happy", "surprise", "neutral")


def flat_network():
    """Two convolutions with BatchNorm, and all of their last maps: it learns drawn faces in seconds."""
    def build(x):
        from keras import layers

        for filters, size in ((8, 5), (16, 3)):
            x = layers.Conv2D(filters, size, strides=2, use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization(momentum=0.7)(x))
        return layers.Dropout(0.2)(layers.Flatten()(x))

    return zoo.Network(build, zoo.GRAY48, "the tests'")


@pytest.fixture(scope="module", autouse=True)
def flat():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.NETWORKS, "flat", flat_network())
        yield


@pytest.fixture(scope="module")
def old():
    return divide_groups(draw_people(70, 6, emotions=SHOWN))


@pytest.fixture(scope="module")
def start(flat, old, tmp_path_factory):
    config = TrainConfig(model="flat", epochs=12, batch_size=64, learning_rate=3e-3)
    return str(train.train(config, old, tmp_path_factory.mktemp("start") / "run", progress=None))


@pytest.fixture(scope="module")
def own():
    return draw_people(120, 6, 9, "negative", SHOWN)


@pytest.fixture(scope="module")
def prepared(start, own, old):
    return own_faces.prepare_own_faces(start, own, old, replay=0.5)


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    return own_faces.train_on(prepared, tmp_path_factory.mktemp("on") / "run", None, learning_rate=5e-3, epochs=15,
                              augment="none")


def accuracy(run, faces):
    model, card = runs.load_model(run)
    return (runs.predict_probabilities(model, faces.pixels, card.spec).argmax(axis=1) == faces.emotion).mean()


def test_half_of_what_another_style_costs_is_won_back(start, trained, prepared, old):
    test, photos = divide_groups(prepared.own).of("PrivateTest"), draw_people(120, 6, 9, "photo", SHOWN)
    photos = photos[np.isin(photos.group, test.group)]
    usual, before, after = accuracy(start, photos), accuracy(start, test), accuracy(trained, test)
    assert usual - before > 0.2, "the style costs much"
    assert after - before >= (usual - before) / 2
    assert accuracy(trained, old.of("PublicTest")) > accuracy(start, old.of("PublicTest")) - 0.15, "little is forgotten"


def test_batch_normalisation_stays_as_it_was_and_all_else_is_learnt(start, trained):
    before, after = (runs.load_model(run)[0] for run in (start, trained))
    for one, other in zip(before.layers, after.layers):
        same = [np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights())]
        assert all(same) if "batch_normalization" in one.name else not any(same)


def test_replayed_faces_are_old_training_faces_and_no_person_is_on_two_sides(prepared, old):
    learnt = prepared.joined.of("Training")
    mine = int((prepared.own.usage == "Training").sum())
    assert prepared.replayed == mine // 2 == len(learnt) - mine
    known = {face.tobytes() for face in old.of("Training").pixels}
    assert all(face.tobytes() in known for face in learnt.pixels[mine:])
    persons = [set(prepared.joined.group[prepared.joined.usage == usage]) for usage in prepared.joined.usages()]
    assert len(persons) == 3 and sum(map(len, persons)) == len(set.union(*persons))


def test_the_result_is_a_run_like_any_other_and_knows_its_faces(trained, prepared, own, monkeypatch):
    faces = divide_groups(own)
    card = json.loads((trained / "card.json").read_text())
    assert card["own_faces"]["replayed"] == prepared.replayed and sum(card["own_faces"]["faces"].values()) == len(own)
    result = evaluate.evaluate_run(trained, faces)
    assert result["same_data"] and result["n"] == (faces.usage == "PrivateTest").sum()
    monkeypatch.setattr(train, "split", None)  # would fail if anything were trained
    assert own_faces.train_on(prepared, trained, None, learning_rate=5e-3, epochs=15, augment="none") == trained


def test_a_network_with_own_faces_learns_no_other_ones(trained, start, own):
    with pytest.raises(ValueError, match="people whom it knows may be among the test faces. Start from .*run, as it"):
        own_faces.prepare_own_faces(trained, own[:200])
    assert own_faces.prepare_own_faces(trained, own).own.fingerprint() == divide_groups(own).fingerprint()


def test_a_network_that_started_from_one_with_own_faces_is_refused_too(trained, own, tmp_path):
    shutil.copytree(trained, tmp_path / "later")
    card = json.loads((trained / "card.json").read_text())
    del card["own_faces"]
    card |= {"data": card["data"] | {"title": "FER2013", "fingerprint": "x"},
             "config": card["config"] | {"start": str(trained)}}
    (tmp_path / "later" / "card.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="has learnt through run from other own faces.*Start from another network"):
        own_faces.prepare_own_faces(tmp_path / "later", own[:200])


def test_copies_of_the_old_faces_are_left_out(start, old):
    own = draw_people(12, 6, 21, emotions=SHOWN)
    copied = {"PublicTest": 5, "PrivateTest": 20, "Training": 40}
    for usage, row in copied.items():
        own.pixels[row] = old.of(usage).pixels[3]
    own.pixels[60] = np.pad(old.of("PublicTest").pixels[7], 1, mode="edge")[2:, 1:-1]  # shifted
    prepared = own_faces.prepare_own_faces(start, own, old)
    kept = {face.tobytes() for face in prepared.own.pixels}
    assert not kept & {own.pixels[row].tobytes() for row in (*copied.values(), 60)}
    assert "4 of 72 own faces are copies" in prepared.notes[0] and len(kept) == 68




@pytest.mark.parametrize("change, message", [
    (lambda own: own[own.emotion == 3], "all faces are labelled happy"),
    (lambda own: own[own.group == "person 1"], "faces of 1 persons are too few"),
    (lambda own: own[np.isin(own.group, ["person 1", "person 2"])], "faces of 2 persons are too few"),
    (lambda own: replace(own, group=None), "add a column person"),
    (lambda own: replace(own, emotion=np.full(len(own), -1)), "no own faces are left to learn from: 720 faces have no"),
    (lambda own: replace(own, group=None, usage=np.where(np.arange(len(own)) < 150, "Training", "PublicTest")),
     "no labelled PrivateTest faces"),
    (lambda own: replace(own, fer2013=True), "these are FER2013's faces")])
def test_faces_that_cannot_teach_or_be_tested_on_are_refused(start, own, change, message):
    with pytest.raises(DataError, match=message):
        own_faces.prepare_own_faces(start, change(own))


def test_what_is_not_known_is_noted(start, own, old):
    alone = own_faces.prepare_own_faces(start, own)
    assert alone.replayed == 0 and any("none is replayed" in note for note in alone.notes)
    assert any("no own face shows angry, disgust, fear, sad" in note and "forgotten" in note for note in alone.notes)
    some = own_faces.prepare_own_faces(start, own, old[:380])
    assert any("was trained on other data than" in note for note in some.notes)
    parts = own_faces.prepare_own_faces(start, replace(divide_groups(own), group=None), old)
    assert any("nothing says who is on each face" in note for note in parts.notes)
    mixed = replace(divide_groups(own), group=own.group.copy())
    mixed.group[np.flatnonzero(mixed.usage == "Training")[0]] = mixed.of("PrivateTest").group[0]
    assert any("1 persons are in two of the parts" in note
               for note in own_faces.prepare_own_faces(start, mixed, old).notes)
    unknown = replace(own, emotion=np.where(np.arange(len(own)) < 6, -1, own.emotion))
    assert own_faces.prepare_own_faces(start, unknown).notes[0].startswith("6 faces have no label")


def test_normalisation_is_frozen_only_where_training_goes_on():
    with pytest.raises(ValueError, match="freeze_norm keeps the batch normalisations of start"):
        TrainConfig(model="cnn3", freeze_norm=True)
    with pytest.raises(ValueError, match="freeze_norm must be true or false, got 1"):
        TrainConfig(model="cnn3", freeze_norm=1, start="fer_net")


def test_an_interrupted_training_on_goes_on_to_the_same_result(start, old, tmp_path, interrupt_after):
    faces = own_faces.prepare_own_faces(start, draw_people(12, 6, 4, "negative", SHOWN), old, replay=0.5)
    whole = own_faces.train_on(faces, tmp_path / "whole", None, epochs=2)
    with interrupt_after(1):
        own_faces.train_on(faces, tmp_path / "interrupted", None, epochs=2)
    same_result(whole, own_faces.train_on(faces, tmp_path / "interrupted", None, epochs=2))


def test_the_command_trains_on_and_says_before_and_after(start, own, tmp_path, capsys, monkeypatch):
    rows = ["emotion,pixels,Usage,person"]
    rows += [f'{e},{" ".join(map(str, p.ravel()))},Training,{g}'
             for p, e, g in zip(own.pixels[:60], own.emotion, own.group)]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "fer2013.csv").write_text("\n".join(rows))
    monkeypatch.setattr("fer_utils.paths.DATA", tmp_path / "none")
    call = ["train", "--start", start, "--data", str(tmp_path / "own"), "--epochs", "1", "--quiet",
            "--out", str(tmp_path / "run")]
    assert main(call) == 0
    said = capsys.readouterr().out
    assert "own faces, held out:" in said and "old faces" not in said and "of 2 persons" in said
    assert "cannot be told: 2 held-out persons are too few (at least 5)" in said and "none is replayed" in said
    assert main([*call, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)["before_after"]
    assert result["own"]["conclusion"] == "cannot be told" and result["own"]["faces"] == 12 and result["base"] is None
    assert main(["train", "--data", str(tmp_path / "own")]) == 1 and main(["train", "--start", start]) == 1
    said = capsys.readouterr().err
    assert "say what to train: --model" in said and "say where they are by --data" in said
