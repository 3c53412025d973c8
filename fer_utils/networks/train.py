"""Train one network into a run folder, in one `keras.Model.fit`: model.keras, card.json, history.csv."""

import contextlib
import importlib.util
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import files, paths
from ..data.copies import clean_mask, face_ids
from ..data.faceset import FaceSet
from ..data.ferplus import with_votes
from ..data.split import Split, split
from ..errors import DataError
from ..labels import N_CLASSES
from ..metrics import fit_temperature, weights_for_mix
from . import checkpoints, devices, zoo
from .backend import fuse_batch_norm, import_keras, xla_setting
from .checkpoints import Row, is_finished, kept_epoch, last_epoch, read_rows, weights_file
from .recipes import TrainConfig, resolve_precision
from .runs import predict_probabilities, score_faces
from .spec import FaceSpec
from .teach import soft_targets, start_weights, teach_views, warn_of_other_data

if TYPE_CHECKING:
    import keras

    from .batches import TrainingBatches
    from .callbacks import Progress, ShowProgress

# `batches` and `callbacks` import Keras, so they are imported where a training begins.


class Interrupted(KeyboardInterrupt):
    """A training was interrupted; the message says what is kept. A notebook shows it without a traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython calls this
        return [str(self)]


@dataclass(frozen=True)
class _Run:
    """One call of `train`, except the faces."""

    folder: Path
    config: TrainConfig
    fingerprint: str
    progress: "Progress | None"
    tensorboard: Path | str | None


def train(config: TrainConfig, faces: FaceSet, out: Path | str | None = None, progress: "Progress | None" = "bar",
          tensorboard: Path | str | None = None) -> Path:
    """Train a network, or go on where a killed run stopped, and return its run folder.

    The folder, by default ``models/runs/<run name>``, then holds ``model.keras`` (float32), ``card.json`` and
    ``history.csv``. If it holds this very run finished, it is returned at once. The epoch is chosen by the
    validation part alone, PublicTest under the official protocol, or is the last (`keep`). PrivateTest is scored once,
    after training.

    `progress` is "bar", None, or a function such as `plots.LiveHistory`, for notebooks: see `callbacks.ShowProgress`.
    `tensorboard` is a folder for TensorBoard's logs; the run gets a folder of its name in it. Within
    `devices.spread_over` the training is shared out to several devices.

    ValueError: `out` holds another run. DataError: another process trains in this folder; `out` holds an unfinished run
    that is damaged or of an earlier version; FER+'s votes or the package tensorboard are missing. Interrupted: Ctrl-C,
    or a notebook's stop button; the finished epochs are kept, and the same call goes on from there.
    """
    if not (progress in ("bar", None) or callable(progress)):
        raise ValueError(f'progress must be "bar", None or a function, got {progress!r}')
    faces = with_votes(faces) if config.votes else faces
    devices.check_batch_size(config.batch_size)
    fingerprint = faces.fingerprint()
    folder = Path(out) if out else paths.RUNS / config.run_name(fingerprint)
    if tensorboard is not None and importlib.util.find_spec("tensorboard") is None:
        raise DataError("the package tensorboard is missing: pip install tensorboard, or train without --tensorboard")
    if is_finished(folder, config, fingerprint):
        if (folder / "state.json").is_file():
            checkpoints.remove_checkpoints(folder)  # killed between its card and this
        if callable(progress):
            progress(read_rows(folder), "")
        return folder
    run = _Run(folder, config, fingerprint, progress, tensorboard)
    with files.only_one(folder, "another process trains in this folder"):
        try:
            _train_alone(run, faces)
            return folder
        except KeyboardInterrupt:
            pass  # raised again below, where no traceback holds the faces
        raise Interrupted(_what_is_kept(run))


def _what_is_kept(run: _Run) -> str:
    kept, epochs = last_epoch(run.folder), run.config.epochs
    if not kept:
        return "Training stopped before its first epoch was finished; the same command begins again."
    goes_on = f"goes on from epoch {kept + 1}" if kept < epochs else "goes on with the scores"
    return f"Training stopped. {kept} of {epochs} epochs are kept in {run.folder}; the same command {goes_on}."


def _train_alone(run: _Run, faces: FaceSet) -> None:
    from .callbacks import ShowProgress

    folder, config = run.folder, run.config
    if is_finished(folder, config, run.fingerprint):  # by a process that had the lock just before
        return
    warn_of_other_data(config, run.fingerprint)
    parts = split(faces, config.protocol, config.balance, config.seed)
    precision = resolve_precision(config.precision)
    rows = checkpoints.restore_rows(folder, config)
    with contextlib.closing(ShowProgress(run.progress, config, rows)) as shown:
        if not checkpoints.is_over(rows, config):
            _fit(run, parts, precision, rows, shown)
        _finish(run, faces, parts, precision, rows)


def _fit(run: _Run, parts: Split, precision: str, rows: list[Row], shown: "ShowProgress") -> None:
    """Train until no epoch is left; `rows` holds the epochs of a resumed run, and then all."""
    from .batches import TrainingBatches, ValidationBatches

    config, spec = run.config, zoo.network(run.config.model).spec
    start = start_weights(config.start, config.model) if config.start and not rows else None
    batches = TrainingBatches(parts.train, config, spec, class_weight=parts.class_weight,
                              targets=soft_targets(parts.train, config), teach=teach_views(config, spec, precision))
    validation = ValidationBatches(parts.validation, spec)
    with devices.on_devices():
        import_keras().utils.set_random_seed(config.seed)
        model = zoo.build(config.model, precision, weights=config.weights, download=not rows,
                          any_size=bool(config.crop))
        if start is not None:
            model.set_weights(start)
        if config.freeze_norm:
            freeze_norm(model)
        compile_model(model, config, len(batches))
    if rows:
        checkpoints.load_weights(model, weights_file(run.folder, "last", len(rows)))
    files.write_json(run.folder / "state.json", {"config": config.to_dict(), "fingerprint": run.fingerprint})
    try:
        model.fit(batches, epochs=config.epochs, initial_epoch=len(rows), validation_data=validation, shuffle=False,
                  verbose=0, callbacks=[*_callbacks(run, batches, rows), shown])
    finally:
        batches.release()
        validation.release()


def freeze_norm(model: "keras.Model") -> None:
    """Keep the batch normalisations of a model as they are, and its answers independent of the batch."""
    for layer in model.layers:
        if isinstance(layer, import_keras().layers.BatchNormalization):
            layer.trainable = False


def _callbacks(run: _Run, batches: "TrainingBatches", rows: list[Row]) -> "list[keras.callbacks.Callback]":
    """Return what watches a training, in the order in which each sees the end of an epoch."""
    from . import callbacks as own

    stock, config, folder = import_keras().callbacks, run.config, run.folder
    # Keras does not pass the epoch to its batches. It calls this before it starts the epoch's queue threads, and after
    # it has joined those of the last one, so no batch is under way. A PyDataset's own `on_epoch_begin` comes too late.
    chosen = [stock.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.begin(epoch)), own.SeedDropout()]
    if config.ema:
        chosen.append(own.SwapEMAWeightsExactly(swapped=bool(rows)))
    if run.tensorboard is not None:
        chosen.append(stock.TensorBoard(Path(run.tensorboard) / folder.name, write_graph=False))
    chosen.append(own.RecordEpochs(folder, config, rows))
    if config.schedule == "plateau":
        chosen.append(own.ReduceLROnPlateau(rows))
    return [*chosen, own.BackUpWeights(folder, config, rows)]


def compile_model(model: "keras.Model", config: TrainConfig, steps_per_epoch: int, fuse: bool = True) -> None:
    """Compile a model with a config's optimiser, schedule and loss; `fuse` as in `backend.fuse_batch_norm`."""
    from .callbacks import MacroF1

    keras = import_keras()
    if devices.used_devices():
        devices.join_shares(model)
    elif fuse:
        fuse_batch_norm(model)
    rate = config.learning_rate
    if config.schedule == "cosine":
        warmup = int(config.warmup_epochs * steps_per_epoch)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate, max(config.epochs * steps_per_epoch - warmup, 1),
            warmup_target=rate if warmup else None, warmup_steps=warmup)
    ema: dict[str, Any] = {"use_ema": True, "ema_momentum": config.ema} if config.ema else {}
    if config.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, **ema)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    elif config.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, **ema)
    else:
        optimizer = keras.optimizers.Adam(rate, **ema)
    # Two of these metrics are for validation alone: its loss without label smoothing and weight penalties, and its F1.
    metrics = ["categorical_accuracy", keras.metrics.CategoricalCrossentropy(name="log_loss"),
               MacroF1(average=None, name="macro_f1")]
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing)
    model.compile(optimizer, loss, metrics=metrics, jit_compile=xla_setting())
    optimizer.build(model.trainable_variables)
    # A metric makes its variables when it first sees answers. Were that inside a training step, TensorFlow would trace
    # the step twice.
    nothing = np.zeros((1, N_CLASSES), np.float32)
    devices.first_batch(model, nothing, nothing)


