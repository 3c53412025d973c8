"""Train one network under one protocol into a run folder: model.keras, card.json, history.csv."""

import hashlib
import json
import os
import platform
import time
import warnings
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from . import paths, zoo
from .audit import face_ids
from .augment import AUGMENTATIONS, augment_faces, mixup
from .backend import fuse_batch_norm, import_keras
from .cards import read_card, run_folder
from .evaluate import clean_mask, fit_temperature, load_model, pack_answers, predict_probabilities, scores
from .preprocess import FaceSpec, face_to_tensor, one_hot
from .resample import BALANCES, PROTOCOLS, split

PRECISIONS = ("float32", "mixed_bfloat16", "auto")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "cosine", "plateau")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run, but the data.

    Parameters
    ----------
    model : str
        A name of `zoo.NETWORKS`.
    protocol : str
        "official", or "leaky" (an exhibit: projects A's and E's mistake).
    balance : str
        "none", "over", "under", "smote" or "class_weights"; changes the training part only.
    augment : str
        A name of `augment.AUGMENTATIONS`.
    weights : None or "imagenet"
        Pretrained weights to start from (vgg16 only).
    start : str, optional
        A trained run of the same network, to go on from its weights with a fresh optimiser and schedule.
    teachers : tuple of str
        Trained runs whose mean probabilities soften the labels (Hinton et al. 2015, distillation).
    teacher_share : float
        Share of the teachers' probabilities in the target; the rest is the label.
    teacher_views : int
        0: the teachers see each training face and its mirror image, once. Else they see what the network sees, each
        face as it is changed and mixed (Beyer et al. 2022), in so many passes, which then come again.
    epochs : int
        At most so many passes over the training part.
    patience : int
        Stop after so many epochs without a better PublicTest accuracy; 0 never stops early.
    batch_size : int
    optimizer : str
        "adam", "adamw" or "sgd" (Nesterov momentum .9).
    learning_rate : float
    schedule : str
        "constant", "cosine" from `learning_rate` to 0 over all epochs, or "plateau": a tenth of it whenever 12 epochs
        brought no lower PublicTest loss (`keras.callbacks.ReduceLROnPlateau`).
    warmup_epochs : float
        Epochs in which the cosine schedule first rises from 0.
    weight_decay : float
        Decoupled decay of kernels (adamw only).
    label_smoothing : float
        Share of each label spread over all classes.
    mixup : float
        Alpha of mixup; 0 for none.
    ema : float
        Momentum of the weights' moving average, which is then validated and saved; 0 for none.
    seed : int
        One seed gives one result on one machine.
    precision : str
        "float32", "mixed_bfloat16", or "auto": bfloat16 where the processor computes faster in it.

    Raises
    ------
    ValueError
        A value out of its range, naming the field.
    """

    model: str = "cnn3"
    protocol: str = "official"
    balance: str = "none"
    augment: str = "none"
    weights: str | None = None
    start: str | None = None
    teachers: tuple = ()
    teacher_share: float = 0.5
    teacher_views: int = 0
    epochs: int = 30
    patience: int = 0
    batch_size: int = 128
    optimizer: str = "adam"
    learning_rate: float = 1e-4
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    ema: float = 0.0
    seed: int = 0
    precision: str = "float32"

    def __post_init__(self):
        zoo.network(self.model)
        if not isinstance(self.teachers, (list, tuple)) or not all(isinstance(name, str) for name in self.teachers):
            raise ValueError(f"teachers must be a list of names of trained runs, got {self.teachers!r}")
        object.__setattr__(self, "teachers", tuple(self.teachers))
        if self.weights and self.start:
            raise ValueError("weights and start both say where to start from: give one of them")
        for name, allowed in [("protocol", PROTOCOLS), ("balance", BALANCES), ("augment", tuple(AUGMENTATIONS)),
                              ("weights", (None, *zoo.WEIGHTS)), ("optimizer", OPTIMIZERS),
                              ("schedule", SCHEDULES), ("precision", PRECISIONS)]:
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}, got {getattr(self, name)!r}")
        for name, low in [("epochs", 1), ("batch_size", 1), ("patience", 0), ("seed", 0), ("teacher_views", 0)]:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise ValueError(f"{name} must be a whole number of at least {low}, got {value!r}")
        if self.batch_size % 2:
            # TensorFlow 2.21 on CPUs corrupts memory in the gradient of some convolutions of odd batches
            # (mini-Xception's first 1×1 of stride 2 among them).
            raise ValueError(f"batch_size must be even, got {self.batch_size}: odd batches crash some convolutions")
        for name in ("learning_rate", "warmup_epochs", "weight_decay", "label_smoothing", "mixup", "ema",
                     "teacher_share"):
            if not isinstance(getattr(self, name), (int, float)):
                raise ValueError(f"{name} must be a number, got {getattr(self, name)!r}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate!r}")
        for name, high in [("warmup_epochs", self.epochs), ("weight_decay", 1), ("label_smoothing", 1), ("mixup", 10),
                           ("ema", 1), ("teacher_share", 1)]:
            if not 0 <= getattr(self, name) <= high:
                raise ValueError(f"{name} must be 0 to {high}, got {getattr(self, name)!r}")
        if self.teacher_views and not self.teachers:
            raise ValueError(f"teacher_views={self.teacher_views} needs teachers: name the trained runs that teach")
        if self.protocol == "leaky" and self.balance != "over":
            raise ValueError("the leaky protocol over-samples everything before it splits: balance must be 'over'")

    @classmethod
    def for_model(cls, model, **overrides):
        """Make the config of a network's own recipe (`zoo.NETWORKS`), with some fields overridden.

        A field given as None keeps the recipe's value.
        """
        recipe = dict(zoo.network(model).recipe)
        overrides = {name: value for name, value in overrides.items() if value is not None}
        if overrides.get("protocol") == "leaky":
            recipe["balance"] = "over"
        if isinstance(overrides.get("epochs"), int) and "warmup_epochs" in recipe:
            recipe["warmup_epochs"] = min(recipe["warmup_epochs"], overrides["epochs"])
        return cls.from_dict({"model": model, **recipe, **overrides})

    @classmethod
    def from_dict(cls, values):
        """Make a config from a dict; an unknown key raises ValueError that names the known ones."""
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"TrainConfig has no {', '.join(unknown)}; it has {', '.join(known)}")
        return cls(**values)

    def to_dict(self):
        """Return the fields as a dict that JSON can hold."""
        return asdict(self) | {"teachers": list(self.teachers)}

    def run_name(self, fingerprint):
        """Name the run of this config on data with this fingerprint: readable, then a hash of all of both."""
        # Fields at their defaults are left out: a field that a later version adds renames no run.
        set_fields = {f.name: self.to_dict()[f.name] for f in fields(self) if getattr(self, f.name) != f.default}
        text = json.dumps(set_fields, sort_keys=True) + fingerprint
        return "-".join([self.model, self.protocol, self.balance, self.augment, f"seed{self.seed}",
                         hashlib.sha256(text.encode()).hexdigest()[:6]])


def bfloat16_support(cpuinfo=Path("/proc/cpuinfo")):
    """Return how the processor computes in bfloat16: "faster" than in float32, "native" but no faster, or "emulated".

    AMX is faster. With AVX-512's bfloat16 alone Intel's make no more products a cycle than in float32, and converting
    comes on top (`bench train`); on AMD's it doubles them on paper, which is taken for faster, unmeasured.

    Parameters
    ----------
    cpuinfo : Path
        What Linux tells of the processor. Where there is none, as on other systems, bfloat16 counts as emulated.
    """
    try:
        told = cpuinfo.read_text()
    except OSError:
        return "emulated"
    if "amx_bf16" in told or ("avx512_bf16" in told and "AuthenticAMD" in told):
        return "faster"
    return "native" if "avx512_bf16" in told else "emulated"


def resolve_precision(precision):
    """Turn "auto" into "mixed_bfloat16" where the processor computes faster in it, else "float32"."""
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if bfloat16_support() == "faster" else "float32"


def _batch_size(config, n):
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
    size = _batch_size(config, len(faces))
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


def soft_targets(faces, config):
    """Mix each face's label with what the config's teachers see in it and in its mirror image, if they see it once.

    FER2013's labels are noisy and some faces show two emotions; teachers trained on the same Training part know both.

    Returns
    -------
    ndarray
        float32 (N, 7), rows sum to 1; the labels, one-hot, without teachers or where they see each view.

    Raises
    ------
    DataError
        A teacher is not there.
    ValueError
        A teacher saw test faces (leaky protocol).
    """
    targets = one_hot(faces.emotion)
    if not config.teachers or config.teacher_views:
        return targets
    seen = np.zeros_like(targets)
    for name in config.teachers:
        model, card = _honest_run(name, "teach")
        spec = FaceSpec.from_dict(card["spec"])
        for pixels in (faces.pixels, np.ascontiguousarray(faces.pixels[:, :, ::-1])):
            seen += predict_probabilities(model, pixels, spec)
    share = np.float32(config.teacher_share)
    return (1 - share) * targets + share * seen / np.float32(2 * len(config.teachers))


def teach_views(config, spec, precision):
    """Return the function that tells what the config's teachers see in a batch; None if they see each face once.

    Parameters
    ----------
    config : TrainConfig
    spec : FaceSpec
        The input of the network that learns, and so of its teachers.
    precision : str
        Keras dtype policy that the teachers compute in.

    Returns
    -------
    callable or None
        (x, key) → float32 (N, 7), the teachers' mean probabilities for the tensor `x`; kept under `key`, and
        returned for it from then on.

    Raises
    ------
    DataError
        A teacher is not there.
    ValueError
        A teacher saw test faces (leaky protocol), or takes other inputs.
    """
    if not config.teacher_views:
        return None
    teachers, kept = [], {}
    for name in config.teachers:
        model, card = _honest_run(name, "teach")
        if FaceSpec.from_dict(card["spec"]) != spec:
            raise ValueError(f"teacher_views: {name} takes other inputs than {config.model}; teachers that see the "
                             "same views must take the same, others can teach with teacher_views=0")
        teachers.append(_in_precision(model, precision))

    def teach(x, key):
        if key not in kept:
            kept[key] = np.mean([np.asarray(model.predict_on_batch(x)) for model in teachers], axis=0)
        return kept[key]

    return teach


def _in_precision(model, precision):
    """Return a trained model that computes in another dtype policy, but for its float32 end."""
    keras = import_keras()

    def clone(layer):
        config = layer.get_config()
        return type(layer).from_config(config if layer.name in ("logits", "probabilities")
                                       else config | {"dtype": precision})

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    copy.compile(jit_compile=_jit_compile())
    return copy


def _honest_run(name, purpose):
    model, card = load_model(name)
    if card["config"]["protocol"] != "official":
        raise ValueError(f"{name} was trained under the {card['config']['protocol']} protocol, on test faces: "
                         f"it must not {purpose} another network")
    return model, card


def _warn_of_other_data(config, fingerprint):
    for name in filter(None, (*config.teachers, config.start)):
        if read_card(name)["data"]["fingerprint"] != fingerprint:
            warnings.warn(f"{name} was trained on other data (another file, order or sample) than the network that "
                          "learns from it: where its training faces are among the test faces here, the scores flatter",
                          stacklevel=3)


def _start_weights(config):
    model, card = _honest_run(config.start, "start")
    if card["model"] != config.model:
        raise ValueError(f"start: {config.start} is a {card['model']}, not a {config.model}")
    return model.get_weights()


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
    model.compile(optimizer, loss, metrics=["categorical_accuracy"], jit_compile=_jit_compile())
    optimizer.build(model.trainable_variables)


def _jit_compile():
    """Return Keras's `jit_compile`: not by XLA where it makes TensorFlow several times slower, on CPUs."""
    if import_keras().backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if tf.config.list_physical_devices("GPU") else False


