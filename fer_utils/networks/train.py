"""Training one network under one protocol into a run folder."""
import json
import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from .. import errors, paths
from ..data.copies import clean_mask, face_ids
from ..data.split import split
from ..metrics import fit_temperature, log_loss
from . import zoo
from .backend import fuse_batch_norm, import_keras, xla_setting
from .batches import even_batch_size, make_batches
from .recipes import TrainConfig, resolve_precision
from .runs import predict_probabilities, score_faces
from .teach import soft_targets, start_weights, teach_views, warn_of_other_data


def compile_model(model, config, steps_per_epoch, fuse=True):
    """Compile a model with a config's optimiser, schedule and loss; `fuse` as `backend.fuse_batch_norm` says."""
    keras = import_keras()
    if fuse:
        fuse_batch_norm(model)

    rate = config.learning_rate
    if config.schedule == "cosine":
        warmup = int(config.warmup_epochs * steps_per_epoch)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate, max(config.epochs * steps_per_epoch - warmup, 1),
            warmup_target=rate if warmup else None, warmup_steps=warmup)
    ema = {"use_ema": True, "ema_momentum": config.ema} if config.ema else {}
    if config.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(rate, weight_decay=config.weight_decay, **ema)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    elif config.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, **ema)
    else:
        optimizer = keras.optimizers.Adam(rate, **ema)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing)
    model.compile(optimizer, loss, metrics=["categorical_accuracy"], jit_compile=xla_setting())
    optimizer.build(model.trainable_variables)


def write_json(path, value):
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def _epoch_line(row, epochs):
    return (f"epoch {row['epoch']:3d}/{epochs}  train loss {row['train_loss']:.3f}  val loss {row['val_loss']:.3f}  "
            f"val accuracy {row['val_accuracy']:.3f}  {row['seconds']:.0f} s")


def _progress(kind, steps, history, config):
    """Return (after_batch, after_epoch, close) that show progress as a bar, as lines, or not at all."""
    if kind == "bar":
        from tqdm import tqdm

        bar = tqdm(total=steps * config.epochs, initial=steps * len(history), unit="batch", desc=config.model,
                   dynamic_ncols=True, mininterval=0.5)

        def after_epoch(row):
            bar.set_postfix_str(f"epoch {row['epoch']}/{config.epochs}, val accuracy {row['val_accuracy']:.3f}")

        return (lambda: bar.update()), after_epoch, bar.close
    if kind == "lines":
        # Epochs of an earlier, interrupted run are shown too: a notebook then shows the whole training.
        for row in history:
            print(_epoch_line(row, config.epochs))
        done, start = len(history), time.monotonic()

        def after_epoch(row):
            left = (time.monotonic() - start) / (row["epoch"] - done) * (config.epochs - row["epoch"])
            print(f"{_epoch_line(row, config.epochs)}, at most {left / 60:.0f} min left", flush=True)

        return (lambda: None), after_epoch, (lambda: None)
    return (lambda: None), (lambda row: None), (lambda: None)


