"""One training on several devices: each batch is dealt out to them, and the result is that of one device."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from .backend import import_keras

if TYPE_CHECKING:
    import keras

_USED: ContextVar[tuple[str, ...]] = ContextVar("devices", default=())


@contextmanager
def spread_over(count: int, virtual: bool = False) -> Iterator[tuple[str, ...]]:
    """Let the trainings that begin within this context share each batch out to so many devices; give their names.

    They are GPUs (under JAX also TPUs) where there are any, otherwise processors, of which most computers have one.
    `virtual` divides this computer's processor into so many devices, which is slower than one: to try it out.

    ValueError: `count` is no such number. DataError: there are fewer devices, or the backend trains on one alone.
    """
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"devices must be a whole number of at least 1, got {count!r}")
    if count == 1:
        yield ()
        return
    backend = import_keras().backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise DataError(f"under Keras's backend {backend} a training takes one device; several need KERAS_BACKEND="
                        "tensorflow or jax")
    names = tuple(_divide_processor(count) if virtual else _names(backend)[:count])
    if len(names) < count:
        raise DataError(f"{count} devices are asked for, and {backend} sees {len(names)} here ({', '.join(names)}); "
                        "ask for fewer, or try it out on virtual devices of the processor (--virtual-devices)")
    token = _USED.set(names)
    try:
        with _jax_distribution(names) if backend == "jax" else nullcontext():
            yield names
    finally:
        _USED.reset(token)


def validation_batch(largest: int, faces: int) -> int:
    """Return how many of so many faces make a batch when nothing is learnt: `largest`, or a few less.

    Keras deals out all batches as it does the first one. Under JAX all must be dealt out equally, or none is: then each
    device sees all faces. Under TensorFlow the first must be, and the last must leave no device without a face.
    ValueError: there are too few faces for that.
    """
    count = max(len(used_devices()), 1)
    if faces % count and import_keras().backend.backend() == "jax":
        return largest if largest % count else largest - 1
    for size in range(largest - largest % count, 0, -count):
        left = faces % size
        if size <= max(faces, 1) and (left % count == 0 or left >= count * (count - 1)):
            return size
    if count == 1:
        return largest
    raise ValueError(f"{faces} faces of PublicTest are too few for {count} devices")


def _jax_distribution(names: tuple[str, ...]) -> Any:
    """Return a context in which Keras keeps each network on all these devices, and deals out each batch to them."""
    from keras import distribution

    class DataParallel(distribution.DataParallel):
        def get_data_layout(self, data_shape: tuple[int, ...]) -> Any:
            if data_shape[0] % len(names) == 0:
                return super().get_data_layout(data_shape)
            return distribution.TensorLayout([None] * len(data_shape), self.device_mesh)

    return DataParallel(devices=list(names), auto_shard_dataset=False).scope()


def _names(backend: str, kind: str | None = None) -> list[str]:
    """Return the names of the devices of a kind, by default of the fastest kind: gpu:0, gpu:1 …"""
    if backend == "jax":
        return import_keras().distribution.list_devices(kind)
    import tensorflow as tf

    found = tf.config.list_logical_devices(kind.upper() if kind else "GPU") or tf.config.list_logical_devices("CPU")
    return [device.name.partition("device:")[2].lower() for device in found]


def _divide_processor(count: int) -> list[str]:
    """Make virtual devices of the processor; it must not have computed yet."""
    backend = import_keras().backend.backend()
    if backend == "jax":
        import jax

        try:
            jax.config.update("jax_num_cpu_devices", count)
        except RuntimeError:  # it has begun; perhaps with as many
            pass
    else:
        import tensorflow as tf

        processor = tf.config.list_physical_devices("CPU")[0]
        try:
            tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * count)
        except RuntimeError:
            pass
    if len(names := _names(backend, "cpu")) < count:
        raise DataError(f"{backend} has already begun with {len(names)} devices of the processor, not {count}; ask for "
                        "virtual devices in a new process, before anything else")
    return names[:count]


def used_devices() -> tuple[str, ...]:
    """Return the names of the devices that a training which begins now is dealt out to; none where it takes one."""
    return _USED.get()


def check_batch_size(batch_size: int) -> None:
    """Raise ValueError where the devices cannot get equal, even shares of a batch."""
    step = 2 * len(used_devices())
    if step and batch_size % step:
        raise ValueError(f"batch_size must be a multiple of {step} on {step // 2} devices, got {batch_size}: each "
                         "takes an equal and even share")


def even_batch(batch_size: int, faces: int) -> int:
    """Return how many of so many faces make a batch: `batch_size`, or fewer; even, as `TrainConfig` says why.

    So is the share of each device. ValueError: there are too few faces for that.
    """
    step = 2 * max(len(used_devices()), 1)
    if step > max(faces, 2):
        raise ValueError(f"{faces} faces are too few for {step // 2} devices, which take two or more each")
    return min(batch_size, max(faces - faces % step, 1))


def on_devices() -> Any:
    """Return a context to build and compile a network in: TensorFlow then keeps it on all devices that are used."""
    names = used_devices()
    if not names or import_keras().backend.backend() != "tensorflow":
        return nullcontext()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(names)).scope()


def join_shares(model: "keras.Model") -> None:
    """Let the devices compute with the whole batch what one device would: normalisation and dropout.

    Under JAX they do so by themselves. Under TensorFlow each device would normalise by the faces of its own share, and
    drop the same places in each share. What is saved of the model does not change.
    """
    keras = import_keras()
    if not used_devices() or keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf
    from keras import layers

    class Dropout(layers.Dropout):  # of the same name: weights in files are named after it
        def call(self, inputs: Any, training: bool = False) -> Any:
            context = tf.distribute.get_replica_context()
            if not training or not self.rate or context is None:
                return super().call(inputs, training=training)
            n, share = tf.shape(inputs)[0], context.replica_id_in_sync_group
            whole = tf.concat([[n * context.num_replicas_in_sync], tf.shape(inputs)[1:]], 0)
            kept = keras.random.dropout(tf.ones(whole, inputs.dtype), self.rate, seed=self.seed_generator)
            return inputs * kept[share * n:(share + 1) * n]

    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.synchronized = True
        elif type(layer) is layers.Dropout and layer.noise_shape is None:
            layer.__class__ = Dropout


def first_batch(model: "keras.Model", *batch: Any) -> None:
    """Let a compiled model's metrics see a batch, in which they make their variables, and forget it."""
    if used_devices() and import_keras().backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.distribute.get_strategy().run(model.compute_metrics, args=(None, *batch))
    else:
        model.compute_metrics(None, *batch)
    model.reset_metrics()
