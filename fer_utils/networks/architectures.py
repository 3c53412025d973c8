"""The layers of every network, from the input tensor to the features that the last layer reads.

All are flat functional models of stock Keras layers, so that Grad-CAM and the ONNX export reach every layer and
``.keras`` files load in safe mode. They know nothing of augmentation. `zoo` adds the last layers, and imports this
module, and so Keras, only to build a network.
"""

from typing import Any

from keras import layers
from keras.regularizers import L2

from ..labels import N_CLASSES

Tensor = Any  # keras.KerasTensor; Keras ships no types


def _in_order(x: Tensor, *steps: Any) -> Tensor:
    for step in steps:
        x = step(x)
    return x


def _conv_bn(filters: int, kernel: int = 3, **options: Any) -> list:
    return [layers.Conv2D(filters, kernel, **{"padding": "same"} | options), layers.BatchNormalization()]


def _conv_bn_relu(filters: int, kernel: int = 3, **options: Any) -> list:
    return [*_conv_bn(filters, kernel, **options), layers.ReLU()]


def cnn5_bn(x: Tensor) -> Tensor:
    """Projects A and E: five convolutions, each with batch normalisation before ReLU."""
    return _in_order(
        x,
        *_conv_bn_relu(32, padding="valid"), layers.Dropout(0.25),
        *_conv_bn_relu(64), layers.MaxPooling2D(),
        *_conv_bn_relu(64, padding="valid"), layers.Dropout(0.25),
        *_conv_bn_relu(128), layers.MaxPooling2D(),
        *_conv_bn_relu(128, padding="valid"), layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(200, activation="relu"), layers.Dropout(0.5))


def cnn3(x: Tensor) -> Tensor:
    """Project B's own network: three blocks of convolutions without padding."""
    return _in_order(
        x,
        layers.Conv2D(32, 3, activation="relu"),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(), layers.Dropout(0.25),
        layers.Conv2D(128, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(128, 3, activation="relu"), layers.MaxPooling2D(), layers.Dropout(0.25),
        layers.Flatten(),
        layers.Dense(1024, activation="relu"), layers.Dropout(0.5))


def _vgg16_convolutions() -> list:
    steps: list = []
    for block, (filters, convolutions) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], start=1):
        # Keras's own layer names, so that its ImageNet weights find their layers.
        steps += [layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"block{block}_conv{i}")
                   for i in range(1, convolutions + 1)]
        steps.append(layers.MaxPooling2D(name=f"block{block}_pool"))
    return steps


def vgg16(x: Tensor) -> Tensor:
    """VGG16 from scratch, as project B trained it (Simonyan & Zisserman 2015)."""
    return _in_order(
        x,
        *_vgg16_convolutions(),
        layers.Flatten(),
        layers.Dense(4096, activation="relu", name="fc1"),
        layers.Dense(4096, activation="relu", name="fc2"))


def vgg16_imagenet(x: Tensor) -> Tensor:
    """VGG16 with its own input: three channels, 0 to 255, less the BGR means (Simonyan & Zisserman 2015)."""
    return _in_order(
        layers.Concatenate()([x, x, x]),
        layers.Rescaling(255.0, offset=[-103.939, -116.779, -123.68]),
        *_vgg16_convolutions(),
        layers.Flatten(),
        layers.Dense(512, activation="relu"), layers.Dropout(0.5))


def cnn4_wide(x: Tensor) -> Tensor:
    """Project C: four wide convolutions, two dense layers."""
    return _in_order(
        x,
        *_conv_bn_relu(64, 3), layers.MaxPooling2D(), layers.Dropout(0.005),
        *_conv_bn_relu(128, 5), layers.MaxPooling2D(), layers.Dropout(0.005),
        *_conv_bn_relu(512, 3), layers.MaxPooling2D(), layers.Dropout(0.005),
        *_conv_bn_relu(512, 3), layers.MaxPooling2D(), layers.Dropout(0.005),
        layers.Flatten(),
        layers.Dense(256), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.05),
        layers.Dense(512), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.05))


