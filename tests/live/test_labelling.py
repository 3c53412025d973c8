"""Labelling: what is asked, what is written, and what comes of it, whatever stops it."""
import csv
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from fer_utils.data.load import load
from fer_utils.errors import DataError
from fer_utils.labels import EMOTIONS
from fer_utils.live.label_folder import LabelFace, LabelFolder
from fer_utils.live.labelling import LabelSession, LabelSettings, label_summary, summary_text

NAMES = [f"face{i}" for i in range(6)]
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 48, 48), np.uint8)
SURE = (0.9, 0.3, 0.7, 0.5, 0.6, 0.8)  # from the least: face1, 3, 4, 2, 5, 0
PROBABILITIES = np.array([[(1 - sure) / 6] * 3 + [sure] + [(1 - sure) / 6] * 3 for sure in SURE], np.float32)


def session(out, probabilities=PROBABILITIES, **settings):
    return LabelSession.of_faces(PIXELS, NAMES, probabilities, out, **settings)


def asked(of):
    """Skip all faces; return them in the order in which they came."""
    names = []
    while of.current:
        names.append(of.current.face.removesuffix(".png"))
        of.decide("skip")
    return names


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_decision_is_a_row_on_disk_before_the_next_face_comes(tmp_path):
    labelling = session(tmp_path, annotator="Ada")
    assert labelling.progress == (0, 6) and not (tmp_path / "labels.csv").exists()
    labelling.decide("sad")
    [row] = rows(tmp_path / "labels.csv")
    assert list(row) == ["time", "face", "annotator", "label", "guess"]
    assert list(row.values())[1:] == ["face0.png", "Ada", "sad", "happy"]
    labelling.decide("not a face")
    assert [row["label"] for row in rows(tmp_path / "labels.csv")] == ["sad", "not a face"]
    assert labelling.progress == (2, 6) and labelling.current.face == "face2.png"


def test_the_order_is_the_given_one_the_least_sure_first_or_random_by_a_seed(tmp_path):
    assert asked(session(tmp_path / "given")) == NAMES
    assert asked(session(tmp_path / "unsure", order="unsure")) == ["face1", "face3", "face4", "face2", "face5", "face0"]
    orders = [asked(session(tmp_path / f"{i}", order="random", seed=seed)) for i, seed in enumerate((1, 1, 2))]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == NAMES != orders[0]


def test_what_is_decided_is_not_asked_again_and_another_annotator_is_asked_all(tmp_path):
    first = session(tmp_path, annotator="Ada")
    first.decide("sad")
    first.decide("skip")
    assert session(tmp_path, annotator="Ada").current.face == "face2.png"
    assert [session(tmp_path, annotator=name).progress for name in ("Ada", "Ben")] == [(2, 6), (0, 6)]
    assert not (tmp_path / "fer2013.csv").exists()


def test_undo_takes_back_the_last_decisions_one_by_one_those_of_an_earlier_session_too(tmp_path):
    first = session(tmp_path)
    assert first.undo() is False and not (tmp_path / "labels.csv").exists()
    for label in ("sad", "fear"):
        first.decide(label)
    again = session(tmp_path)
    again.decide("happy")
    faces = []
    while again.undo():
        faces.append(again.current.face)
    assert faces == ["face2.png", "face1.png", "face0.png"] and again.progress == (0, 6)
    assert [row["label"] for row in rows(tmp_path / "labels.csv")] == ["sad", "fear", "happy"] + ["undo"] * 3
    again.decide("angry")
    assert LabelFolder(tmp_path).labels() == {"me": {"face0.png": "angry"}}


@pytest.mark.parametrize("torn", [7, 10, 25])
def test_a_torn_last_line_is_no_decision_and_the_next_one_is_whole(tmp_path, torn):
    first = session(tmp_path)
    first.decide("sad")
    first.decide("fear")
    journal = tmp_path / "labels.csv"
    journal.write_bytes(journal.read_bytes()[:-torn])  # as if the program was killed while it wrote
    again = session(tmp_path)
    assert again.progress == (1, 6) and again.current.face == "face1.png"
    again.decide("happy")
    assert [(row["face"], row["label"]) for row in rows(journal)] == [("face0.png", "sad"), ("face1.png", "happy")]


