"""How much accuracy changes of the picture and a detector's boxes cost."""
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from fer_utils.data.copies import clean_mask
from fer_utils.data.drawn import draw_faces
from fer_utils.errors import DataError
from fer_utils.evaluation import robustness
from fer_utils.vision.detect import Detection
from fer_utils.vision.predict import Predictor


@pytest.fixture(scope="module")
def predictor():
    return Predictor(Path(__file__).resolve().parents[2] / "models" / "fer_net", "haar")


def test_every_condition_keeps_a_faces_shape_and_changes_it():
    face = draw_faces(7).pixels[3]
    for condition in robustness.CONDITIONS:
        changed = condition.change(face, 1)
        assert changed.shape == (48, 48) and changed.dtype == np.uint8
        assert np.array_equal(changed, face) == (condition.kind == "none")


def test_known_changes():
    face = np.full((48, 48), 64, np.uint8)
    changed = {(c.kind, c.level): c.change(face, 0) for c in robustness.CONDITIONS}
    assert changed["gamma", "0.5"][0, 0] == round(255 * (64 / 255) ** 0.5)
    assert changed["contrast", "0.5×"][0, 0] == round((64 - 127.5) * 0.5 + 127.5)
    assert (changed["hidden", "50% of a side"] == 96).mean() == 0.5


def test_a_scene_holds_the_face_where_it_says():
    face = draw_faces(7).pixels[3]
    image, (x, y, w, h) = robustness.scene(face, 5)
    back = cv2.resize(image[y:y + h, x:x + w, 0], (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(back.astype(int) - face).mean() < 12
    assert np.array_equal(image, robustness.scene(face, 5)[0])


def test_faces_found_where_they_are_lose_little(predictor):
    drawn = draw_faces(60, seed=1)
    part = drawn.of("Training")
    squares = [robustness.scene(part.pixels[i], i)[1] for i in range(12)]

    class Detector:
        """Finds every second face, and once another place."""

        name, margin = "fake", 1.0

        def __init__(self):
            self.asked = 0

        def detect(self, image):
            self.asked += 1
            square = squares[self.asked - 1]
            if self.asked % 2:
                return []
            elsewhere = Detection((square[0] - 3 * square[2], 0, 20, 20))
            return [Detection(square), elsewhere] if self.asked == 2 else [Detection(square)]

    row = robustness.detection_table(predictor, drawn, [Detector()], "Training", sample=12).iloc[0]
    assert (row["faces"], row["found"], row["false"], row["side"]) == (12, 0.5, 1, 1)
    assert row["missed_as_wrong"] == row["detected"] / 2
    guess = predictor.probabilities(part.pixels[:12]).argmax(1)
    assert row["direct"] == pytest.approx((guess == part.emotion[:12])[1::2].mean())


def test_unlabelled_faces_are_not_scored(predictor):
    drawn = draw_faces(60, seed=1)
    drawn.emotion[drawn.usage == "PrivateTest"] = -1
    for table in (robustness.robustness_table, robustness.detection_table):
        with pytest.raises(DataError, match="PrivateTest faces have no labels"):
            table(predictor, drawn)


def test_the_table_is_scored_as_scikit_learn_does(predictor):
    drawn = draw_faces(60, seed=1)
    usage = drawn.usage[0]
    table = robustness.robustness_table(predictor, drawn, usage)
    part = drawn.of(usage)
    guess = predictor.probabilities(part.pixels).argmax(1)
    assert table["accuracy"][0] == pytest.approx(accuracy_score(part.emotion, guess))
    assert table["lost"][0] == 0 and len(table) == len(robustness.CONDITIONS)


def test_copies_of_training_faces_can_be_left_out(predictor):
    drawn = draw_faces(200, seed=1)
    training, test = (np.flatnonzero(drawn.usage == usage) for usage in ("Training", "PublicTest"))
    copies, others = test[:len(test) // 2], test[len(test) // 2:]
    drawn.pixels[copies] = drawn.pixels[training[:len(copies)]]
    # Drawn faces look alike; these do not.
    drawn.pixels[others] = np.random.default_rng(0).integers(0, 256, (len(others), 48, 48))
    assert clean_mask(drawn, "PublicTest").tolist() == [False] * len(copies) + [True] * len(others)
    table = robustness.robustness_table(predictor, drawn, "PublicTest", clean=True)
    right = predictor.probabilities(drawn.pixels[others]).argmax(1) == drawn.emotion[others]
    assert table["accuracy"][0] == pytest.approx(right.mean())
    with pytest.raises(DataError, match="have no copy in Training cannot be told"):
        robustness.robustness_table(predictor, drawn[drawn.usage == "PublicTest"], "PublicTest", clean=True)
    drawn.pixels[others] = drawn.pixels[training[:len(others)]]
    with pytest.raises(DataError, match="each of the PublicTest faces has a copy"):
        robustness.robustness_table(predictor, drawn, "PublicTest", clean=True)
