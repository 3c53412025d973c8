"""What Keras lacks for a training that can be killed at any moment: a few callbacks, and one metric."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import whole
from .backend import import_keras
from .checkpoints import Row, kept_epochs, row_line, weights_file
from .recipes import TrainConfig

if TYPE_CHECKING:
    import keras as _keras
else:
    _keras = import_keras()  # without TensorFlow's messages

Progress = str | Callable[[list[Row], str], None]
"""How a training is shown: see `ShowProgress`."""


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


class RenameLogs(_keras.callbacks.Callback):
    """Give an epoch's numbers their names and order in history.csv, and add learning rate and seconds.

    Keras's own `val_loss` has label smoothing and weight penalties in it; ours is the log loss of the probabilities.
    The numbers are rounded before the other callbacks see them: a resumed run, which reads them from history.csv,
    then decides by the same ones.
    """

    def on_epoch_begin(self, epoch: int, logs: Row | None = None) -> None:
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Row) -> None:
        found = {"train_loss": logs["loss"], "train_accuracy": logs["categorical_accuracy"],
                 "val_loss": logs["val_log_loss"], "val_accuracy": logs["val_categorical_accuracy"],
                 "val_macro_f1": logs["val_macro_f1"]}
        logs.clear()
        logs.update({name: round(float(value), 5) for name, value in found.items()})
        logs["learning_rate"] = float(np.asarray(self.model.optimizer.learning_rate))
        logs["seconds"] = round(time.monotonic() - self.began, 2)


class HistoryLogger(_keras.callbacks.CSVLogger):
    """`CSVLogger` with its columns in the order of the logs; Keras sorts them by name and counts epochs from 0."""

    def on_epoch_end(self, epoch: int, logs: Row) -> None:
        self.keys = list(logs)
        super().on_epoch_end(epoch + 1, logs)


class RestoreCallbackState(_keras.callbacks.Callback):
    """Show earlier epochs to `ReduceLROnPlateau` and `EarlyStopping`: at each `fit` they forget what they have seen."""

    def __init__(self, watchers: Sequence[Any], rows: Sequence[Row]) -> None:
        super().__init__()
        self.watchers, self.rows = watchers, rows

    def on_train_begin(self, logs: Row | None = None) -> None:
        for watcher in self.watchers:
            rate = float(np.asarray(self.model.optimizer.learning_rate))
            for row in self.rows:
                watcher.on_epoch_end(row["epoch"] - 1, dict(row))
            if isinstance(watcher, _keras.callbacks.ReduceLROnPlateau):
                self.model.optimizer.learning_rate = rate  # which it has lowered a second time


class BackUpWeights(_keras.callbacks.Callback):
    """Keep each epoch's weights and optimiser, after all other callbacks have kept what is theirs (see `checkpoints`).

    Keras's `BackupAndRestore` overwrites its weights in place and then writes the epoch's number into a second file: a
    run killed meanwhile has half a file, or goes on from one epoch's weights with another epoch's number. Here the file
    is whole or not there, and its name is the number.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch: int, logs: Row | None = None) -> None:
        with whole(weights_file(self.folder, "last", epoch + 1)) as part:
            self.model.save_weights(part)
        for kind in ("last", "best"):
            for old in kept_epochs(self.folder, kind)[:-1]:
                weights_file(self.folder, kind, old).unlink()


class ShowProgress(_keras.callbacks.Callback):
    """Show a training with the time left over all epochs; Keras's bars show one epoch each.

    `kind` is "bar", "lines", None for nothing, or a function: once a second, and after each epoch, it gets the rows of
    the finished epochs and a line about the epoch under way. `rows` are the earlier epochs of a resumed run.
    """

    def __init__(self, kind: Progress | None, config: TrainConfig, rows: Sequence[Row]) -> None:
        super().__init__()
        self.kind, self.config, self.rows = kind, config, rows
        self.finished = list(rows)
        self.bar: Any = None

    def on_train_begin(self, logs: Row | None = None) -> None:
        self.began, self.batches, self.drawn = time.monotonic(), 0, 0.0
        self._draw()
        if self.kind == "lines":
            # A notebook then shows the whole training, also what an earlier run did of it.
            print(*(f"{row_line(row, self.config.epochs)}\n" for row in self.rows), sep="", end="")
        if self.kind == "bar":
            from tqdm import tqdm

            steps = self.params["steps"]
            self.bar = tqdm(total=steps * self.config.epochs, initial=steps * len(self.rows), unit="batch",
                            desc=self.config.model, dynamic_ncols=True, mininterval=0.5)

    def on_train_batch_end(self, batch: int, logs: Row | None = None) -> None:
        self.batches += 1
        if self.bar is not None:
            self.bar.update()
        if time.monotonic() - self.drawn > 1:
            self._draw()

    def _draw(self) -> None:
        if callable(self.kind):
            from tqdm import tqdm

            earlier, done = len(self.rows) * self.params["steps"], len(self.finished)
            self.kind(self.finished, tqdm.format_meter(
                earlier + self.batches, self.config.epochs * self.params["steps"], time.monotonic() - self.began,
                ncols=80, initial=earlier, unit="batch", prefix=f"epoch {min(done + 1, self.config.epochs)}"))
            self.drawn = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Row) -> None:
        done, epochs = epoch + 1, self.config.epochs
        self.finished.append({"epoch": done, **logs})
        self._draw()
        if self.kind == "lines":
            left = (time.monotonic() - self.began) / (done - len(self.rows)) * (epochs - done)
            print(f"{row_line({'epoch': done, **logs}, epochs)}, at most {left / 60:.0f} min left", flush=True)
        if self.bar is not None:
            self.bar.set_postfix_str(f"epoch {done}/{epochs}, val accuracy {logs['val_accuracy']:.3f}")

    def on_train_end(self, logs: Row | None = None) -> None:
        if self.bar is not None:
            self.bar.close()
        if callable(self.kind):
            self.kind(self.finished, "the best epoch is scored")

    def close(self) -> None:
        """Leave no bar or line behind; Keras calls no callback after an interrupt."""
        if self.bar is not None:
            self.bar.close()
        if callable(self.kind):
            self.kind(self.finished, "")
