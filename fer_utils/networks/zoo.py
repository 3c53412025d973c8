"""The networks, by name: those of the five earlier projects, the peers' mini-Xception, and our own `fer_net`.

All are flat functional models of stock Keras layers, so that Grad-CAM and ONNX export reach every layer and
`.keras` files load in safe mode. They end in a float32 softmax over `labels.EMOTIONS` and know nothing of augmentation.
"""
import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from ..labels import N_CLASSES
from .backend import import_keras
from .spec import FaceSpec


@dataclass(frozen=True)
class Network:
    """One network: how it is built, what faces it takes, where it comes from, and its project's own recipe.

    Parameters
    ----------
    build : callable
        Keras input tensor → output tensor before the softmax layer (logits' features); see `build`.
    spec : FaceSpec
    origin : str
        One line: whose network it is.
    recipe : dict
        Fields of `train.TrainConfig` that differ from its defaults.
    """

    build: Callable
    spec: FaceSpec
    origin: str
    recipe: dict = field(default_factory=dict)


def _conv(x, filters, kernel=3, padding="same", strides=1, use_bias=True, **options):
    from keras import layers

    return layers.Conv2D(filters, kernel, strides=strides, padding=padding, use_bias=use_bias, **options)(x)


def _conv_bn_relu(x, filters, kernel=3, padding="same", strides=1, use_bias=True, **options):
    from keras import layers

    x = _conv(x, filters, kernel, padding, strides, use_bias, **options)
    return layers.ReLU()(layers.BatchNormalization()(x))


def _cnn5_bn(x):
    from keras import layers

    x = layers.Dropout(0.25)(_conv_bn_relu(x, 32, padding="valid"))
    x = layers.MaxPooling2D()(_conv_bn_relu(x, 64))
    x = layers.Dropout(0.25)(_conv_bn_relu(x, 64, padding="valid"))
    x = layers.MaxPooling2D()(_conv_bn_relu(x, 128))
    x = layers.MaxPooling2D()(_conv_bn_relu(x, 128, padding="valid"))
    x = layers.Dense(200, activation="relu")(layers.Flatten()(x))
    return layers.Dropout(0.5)(x)


def _cnn3(x):
    from keras import layers

    x = _conv(x, 32, padding="valid", activation="relu")
    x = layers.MaxPooling2D()(_conv(x, 64, padding="valid", activation="relu"))
    x = layers.Dropout(0.25)(x)
    x = layers.MaxPooling2D()(_conv(x, 128, padding="valid", activation="relu"))
    x = layers.MaxPooling2D()(_conv(x, 128, padding="valid", activation="relu"))
    x = layers.Dropout(0.25)(x)
    x = layers.Dense(1024, activation="relu")(layers.Flatten()(x))
    return layers.Dropout(0.5)(x)


def _vgg16_features(x):
    from keras import layers

    for block, (filters, convolutions) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], start=1):
        for i in range(1, convolutions + 1):
            # Keras's own layer names, so that its ImageNet weights find their layers.
            x = _conv(x, filters, activation="relu", name=f"block{block}_conv{i}")
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return x


def _vgg16(x):
    from keras import layers

    x = layers.Flatten()(_vgg16_features(x))
    for name in ("fc1", "fc2"):
        x = layers.Dense(4096, activation="relu", name=name)(x)
    return x


def _vgg16_imagenet(x):
    """VGG16's own input: three channels, 0 to 255, BGR means taken off (Simonyan & Zisserman 2015)."""
    from keras import layers

    x = layers.Concatenate()([x, x, x])
    x = layers.Rescaling(255.0, offset=[-103.939, -116.779, -123.68])(x)
    x = layers.Flatten()(_vgg16_features(x))
    return layers.Dropout(0.5)(layers.Dense(512, activation="relu")(x))


def _cnn4_wide(x):
    from keras import layers

    for filters, kernel in [(64, 3), (128, 5), (512, 3), (512, 3)]:
        x = layers.MaxPooling2D()(_conv_bn_relu(x, filters, kernel))
        x = layers.Dropout(0.005)(x)
    x = layers.Flatten()(x)
    for units in (256, 512):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(units)(x)))
        x = layers.Dropout(0.05)(x)
    return x


def _cnn_rgb100(x):
    from keras import layers

    for filters in (32, 64, 128, 128):
        x = layers.MaxPooling2D()(_conv(x, filters, padding="valid", activation="relu"))
    x = layers.Dropout(0.25)(x)
    x = layers.Dense(128, activation="relu")(layers.Flatten()(x))
    return layers.Dropout(0.5)(x)


