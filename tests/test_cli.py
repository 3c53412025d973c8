import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fer_utils import paths
from fer_utils.cli import main
from fer_utils.data import ferplus
from fer_utils.data.drawn import draw_faces
from fer_utils.labels import EMOTIONS, FERPLUS_VOTES

MODELS = Path(__file__).parents[1] / "models"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    faces = draw_faces(300, seed=5)
    path = tmp_path_factory.mktemp("data") / "fer2013.npz"
    np.savez(path, pixels=faces.pixels, emotion=faces.emotion, usage=faces.usage)
    return path


def said(capsys, *arguments):
    """Run a command that must succeed; return the one JSON object that it printed."""
    assert main([str(a) for a in arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_data_counts_what_is_there(archive, capsys):
    faces = draw_faces(300, seed=5)
    result = said(capsys, "data", archive, "--json")
    assert list(result) == ["source", "layout", "total", "usage", "unlabelled", "exact_copies",
                            "test_faces_in_training"]
    assert result["total"] == 300 and result["unlabelled"] == 0 and result["layout"] == "arrays"
    for usage in ("Training", "PublicTest", "PrivateTest"):
        of = faces.emotion[faces.usage == usage]
        assert result["usage"][usage] == {name: int((of == i).sum()) for i, name in enumerate(EMOTIONS)}
    distinct = {face.tobytes() for face in faces.pixels}
    assert result["exact_copies"] == 300 - len(distinct)
    training = {face.tobytes() for face in faces.of("Training").pixels}
    assert result["test_faces_in_training"]["PrivateTest"] == sum(
        face.tobytes() in training for face in faces.of("PrivateTest").pixels)


def test_data_in_words(archive, capsys):
    assert main(["data", str(archive)]) == 0
    out = capsys.readouterr().out
    assert "300 faces" in out and "disgust" in out and "exact copies" in out


def test_data_says_whether_ferplus_fits_these_faces(archive, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ferplus, "download_ferplus", lambda: votes)
    votes, faces = tmp_path / "fer2013new.csv", draw_faces(300, seed=5)
    columns = [FERPLUS_VOTES.index(name) for name in ("anger", "disgust", "fear", "happiness", "sadness", "surprise",
                                                      "neutral")]
    rows = np.zeros((300, len(FERPLUS_VOTES)), int)
    rows[np.arange(300), np.array(columns)[np.where(np.arange(300) < 75, 3, faces.emotion)]] = 10
    table = pd.DataFrame(rows, columns=FERPLUS_VOTES).assign(Usage=faces.usage)
    table.to_csv(votes, index=False)
    share = 1 - np.mean((np.arange(300) < 75) & (faces.emotion != 3))
    assert main(["data", str(archive), "--ferplus"]) == 0
    said_to = capsys.readouterr()
    assert f"agree with {share:.1%} of the labels" in said_to.out and str(votes) in said_to.err
    table[:200].to_csv(votes, index=False)
    assert main(["data", str(archive), "--ferplus"]) == 0
    assert "FER+ does not fit these faces" in capsys.readouterr().out
    assert said(capsys, "data", archive, "--ferplus", "--json")["ferplus"] == str(votes)


def test_train_then_evaluate(archive, speck, tmp_path, capsys):
    run = tmp_path / "run"
    card = said(capsys, "train", "--model", speck, "--augment", "none", "--epochs", 1, "--batch-size", 32,
                "-p", "precision", "auto", "-p", "seed", 7, "--data", archive, "--out", run, "--json")
    assert card["run"] == str(run) and card["config"]["epochs"] == 1
    assert card["config"]["seed"] == 7 and card["config"]["protocol"] == "official"
    assert card["config"]["precision"] == "auto"
    result = said(capsys, "evaluate", run, "--data", archive, "--usage", "PublicTest", "--json")
    assert {"model", "usage", "n", "accuracy", "accuracy_interval", "macro_f1", "per_class", "confusion",
            "clean"} <= set(result)
    assert result["usage"] == "PublicTest" and result["accuracy"] == card["scores"]["PublicTest"]["accuracy"]
    assert np.array(result["confusion"]).sum() == result["n"] and set(result["clean"]) >= {"n", "accuracy", "macro_f1"}
    assert main(["evaluate", str(run), "--data", str(archive)]) == 0
    assert "macro-F1" in capsys.readouterr().out
    mean = said(capsys, "average", run, run, "--data", archive, "--out", tmp_path / "mean", "--json")
    assert mean["run"] == str(tmp_path / "mean") and mean["averaged"] == ["run", "run"]
    assert mean["scores"] == card["scores"]  # the mean of a network and itself
    assert main(["average", str(run), "--data", str(archive), "--out", str(tmp_path / "one")]) != 0
    assert "two trained runs or more" in capsys.readouterr().err


def test_robustness_gives_every_change_and_the_mean_of_the_mild_ones(archive, capsys):
    result = said(capsys, "robustness", MODELS / "fer_net_tiny", "--data", archive, "--json")
    accuracy = [change["accuracy"] for change in result["changes"]]
    mild = [change["accuracy"] for change in result["changes"] if change["mild"]]
    assert len(mild) == 12 and np.mean(mild) != pytest.approx(np.mean(accuracy), abs=1e-3)
    assert result["mild_accuracy"] == pytest.approx(np.mean(mild))
    assert main(["robustness", str(MODELS / "fer_net_tiny"), "--data", str(archive)]) == 0
    assert f"mild changes: {result['mild_accuracy']:.1%}" in capsys.readouterr().out
    clean = said(capsys, "robustness", MODELS / "fer_net_tiny", "--data", archive, "--clean", "--json")
    assert clean["clean"] and not result["clean"] and clean["changes"] != result["changes"]


def test_zoo_lists_every_network(capsys):
    result = said(capsys, "zoo", "--json")
    assert result["cnn4_wide"]["parameters"] == 4_478_727
    assert result["cnn_rgb100"]["input_shape"] == [100, 100, 3]
    assert all({"parameters", "mflops", "input_shape", "origin"} <= set(entry) for entry in result.values())


@pytest.mark.parametrize("arguments, says", [
    (["data", "no/such/file.csv"], "no/such/file.csv"),
    (["train", "--model", "resnet", "--data", "drawn:60"], "resnet"),
    (["train", "--model", "cnn3", "--augment", "huge", "--data", "drawn:60"], "huge"),
    (["train", "--model", "cnn3", "--protocol", "leaky", "--balance", "none", "--data", "drawn:60"], "over"),
    (["train", "--model", "cnn3", "--epochs", "2", "-p", "epochs", "3", "--data", "drawn:60"], "epochs given twice"),
    (["train", "--model", "cnn3", "-p", "model", "fer_net", "--data", "drawn:60"], "model given twice"),
    (["evaluate", "nothing", "--data", "drawn:60"], "nothing"),
    (["run", "--only", "77"], "77"),
    (["run", "--only", "x"], "numbered x;"),
    (["run", "--only", ","], "numbered ,;"),
    (["run", "-p", "epochz", "3"], "epochz"),
    (["bench", "nothing"], "nothing"),
    (["evaluate", "x", "--usage", "Test"], "PrivateTest"),
])
@pytest.mark.parametrize("as_json", [False, True])
def test_errors_go_to_stderr_with_status_1(arguments, says, as_json, capsys):
    try:
        status = main(arguments + ["--json"] * as_json)
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert status == 1 and out == "" and says in err and "Traceback" not in err


def test_the_systems_errors_name_the_place_and_say_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(paths, "MODELS", MODELS)
    assert main(["demo", "--frames", "1", "--out", f"{__file__}/x.webp"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"fer_utils demo: {__file__}: ") and "is this the right place" in said


@pytest.mark.parametrize("said_by_training, says", [
    ("Stopped after epoch 3.", "\nStopped after epoch 3.\n"),
    ("", "\nStopped. What was finished is kept: the same command goes on from there.\n")])
def test_ctrl_c_gives_one_sentence(said_by_training, says, monkeypatch, capsys):
    def interrupted(config, faces, out, progress, tensorboard):
        assert (out, progress, tensorboard) == (None, None, Path("logs"))
        raise KeyboardInterrupt(*[said_by_training] * bool(said_by_training))

    monkeypatch.setattr("fer_utils.networks.train.train", interrupted)
    assert main(["train", "--model", "cnn3", "--data", "drawn:60", "--quiet", "--tensorboard", "logs"]) == 130
    out, err = capsys.readouterr()
    assert out == "" and err == says


def test_ctrl_c_while_a_library_loads_gives_the_same_sentence(monkeypatch, capsys):
    def loading(*_, **__):
        raise ImportError("initialization failed") from KeyboardInterrupt()  # as pybind11 does

    monkeypatch.setattr("fer_utils.vision.predict.Predictor", loading)
    assert main(["predict", "a.jpg"]) == 130
    assert capsys.readouterr().err == "\nStopped. What was finished is kept.\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of Windows say it otherwise")
@pytest.mark.parametrize("arguments", [["data", "drawn:60"], ["data", "drawn:60", "--json"]])
def test_a_reader_who_has_seen_enough_is_no_error(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as gone:
        done = subprocess.run([sys.executable, "-m", "fer_utils", *arguments], stdout=gone, stderr=subprocess.PIPE,
                              text=True, cwd=MODELS.parent)
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no such file")
def test_a_full_disk_is_one_sentence():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "fer_utils", "data", "drawn:60"], stdout=full,
                              stderr=subprocess.PIPE, text=True, cwd=MODELS.parent)
    [line] = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith("fer_utils data: it is done, but what it says could not be written")
