"""Grad-CAM against cases that can be worked out by hand."""

import numpy as np
import pytest

from fer_utils.evaluation.gradcam import explained_layer, grad_cam
from fer_utils.networks import zoo

keras = pytest.importorskip("keras")
layers = keras.layers


def gap_network(softmax="layer", size=6, channels=3, classes=4, name="gap"):
    """1×1 convolution, global average pooling, dense: Grad-CAM has a closed form."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((size, size, channels))
    maps = layers.Conv2D(5, 1, name="conv")(inputs)
    pooled = layers.GlobalAveragePooling2D()(maps)
    dense = layers.Dense(classes, activation="softmax" if softmax == "dense" else None, name="logits")
    outputs = dense(pooled)
    if softmax == "layer":
        outputs = layers.Softmax()(outputs)
    return keras.Model(inputs, outputs, name=name)


def faces(n=4, size=6, channels=3, seed=0):
    return np.random.default_rng(seed).random((n, size, size, channels), dtype="float32")


def by_hand(model, x, class_index):
    """The class score is mean(A) · w + b, so the maps' weights are w / (h·w): 0-1 scaling drops the divisor."""
    kernel, bias = model.get_layer("conv").get_weights()
    maps = x @ kernel[0, 0] + bias
    w = model.get_layer("logits").get_weights()[0]
    heat = np.maximum(np.stack([a @ w[:, c] for a, c in zip(maps, class_index)]), 0)
    largest = heat.max(axis=(1, 2), keepdims=True)
    return heat / np.where(largest > 0, largest, 1)


@pytest.mark.parametrize("softmax", ["none", "layer"])
def test_equals_the_closed_form(softmax):
    model, x = gap_network(softmax), faces()
    for c in range(4):
        heat = grad_cam(model, x, class_index=c)
        assert heat.dtype == np.float32 and heat.shape == (4, 6, 6)
        np.testing.assert_allclose(heat, by_hand(model, x, [c] * 4), atol=1e-5)
    each = [3, 0, 2, 1]
    np.testing.assert_allclose(grad_cam(model, x, each), by_hand(model, x, each), atol=1e-5)


def test_explains_the_predicted_class_by_default():
    model, x = gap_network(), faces(8)
    predicted = np.argmax(keras.ops.convert_to_numpy(model(x)), axis=1)
    np.testing.assert_allclose(grad_cam(model, x), by_hand(model, x, predicted), atol=1e-5)


def test_a_sure_network_still_has_a_heatmap():
    """The gradient after the softmax is 0 in float32 here; Grad-CAM must take it before."""
    model, x = gap_network(), faces()
    w, b = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([np.abs(w), b + np.array([500, 0, 0, 0], "float32")])
    conv, bias = model.get_layer("conv").get_weights()
    model.get_layer("conv").set_weights([np.abs(conv), bias])
    assert grad_cam(model, x).max(axis=(1, 2)) == pytest.approx(np.ones(4))


def test_resizes_and_points_at_the_right_place():
    """One map that copies the input's brightness: the bright corner of the face must be the hot one."""
    inputs = keras.Input((16, 16, 1))
    maps = layers.MaxPooling2D(name="pool")(layers.Conv2D(1, 2, strides=2, name="conv")(inputs))
    outputs = layers.Dense(2, name="logits")(layers.GlobalAveragePooling2D()(maps))
    model = keras.Model(inputs, outputs)
    model.get_layer("conv").set_weights([np.full((2, 2, 1, 1), 0.25), np.zeros(1)])
    model.get_layer("logits").set_weights([np.array([[1.0, -1.0]]), np.zeros(2)])
    x = np.zeros((2, 16, 16, 1), "float32")
    x[0, :4, :4] = 1
    heat = grad_cam(model, x, 0)
    assert heat.shape == (2, 16, 16) and heat[0].max() == 1 and heat[0, 0, 0] == 1
    assert heat[0, 6:, 6:].max() == 0
    assert (grad_cam(model, x, 1) == 0).all(), "no place speaks for class 1"
    # The coarser pooled maps only when asked for: max pooling's gradient goes to one of equals, the place stays.
    assert grad_cam(model, x, 0, layer="pool")[0, 0, 0] == 1


def test_batches_do_not_matter():
    model, x = gap_network(), faces(7)
    np.testing.assert_allclose(grad_cam(model, x, batch_size=3), grad_cam(model, x), atol=1e-6)
    assert grad_cam(model, x[:0]).shape == (0, 6, 6)


