import importlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_utils import errors, metrics
from fer_utils.cli import main
from fer_utils.data.drawn import draw_faces
from fer_utils.errors import DataError
from fer_utils.labels import EMOTIONS
from fer_utils.networks import export, runs
from fer_utils.vision import predict

SHARED = Path(__file__).resolve().parents[2] / "models"
NETWORKS = [p.parent for p in SHARED.glob("*/model.onnx")]


@pytest.fixture(scope="module")
def predictor():
    return predict.Predictor(SHARED / "fer_net", "haar")


@pytest.mark.parametrize("folder", NETWORKS, ids=lambda p: p.name)
def test_onnx_and_keras_give_the_same_probabilities(folder):
    crops = draw_faces(40, seed=3).pixels
    noise = np.random.default_rng(0).integers(0, 256, (24, 48, 48), np.uint8)
    crops = np.concatenate([crops, noise])
    a = predict.Predictor(folder, "haar").probabilities(crops)
    b = predict.Predictor(folder, "haar", engine="keras").probabilities(crops)
    assert np.abs(a - b).max() <= 1e-4 and np.allclose(a.sum(1), 1, atol=1e-5)


def test_every_shared_network_of_ours_has_onnx():
    assert {"fer_net", "fer_net_tiny"} <= {p.name for p in NETWORKS}


def test_probabilities_are_calibrated_by_the_cards_temperature(predictor):
    crops = draw_faces(7).pixels
    network, card = runs.load_model(SHARED / "fer_net")
    raw = runs.predict_probabilities(network, crops, predictor.spec)
    assert np.allclose(predictor.probabilities(crops), metrics.apply_temperature(raw, card.temperature), atol=1e-5)


def test_the_portraits_face_is_found_and_read(predictor, portrait):
    (face,) = predictor.faces(portrait)
    assert face.emotion in ("neutral", "happy") and 0.2 < face.confidence <= 1
    described = json.loads(json.dumps(face.to_dict()))
    assert list(described) == ["box", "score", "emotion", "probabilities"]
    assert list(described["probabilities"]) == list(EMOTIONS)
    x, y, w, h = face.box
    assert 0 <= x < x + w <= portrait.shape[1] and 0 <= y < y + h <= portrait.shape[0]


def test_gray_alpha_and_sixteen_bit_images_give_the_same_face(predictor, portrait):
    (face,) = predictor.faces(portrait)
    opaque = np.dstack([portrait, np.full(portrait.shape[:2], 255, np.uint8)])
    for image in (opaque, portrait.astype(np.uint16) * 257):
        (other,) = predictor.faces(image)
        assert other.box == face.box and np.allclose(other.probabilities, face.probabilities, atol=1e-5)
    assert len(predictor.faces(portrait[..., 1])) == 1


def test_all_faces_of_a_frame_go_in_one_batch(predictor, portrait):
    sizes = []
    network = predictor._network
    predictor._network = lambda x: sizes.append(len(x)) or network(x)
    try:
        assert len(predictor.faces(np.hstack([portrait, portrait, portrait]))) == 3
    finally:
        predictor._network = network
    assert sizes == [3]


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 3), (30, 700, 3)])
def test_no_face_no_answer(predictor, shape):
    assert predictor.faces(np.zeros(shape, np.uint8)) == []
    assert predictor.probabilities([]).shape == (0, 7)


