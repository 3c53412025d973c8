import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from fer_utils.cli import main
from fer_utils.errors import DataError
from fer_utils.evaluation.training_text import retrain_command, training_text
from fer_utils.networks import train
from fer_utils.networks.card import Card
from tests.cards import card

CARDS = [Card.read(path.parent) for path in sorted((Path(__file__).parents[2] / "models").glob("*/card.json"))]
ALONE = [one for one in CARDS if retrain_command(one) and not one.recipe_stages]


def text(one):
    return "\n".join(training_text(one))


@pytest.mark.parametrize("one", ALONE, ids=lambda one: one.name)
def test_the_command_trains_by_the_cards_settings(one, monkeypatch):
    taken = []
    monkeypatch.setattr(train, "train", lambda config, *rest: taken.append(config) or one.folder)
    words = shlex.split(retrain_command(one))
    assert words[:3] == ["python", "-m", "fer_utils"]
    assert main([*words[3:], "--data", "drawn:100"]) == 0
    config = taken[0].to_dict()
    assert {name: config[name] for name in one.config} == one.config


def test_each_folder_without_weights_has_a_command():
    alone = {one.name for one in ALONE}
    assert [one.name for one in CARDS if not (one.folder / "model.keras").is_file() and one.name not in alone] == []


def test_no_command_is_given_where_one_is_not_enough():
    command = "python -m fer_utils train --model cnn3 --epochs 30 --patience 0 -p precision float32"
    assert retrain_command(card()) == command
    for more in ({"start": "a"}, {"teachers": ["a"]}, {"invented_later": 1}):
        assert retrain_command(card(**more)) == ""
    assert retrain_command(replace(card(), averaged=("a", "b"))) == ""


def test_a_recipe_is_named_with_its_stages():
    made = {"commit": "0123456789abcdef", "stages": [{"name": "first", "seconds": 600}, {"name": "mean", "seconds": 0}]}
    one = replace(card(start="a.first", crop=40), values={**card().values, "recipe": made})
    assert retrain_command(one) == f"python -m fer_utils train --recipe {one.name}"
    said = text(one)
    for words in ("at commit `0123456`", "`first` 10 minutes, `mean` 0 minutes", "a square of 40×40 pixels"):
        assert words in said, words
    for wrong in ("text", {"stages": "first"}, {"stages": [{"name": "first"}]}, {"commit": 3}):
        with pytest.raises(DataError, match="recipe"):
            Card.from_dict({**CARDS[0].values, "recipe": wrong}, "folder")


def test_the_text_says_what_the_config_says():
    one = card(balance="class_weights", augment="project_b", teachers=["big", "wide"], teacher_share=0.7,
               teacher_views=25, label_smoothing=0.1, mixup=0.2, start="before", optimizer="adamw", learning_rate=2e-3,
               schedule="cosine", warmup_epochs=1, batch_size=64, ema=0.998, epochs=9, patience=3, seed=4)
    said = text(replace(one, epochs_run=8, best_epoch=6, seconds=90))
    for words in ("class weights", "`project_b`", "turned, shifted, sheared, zoomed, mirrored.", "`big`, `wide`",
                  "(30%)", "(70%; distillation)", "25 passes", "10% of each label", "mixup, alpha 0.2", "`before`",
                  "AdamW, learning rate 0.002, falling to 0 along a cosine, after a rise over one epoch, batches of 64",
                  "momentum 0.998; seed 4", "8 of at most 9, to be stopped after 3", "Epoch 6", "1.5 minutes"):
        assert words in said, words
    assert "None" not in said and "{" not in said
    said = text(card(votes=0.25, keep="last", start="before", epochs=6))
    assert "label of each face (75%) and the votes that FER+'s ten annotators gave it" in said and "(25%)" in said
    assert "The weights of the last epoch are kept" in said and "was best" not in said


def test_settings_of_another_version_are_named():
    assert "new_setting 3" in text(card(new_setting=3, optimizer="adam")) and "`odd`" in text(card(augment="odd"))


def test_a_mean_names_its_runs_and_how_often_each_counts():
    said = text(replace(card(), averaged=("a", "b", "b")))
    assert "`a` (once), `b` (twice)" in said and "of the last run" in said
