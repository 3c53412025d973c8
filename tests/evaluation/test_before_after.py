"""Before and after on the same faces, against scikit-learn, counting by hand and simulated people."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score

from fer_utils.evaluation.before_after import Answers, change_text, compare_answers, needed_pairs


def simulate(rng, persons, each, gain, alike=0.0):
    """Answers of which `before` is right with 0.5 and `after` with 0.5 + gain; `alike` of the people differ by it."""
    true = rng.integers(0, 7, persons * each)
    luck = np.repeat(rng.normal(0, alike, persons), each)
    before = np.where(rng.random(len(true)) < 0.5, true, (true + 1) % 7)
    after = np.where(rng.random(len(true)) < np.clip(0.5 + gain + luck, 0, 1), true, (true + 2) % 7)
    return Answers(true, before, after, np.repeat(np.arange(persons).astype(str), each))


def test_the_scores_are_scikit_learns():
    answers = simulate(np.random.default_rng(0), 20, 6, 0.2)
    result = compare_answers(answers)
    for name in ("before", "after"):
        predicted = getattr(answers, name)
        assert result[name]["accuracy"] == pytest.approx(accuracy_score(answers.true, predicted))
        assert result[name]["macro_f1"] == pytest.approx(f1_score(answers.true, predicted, average="macro"))
        for key in ("accuracy", "macro_f1"):
            low, high = result[name][f"{key}_interval"]
            assert low < result[name][key] < high and high - low < 0.35
    assert result["change"]["accuracy"] == pytest.approx(result["after"]["accuracy"] - result["before"]["accuracy"])
    assert (result["faces"], result["persons"]) == (120, 20)


@pytest.mark.parametrize("alike", [0.0, 0.3])
def test_the_interval_of_the_change_holds_it_also_where_people_differ(alike):
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(60):
        low, high = compare_answers(simulate(rng, 25, 8, 0.1, alike))["change"]["accuracy_interval"]
        inside.append(low <= 0.1 <= high)
    assert np.mean(inside) > 0.86  # 0.95 within the noise of 60; with faces as units 0.3 gives some 0.8


def test_few_persons_who_differ_rarely_give_a_false_conclusion():
    rng, said = np.random.default_rng(7), []
    for _ in range(100):
        said.append(compare_answers(simulate(rng, 6, 7, 0.0, 0.4))["conclusion"])
    assert said.count("cannot be told") >= 89  # 95 within the noise; the bootstrap alone gives some 80


def test_the_conclusion_needs_an_interval_without_0_and_enough_persons():
    rng = np.random.default_rng(2)
    assert compare_answers(simulate(rng, 30, 10, 0.4))["conclusion"] == "better"
    assert compare_answers(simulate(rng, 30, 10, -0.4))["conclusion"] == "worse"
    assert compare_answers(simulate(rng, 30, 2, 0.0))["conclusion"] == "cannot be told"
    few = compare_answers(simulate(rng, 4, 50, 0.4))
    assert few["conclusion"] == "cannot be told" and few["change"]["accuracy_interval"][0] > 0


def test_that_no_answer_changed_proves_no_equality():
    same = np.zeros(8, int)
    low, high = compare_answers(Answers(same, same, same))["change"]["accuracy_interval"]
    assert low < -0.02 and high > 0.02


def test_that_all_answers_were_right_proves_no_perfection():
    true = np.arange(20) % 3
    result = compare_answers(Answers(true, true, true, np.arange(20) // 2))
    for key in ("accuracy", "macro_f1"):
        low, high = result["before"][f"{key}_interval"]
        assert 0.6 < low < 0.97 and high == result["before"][key] == 1


@pytest.mark.parametrize("discordant", [0.15, 0.4])
def test_so_many_faces_show_ten_points_four_times_in_five(discordant):
    n, rng = needed_pairs(discordant), np.random.default_rng(3)
    found = 0
    for _ in range(1500):
        gained = rng.multinomial(n, [(discordant + 0.1) / 2, (discordant - 0.1) / 2, 1 - discordant])
        found += (gained[0] - gained[1])**2 > 1.96**2 * gained[:2].sum()  # McNemar's test
    assert found / 1500 == pytest.approx(0.8, abs=0.04)
    assert binomtest(gained[0], gained[:2].sum()).pvalue <= 1


def test_people_who_are_alike_make_more_faces_necessary():
    rng = np.random.default_rng(4)
    single, alike = (compare_answers(simulate(rng, 20, 20, 0.0, spread))["needed_faces"] for spread in (0.0, 0.5))
    assert alike > 1.5 * single
    assert compare_answers(simulate(rng, 20, 20, 0.0, 0.5))["needed_persons"] >= alike / 20 * 0.5


def test_the_text_says_how_many_are_needed():
    own = compare_answers(simulate(np.random.default_rng(5), 6, 3, 0.1))
    base = compare_answers(simulate(np.random.default_rng(6), 900, 1, -0.3))
    text = change_text({"own": own, "base": base, "faces": 90, "persons": 30, "replayed": 0, "notes": ["x"]})
    whole = f"{own['needed_faces']:,} held-out faces of {own['needed_persons']:,} persons"
    assert whole in text and f"so {own['needed_faces'] * 5:,} faces of {own['needed_persons'] * 5:,} persons" in text
    assert "It has forgotten some of the old faces." in text and "Note: x." in text
    assert f"{100 * own['change']['accuracy']:+.1f} points [" in text and max(map(len, text.splitlines()[:5])) <= 110