def _finish(run: _Run, faces: FaceSet, parts: Split, precision: str, rows: list[Row]) -> None:
    """Score the kept epoch's weights, write model and card, and drop what only going on needed."""
    folder, config, best = run.folder, run.config, kept_epoch(rows, run.config)
    model = zoo.build(config.model, weights=config.weights, download=False)
    checkpoints.load_weights(model, weights_file(folder, "best", best))
    spec = zoo.network(config.model).spec
    results, temperature = score_parts(model, spec, faces, parts)
    save_model(folder, model)
    write_card(folder, {
        "name": folder.name, "model": config.model, "origin": zoo.network(config.model).origin,
        "config": config.to_dict(), "spec": spec.to_dict(), "split": parts.label,
        "parameters": model.count_params(), "mflops": round(2 * zoo.multiply_adds(model) / 1e6, 1),
        "data": {"title": faces.title, "layout": faces.layout, "faces": len(faces),
                 "train": len(parts.train), "fingerprint": run.fingerprint},
        "scores": results, "temperature": temperature, "best_epoch": best, "epochs_run": len(rows),
        "seconds": round(sum(row["seconds"] for row in rows), 1), "precision": precision,
        **({"devices": list(devices.used_devices())} if devices.used_devices() else {})})
    checkpoints.remove_checkpoints(folder)


