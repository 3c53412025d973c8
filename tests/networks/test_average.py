"""The average of several trained runs."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from fer_utils.evaluation import evaluate, tables
from fer_utils.networks import average, runs, train
from fer_utils.networks.recipes import TrainConfig
from tests.networks.quick import QUICK

pytestmark = pytest.mark.usefixtures("speck")


def test_an_average_has_the_mean_of_the_weights_and_its_own_scores(finished, faces, tmp_path):
    going_on = TrainConfig(**{**QUICK, "epochs": 1}, start=str(finished))
    second = train.train(going_on, faces, tmp_path / "second", progress=None)
    # Named twice the second counts twice.
    (tmp_path / "mean").mkdir()
    (tmp_path / "mean" / "model.onnx").write_bytes(b"of weights that stood here before")
    folder = average.average([str(finished), str(second), str(second)], faces, tmp_path / "mean")
    assert not (folder / "model.onnx").exists(), "it would serve other weights"
    first, last, mean = (runs.load_model(f)[0] for f in (finished, second, folder))
    for a, b, c in zip(first.get_weights(), last.get_weights(), mean.get_weights()):
        np.testing.assert_allclose(c, (a + 2 * b) / 3, rtol=1e-5, atol=1e-6)
    card = runs.read_card(folder)
    assert card.averaged == (finished.name, "second", "second") and card.name == "mean"
    again = evaluate.evaluate_run(folder, faces)
    assert {name: card.scores["PrivateTest"][name] for name in ("confusion", "ece")} == {
        name: again[name] for name in ("confusion", "ece")}
    assert again["ece"] != runs.read_card(second).scores["PrivateTest"]["ece"]
    assert card.config == going_on.to_dict()
    assert (folder / "history.csv").read_text() == (second / "history.csv").read_text()
    assert card.training.endswith("averaged")
    assert "averaged" not in tables.results_table([card])["label"].item(), "a label must be short"
    assert tables.seed_table([card, dataclasses.replace(card, config=card.config | {"seed": 5})]).empty


def test_what_has_no_mean_is_refused(finished, faces, tmp_path):
    out = tmp_path / "mean"
    with pytest.raises(ValueError, match="two trained runs or more"):
        average.average([str(finished)], faces, out)
    with pytest.raises(ValueError, match="trained on other faces"):
        average.average([str(finished)] * 2, faces[:-1], out)
    with pytest.raises(ValueError, match="holds a run already"):
        average.average([str(finished)] * 2, faces, finished)
    for change, word in (({"model": "cnn3"}, "is a cnn3 and"),
                         ({"config": {"protocol": "leaky"}}, "on test faces")):
        other = shutil.copytree(finished, tmp_path / "other", dirs_exist_ok=True)
        card = json.loads((finished / "card.json").read_text())
        card |= {name: card[name] | value if name == "config" else value for name, value in change.items()}
        (other / "card.json").write_text(json.dumps(card))
        with pytest.raises(ValueError, match=word):
            average.average([str(other), str(finished)], faces, out)
    assert not out.exists()
