"""Where a network looked: Grad-CAM."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import keras


def explained_layer(model: "keras.Model") -> str:
    """Name the layer of which `grad_cam` weighs the feature maps by default.

    It is the last layer with the map size of the last convolution that everything passes: after its BatchNorm, ReLU and
    residual sum, but before pooling makes the maps coarser. Convolutions on maps smaller than 5×5, which show no part
    of a face, count only if there is no other; those on 1×1 maps (squeeze-excite gates) never count.
    """
    maps = [layer for layer in model.layers if len(layer.output.shape) == 4 and max(layer.output.shape[1:3]) > 1]
    sizes = [layer.output.shape[1:3] for layer in maps if "Conv" in type(layer).__name__]
    if not sizes:
        raise ValueError(f"network {model.name!r} has no convolution layer that Grad-CAM could explain; "
                         "it needs a flat model with convolutions (not a model nested in another) or layer=<name>")
    size = next((size for size in reversed(sizes) if min(size) >= 5), sizes[-1])
    names = [layer.name for layer in reversed(maps) if layer.output.shape[1:3] == size]
    logits = _logits(model)
    return next((name for name in names if _head(model, name, logits)), names[0])


def _logits(model: "keras.Model") -> Any:
    """Return the tensor before the softmax: after it, the gradient of a sure network is 0."""
    import keras

    last = next(layer for layer in reversed(model.layers) if layer.output is model.output)
    if isinstance(last, keras.layers.Softmax):
        return last.input
    if getattr(last, "activation", None) is keras.activations.softmax:
        raise ValueError(f"the softmax of network {model.name!r} is a part of its {type(last).__name__} layer; "
                         "Grad-CAM needs the values before it: let the network end in a Softmax layer of its own")
    return model.output


def _head(model: "keras.Model", layer: str, logits: Any) -> "keras.Model | None":
    """Return the network from the maps of a layer to the logits; None if a short cut leads around the layer."""
    import keras

    try:
        return keras.Model(model.get_layer(layer).output, logits)
    except ValueError:
        return None


def _gradient(score: Callable, features: Any) -> Any:
    from keras import backend

    if backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            total = score(features)
        return tape.gradient(total, features)
    if backend.backend() == "jax":
        import jax

        return jax.grad(score)(features)
    raise NotImplementedError(f"Grad-CAM runs under KERAS_BACKEND=tensorflow or jax, not {backend.backend()}")


def grad_cam(model: "keras.Model", x: ArrayLike, class_index: ArrayLike | None = None, layer: str | None = None,
             batch_size: int = 128) -> np.ndarray:
    """Return Grad-CAM heatmaps, which show the places of each face that spoke for a class (Selvaraju et al. 2017).

    The model is flat and functional and ends in a Softmax layer or in logits; `x`, float32 (N, H, W, C), is its input.
    `class_index` is one class for all faces or one for each, (N,); None explains the predicted class. `layer` names the
    feature maps to weigh, by default those of `explained_layer`. A ValueError says which of these cannot be used.

    Returns float32 (N, H, W) in [0, 1]. The largest value of each face is 1, or all are 0 where no place spoke for the
    class.
    """
    import keras
    from keras import ops

    x = np.asarray(x, dtype="float32")
    name = layer or explained_layer(model)
    chosen = _checked(model, x, name, class_index)
    head = _head(model, name, _logits(model))
    if head is None:
        raise ValueError(f"layer {name!r} of network {model.name!r} has a short cut around it; "
                         "choose one that everything passes, such as the sum after it")
    # Two models, so that the gradient stops at the maps: in one it would run backward through the whole network.
    body = keras.Model(model.input, model.get_layer(name).output)
    height, width = x.shape[1:3]
    heatmaps = np.zeros((len(x), height, width), "float32")
    for start in range(0, len(x), batch_size):
        part = slice(start, start + batch_size)
        features = body(x[part], training=False)
        labels = ops.argmax(head(features, training=False), axis=-1) if chosen is None else chosen[part]
        one_hot = ops.one_hot(labels, model.output_shape[-1], dtype="float32")
        gradients = _gradient(lambda maps, one_hot=one_hot: ops.sum(
            ops.cast(head(maps, training=False), "float32") * one_hot), features)
        weights = ops.mean(ops.cast(gradients, "float32"), axis=(1, 2), keepdims=True)
        coarse = ops.convert_to_numpy(ops.relu(ops.sum(ops.cast(features, "float32") * weights, axis=-1)))
        for i, heat in enumerate(coarse, start):
            heatmaps[i] = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    largest = heatmaps.max(axis=(1, 2), keepdims=True)
    return np.divide(heatmaps, largest, out=np.zeros_like(heatmaps), where=largest > 0)


def _checked(model: "keras.Model", x: np.ndarray, layer: str, class_index: ArrayLike | None) -> np.ndarray | None:
    """Return the class of each face, int32 (N,), or None; raise what `grad_cam` says of its arguments."""
    if x.ndim != 4 or x.shape[1:] != tuple(model.input_shape[1:]):
        wanted = ", ".join(map(str, model.input_shape[1:]))
        raise ValueError(f"network {model.name!r} takes faces of shape (N, {wanted}), got {x.shape}")
    if layer not in [known.name for known in model.layers]:
        raise ValueError(f"network {model.name!r} has no layer {layer!r}; see model.summary()")
    if len(model.get_layer(layer).output.shape) != 4:
        raise ValueError(f"layer {layer!r} gives {model.get_layer(layer).output.shape}; "
                         "Grad-CAM needs feature maps (N, h, w, C)")
    if class_index is None:
        return None
    chosen, classes = np.broadcast_to(np.asarray(class_index, dtype="int32"), len(x)), model.output_shape[-1]
    if len(x) and not (0 <= chosen.min() and chosen.max() < classes):
        raise ValueError(f"class_index must be 0 to {classes - 1}, got {chosen.min()} to {chosen.max()}")
    return chosen