def _mini_xception(x):
    from keras import layers, regularizers

    # Its authors' code names L2 for the separable convolutions too, by an argument that Keras 2 took and never used.
    for _ in range(2):
        x = _conv_bn_relu(x, 8, padding="valid", use_bias=False, kernel_regularizer=regularizers.L2(0.01))
    for filters in (16, 32, 64, 128):
        shortcut = layers.BatchNormalization()(_conv(x, filters, 1, strides=2, use_bias=False))
        for i in range(2):
            x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.BatchNormalization()(x)
            x = layers.ReLU()(x) if i == 0 else x
        x = layers.Add()([layers.MaxPooling2D(3, strides=2, padding="same")(x), shortcut])
    # Its last convolution has one map a class, and no dense layer: `build` adds nothing but the softmax.
    return layers.GlobalAveragePooling2D()(_conv(x, N_CLASSES))


def _squeeze_excite(x, filters, ratio=8):
    """Weigh the channels by what the whole face shows (Hu et al. 2018)."""
    from keras import layers

    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(filters // ratio, 1, activation="relu")(gate)
    gate = layers.Conv2D(filters, 1, activation="sigmoid")(gate)
    return layers.Multiply()([x, gate])


def _residual_block(x, filters, strides=1, squeeze_excite=True):
    from keras import layers

    shortcut = x
    if strides > 1:
        shortcut = layers.AveragePooling2D(strides)(shortcut)
    if shortcut.shape[-1] != filters:
        shortcut = layers.BatchNormalization()(_conv(shortcut, filters, 1, use_bias=False))
    x = _conv_bn_relu(x, filters, strides=strides, use_bias=False)
    x = layers.BatchNormalization()(_conv(x, filters, use_bias=False))
    x = _squeeze_excite(x, filters) if squeeze_excite else x
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _residual_network(x, stem, stages, dropout, stem_strides=1, squeeze_excite=True):
    from keras import layers

    x = _conv_bn_relu(x, stem, strides=stem_strides, use_bias=False)
    for filters, blocks in stages:
        for i in range(blocks):
            x = _residual_block(x, filters, 2 if i == 0 else 1, squeeze_excite)
    return layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(x))


def _fer_net(x):
    # The last stage, on 3×3 maps, holds two fifths of the weights for a tenth of the work.
    return _residual_network(x, 16, [(48, 1), (96, 2), (192, 2), (256, 1)], dropout=0.1, squeeze_excite=False)


def _fer_net_large(x):
    return _residual_network(x, 32, [(64, 2), (128, 2), (256, 2)], dropout=0.3)


def _fer_net_tiny(x):
    # Widths in sixteens, as processors compute them; squeeze-excite would take a tenth of its 0.3 ms.
    x = _conv_bn_relu(x, 16, use_bias=False)
    return _residual_network(x, 32, [(48, 1), (80, 2)], dropout=0.1, stem_strides=2, squeeze_excite=False)


GRAY48 = FaceSpec(48, 1, "unit")
_PROJECT_B = {"batch_size": 128, "epochs": 100, "patience": 10, "precision": "auto"}
NETWORKS = {
    "cnn5_bn": Network(_cnn5_bn, GRAY48, "projects A and E: 5 convolutions, BatchNorm before ReLU",
                       {"balance": "over", "batch_size": 32, "epochs": 35, "precision": "auto"}),
    "cnn3": Network(_cnn3, GRAY48, "project B: custom 3-layer CNN", _PROJECT_B),
    "vgg16": Network(_vgg16, GRAY48, "project B: VGG16 from scratch (Simonyan & Zisserman 2015)", _PROJECT_B),
    "cnn4_wide": Network(_cnn4_wide, GRAY48, "project C: 4 wide convolutions, two dense layers",
                         {"learning_rate": 1e-3, "batch_size": 128, "epochs": 50, "patience": 10, "precision": "auto"}),
    "cnn_rgb100": Network(_cnn_rgb100, FaceSpec(100, 3, "unit"), "project D: general CNN on 100×100×3",
                          {"learning_rate": 1e-3, "batch_size": 64, "epochs": 30, "patience": 6, "precision": "auto"}),
    "mini_xception": Network(_mini_xception, GRAY48, "the peers' mini-Xception (Arriaga et al. 2017)",
                             {"learning_rate": 1e-3, "schedule": "plateau", "batch_size": 32, "epochs": 110,
                              "patience": 26, "augment": "arriaga"}),
    "fer_net": Network(_fer_net, FaceSpec(48, 1, "standard"), "ours: residual network, for live video too",
                       {"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.05, "schedule": "cosine",
                        "warmup_epochs": 2, "batch_size": 128, "epochs": 40, "label_smoothing": 0.1,
                        "mixup": 0.2, "ema": 0.998, "augment": "strong", "precision": "auto"}),
    # Over twice fer_net's work, too slow for live video: it votes in ensembles, and may teach.
    "fer_net_large": Network(_fer_net_large, FaceSpec(48, 1, "standard"), "ours: fer_net made wide, for ensembles",
                             {"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.05, "schedule": "cosine",
                              "warmup_epochs": 2, "batch_size": 128, "epochs": 32, "label_smoothing": 0.1,
                              "mixup": 0.2, "ema": 0.998, "augment": "strong", "precision": "auto"}),
    # Meant to learn from fer_net, almost from it alone: train --model fer_net_tiny --teacher fer_net. Milder
    # augmentation and no mixup, for it has a sixth of fer_net's weights.
    "fer_net_tiny": Network(_fer_net_tiny, FaceSpec(48, 1, "standard"), "ours: fer_net made small for live video",
                            {"optimizer": "adamw", "learning_rate": 4e-3, "weight_decay": 0.02, "schedule": "cosine",
                             "warmup_epochs": 2, "batch_size": 128, "epochs": 80, "teacher_share": 0.9,
                             "ema": 0.998, "augment": "light", "precision": "auto"}),
}
"""Every network by its name."""
WEIGHTS = ("imagenet",)