def score_parts(model: "keras.Model", spec: FaceSpec, faces: FaceSet,
                parts: Split) -> tuple[dict[str, dict[str, Any]], float | None]:
    """Score trained weights on the parts that a card reports, and fit the temperature on PublicTest.

    Returns `runs.score_faces` of each part by its name, and the temperature; None under the leaky protocol.
    """
    results, temperature = {}, None
    for usage, part in _scored_parts(parts):
        probabilities = predict_probabilities(model, part.pixels, spec)
        clean = _clean(faces, parts, usage)
        results[usage] = score_faces(part, probabilities, clean)
        if usage in ("PublicTest", "validation"):
            temperature = round(clean_temperature(part, probabilities, clean), 4)
    return results, temperature


def clean_temperature(part: FaceSet, probabilities: np.ndarray, clean: np.ndarray | None) -> float:
    """Fit the temperature on the faces that are not in Training, on the mix of classes of the whole part.

    A network is surer, and more often right, on faces that it has met. `clean`, bool (N,), is None where none is.
    """
    if clean is None or not clean.any():
        return fit_temperature(part.emotion, probabilities)
    emotion = part.emotion[clean]
    whole = np.bincount(part.emotion, minlength=N_CLASSES)
    return fit_temperature(emotion, probabilities[clean], weights_for_mix(emotion, whole))


def _scored_parts(parts: Split) -> list[tuple[str, FaceSet]]:
    scored = [(parts.chosen_by, parts.validation)]
    return scored + [("PrivateTest", parts.test)] if len(parts.test) and not parts.exhibit else scored


def _clean(faces: FaceSet, parts: Split, usage: str) -> np.ndarray | None:
    """Return which faces of a scored part the network cannot have met in training."""
    if usage == "leaky test":
        seen = face_ids(np.concatenate([parts.train.pixels, parts.test.pixels]))
        return ~np.isin(seen[len(parts.train):], seen[:len(parts.train)])
    return clean_mask(faces, usage, labelled=True) if usage != "validation" else None


def save_model(folder: Path, model: "keras.Model") -> None:
    """Write model.keras whole or not at all, and remove the model.onnx of earlier weights."""
    with files.whole(folder / "model.keras") as part:
        model.save(part)
    (folder / "model.onnx").unlink(missing_ok=True)


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write card.json, with the versions of what was used and the time; it makes a run finished."""
    backend = import_keras().backend.backend()
    versions = {"python": platform.python_version(), "backend": backend,
                **{name: version(name) for name in ("keras", backend, "numpy", "scikit-learn", "imbalanced-learn",
                                                    "opencv-python")}}
    files.write_json(folder / "card.json", card | {
        "versions": versions, "finished": datetime.now(UTC).isoformat(timespec="seconds")})