def train(config, faces, out=None, progress="bar"):
    """Train a network, or go on where a killed run stopped, and write its run folder.

    The best epoch is chosen by the validation part alone: PublicTest under the official protocol. PrivateTest is
    scored once, after training.

    Parameters
    ----------
    config : TrainConfig
    faces : FaceSet
    out : Path, optional
        The run folder; by default ``models/runs/<run name>``.
    progress : str or None
        "bar", "lines" (one an epoch, for notebooks) or None.

    Returns
    -------
    Path
        The run folder, holding ``model.keras`` (float32), ``card.json`` and ``history.csv``. A folder that holds
        this very run finished is returned at once.

    Raises
    ------
    ValueError
        `out` holds another run.
    DataError
        Another process trains this very run at the same time.
    """
    keras = import_keras()

    fingerprint = faces.fingerprint()
    folder = Path(out) if out else paths.RUNS / config.run_name(fingerprint)
    state = _read_state(folder, config, fingerprint)
    if state == "finished":
        _progress(progress, 1, pd.read_csv(folder / "history.csv").to_dict("records"), config)[2]()
        return folder
    folder.mkdir(parents=True, exist_ok=True)

    network = zoo.network(config.model)
    keras.utils.set_random_seed(config.seed)
    parts = split(faces, config.protocol, config.balance, config.seed)
    steps = len(parts.train) // even_batch_size(config, len(parts.train))
    precision = resolve_precision(config.precision)
    model = zoo.build(config.model, precision, weights=config.weights)
    warn_of_other_data(config, fingerprint)
    if config.start and not state:
        model.set_weights(start_weights(config))
    targets = soft_targets(parts.train, config)
    teach = teach_views(config, network.spec, precision)
    compile_model(model, config, steps)
    best_weights, history, best, seconds = None, [], None, 0.0
    if state:
        model.load_weights(folder / state["last"])
        history, best, seconds = state["history"], state["best_epoch"], state["seconds"]
    after_validation = _reduce_on_plateau(model, config, history)

    after_batch, after_epoch, close = _progress(progress, steps, history, config)
    trained, batches = [], None
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: after_batch(),
        # When fit ends it replaces the weights by their moving average; the next epoch must start from these.
        on_epoch_end=lambda epoch, logs: trained.append(_copied_weights(model)))
    try:
        for epoch in range(len(history), config.epochs):
            if _stopped(history, best, config):
                break
            began = time.monotonic()
            batches = make_batches(parts.train, config, network.spec, parts.class_weight, epoch, targets, teach)
            _seed_dropout(model, epoch * steps)
            logs = model.fit(batches, epochs=1, verbose=0, callbacks=[watch], shuffle=False).history
            # The weights and their moving average may share memory, which JAX gives away when it predicts.
            model.set_weights(_copied_weights(model))
            probabilities = predict_probabilities(model, parts.validation.pixels, network.spec)
            row = _history_row(epoch, logs, parts.validation.emotion, probabilities, model.optimizer)
            if best is None or row["val_accuracy"] > history[best - 1]["val_accuracy"]:
                best, best_weights = epoch + 1, _copied_weights(model)
            model.set_weights(trained.pop())
            after_validation(row)
            row["seconds"] = round(time.monotonic() - began, 2)
            seconds += row["seconds"]
            history.append(row)
            _write_state(folder, model, config, fingerprint, history, best, best_weights, seconds)
            best_weights = None
            after_epoch(row)
    finally:
        close()
        if batches is not None:
            batches.forget()
    return _finish(folder, config, faces, parts, history, best, seconds, precision)


def _reduce_on_plateau(model, config, history):
    """Return what is called with each epoch's row and lowers the rate on a plateau; `history`, already run, counts."""
    if config.schedule != "plateau":
        return lambda row: None
    callback = import_keras().callbacks.ReduceLROnPlateau("val_loss", factor=0.1, patience=12)
    callback.set_model(model)
    callback.on_train_begin()
    model.optimizer.learning_rate = config.learning_rate

    def after_validation(row):
        callback.on_epoch_end(row["epoch"], {"val_loss": row["val_loss"]})

    for row in history:
        after_validation(row)
    return after_validation


def _copied_weights(model):
    return [np.array(weight) for weight in model.get_weights()]


def _seed_dropout(model, step):
    """Set each dropout layer's counter to the step: weights files do not hold it, and a resumed run needs it."""
    for layer in model.layers:
        if hasattr(layer, "seed_generator"):
            seed = int(np.asarray(layer.seed_generator.state)[0])
            layer.seed_generator.state.assign([seed, step])


def _stopped(history, best, config):
    return bool(config.patience) and bool(history) and len(history) - best >= config.patience


def _history_row(epoch, logs, true, probabilities, optimizer):
    from sklearn.metrics import f1_score

    predicted = probabilities.argmax(axis=1)
    return {"epoch": epoch + 1, "train_loss": round(logs["loss"][0], 5),
            "train_accuracy": round(logs["categorical_accuracy"][0], 5),
            "val_loss": round(log_loss(true, probabilities), 5),
            "val_accuracy": round(float((predicted == true).mean()), 5),
            "val_macro_f1": round(float(f1_score(true, predicted, average="macro")), 5),
            "learning_rate": float(np.asarray(optimizer.learning_rate))}


def _read_state(folder, config, fingerprint):
    """Return the state to go on from, "finished", or None for a new run."""
    card, state = folder / "card.json", folder / "state.json"
    if not card.is_file() and not state.is_file():
        return None
    found = json.loads((card if card.is_file() else state).read_text(encoding="utf-8"))
    there = found["data"]["fingerprint"] if card.is_file() else found["fingerprint"]
    other = TrainConfig.from_dict(found["config"]).to_dict()  # a field that its version did not know has its default
    if other != config.to_dict() or there != fingerprint:
        changed = [k for k, v in config.to_dict().items() if other[k] != v] or ["data"]
        raise ValueError(f"{folder} holds another run ({', '.join(changed)} differ); choose another folder, "
                         "or delete this one")
    return "finished" if card.is_file() else found


