"""The batches of one epoch."""
import numpy as np

from .augment import AUGMENTATIONS, augment_faces, mixup
from .backend import import_keras
from .spec import face_to_tensor, one_hot


def even_batch_size(config, n):
    """Return the batch size for `n` training faces: even, as `TrainConfig` says why."""
    return min(config.batch_size, max(n - n % 2, 1))


def make_batches(faces, config, spec, class_weight, epoch, targets=None, teach=None):
    """Return one epoch's training batches as a `keras.utils.PyDataset`, of one-hot labels if there are no `targets`.

    Batch `i` of an epoch depends on (seed, epoch, i) alone, so a resumed run sees the batches that an unbroken
    one sees. The rest that fills no batch is left out; the next epoch's order brings it in. `teach`, of
    `teach_views`, softens the targets by what teachers see in the batch; passes then repeat as the config says.
    """
    keras = import_keras()

    epoch = epoch % config.teacher_views if teach else epoch
    augmentation = AUGMENTATIONS[config.augment]
    size = even_batch_size(config, len(faces))
    order = np.random.default_rng([config.seed, epoch]).permutation(len(faces))
    targets = one_hot(faces.emotion) if targets is None else targets
    weights = None if class_weight is None else np.array([class_weight[int(e)] for e in faces.emotion], np.float32)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return len(faces) // size

        def __getitem__(self, i):
            rng = np.random.default_rng([config.seed, epoch, i])
            rows = order[i * size:(i + 1) * size]
            x = face_to_tensor(augment_faces(faces.pixels[rows], augmentation, rng), spec)
            x, y = mixup(x, targets[rows], config.mixup, rng)
            if teach:
                y = (1 - config.teacher_share) * y + config.teacher_share * teach(x, (epoch, i))
            return (x, y) if weights is None else (x, y, weights[rows])

        def forget(self):
            """Let go of the faces: after an interrupt Keras's thread waits for ever with this object in its hands."""
            nonlocal faces, targets, weights, teach
            faces = targets = weights = teach = None

    # Two workers, so that Keras queues the batches itself. With one it leaves them to tf.data, which tunes its queue in
    # a thread that sleeps for 10 ms, 20 ms, 40 ms …, and an epoch that had ended often waited for it to wake up: one of
    # 14 s lasted 21, one of 60 s lasted 84. Other backends have no such wait, and take the first batches twice from
    # such a queue.
    workers = 2 if keras.backend.backend() == "tensorflow" else 1
    return Batches(workers=workers, use_multiprocessing=False, max_queue_size=16)
