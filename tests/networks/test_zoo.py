import numpy as np
import pytest

from fer_utils.labels import N_CLASSES
from fer_utils.networks import zoo


@pytest.fixture(scope="module")
def models():
    return {name: zoo.build(name) for name in zoo.NETWORKS}


@pytest.mark.parametrize("name, parameters", [
    ("cnn4_wide", 4_478_727),  # as project C's model summary printed it
    ("mini_xception", 58_423),  # as its authors' 48×48 network has
    # By hand: 16 convolutions' and dense layers' kernels and biases.
    ("vgg16", 14_714_688 - 2 * 9 * 64 + 512 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 7 + 7),
    ("cnn3", 320 + 18_496 + 73_856 + 147_584 + 4 * 4 * 128 * 1024 + 1024 + 1024 * 7 + 7),
])
def test_parameters_are_those_of_the_projects(models, name, parameters):
    assert models[name].count_params() == parameters


def test_cnn5_bn_is_project_a_layer_by_layer(models):
    kinds = [type(layer).__name__ for layer in models["cnn5_bn"].layers]
    assert kinds == ["InputLayer",
                     "Conv2D", "BatchNormalization", "ReLU", "Dropout",
                     "Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D",
                     "Conv2D", "BatchNormalization", "ReLU", "Dropout",
                     "Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D",
                     "Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D",
                     "Flatten", "Dense", "Dropout", "Dense", "Softmax"]
    convolutions = [layer for layer in models["cnn5_bn"].layers if type(layer).__name__ == "Conv2D"]
    assert [c.filters for c in convolutions] == [32, 64, 64, 128, 128]
    assert [c.padding for c in convolutions] == ["valid", "same", "valid", "same", "valid"]


def test_mini_xception_penalises_the_weights_of_its_first_two_convolutions_alone(models):
    penalised = [layer.name for layer in models["mini_xception"].layers if layer.losses]
    assert penalised == [layer.name for layer in models["mini_xception"].layers if type(layer).__name__ == "Conv2D"][:2]


def test_our_networks_keep_their_budgets(models):
    assert models["fer_net"].count_params() <= 3_000_000
    assert models["fer_net_tiny"].count_params() <= 300_000


@pytest.mark.parametrize("name", list(zoo.NETWORKS))
def test_every_network_is_flat_and_gives_probabilities(models, name):
    model = models[name]
    assert not any(hasattr(layer, "layers") for layer in model.layers)
    x = np.random.default_rng(0).random((2, *zoo.NETWORKS[name].spec.input_shape), np.float32)
    out = np.asarray(model(x))
    assert out.shape == (2, N_CLASSES) and out.dtype == np.float32
    np.testing.assert_allclose(out.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["cnn3", "fer_net"])
def test_bfloat16_keeps_weights_and_softmax_in_float32(name):
    model = zoo.build(name, "mixed_bfloat16")
    assert model.layers[1].compute_dtype == "bfloat16"
    assert all(str(w.dtype) == "float32" for w in model.trainable_weights)
    assert model.output.dtype == "float32"
    assert zoo.build(name).layers[1].compute_dtype == "float32"


def test_multiply_adds_by_hand(models):
    # cnn3: maps of 46, 44 (pooled to 22), 20 (10), 8 (4) pixels.
    by_hand = (46**2 * 9 * 32 + 44**2 * 9 * 32 * 64 + 20**2 * 9 * 64 * 128 + 8**2 * 9 * 128 * 128
               + 2048 * 1024 + 1024 * 7)
    assert zoo.multiply_adds(models["cnn3"]) == by_hand


def test_separable_convolutions_count_both_parts():
    import keras

    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.SeparableConv2D(5, 3, padding="same")])
    assert zoo.multiply_adds(model) == 64 * (9 * 3 + 3 * 5)


def test_unknown_names_and_missing_weights_are_errors(monkeypatch):
    with pytest.raises(ValueError, match="cnn5_bn"):
        zoo.build("resnet")
    with pytest.raises(ValueError, match="only vgg16"):
        zoo.build("cnn3", weights="imagenet")
    with pytest.raises(ValueError, match="imagenet"):
        zoo.build("vgg16", weights="vggface")
    import keras

    def no_network(**options):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.applications, "VGG16", no_network)
    with pytest.raises(RuntimeError, match="URL fetch failure.*weights=None"):
        zoo.build("vgg16", weights="imagenet")


def test_imagenet_weights_go_to_their_layers(monkeypatch):
    import keras

    real = keras.applications.VGG16(include_top=False, weights=None, input_shape=(48, 48, 3))
    monkeypatch.setattr(keras.applications, "VGG16", lambda **options: real)
    model = zoo.build("vgg16", weights="imagenet")
    for name in ("block1_conv1", "block5_conv3"):
        np.testing.assert_array_equal(model.get_layer(name).get_weights()[0], real.get_layer(name).get_weights()[0])
    # The network takes gray [0, 1]; VGG16 takes BGR with ImageNet's means off.
    x = np.random.default_rng(0).random((1, 48, 48, 1), np.float32)
    inside = keras.Model(model.input, model.get_layer("block5_pool").output)
    expected = real(np.repeat(x, 3, axis=3) * 255 - np.array([103.939, 116.779, 123.68], np.float32))
    np.testing.assert_allclose(np.asarray(inside(x)), np.asarray(expected), atol=1e-3)