def _write_state(folder, model, config, fingerprint, history, best, best_weights, seconds):
    """Keep an epoch: weights and optimiser first, then the one small file that makes them count."""
    epoch = len(history)
    there = _read_state(folder, config, fingerprint)
    if there == "finished" or (there and len(there["history"]) >= epoch):
        raise errors.DataError(f"{folder}: another process trains this very run and has epoch {epoch} already; this "
                              "one stops here. Let the other go on, or give this one a folder of its own (--out)")
    last, best_file = f"last-{epoch}.weights.h5", f"best-{best}.weights.npz"
    model.save_weights(folder / last)
    if best_weights is not None:
        np.savez(folder / best_file, *best_weights)
    write_json(folder / "state.json", {
        "config": config.to_dict(), "fingerprint": fingerprint, "last": last, "best": best_file,
        "best_epoch": best, "seconds": seconds, "history": history})
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    for old in [*folder.glob("last-*.weights.h5"), *folder.glob("best-*.weights.npz")]:
        if old.name not in (last, best_file):
            old.unlink()


def _finish(folder, config, faces, parts, history, best, seconds, precision):
    """Score the best epoch's weights, write model and card, and drop what only resuming needed."""
    model = zoo.build(config.model, weights=config.weights, download=False)
    with np.load(folder / f"best-{best}.weights.npz") as kept:
        model.set_weights([kept[f"arr_{i}"] for i in range(len(kept.files))])
    spec = zoo.network(config.model).spec
    results, temperature = score_parts(model, spec, faces, parts)
    save_model(folder, model)
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    write_json(folder / "card.json", {
        "name": folder.name, "model": config.model, "origin": zoo.network(config.model).origin,
        "config": config.to_dict(), "spec": spec.to_dict(), "split": parts.label,
        "parameters": model.count_params(), "mflops": round(2 * zoo.multiply_adds(model) / 1e6, 1),
        "data": {"title": faces.title, "layout": faces.layout, "faces": len(faces),
                 "train": len(parts.train), "fingerprint": faces.fingerprint()},
        "scores": results, "temperature": temperature, "best_epoch": best, "epochs_run": len(history),
        "seconds": round(seconds, 1), "precision": precision, "versions": library_versions(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds")})
    for old in [*folder.glob("last-*.weights.h5"), *folder.glob("best-*.weights.npz"), folder / "state.json"]:
        old.unlink(missing_ok=True)
    return folder


def save_model(folder, model):
    # Keras picks the format by the ending, so the unfinished file has it too.
    model.save(folder / "part.model.keras")
    os.replace(folder / "part.model.keras", folder / "model.keras")
    (folder / "model.onnx").unlink(missing_ok=True)  # of weights that stood here before


def score_parts(model, spec, faces, parts):
    """Score trained weights on the parts that a card reports, and fit the temperature on PublicTest.

    Parameters
    ----------
    model : keras.Model
    spec : FaceSpec
    faces : FaceSet
    parts : resample.Split
        Of these faces.

    Returns
    -------
    results : dict
        Usage → `evaluate.scores`, with the answers packed.
    temperature : float or None
    """
    results, temperature = {}, None
    for usage, part in _scored_parts(faces, parts):
        probabilities = predict_probabilities(model, part.pixels, spec)
        results[usage] = score_faces(part, probabilities, _clean(faces, parts, usage))
        if usage in ("PublicTest", "validation"):
            temperature = round(fit_temperature(part.emotion, probabilities), 4)
    return results, temperature


def _scored_parts(faces, parts):
    if parts.protocol == "leaky":
        return [("leaky test", parts.test)]
    validation = "validation" if (parts.validation.usage == "Training").any() else "PublicTest"
    scored = [(validation, parts.validation)]
    return scored + [("PrivateTest", parts.test)] if len(parts.test) else scored


def _clean(faces, parts, usage):
    """Return which faces of a scored part the network cannot have met in training."""
    if usage == "leaky test":
        seen = face_ids(np.concatenate([parts.train.pixels, parts.test.pixels]))
        return ~np.isin(seen[len(parts.train):], seen[:len(parts.train)])
    return clean_mask(faces, usage, labelled=True) if usage != "validation" else None


def library_versions():
    keras = import_keras()

    return {"python": platform.python_version(), "backend": keras.backend.backend(),
            **{name: version(name) for name in ("keras", keras.backend.backend(), "numpy", "scikit-learn",
                                                "imbalanced-learn", "opencv-python")}}
