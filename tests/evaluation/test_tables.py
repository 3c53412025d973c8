import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from fer_utils import paths
from fer_utils.data.drawn import draw_faces
from fer_utils.data.ferplus import ferplus_labels
from fer_utils.errors import DataError
from fer_utils.evaluation import evaluate, tables
from fer_utils.evaluation.tables import milliseconds  # which the fixture below replaces
from fer_utils.networks import recipes, runs, train
from fer_utils.networks.card import Card
from tests.cards import card, card_values, scored

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def faces():
    return draw_faces(300, seed=4)


@pytest.fixture(scope="module")
def strangers():
    return draw_faces(100, seed=9)


@pytest.fixture(scope="module")
def shared(speck, faces, tmp_path_factory):
    """Three trained networks in a models folder: an honest one, one whose weights are not shared, and an exhibit."""
    folder = tmp_path_factory.mktemp("models")
    for name, options in [("small", {"epochs": 2}), ("large", {"epochs": 1, "seed": 1}),
                          ("leaky", {"epochs": 1, "protocol": "leaky", "balance": "over"})]:
        config = recipes.TrainConfig(model=speck, batch_size=32, learning_rate=2e-3, **options)
        train.train(config, faces, folder / name, progress=None)
    model, large = runs.load_model(folder / "large")
    expected = runs.predict_probabilities(model, faces.of("PrivateTest").pixels, large.spec).argmax(1)
    (folder / "large" / "model.keras").unlink()
    return folder, expected


