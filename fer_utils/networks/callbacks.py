"""What Keras lacks for a training that can be killed at any moment: a few callbacks, and one metric."""

import io
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from ..files import whole
from .backend import import_keras
from .checkpoints import Row, is_over, kept_epoch, kept_epochs, weights_file, write_rows
from .recipes import TrainConfig

if TYPE_CHECKING:
    import keras as _keras
else:
    _keras = import_keras()  # without TensorFlow's messages

Progress = str | Callable[[Sequence[Row], str], None]
"""How a training is shown: see `ShowProgress`."""
_HEADERS = 1 << 18  # bytes of a file of weights that are no weights, at most


class MacroF1(_keras.metrics.F1Score):
    """Mean F1 over the classes that occur, as scikit-learn has it; Keras's also counts classes that never occur."""

    def result(self) -> Any:
        """Return the score; a class occurs if it is true or predicted at least once."""
        found = 2 * self.true_positives
        all_faces = found + self.false_positives + self.false_negatives
        occurs = _keras.ops.cast(all_faces > 0, found.dtype)
        return _keras.ops.sum(found / _keras.ops.maximum(all_faces, 1)) / _keras.ops.maximum(_keras.ops.sum(occurs), 1)


class SeedDropout(_keras.callbacks.Callback):
    """Set each dropout layer's counter to the step: weights files do not hold it, and a resumed run needs it."""

    def on_epoch_begin(self, epoch: int, logs: Row | None = None) -> None:
        for layer in self.model.layers:
            if hasattr(layer, "seed_generator"):
                seed = int(np.asarray(layer.seed_generator.state)[0])
                layer.seed_generator.state.assign([seed, epoch * self.params["steps"]])


class SwapEMAWeightsExactly(_keras.callbacks.SwapEMAWeights):
    """Swap weights and moving average without rounding: under TensorFlow Keras adds and subtracts, which rounds.

    After an epoch the model holds the average and the optimiser the weights, also in the file of `BackUpWeights`;
    `swapped` says that they come from there.
    """

    def __init__(self, swapped: bool) -> None:
        super().__init__(swap_on_epoch=True)
        self._ema_weights_in_model = swapped

    def _tf_swap_variables(self, optimizer: Any) -> None:
        self._backend_swap_variables(optimizer)


class ReduceLROnPlateau(_keras.callbacks.ReduceLROnPlateau):
    """Keras's, which also sees the earlier epochs of a resumed run: at each `fit` it forgets what it has seen."""

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__("val_loss", factor=0.1, patience=12)
        self.rows = rows

    def on_train_begin(self, logs: Row | None = None) -> None:
        super().on_train_begin(logs)
        rate = float(np.asarray(self.model.optimizer.learning_rate))
        for row in self.rows:
            self.on_epoch_end(row["epoch"] - 1, dict(row))
        self.model.optimizer.learning_rate = rate  # which it has lowered a second time


class RecordEpochs(_keras.callbacks.Callback):
    """Add each epoch's numbers to `rows` and to history.csv, and stop when no epoch is left (`checkpoints.is_over`).

    Keras's own `val_loss` has label smoothing and weight penalties in it; ours is the log loss of the probabilities.
    The numbers are rounded before the callbacks that follow see them: a resumed run, which reads them from history.csv,
    then decides by the same ones.
    """

    def __init__(self, folder: Path, config: TrainConfig, rows: list[Row]) -> None:
        super().__init__()
        self.folder, self.config, self.rows = folder, config, rows

    def on_epoch_begin(self, epoch: int, logs: Row | None = None) -> None:
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Row) -> None:
        found = {"train_loss": logs["loss"], "train_accuracy": logs["categorical_accuracy"],
                 "val_loss": logs["val_log_loss"], "val_accuracy": logs["val_categorical_accuracy"],
                 "val_macro_f1": logs["val_macro_f1"]}
        logs.clear()
        logs.update({name: round(float(value), 5) for name, value in found.items()})
        self.rows.append({"epoch": epoch + 1, **logs,
                          "learning_rate": float(np.asarray(self.model.optimizer.learning_rate)),
                          "seconds": round(time.monotonic() - self.began, 2)})
        write_rows(self.folder, self.rows)
        self.model.stop_training = is_over(self.rows, self.config)


