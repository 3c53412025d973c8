"""Keras, imported when it is first needed and without the backend's start-up messages."""
import os
import sys
import tempfile


def import_keras():
    """Import and return Keras with the backend that ``KERAS_BACKEND`` names (TensorFlow unless set).

    TensorFlow computes with oneDNN, unless ``TF_ENABLE_ONEDNN_OPTS`` is 0. By itself it does so under Linux on
    processors with AVX-512 VNNI and the like alone; on others small networks train about twice as fast with it
    (`bench train`).

    TensorFlow writes hints about its build to the standard error stream while it loads, past Python's logging; in a
    notebook they would stand in red under the first cell. They are held back, unless loading fails.
    """
    if "keras" in sys.modules:
        return sys.modules["keras"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
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
    return keras


def fuse_batch_norm(model):
    """Compute the batch normalisations of a model's maps in one operation each while TensorFlow trains it.

    Keras makes many elementwise operations of a batch normalisation, which costs up to two fifths of a training step
    on CPUs (`bench train`). The results are the same; only the layers in memory change, not what is saved. Under other
    backends nothing is changed: their compilers fuse.

    Parameters
    ----------
    model : keras.Model
        Built; its layers are changed in place: those that normalise maps, (N, H, W, C), with centre and scale.
    """
    keras = import_keras()
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    class BatchNormalization(keras.layers.BatchNormalization):  # of one name, for it names weights in files
        def call(self, inputs, training=None, mask=None):
            if not training or not self.trainable:
                return super().call(inputs, training=training, mask=mask)
            outputs, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(
                inputs, self.gamma, self.beta, epsilon=self.epsilon, is_training=True)
            n = tf.cast(tf.size(inputs) / inputs.shape[-1], variance.dtype)
            # TensorFlow's variance is the sample's (n - 1), Keras's the population's (n).
            for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance * (n - 1) / n)):
                moving.assign(moving * self.momentum + value * (1 - self.momentum))
            return outputs

    for layer in model.layers:
        if type(layer) is keras.layers.BatchNormalization and layer.input_spec.ndim == 4 \
                and layer.axis in (-1, 3) and layer.center and layer.scale:
            layer.__class__ = BatchNormalization


def xla_setting():
    """Return Keras's `jit_compile`: not by XLA where it makes TensorFlow several times slower, on CPUs."""
    if import_keras().backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if tf.config.list_physical_devices("GPU") else False
