"""Batches for `keras.Model.fit`: of the training part, made anew each epoch, and of the validation part."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..data.faceset import FaceSet
from .augment import AUGMENTATIONS, augment_faces, mixup, random_crops
from .backend import import_keras
from .devices import even_batch, used_devices, validation_batch
from .recipes import TrainConfig
from .spec import FaceSpec, face_to_tensor, one_hot

if TYPE_CHECKING:
    import keras as _keras
else:
    _keras = import_keras()  # without TensorFlow's messages
_VALIDATION_BATCH = 256  # faces


class _FaceBatches(_keras.utils.PyDataset):
    """Faces that Keras's threads make into batches ahead of the network.

    Two workers, so that Keras queues the batches itself. With one it leaves them to tf.data, as it leaves plain arrays.
    That tunes its queue in a thread that sleeps for 10 ms, 20 ms, 40 ms …, and an epoch that had ended often waited for
    it to wake up: one of 14 s lasted 21, one of 60 s lasted 84. Keras's own queue waits 0.1 s at its end. Other
    backends have no such wait, and take the first batches twice from such a queue. So does TensorFlow on several
    devices, where an interrupted program then never ends.
    """

    def __init__(self, faces: FaceSet, spec: FaceSpec) -> None:
        workers = 2 if _keras.backend.backend() == "tensorflow" and not used_devices() else 1
        super().__init__(workers=workers, use_multiprocessing=False, max_queue_size=16)
        self.pixels, self.targets, self.spec = faces.pixels, one_hot(faces.emotion), spec

    def release(self) -> None:
        """Let go of the faces: after an interrupt Keras's queue thread waits for ever and holds this object."""
        self.__dict__.clear()


class TrainingBatches(_FaceBatches):
    """One epoch's batches of labelled faces: (tensors, targets), or with class weights (tensors, targets, weights).

    Batch `i` of an epoch depends on (seed, epoch, i) alone, so a resumed run sees the same batches as an unbroken one.
    The faces that are left over and fill no batch are left out; the next epoch has another order.

    `class_weight` gives each class its weight in the loss. `targets`, float32 (N, 7), are the one-hot labels unless
    given. `teach`, from `teach.teach_views`, softens them by what teachers see in the batch; the epochs are then
    repeated after `config.teacher_views` of them.
    """

    def __init__(self, faces: FaceSet, config: TrainConfig, spec: FaceSpec, *,
                 class_weight: dict[int, float] | None = None, targets: np.ndarray | None = None,
                 teach: Callable[[np.ndarray, tuple[int, int]], np.ndarray] | None = None) -> None:
        super().__init__(faces, spec)
        self.config, self.teach = config, teach
        self.targets = self.targets if targets is None else targets
        self.weights = None
        if class_weight is not None:
            self.weights = np.array([class_weight[int(e)] for e in faces.emotion], np.float32)
        self.size = even_batch(config.batch_size, len(faces))
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Make the batches those of an epoch, counted from 0; no batch may be under way in another thread."""
        self.epoch = epoch % self.config.teacher_views if self.teach else epoch
        self.order = np.random.default_rng([self.config.seed, self.epoch]).permutation(len(self.targets))

    def __len__(self) -> int:
        return len(self.pixels) // self.size

    def __getitem__(self, i: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng([self.config.seed, self.epoch, i])
        rows = self.order[i * self.size:(i + 1) * self.size]
        x = face_to_tensor(augment_faces(self.pixels[rows], AUGMENTATIONS[self.config.augment], rng), self.spec)
        x = random_crops(x, self.config.crop, rng)
        x, y = mixup(x, self.targets[rows], self.config.mixup, rng)
        if self.teach:
            share = self.config.teacher_share
            y = (1 - share) * y + share * self.teach(x, (self.epoch, i))
        return (x, y) if self.weights is None else (x, y, self.weights[rows])


class ValidationBatches(_FaceBatches):
    """All faces in order, in batches, each made into tensors when it is needed so that memory stays flat."""

    def __init__(self, faces: FaceSet, spec: FaceSpec) -> None:
        super().__init__(faces, spec)
        self.size = validation_batch(_VALIDATION_BATCH, len(faces))

    def __len__(self) -> int:
        return -(-len(self.pixels) // self.size)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(self.size * i, self.size * (i + 1))
        return face_to_tensor(self.pixels[rows], self.spec), self.targets[rows]