class BackUpWeights(_keras.callbacks.Callback):
    """Keep the last and the kept epoch's weights and optimiser, after history.csv has their rows (see `checkpoints`).

    Keras's `BackupAndRestore` overwrites its weights in place and then writes the epoch's number into a second file: a
    run killed meanwhile has half a file, or goes on from one epoch's weights with another epoch's number. Here a file
    is whole or not there, and its name is the number.
    """

    def __init__(self, folder: Path, config: TrainConfig, rows: Sequence[Row]) -> None:
        super().__init__()
        self.folder, self.config, self.rows = folder, config, rows

    def on_epoch_end(self, epoch: int, logs: Row | None = None) -> None:
        wanted = {"best": kept_epoch(self.rows, self.config), "last": epoch + 1}
        for kind, number in wanted.items():
            if number == epoch + 1:
                with whole(weights_file(self.folder, kind, number)) as part:
                    self._take_room(part)
                    self.model.save_weights(part)
        for kind, number in wanted.items():
            for old in kept_epochs(self.folder, kind):
                if old != number:
                    weights_file(self.folder, kind, old).unlink()


    def _take_room(self, part: Path) -> None:
        """Fill a file with as many bytes as the weights take: HDF5 itself crashes where a disk becomes full."""
        variables = [*self.model.variables, *self.model.optimizer.variables]
        size = _HEADERS + 4 * sum(math.prod(variable.shape) for variable in variables)
        with open(part, "wb", buffering=0) as file:
            while (left := size - file.tell()) > 0:
                file.write(bytes(min(left, 1 << 20)))


class ShowProgress(_keras.callbacks.Callback):
    """Show a training with the time left over all epochs; Keras's bars show one epoch each.

    `kind` is "bar", None for nothing, or a function: once a second, and after each epoch, it gets the rows of the
    finished epochs and a line about the epoch under way. `rows` are those of `RecordEpochs`.
    """

    def __init__(self, kind: Progress | None, config: TrainConfig, rows: Sequence[Row]) -> None:
        super().__init__()
        self.kind, self.config, self.rows = kind, config, rows
        self.bar = tqdm(disable=True)

    def on_train_begin(self, logs: Row | None = None) -> None:
        steps, in_terminal = self.params["steps"], self.kind == "bar"
        self.bar = tqdm(total=steps * self.config.epochs, initial=steps * len(self.rows), unit="batch",
                        desc=self.config.model, disable=self.kind is None, ncols=80, dynamic_ncols=in_terminal,
                        # A function is given the bar's text; the bar itself prints nothing then.
                        file=None if in_terminal else io.StringIO(), mininterval=0.5 if in_terminal else math.inf)
        self._draw()

    def on_train_batch_end(self, batch: int, logs: Row | None = None) -> None:
        self.bar.update()
        if time.monotonic() - self.drawn > 1:
            self._draw()

    def _draw(self) -> None:
        self.drawn = time.monotonic()
        if callable(self.kind):
            self.bar.desc = f"epoch {min(len(self.rows) + 1, self.config.epochs)}"
            self.kind(self.rows, str(self.bar))

    def on_epoch_end(self, epoch: int, logs: Row) -> None:
        self._draw()
        self.bar.set_postfix_str(f"epoch {epoch + 1}/{self.config.epochs}, val accuracy {logs['val_accuracy']:.3f}")

    def on_train_end(self, logs: Row | None = None) -> None:
        self.close("the best epoch is scored")

    def close(self, status: str = "") -> None:
        """Leave no bar behind, nor a line other than `status`; Keras calls no callback after an interrupt."""
        self.bar.close()
        if callable(self.kind):
            self.kind(self.rows, status)
