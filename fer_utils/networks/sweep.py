"""Many trainings on a Dask cluster: one for each worker at a time, each into the run folder that it has anyway."""

import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from .. import workers
from ..data.faceset import FaceSet
from ..data.load import find, load, sample
from ..errors import DataError, InUseError
from .backend import import_keras, limit_threads
from .checkpoints import is_finished, last_epoch
from .recipes import TrainConfig
from .train import train
from .tune import Search, faces_to_tune, finished_trials, next_trial, open_study, trials_table

if TYPE_CHECKING:
    import optuna
    from distributed import Client, Future

_DEATHS = ("workers die before they finish an epoch; see what they print, and whether they have too little memory "
           "(dask worker … --memory-limit 0)")
_PAUSE_S = 5  # before a run that another program trains is tried again


class TrainingError(RuntimeError):
    """Some trainings failed; the message has the name and the reason of each."""


@dataclass(frozen=True)
class FacesFrom:
    """Where workers read the faces of a training."""

    place: str  # for `load`; the same path for all workers
    sample: int  # so many of them, 0 for all
    fingerprint: str  # of the faces that are to be found there

    @classmethod
    def of(cls, faces: FaceSet, data: str | Path | None, size: int = 0) -> "FacesFrom":
        """Say where faces are from, which were read here by `load(data)`, and perhaps `sample` of this size."""
        if faces.drawn:
            return cls(str(data) if data else "drawn", size, faces.fingerprint())
        return cls(str((find(data) or Path(faces.source)).resolve()), size, faces.fingerprint())

    def read(self) -> FaceSet:
        """Read the faces, in a worker; DataError: they are not there, or are others."""
        try:
            faces = load(self.place)
        except DataError as error:
            raise DataError(f"{error}; workers must see the data under the same path") from error
        faces = sample(faces, self.sample) if self.sample else faces
        if faces.fingerprint() != self.fingerprint:
            raise DataError(f"{self.place}: holds other faces for this worker than where the command was called; give "
                            "all the same data, and install the same fer-utils")
        return faces