def network(name):
    """Return the `Network` of a name; an unknown one raises ValueError that lists them."""
    if name not in NETWORKS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(NETWORKS)}")
    return NETWORKS[name]


@contextlib.contextmanager
def _dtype_policy(precision):
    keras = import_keras()

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build(name, precision="float32", weights=None, download=True):
    """Build an untrained network.

    Parameters
    ----------
    name : str
        A key of `NETWORKS`.
    precision : str
        Keras dtype policy of its layers: "float32" or "mixed_bfloat16"; the softmax is float32 either way.
    weights : None or "imagenet"
        "imagenet" starts `vgg16` from Keras's ImageNet weights, which it downloads, and takes a smaller head.
    download : bool
        False builds that network without fetching its weights, to fill it with trained ones.

    Returns
    -------
    keras.Model
        (N, *spec.input_shape) → (N, 7) probabilities in `labels.EMOTIONS` order.

    Raises
    ------
    ValueError
        Unknown name; pretrained weights for a network that has none.
    RuntimeError
        The ImageNet weights cannot be downloaded.
    """
    keras = import_keras()

    entry = network(name)
    if weights not in (None, *WEIGHTS):
        raise ValueError(f"weights must be None or one of {', '.join(WEIGHTS)}, got {weights!r}")
    if weights and name != "vgg16":
        raise ValueError(f"only vgg16 has {weights} weights, {name} has none: train it from scratch (weights=None)")
    with _dtype_policy(precision):
        inputs = keras.Input(entry.spec.input_shape, name="face")
        features = (_vgg16_imagenet if weights else entry.build)(inputs)
        if name == "mini_xception":
            logits = features
        else:
            logits = keras.layers.Dense(N_CLASSES, dtype="float32", name="logits")(features)
        outputs = keras.layers.Softmax(dtype="float32", name="probabilities")(logits)
        model = keras.Model(inputs, outputs, name=name)
    if weights and download:
        _load_imagenet(model)
    return model


def _load_imagenet(model):
    keras = import_keras()

    try:
        source = keras.applications.VGG16(include_top=False, weights="imagenet", input_shape=(48, 48, 3))
    except Exception as error:  # Keras passes on whatever the download met
        raise RuntimeError(
            "VGG16's ImageNet weights could not be downloaded (storage.googleapis.com, 58 MB): "
            f"{error}. Connect to the network once (Keras keeps them in ~/.keras/models), "
            "or train from scratch with weights=None.") from error
    for layer in source.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())


def multiply_adds(model):
    """Count a model's multiply-adds for one face, in its convolutions and dense layers.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    int
        Twice this is the number of floating point operations (FLOPs).
    """
    keras = import_keras()

    total = 0
    for layer in model.layers:
        if not layer.weights:
            continue
        if isinstance(layer, keras.layers.SeparableConv2D):
            places = math.prod(layer.output.shape[1:3])
            total += places * (math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape))
        elif isinstance(layer, keras.layers.Conv2D):
            total += math.prod(layer.output.shape[1:3]) * math.prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total


def describe(name):
    """Return a network's size as a dict: parameters, mflops (10^6 FLOPs a face), input_shape, origin."""
    model = build(name)
    return {"parameters": model.count_params(), "mflops": round(2 * multiply_adds(model) / 1e6, 1),
            "input_shape": list(model.input_shape[1:]), "origin": network(name).origin}
