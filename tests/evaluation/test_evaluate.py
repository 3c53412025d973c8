from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fer_utils.commands.outcome import score_line
from fer_utils.data import ferplus
from fer_utils.data.drawn import draw_faces
from fer_utils.data.faceset import FaceSet
from fer_utils.errors import DataError
from fer_utils.evaluation import evaluate
from fer_utils.metrics import scores
from tests.cards import card


def test_submission_has_a_row_a_face_in_order(tmp_path):
    faces = draw_faces(30)
    probabilities = np.eye(7)[np.arange(30) % 7]
    path = evaluate.write_submission(tmp_path / "new" / "submission.csv", faces, probabilities)
    table = pd.read_csv(path)
    assert table["row"].tolist() == list(range(1, 31))
    assert table["emotion"].tolist() == [i % 7 for i in range(30)]
    assert table["name"][3] == "happy"
    with pytest.raises(ValueError, match="one row"):
        evaluate.write_submission(path, faces, probabilities[:3])


def test_scoring_unlabelled_faces_says_why_not():
    faces = draw_faces(30)
    hidden = FaceSet(faces.pixels, np.full(30, -1, np.int8), np.full(30, "Test"), "test.csv", "challenge")
    with pytest.raises(DataError, match="PrivateTest"):
        evaluate.evaluate_run("any", hidden)


def test_ferplus_is_a_second_judge_of_faces_that_have_votes(monkeypatch):
    faces = draw_faces(700)
    part = faces.of("PublicTest")
    shared = np.zeros(len(part), bool)
    shared[:10] = True  # copies of training faces
    monkeypatch.setattr(evaluate, "clean_mask", lambda faces, usage: ~shared)
    answers = part.emotion.astype(int)
    answers[:5] = (answers[:5] + 1) % 7  # five answers that nobody gave
    monkeypatch.setattr(evaluate, "ensemble_probabilities", lambda names, pixels, views: np.eye(7)[answers])
    monkeypatch.setattr(evaluate, "read_card", card)
    votes = ferplus.with_votes(faces).votes.copy()
    first = np.flatnonzero(faces.usage == "PublicTest")
    votes[first[10:13]] = 0  # nobody saw an emotion there
    result = evaluate.evaluate_run("fer_net", replace(faces, votes=votes), "PublicTest")
    assert result["ferplus"] == {"accuracy": pytest.approx((len(part) - 8) / (len(part) - 3)), "clean_accuracy": 1}
    assert "ferplus" not in evaluate.evaluate_run("fer_net", faces, "PublicTest")


def test_a_class_without_clean_faces_leaves_the_same_mix_out():
    labels, answers = np.array([0, 1, 2]), np.eye(7)[[0, 1, 1]]
    known = scores(labels, answers, np.array([True, True, True]))
    unknown = scores(labels, answers, np.array([True, True, False]))
    assert "66.7% (66.7% on the same mix of classes)" in score_line("PublicTest", known)
    assert "accuracy 100.0%, macro-F1" in score_line("PublicTest", unknown)