def test_starting_a_predictor_loads_neither_tensorflow_nor_pandas():
    code = ("import sys; from fer_utils.vision.predict import Predictor; Predictor(sys.argv[1], 'haar'); "
            "print([m for m in ('tensorflow', 'keras', 'pandas', 'matplotlib') if m in sys.modules])")
    out = subprocess.run([sys.executable, "-c", code, SHARED / "fer_net"], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_errors_name_the_remedy(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="no trained network 'none'"):
        predict.Predictor("none", "haar")
    with pytest.raises(ValueError, match="engine must be one of onnx, keras"):
        predict.Predictor(SHARED / "fer_net", "haar", engine="torch")
    folder = shutil.copytree(SHARED / "fer_net", tmp_path / "net")
    (folder / "model.onnx").write_bytes(b"broken")
    with pytest.raises(DataError, match="not readable.*fer_utils export"):
        predict.Predictor(folder, "haar")
    (folder / "model.onnx").unlink()
    monkeypatch.setattr(export, "export_onnx", lambda name: importlib.import_module("tf2onnx_that_is_missing"))
    monkeypatch.setitem(errors.EXTRAS["train"], "tf2onnx_that_is_missing", "tf2onnx")
    with pytest.raises(DataError, match="could not be written .this needs tf2onnx.*fer_utils export"):
        predict.Predictor(folder, "haar")


def test_a_missing_onnx_is_written_on_first_use_and_computes_what_keras_does(tmp_path, portrait, capsys):
    odd = os.fsdecode(b"n\xe9t") if sys.platform == "linux" else "net"
    folder = shutil.copytree(SHARED / "fer_net", tmp_path / odd)
    (folder / "model.onnx").unlink()
    (face,) = predict.Predictor(folder, "haar").faces(portrait)  # which writes model.onnx, for it is not there
    assert "writing it, once" in capsys.readouterr().err
    assert export.onnx_file(folder) == folder / "model.onnx" and capsys.readouterr().err == ""
    assert sorted(path.name for path in folder.glob("*")) == sorted(p.name for p in (SHARED / "fer_net").glob("*"))
    (same,) = predict.Predictor(SHARED / "fer_net", "haar").faces(portrait)
    assert np.allclose(face.probabilities, same.probabilities, atol=1e-5)


class TestCommand:
    """``python -m fer_utils predict``."""

    OPTIONS = ["--model", str(SHARED / "fer_net"), "--detector", "haar"]

    @pytest.fixture
    def folder(self, tmp_path, portrait):
        for name in ("a.png", "b/a.png", "a-2.png"):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(portrait).save(path)
        return tmp_path

    def test_one_entry_a_file_in_order_and_status_1_for_what_cannot_be_read(self, folder, predictor, portrait, capsys):
        (folder / "text.jpg").write_text("no photo")
        files = [str(folder / name) for name in ("none.jpg", "a.png", "text.jpg", "b/a.png")]
        assert main(["predict", *files, "--json", *self.OPTIONS]) == 1
        photos = json.loads(capsys.readouterr().out)["photos"]
        assert [photo["file"] for photo in photos] == files
        assert "no such file" in photos[0]["error"] and "not an image" in photos[2]["error"]
        assert photos[0]["faces"] == [] and photos[0]["width"] is None
        expected = {"file": files[1], "width": 512, "height": 600, "error": None,
                    "faces": [face.to_dict() for face in predictor.faces(portrait)]}
        assert photos[1] == expected and photos[3] == expected | {"file": files[3]}
        assert main(["predict", files[1], *self.OPTIONS]) == 0

    def test_pictures_that_are_faces_already_are_classified_as_they_are(self, tmp_path, predictor, capsys):
        faces = draw_faces(3, seed=1).pixels
        files = [str(tmp_path / f"{i}.png") for i in range(3)]
        for file, face in zip(files, faces):
            Image.fromarray(face).save(file)
        gray = str(tmp_path / "gray.png")
        Image.new("L", (48, 48), 90).save(gray)
        assert main(["predict", gray, *self.OPTIONS]) == 0
        assert capsys.readouterr().out == (f"{gray}: 0 faces\n  as small as a face alone: --crops classifies such "
                                           "pictures as they are\n")
        assert main(["predict", *files, "--crops", "--json", *self.OPTIONS]) == 0
        found = [face for photo in json.loads(capsys.readouterr().out)["photos"] for face in photo["faces"]]
        assert [face["box"] for face in found] == [[0, 0, 48, 48]] * 3
        right = predictor.probabilities(faces)
        np.testing.assert_allclose([list(face["probabilities"].values()) for face in found], right, atol=1e-3)

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are not UTF-8")
    def test_odd_names_and_pipes(self, folder, monkeypatch, capfdbinary):
        os.mkfifo(folder / "pipe.png")
        names = [b"caf\xe9.png", b"12:30.png", b"=1.png", b"no ending"]
        monkeypatch.chdir(folder)
        for name in names:
            shutil.copy(b"a.png", name)
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(open(1, "wb", closefd=False), encoding="utf-8"))
        files = [os.fsdecode(name) for name in (*names, b"pipe.png")]
        assert main(["predict", *files, "--save", os.fsdecode(b"\xe9"), *self.OPTIONS]) == 1
        sys.stdout.flush()
        assert capfdbinary.readouterr().out.count(b": 1 face\n") == 4
        assert len(os.listdir(b"\xe9")) == 4

    def test_marked_photos_replace_neither_those_given_nor_each_other(self, folder, capsys):
        files = [folder / name for name in ("a.png", "b/a.png", "a-2.png")]
        before = [file.read_bytes() for file in files]
        for _ in range(2):  # the second run replaces what the first one wrote
            assert main(["predict", *map(str, files), "--save", str(folder), *self.OPTIONS]) == 0
            assert [file.read_bytes() for file in files] == before
            written = sorted(p.name for p in folder.glob("*.png") if p not in files)
            assert written == ["a-2-2.png", "a-3.png", "a-4.png"]

    def test_a_full_disk_is_named_and_the_picture_before_is_kept(self, folder, limited_files, capsys):
        call = ["predict", str(folder / "a.png"), "--save", str(folder / "out"), *self.OPTIONS]
        assert main(call) == 0
        before = (folder / "out" / "a.png").read_bytes()
        limited_files(len(before) // 2)
        assert main(call) == 1 and "a.png: File too large" in capsys.readouterr().err
        assert [path.read_bytes() for path in (folder / "out").iterdir()] == [before]

    def test_a_file_of_the_users_own_is_not_replaced(self, folder, portrait, capsys):
        Image.fromarray(portrait).save(folder / "face.jpg")
        (folder / "face.png").write_bytes((folder / "a.png").read_bytes())
        for _ in range(2):
            assert main(["predict", str(folder / "face.jpg"), "--save", str(folder), *self.OPTIONS]) == 0
            assert (folder / "face.png").read_bytes() == (folder / "a.png").read_bytes()
            assert [p.name for p in folder.glob("face-*")] == ["face-2.png"]
            assert f"marked in {folder / 'face-2.png'}\n" in capsys.readouterr().out

    def test_whatever_one_photo_breaks_the_others_go_on(self, folder, monkeypatch, capsys):
        find = predict.Predictor.faces
        monkeypatch.setattr(predict.Predictor, "faces", lambda self, image: find(self, image) if image.shape[0] > 100
                            else 1 / 0)
        Image.new("RGB", (50, 50)).save(folder / "small.png")
        files = [str(folder / "small.png"), str(folder / "a.png")]
        assert main(["predict", *files, "--json", *self.OPTIONS]) == 1
        photos = json.loads(capsys.readouterr().out)["photos"]
        assert "ZeroDivisionError" in photos[0]["error"] and len(photos[1]["faces"]) == 1
