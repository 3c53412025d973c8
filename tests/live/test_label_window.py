"""The window and the command for labelling."""
import json
from types import SimpleNamespace

import numpy as np
import pytest

from fer_utils.cli import main
from fer_utils.labels import EMOTIONS
from fer_utils.live import label_window
from fer_utils.live import window as window_module
from fer_utils.live.label_folder import LabelFolder
from fer_utils.live.labelling import LabelSession
from fer_utils.vision.emoji import RGB
from tests.live.test_label_sources import HOPPER, TINY
from tests.live.test_labelling import NAMES, PIXELS, session


@pytest.fixture
def pressed(monkeypatch):
    """Return a function that puts a window in the place of OpenCV's, whose user presses these keys."""
    def press(*keys):
        left, shown = list(keys), []
        window = SimpleNamespace(show=shown.append, key=lambda _: left.pop(0), close=lambda: None)
        monkeypatch.setattr(label_window, "SEEN_S", 0.0)
        monkeypatch.setattr(label_window, "KeyWindow", lambda title: window)
        monkeypatch.setattr(label_window, "window_problem", lambda hint: None)
        monkeypatch.setattr(window_module, "window_problem", lambda hint: None)
        return left, shown

    return press


def test_keys_1_to_7_are_the_emotions_and_the_others_what_is_written_beside_them(tmp_path, pressed):
    left, shown = pressed("1", "", "2", "3", "back", "x", "other", "7", " ", "8", "u", "n", "9", "esc")
    summary = label_window.label_faces(session(tmp_path))
    labels = LabelFolder(tmp_path).labels()["me"]
    assert left == [] and list(labels.values()) == ["angry", "disgust", "neutral", "skip", "not a face", "not a face"]
    assert summary["undecided"] == 0 and len(shown) == 11, "once, and again after each key that did something"


def test_more_keys_than_faces_do_nothing(tmp_path, pressed):
    left, _ = pressed(*"1234567", "4", "q")
    assert sum(label_window.label_faces(session(tmp_path))["labels"].values()) == 6 and left == []


def test_a_key_that_is_held_labels_one_face(tmp_path, pressed, monkeypatch):
    pressed(*["4"] * 20, "esc")
    monkeypatch.setattr(label_window, "SEEN_S", 60)
    clock = iter([0.0, 100.0, 100.0, *[101.0] * 30])
    monkeypatch.setattr(label_window.time, "monotonic", lambda: next(clock))
    assert label_window.label_faces(session(tmp_path))["labels"]["happy"] == 1


def test_ctrl_c_keeps_what_was_labelled(tmp_path, pressed, monkeypatch):
    pressed()

    def interrupted(*_):
        raise KeyboardInterrupt

    labelling = session(tmp_path)
    labelling.decide("sad")
    monkeypatch.setattr(label_window, "_ask", interrupted)
    assert label_window.label_faces(labelling)["labels"]["sad"] == 1 and (tmp_path / "fer2013.csv").exists()


def test_the_picture_shows_the_face_and_a_key_for_each_emotion(tmp_path):
    labelling = LabelSession.of_faces(np.full((1, 48, 48), 200, np.uint8), ["white"], None, tmp_path)
    picture = label_window.label_picture(labelling)
    assert (picture == 200).all(axis=2).sum() >= 400 * 400
    for name in EMOTIONS:
        assert (picture == RGB[name]).all(axis=2).sum() > 300, name
    labelling.decide("skip")
    assert (label_window.label_picture(labelling) == 200).all(axis=2).sum() < 1000


NETWORK = ["--model", str(TINY), "--detector", "haar"]


def test_the_command_labels_counts_and_goes_on(tmp_path, pressed, capsys):
    out = str(tmp_path / "labels")
    pressed("4", "esc")
    assert main(["label", str(HOPPER), "--out", out, "--annotator", "Ada", "--json", *NETWORK]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["annotators"] == {"Ada": 1} and first["labels"]["happy"] == 1
    pressed("5", "esc")
    assert main(["label", "--out", out, "--annotator", "Ben", "--order", "random", "--guess", "never", *NETWORK]) == 0
    said = capsys.readouterr().out
    assert "0 of 1 faces have a label\n" in said and "1 with as many votes for another label" in said
    assert "Ada and Ben say the same of 0% of 1 faces; Cohen's kappa: 0.00" in said
    assert main(["label", "--out", out, "--summary", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["annotators"] == {"Ada": 1, "Ben": 1}


def test_where_nothing_is_left_the_command_counts_without_a_window(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(label_window, "window_problem", lambda hint: "no display")
    labelling = session(tmp_path)
    for _ in NAMES:
        labelling.decide("sad")
    assert main(["label", "--out", str(tmp_path), *NETWORK]) == 0
    assert "6 of 6 faces have a label: sad 6" in capsys.readouterr().out
    labelling.undo()
    assert main(["label", "--out", str(tmp_path), *NETWORK]) == 1
    assert capsys.readouterr().err == "fer_utils label: no display\n"


@pytest.mark.parametrize("arguments, says", [
    (["nowhere.jpg", "--out", "labels"], "nowhere.jpg: there is no such file"),
    (["--out", "labels"], "labels: there are no faces to label; name photos or videos"),
    (["--out", "labels", "--summary"], "labels: holds no labelled faces"),
    (["photo.jpg", "--out", "labels", "--summary"], "leave SOURCE out"),
    (["--out", "labels", "--annotator", "=x"], "an annotator's name must be"),
    (["--out", __file__], "is a file; name a folder"),
])
def test_what_is_wrong_is_one_sentence(tmp_path, monkeypatch, capsys, pressed, arguments, says):
    monkeypatch.chdir(tmp_path)
    pressed()
    assert main(["label", *arguments, *NETWORK]) == 1
    out, err = capsys.readouterr()
    assert out == "" and says in err and len(err.splitlines()) == 1 and list(tmp_path.glob("labels/*.csv")) == []


def test_without_a_display_the_command_says_what_to_do_before_it_searches(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(window_module.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    assert main(["label", str(HOPPER), "--out", str(tmp_path / "labels")]) == 1
    err = capsys.readouterr().err
    assert "DISPLAY is not set" in err and "live.LabelWidget" in err and not (tmp_path / "labels").exists()


def test_the_pixels_that_are_labelled_are_those_that_are_shown(tmp_path):
    labelling = session(tmp_path)
    picture = label_window.label_picture(labelling)
    enlarged = picture[label_window._TOP:label_window._TOP + label_window._FACE, label_window._PAD:][
        :, :label_window._FACE, 0]
    centres = enlarged[4::9, 4::9].astype(int)
    assert np.abs(centres - PIXELS[0]).max() <= 1
