import ast
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.cbook import get_sample_data

from fer_utils import paths
from fer_utils.cli import main
from fer_utils.evaluation.model_card import model_card
from fer_utils.labels import EMOTIONS
from fer_utils.metrics import apply_temperature
from fer_utils.networks.card import Card
from fer_utils.vision.predict import Predictor
from tests.cards import card, card_values, scored

MODELS = Path(__file__).parents[2] / "models"
FOLDERS = sorted(path.parent for path in MODELS.glob("*/card.json"))


@pytest.fixture
def shared(monkeypatch):
    """The models folder is the project's own."""
    monkeypatch.setattr(paths, "MODELS", MODELS)


def page(name):
    return (MODELS / name / "README.md").read_text(encoding="utf-8")


def metadata(text):
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)[1])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_committed_page_is_what_the_card_gives(folder, shared):
    written = (folder / "README.md").read_text(encoding="utf-8")
    assert written == model_card(Card.read(folder)), "write it anew with: python -m fer_utils cards"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_page_and_metadata_hold_the_scores_of_card_json(folder):
    text, values = page(folder.name), json.loads((folder / "card.json").read_text(encoding="utf-8"))
    found = metadata(text)
    assert (found["license"], found["library_name"], found["pipeline_tag"]) == ("mit", "keras", "image-classification")
    [index] = found["model-index"]
    assert index["name"] == values["name"]
    scores = {entry["dataset"]["split"]: {metric["type"]: metric["value"] for metric in entry["metrics"]}
              for entry in index["results"]}
    for usage, part in values["scores"].items():
        assert scores[usage] == {"accuracy": part["accuracy"], "f1": part["macro_f1"]}
        assert scores[f"{usage}, clean"]["accuracy"] == part["clean"]["accuracy"]
        low, high = (100 * end for end in part["accuracy_interval"])
        assert f"| {usage} | {part['n']:,} | {100 * part['accuracy']:.1f}% [{low:.1f}, {high:.1f}] |" in text
    for emotion in EMOTIONS:
        one = part["per_class"][emotion]
        low, high = one["f1_interval"]
        cells = [emotion, f"{one['support']:,}", f"{one['f1']:.3f} [{low:.3f}, {high:.3f}]",
                 f"{one['precision']:.3f}", f"{one['recall']:.3f}"]
        assert f"| {' | '.join(cells)} |" in text
    row = pd.read_csv(MODELS / "results.csv").set_index("name").loc[folder.name]
    if values["config"]["protocol"] == "official":
        assert f"{100 * row['ferplus']:.1f}% of PrivateTest" in text
        assert f"| PrivateTest, clean, same mix | {part['clean']['n']:,} | {100 * row['clean_same_mix']:.1f}% |" in text


def test_an_exhibit_is_labelled_at_its_top_and_ranked_with_no_other():
    text = page("cnn5_bn_leaky")
    assert text.split("# cnn5_bn_leaky\n\n")[1].startswith("> **Exhibit.") and "exhibit" in metadata(text)["tags"]
    assert {entry["dataset"]["type"] for entry in metadata(text)["model-index"][0]["results"]} == {"fer2013-leaky"}
    assert "Exhibit" not in page("cnn5_bn")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_page_without_weights_says_so_and_how_to_train(folder):
    weights, text = (folder / "model.keras").is_file(), page(folder.name)
    assert ("weights are not shared. To train the network again: `python -m fer_utils train" in text) is not weights
    assert ("## How to load it" in text) is weights


