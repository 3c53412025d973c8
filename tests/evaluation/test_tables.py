import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from fer_utils import paths
from fer_utils.data.drawn import draw_faces
from fer_utils.data.ferplus import ferplus_labels
from fer_utils.errors import DataError
from fer_utils.evaluation import evaluate, tables
from fer_utils.networks import recipes, runs, spec, train


@pytest.fixture(scope="module")
def faces():
    return draw_faces(300, seed=4)


@pytest.fixture(scope="module")
def shared(speck, faces, tmp_path_factory):
    """Three trained networks in a models folder: an honest one, one whose weights are not shared, and an exhibit."""
    folder = tmp_path_factory.mktemp("models")
    for name, options in [("small", {"epochs": 2}), ("large", {"epochs": 1, "seed": 1}),
                          ("leaky", {"epochs": 1, "protocol": "leaky", "balance": "over"})]:
        config = recipes.TrainConfig(model=speck, batch_size=32, learning_rate=2e-3, **options)
        train.train(config, faces, folder / name, progress=None)
        card = json.loads((folder / name / "card.json").read_text())
        (folder / name / "card.json").write_text(json.dumps({**card, "name": name}))
    answers = runs.load_model(folder / "large")[0]
    part = faces.of("PrivateTest")
    expected = runs.predict_probabilities(
        answers, part.pixels, spec.FaceSpec.from_dict(card["spec"])).argmax(1)
    (folder / "large" / "model.keras").unlink()
    return folder, expected


@pytest.fixture
def models(shared, monkeypatch):
    monkeypatch.setattr(paths, "MODELS", shared[0])
    return shared[0]


def test_a_card_keeps_the_networks_answers(models, shared, faces):
    card = next(c for c in tables.shared_cards() if c["name"] == "large")
    assert np.array_equal(runs.answers(card, faces.of("PrivateTest")), shared[1])


def test_the_table_holds_every_network_and_scikit_learns_numbers(models, shared, faces, monkeypatch):
    monkeypatch.setattr(tables, "milliseconds", lambda names: dict.fromkeys(names, 0.25))
    part = faces.of("PrivateTest")
    votes = np.zeros((len(faces), 10), int)
    votes[:, 1] = 10  # every annotator saw happiness
    table = tables.measure(faces, votes, [("small", "small")]).set_index("name")
    assert table.index[-1] == "leaky" and table.loc["leaky", "exhibit"]
    assert table.loc["large", "accuracy"] == pytest.approx(accuracy_score(part.emotion, shared[1]), abs=1e-4)
    assert (ferplus_labels(votes) == 3).all()
    assert table.loc["large", "ferplus"] == pytest.approx((shared[1] == 3).mean())
    # A network and itself, mirrored: the mean of two equal ones.
    both = evaluate.evaluate_run("small", faces, flip=True)
    assert table.loc["small+small mirrored", "accuracy"] == both["accuracy"]
    alone, twice = (evaluate.evaluate_run(name, faces)["confusion"] for name in ("small", "small+small"))
    assert alone == twice


def test_the_table_says_which_weights_are_a_mean(models, faces, monkeypatch):
    monkeypatch.setattr(tables, "milliseconds", lambda names: dict.fromkeys(names, 0.25))
    averaged = [card | {"averaged": ["a", "b"]} if card["name"] == "large" else card for card in tables.shared_cards()]
    monkeypatch.setattr(tables, "shared_cards", lambda: averaged)
    training = tables.measure(faces).set_index("name")["training"]
    assert training["large"] == "averaged, seed 1" and training["small"] == "plain"


def test_markdown_has_a_line_a_network(models, faces, monkeypatch):
    monkeypatch.setattr(tables, "milliseconds", lambda names: dict.fromkeys(names, 0.25))
    table = tables.measure(faces)
    for text in (tables.readme_table(table), tables.class_table(table)):
        lines = text.splitlines()
        assert len(lines) == 2 + len(table) and len({line.count("|") for line in lines}) == 1
        assert "exhibit" in lines[-1] and "leaky" in lines[-1]


def test_an_ensemble_of_an_unknown_network_is_refused_before_anything_is_timed(models, faces, monkeypatch):
    monkeypatch.setattr(tables, "milliseconds", lambda names: 1 / 0)
    with pytest.raises(DataError, match="no network in models/ is called smal; there are large, leaky, small"):
        tables.measure(faces, ensembles=[("small", "smal")])


def test_a_network_scored_on_other_data_than_it_knows_says_so(models, faces):
    assert evaluate.evaluate_run("small", faces)["same_data"]
    assert not evaluate.evaluate_run("small", draw_faces(300, seed=9))["same_data"]


def test_other_faces_are_refused(models):
    with pytest.raises(DataError, match="not the faces that"):
        tables.measure(draw_faces(300, seed=9))


def test_text_goes_between_its_marks_and_nowhere_else(tmp_path):
    page = tmp_path / "README.md"
    begin, end = tables.MARKS.format("results begins"), tables.MARKS.format("results ends")
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    tables.write(page, "| new |", "results")
    tables.write(page, "| new |", "results")
    assert page.read_text() == f"before\n{begin}\n| new |\n{end}\nafter\n"
    with pytest.raises(DataError, match="has no lines"):
        tables.write(page, "x", "classes")


def test_milliseconds_times_each_network_once():
    ms = tables.milliseconds(["mini_xception", "mini_xception"], repeats=3)
    assert list(ms) == ["mini_xception"] and 0 < ms["mini_xception"] < 1000


def test_missing_numbers_are_dashes():
    assert tables._percent(None) == tables._number(float("nan"), ".1g") == "–"
    assert tables._percent(0.5) == "50.0%"
