import cv2
import numpy as np
import pytest

from fer_utils.networks.spec import FaceSpec, face_to_tensor, one_hot, to_gray


@pytest.fixture
def faces():
    return np.random.default_rng(0).integers(0, 256, (5, 48, 48), np.uint8)


def test_unit_scaling_is_the_gray_value_over_255(faces):
    x = face_to_tensor(faces, FaceSpec())
    assert x.shape == (5, 48, 48, 1) and x.dtype == np.float32
    np.testing.assert_allclose(x[..., 0], faces / 255, atol=1e-7)


def test_standard_scaling_is_each_faces_own_z_score(faces):
    x = face_to_tensor(faces, FaceSpec(scaling="standard"))
    expected = (faces - faces.mean((1, 2), keepdims=True)) / faces.std((1, 2), keepdims=True)
    np.testing.assert_allclose(x[..., 0], expected, atol=1e-5)


def test_standard_scaling_takes_light_and_contrast_out(faces):
    dim = (faces // 2 + 20).astype(np.uint8)
    spec = FaceSpec(scaling="standard")
    np.testing.assert_allclose(face_to_tensor(faces, spec), face_to_tensor(dim, spec), atol=0.03)


def test_a_blank_face_stays_finite():
    blank = np.full((1, 48, 48), 77, np.uint8)
    assert np.abs(face_to_tensor(blank, FaceSpec(scaling="standard"))).max() == 0


def test_three_channels_of_size_100_are_one_gray_value(faces):
    x = face_to_tensor(faces, FaceSpec(100, 3))
    assert x.shape == (5, 100, 100, 3)
    np.testing.assert_array_equal(x[..., 0], x[..., 2])
    np.testing.assert_allclose(x[0, ..., 0], cv2.resize(faces[0], (100, 100), interpolation=cv2.INTER_CUBIC) / 255,
                               atol=1e-7)


def test_crops_of_any_size_and_colour_meet_the_same_tensor(faces):
    rgb = np.repeat(faces[0][:, :, None], 3, axis=2)
    rgba = np.concatenate([rgb, np.full((48, 48, 1), 255, np.uint8)], axis=2)
    big = np.kron(faces[0], np.ones((4, 4), np.uint8))
    x = face_to_tensor([faces[0], faces[0][:, :, None], rgb, rgba, big], FaceSpec())
    for other in x[1:]:
        np.testing.assert_allclose(other, x[0], atol=1.01 / 255)


def test_red_counts_as_red():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert to_gray(red)[0, 0] == 76  # .299 × 255, ITU-R BT.601


def test_no_faces_make_an_empty_tensor():
    assert face_to_tensor(np.empty((0, 48, 48), np.uint8), FaceSpec()).shape == (0, 48, 48, 1)
    assert face_to_tensor([], FaceSpec(100, 3)).shape == (0, 100, 100, 3)


@pytest.mark.parametrize("bad, says", [
    (np.zeros((48, 48), np.uint8), r"write faces\[None\]"),
    (np.zeros((2, 48, 48)), "uint8"),
    ([np.zeros((0, 4), np.uint8)], "at least one pixel"),
    ([np.zeros((4, 4, 2), np.uint8)], r"\(4, 4, 2\)"),
])
def test_what_is_no_face_is_refused(bad, says):
    with pytest.raises(ValueError, match=says):
        face_to_tensor(bad, FaceSpec())


def test_one_hot():
    np.testing.assert_array_equal(one_hot([2, 0]), [[0, 0, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]])
    with pytest.raises(ValueError, match="label -1 of row 1"):
        one_hot([3, -1])


def test_spec_survives_json_and_refuses_the_unknown():
    spec = FaceSpec(100, 3, "standard")
    assert FaceSpec.from_dict(spec.to_dict()) == spec and spec.input_shape == (100, 100, 3)
    with pytest.raises(ValueError, match="colour"):
        FaceSpec.from_dict({"colour": True})
    for values in ({"size": 4}, {"channels": 2}, {"scaling": "minmax"}, {"enlarge": "area"}):
        with pytest.raises(ValueError, match=next(iter(values))):
            FaceSpec(**values)


def test_a_network_of_others_gets_faces_enlarged_as_there(faces):
    spec = FaceSpec(64, enlarge="linear")
    expected = np.stack([cv2.resize(face, (64, 64)) for face in faces])  # OpenCV's default
    np.testing.assert_array_equal(face_to_tensor(faces, spec)[..., 0], expected.astype(np.float32) / 255)
    assert FaceSpec.from_dict(spec.to_dict()) == spec
    assert set(FaceSpec().to_dict()) == {"size", "channels", "scaling"}, "shared cards have no more"