@pytest.mark.parametrize("name", [folder.name for folder in FOLDERS if (folder / "model.onnx").is_file()])
def test_the_code_of_a_page_runs_and_gives_the_predictors_probabilities(name, shared, tmp_path, monkeypatch, capsys):
    with_package, alone = re.findall(r"```python\n(.*?)```", page(name), re.DOTALL)
    shutil.copy(get_sample_data("grace_hopper.jpg", asfileobj=False), tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(with_package, {})
    assert capsys.readouterr().out.strip() in [f"['{emotion}']" for emotion in EMOTIONS]
    monkeypatch.chdir(MODELS / name)
    predictor = Predictor(name, "haar")
    faces = np.random.default_rng(0).integers(0, 256, (3, predictor.spec.size, predictor.spec.size), np.uint8)
    names = {"faces": faces}
    exec(alone, names)
    calibrated = apply_temperature(names["probabilities"], predictor.card.temperature)
    np.testing.assert_allclose(calibrated, predictor.probabilities(faces), atol=1e-5)


def test_a_card_that_holds_little_has_a_page(tmp_path):
    bare = replace(card(scores={"validation": scored()}), title="drawn faces, not FER2013", folder=tmp_path)
    text = model_card(bare)
    assert "Its scores say nothing about photos of people" in text and "It is not calibrated" in text
    assert "datasets" not in metadata(text) and "FER+ are" not in text and "None" not in text
    assert "*validation* chooses the best epoch." in text


def test_a_name_breaks_neither_metadata_nor_a_table_nor_the_code(tmp_path):
    name = 'my "net" | <b>x</b>\n---\n`a`'
    values = card_values(name, {name: scored()}) | {"origin": name, "split": name}
    (tmp_path / "model.keras").touch()
    text = model_card(Card.from_dict(values, tmp_path))
    [index] = metadata(text)["model-index"]
    assert index["name"] == name and index["results"][0]["dataset"]["split"] == name
    [line] = [line for line in text.splitlines() if line.startswith("predictor = ")]
    assert ast.literal_eval(re.search(r'Predictor\((".*")\)', line)[1]) == " ".join(name.split())
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {3, 5, 6}


@pytest.mark.parametrize("data, named, kind", [
    ({"title": "FER2013", "faces": 35_887}, None, "fer2013"),
    ({"title": "FER2013", "faces": 700}, "700 faces that are not the whole of FER2013", "other-faces"),
    ({"title": "own faces", "faces": 35_887}, "own faces", "other-faces"),
    ({"title": "FER2013"}, "faces that are not the whole of FER2013", "other-faces"),
    ({"title": "drawn faces, not FER2013", "faces": 35_887}, "drawn faces, not FER2013", "other-faces")])
@pytest.mark.parametrize("protocol", ["official", "leaky"])
def test_other_faces_are_not_called_fer2013(data, named, kind, protocol, tmp_path):
    values = card_values(protocol=protocol) | {"data": data | {"fingerprint": "f"}}
    text = model_card(Card.from_dict(values, tmp_path))
    found = metadata(text)
    assert ("datasets" in found) is (named is None) and ("Trained on" in text) is (named is not None)
    ours = named is None or "drawn" in named
    assert found.get("license") == ("mit" if ours else None) and ("MIT, like the project" in text) is ours
    assert named is None or (f"> **Trained on: {named}.**" in text and f"**Faces:** {named}, official" in text)
    [entry] = found["model-index"][0]["results"]
    assert entry["dataset"]["type"] == (kind if protocol == "official" else f"{kind}-leaky")
    assert entry["dataset"]["name"].startswith(named or "FER2013")


def written(folder, values=None):
    """Put a network without weights into a folder of networks."""
    (folder / "net").mkdir()
    (folder / "net" / "card.json").write_text(json.dumps(values or card_values()))


@pytest.mark.parametrize("table, says", [
    (b"a,b\n1,2\n", "has no column name, accuracy"),
    (b"", "not readable as CSV"), (b"\xff\xfe\0", "not readable as CSV"),
    (b"name,accuracy,low,high,macro_f1,macro_f1_low,macro_f1_high,ms,ferplus\nnet,x,1,1,1,1,1,1,1\n",
     "the column accuracy holds other things than numbers")])
def test_another_table_of_results_is_named(table, says, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "MODELS", tmp_path)
    written(tmp_path)
    (tmp_path / "results.csv").write_bytes(table)
    assert main(["cards"]) == 1
    assert f"fer_utils cards: {tmp_path / 'results.csv'}: {says}" in capsys.readouterr().err
    assert not (tmp_path / "net" / "README.md").exists()


def test_a_page_of_ones_own_is_not_replaced(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "MODELS", tmp_path)
    written(tmp_path)
    assert main(["cards"]) == main(["cards"]) == 0, "its own page is"
    for change in (lambda file: file.write_text("mine"), lambda file: (file.unlink(), file.mkdir())):
        change(tmp_path / "net" / "README.md")
        assert main(["cards"]) == 1 and "so it is not replaced" in capsys.readouterr().err
    assert (tmp_path / "net" / "README.md").is_dir()


def test_no_network_is_an_error_that_names_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "MODELS", tmp_path / "none")
    assert main(["cards"]) == 1 and f"{tmp_path / 'none'}: holds no folder with a card.json" in capsys.readouterr().err


def test_the_command_writes_each_page_and_old_results_are_not_another_networks(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "MODELS", tmp_path)
    row = {"name": "net", "accuracy": 0.6, "ms": 0.5, "ferplus": 0.7, "low": 0.5, "high": 0.7, "macro_f1": 0.5,
           "macro_f1_low": 0.4, "macro_f1_high": 0.6}
    pd.DataFrame([row, row | {"name": "net mirrored", "accuracy": 0.61}]).to_csv(tmp_path / "results.csv")
    (tmp_path / "net").mkdir()
    for accuracy, known in ((0.6, True), (0.65, False)):
        values = card_values("net", {"PrivateTest": scored(accuracy)})
        (tmp_path / "net" / "card.json").write_text(json.dumps(values))
        assert main(["cards"]) == 0 and "README.md" in capsys.readouterr().out
        text = (tmp_path / "net" / "README.md").read_text(encoding="utf-8")
        for words in ("70.0% of PrivateTest", "0.5 ms", "each face also mirrored | 7 | 61.0% [50.0, 70.0]"):
            assert (words in text) is known, words


def test_the_hubs_own_reader_understands_a_page():
    hub = pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
    found = hub.ModelCard(page("fer_net")).data
    assert found.model_name == "fer_net" and found.metrics == ["accuracy", "f1"]
    best = [result for result in found.eval_results if result.dataset_split == "PrivateTest"]
    assert [result.metric_type for result in best] == ["accuracy", "f1"]
    assert best[0].metric_value == Card.read(MODELS / "fer_net").scores["PrivateTest"]["accuracy"]
