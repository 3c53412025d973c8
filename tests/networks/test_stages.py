"""Recipes: their files, and a miniature of each."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fer_utils import cli, paths
from fer_utils.data.drawn import draw_faces
from fer_utils.errors import DataError
from fer_utils.networks import runs, stages, train, zoo
from fer_utils.networks.recipes import TrainConfig
from tests.networks.quick import speck_network

ROOT = Path(__file__).resolve().parents[2]
SHARED = sorted(file.parent.name for file in (ROOT / "models").glob("*/card.json"))
TWO = """
[[stage]]
name = "scratch"
train = "fer_net"
epochs = 3

[[stage]]
name = "taught"
train = "fer_net"
start = "scratch"
teachers = ["scratch"]
epochs = 2

[[stage]]
name = "mean"
average = ["scratch", "taught"]

[promises.PublicTest]
accuracy = 0.5
"""


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "MODELS", ROOT / "models")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")


@pytest.fixture
def small_networks(monkeypatch):
    """In place of fer_net and its sisters two convolutions, which take the same faces."""
    for name in ("fer_net", "fer_net_large", "fer_net_tiny"):
        monkeypatch.setitem(zoo.NETWORKS, name, replace(zoo.NETWORKS[name], build=speck_network().build))


@pytest.fixture(scope="module")
def few():
    return draw_faces(120, seed=4)


def write(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "own.toml").write_text(text)
    return stages.read_recipe(folder / "own.toml")


def miniature(recipe):
    """The same stages, one epoch each."""
    def small(config):
        return config and replace(config, epochs=1, warmup_epochs=0, batch_size=32,
                                  teacher_views=min(config.teacher_views, 1))

    return replace(recipe, stages=tuple(replace(stage, config=small(stage.config)) for stage in recipe.stages))


@pytest.mark.parametrize("name", SHARED)
def test_every_shared_network_has_a_recipe_that_says_what_its_card_says(name):
    recipe, card = stages.read_recipe(name), runs.read_card(name)
    if "recipe" in card.values:
        assert card.values["recipe"]["file"] == recipe.file.read_text()
    elif len(recipe.stages) == 1 and not recipe.stages[0].needs:
        assert recipe.stages[0].config == TrainConfig.from_dict(card.config)
        promised = recipe.promises.get("PublicTest", {})
        assert bool(promised) == card.honest
        for score, value in promised.items():
            part = card.scores["PublicTest"]
            reached = part["clean"]["accuracy"] if score == "clean_accuracy" else part[score]
            assert value == pytest.approx(reached, abs=6e-4)


def share_small_ones(recipe, faces, folder):
    """Make small networks of the shared ones that a recipe needs, trained on these faces, and copies of all recipes."""
    for file in (ROOT / "models").glob("*/recipe.toml"):
        shutil.copytree(file.parent, folder / file.parent.name, ignore=lambda _, names: set(names) - {"recipe.toml"})
    for name in {name for stage in recipe.stages for name in stage.needs} - {stage.name for stage in recipe.stages}:
        network = runs.read_card(ROOT / "models" / name).model
        train.train(TrainConfig.for_model(network, epochs=1, warmup_epochs=0), faces, folder / name, progress=None)


@pytest.mark.parametrize("name", ["fer_net", "fer_net_fer2013", "fer_net_large", "fer_net_tiny",
                                  "fer_net_tiny_fer2013"])
def test_a_miniature_of_each_recipe_of_several_networks(name, few, small_networks, monkeypatch, tmp_path):
    recipe, seen = miniature(stages.read_recipe(name)), []
    share_small_ones(recipe, few, tmp_path / "models")
    monkeypatch.setattr(paths, "MODELS", tmp_path / "models")
    monkeypatch.setattr("fer_utils.networks.train.warn_of_other_data", lambda *_: None)  # of the shared teachers
    folder = stages.train_recipe(recipe, few, progress=None, before_stage=lambda stage, place: seen.append(place))
    assert [place.name.split("-")[0] for place in seen] == [f"{name}.{stage.name}" for stage in recipe.stages]
    card, last = runs.read_card(folder), runs.read_card(seen[-1])
    assert (folder, card.name, card.scores) == (paths.RUNS / name, name, last.scores)
    made = card.values["recipe"]
    assert made["file"] == (ROOT / "models" / name / "recipe.toml").read_text()
    assert [stage["run"] for stage in made["stages"]] == [place.name for place in seen]
    assert card.seconds == pytest.approx(sum(runs.read_card(place).seconds for stage, place in
                                             zip(recipe.stages, seen) if stage.config), abs=0.1)
    monkeypatch.setattr(train, "split", None)  # would fail if anything were trained again
    assert stages.train_recipe(recipe, few, progress=None) == folder


def test_shared_weights_are_not_averaged_with_those_of_other_faces(few, monkeypatch):
    monkeypatch.setattr(train, "train", None)  # would fail if anything were trained before
    with pytest.raises(ValueError, match=r"recipe.toml: averages fer_net_fer2013, which .* other faces than drawn"):
        stages.train_recipe(stages.read_recipe("fer_net"), few, progress=None)


def test_a_stage_is_done_again_when_it_or_what_it_needs_changes(tmp_path):
    recipe = write(tmp_path / "a", TWO)
    names = recipe.runs("data")
    later = write(tmp_path / "b", TWO.replace("epochs = 2", "epochs = 4")).runs("data")
    assert [names[name] == later[name] for name in names] == [True, False, False]
    first = write(tmp_path / "c", TWO.replace("epochs = 3", "epochs = 4")).runs("data")
    other = recipe.runs("other data")
    assert not set(names.values()) & (set(first.values()) | set(other.values()))


def test_the_dry_run_counts_steps(tmp_path, few, small_networks, monkeypatch, capsys):
    recipe = write(tmp_path, TWO)
    monkeypatch.setattr(stages, "_usual_seconds", lambda action: action(0) is None or 36.0)
    plan = stages.recipe_plan(recipe, few)
    trained, seen = (few.usage == "Training").sum(), (few.usage == "PublicTest").sum()
    batch = trained - trained % 2  # all training faces are one batch of fer_net's 128
    assert trained < 128 and plan["epochs"].tolist() == [3, 2, 0] and not plan["done"].any()
    epoch = 0.01 * (1 + seen / batch / 3)
    # The teacher answers each face and its mirror image once.
    assert plan["hours"].tolist() == pytest.approx([3 * epoch, 2 * epoch + 0.02, 0])
    assert cli.main(["train", "--recipe", str(recipe.file), "--data", "drawn:60", "--dry-run"]) == 0
    assert "hours in all here" in capsys.readouterr().out and not paths.RUNS.exists()


WRONG = {
    "no stage": ("", "needs one"),
    "no TOML": ("[[stage]", "own.toml"),
    "neither": ('[[stage]]\nname = "a"', "stage 'a': say either"),
    "both": ('[[stage]]\ntrain = "cnn3"\naverage = ["a", "b"]', "stage 'stage1': say either"),
    "network": ('[[stage]]\ntrain = "cnn33"', "no network is called 'cnn33'"),
    "setting": ('[[stage]]\ntrain = "cnn3"\nepoch = 3', "has no epoch"),
    "value": ('[[stage]]\ntrain = "cnn3"\nepochs = "three"', "epochs must be a whole number"),
    "crop": ('[[stage]]\ntrain = "cnn3"\ncrop = 40', "crop: cnn3 takes faces of one size"),
    "later": ('[[stage]]\ntrain = "cnn3"\nstart = "stage2"\n[[stage]]\ntrain = "cnn3"', "'stage2' is neither"),
    "twice": ('[[stage]]\nname = "a"\ntrain = "cnn3"\n[[stage]]\nname = "a"\ntrain = "cnn3"', "no earlier stage"),
    "path": ('[[stage]]\nname = "../a"\ntrain = "cnn3"', "letters, digits"),
    "one": ('[[stage]]\ntrain = "cnn3"\n[[stage]]\naverage = ["stage1"]', "two stages or more"),
    "more": ('[[stage]]\ntrain = "cnn3"\n[[stage]]\naverage = ["stage1", "stage1"]\nepochs = 3', "nothing else"),
    "key": ('stages = 3\n[[stage]]\ntrain = "cnn3"', "unknown stages"),
    "promise": ('[[stage]]\ntrain = "cnn3"\n[promises.PrivateTest]\naccuracy = 0.7', "promises are a table"),
    "percent": ('[[stage]]\ntrain = "cnn3"\n[promises.PublicTest]\naccuracy = 70', "from 0.0 to 1.0"),
    "list": ('stage = "cnn3"', "needs one"),
    "promises": ('promises = 3\n[[stage]]\ntrain = "cnn3"', "promises"),
}


@pytest.mark.parametrize("text, message", WRONG.values(), ids=WRONG)
def test_a_wrong_recipe_is_refused_with_its_stage(text, message, tmp_path):
    with pytest.raises(DataError, match=message) as error:
        write(tmp_path, text)
    assert "own.toml" in str(error.value)


def test_what_a_recipe_would_replace_is_kept(finished, few, tmp_path, capsys):
    recipe = write(tmp_path, TWO)
    with pytest.raises(ValueError, match="holds another run"):
        stages.train_recipe(recipe, few, finished)
    with pytest.raises(DataError, match="no recipe is called 'gone'.*fer_net_tiny"):
        stages.read_recipe("gone")
    for options, message in ((["--recipe", "cnn3", "--epochs", "3"], "--epochs cannot be given with --recipe"),
                             (["--model", "cnn3", "--dry-run"], "goes with --recipe")):
        assert cli.main(["train", *options]) == 1
        assert message in capsys.readouterr().err