@pytest.mark.parametrize("cut", [1, 3])
def test_a_last_line_that_an_editor_left_without_an_end_is_a_decision(tmp_path, cut):
    first = session(tmp_path)
    first.decide("sad")
    first.decide("fear")
    journal = tmp_path / "labels.csv"
    journal.write_bytes(journal.read_bytes()[:-cut])
    again = session(tmp_path)
    again.decide("happy")
    assert [(row["face"], row["label"]) for row in rows(journal)] == [
        ("face0.png", "sad"), ("face1.png", "fear"), ("face2.png", "happy")]


def test_a_kill_loses_no_decision(tmp_path):
    session(tmp_path).decide("sad")
    code = ("import os, signal, sys\nfrom fer_utils.live.label_folder import LabelFolder\n"
            "from fer_utils.live.labelling import LabelSession\n"
            "from fer_utils.live.labelling import LabelSettings\n"
            "labelling = LabelSession(LabelFolder(sys.argv[1]), LabelSettings(order='given'))\n"
            "labelling.decide('fear')\nos.kill(os.getpid(), getattr(signal, 'SIGKILL', signal.SIGTERM))")
    subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert session(tmp_path).folder.labels() == {"me": {"face0.png": "sad", "face1.png": "fear"}}


def test_a_full_disk_is_said_and_the_journal_stays_whole(tmp_path, limited_files):
    labelling = session(tmp_path)
    labelling.decide("sad")
    before = (tmp_path / "labels.csv").read_bytes()
    limited_files(len(before) + 20)
    with pytest.raises(DataError, match=r"labels\.csv: could not be written .* make room"):
        labelling.decide("fear")
    assert (tmp_path / "labels.csv").read_bytes() == before and labelling.current.face == "face1.png"


def test_the_data_set_holds_the_majority_and_leaves_out_ties_skips_and_what_is_no_face(tmp_path):
    said = {"ada": ["sad", "sad", "skip", "skip", "not a face"], "ben": ["sad", "fear", "skip", "skip", "not a face"],
            "eve": ["fear", "skip", "skip", "fear", "sad"]}
    for annotator, labels in said.items():
        labelling = session(tmp_path, annotator=annotator)
        for label in labels:
            labelling.decide(label)
    summary = labelling.finish()
    assert {name: n for name, n in summary["labels"].items() if n} == {"fear": 1, "sad": 1}
    assert [summary[key] for key in ("faces", "ties", "skipped", "not_a_face", "undecided")] == [6, 1, 1, 1, 1]
    assert summary["annotators"] == dict.fromkeys(said, 5)
    assert [row["faces"] for row in summary["agreement"]] == [3, 2, 2, 2]  # what both, or all, did not skip
    with pytest.warns(UserWarning, match="left out"):
        faces = load(tmp_path, cache=False)
    assert faces.layout == "fer2013.csv" and set(faces.usage) == {"Training"}
    assert faces.emotion.tolist() == [EMOTIONS.index("sad"), EMOTIONS.index("fear")]
    assert np.array_equal(faces.pixels, PIXELS[[0, 3]])
    table = rows(tmp_path / "fer2013.csv")
    assert list(table[0]) == ["emotion", "pixels", "Usage", "person", "source"]
    assert [row["person"] for row in table] == ["face0", "face3"]
    text = summary_text(summary)
    assert "2 of 6 faces have a label: fear 1, sad 1" in text and "ada, ben and eve say the same" in text
    assert "ada and ben say the same of 67% of 3 faces; Cohen's kappa: 0.50" in text  # (2/3 - 1/3) / (1 - 1/3)


