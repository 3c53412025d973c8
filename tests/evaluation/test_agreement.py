"""Agreement of annotators, against published tables, scikit-learn and counts by hand."""
import numpy as np
import pytest

from fer_utils.evaluation.agreement import annotator_agreement, cohen_kappa, fleiss_kappa, majority

# Fleiss (1971), table 1: the diagnoses of six psychiatrists for each of thirty patients (depression, personality
# disorder, schizophrenia, neurosis, other).
FLEISS_1971 = np.array([[int(digit) for digit in row] for row in (
    "00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031 00501 30012 51000 "
    "02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006").split()])


def test_fleiss_kappa_is_that_of_fleiss_own_table():
    assert FLEISS_1971.sum(axis=0).tolist() == [26, 26, 30, 55, 43]  # 0.144, 0.144, 0.167, 0.306, 0.239 of 180 there
    assert fleiss_kappa(FLEISS_1971) == pytest.approx(0.430, abs=5e-4)


def test_fleiss_kappa_of_two_annotators_is_scotts_pi_by_hand():
    # Four faces: both happy, both happy, both sad, one each. Agreement 3/4; shares 5/8 and 3/8, so chance is 34/64.
    assert fleiss_kappa([[2, 0], [2, 0], [0, 2], [1, 1]]) == pytest.approx((3 / 4 - 34 / 64) / (1 - 34 / 64))


@pytest.mark.parametrize("counts, says", [([], "a face at least"), ([1, 2], "a face at least"),
                                          ([[2, 0], [1, 0]], "same number"), ([[1, 0]], "two or more")])
def test_a_table_that_is_none_is_said(counts, says):
    with pytest.raises(ValueError, match=says):
        fleiss_kappa(counts)


def test_cohen_kappa_is_that_of_a_calculation_by_hand_on_the_faces_of_both():
    # Cohen's own form: of 50 faces 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: agreement .7, chance .5, so .4.
    pairs = ["yy"] * 20 + ["yn"] * 5 + ["ny"] * 10 + ["nn"] * 15
    a = {str(i): pair[0] for i, pair in enumerate(pairs)} | {"only a": "y"}
    b = {"only b": "n"} | {str(i): pair[1] for i, pair in enumerate(pairs)}
    kappa, faces = cohen_kappa(a, b)
    assert kappa == pytest.approx(0.4) and faces == 50


def test_where_chance_agrees_fully_kappa_is_not_told():
    assert cohen_kappa({"1": "happy"}, {"1": "happy", "2": "sad"}) == (None, 1)
    assert cohen_kappa({"1": "happy"}, {"2": "sad"}) == (None, 0)
    assert fleiss_kappa([[3, 0], [3, 0]]) is None


def test_the_majority_needs_more_votes_than_any_other():
    assert majority(["sad", "happy", "sad"]) == "sad" and majority(["sad"]) == "sad"
    assert majority(["sad", "happy", "fear", "fear", "sad"]) is None
    assert majority([]) is None


def test_each_two_annotators_and_all_of_them_are_compared_on_what_they_share():
    labels = {"ben": {"1": "sad", "2": "happy", "3": "sad"}, "ada": {"1": "sad", "2": "sad", "3": "sad", "4": "fear"},
              "eve": {"1": "sad", "2": "happy"}}
    rows = annotator_agreement(labels)
    assert [(row["annotators"], row["measure"], row["faces"]) for row in rows] == [
        (["ada", "ben"], "Cohen", 3), (["ada", "eve"], "Cohen", 2), (["ben", "eve"], "Cohen", 2),
        (["ada", "ben", "eve"], "Fleiss", 2)]
    assert [row["same"] for row in rows] == pytest.approx([2 / 3, 1 / 2, 1, 1 / 2])
    assert rows[2]["kappa"] == 1
    # Two faces of three: sad three times; happy twice, sad once. Agreement (1 + 1/3) / 2, chance (4/6)² + (2/6)².
    assert rows[3]["kappa"] == pytest.approx((2 / 3 - 5 / 9) / (1 - 5 / 9))
    assert annotator_agreement({"ada": {"1": "sad"}}) == []
    assert annotator_agreement({"ada": {"1": "sad"}, "ben": {}})[0] == {
        "annotators": ["ada", "ben"], "measure": "Cohen", "faces": 0, "same": None, "kappa": None}