def _log_loss(true, probabilities):
    return float(-np.log(np.clip(probabilities[np.arange(len(true)), true], 1e-7, 1)).mean())


def _write_json(path, value):
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
    steps = len(parts.train) // _batch_size(config, len(parts.train))
    precision = resolve_precision(config.precision)
    model = zoo.build(config.model, precision, weights=config.weights)
    _warn_of_other_data(config, fingerprint)
    if config.start and not state:
        model.set_weights(_start_weights(config))
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
            "val_loss": round(_log_loss(true, probabilities), 5),
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
        raise paths.DataError(f"{folder}: another process trains this very run and has epoch {epoch} already; this "
                              "one stops here. Let the other go on, or give this one a folder of its own (--out)")
    last, best_file = f"last-{epoch}.weights.h5", f"best-{best}.weights.npz"
    model.save_weights(folder / last)
    if best_weights is not None:
        np.savez(folder / best_file, *best_weights)
    _write_json(folder / "state.json", {
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
    _save_model(folder, model)
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    _write_json(folder / "card.json", {
        "name": folder.name, "model": config.model, "origin": zoo.network(config.model).origin,
        "config": config.to_dict(), "spec": spec.to_dict(), "split": parts.label,
        "parameters": model.count_params(), "mflops": round(2 * zoo.multiply_adds(model) / 1e6, 1),
        "data": {"title": faces.title, "layout": faces.layout, "faces": len(faces),
                 "train": len(parts.train), "fingerprint": faces.fingerprint()},
        "scores": results, "temperature": temperature, "best_epoch": best, "epochs_run": len(history),
        "seconds": round(seconds, 1), "precision": precision, "versions": _versions(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds")})
    for old in [*folder.glob("last-*.weights.h5"), *folder.glob("best-*.weights.npz"), folder / "state.json"]:
        old.unlink(missing_ok=True)
    return folder


def _save_model(folder, model):
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
        results[usage] = scores(part.emotion, probabilities, _clean(faces, parts, usage))
        # Comparing networks face by face later needs their answers, but not their weights.
        results[usage]["answers"] = pack_answers(probabilities.argmax(axis=1))
        if usage in ("PublicTest", "validation"):
            temperature = round(fit_temperature(part.emotion, probabilities), 4)
    return results, temperature


def average(names, faces, out):
    """Average the weights of trained runs of one network, which often errs less on strangers than any of them.

    Where one run started from another's weights their mean lies in one valley of the loss (Wortsman et al. 2022, "Model
    soups"); the mean of runs that have nothing in common is no better than chance.

    Parameters
    ----------
    names : sequence of str
        Two or more trained runs under the official protocol; one that is named twice counts twice. The card takes
        recipe and history from the last one.
    faces : FaceSet
        What all of them were trained on.
    out : Path
        The run folder to write.

    Returns
    -------
    Path
        `out`, holding ``model.keras``, ``history.csv`` and ``card.json``, whose ``averaged`` names the runs.

    Raises
    ------
    ValueError
        Fewer than two runs, runs of different networks, trained on other faces or on test faces, or `out` holds a
        run already.
    DataError
        A run is not there.
    """
    out = Path(out)
    if len(names) < 2:
        raise ValueError(f"average needs two trained runs or more, got {', '.join(names) or 'none'}")
    if (out / "card.json").is_file() or (out / "state.json").is_file():
        raise ValueError(f"{out} holds a run already; choose another folder")
    runs = [_honest_run(name, "be a part of") for name in names]
    cards = [card for _, card in runs]
    model, card = runs[-1]
    for name, other in zip(names, cards):
        if other["model"] != card["model"]:
            raise ValueError(f"average: {name} is a {other['model']} and {names[-1]} a {card['model']}; only weights "
                             "of one network have a mean")
        if other["data"]["fingerprint"] != faces.fingerprint():
            raise ValueError(f"average: {name} was trained on other faces than {faces.source}; name its data with "
                             "--data")
    weights = [run.get_weights() for run, _ in runs]
    model.set_weights([np.mean(same, axis=0) for same in zip(*weights)])
    config = TrainConfig.from_dict(card["config"])
    parts = split(faces, config.protocol, config.balance, config.seed)
    results, temperature = score_parts(model, zoo.network(config.model).spec, faces, parts)
    out.mkdir(parents=True, exist_ok=True)
    _save_model(out, model)
    pd.read_csv(run_folder(names[-1]) / "history.csv").to_csv(out / "history.csv", index=False)
    _write_json(out / "card.json", {**card, "name": out.name, "averaged": [c["name"] for c in cards],
                                    "scores": results, "temperature": temperature, "versions": _versions(),
                                    "finished": datetime.now(UTC).isoformat(timespec="seconds")})
    return out


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


def _versions():
    keras = import_keras()

    return {"python": platform.python_version(), "backend": keras.backend.backend(),
            **{name: version(name) for name in ("keras", keras.backend.backend(), "numpy", "scikit-learn",
                                                "imbalanced-learn", "opencv-python")}}
