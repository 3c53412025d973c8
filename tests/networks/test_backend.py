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


def run(code, **environment):
    """Run code in a process of its own, where the environment says nothing of oneDNN by itself."""
    env = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"} | environment
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def test_a_notebook_may_use_many_networks_without_a_warning_and_onednn_computes():
    """Whatever the processor; oneDNN itself tells, under ONEDNN_VERBOSE, what it computes."""
    done = run("import numpy as np; from fer_utils.networks.backend import import_keras; keras = import_keras()\n"
               "for n in range(3, 9):\n"
               "    model = keras.Sequential([keras.Input((n, n, 1)), keras.layers.Conv2D(4, 3)])\n"
               "    model.predict(np.ones((2, n, n, 1)), verbose=0)", ONEDNN_VERBOSE="1")
    said = done.stdout.splitlines()
    assert done.stderr == "" and [line for line in said if not line.startswith("onednn_verbose")] == []
    on_x86 = platform.machine() in ("x86_64", "AMD64") and backend.import_keras().backend.backend() == "tensorflow"
    assert not on_x86 or any(",convolution," in line for line in said)


@pytest.mark.parametrize("asked, taken", [({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")])
def test_onednn_is_switched_on_unless_it_was_switched_off(asked, taken, tmp_path):
    """TensorFlow reads the switch when it loads; in its place loads a Keras that tells what it would read."""
    (tmp_path / "keras.py").write_text("import os\nprint(os.environ['TF_ENABLE_ONEDNN_OPTS'])\n")
    code = (f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from fer_utils.networks.backend import import_keras; "
            "import_keras()")
    assert run(code, **asked).stdout == f"{taken}\n"
