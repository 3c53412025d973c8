"""Where a network looked: Grad-CAM."""
import cv2
import numpy as np


def explained_layer(model):
    """Name the layer whose feature maps Grad-CAM weighs when none is asked for.

    Parameters
    ----------
    model : keras.Model
        Flat and functional (or sequential), channels last.

    Returns
    -------
    str
        The last layer with the last convolution's map size that everything passes, so after its BatchNorm, ReLU and
        residual sum, but before pooling coarsens the map. Convolutions on maps smaller than 5×5, which show no part of
        a face, count only if there is no other, and those on 1×1 maps (squeeze-excite gates) not at all.

    Raises
    ------
    ValueError
        The network has no convolution with a map larger than 1×1 at its top level.
    """
    maps = [layer for layer in model.layers
            if len(getattr(layer.output, "shape", ())) == 4 and None not in layer.output.shape[1:3]
            and max(layer.output.shape[1:3]) > 1]
    convolutions = [layer for layer in maps if "Conv" in type(layer).__name__]
    if not convolutions:
        raise ValueError(f"network {model.name!r} has no convolution layer that Grad-CAM could explain; "
                         "it needs a flat model with convolutions (not a model nested in another) or layer=<name>")
    sizes = [layer.output.shape[1:3] for layer in convolutions]
    size = next((size for size in reversed(sizes) if min(size) >= 5), sizes[-1])
    of_size = [layer.name for layer in reversed(maps) if layer.output.shape[1:3] == size]
    tensor = _before_softmax(model)[0]
    return next((name for name in of_size if _head(model, name, tensor)), of_size[0])


def _head(model, layer, tensor):
    """Return the network from a layer's maps to a later tensor; None if a short cut leads around the layer."""
    import keras

    try:
        return keras.Model(model.get_layer(layer).output, tensor)
    except ValueError:
        return None


def _before_softmax(model):
    """Return the tensor before the softmax, and the function from it to logits.

    Grad-CAM takes the gradient of the class score before the softmax: after it, a sure network's gradient vanishes.
    """
    import keras

    last = next((layer for layer in reversed(model.layers) if layer.output is model.output), None)
    if isinstance(last, keras.layers.Softmax):
        return last.input, lambda x: x
    if getattr(last, "activation", None) is not keras.activations.softmax:
        return model.output, lambda x: x
    if isinstance(last, keras.layers.Activation):
        return last.input, lambda x: x
    if isinstance(last, keras.layers.Dense):
        def logits(x):
            y = keras.ops.matmul(x, keras.ops.cast(last.kernel, x.dtype))
            return y if last.bias is None else y + keras.ops.cast(last.bias, x.dtype)

        return last.input, logits
    raise ValueError(f"network {model.name!r} ends in {type(last).__name__} with a softmax; "
                     "Grad-CAM reads logits before a Dense, Activation or Softmax layer")


def _cut(model, layer):
    """Cut a network at a layer: return the functions from faces to its feature maps, and from these to logits."""
    import keras

    maps = model.get_layer(layer).output
    tensor, to_logits = _before_softmax(model)
    # Its own model, so that the gradient stops at the maps: a tape over the whole network runs backward through all
    # of it.
    head = _head(model, layer, tensor)
    if head is None:
        raise ValueError(f"layer {layer!r} of network {model.name!r} has a short cut around it; "
                         "choose one that everything passes, such as the sum after it")
    body = keras.Model(model.input, maps)
    return (lambda x: body(x, training=False)), lambda features: to_logits(head(features, training=False))


def _gradient(score, features):
    """Return the gradient of a scalar function at `features`."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(features)
            total = score(features)
        return tape.gradient(total, features)
    if keras.backend.backend() == "jax":
        import jax

        return jax.grad(score)(features)
    if keras.backend.backend() == "torch":
        import torch

        with torch.enable_grad():
            features = features.detach().requires_grad_()
            return torch.autograd.grad(score(features), features)[0]
    raise NotImplementedError("Grad-CAM runs under KERAS_BACKEND=tensorflow, jax or torch, not "
                              f"{keras.backend.backend()}")


def grad_cam(model, x, class_index=None, layer=None, batch_size=128):
    """Return Grad-CAM heatmaps: which places of each face spoke for a class.

    Parameters
    ----------
    model : keras.Model
        Flat and functional, channels last, ending in a softmax or in logits.
    x : ndarray
        float32 (N, H, W, C), as the network takes its faces.
    class_index : None, int or int array (N,)
        The class to explain, for all faces or for each; None explains the class that the network predicts.
    layer : str, optional
        Whose feature maps to weigh; `explained_layer` says the default.
    batch_size : int
        Faces at a time.

    Returns
    -------
    ndarray
        float32 (N, H, W) in [0, 1]. Each face's largest value is 1, or all are 0 where no place spoke for the class.

    Raises
    ------
    ValueError
        No convolution in the network, an unknown layer, one without 4-D output or with a short cut around it, faces
        of another shape, or a class that the network does not know.
    NotImplementedError
        Keras runs on another backend than TensorFlow, JAX or PyTorch.

    References
    ----------
    Selvaraju et al., "Grad-CAM: Visual explanations from deep networks via gradient-based localization", ICCV 2017.
    """
    from keras import ops

    x = np.asarray(x, dtype="float32")
    if x.ndim != 4 or x.shape[1:] != tuple(model.input_shape[1:]):
        wanted = ", ".join(map(str, model.input_shape[1:]))
        raise ValueError(f"network {model.name!r} takes faces of shape (N, {wanted}), got {x.shape}")
    name = layer or explained_layer(model)
    if name not in [known.name for known in model.layers]:
        raise ValueError(f"network {model.name!r} has no layer {name!r}; see model.summary()")
    if len(model.get_layer(name).output.shape) != 4:
        raise ValueError(f"layer {name!r} gives {model.get_layer(name).output.shape}; "
                         "Grad-CAM needs feature maps (N, h, w, C)")
    classes = model.output_shape[-1]
    if class_index is not None:
        class_index = np.broadcast_to(np.asarray(class_index, dtype="int32"), len(x))
        if len(x) and not (0 <= class_index.min() and class_index.max() < classes):
            raise ValueError(f"class_index must be 0 to {classes - 1}, got {class_index.min()} to {class_index.max()}")
    to_maps, to_logits = _cut(model, name)

    height, width = x.shape[1:3]
    heatmaps = np.zeros((len(x), height, width), "float32")
    for start in range(0, len(x), batch_size):
        part = slice(start, start + batch_size)
        features = to_maps(x[part])
        chosen = ops.argmax(to_logits(features), axis=-1) if class_index is None else class_index[part]
        one_hot = ops.one_hot(chosen, classes, dtype="float32")
        gradients = _gradient(lambda f, one_hot=one_hot: ops.sum(ops.cast(to_logits(f), "float32") * one_hot), features)
        weights = ops.mean(ops.cast(gradients, "float32"), axis=(1, 2), keepdims=True)
        coarse = ops.convert_to_numpy(ops.relu(ops.sum(ops.cast(features, "float32") * weights, axis=-1)))
        for i, heat in enumerate(coarse, start):
            heatmaps[i] = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
    largest = heatmaps.max(axis=(1, 2), keepdims=True)
    return np.divide(heatmaps, largest, out=np.zeros_like(heatmaps), where=largest > 0)