def test_a_name_that_a_user_wrote_is_kept_and_a_deleted_picture_takes_its_face_out(tmp_path):
    labelling = session(tmp_path)
    for _ in range(2):
        labelling.decide("sad")
    index = tmp_path / "index.csv"
    index.write_text(index.read_text().replace("face1,face1,", "face1,=Ada,"), encoding="utf-8-sig")
    (tmp_path / "faces" / "face0.png").unlink()
    folder = LabelFolder(tmp_path)
    assert label_summary(folder)["faces"] == 5 and folder.faces["face1.png"].person == "=Ada"
    [row] = rows(tmp_path / "fer2013.csv")
    assert row["person"] == "'=Ada"  # a spreadsheet would run what begins with =
    folder.note("face1.png", "me", "undo")
    label_summary(folder)
    assert not (tmp_path / "fer2013.csv").exists()


def test_a_picture_that_is_deleted_while_somebody_labels_is_not_asked(tmp_path):
    labelling = session(tmp_path)
    for name in ("face0", "face1"):
        (tmp_path / "faces" / f"{name}.png").unlink()
    assert labelling.current.face == "face2.png" and labelling.progress == (0, 4)
    labelling.decide("sad")
    (tmp_path / "faces" / "face2.png").unlink()
    assert labelling.undo() and labelling.current.face == "face3.png"


def test_a_name_that_is_written_while_somebody_labels_counts(tmp_path):
    labelling = session(tmp_path)
    labelling.decide("sad")
    index = tmp_path / "index.csv"
    index.write_text(index.read_text().replace("face0,face0,", "face0,Ada,").replace(",", ";"))  # a spreadsheet's
    labelling.finish()
    assert [row["person"] for row in rows(tmp_path / "fer2013.csv")] == ["Ada"]


def test_what_two_programs_change_in_the_index_is_kept_of_both(tmp_path):
    session(tmp_path)
    one, other = LabelFolder(tmp_path), LabelFolder(tmp_path)
    one.faces["face0.png"] = replace(one.faces["face0.png"], person="Ada")
    del one.faces["face2.png"]
    one.save_index()
    other.faces["face1.png"] = replace(other.faces["face1.png"], person="Ben")
    other.save_index()
    persons = [face.person for face in LabelFolder(tmp_path).faces.values()]
    assert persons == ["Ada", "Ben", "face3", "face4", "face5"]


def test_without_a_name_the_photo_is_the_person_and_who_has_none_yet_is_said(tmp_path):
    folder = LabelFolder(tmp_path)
    folder.add([LabelFace(f"{i}.png", "a.jpg", "Ada" if i else " ", (0, 0, 9, 9)) for i in range(3)], PIXELS[:3])
    folder.save_index()
    for i in range(3):
        folder.note(f"{i}.png", "me", "sad")
    summary = label_summary(LabelFolder(tmp_path))
    assert [row["person"] for row in rows(tmp_path / "fer2013.csv")] == ["a.jpg", "Ada", "Ada"]
    assert summary["unnamed"] == 1 and "1 labelled faces have no name" in summary_text(summary)


def test_the_guess_is_told_after_before_or_never(tmp_path):
    remarks = {}
    for guess in ("after", "before", "never"):
        labelling = session(tmp_path / guess, guess=guess)
        before = labelling.remark
        labelling.decide("sad")
        remarks[guess] = before, labelling.remark
    assert remarks == {"after": ("", "The face before: you say sad, the network says happy (90%)."),
                       "before": ("The network says happy (90%).", "The network says happy (30%)."),
                       "never": ("", "The face before: you say sad.")}
    assert [row["guess"] for row in rows(tmp_path / "never" / "labels.csv")] == ["happy"]
    without = session(tmp_path / "none", None)
    without.decide("skip")
    assert without.remark == "The face before: you skipped it."
    assert [row["guess"] for row in rows(tmp_path / "none" / "labels.csv")] == [""]


@pytest.mark.parametrize("name", ["", " Ada", "Ada\n", "=Ada", "x" * 41, None])
def test_a_name_that_breaks_the_table_is_refused(name):
    with pytest.raises(ValueError, match="annotator's name"):
        LabelSettings(annotator=name)


