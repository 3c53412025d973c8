import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from fer_utils import metrics
from fer_utils.data.drawn import draw_faces
from fer_utils.data.faceset import FaceSet
from fer_utils.errors import DataError
from fer_utils.evaluation import evaluate, tables
from fer_utils.labels import EMOTIONS
from fer_utils.networks import runs
from fer_utils.networks.spec import FaceSpec


@pytest.fixture
def judged():
    """Labels and probabilities of a classifier that is right more often than not."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 7, 500)
    probabilities = rng.dirichlet(np.ones(7), 500) + 0.6 * np.eye(7)[true]
    return true, probabilities / probabilities.sum(1, keepdims=True)


def test_scores_agree_with_scikit_learn(judged):
    true, probabilities = judged
    predicted = probabilities.argmax(1)
    result = metrics.scores(true, probabilities)
    assert result["n"] == 500
    assert result["accuracy"] == pytest.approx(accuracy_score(true, predicted), abs=5e-7)
    assert result["macro_f1"] == pytest.approx(f1_score(true, predicted, average="macro"), abs=5e-7)
    assert result["confusion"] == confusion_matrix(true, predicted).tolist()
    precision, recall, f1, support = precision_recall_fscore_support(true, predicted)
    for i, name in enumerate(EMOTIONS):
        part = result["per_class"][name]
        assert [part["precision"], part["recall"], part["f1"]] == pytest.approx([precision[i], recall[i], f1[i]],
                                                                                abs=5e-7)
        assert part["support"] == support[i]


def test_macro_f1_leaves_classes_that_do_not_occur_out_as_scikit_learn_does():
    true, predicted = np.array([0, 0, 3, 3]), np.array([0, 3, 3, 3])
    result = metrics.scores(true, np.eye(7)[predicted])
    assert result["macro_f1"] == pytest.approx(f1_score(true, predicted, average="macro"), abs=5e-5)


def test_accuracy_interval_is_the_binomials(judged):
    # Drawing faces with replacement makes the number of hits binomial; its standard error is known.
    true, probabilities = judged
    result = metrics.scores(true, probabilities, resamples=20_000)
    p = result["accuracy"]
    half = 1.96 * np.sqrt(p * (1 - p) / 500)
    assert result["accuracy_interval"] == pytest.approx([p - half, p + half], abs=0.004)
    low, high = result["macro_f1_interval"]
    assert low < result["macro_f1"] < high


def test_macro_f1_interval_is_that_of_resampled_faces(judged):
    true, probabilities = judged
    predicted, rng = probabilities.argmax(1), np.random.default_rng(1)
    drawn = [f1_score(true[rows], predicted[rows], average="macro") for rows in rng.integers(0, 500, (400, 500))]
    assert metrics.scores(true, probabilities)["macro_f1_interval"] == pytest.approx(
        np.percentile(drawn, [2.5, 97.5]), abs=0.012)


def test_clean_scores_are_those_of_the_clean_faces(judged):
    true, probabilities = judged
    clean = np.arange(500) % 3 > 0
    part = metrics.scores(true, probabilities, clean)["clean"]
    assert part["n"] == clean.sum()
    assert part["accuracy"] == pytest.approx(accuracy_score(true[clean], probabilities[clean].argmax(1)), abs=5e-7)
    nothing = metrics.scores(true, probabilities, np.zeros(500, bool))["clean"]
    assert nothing["n"] == 0 and nothing["accuracy"] is None
    assert np.array_equal(part["confusion"], metrics.confusion(true[clean], probabilities[clean].argmax(1)))
    alone = metrics.scores(true[clean], probabilities[clean])
    assert part["macro_f1_interval"] == alone["macro_f1_interval"] and part["macro_f1"] == alone["macro_f1"]
    without_disgust = metrics.scores(true, probabilities, true != 1)["clean"]
    assert without_disgust["macro_f1"] is None and without_disgust["macro_f1_interval"] is None
    assert without_disgust["n"] == (true != 1).sum()


def test_scores_are_written_with_their_intervals():
    assert metrics.with_interval(0.7216, [0.7067, 0.7363], percent=True) == "72.2% [70.7, 73.6]"
    assert metrics.with_interval(0.70751, (0.68701, 0.72649)) == "0.708 [0.687, 0.726]"
    assert metrics.with_interval(0.5, None) == metrics.with_interval(0.5, (float("nan"), None)) == "0.500"
    assert metrics.with_interval(None, None) == metrics.with_interval(float("nan"), (0, 1)) == "–"


def test_accuracies_on_two_mixes_of_classes_are_made_to_compare(judged):
    # By hand: 8 of 10 angry and 30 of 60 happy are right; on as many of both that is (0.8 + 0.5) / 2.
    matrix = np.zeros((7, 7), int)
    matrix[0, 0], matrix[0, 3], matrix[3, 3], matrix[3, 6] = 8, 2, 30, 30
    mix = np.array([5, 0, 0, 5, 0, 0, 0])
    assert metrics.accuracy_on_mix(matrix, mix) == pytest.approx(0.65)
    assert metrics.accuracy_on_mix(matrix, matrix.sum(1)) == pytest.approx(38 / 70)
    assert np.isnan(metrics.accuracy_on_mix(matrix, mix + 1)), "nothing is known of the other classes"
    true, probabilities = judged
    right = probabilities.argmax(1) == true
    clean = np.arange(500) % 3 > 0
    part = metrics.scores(true, probabilities, clean)
    weights = np.bincount(true, minlength=7) / 500
    recalls = [right[clean & (true == label)].mean() for label in range(7)]
    assert metrics.clean_same_mix(part) == pytest.approx(np.dot(weights, recalls))
    assert np.isnan(metrics.clean_same_mix(metrics.scores(true, probabilities)))


@pytest.mark.parametrize("true, says", [([], "no faces"), ([0, -1], "unlabelled"), ([0, 7], "0 to 6")])
def test_what_cannot_be_scored_is_refused(true, says):
    with pytest.raises(ValueError, match=says):
        metrics.scores(np.array(true, int), np.full((len(true), 7), 1 / 7))
    with pytest.raises(ValueError, match="need labels"):
        metrics.scores([0], np.ones((2, 7)))


def test_mcnemar_by_hand():
    a = np.array([1, 1, 1, 1, 1, 0, 1, 0], bool)
    b = np.array([1, 0, 0, 0, 0, 1, 1, 0], bool)
    # 4 against 1 of 5 discordant faces: P(X <= 1 or X >= 4) with X ~ Binomial(5, .5) = 12/32.
    assert metrics.mcnemar(a, b) == {"only_a": 4, "only_b": 1, "p": pytest.approx(12 / 32)}
    assert metrics.mcnemar(a, a)["p"] == 1
    with pytest.raises(ValueError, match="same faces"):
        metrics.mcnemar(a, b[:3])


def test_calibration_error_by_hand():
    # Two faces at confidence .8, one right: gap .3. Two at .6, both right: gap .4. Mean .35.
    probabilities = np.array([[0.8] + [0.2 / 6] * 6] * 2 + [[0.6] + [0.4 / 6] * 6] * 2)
    true = np.array([0, 1, 0, 0])
    assert metrics.expected_calibration_error(true, probabilities, bins=10) == pytest.approx(0.35)
    table = metrics.reliability(true, probabilities, bins=10)
    assert table["n"].tolist() == [2, 2] and table["accuracy"].tolist() == [1.0, 0.5]


def test_temperature_recovers_the_one_that_was_applied():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 7))
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    true = (honest.cumsum(1) > rng.random((20_000, 1))).argmax(1)
    overconfident = metrics.apply_temperature(honest, 0.5)
    assert metrics.fit_temperature(true, overconfident) == pytest.approx(2, rel=0.05)
    mended = metrics.apply_temperature(overconfident, 2)
    np.testing.assert_allclose(mended, honest, atol=1e-5)
    assert (mended.argmax(1) == overconfident.argmax(1)).all()


def test_confused_pairs_by_hand():
    matrix = np.diag([10] * 7)
    matrix[2, 4], matrix[0, 6] = 30, 10
    table = metrics.confused_pairs(matrix, top=2)
    assert table.values.tolist() == [["fear", "sad", 30, 0.75], ["angry", "neutral", 10, 0.5]]


def test_batches_do_not_change_predictions():
    import keras

    model = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten(),
                              keras.layers.Dense(7, activation="softmax")])
    pixels = np.random.default_rng(0).integers(0, 256, (10, 48, 48), np.uint8)
    whole = runs.predict_probabilities(model, pixels, FaceSpec())
    np.testing.assert_allclose(whole, model.predict(pixels[..., None] / 255, verbose=0), atol=1e-5)
    np.testing.assert_allclose(runs.predict_probabilities(model, pixels, FaceSpec(), batch_size=4), whole,
                               atol=1e-6)
    assert runs.predict_probabilities(model, pixels[:0], FaceSpec()).shape == (0, 7)


def test_a_missing_network_is_named_with_a_remedy(tmp_path):
    with pytest.raises(DataError, match="train one with"):
        runs.load_model("nothing")
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(DataError, match="has not finished"):
        runs.run_folder(tmp_path)


def test_a_damaged_network_is_named(tmp_path):
    (tmp_path / "card.json").write_text("{}")
    (tmp_path / "model.keras").write_bytes(b"not a zip")
    with pytest.raises(DataError, match="model.keras"):
        runs.load_model(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(DataError, match="card.json"):
        runs.read_card(tmp_path)


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


def test_results_table_ranks_honest_runs_and_puts_exhibits_last():
    def card(name, protocol, accuracy, **config):
        part = {"accuracy": accuracy, "accuracy_interval": [0, 1], "macro_f1": 0.5, "macro_f1_interval": [0, 1],
                "n": 3}
        config = {"model": "cnn3", "protocol": protocol, "balance": "none", "augment": "none", "seed": 0} | config
        return {"name": name, "model": "cnn3", "config": config,
                "scores": {"leaky test" if protocol == "leaky" else "PrivateTest": part}, "parameters": 1,
                "mflops": 1.0, "epochs_run": 1, "seconds": 60, "data": {"title": "FER2013"}}

    table = tables.results_table([card("a", "official", 0.5), card("b", "leaky", 0.9), card("c", "official", 0.6)])
    assert table["name"].tolist() == ["c", "a", "b"]
    assert json.loads(table.to_json(orient="records"))[0]["minutes"] == 1.0
    assert len(tables.results_table([])) == 0
    cards = [card("a", "official", 0.5, balance="class_weights", augment="strong"),
             card("b", "official", 0.4, balance="over"), card("c", "official", 0.3, seed=2), card("d", "official", 0.2),
             card("e", "official", 0.1, teachers=["a"])]
    assert tables.results_table(cards)["label"].tolist() == [
        "cnn3, strong, class weights", "cnn3, over-sampled", "cnn3, seed 2", "cnn3", "cnn3, distilled"]


def test_the_spread_of_seeds_is_of_runs_that_differ_in_nothing_else():
    def card(accuracy, macro_f1, fingerprint="f", **config):
        part = {"accuracy": accuracy, "accuracy_interval": [accuracy - 0.02, accuracy + 0.01], "macro_f1": macro_f1}
        config = {"model": "cnn3", "protocol": "official", "balance": "none", "augment": "none", "seed": 0} | config
        return {"config": config, "scores": {"PrivateTest": part}, "data": {"fingerprint": fingerprint}}

    cards = [card(0.60, 0.5), card(0.64, 0.6, seed=1, teachers=[], teacher_views=0), card(0.62, 0.4, seed=2),
             card(0.9, 0.9, seed=3, augment="strong"), card(0.1, 0.1, seed=4, fingerprint="other"),
             card(0.8, 0.8, seed=5, teachers=["a"]), card(0.99, 0.99, seed=6, protocol="leaky")]
    table = tables.seed_table(cards)
    assert len(table) == 1
    row = table.iloc[0]
    assert (row.label, row.seeds) == ("cnn3", 3)
    assert row[["mean", "sd", "lowest", "highest", "half_width", "macro_f1", "macro_f1_sd"]].tolist() == pytest.approx(
        [0.62, 0.02, 0.60, 0.64, 0.015, 0.5, 0.1])
    assert tables.seed_table([card(0.6, 0.5), card(0.7, 0.5)]).empty  # one seed twice says nothing of seeds
    assert tables.seed_table(cards, "PublicTest").empty


def test_the_best_network_is_chosen_on_publictest_among_honest_ones():
    def card(name, protocol, public, private):
        return {"name": name, "config": {"protocol": protocol},
                "scores": {"PublicTest": {"accuracy": public}, "PrivateTest": {"accuracy": private}}}

    cards = [card("a", "official", 0.6, 0.9), card("b", "official", 0.7, 0.5), card("c", "leaky", 0.9, 0.9)]
    assert runs.best_card(cards)["name"] == "b"
    with pytest.raises(DataError, match="leaky"):
        runs.best_card(cards[2:])
    with pytest.raises(DataError, match="no network"):
        runs.trained_cards(fingerprint="of no data")
