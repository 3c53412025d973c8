import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from fer_utils import metrics
from fer_utils.labels import EMOTIONS


@pytest.fixture(scope="module")
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


def test_the_memory_gap_is_the_accuracy_on_copies_less_that_on_clean_faces():
    rng = np.random.default_rng(1)
    true, clean = rng.integers(0, 7, 900), rng.random(900) < 0.7
    right = rng.random(900) < np.where(clean, 0.6, 0.8)
    answers = np.where(right, true, (true + 1) % 7)
    gap, low, high = metrics.memory_gap(metrics.scores(true, np.eye(7)[answers], clean))
    assert gap == pytest.approx(right[~clean].mean() - right[clean].mean())
    draws = [right[~clean][rng.integers(0, (~clean).sum(), (~clean).sum())].mean()
             - right[clean][rng.integers(0, clean.sum(), clean.sum())].mean() for _ in range(3000)]
    np.testing.assert_allclose([low, high], np.percentile(draws, [2.5, 97.5]), atol=0.01)
    for known in (None, np.zeros(900, bool), np.ones(900, bool)):  # not known, no clean face, only clean faces
        assert np.isnan(metrics.memory_gap(metrics.scores(true, np.eye(7)[answers], known))).all()


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


def test_weights_in_the_temperature_are_as_good_as_repeated_faces():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(7, 0.3), 300).astype(np.float32)
    true = np.where(rng.random(300) < 0.5, probabilities.argmax(1), rng.integers(0, 7, 300))
    times = rng.integers(1, 5, 300)
    repeated = metrics.fit_temperature(true.repeat(times), probabilities.repeat(times, axis=0))
    assert metrics.fit_temperature(true, probabilities, times) == pytest.approx(repeated, rel=1e-3)
    assert metrics.fit_temperature(true, probabilities) != pytest.approx(repeated, rel=1e-2)
    mix = metrics.weights_for_mix([0, 0, 0, 6], [10, 0, 0, 0, 0, 0, 30])
    assert mix.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 3]), "a quarter is angry, three quarters neutral"


def test_confused_pairs_by_hand():
    matrix = np.diag([10] * 7)
    matrix[2, 4], matrix[0, 6] = 30, 10
    table = metrics.confused_pairs(matrix, top=2)
    assert table.values.tolist() == [["fear", "sad", 30, 0.75], ["angry", "neutral", 10, 0.5]]
