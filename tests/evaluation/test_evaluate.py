import numpy as np
import pandas as pd
import pytest

from fer_utils.data.drawn import draw_faces
from fer_utils.data.faceset import FaceSet
from fer_utils.errors import DataError
from fer_utils.evaluation import evaluate


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