@dataclass(frozen=True)
class Share:
    """How many threads each worker computes with."""

    threads: int | None  # None: the cores of its computer, divided among the workers there
    beside: tuple[tuple[str, int], ...]  # how many workers each computer has

    @classmethod
    def of(cls, client: "Client", threads: int | None) -> "Share":
        """Count the workers of each computer."""
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be 1 or more, got {threads}")
        hosts = [_host(address) for address in client.nthreads()]
        return cls(threads, tuple((host, hosts.count(host)) for host in sorted(set(hosts))))

    def take(self) -> None:
        """Let TensorFlow compute with this worker's share, unless it has begun already."""
        from distributed import get_worker

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        beside = dict(self.beside).get(_host(get_worker().address), 1)
        limit_threads(self.threads or max(1, cores // beside))


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def train_all(trainings: Mapping[Path, TrainConfig], source: FacesFrom, address: str, threads: int | None = None,
              progress: bool = True) -> None:
    """Train networks on a cluster, each into its run folder; finished runs are left as they are.

    `address` is a Dask scheduler's, or local:4 for four processes here. A training whose worker dies is done by
    another, from its last epoch. A run that another program trains is waited for. When the caller stops or dies,
    workers stop too, and keep their epochs: the same call goes on.

    TrainingError: some trainings failed; the others were finished all the same. DataError: no cluster answers.
    """
    todo = {str(os.path.abspath(folder)): config for folder, config in trainings.items()
            if not is_finished(folder, config, source.fingerprint)}
    if not todo:
        return
    total, failed = sum(config.epochs for config in trainings.values()), dict[str, str]()
    with workers.connected(address, memory_limit=0) as client, \
            tqdm(total=total, unit="epoch", disable=not progress, dynamic_ncols=True) as bar:
        share = Share.of(client, threads)
        while todo:
            todo = _one_round(client, todo, (source, share), failed, lambda left: _show(bar, trainings, left))
            time.sleep(_PAUSE_S if todo else 0)
    if failed:
        lines = "\n".join(f"  {Path(folder).name}: {reason}" for folder, reason in failed.items())
        raise TrainingError(f"{len(failed)} of {len(trainings)} trainings failed, the others are finished. The same "
                            f"command tries them again.\n{lines}")


def _one_round(client: "Client", todo: Mapping[str, TrainConfig], how: tuple[FacesFrom, Share], failed: dict[str, str],
               show: Callable[[set[str]], None]) -> dict[str, TrainConfig]:
    """Have runs trained, and return those that another program trains; `failed` takes the reasons of others."""
    from distributed import KilledWorker

    def submit(folder: str) -> "Future":
        return client.submit(_train_here, folder, todo[folder], *how, pure=False)

    left, busy, shown = set(todo), {}, 0.0
    for ended in workers.work_through(client, list(todo), submit, lambda folder: last_epoch(Path(folder))):
        if ended:
            folder, future = ended
            left.discard(folder)
            try:
                if not workers.result_of(future):
                    busy[folder] = todo[folder]
            except KilledWorker:
                failed[folder] = _DEATHS
            except Exception as error:
                if future.cancelled():  # the scheduler has ended
                    raise
                failed[folder] = f"{type(error).__name__}: {str(error).strip()[:500]}"
        if ended or time.monotonic() - shown > 1:
            shown = time.monotonic()
            show(left | set(busy) | set(failed))
    return busy


def _show(bar: tqdm, trainings: Mapping[Path, TrainConfig], left: set[str]) -> None:
    """Let the bar say how many epochs and networks are done, and which are under way."""
    epochs = {folder: last_epoch(folder) if str(os.path.abspath(folder)) in left else config.epochs
              for folder, config in trainings.items()}
    bar.n = sum(epochs.values())
    under_way = [f"{config.model} {epochs[folder]}" for folder, config in trainings.items()
                 if 0 < epochs[folder] < config.epochs]
    bar.set_postfix_str(", ".join([f"{len(trainings) - len(left)} of {len(trainings)} networks", *under_way]))


@functools.lru_cache(maxsize=1)
def _faces(source: FacesFrom) -> FaceSet:
    return source.read()


def _train_here(folder: str, config: TrainConfig, source: FacesFrom, share: Share) -> bool:
    """Train a run in this worker; return whether it is finished, and not another program's."""
    workers.refuse_company("trainings")
    share.take()
    try:
        train(config, _faces(source), folder, progress=lambda rows, text: workers.stop_unwanted_task())
        return True
    except InUseError:
        return False
    finally:
        import_keras().utils.clear_session()


def tune_on_cluster(search: Search, source: FacesFrom, out: Path | str, address: str, threads: int | None = None,
                    progress: bool = True) -> "optuna.Study":
    """Do what `tune` does, on a cluster: each trial is a task. Workers share the search's folder, `out`.

    The trial of a worker that dies is marked as failed, and another goes on with it from its last epoch. What is raised
    is that of `train_all`; a training that fails ends the search, and the same call tries it again.
    """
    from distributed import KilledWorker

    out = Path(os.path.abspath(out))
    study = open_study(out, search.about(faces_to_tune(source.read())))

    def trace(name: str) -> int:
        return sum(len(trial.intermediate_values) for trial in study.get_trials(deepcopy=False))

    with workers.connected(address, memory_limit=0) as client, \
            tqdm(total=search.trials, unit="trial", disable=not progress, dynamic_ncols=True) as bar:
        how, names = (search, source, out, Share.of(client, threads)), range(finished_trials(study), search.trials)
        shown = 0.0
        for ended in workers.work_through(client, [f"trial {number + 1}" for number in names],
                                          lambda name: client.submit(_try_here, *how, pure=False), trace):
            try:
                if ended:
                    workers.result_of(ended[1])
            except KilledWorker as error:
                raise DataError(f"{out}: {_DEATHS}") from error
            if ended or time.monotonic() - shown > 1:
                shown, bar.n = time.monotonic(), finished_trials(study)
                if bar.n:
                    bar.set_postfix_str(f"best accuracy {trials_table(study)['accuracy'].max():.3f}")
    return study


def _try_here(search: Search, source: FacesFrom, out: Path, share: Share) -> None:
    """Train a trial in this worker, where one is left to train."""
    workers.refuse_company("trainings")
    share.take()
    seen = faces_to_tune(_faces(source))
    next_trial(open_study(out, search.about(seen)), search, seen, out, workers.stop_unwanted_task)
