"""Shares: the correction corrects, and the intervals are honest."""

import numpy as np
import pytest

from fer_utils import metrics
from fer_utils.event import shares
from fer_utils.networks import runs
from tests.cards import card, scored

from .pictures import MODEL, needs_model

pytestmark = needs_model


def public_confusion():
    return shares.known_confusion(runs.read_card(MODEL))[0]


def drawn_answers(n, seed=0):
    """Labels, and answers drawn with the network's own confusion of PublicTest."""
    rng = np.random.default_rng(seed)
    rates = public_confusion() / public_confusion().sum(axis=1, keepdims=True)
    true = np.repeat(np.arange(7), n)
    return true, np.concatenate([rng.choice(7, n, p=row) for row in rates])


def test_corrected_shares_are_closer_to_the_truth_and_inside_their_intervals():
    # Many answers, so that mixes drawn from them are as good as new.
    table = shares.check_correction(*drawn_answers(20_000), public_confusion(), mixes=10)
    assert table["closer"].sum() >= 8
    assert table["corrected_error"].mean() < 0.6 * table["raw_error"].mean()
    assert table["corrected_inside"].sum() >= 0.85 * 70
    assert table["raw_inside"].sum() < 0.6 * 70  # raw intervals do not include the classifier's errors


def test_copies_of_training_faces_do_not_count_as_known_faces():
    all_faces, strangers = np.full((7, 7), 5), np.full((7, 7), 2)
    part = scored(confusion=all_faces.tolist(), clean={"confusion": strangers.tolist()})
    example = card(scores={"PublicTest": part})
    matrix, usage = shares.known_confusion(example)
    assert matrix.tolist() == strangers.tolist() and usage == "PublicTest without copies of training faces"
    strangers[1] = 0  # no such face is disgust: nothing would be known of how disgust looks to the network
    part["clean"]["confusion"] = strangers.tolist()
    matrix, usage = shares.known_confusion(example)
    assert matrix.tolist() == all_faces.tolist() and usage == "PublicTest"
    part["clean"] = metrics.scores([0], np.eye(7)[:1], np.array([False]))["clean"]
    assert shares.known_confusion(example)[0].tolist() == all_faces.tolist(), "each face has a copy in Training"
    del part["clean"]
    assert shares.known_confusion(example)[0].tolist() == all_faces.tolist()


def test_corrected_shares_are_closer_on_fer2013():
    """On PrivateTest's clean faces; what the network answers for them is in its card, counted."""
    counts = np.array(runs.read_card(MODEL).scores["PrivateTest"]["clean"]["confusion"])
    true, predicted = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices((7, 7)))
    check = shares.check_correction(true, predicted, public_confusion())
    assert check["closer"].sum() >= 8
    # With the copies the matrix would promise that the network errs less on strangers than it does.
    flattering = np.array(runs.read_card(MODEL).scores["PublicTest"]["confusion"])
    flattered = shares.check_correction(true, predicted, flattering)
    assert check["corrected_error"].mean() < flattered["corrected_error"].mean()
    assert check["corrected_inside"].mean() > flattered["corrected_inside"].mean()


def test_a_perfect_classifier_needs_no_correction():
    counts = np.array([5, 1, 0, 40, 9, 3, 42])
    np.testing.assert_allclose(shares.correct_shares(counts / 100, 10_000 * np.eye(7)), counts / 100, atol=1e-3)


def test_independent_faces_are_their_own_effective_sample_size():
    counts = np.array([5, 1, 4, 40, 9, 3, 38])
    draws = np.random.default_rng(0).dirichlet(counts, 20_000)
    assert shares.effective_sample_size(draws) == pytest.approx(counts.sum(), rel=0.03)


def test_intervals_of_few_faces_are_wide_and_group_photos_widen_them():
    three = shares.estimate_shares(3 * np.eye(7, dtype=int)[[3]], 10_000 * np.eye(7)).loc["happy"]
    assert three.raw == 1 and three.raw_high == 1 and three.raw_low < 0.7 and three.corrected_low < 0.8
    people = np.eye(7, dtype=int)[[3] * 60 + [6] * 60]
    photos = 12 * np.eye(7, dtype=int)[[3] * 5 + [6] * 5]
    alone, grouped = (shares.estimate_shares(units, public_confusion()).loc["happy"] for units in (people, photos))
    for kind in ("raw", "corrected"):
        widths = [row[f"{kind}_high"] - row[f"{kind}_low"] for row in (alone, grouped)]
        assert widths[1] > 1.5 * widths[0]


def test_one_large_photo_does_not_make_its_faces_surer():
    faces = np.eye(7, dtype=int)[[3] * 30 + [6] * 30]
    alone = shares.estimate_shares(faces, public_confusion()).loc["happy"]
    for units in (faces.sum(axis=0)[None], np.array([faces.sum(axis=0) // 5] * 5)):
        photos = shares.estimate_shares(units, public_confusion()).loc["happy"]
        for end in ("raw_low", "raw_high", "corrected_low", "corrected_high"):
            assert photos[end] == pytest.approx(alone[end], abs=0.03)


def test_shares_need_faces():
    with pytest.raises(ValueError, match="no faces"):
        shares.estimate_shares(np.empty((0, 7), int), public_confusion())