@pytest.mark.parametrize("change, says", [
    ({"order": "best"}, "order must be one of unsure"), ({"guess": "always"}, "guess must be one of after"),
    ({"names": ["../x", *NAMES[1:]]}, r"names must differ.*'\.\./x'"),
    ({"names": ["Face1", *NAMES[1:]]}, "names must differ"),
    ({"pixels": PIXELS[:3]}, "pixels must be"), ({"pixels": PIXELS / 255}, "float64"),
    ({"probabilities": PROBABILITIES[:, :6]}, r"probabilities must be \(6, 7\)"),
    ({"probabilities": None, "order": "unsure"}, "needs the network's probabilities")])
def test_what_does_not_fit_is_refused(tmp_path, change, says):
    given = {"pixels": PIXELS, "names": NAMES, "probabilities": PROBABILITIES, "out": tmp_path} | change
    with pytest.raises(ValueError, match=says):
        LabelSession.of_faces(**given)


def test_a_label_that_is_none_and_a_face_too_many_are_refused(tmp_path):
    labelling = session(tmp_path)
    with pytest.raises(ValueError, match="'Sad' is none of angry"):
        labelling.decide("Sad")
    asked(labelling)
    with pytest.raises(ValueError, match="no face is left"):
        labelling.decide("sad")


def break_journal(folder, text):
    (folder / "labels.csv").write_text(text, encoding="utf-8")


HEAD = "time,face,annotator,label,guess\n"
BROKEN = {
    "another label": (lambda f: break_journal(f, HEAD + "t,face0.png,me,hapy,\n"), r"labels\.csv, line 2: label 'ha"),
    "a short row": (lambda f: break_journal(f, HEAD + "t,face0.png\nt,face1.png,me,sad,\n"), "line 2: it is too short"),
    "a quote": (lambda f: break_journal(f, HEAD + 't,face0.png,me,sad,"\nt,face1.png,me,sad,\n'), "a quote too many"),
    "two quotes": (lambda f: break_journal(f, HEAD + 't,face0.png,me,sad,"\nt,face1.png,me,sad,"\n'), "several lines"),
    "semicolons": (lambda f: break_journal(f, HEAD.replace(",", ";")), "there is no column time"),
    "no folder": (lambda f: (f / "index.csv").write_text("face,source,person\n../x.png,a,b\n"), "is no file's name"),
    "a box of letters": (lambda f: (f / "index.csv").write_text("face,source,person,box\nx.png,a,b,1 2 c 4\n"),
                         r"index\.csv, line 2"),
    "a journal that cannot be read": (lambda f: [(f / "labels.csv").unlink(), (f / "labels.csv").mkdir()],
                                      r"labels\.csv: cannot be read"),
    "another data set": (lambda f: (f / "index.csv").rename(f / "fer2013.csv"), "not made by labelling"),
    "a large picture": (lambda f: cv2.imwrite(str(f / "faces" / "face0.png"), PIXELS.reshape(288, 48)),
                        r"face0\.png: is no picture of 48×48"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_folder_is_named_with_the_place(tmp_path, how):
    session(tmp_path).decide("sad")
    breaking, says = BROKEN[how]
    breaking(tmp_path)
    with pytest.raises(DataError, match=says):
        label_summary(LabelFolder(tmp_path))


def test_a_file_and_an_empty_folder_hold_no_labels(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file; name a folder"):
        LabelFolder(tmp_path / "file")
    with pytest.raises(DataError, match="holds no labelled faces"):
        label_summary(LabelFolder(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_other_faces_of_the_same_names_are_not_mixed_in(tmp_path):
    session(tmp_path)
    with pytest.raises(DataError, match="another face called face0"):
        LabelSession.of_faces(255 - PIXELS, NAMES, None, tmp_path)


def test_several_may_write_into_one_journal(tmp_path):
    folders = [LabelFolder(tmp_path) for _ in range(2)]
    folders[0].add([LabelFace("a.png", "a", "a")], PIXELS[:1])
    for i in range(20):
        folders[i % 2].note(f"{i}.png", f"annotator {i % 2}", "sad")
    assert {name: len(own) for name, own in folders[0].labels().items()} == {"annotator 0": 10, "annotator 1": 10}
