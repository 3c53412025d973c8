"""Accuracy and expressions by group: what is said of them is true, and too few faces are never concluded from."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from fer_utils import plots
from fer_utils.cli import main
from fer_utils.errors import DataError
from fer_utils.evaluation import groups
from fer_utils.labels import EMOTIONS

TINY = Path(__file__).parents[2] / "models" / "fer_net_tiny"


def faces_of(n, right, seed=0, a_photo=1):
    """Faces of groups a, b, … with these chances of a right answer."""
    rng, parts = np.random.default_rng(seed), []
    for name, chance in zip("abcdef", right):
        true = rng.integers(0, 7, n)
        hit = np.repeat(rng.random(n // a_photo) < chance, a_photo)
        parts.append(pd.DataFrame({"photo": [f"{name}{i // a_photo}" for i in range(n)], "group": name, "true": true,
                                   "predicted": np.where(hit, true, (true + 1) % 7)}))
    return pd.concat(parts, ignore_index=True)


def written(path, **columns):
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_needed_faces_are_those_of_a_calculation_by_hand():
    # (1.95996 + 0.84162)² = 7.8489; times 0.6·0.4 + 0.5·0.5 = 0.49; divided by 0.1² → 384.6
    assert groups.needed_faces(0.6) == 385 == groups.needed_faces(0.4)
    # two comparisons: (2.24140 + 0.84162)² = 9.5050; · 0.49 / 0.01 → 465.7
    assert groups.needed_faces(0.6, comparisons=2) == 466


def test_so_many_faces_see_a_difference_of_ten_points_four_times_in_five():
    n, rng = groups.needed_faces(0.6), np.random.default_rng(1)
    a, b = rng.binomial(n, 0.6, 20000) / n, rng.binomial(n, 0.5, 20000) / n
    z = (a - b) / np.sqrt((a * (1 - a) + b * (1 - b)) / n)
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(0.8, abs=0.015)


def test_holm_is_that_of_a_calculation_by_hand():
    # sorted .01·4, .02·3, .03·2, .04·1, each at least the one before
    assert groups.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert groups.holm([0.7, 0.9]) == pytest.approx([1, 1])


def test_scores_are_those_of_scikit_learn_and_a_planted_difference_is_found():
    faces = faces_of(1500, (0.8, 0.6))
    result = groups.audit_groups(faces)
    for row in result["groups"]:
        part = faces[faces.group == row["group"]]
        assert row["accuracy"] == pytest.approx(accuracy_score(part.true, part.predicted))
        assert row["macro_f1"] == pytest.approx(f1_score(part.true, part.predicted, average="macro"))
        n, p = len(part), row["accuracy"]
        half = 1.96 * np.sqrt(p * (1 - p) / n)  # the textbook's interval
        assert row["accuracy_interval"] == pytest.approx([p - half, p + half], abs=0.004)
        assert row["shares"]["happy"]["share"] == pytest.approx((part.predicted == 3).mean())
    largest = result["accuracy"]["largest"]
    assert (largest["higher"], largest["lower"]) == ("a", "b") and result["accuracy"]["conclusion"] == "differs"
    assert largest["interval"][0] < 0.2 < largest["interval"][1]


def test_faces_of_one_photo_count_as_few():
    one, ten = (groups.audit_groups(faces_of(1000, (0.7, 0.7), 3, k))["groups"][0] for k in (1, 10))
    width = [np.ptp(row["accuracy_interval"]) for row in (one, ten)]
    assert width[1] / width[0] == pytest.approx(np.sqrt(10), rel=0.3)  # a photo is all right or all wrong
    assert ten["effective_labelled"] < 200 < one["effective_labelled"]


def test_too_few_faces_cannot_be_told_however_large_the_difference():
    faces = pd.concat([faces_of(30, (1.0, 0.0)), faces_of(1, (0, 0, 1)).tail(1)])
    result = groups.audit_groups(faces)
    assert result["accuracy"]["conclusion"] == "cannot be told" and result["accuracy"]["largest"] is None
    text = groups.audit_text(result)
    assert text.count("cannot be told") == 6 and "differ." not in text
    assert max(map(len, text.splitlines())) <= 100


def test_equal_groups_are_rarely_said_to_differ():
    said = [groups.audit_groups(faces_of(700, (0.7,) * 3, seed))["accuracy"]["conclusion"] for seed in range(6)]
    assert set(said) <= {"differs", "no difference was seen"}  # there are enough faces to conclude
    assert said.count("differs") <= 1  # each has a chance of 5 %; two or more of six of 3 %


@pytest.mark.parametrize("columns, said", [
    ({"photo": ["a"], "team": ["x"]}, "no column 'group'"),
    ({"photo\tgroup": ["a\tx"]}, "separate the columns by commas"),
    ({"photo": [], "group": []}, "no rows"),
    ({"photo": ["a", "b"], "group": ["x", " "]}, "row 3 has nothing in column 'group'"),
    ({"photo": ["a", "b"], "group": ["x", "y"], "emotion": ["happy", "bored"]}, "row 3.*'bored' is no emotion"),
    ({"photo": ["a", "b"], "group": ["x", "x"]}, "1 group;"),
    ({"photo": [str(i) for i in range(21)], "group": range(21)}, "21 groups"),
    ({"photo": ["a", "a"], "group": ["x", "y"]}, "row 3 is a second one of a"),
])
def test_a_bad_table_is_a_plain_sentence(tmp_path, columns, said):
    with pytest.raises(DataError, match=said):
        groups.read_group_table(written(tmp_path / "t.csv", **columns))


def test_a_spreadsheets_semicolons_and_numbers_as_names(tmp_path):
    (tmp_path / "t.csv").write_bytes("\ufeffphoto;group\r\na, b.jpg;10\r\nc.jpg;9\r\n".encode())
    rows = groups.read_group_table(tmp_path / "t.csv").rows
    assert rows.photo.tolist() == ["a, b.jpg", "c.jpg"] and rows.group.tolist() == ["10", "9"]
    faces = faces_of(3, (1, 1, 1)).replace({"group": {"a": "10", "b": "9 to 10", "c": "x"}})
    assert [row["group"] for row in groups.audit_groups(faces)["groups"]] == ["9 to 10", "10", "x"]


def test_a_row_with_too_many_cells_is_a_plain_sentence(tmp_path):
    (tmp_path / "t.csv").write_text("photo,group\na,b,c,d\n")
    with pytest.raises(DataError, match="more cells than the 2 columns"):
        groups.read_group_table(tmp_path / "t.csv")


def test_photos_that_are_not_there_are_named(tmp_path, capsys):
    table = written(tmp_path / "t.csv", photo=["a.jpg", "b.jpg"], group=["x", "y"])
    assert main(["audit-groups", str(table)]) == 1
    assert "2 of 2 photos of the table are not in" in capsys.readouterr().err


def test_photos_that_cannot_be_read_are_named_and_the_others_count(tmp_path, capsys):
    for name, level in (("a.png", 90), ("b.png", 160)):
        cv2.imwrite(str(tmp_path / name), np.full((48, 48), level, np.uint8))
    (tmp_path / "c.png").write_text("no picture")
    table = written(tmp_path / "t.csv", photo=["a.png", "c.png", "b.png"], group=["x", "x", "y"])
    assert main(["audit-groups", str(table), "--crops", "--model", str(TINY), "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert [group["faces"] for group in result["groups"]] == [1, 1]
    [error] = result["not_read"]
    assert "c.png" in error


def test_faces_of_an_event_get_their_photos_groups(tmp_path, capsys):
    table = written(tmp_path / "t.csv", photo=["1.jpg", "2.jpg", "3.jpg"], group=["=cmd()", "b", "b"],
                    emotion=["happy", "sad", "Happiness"])
    answers = np.eye(7)[[3, 3, 4, 4, 0]]
    faces = written(tmp_path / "faces.csv", source=["/p/1.jpg", "/p/2.jpg", "/p/2.jpg", "/p/3.jpg", "/p/v.mp4"],
                    kind=["photo"] * 4 + ["video"], **dict(zip(EMOTIONS, answers.T)))
    out, figure = tmp_path / "o.csv", tmp_path / "f.png"
    assert main(["audit-groups", str(table), "--faces", str(faces), "--json", "--out", str(out), "--figure",
                 str(figure)]) == 0
    first, second = json.loads(capsys.readouterr().out)["groups"]
    assert (first["faces"], first["accuracy"]) == (1, 1.0)
    assert (second["faces"], second["photos"], second["labelled"], second["accuracy"]) == (3, 2, 1, 0.0)
    assert "'=cmd()" in out.read_text() and figure.stat().st_size > 5000


def test_the_network_s_own_answer_is_no_true_emotion(tmp_path, capsys):
    columns = dict(zip(EMOTIONS, np.eye(7)[[3, 4]].T))
    path = written(tmp_path / "t.csv", photo=["a", "b"], group=["x", "y"], emotion=["happy", "sad"], **columns)
    assert (groups.read_group_table(path).rows.true == -1).all()
    assert list(groups.read_group_table(path, emotion="emotion").rows.true) == [3, 4]
    assert main(["audit-groups", str(path), "--faces", str(path)]) == 1
    assert "has the network's answers already" in capsys.readouterr().err


def test_the_figure_has_a_hollow_dot_for_too_few():
    table = pd.DataFrame({"group": ["a", "b"], "faces": [900, 9], "value": [0.7, 0.5], "low": [0.67, 0.2],
                          "high": [0.73, 0.8], "enough": [True, False]})
    dots = [line for line in plots.plot_groups(table).lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [0.7, 0.5]
    assert dots[0].get_markerfacecolor() != dots[1].get_markerfacecolor()


def test_few_photos_cannot_be_told_however_many_faces_are_on_them():
    for a_photo, known in ((1000, False), (60, False), (10, True)):  # 1, 17 and 100 photos a group; all faces differ
        faces = faces_of(1000, (0.9, 0.6))
        faces["photo"] = faces.group + (faces.index % 1000 // a_photo).astype(str)
        found = groups.audit_groups(faces)
        assert (found["accuracy"]["conclusion"] == "differs") is known
        assert ("a: cannot be told" in groups.audit_text(found)) is not known
    assert "on 1 photo\n" in groups.audit_text(groups.audit_groups(faces.assign(photo=faces.group)))


def test_a_small_group_that_differs_by_chance_hides_no_difference_of_large_ones():
    rng, draws = np.random.default_rng(0), []
    for share, n in ((0.7, 40000), (0.68, 40000), (0.67, 300)):
        draws.append(rng.binomial(n, share, (1000, 1)) / n)
    rows = [{"group": name, "effective": n, "photos": n} for name, n in zip("abc", (40000, 40000, 800))]
    found = groups._compare(rows, [[0.7], [0.68], [0.67]], draws, ["x"], 0.7, ("effective", "photos"))
    assert (found["conclusion"], found["differ"], found["comparisons"]) == ("differs", 1, 3)
    assert (found["largest"]["higher"], found["largest"]["lower"]) == ("a", "b")


def test_a_copy_of_a_photo_counts_once_and_a_group_without_a_face_is_named(tmp_path, capsys):
    for name, level in (("a.png", 90), ("copy.png", 90), ("b.png", 160)):
        cv2.imwrite(str(tmp_path / name), np.full((48, 48), level, np.uint8))
    (tmp_path / "c.png").write_text("no picture")
    table = written(tmp_path / "t.csv", photo=["a.png", "copy.png", "b.png", "c.png"], group=["x", "x", "y", "z"])
    assert main(["audit-groups", str(table), "--crops", "--model", str(TINY)]) == 1
    text = capsys.readouterr().out
    assert "1 photos are not counted: they are copies of others, as copy.png" in text
    assert "z: no face of this group was found" in text
    with pytest.raises(DataError, match=r"second one of \./a\.png"):
        groups.read_group_table(written(tmp_path / "t.csv", photo=["a.png", "./a.png"], group=["x", "y"]))