def residual_network():
    inputs = keras.Input((12, 12, 1))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    y = layers.BatchNormalization(name="in_branch")(layers.Conv2D(4, 3, padding="same")(x))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(4, 1, activation="sigmoid")(gate)
    y = layers.ReLU(name="sum_relu")(layers.Add()([x, layers.Multiply()([y, gate])]))
    y = layers.Dropout(0.2)(layers.MaxPooling2D()(y))
    return keras.Model(inputs, layers.Softmax()(layers.Dense(7)(layers.Flatten()(y))), name="residual")


def test_explained_layer_is_the_last_before_pooling():
    model = residual_network()
    assert explained_layer(model) == "sum_relu"
    heat = grad_cam(model, faces(2, 12, 1))
    assert heat.shape == (2, 12, 12) and 0 <= heat.min() and heat.max() <= 1
    with pytest.raises(ValueError, match="'in_branch' of network 'residual' has a short cut"):
        grad_cam(model, faces(2, 12, 1), layer="in_branch")


@pytest.mark.parametrize("size, expected", [(24, "middle"), (8, "first"), (4, "middle")])
def test_maps_too_small_to_show_a_part_of_the_face_are_passed_over(size, expected):
    inputs = keras.Input((size, size, 1))
    x = layers.MaxPooling2D()(layers.Conv2D(3, 3, padding="same", name="first")(inputs))
    x = layers.MaxPooling2D()(layers.Conv2D(3, 3, padding="same", name="middle")(x))
    x = layers.Conv2D(3, 3, strides=2, padding="same", name="last")(x)
    # Maps of 24, 12 and 3 pixels; of 8, 4 and 1; of 4, 2 and 1, where the last that is more than a point must serve.
    assert explained_layer(keras.Model(inputs, layers.Dense(7)(layers.Flatten()(x)))) == expected


@pytest.mark.parametrize("name", list(zoo.NETWORKS))
def test_every_network_of_ours_can_be_explained(name):
    model = zoo.build(name)
    assert min(model.get_layer(explained_layer(model)).output.shape[1:3]) >= 5
    shape = zoo.network(name).spec.input_shape
    heat = grad_cam(model, faces(1, shape[0], shape[2]))
    assert heat.shape == (1, *shape[:2]) and heat.max() <= 1


def test_leaves_the_network_as_it_was(tmp_path):
    model, x = residual_network(), faces(5, 12, 1)
    before = keras.ops.convert_to_numpy(model(x))
    weights = model.get_weights()
    for _ in range(3):
        grad_cam(model, x)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(x)), before)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(x)), before)
    for a, b in zip(weights, model.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_the_gradient_stops_at_the_maps():
    """A strided 1×1 convolution before the maps: its own gradient crashes TensorFlow 2.21 on CPU for odd batches."""
    inputs = keras.Input((44, 44, 8))
    x = layers.Conv2D(7, 3, padding="same")(layers.Conv2D(16, 1, strides=2)(inputs))
    model = keras.Model(inputs, layers.Softmax()(layers.GlobalAveragePooling2D()(x)))
    assert grad_cam(model, faces(3, 44, 8)).shape == (3, 44, 44)


def test_bfloat16_networks():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, dtype="mixed_bfloat16")(inputs)
    x = layers.GlobalAveragePooling2D(dtype="mixed_bfloat16")(x)
    model = keras.Model(inputs, layers.Softmax(dtype="float32")(layers.Dense(7, dtype="float32")(x)))
    heat = grad_cam(model, faces(3, 8, 1), 2)
    assert heat.dtype == np.float32 and np.isfinite(heat).all()


def test_errors_name_what_is_wrong():
    inputs = keras.Input((6, 6, 3))
    flat = keras.Model(inputs, layers.Dense(4)(layers.Flatten()(inputs)), name="just_dense")
    with pytest.raises(ValueError, match="just_dense.*no convolution"):
        grad_cam(flat, faces())
    nested = keras.Model(inputs, gap_network()(inputs), name="wrapped")
    with pytest.raises(ValueError, match="wrapped.*no convolution"):
        grad_cam(nested, faces())
    with pytest.raises(ValueError, match="'gap' is a part of its Dense layer.*Softmax layer of its own"):
        grad_cam(gap_network("dense"), faces())
    model = gap_network()
    with pytest.raises(ValueError, match=r"takes faces of shape \(N, 6, 6, 3\)"):
        grad_cam(model, faces(channels=1))
    with pytest.raises(ValueError, match="no layer 'conv9'"):
        grad_cam(model, faces(), layer="conv9")
    with pytest.raises(ValueError, match="'logits'.*needs feature maps"):
        grad_cam(model, faces(), layer="logits")
    with pytest.raises(ValueError, match="class_index must be 0 to 3"):
        grad_cam(model, faces(), class_index=4)
