"""The networks, by name: those of the five earlier projects, the peers' mini-Xception, and our own `fer_net`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..labels import N_CLASSES
from .backend import import_keras
from .spec import FaceSpec

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Network:
    """One network: its layers, the faces it takes, where it comes from, and the recipe of its project."""

    build: str | Callable[[Any], Any]  # input tensor → features; a text names a function of `architectures`
    spec: FaceSpec
    origin: str  # whose network it is, in one line
    recipe: dict[str, Any] = field(default_factory=dict)  # the fields of `TrainConfig` that are not at their defaults
    dense: bool = True  # whether a dense layer makes the logits; False: the features are the logits


GRAY48 = FaceSpec(48, 1, "unit")
_STANDARD48 = FaceSpec(48, 1, "standard")
_PROJECT_B = {"batch_size": 128, "epochs": 100, "patience": 10, "precision": "auto"}
_OURS = {"optimizer": "adamw", "schedule": "cosine", "warmup_epochs": 2, "batch_size": 128, "ema": 0.998,
         "precision": "auto"}
_FER_NET = _OURS | {"learning_rate": 2e-3, "weight_decay": 0.05, "label_smoothing": 0.1, "mixup": 0.2,
                    "augment": "strong"}
NETWORKS = {
    "cnn5_bn": Network("cnn5_bn", GRAY48, "projects A and E: 5 convolutions, BatchNorm before ReLU",
                       {"balance": "over", "batch_size": 32, "epochs": 35, "precision": "auto"}),
    "cnn3": Network("cnn3", GRAY48, "project B: custom 3-layer CNN", _PROJECT_B),
    "vgg16": Network("vgg16", GRAY48, "project B: VGG16 from scratch (Simonyan & Zisserman 2015)", _PROJECT_B),
    "cnn4_wide": Network("cnn4_wide", GRAY48, "project C: 4 wide convolutions, two dense layers",
                         {"learning_rate": 1e-3, "batch_size": 128, "epochs": 50, "patience": 10, "precision": "auto"}),
    "cnn_rgb100": Network("cnn_rgb100", FaceSpec(100, 3, "unit"), "project D: general CNN on 100×100×3",
                          {"learning_rate": 1e-3, "batch_size": 64, "epochs": 30, "patience": 6, "precision": "auto"}),
    "mini_xception": Network("mini_xception", GRAY48, "the peers' mini-Xception (Arriaga et al. 2017)",
                             {"learning_rate": 1e-3, "schedule": "plateau", "batch_size": 32, "epochs": 110,
                              "patience": 26, "augment": "arriaga"}, dense=False),
    "fer_net": Network("fer_net", _STANDARD48, "ours: residual network, for live video too", _FER_NET | {"epochs": 40}),
    # More than twice the work of fer_net, too slow for live video: it votes in ensembles, and may teach.
    "fer_net_large": Network("fer_net_large", _STANDARD48, "ours: fer_net made wide, for ensembles",
                             _FER_NET | {"epochs": 32}),
    # Learns almost from fer_net alone: train --model fer_net_tiny --teacher fer_net. Its augmentation is milder and
    # without mixup, as it has a tenth of the weights of fer_net.
    "fer_net_tiny": Network("fer_net_tiny", _STANDARD48, "ours: fer_net made small for live video",
                            _OURS | {"learning_rate": 4e-3, "weight_decay": 0.02, "epochs": 80, "teacher_share": 0.9,
                                     "augment": "light"}),
}
"""Every network by its name."""
ANY_SIZE = ("mini_xception", "fer_net", "fer_net_large", "fer_net_tiny")
"""The networks that end in a mean over their last maps, and so take faces of any size."""
WEIGHTS = ("imagenet",)


def network(name: str) -> Network:
    """Return the `Network` of a name; ValueError lists the names if it is unknown."""
    if name not in NETWORKS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(NETWORKS)}")
    return NETWORKS[name]


def build(name: str, precision: str = "float32", weights: str | None = None, download: bool = True,
          any_size: bool = False) -> "keras.Model":
    """Build an untrained network: (N, *spec.input_shape) → (N, 7) probabilities in the order of `labels.EMOTIONS`.

    `precision` is the Keras dtype policy of its layers, "float32" or "mixed_bfloat16"; the softmax computes in float32
    in any case. `weights="imagenet"` starts `vgg16` with Keras's ImageNet weights and a smaller head; `download=False`
    builds that network without them, to be filled with trained weights. `any_size` leaves height and width of the faces
    open, for networks of `ANY_SIZE`. RuntimeError: the download fails.
    """
    keras = import_keras()
    entry = network(name)
    if weights not in (None, *WEIGHTS):
        raise ValueError(f"weights must be None or one of {', '.join(WEIGHTS)}, got {weights!r}")
    if weights and name != "vgg16":
        raise ValueError(f"only vgg16 has {weights} weights, {name} has none: train it from scratch (weights=None)")
    from . import architectures  # which imports Keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        shape = (None, None, entry.spec.channels) if any_size else entry.spec.input_shape
        inputs = keras.Input(shape, name="face")
        layers = "vgg16_imagenet" if weights else entry.build
        x = (getattr(architectures, layers) if isinstance(layers, str) else layers)(inputs)
        if entry.dense:
            x = keras.layers.Dense(N_CLASSES, dtype="float32", name="logits")(x)
        outputs = keras.layers.Softmax(dtype="float32", name="probabilities")(x)
        model = keras.Model(inputs, outputs, name=name)
    finally:
        keras.config.set_dtype_policy(before)
    if weights and download:
        _load_imagenet(model)
    return model


def _load_imagenet(model: "keras.Model") -> None:
    keras = import_keras()
    try:
        source = keras.applications.VGG16(include_top=False, weights="imagenet", input_shape=(48, 48, 3))
    except Exception as error:  # Keras passes on whatever error the download met
        raise RuntimeError(
            f"VGG16's ImageNet weights could not be downloaded (storage.googleapis.com, 58 MB): {error}. Connect to "
            "the network once (Keras keeps them in ~/.keras/models), or train from scratch with weights=None."
        ) from error
    for layer in source.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())


def multiply_adds(model: "keras.Model") -> int:
    """Count the multiply-adds of a model for one face, in its convolutions and dense layers: half its FLOPs."""
    layers = import_keras().layers
    total = 0
    for layer in model.layers:
        if isinstance(layer, (layers.Conv2D, layers.SeparableConv2D, layers.Dense)):
            kernels = sum(math.prod(weight.shape) for weight in layer.weights if "kernel" in weight.name)
            total += kernels * math.prod(layer.output.shape[1:-1])
    return total


def describe(name: str) -> dict[str, Any]:
    """Return the size of a network: parameters, mflops (10^6 FLOPs for one face), input_shape, origin."""
    model = build(name)
    return {"parameters": model.count_params(), "mflops": round(2 * multiply_adds(model) / 1e6, 1),
            "input_shape": list(model.input_shape[1:]), "origin": network(name).origin}
