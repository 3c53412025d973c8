"""Search the settings of a training with Optuna, by clean PublicTest faces; PrivateTest is never seen."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import files
from ..data.copies import clean_mask
from ..data.faceset import FaceSet
from ..errors import DataError, InUseError
from . import checkpoints, train
from .backend import import_keras
from .recipes import TrainConfig

if TYPE_CHECKING:
    import optuna

    from .checkpoints import Row

_WAIT_S = 1  # between two looks whether a trial of another process has ended


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


@dataclass(frozen=True)
class Search:
    """What is searched, and how long; ValueError: it makes no sense."""

    model: str  # a name of `zoo.NETWORKS`
    trials: int  # that are to be finished in all
    space: Mapping[str, Choice] = field(default_factory=lambda: dict(SPACE))  # by the name of a field of `TrainConfig`
    fixed: Mapping[str, Any] = field(default_factory=dict)  # other fields of `TrainConfig`

    def __post_init__(self) -> None:
        known = {field.name for field in fields(TrainConfig)}
        for name in (*self.space, *self.fixed):
            if name not in known or name in ("model", "protocol"):
                raise ValueError(f"{name} cannot be searched or set here; others than model and protocol can")
        if both := sorted(set(self.space) & set(self.fixed)):
            raise ValueError(f"{', '.join(both)}: is searched and set; do one of them")
        if not self.space or self.trials < 1:
            raise ValueError(f"a search needs a setting to search and one trial or more, got {len(self.space)} and "
                             f"{self.trials}")
        TrainConfig.for_model(self.model, **self.fixed)

    def about(self, seen: FaceSet) -> dict[str, Any]:
        """Return what must be the same where a search goes on; `seen` are the faces of `faces_to_tune`."""
        return {"model": self.model, "space": {name: repr(choice) for name, choice in self.space.items()},
                "fixed": {name: repr(value) for name, value in self.fixed.items()}, "faces": seen.fingerprint()}


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
    search = Search(model, trials, SPACE if space is None else space, fixed)
    seen, out = faces_to_tune(faces), Path(out)
    study = open_study(out, search.about(seen))
    while next_trial(study, search, seen, out):
        pass
    return study


def finished_trials(study: "optuna.Study") -> int:
    """Return how many trials were trained to their end, or stopped because others were better."""
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def open_study(out: Path, about: dict[str, Any]) -> "optuna.Study":
    """Begin a search in a folder, or find it there; ValueError: it is another one than what is said `about` it."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out.mkdir(parents=True, exist_ok=True)
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
    return study


def next_trial(study: "optuna.Study", search: Search, faces: FaceSet, out: Path,
               check: Callable[[], None] = lambda: None) -> bool:
    """Train one trial of a search, or go on with one that was left; return False where all are finished.

    Where all that are wanted are under way in other processes, it waits until they are finished, or left by a process
    that died. `faces` are those of `faces_to_tune`. `check` is called again and again, and may raise.
    """
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    while True:
        # The trial's lock is held until Optuna has been told how it ended, the search's until the trial's is held: who
        # holds the search's lock knows that a running trial without a lock was left by a process that died. Optuna's
        # own sign of life, the heartbeat, needs a data base.
        with ExitStack() as lock_of_trial, ExitStack() as lock_of_search:
            lock_of_search.enter_context(files.only_one(out, "another process begins a trial", wait=-1))
            _begin_again(study, out)
            running = len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
            if finished_trials(study) >= search.trials:
                return False
            if finished_trials(study) + running < search.trials:
                # Another seed for each trial: with one seed, those that begin in several processes would be the same.
                study.sampler = TPESampler(seed=len(study.get_trials(deepcopy=False)), multivariate=False)
                begun = _Begun(search, faces, out, lock_of_trial, lock_of_search, check)
                study.optimize(partial(_run_trial, begun), n_trials=1)
                return True
        check()
        time.sleep(_WAIT_S)


def _lock(out: Path, folder: str) -> Path:
    return out / "locks" / folder


def _begin_again(study: "optuna.Study", out: Path) -> None:
    """Queue the trials that a killed or interrupted process has left; those of a living one hold their lock."""
    from optuna.trial import TrialState

    again = {trial.user_attrs.get("folder") for trial in study.get_trials(
        deepcopy=False, states=(TrialState.WAITING, TrialState.COMPLETE, TrialState.PRUNED))}
    left = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        folder = trial.user_attrs.get("folder") or f"trial-{trial.number}"
        try:
            with files.only_one(_lock(out, folder), "it is under way"):
                study.tell(trial.number, state=TrialState.FAIL)
                left.append(trial)
        except (InUseError, ValueError):  # another process works on it, or has just ended it
            again.add(folder)
    for trial in left:
        folder = trial.user_attrs.get("folder")
        if folder and folder not in again and trial.params:
            again.add(folder)
            study.enqueue_trial(trial.params, user_attrs={"folder": folder})


@dataclass(frozen=True)
class _Begun:
    """What a trial is run with."""

    search: Search
    faces: FaceSet
    out: Path
    lock_of_trial: ExitStack
    lock_of_search: ExitStack
    check: Callable[[], None]


def _run_trial(begun: _Begun, trial: "optuna.Trial") -> float:
    import optuna

    search, out = begun.search, begun.out
    config = TrainConfig.for_model(search.model, **search.fixed, **{
        name: each.suggest(trial, name) for name, each in search.space.items()})
    folder = trial.user_attrs.get("folder") or f"trial-{trial.number}"
    trial.set_user_attr("folder", folder)
    begun.lock_of_trial.enter_context(files.only_one(_lock(out, folder), "another process trains this trial"))
    begun.lock_of_search.close()
    reported = 0

    def watch(rows: "Sequence[Row]", text: str) -> None:
        nonlocal reported
        begun.check()
        for row in rows[reported:]:
            reported += 1
            trial.report(row["val_accuracy"], row["epoch"])
            if trial.should_prune():
                raise optuna.TrialPruned(f"below the median after epoch {row['epoch']}")

    try:
        train.train(config, begun.faces, out / folder, progress=watch)
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
