"""Suspicious labels, against cleanlab and labels that were made wrong on purpose."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fer_utils.cli import main
from fer_utils.data.copies import face_ids
from fer_utils.data.drawn import draw_faces
from fer_utils.data.ferplus import with_votes
from fer_utils.data.left_out import image_marks, kept_faces
from fer_utils.errors import DataError
from fer_utils.evaluation import suspicious
from fer_utils.evaluation.evaluate import evaluate_run
from fer_utils.evaluation.suspicious import OutOfFold, confident_learning
from fer_utils.networks import runs
from fer_utils.networks.recipes import TrainConfig
from tests.networks.quick import QUICK


def noisy(n=600, seed=0):
    """True labels, labels of which one in six is wrong, and probabilities that know the truth to some degree."""
    rng = np.random.default_rng(seed)
    true = rng.choice(7, n, p=[0.2, 0.05, 0.15, 0.3, 0.1, 0.1, 0.1])
    labels = np.where(rng.random(n) < 1 / 6, (true + rng.integers(1, 7, n)) % 7, true)
    logits = rng.normal(0, 1, (n, 7)) + 2.5 * np.eye(7)[true]
    probabilities = np.exp(logits)
    return true, labels, (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_confident_learning_is_cleanlabs(seed):
    find_label_issues = pytest.importorskip("cleanlab.filter").find_label_issues
    _, labels, probabilities = noisy(seed=seed)
    theirs = find_label_issues(labels, probabilities, filter_by="confident_learning")
    # Of several confident classes cleanlab takes the most probable class of all, also where that is not confident.
    threshold = np.array([probabilities[labels == k, k].mean() for k in range(7)])
    confident = probabilities >= threshold - 1e-6
    top = probabilities.argmax(axis=1)
    differ = (confident.sum(axis=1) > 1) & ~confident[np.arange(len(top)), top]
    ours = confident_learning(labels, probabilities)
    assert np.array_equal((ours != labels)[~differ], theirs[~differ])
    assert theirs.sum() > 50 and differ.mean() < 0.05


def test_wrong_labels_are_found_and_the_right_ones_proposed():
    true, labels, probabilities = noisy()
    proposed = confident_learning(labels, probabilities)
    suspected, wrong = proposed != labels, true != labels
    assert wrong[suspected].mean() > 0.7 and suspected[wrong].mean() > 0.6, "precision and recall"
    assert (proposed == true)[suspected & wrong].mean() > 0.9


def test_a_class_without_labels_is_never_proposed():
    _, labels, probabilities = noisy()
    labels = np.where(labels == 1, 2, labels)
    assert 1 not in confident_learning(labels, probabilities)


def test_the_table_and_the_counts_are_those_counted_by_hand():
    drawn = draw_faces(120, seed=5)
    faces = with_votes(drawn)
    rows = np.flatnonzero(drawn.usage == "Training")
    probabilities = np.full((len(rows), 7), 0.02, np.float32)
    probabilities[np.arange(len(rows)), drawn.emotion[rows]] = 0.88
    emotion = drawn.emotion.copy()
    changed = rows[[3, 50]]
    emotion[changed] = (emotion[changed] + 1) % 7
    faces = replace(faces, emotion=emotion)
    found = OutOfFold(rows, probabilities, ())
    table = suspicious.suspicious_table(faces, found)
    assert set(table["face"]) == set(changed) and table["image"].tolist() == image_marks(faces.pixels[table["face"]])
    assert np.allclose(table["score"], 0.02) and (table["proposed"] == table["ferplus"]).all()
    assert (table["proposed"] != table["label"]).all() and (table["votes_for_label"] == 0).all()
    counts = suspicious.suspicion_counts(faces, found)
    assert [counts[key] for key in ("networks", "ferplus", "both", "both_propose_the_same")] == [2, 2, 2, 2]
    assert counts["accuracy"] == pytest.approx(1 - 2 / len(rows))
    assert counts["usable"] and "NOT USABLE" not in suspicious.suspicion_text(counts)
    assert sum(row["networks"] for row in counts["by_label"].values()) == 2
    alone = suspicious.suspicion_counts(replace(faces, votes=None), found)
    assert alone["ferplus"] is None and "not here to compare" in suspicious.suspicion_text(alone)


@pytest.fixture(scope="module")
def judged(speck, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fer_utils.paths.RUNS", tmp_path_factory.mktemp("runs"))
        faces = draw_faces(300, seed=2)
        config = TrainConfig(**QUICK | {"epochs": 1})
        yield faces, config, suspicious.out_of_fold(config, faces, 2, None)


def test_no_network_answers_for_a_face_that_it_has_learnt_from(judged):
    faces, config, found = judged
    assert np.array_equal(found.rows, np.flatnonzero(faces.usage == "Training"))
    answers = []
    for run in found.runs:
        model, card = runs.load_model(run)
        answers.append(runs.predict_probabilities(model, faces.pixels[found.rows], card.spec))
    by_fold = [np.isclose(found.probabilities, answer, atol=1e-5).all(axis=1) for answer in answers]
    assert (by_fold[0] ^ by_fold[1]).mean() > 0.99
    ids = face_ids(faces.pixels[found.rows])
    assert not set(ids[by_fold[0] & ~by_fold[1]]) & set(ids[by_fold[1] & ~by_fold[0]]), "copies are in one fold"
    learnt = [runs.read_card(run).values["data"]["train"] for run in found.runs]
    assert learnt == [int((~fold).sum()) for fold in by_fold]
    assert "PrivateTest" not in runs.read_card(found.runs[0]).scores


def test_finished_folds_are_taken_as_they_are(judged, monkeypatch):
    faces, config, found = judged
    monkeypatch.setattr("fer_utils.networks.train.split", None)  # would fail if anything were trained
    again = suspicious.out_of_fold(config, faces, 2, None)
    assert again.runs == found.runs and np.array_equal(again.probabilities, found.probabilities)


@pytest.mark.parametrize("faces, folds", [(draw_faces(40), 1), (draw_faces(40), 30)])
def test_folds_that_cannot_be_made_are_refused(faces, folds):
    with pytest.raises(DataError, match=f"cannot make {folds} folds; give 2 to [0-9]+ folds, or more faces"):
        suspicious.out_of_fold(TrainConfig(), faces, folds, None)


def test_faces_of_a_table_are_left_out_and_no_others(tmp_path):
    faces, file = draw_faces(100, seed=1), tmp_path / "table.csv"
    gone = np.flatnonzero(faces.usage == "Training")[[0, 7]]

    def write(rows, marks):
        pd.DataFrame({"face": rows, "image": marks, "label": "fear"}).to_csv(file, index=False)

    write(gone, image_marks(faces.pixels[gone]))
    assert np.flatnonzero(~kept_faces(faces, file)).tolist() == gone.tolist()
    file.write_text(file.read_text().replace(",", ";"))  # as a spreadsheet may save it
    assert np.flatnonzero(~kept_faces(faces, file)).tolist() == gone.tolist()
    for wrong in ("", "1.5"):
        write([gone[0], wrong], image_marks(faces.pixels[gone]))
        with pytest.raises(DataError, match=f"row 3: face '{wrong}' is no index"):
            kept_faces(faces, file)
    write(gone, image_marks(faces.pixels[gone]))
    with pytest.raises(DataError, match=f"row 2: face {gone[0]} is another one in"):
        kept_faces(faces[::-1], file)
    tested = np.flatnonzero(faces.usage == "PublicTest")[:1]
    write(tested, image_marks(faces.pixels[tested]))
    with pytest.raises(DataError, match="is not a Training face"):
        kept_faces(faces, file)
    assert all(mark[0] == "x" for mark in image_marks(faces.pixels)), "else a spreadsheet takes some for numbers"
    write([10**6], ["x"])
    with pytest.raises(DataError, match="face 1000000 is another one"):
        kept_faces(faces, file)
    file.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="cannot be used as a table of faces .* needs the columns face and image"):
        kept_faces(faces, file)
    with pytest.raises(DataError, match="no such file|missing|not there"):
        kept_faces(faces, tmp_path / "none.csv")


def test_the_commands_find_labels_and_train_without_them(speck, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("fer_utils.paths.RUNS", tmp_path / "runs")
    table = tmp_path / "table.csv"
    assert main(["suspicious-labels", "--data", "drawn:60", "--out", str(tmp_path)]) == 1
    assert "is a folder; name a file" in capsys.readouterr().err, "before hours of training"
    call = ["suspicious-labels", "--data", "drawn:260", "--sample", "200", "--model", speck, "--folds", "2", "--epochs",
            "1", "--out", str(table), "--quiet"]
    assert main([*call, "--json"]) == 1, "one epoch teaches nothing, so nothing can be suspected"
    counts = json.loads(capsys.readouterr().out)
    assert counts["ferplus"] == 0 and len(counts["runs"]) == 2 and not counts["usable"]
    assert suspicious.suspicion_text(counts).startswith("NOT USABLE")
    assert set(pd.read_csv(table)["face"]) <= set(np.flatnonzero(draw_faces(260).usage == "Training"))
    faces = draw_faces(260)
    rows = np.flatnonzero(faces.usage == "Training")[:9]
    pd.DataFrame({"face": rows, "image": image_marks(faces.pixels[rows])}).to_csv(table, index=False)
    call = ["train", "--model", speck, "--data", "drawn:260", "--epochs", "1", "--quiet"]
    assert main([*call, "--leave-out", str(table), "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["data"]["faces"] == 251 and trained["data"]["train"] == (faces.usage == "Training").sum() - 9
    same = [evaluate_run(trained["run"], data)["same_data"] for data in (faces, draw_faces(250))]
    assert same == [True, False], "the faces that were left out make no other data set of it"
