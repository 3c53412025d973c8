"""Keras as this package starts it: fused batch normalisation and oneDNN."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from fer_utils.networks import backend


def test_fused_batch_normalisation_gives_keras_own_numbers(tmp_path):
    keras = backend.import_keras()
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow's is fused")
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(3, 2, (6, 5, 5, 4)), tf.float32)
    weights = [rng.uniform(1, 2, 4) for _ in range(4)]

    def numbers(fuse):
        model = keras.Sequential([keras.Input((5, 5, 4)), keras.layers.BatchNormalization(momentum=0.8),
                                  keras.layers.Flatten(), keras.layers.BatchNormalization()])
        norm = model.layers[0]
        norm.set_weights(weights)
        if fuse:
            backend.fuse_batch_norm(model)
            model.load_weights(tmp_path / "stock.weights.h5")  # files of either fit the other
        else:
            model.save_weights(tmp_path / "stock.weights.h5")
        kinds = [type(layer) is keras.layers.BatchNormalization for layer in (norm, model.layers[-1])]
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(norm(x, training=True) ** 3)
        gradients = tape.gradient(loss, [x, *(weight.value for weight in norm.trainable_variables)])
        return kinds, [np.asarray(n) for n in (loss, *gradients, *norm.get_weights(), norm(x))]

    (kinds, expected), (fused_kinds, found) = numbers(False), numbers(True)
    assert kinds == [True, True] and fused_kinds == [False, True], "of maps, not of vectors"
    for one, other in zip(expected, found):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
    assert not np.allclose(found[-3], weights[2], atol=0.1), "the moving mean must move"


def test_a_notebook_may_use_many_networks_without_a_warning():
    code = ("import numpy as np; from fer_utils.networks.backend import import_keras; keras = import_keras()\n"
            "for n in range(1, 7):\n"
            "    keras.Sequential([keras.Input((n,)), keras.layers.Dense(1)]).predict(np.ones((2, n)), verbose=0)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="TensorFlow's switch is for x86 alone")
@pytest.mark.parametrize("asked, convolved", [(None, True), ("0", False)])
def test_onednn_computes_unless_it_is_switched_off(asked, convolved):
    """Whatever the processor; oneDNN itself tells, under ONEDNN_VERBOSE, what it computes."""
    code = ("from fer_utils.networks.backend import import_keras; keras = import_keras(); "
            "keras.layers.Conv2D(4, 3)(keras.ops.ones((2, 8, 8, 3)))")
    env = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    env |= {"KERAS_BACKEND": "tensorflow", "ONEDNN_VERBOSE": "1"} | ({"TF_ENABLE_ONEDNN_OPTS": asked} if asked else {})
    ran = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert (",convolution," in ran.stdout) == convolved, ran.stdout
