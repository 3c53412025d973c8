"""The diagram of a network: boxes, columns, short cuts."""

import numpy as np
import pytest

from fer_utils import plots

from .examples import drawn, make_network


def test_boxes_say_layers_shapes_and_parameters():
    model = make_network()
    ax = drawn("network")
    texts = [text.get_text() for text in ax.texts if text.get_text()]
    heads, sizes = texts[::2], texts[1::2]
    assert heads == ["input", "conv 3×3 · BN · ReLU", "conv 3×3 · BN", "squeeze-excite ×", "+ · ReLU",
                     "max pool 2×2 · dropout 0.25", "flatten", "dense · softmax"]
    assert [size.split()[0] for size in sizes] == ["12×12×1", *["12×12×4"] * 4, "6×6×4", "144", "7"]
    counted = sum(int(size.split()[1].replace(",", "")) for size in sizes if "parameters" in size)
    assert counted == model.count_params()
    assert f"{counted:,} parameters" in ax.get_title()
    assert "short cut" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_network_short_cuts_name_their_layers():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    side = layers.BatchNormalization()(layers.Conv2D(8, 1, strides=2)(x))
    x = layers.SeparableConv2D(8, 3, padding="same")(layers.ReLU()(x))
    x = layers.Add()([layers.MaxPooling2D()(x), side])
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    texts = [text.get_text() for text in plots.plot_network(model).texts]
    assert "conv 1×1 /2 · BN" in texts
    assert "separable conv 3×3" in texts and "global average pool" in texts


@pytest.mark.parametrize("depth", [2, 15, 30])
def test_network_of_any_depth_wraps_into_columns(depth):
    keras = pytest.importorskip("keras")
    layers = keras.layers
    model = keras.Sequential([keras.Input((8, 8, 1)), *[layers.Conv2D(3, 3, padding="same") for _ in range(depth)],
                              layers.Flatten(), layers.Dense(7, activation="softmax")])
    ax = plots.plot_network(model, rows=12)
    boxes = np.array([(box.get_x(), box.get_y()) for box in ax.patches])
    assert len(boxes) == depth + 3
    assert len(set(boxes[:, 0])) == -(-(depth + 3) // 12)
    assert len(np.unique(boxes, axis=0)) == len(boxes)


def test_residual_networks_break_columns_between_blocks():
    keras = pytest.importorskip("keras")
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    x = inputs
    for _ in range(9):
        y = layers.Conv2D(3, 3, padding="same")(layers.Conv2D(3, 3, padding="same")(x))
        x = layers.ReLU()(layers.Add()([x, y]))
    ax = plots.plot_network(keras.Model(inputs, x), rows=10)
    boxes = np.array([(box.get_x(), box.get_y()) for box in ax.patches])
    heads = [text.get_text() for text in ax.texts if text.get_text()][::2]
    ends = np.flatnonzero(np.diff(boxes[:, 0]) > 0)
    assert len(ends) >= 2 and all(heads[i] == "+ · ReLU" for i in ends)


def test_unbuilt_and_nested_networks_are_refused():
    keras = pytest.importorskip("keras")
    with pytest.raises(ValueError, match="built"):
        plots.plot_network(keras.Sequential([keras.layers.Dense(3)], name="unbuilt"))
    inputs = keras.Input((12, 12, 1))
    with pytest.raises(ValueError, match="2 inputs and 1 outputs"):
        two = [keras.Input((3,)), keras.Input((3,))]
        plots.plot_network(keras.Model(two, keras.layers.Add()(two)))
    with pytest.raises(ValueError, match="'outer' is not flat.*'inner'"):
        plots.plot_network(keras.Model(inputs, make_network("inner")(inputs), name="outer"))
