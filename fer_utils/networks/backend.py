"""Keras, imported when it is first needed and without the backend's start-up messages."""

import contextlib
import logging
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from ..errors import need

if TYPE_CHECKING:
    import keras


def import_keras() -> Any:
    """Import Keras with the backend that ``KERAS_BACKEND`` names, TensorFlow by default, and return it.

    MissingExtraError: it is not installed.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"]
    need("keras")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # By itself TensorFlow uses oneDNN only under Linux on processors with AVX-512 VNNI and the like; on others small
    # networks train about twice as fast with it (`bench train`).
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # While TensorFlow loads, it writes hints about its build to the standard error stream, past Python's logging. In a
    # notebook they would appear in red under the first cell, so they are shown only if loading fails.
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        real = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            import keras
        except BaseException:
            held.seek(0)
            os.write(real, held.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)
    # TensorFlow warns of retracing wherever a notebook trains its second or third network.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return keras


def limit_threads(count: int) -> None:
    """Let each operation of TensorFlow compute with so many threads; where it has begun, nothing changes."""
    if import_keras().backend.backend() == "tensorflow":
        import tensorflow as tf

        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(count)


def fuse_batch_norm(model: "keras.Model") -> None:
    """Let TensorFlow compute each batch normalisation of maps in one operation while it trains a built model.

    Keras makes many elementwise operations of a batch normalisation, which cost up to two fifths of a training step on
    CPUs (`bench train`). The results are the same. Layers that normalise maps, (N, H, W, C), with centre and scale are
    changed in place; what is saved does not change. Under other backends nothing changes: their compilers fuse.
    """
    keras = import_keras()
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf
    from keras import layers

    class BatchNormalization(layers.BatchNormalization):  # of the same name: weights in files are named after it
        def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
            if not training or not self.trainable:
                return super().call(inputs, training=training, mask=mask)
            outputs, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(
                inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True)
            n = tf.cast(tf.size(inputs) / inputs.shape[-1], variance.dtype)
            # TensorFlow's variance is that of a sample (n - 1), Keras's that of the population (n).
            for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance * (n - 1) / n)):
                moving.assign(moving * self.momentum + value * (1 - self.momentum))
            return outputs

    for layer in model.layers:
        if type(layer) is layers.BatchNormalization and layer.input_spec.ndim == 4 \
                and layer.axis in (-1, 3) and layer.center and layer.scale:
            layer.__class__ = BatchNormalization


def xla_setting() -> str | bool:
    """Return Keras's `jit_compile`: no XLA where it makes TensorFlow several times slower, which is on CPUs."""
    if import_keras().backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if tf.config.list_physical_devices("GPU") else False
