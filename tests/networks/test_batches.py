"""Batches: each depends on seed, epoch and index alone."""

import numpy as np

from fer_utils.networks import zoo
from fer_utils.networks.backend import import_keras
from fer_utils.networks.batches import TrainingBatches, ValidationBatches
from fer_utils.networks.recipes import TrainConfig
from fer_utils.networks.spec import FaceSpec, face_to_tensor


def in_epoch(faces, config, epoch):
    batches = TrainingBatches(faces, config, FaceSpec())
    batches.begin(epoch)
    return [batches[i] for i in range(len(batches))]


def test_class_weights_reach_the_loss(faces):
    weights = {i: float(i) for i in range(7)}
    x, y, w = TrainingBatches(faces, TrainConfig(batch_size=32), FaceSpec(), class_weight=weights)[0]
    np.testing.assert_array_equal(w, y.argmax(1))
    assert x.shape == (32, 48, 48, 1)


def test_an_epoch_shows_each_face_once_in_a_new_order(faces):
    first, second = (np.concatenate([x for x, _ in in_epoch(faces, TrainConfig(batch_size=40), epoch)])
                     for epoch in (0, 1))
    assert len(first) == 400 and (first != second).any()
    np.testing.assert_allclose(np.sort(first.ravel()), np.sort(faces.pixels.ravel() / 255), atol=1e-6)


def test_a_batch_depends_on_seed_epoch_and_index_alone(faces):
    config = TrainConfig(batch_size=40, augment="strong", mixup=0.2)
    batches = TrainingBatches(faces, config, FaceSpec())
    batches.begin(5)
    backwards = [batches[i] for i in reversed(range(len(batches)))][::-1]
    for (x, y), (other_x, other_y) in zip(in_epoch(faces, config, 5), backwards):
        np.testing.assert_array_equal(x, other_x)
        np.testing.assert_array_equal(y, other_y)
    assert (in_epoch(faces, config, 4)[0][0] != backwards[0][0]).any()


def test_keras_threads_never_make_a_batch_of_another_epoch(faces, speck):
    """They queue batches ahead: an epoch's number must change between the last one's end and the next one's begin."""
    keras, model, made = import_keras(), zoo.build(speck), []

    class Watched(TrainingBatches):
        def __getitem__(self, i):
            made.append((self.epoch, i))
            return super().__getitem__(i)

    batches = Watched(faces, TrainConfig(batch_size=20), FaceSpec())
    model.compile("sgd", "categorical_crossentropy")
    made.clear()
    model.fit(batches, epochs=4, initial_epoch=1, verbose=0, callbacks=[keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: batches.begin(epoch))])
    for epoch in (1, 2, 3):
        assert sorted(i for e, i in made if e == epoch) == list(range(20)), f"epoch {epoch}"


def test_validation_shows_every_face_in_order(faces):
    batches = ValidationBatches(faces, FaceSpec())
    x, y = (np.concatenate(parts) for parts in zip(*(batches[i] for i in range(len(batches)))))
    np.testing.assert_array_equal(x, face_to_tensor(faces.pixels, FaceSpec()))
    np.testing.assert_array_equal(y.argmax(1), faces.emotion)


def test_only_tensorflow_needs_keras_own_queue(faces, monkeypatch):
    def workers():
        return {TrainingBatches(faces, TrainConfig(), FaceSpec()).workers, ValidationBatches(faces, FaceSpec()).workers}

    keras = import_keras()
    assert workers() == {2 if keras.backend.backend() == "tensorflow" else 1}
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert workers() == {1}
