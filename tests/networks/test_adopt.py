"""Networks of other projects: hand-made ones, of which NumPy says what they must answer."""

import dataclasses
import json
import warnings

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper

from fer_utils import cli, paths
from fer_utils.data import copies
from fer_utils.data.faceset import FaceSet
from fer_utils.errors import DataError
from fer_utils.evaluation import evaluate, gradcam, tables
from fer_utils.labels import EMOTIONS
from fer_utils.networks import convert, runs
from fer_utils.networks.adopt import Adoption, adopt
from fer_utils.networks.card import Card
from fer_utils.vision.predict import Predictor

BIAS = np.linspace(0, 0.9, 8, dtype=np.float32)
"""Large enough to mislead the network where the faces are not scaled to -1..1."""


@pytest.fixture(scope="module")
def striped():
    """Faces of which one of seven stripes is bright: the one of their emotion."""
    rng = np.random.default_rng(0)
    emotion = np.tile(np.arange(7), 40)
    pixels = np.full((len(emotion), 48, 48), 50)
    for face, label in zip(pixels, emotion):
        face[:, 6 * label:6 * label + 6] = 200
    pixels += rng.integers(-20, 20, pixels.shape)
    usage = np.repeat(["Training", "PublicTest", "PrivateTest"], [140, 70, 70])
    return FaceSet(pixels.astype(np.uint8), emotion.astype(np.int8), usage, "stripes", "arrays")


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    # The search takes seconds, and is not what is tested.
    monkeypatch.setattr(copies, "near_duplicates", lambda *_, **__: pd.DataFrame({"i": [], "j": []}, dtype=int))


