"""Cards and trained networks on disk."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fer_utils.data.drawn import draw_faces
from fer_utils.errors import DataError
from fer_utils.networks import runs
from fer_utils.networks.card import Card, pack_answers
from fer_utils.networks.checked import check_answers
from fer_utils.networks.spec import FaceSpec
from tests.cards import card, card_values, scored

SHARED = Path(__file__).parents[2] / "models"


def write_card(folder, values):
    (folder / "card.json").write_text(values if isinstance(values, str) else json.dumps(values))


def test_every_shared_card_is_read():
    cards = [Card.read(path.parent) for path in sorted(SHARED.glob("*/card.json"))]
    assert len(cards) == 19
    for one in cards:
        assert one.folder.name == one.name and one.spec == FaceSpec.from_dict(one.values["spec"])
        assert one.reported[0] == ("PrivateTest" if one.honest else "leaky test")
        assert one.chosen_by == ("PublicTest" if one.honest else "leaky test")
        assert one.clean["accuracy"] < one.reported[1]["accuracy"]
        assert 0.5 < one.temperature < 4 and one.minutes > 10


def test_a_card_says_what_sets_its_training_apart():
    def words(**config):
        one = card(**config)
        return one.label, one.training

    assert words() == ("cnn3", "plain")
    assert words(augment="strong", seed=1) == ("cnn3, strong, seed 1", "augmentation strong, seed 1")
    assert words(balance="class_weights", augment="strong")[0] == "cnn3, strong, class weights"
    assert words(balance="under")[1] == "under-sampled" and words(balance="smote")[1] == "smote"
    assert words(teachers=["a"])[1] == "distilled" and words(votes=0.5, teachers=["a"])[1] == "votes, distilled"
    assert words(protocol="leaky", balance="over") == ("cnn3, leaky", "leaky protocol, over-sampled")
    assert Card.from_dict(card_values() | {"averaged": ["a", "b"]}, "mean").training == "averaged"


def test_a_card_reports_privatetest_or_what_takes_its_place():
    assert card(scores={"PublicTest": scored(), "PrivateTest": scored()}).reported[0] == "PrivateTest"
    assert card(scores={"validation": scored()}).reported[0] == "validation"
    assert card(protocol="leaky").reported[0] == "leaky test"


@pytest.mark.parametrize("change, says", [
    ("{", "not readable as JSON"),
    ("[]", "config.balance is missing"),
    ({"data": {"title": "FER2013"}}, "data.fingerprint is missing"),
    ({"temperature": 0}, "temperature must be a positive number or null, got 0"),
    ({"temperature": float("nan")}, "temperature must be a positive number or null, got nan"),
    ({"temperature": float("inf")}, "temperature must be"),
    ({"temperature": -1}, "temperature must be a positive number"),
    ({"temperature": 5e-324}, "temperature must be from 0.01 to 100, got 5e-324"),
    ({"temperature": 1e300}, "temperature must be from 0.01 to 100"),
    ({"spec": {"size": 10**9, "channels": 1, "scaling": "unit"}}, "spec.size must be at most 1000, got 1000000000"),
    ({"parameters": "many"}, "parameters must be a whole number, got many"),
    ({"config": card_values()["config"] | {"protocol": "other"}}, "config.protocol must be official or leaky"),
    ({"spec": {"size": 48, "colour": True}}, "spec is wrong: FaceSpec has no"),
    ({"scores": {}}, "scores must be an object"),
    ({"scores": {"PublicTest": scored(accuracy_interval=[0.5])}}, "scores.PublicTest.accuracy_interval must be two"),
    ({"scores": {"PublicTest": scored(confusion=[[1] * 7] * 6)}}, "confusion must be 7 rows of 7 counts"),
    ({"scores": {"PublicTest": scored(answers="0x")}}, "answers must be a digit from 0 to 6"),
    ({"scores": {"PublicTest": scored(clean={"confusion": 3})}}, "scores.PublicTest.clean.confusion must be"),
    ({"scores": {"PublicTest": scored(clean="x")}}, "scores.PublicTest.clean must be an object"),
    ({"scores": {"PublicTest": scored(clean={"n": "x"})}}, "scores.PublicTest.clean.n must be a whole number"),
    ({"averaged": 3}, "averaged must be a list of names"), ({"mflops": 10**400}, "mflops must be a number"),
    ({"config": card_values()["config"] | {"learning_rate": "x"}}, "config.learning_rate must be a number"),
    ({"config": card_values()["config"] | {"teachers": [[]]}}, "config.teachers must be a list of names"),
])
def test_a_damaged_card_names_its_file_the_field_and_what_to_do(tmp_path, change, says):
    write_card(tmp_path, change if isinstance(change, str) else card_values() | change)
    with pytest.raises(DataError, match=says) as error:
        Card.read(tmp_path)
    assert str(tmp_path / "card.json") in str(error.value) and "train again" in str(error.value)


def test_a_missing_field_is_named_whatever_it_is(tmp_path):
    for field in set(card_values()) - {"config"}:
        values = card_values()
        del values[field]
        write_card(tmp_path, values)
        with pytest.raises(DataError, match=f"{field}.* is missing"):
            runs.read_card(tmp_path)


def test_a_card_gives_the_answers_that_it_keeps():
    faces = draw_faces(70)
    predicted = np.arange(70) % 7
    accuracy = float((predicted == faces.emotion).mean())
    kept = card(scores={"PrivateTest": scored(accuracy, answers=pack_answers(predicted))})
    assert np.array_equal(kept.answers(faces), predicted)
    with pytest.raises(DataError, match="not the PrivateTest faces that it was scored on"):
        kept.answers(faces[faces.emotion.argsort()])  # as many faces, in another order
    with pytest.raises(DataError, match="no trained network"):  # without them its weights would have to answer
        card("nowhere").answers(faces)


def test_a_missing_network_is_named_with_a_remedy(tmp_path):
    with pytest.raises(DataError, match="train one with"):
        runs.load_model("nothing")
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(DataError, match="has not finished"):
        runs.run_folder(tmp_path)


def dense(units, *shape, activation="softmax"):
    import keras

    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(units, activation)])


def test_a_damaged_network_and_one_of_other_shapes_are_named(tmp_path):
    write_card(tmp_path, card_values())
    file = tmp_path / "model.keras"
    dense(7, 48, 48, 1).save(file)
    assert runs.load_model(tmp_path)[0].output_shape == (None, 7)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for config in (b"[]", b"null", b'{"module": "os", "class_name": "system", "config": {}, "registered_name": null}'):
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in (parts | {"config.json": config}).items():
                archive.writestr(name, data)
        with pytest.raises(DataError, match="model.keras: not readable as a Keras model"):
            runs.load_model(tmp_path)
    file.write_bytes(b"not a zip")
    with pytest.raises(DataError, match="model.keras: not readable as a Keras model"):
        runs.load_model(tmp_path)
    for other in (dense(5, 48, 48, 1), dense(7, 32, 32, 1), dense(7, 48, 48, 3), dense(7, 48)):
        other.save(file)
        with pytest.raises(DataError, match=r"model.keras: takes .* by its card.json it takes .*48, 48, 1"):
            runs.load_model(tmp_path)


@pytest.mark.parametrize("rows, said", [
    (np.full((2, 5), 0.2), r"shape \(2, 5\), not \(2, 7\)"), (np.full((2, 8), 1 / 8), r"shape \(2, 8\)"),
    (1.0, r"shape \(\)"),
    (np.full((2, 7), np.nan), "no probabilities"), (np.full((2, 7), 3.0), "no probabilities"),
    (np.array([[2, -1, 0, 0, 0, 0, 0]] * 2), "no probabilities"), (None, "cannot take what its card.json says")])
def test_answers_that_are_no_probabilities_of_the_emotions_are_refused(rows, said):
    check_answers(lambda faces: np.eye(7)[:2], FaceSpec(), Path("model.onnx"))
    with pytest.raises(DataError, match=f"model.onnx: .*{said}"):
        check_answers(lambda faces: np.asarray(rows) if rows is not None else 1 / 0, FaceSpec(), Path("model.onnx"))


def test_the_best_network_is_chosen_on_publictest_among_honest_ones():
    cards = [card("a", {"PublicTest": scored(0.6), "PrivateTest": scored(0.9)}),
             card("b", {"PublicTest": scored(0.7), "PrivateTest": scored(0.5)}),
             card("c", {"leaky test": scored(0.9)}, protocol="leaky")]
    assert runs.best_card(cards).name == "b"
    values = card("d", {"PublicTest": scored(0.8), "PrivateTest": scored(0.8)}).values | {"adopted": {"source": "shop"}}
    elsewhere = Card.from_dict(values, "d")
    assert runs.best_card([*cards, elsewhere]).name == "b", "who knows what d was chosen by"
    assert runs.best_card([elsewhere]).name == "d", "there is no other"
    with pytest.raises(DataError, match="leaky"):
        runs.best_card(cards[2:])
    with pytest.raises(DataError, match="no network"):
        runs.trained_cards(fingerprint="of no data")


def test_batches_do_not_change_predictions():
    import keras

    model = keras.Sequential([keras.Input((48, 48, 1)), keras.layers.Flatten(),
                              keras.layers.Dense(7, activation="softmax")])
    pixels = np.random.default_rng(0).integers(0, 256, (10, 48, 48), np.uint8)
    whole = runs.predict_probabilities(model, pixels, FaceSpec())
    np.testing.assert_allclose(whole, model.predict(pixels[..., None] / 255, verbose=0), atol=1e-5)
    np.testing.assert_allclose(runs.predict_probabilities(model, pixels, FaceSpec(), batch_size=4), whole,
                               atol=1e-6)
    assert runs.predict_probabilities(model, pixels[:0], FaceSpec()).shape == (0, 7)


def test_views_are_mirrored_and_shifted_by_two_pixels():
    rng = np.random.default_rng(0)
    face = rng.integers(0, 256, (3, 48, 48), np.uint8)
    assert [v.shape for v in runs.face_views(face, 1)] == [(3, 48, 48)] and (runs.face_views(face, 1)[0] == face).all()
    views = runs.face_views(face, 10)
    assert len(views) == 10 and len({view.tobytes() for view in views}) == 10
    for view, mirrored in zip(views[::2], views[1::2]):
        assert (view[:, :, ::-1] == mirrored).all()
    rows, columns = np.mgrid[:48, :48]
    for view, (down, right) in zip(views[::2], [(0, 0), (-2, 0), (2, 0), (0, -2), (0, 2)]):
        assert (view == face[:, (rows + down).clip(0, 47), (columns + right).clip(0, 47)]).all()
    with pytest.raises(ValueError, match="1, 2, 10, got 3"):
        runs.face_views(face, 3)
