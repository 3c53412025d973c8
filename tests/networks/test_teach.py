"""Learning from trained networks: teachers, their views, and weights to start from."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fer_utils.data import ferplus
from fer_utils.errors import DataError
from fer_utils.networks import runs, teach, train, zoo
from fer_utils.networks.batches import TrainingBatches
from fer_utils.networks.recipes import TrainConfig
from tests.networks.quick import QUICK

pytestmark = pytest.mark.usefixtures("speck")


def test_soft_targets_mix_labels_with_the_teachers_two_views(finished, faces):
    part = faces.of("Training")
    model, card = runs.load_model(finished)
    seen = (runs.predict_probabilities(model, part.pixels, card.spec)
            + runs.predict_probabilities(model, part.pixels[:, :, ::-1].copy(), card.spec)) / 2
    config = TrainConfig(**QUICK, teachers=(str(finished), str(finished)), teacher_share=0.25)
    targets = teach.soft_targets(part, config)
    assert np.allclose(targets, 0.75 * np.eye(7)[part.emotion] + 0.25 * seen, atol=1e-5)
    assert np.allclose(targets.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-5), ("mixed_bfloat16", 0.02)])
def test_teachers_of_views_see_each_face_as_the_network_does(finished, faces, precision, tolerance):
    part, spec = faces.of("Training"), zoo.network("speck").spec
    config = TrainConfig(**QUICK, augment="strong", mixup=0.4, teachers=(str(finished), str(finished)),
                         teacher_share=0.25, teacher_views=2)
    x, labels = TrainingBatches(part, config, spec)[1]
    model = runs.load_model(finished)[0]
    views = teach.teach_views(config, spec, precision)
    seen, targets = TrainingBatches(part, config, spec, teach=views)[1]
    assert np.array_equal(x, seen) and labels.max(1).min() < 1, "mixup mixed some labels"
    assert np.allclose(targets, 0.75 * labels + 0.25 * model.predict(x, verbose=0), atol=tolerance)
    assert np.array_equal(teach.soft_targets(part, config), np.eye(7, dtype=np.float32)[part.emotion])


def test_the_teachers_passes_come_again_and_are_not_computed_again(finished, faces):
    part, spec = faces.of("Training"), zoo.network("speck").spec
    config = TrainConfig(**QUICK, augment="strong", teachers=(str(finished),), teacher_views=2)
    views = teach.teach_views(config, spec, "float32")
    batches, firsts = TrainingBatches(part, config, spec, teach=views), []
    for epoch in range(4):
        batches.begin(epoch)
        firsts.append(batches[0])
    first, second, third, fourth = firsts
    assert all(np.array_equal(a, b) for a, b in [*zip(first, third), *zip(second, fourth)])
    assert not np.array_equal(first[0], second[0])
    assert views(None, (0, 0)) is views(None, (0, 0)), "kept: nothing is predicted"


def test_a_teacher_of_views_must_take_the_networks_inputs(finished):
    config = TrainConfig(model="fer_net", teachers=(str(finished),), teacher_views=2)
    with pytest.raises(ValueError, match="takes other inputs than fer_net"):
        teach.teach_views(config, zoo.network("fer_net").spec, "float32")


def test_a_run_started_from_another_begins_with_its_weights(finished, faces, tmp_path):
    config = TrainConfig(**{**QUICK, "epochs": 1, "learning_rate": 1e-12}, start=str(finished),
                         teachers=[str(finished)])
    folder = train.train(config, faces, tmp_path / "run", progress=None)
    before, after = (runs.load_model(f)[0] for f in (finished, folder))
    for a, b in zip(before.trainable_weights, after.trainable_weights):
        assert np.allclose(a, b, atol=1e-6)
    card = runs.read_card(folder)
    assert TrainConfig.from_dict(card.config) == config and card.config["teachers"] == [str(finished)]


def test_another_networks_weights_are_refused(finished, faces, tmp_path):
    with pytest.raises(ValueError, match="is a speck, not a cnn3"):
        train.train(TrainConfig(model="cnn3", epochs=1, start=str(finished)), faces, tmp_path, progress=None)


def test_a_leaky_teacher_is_refused(finished, faces, tmp_path):
    leaky = shutil.copytree(finished, tmp_path / "leaky")
    card = json.loads((leaky / "card.json").read_text())
    card["config"]["protocol"] = "leaky"
    (leaky / "card.json").write_text(json.dumps(card))
    for options in ({"teachers": (str(leaky),)}, {"start": str(leaky)}):
        with pytest.raises(ValueError, match="leaky protocol, on test faces"):
            train.train(TrainConfig(**QUICK, **options), faces, tmp_path / "run", progress=None)


def test_votes_are_mixed_with_labels_and_then_with_teachers(finished, faces):
    part = ferplus.with_votes(faces).of("Training")
    some = replace(part, votes=np.roll(part.votes, 1, axis=0))  # each face has another's votes
    wanted = 0.75 * np.eye(7)[some.emotion] + 0.25 * ferplus.vote_shares(some.votes, some.emotion)
    assert np.allclose(teach.soft_targets(some, TrainConfig(**QUICK, votes=0.25)), wanted, atol=1e-6)
    taught = TrainConfig(**QUICK, votes=0.25, teachers=(str(finished),), teacher_share=0.4)
    teacher = teach.soft_targets(some, replace(taught, votes=0.0, teacher_share=1.0))
    assert np.allclose(teach.soft_targets(some, taught), 0.6 * wanted + 0.4 * teacher, atol=1e-5)
    with pytest.raises(DataError, match="needs FER.+votes"):
        teach.soft_targets(faces.of("Training"), TrainConfig(**QUICK, votes=0.25))
    with pytest.raises(ValueError, match="SMOTE's faces"):
        TrainConfig(**QUICK | {"balance": "smote"}, votes=0.25)
