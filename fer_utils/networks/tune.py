"""Search the settings of a training with Optuna, by clean PublicTest faces; PrivateTest is never seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import files
from ..data.copies import clean_mask
from ..data.faceset import FaceSet
from ..errors import DataError
from . import checkpoints, train
from .backend import import_keras
from .recipes import TrainConfig

if TYPE_CHECKING:
    import optuna

    from .checkpoints import Row


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text.strip()


@dataclass(frozen=True)
class Choice:
    """The values that one setting may take: each of `values`, or all numbers from `low` to `high`.

        >>> Choice.parse("1e-4..1e-2")
        Choice(values=(), low=0.0001, high=0.01)
        >>> Choice.parse("none,light")
        Choice(values=('none', 'light'), low=0.0, high=0.0)
    """

    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0

    def __post_init__(self) -> None:
        if not self.values and not self.low < self.high:
            raise ValueError(f"a search needs a range LOW..HIGH with LOW below HIGH, or values; got {self}")

    @classmethod
    def parse(cls, text: str) -> "Choice":
        """Read LOW..HIGH, or VALUE,VALUE,…; whole numbers stay whole."""
        low, dots, high = text.partition("..")
        try:
            return cls(low=float(low), high=float(high)) if dots else cls(tuple(map(_value, text.split(","))))
        except ValueError as error:
            raise ValueError(f"{text}: write LOW..HIGH (1e-4..1e-2) or VALUE,VALUE (none,light); {error}") from None

    def suggest(self, trial: "optuna.Trial", name: str) -> Any:
        """Ask Optuna for a value. A range over a factor of ten or more is searched by its logarithm."""
        if self.values:
            return trial.suggest_categorical(name, self.values)
        return trial.suggest_float(name, self.low, self.high, log=self.low > 0 and self.high / self.low >= 10)


SPACE = {"learning_rate": Choice.parse("2e-4..5e-3"), "augment": Choice.parse("none,light,strong"),
         "label_smoothing": Choice.parse("0..0.2"), "mixup": Choice.parse("0..0.4"),
         "batch_size": Choice.parse("64,128,256")}
"""What is searched unless one says otherwise."""


def faces_to_tune(faces: FaceSet) -> FaceSet:
    """Return Training and the clean faces of PublicTest: what a search may see. DataError: no face is left."""
    keep = np.isin(faces.usage, ("Training", "PublicTest")) & faces.labelled
    public = np.flatnonzero(keep & (faces.usage == "PublicTest"))
    if public.size:
        keep[public] = clean_mask(faces, "PublicTest", labelled=True)
    if not keep.any():
        raise DataError(f"{faces.source}: there are no labelled Training faces to tune on")
    return faces[keep]


def tune(model: str, faces: FaceSet, out: Path | str, trials: int, space: Mapping[str, Choice] | None = None,
         **fixed: Any) -> "optuna.Study":
    """Train a network with many settings, or go on with a search, until so many `trials` are finished.

    Optuna (Akiba et al. 2019) proposes each trial's settings from the results so far, and stops a trial whose accuracy
    after an epoch is below the median of the others. The accuracy is that on `faces_to_tune`. `space` says what is
    searched (default: `SPACE`), `fixed` are other fields of `TrainConfig`. `out` keeps the search (``study.log``) and a
    run folder a trial. Several processes may work on one `out` at once; a killed one's trial is done again, from its
    last epoch.

    ValueError: `out` holds another search, or a setting is unknown. DataError: no faces.
    """
    space = dict(SPACE if space is None else space)
    _check(model, space, fixed, trials)
    seen = faces_to_tune(faces)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    study = _open_study(out, {"model": model, "space": {name: repr(choice) for name, choice in space.items()},
                              "fixed": {name: repr(value) for name, value in fixed.items()},
                              "faces": seen.fingerprint()})
    _begin_again(study, out)
    from optuna.study import MaxTrialsCallback
    from optuna.trial import TrialState

    done = (TrialState.COMPLETE, TrialState.PRUNED)
    if len(study.get_trials(deepcopy=False, states=done)) < trials:
        study.optimize(lambda trial: _run_trial(trial, study, model, seen, out, space, fixed),
                       callbacks=[MaxTrialsCallback(trials, states=done)])
    return study


def _check(model: str, space: Mapping[str, Choice], fixed: Mapping[str, Any], trials: int) -> None:
    known = {field.name for field in fields(TrainConfig)}
    for name in (*space, *fixed):
        if name not in known or name in ("model", "protocol"):
            raise ValueError(f"{name} cannot be searched or set here; others than model and protocol can")
    if both := sorted(set(space) & set(fixed)):
        raise ValueError(f"{', '.join(both)}: is searched and set; do one of them")
    if not space or trials < 1:
        raise ValueError(f"a search needs a setting to search and one trial or more, got {len(space)} and {trials}")
    TrainConfig.for_model(model, **fixed)


def _open_study(out: Path, about: dict[str, Any]) -> "optuna.Study":
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(out / "study.log")))
    with files.only_one(out, "another process begins this search", wait=30):
        study = optuna.create_study(storage=storage, study_name="tune", direction="maximize", load_if_exists=True,
                                    pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1))
        before = study.user_attrs.get("about")
        if before is None:
            study.set_user_attr("about", about)
        elif before != about:
            changed = ", ".join(name for name in about if before.get(name) != about[name])
            raise ValueError(f"{out} holds another search ({changed} differ); name another folder with --out")
    # Another seed for each beginning: with one seed, the first trials of each would be the same.
    study.sampler = optuna.samplers.TPESampler(seed=len(study.get_trials(deepcopy=False)), multivariate=False)
    return study


def _begin_again(study: "optuna.Study", out: Path) -> None:
    """Queue the trials that a killed or interrupted process has left; those of a living one hold their lock."""
    from optuna.trial import TrialState

    again = {trial.user_attrs.get("folder") for trial in study.get_trials(
        deepcopy=False, states=(TrialState.WAITING, TrialState.COMPLETE, TrialState.PRUNED))}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.FAIL)):
        folder = trial.user_attrs.get("folder")
        if trial.state == TrialState.RUNNING:
            try:
                with files.only_one(out / (folder or f"trial-{trial.number}"), "it is under way"):
                    study.tell(trial.number, state=TrialState.FAIL)
            except (DataError, ValueError):  # another process works on it, or has just ended it
                continue
        if folder and folder not in again and trial.params:
            again.add(folder)
            study.enqueue_trial(trial.params, user_attrs={"folder": folder})


def _run_trial(trial: "optuna.Trial", study: "optuna.Study", model: str, faces: FaceSet, out: Path,
               space: Mapping[str, Choice], fixed: Mapping[str, Any]) -> float:
    import optuna

    config = TrainConfig.for_model(model, **fixed, **{name: each.suggest(trial, name) for name, each in space.items()})
    folder = trial.user_attrs.get("folder") or f"trial-{trial.number}"
    trial.set_user_attr("folder", folder)
    reported = 0

    def watch(rows: "Sequence[Row]", text: str) -> None:
        nonlocal reported
        for row in rows[reported:]:
            reported += 1
            trial.report(row["val_accuracy"], row["epoch"])
            if trial.should_prune():
                raise optuna.TrialPruned(f"below the median after epoch {row['epoch']}")

    try:
        train.train(config, faces, out / folder, progress=watch)
    except optuna.TrialPruned:
        checkpoints.remove_checkpoints(out / folder)
        raise
    finally:
        import_keras().utils.clear_session()
    return max(row["val_accuracy"] for row in checkpoints.read_rows(out / folder))


def trials_table(study: "optuna.Study") -> pd.DataFrame:
    """Return a row for each finished trial: trial, accuracy, epochs, stopped, and its settings; the best first."""
    from optuna.trial import TrialState

    rows = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
        reached = max(trial.intermediate_values.values(), default=float("nan"))
        rows.append({"trial": trial.number, "accuracy": reached, "epochs": len(trial.intermediate_values),
                     "stopped": trial.state == TrialState.PRUNED, **trial.params})
    table = pd.DataFrame(rows, columns=None if rows else ["trial", "accuracy", "epochs", "stopped"])
    return table.sort_values(["stopped", "accuracy"], ascending=[True, False], kind="stable").reset_index(drop=True)


def what_mattered(study: "optuna.Study") -> pd.Series:
    """Return how much of the variance of accuracy each setting explains, 0 to 1 (fANOVA, Hutter et al. 2014).

    It is empty where fewer than four trials were trained to their end, or where all of these are equally good.
    """
    import optuna

    values = [trial.value for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))]
    if len(values) < 4 or len(set(values)) < 2:
        return pd.Series(dtype=float)
    return pd.Series(optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)), dtype=float)


def best_settings(study: "optuna.Study") -> dict[str, Any]:
    """Return the settings of the best trial that was trained to its end; DataError where there is none."""
    table = trials_table(study)
    whole = table[~table["stopped"].astype(bool)]
    if whole.empty:
        raise DataError("no trial was trained to its end yet; ask for more --trials")
    number = int(whole.iloc[0]["trial"])
    return dict(study.get_trials(deepcopy=False)[number].params)