@pytest.fixture(scope="module")
def models(shared):
    """The three networks are those in models/, and timing them takes no time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "MODELS", shared[0])
        patch.setattr(tables, "milliseconds", lambda names: dict.fromkeys(names, 0.25))
        yield shared[0]


@pytest.fixture(scope="module")
def measured(models, faces):
    """Their table, with an ensemble, where every FER+ annotator saw happiness."""
    votes = np.zeros((len(faces), 10), int)
    votes[:, 1] = 10
    assert (ferplus_labels(votes) == 3).all()
    return tables.shared_table(faces, votes, [("small", "small")])


def test_a_card_keeps_the_networks_answers(models, shared, faces):
    assert np.array_equal(runs.read_card("large").answers(faces.of("PrivateTest")), shared[1])


def test_a_card_without_answers_has_its_weights_answer(models, faces):
    small = runs.read_card("small")
    kept = small.answers(faces.of("PrivateTest"))
    assert np.array_equal(replace(small, scores={"PrivateTest": {}}).answers(faces.of("PrivateTest")), kept)


def test_the_table_holds_every_network_and_scikit_learns_numbers(measured, shared, faces):
    part, table = faces.of("PrivateTest"), measured.set_index("name")
    assert table.index[-1] == "leaky" and table.loc["leaky", "exhibit"]
    assert table.loc["large", "accuracy"] == pytest.approx(accuracy_score(part.emotion, shared[1]), abs=1e-4)
    assert table.loc["large", "ferplus"] == pytest.approx((shared[1] == 3).mean())
    # A network and itself, mirrored: the mean of two equal ones.
    both = evaluate.evaluate_run("small", faces, views=2)
    assert table.loc["small+small mirrored", "accuracy"] == both["accuracy"]
    alone, twice = (evaluate.evaluate_run(name, faces)["confusion"] for name in ("small", "small+small"))
    assert alone == twice


def test_the_table_says_which_weights_are_a_mean(models, faces, monkeypatch):
    averaged = [replace(one, averaged=("a", "b")) if one.name == "large" else one for one in tables.shared_cards()]
    monkeypatch.setattr(tables, "shared_cards", lambda: averaged)
    training = tables.shared_table(faces).set_index("name")["training"]
    assert training["large"] == "averaged, seed 1" and training["small"] == "plain"


def test_markdown_has_a_line_a_network(measured, models):
    for text in (tables.full_table(measured), tables.index_table(measured, models)):
        lines = text.splitlines()
        assert len({line.count("|") for line in lines}) == 1
        assert "exhibit" in lines[-1] and "leaky" in lines[-1]
    assert len(tables.full_table(measured).splitlines()) == 2 + len(measured)
    weights = {line.split("](")[1].split("/")[0]: "| yes |" in line for line in lines[2:]}
    assert weights == {"small": True, "large": False, "leaky": True}, "an ensemble has no folder to link to"


def test_the_readmes_table_has_five_columns_and_the_networks_named(measured):
    lines = tables.readme_table(measured, ["leaky", "small"]).splitlines()
    assert len(lines) == 4 and {line.count("|") for line in lines} == {6}
    assert lines[2].startswith("| [`small`](models/small/README.md) |") and lines[2].endswith(" | 0.25 |")
    assert lines[3].startswith("| *exhibit:* [`leaky`](models/leaky/README.md) |") and lines[3].endswith("| – | 0.25 |")


def test_an_ensemble_of_an_unknown_network_is_refused_before_anything_is_timed(models, faces, monkeypatch):
    monkeypatch.setattr(tables, "milliseconds", lambda names: 1 / 0)
    with pytest.raises(DataError, match="no network in models/ is called smal; there are large, leaky, small"):
        tables.shared_table(faces, ensembles=[("small", "smal")])


def test_a_network_scored_on_other_data_than_it_knows_says_so(models, faces, strangers):
    assert evaluate.evaluate_run("small", faces)["same_data"]
    assert not evaluate.evaluate_run("small", strangers)["same_data"]


def test_no_network_is_not_the_fault_of_the_faces(strangers, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "MODELS", tmp_path)
    with pytest.raises(DataError, match="holds no network"):
        tables.shared_table(strangers)


def test_a_page_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="README.md: not there; run this in the folder of the project"):
        tables.write_between(tmp_path / "README.md", "", "results")


def test_other_faces_are_refused(models, strangers):
    with pytest.raises(DataError, match="not the faces that"):
        tables.shared_table(strangers)


def test_the_readmes_hold_the_tables_of_the_shared_cards():
    """The pages and results.csv agree; and what a card knows is in all of them, in the cards' own digits."""
    table = pd.read_csv(ROOT / "models" / "results.csv", keep_default_na=False, na_values={
        name: [""] for name in ("clean_same_mix", "clean_macro_f1", "clean_macro_f1_low", "clean_macro_f1_high",
                                "ferplus", "mcnemar_p", "minutes")})
    assert set(tables.README_NETWORKS) <= set(table["name"])
    for page, text in (("README.md", tables.readme_table(table)), ("docs/results.md", tables.full_table(table)),
                       ("models/README.md", tables.index_table(table, ROOT / "models")),
                       ("docs/results.md", tables.peers_table(table, pd.read_csv(ROOT / "models" / "peers.csv")))):
        assert f"-->\n{text}\n<!--" in (ROOT / page).read_text(encoding="utf-8"), page
    cards = [Card.read(path.parent) for path in sorted((ROOT / "models").glob("*/card.json"))]
    of_cards = tables.results_table(cards)
    alone = table[~table["name"].str.endswith("mirrored")].reset_index(drop=True)
    assert of_cards["name"].tolist() == alone["name"].tolist()
    assert [one.training for name in alone["name"] for one in cards if one.name == name] == alone["training"].tolist()
    for column in sorted({*of_cards} & {*alone} - {"epochs", "minutes"}):
        if of_cards[column].dtype.kind in "if":
            np.testing.assert_allclose(of_cards[column], alone[column], rtol=1e-5, err_msg=column)
        else:
            assert of_cards[column].tolist() == alone[column].tolist()


def test_results_table_ranks_honest_runs_and_puts_exhibits_last():
    cards = [card("a", {"PrivateTest": scored(0.5)}),
             card("b", {"leaky test": scored(0.9)}, protocol="leaky"), card("c", {"PrivateTest": scored(0.6)})]
    table = tables.results_table(cards)
    assert table["name"].tolist() == ["c", "a", "b"]
    assert json.loads(table.to_json(orient="records"))[0]["minutes"] == 1.0
    assert len(tables.results_table([])) == 0
    cards = [card("a", {"PrivateTest": scored(0.5)}, balance="class_weights", augment="strong"),
             card("b", {"PrivateTest": scored(0.4)}, balance="over"), card("c", {"PrivateTest": scored(0.3)}, seed=2)]
    assert tables.results_table(cards)["label"].tolist() == [
        "cnn3, strong, class weights", "cnn3, over-sampled", "cnn3, seed 2"]