def cnn_rgb100(x: Tensor) -> Tensor:
    """Project D: four convolutions on faces of 100×100 pixels."""
    return _in_order(
        x,
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(128, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(128, 3, activation="relu"), layers.MaxPooling2D(), layers.Dropout(0.25),
        layers.Flatten(),
        layers.Dense(128, activation="relu"), layers.Dropout(0.5))


def mini_xception(x: Tensor) -> Tensor:
    """The peers' mini-Xception, which ends in one map for each class, without a dense layer (Arriaga et al. 2017)."""
    # Its authors' code names L2 for the separable convolutions too, by an argument that Keras 2 took and never used.
    for _ in range(2):
        x = _in_order(x, *_conv_bn_relu(8, padding="valid", use_bias=False, kernel_regularizer=L2(0.01)))
    for filters in (16, 32, 64, 128):
        shortcut = _in_order(x, *_conv_bn(filters, 1, strides=2, use_bias=False))
        x = _in_order(
            x,
            layers.SeparableConv2D(filters, 3, padding="same", use_bias=False), layers.BatchNormalization(),
            layers.ReLU(),
            layers.SeparableConv2D(filters, 3, padding="same", use_bias=False), layers.BatchNormalization(),
            layers.MaxPooling2D(3, strides=2, padding="same"))
        x = layers.Add()([x, shortcut])
    return _in_order(x, layers.Conv2D(N_CLASSES, 3, padding="same"), layers.GlobalAveragePooling2D())


def _residual_block(x: Tensor, filters: int, strides: int, squeeze_excite: bool) -> Tensor:
    # With "same", maps of an odd size fit too: those of cropped faces, in training.
    shortcut = layers.AveragePooling2D(strides, padding="same")(x) if strides > 1 else x
    if shortcut.shape[-1] != filters:
        shortcut = _in_order(shortcut, *_conv_bn(filters, 1, use_bias=False))
    x = _in_order(x, *_conv_bn_relu(filters, strides=strides, use_bias=False), *_conv_bn(filters, use_bias=False))
    if squeeze_excite:  # weigh the channels by what the whole face shows (Hu et al. 2018)
        gate = _in_order(
            x,
            layers.GlobalAveragePooling2D(keepdims=True),
            layers.Conv2D(filters // 8, 1, activation="relu"),
            layers.Conv2D(filters, 1, activation="sigmoid"))
        x = layers.Multiply()([x, gate])
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _residual_stages(x: Tensor, stages: list[tuple[int, int]], dropout: float, squeeze_excite: bool) -> Tensor:
    """Stack stages of (filters, blocks); the first block of each stage halves the maps."""
    for filters, blocks in stages:
        for i in range(blocks):
            x = _residual_block(x, filters, strides=2 if i == 0 else 1, squeeze_excite=squeeze_excite)
    return _in_order(x, layers.GlobalAveragePooling2D(), layers.Dropout(dropout))


def fer_net(x: Tensor) -> Tensor:
    """Ours: residual blocks on maps of 24, 12, 6 and 3 pixels (He et al. 2016)."""
    x = _in_order(x, *_conv_bn_relu(16, use_bias=False))
    # The last stage, on 3×3 maps, holds two fifths of the weights for a tenth of the work.
    return _residual_stages(x, [(48, 1), (96, 2), (192, 2), (256, 1)], dropout=0.1, squeeze_excite=False)


def fer_net_large(x: Tensor) -> Tensor:
    """Ours, made wide and with squeeze-excite, for ensembles."""
    x = _in_order(x, *_conv_bn_relu(32, use_bias=False))
    return _residual_stages(x, [(64, 2), (128, 2), (256, 2)], dropout=0.3, squeeze_excite=True)


def fer_net_tiny(x: Tensor) -> Tensor:
    """Ours, made small for live video: its second convolution already halves the maps."""
    # Widths are multiples of 16, as processors compute them. Squeeze-excite would take a tenth of its 0.3 ms.
    x = _in_order(x, *_conv_bn_relu(16, use_bias=False), *_conv_bn_relu(32, strides=2, use_bias=False))
    return _residual_stages(x, [(48, 1), (80, 2)], dropout=0.1, squeeze_excite=False)