def write(path, order=range(7), layout="NCHW", batch="N", logits=True, element=TensorProto.FLOAT, opset=17):
    """Write a network whose output k is the mean of stripe `order[k]` and a bias; stripe 7 is the dark rest."""
    weights = np.zeros((48, 48, 8), np.float32)
    for stripe in range(8):
        weights[:, 6 * stripe:6 * stripe + 6, stripe] = 1 / (48 * 6)
    order = list(order)
    shape = [batch, 1, 48, 48] if layout == "NCHW" else [batch, 48, 48, 1]
    inside = 1 if batch == 1 else -1
    nodes = [helper.make_node("Cast", ["face"], ["real"], to=TensorProto.FLOAT),
             helper.make_node("Reshape", ["real", "flat"], ["row"]),
             helper.make_node("MatMul", ["row", "weights"], ["sums"]),
             helper.make_node("Add", ["sums", "bias"], ["out"])]
    if not logits:
        nodes.append(helper.make_node("Softmax", ["out"], ["probabilities"], axis=1))
    constants = {"flat": np.array([inside, 2304]), "weights": weights.reshape(2304, 8)[:, order], "bias": BIAS[order]}
    graph = helper.make_graph(
        nodes, "stripes", [helper.make_tensor_value_info("face", element, shape)],
        [helper.make_tensor_value_info("out" if logits else "probabilities", TensorProto.FLOAT, [batch, len(order)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def truth(pixels, kept=range(7)):
    """Return the probabilities that the network of `write` gives to the stripes of `kept`, 0 to the others."""
    x = pixels.astype(np.float64) / 255 * 2 - 1
    powers = np.exp([[face[:, 6 * k:6 * k + 6].mean() + BIAS[k] for k in range(7)] for face in x])
    powers *= np.isin(range(7), list(kept))
    return powers / powers.sum(axis=1, keepdims=True)


NAMES = (*EMOTIONS, "contempt")


@pytest.mark.parametrize("order, options", [
    ((6, 3, 5, 4, 0, 1, 2, 7), {"batch": 1, "opset": 8}),  # as FER+'s network: eight logits, one face at a time
    ((6, 3, 5, 4, 0, 1, 2, 7), {"logits": False, "layout": "NHWC"}),
    ((0, 2, 3, 4, 5, 6), {"layout": "NHWC"}),  # without disgust
    (range(7), {"logits": False, "opset": 13})])
def test_a_network_of_any_form_answers_as_its_weights_say(striped, tmp_path, order, options):
    file = write(tmp_path / "net.onnx", order, **options)
    folder = adopt(Adoption(file, "strange", tuple(NAMES[k] for k in order), "-1..1", (48, 48, 1),
                            logits=options.get("logits", True)), striped)
    card, expected = Card.read(folder), truth(striped.pixels, order)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    assert [(one.shape[1:], one.type) for one in (*session.get_inputs(), *session.get_outputs())] == [
        ([48, 48, 1], "tensor(float)"), ([7], "tensor(float)")]
    network, _ = runs.load_model("strange")
    np.testing.assert_allclose(runs.predict_probabilities(network, striped.pixels, card.spec), expected, atol=1e-5)
    test = striped.usage == "PrivateTest"
    assert card.scores["PrivateTest"]["accuracy"] == pytest.approx(
        (expected.argmax(1) == striped.emotion)[test].mean(), abs=1e-6)
    known = card.adopted
    assert known["dropped"] == (["contempt"] if 7 in order else [])
    assert known["missing"] == (["disgust"] if 1 not in order else [])
    assert 0.1 <= card.temperature < 5, "not of faces that it cannot name"
    assert card.label == "strange, trained elsewhere" and len(known["sha256"]) == 64
    assert card.origin == "not ours, from net.onnx; its training data is not known to us"


def test_an_adopted_network_is_used_like_any_other(striped, tmp_path, monkeypatch, capsys):
    file = write(tmp_path / "net.onnx", element=TensorProto.UINT8)
    with pytest.warns(UserWarning, match="cannot be told"):
        adopt(Adoption(file, "first", EMOTIONS, "0..255", logits=True), dataclasses.replace(striped, layout="drawn"))
    file = write(tmp_path / "net.onnx")
    with pytest.warns(UserWarning, match="only drawn faces: whether --labels and --scale are right cannot be told"):
        assert cli.main(["adopt", str(file), "--name", "other", "--labels", ",".join(EMOTIONS), "--scale", "-1..1",
                         "--logits", "--source", "a friend", "--data", "drawn:70"]) == 0
    said = capsys.readouterr().out
    assert "other, trained elsewhere: not ours, from a friend; its training data is not known to us" in said
    assert cli.main(["evaluate", "other", "--data", "drawn:70", "--json"]) == 0
    said, card = json.loads(capsys.readouterr().out), runs.read_card("other")
    assert said["accuracy"] == card.scores["PrivateTest"]["accuracy"]
    np.testing.assert_allclose(Predictor("other", "haar").probabilities(striped.pixels[:9]).argmax(1),
                               truth(striped.pixels[:9]).argmax(1))
    assert evaluate.evaluate_run("other+first", striped)["n"] == 70
    assert tables.results_table([card])["label"].tolist() == ["other, trained elsewhere"]
    with pytest.raises(DataError, match="other: has no model.keras, only model.onnx.*Grad-CAM"):
        gradcam.grad_cam(runs.load_model("other")[0], np.zeros((1, 48, 48, 1)))
    for refused, why in ((["export", "other"], "has no model.keras"),
                         (["push", "other", "me/net", "--dry-run"], "other is not ours, from a friend")):
        assert cli.main(refused) == 1 and why in capsys.readouterr().err


@pytest.mark.parametrize("written, options, said", [
    ({"order": range(8)}, {}, "gives 8 values for a face, but --labels names 7"),
    ({}, {"labels": NAMES}, "gives 7 values for a face, but --labels names 8"),
    ({}, {"logits": False}, "its values are no probabilities.*give --logits"),
    ({"logits": False}, {}, "are probabilities already.*leave --logits out"),
    ({}, {"shape": (64, 64, 1)}, r"takes an array of \?×1×48×48.*not 64x64x1; give height"),
    ({}, {"shape": (48, 48, 3)}, r"takes an array of \?×1×48×48.*not 48x48x3"),
    ({"batch": 4}, {}, "takes exactly 4 faces at once"),
    ({"element": TensorProto.UINT8}, {}, "takes numbers of type uint8; .*give --scale 0..255"),
    ({"order": (1, 0, 2, 3, 4, 5, 6)}, {}, "another order than the outputs.*the order is disgust,angry,fear,happy,sad"),
    ({}, {"scale": "0..1"}, r"--scale 0..1: only .*with --scale -1..1"),
    ({"order": [0] * 7}, {}, "to name one emotion always would be right on 14%")])
def test_what_is_said_of_a_network_and_is_not_so_is_one_clear_error(striped, tmp_path, written, options, said):
    file = write(tmp_path / "net.onnx", **written)
    with pytest.raises(ValueError, match=said), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            adopt(Adoption(**{"file": file, "name": "x", "labels": EMOTIONS, "scale": "-1..1", "logits": True}
                           | options), striped)
        except UserWarning as warning:
            raise ValueError(str(warning)) from warning
    assert not (paths.RUNS / "x" / "model.onnx").exists()


@pytest.mark.parametrize("options, said", [
    ({"labels": (*EMOTIONS[:3], "hapy", *EMOTIONS[4:])}, "'hapy' is not known, did you mean happy"),
    ({"labels": (*EMOTIONS[:6], "angry")}, "outputs 1 and 7 both mean angry"),
    ({"labels": ("0", "cat")}, "'cat' is not known"), ({"labels": ("happy", "-")}, "fewer than two"),
    ({"scale": "1..0"}, "must be LOW..HIGH"), ({"scale": "imagenet"}, "for three channels, imagenet"),
    ({"shape": (48, 64, 1)}, "--input 48x64x1: faces are squares"), ({"name": "../x"}, "to name a folder"),
    ({"name": "fer_net"}, "is a network of this project"), ({"enlarge": "nearest"}, "must be one of cubic, linear")])
def test_options_that_cannot_be_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Adoption(**{"file": "x", "name": "x", "labels": EMOTIONS, "scale": "-1..1", "shape": (48, 48, 1)} | options)


def test_files_that_are_no_network_are_named(tmp_path):
    for name, content, said in (("a.onnx", b"no", "not readable as a network"), ("a.pt", b"", "is none of .onnx"),
                                ("a.tflite", b"no", "not readable as a network"), ("a.h5", b"no", "not readable as a"),
                                ("b.onnx", None, "there is no such file")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}.*{said}"):
            convert.read_network(tmp_path / name, None)


def test_keras_h5_and_tflite_give_what_keras_gives(finished, faces, tmp_path):
    import tensorflow as tf

    model, card = runs.load_model(finished)
    expected = runs.predict_probabilities(model, faces.pixels, card.spec)
    model.save(tmp_path / "net.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "net.h5")
        (tmp_path / "net.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
        for kind in ("keras", "h5", "tflite"):
            folder = adopt(Adoption(tmp_path / f"net.{kind}", kind, EMOTIONS, "0..1", enlarge="cubic"), faces)
            network, theirs = runs.load_model(kind)
            np.testing.assert_allclose(runs.predict_probabilities(network, faces.pixels, theirs.spec), expected,
                                       atol=1e-4, err_msg=kind)
            assert sorted(path.name for path in folder.iterdir()) == ["card.json", "history.csv", "model.onnx"]
            assert theirs.mflops == pytest.approx(card.mflops, rel=0.02)