def test_no_two_networks_of_a_table_have_one_label():
    cards = [card("a", {"PrivateTest": scored(0.9)}), card("b", {"PrivateTest": scored(0.8)}, augment="strong"),
             card("c", {"PrivateTest": scored(0.7)}, balance="over"),
             card("d", {"leaky test": scored(0.6)}, balance="over", protocol="leaky")]
    assert tables.results_table(cards)["label"].tolist() == [
        "cnn3, plain", "cnn3, strong", "cnn3, over-sampled", "cnn3, leaky"]
    same = [replace(cards[0], name=f"cnn3-{i}", epochs_run=n) for i, n in enumerate((8, 59, 59))]
    assert sorted(tables.results_table(same)["label"]) == [
        "cnn3, plain, 59 epochs, 1", "cnn3, plain, 59 epochs, 2", "cnn3, plain, 8 epochs"]


def test_the_spread_of_seeds_is_of_runs_that_differ_in_nothing_else():
    def run(accuracy, macro_f1, fingerprint="f", **config):
        return replace(card("run", {"PrivateTest": scored(accuracy, macro_f1)}, **config), fingerprint=fingerprint)

    cards = [run(0.60, 0.5), run(0.64, 0.6, seed=1, teachers=[], teacher_views=0), run(0.62, 0.4, seed=2),
             run(0.9, 0.9, seed=3, augment="strong"), run(0.1, 0.1, seed=4, fingerprint="other"),
             run(0.8, 0.8, seed=5, teachers=["a"]), run(0.99, 0.99, seed=6, protocol="leaky")]
    table = tables.seed_table(cards)
    assert len(table) == 1
    row = table.iloc[0]
    assert (row.label, row.seeds) == ("cnn3", 3)
    assert row[["mean", "sd", "lowest", "highest", "half_width", "macro_f1", "macro_f1_sd"]].tolist() == pytest.approx(
        [0.62, 0.02, 0.60, 0.64, 0.015, 0.5, 0.1])
    assert tables.seed_table([run(0.6, 0.5), run(0.7, 0.5)]).empty  # one seed twice says nothing of seeds
    assert tables.seed_table(cards, "PublicTest").empty


def test_peers_are_measured_like_ours_and_kept_until_they_are_measured_again(measured, models, faces, tmp_path):
    values = card_values("peer", {"PrivateTest": scored(0.99)})
    values |= {"adopted": {"source": "a|b"}, "data": {"title": "unknown", "fingerprint": faces.fingerprint()}}
    peer, file = Card.from_dict(values, tmp_path / "peer"), tmp_path / "peers.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "milliseconds", lambda files: {file: 0.5 for file in files})
        rows = tables.peer_rows([peer], faces, file)
        rows.assign(name="kept").to_csv(file, index=False)
        assert tables.peer_rows([peer], faces, file)["name"].tolist() == ["peer", "kept"]
        with pytest.raises(DataError, match="small: was trained here"):
            tables.peer_rows([runs.read_card("small")], faces, file)
        with pytest.raises(DataError, match="peer: was scored on other faces"):
            tables.peer_rows([peer], faces[:-1], file)
    lines = tables.peers_table(measured, rows).splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines} == {7} and len(lines) == 2 + 3
    assert lines[2].startswith(r"| **`peer`** | a\|b | 99.0% [97.0, 100.0] |") and lines[2].endswith("| – | 0.5 |")
    assert not any("mirrored" in line or "leaky" in line for line in lines), "ensembles and exhibits are no networks"


def test_text_goes_between_its_marks_and_nowhere_else(tmp_path):
    page = tmp_path / "README.md"
    begin, end = tables.MARKS.format("results begins"), tables.MARKS.format("results ends")
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    tables.write_between(page, "| new |", "results")
    tables.write_between(page, "| new |", "results")
    assert page.read_text() == f"before\n{begin}\n| new |\n{end}\nafter\n"
    with pytest.raises(DataError, match="has no lines"):
        tables.write_between(page, "x", "networks")


def test_milliseconds_times_each_network_once():
    ms = milliseconds(["mini_xception", "mini_xception"], repeats=3)
    assert list(ms) == ["mini_xception"] and 0 < ms["mini_xception"] < 1000


def test_missing_numbers_are_dashes(measured):
    assert " – | – | 0.25 |" in tables.full_table(measured).splitlines()[-1], "of an exhibit: FER+ and p"
