"""An event on a Dask cluster: its shards are looked at by workers, and put together here."""
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from .. import files
from ..errors import DataError, naming_the_extra
from ..vision.sources import Source, find_sources
from .collect import collect_shard, event_settings
from .sharding import begin_shards, read_own, refuse_cameras
from .store import ERRORS, FACES, PROGRESS, SETTINGS, Settings, read_journal
from .underway import DEATHS, LIMIT, read_deaths

if TYPE_CHECKING:
    from distributed import Client, Future

SHARDS = "shards"
_LOCKED = "another event is being collected into this folder"
_ANSWER_S, _WORKERS_S = 10, 30  # how long the scheduler may take to answer, and the first worker to come
_ROUNDS = 3  # how often workers may die of a shard that comes no further; Dask itself tries each time four workers


@dataclass(frozen=True)
class Cluster:
    """Where shards are looked at, and in how many pieces."""

    address: str  # a Dask scheduler's, as tcp://10.0.0.1:8786; or local:4, which are four processes on this computer
    shards: int | None = None  # default: as many as were begun, or eight for each worker
    threads: int = 1  # of each worker, which look at pictures

    def __post_init__(self) -> None:
        if "://" not in self.address and not self.processes:
            raise ValueError("a cluster is a Dask scheduler's address, as tcp://10.0.0.1:8786, or local:4 for four "
                             f"processes on this computer; got {self.address}")
        for name, value in (("shards", self.shards), ("threads", self.threads)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")

    @property
    def processes(self) -> int:
        """How many processes on this computer; 0 where it is a scheduler's address."""
        local = re.fullmatch(r"local(?::([1-9][0-9]*))?", self.address)
        return int(local[1] or os.cpu_count() or 1) if local else 0


def cluster_event(sources: str | Path | Sequence[str | Path], out: str | Path, cluster: Cluster,
                  model: str | Path = "fer_net", detector: str = "auto", every: float = 0.1, progress: bool = True,
                  **reporting: Any) -> dict[str, Any]:
    """Do what `run_event` does, on a cluster, and with the same result; `reporting` are options of `report_event`.

    Workers must see `sources` and `out` under the same paths. Called again after it was stopped or killed, it goes on;
    shards that are finished are skipped. A worker that dies is replaced by another, which goes on in its shard. A
    picture at which workers die twice is left out and reported.

    Raises `DataError` where no scheduler or worker answers, or where `out` holds something else.
    """
    with naming_the_extra():
        import distributed  # noqa: F401
    found = find_sources(sources)
    refuse_cameras(found)
    settings = event_settings(model, detector, every)
    out = Path(os.path.abspath(out))
    _check_out(out, found)
    with _connected(cluster) as client, files.only_one(out, _LOCKED):
        workers = len(client.nthreads())
        shards = begin_shards(out / SHARDS, cluster.shards, found, usual=max(1, min(8 * workers, len(found))))
        here = os.path.abspath(model) if os.path.isdir(model) else str(model)
        _look_at_all(client, [shard.folder(out / SHARDS) for shard in shards], (here, settings, cluster.threads),
                     progress)
        return _put_together(out, reporting)


def _check_out(out: Path, found: Sequence[Source]) -> None:
    """Raise `DataError` where the folder holds faces that the shards will not have."""
    if not (out / FACES).exists():
        return
    known = {source.address for source in found}
    other = next((record.source for record in read_journal(out) if record.source not in known), "")
    if other or not (out / SHARDS).is_dir():
        what = f"faces of other sources, as {other}" if other else "an event that was collected without --cluster"
        raise DataError(f"{out}: holds {what}; name another folder, or go on in this one without --cluster")


@contextmanager
def _connected(cluster: Cluster) -> Iterator["Client"]:
    """Give a client of a cluster that has a worker."""
    from distributed import Client, LocalCluster

    if cluster.processes:
        with (LocalCluster(n_workers=cluster.processes, threads_per_worker=1, processes=True, silence_logs="CRITICAL",
                           dashboard_address="127.0.0.1:0") as local, Client(local) as client):
            yield client
        return
    try:
        client = Client(cluster.address, timeout=_ANSWER_S)
    except OSError as error:
        raise DataError(f"{cluster.address}: no Dask scheduler answers there ({error}); start one by: dask scheduler"
                        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_WORKERS_S)
        except TimeoutError:
            raise DataError(f"{cluster.address}: this scheduler has no worker; start one by: dask worker "
                            f"{cluster.address} --nthreads 1") from None
        yield client


def _look_at_all(client: "Client", folders: Sequence[Path], how: tuple[str, Settings, int], progress: bool) -> None:
    """Have all shards looked at that are not finished; the bar counts photos and videos."""
    from distributed import KilledWorker, as_completed

    own = {str(folder): len(read_own(folder)) for folder in folders}
    todo = [str(folder) for folder in folders if not _is_finished(folder)]
    traces, rounds = {folder: _trace(folder) for folder in todo}, dict.fromkeys(todo, 0)
    under_way = {_submit(client, folder, how): folder for folder in todo}
    try:
        with tqdm(total=sum(own.values()), initial=sum(own.values()) - sum(own[folder] for folder in todo),
                  unit="source", disable=not progress, dynamic_ncols=True) as bar:
            for future in (ended := as_completed(list(under_way))):
                folder = under_way.pop(future)
                try:
                    _result(future)
                    bar.update(own[folder])
                except KilledWorker as error:
                    before, traces[folder] = traces[folder], _trace(folder)
                    rounds[folder] = rounds[folder] + 1 if traces[folder] == before else 0
                    if rounds[folder] == _ROUNDS:
                        raise DataError(f"{folder}: workers die of this shard before they look at a picture; see what "
                                        "they print, and whether they have too little memory") from error
                    again = _submit(client, folder, how)
                    under_way[again] = folder
                    ended.add(again)
    finally:
        client.cancel(list(under_way))


def _submit(client: "Client", folder: str, how: tuple[str, Settings, int]) -> "Future":
    return client.submit(_look_at_shard, folder, *how, pure=False)


def _result(future: "Future") -> Any:
    """Wait for a task; what went wrong, but for a worker's death, is a `DataError`."""
    from distributed.client import FutureCancelledError

    try:
        return future.result()
    except FutureCancelledError as error:
        raise DataError("the Dask scheduler has ended; start it and its workers, then the same command goes on"
                        ) from error
    except ImportError as error:
        raise DataError(f"a worker cannot import what it needs ({error}); install the same fer-utils for all workers"
                        ) from error


def _look_at_shard(folder: str, model: str, settings: Settings, threads: int) -> Mapping[str, int]:
    """Collect one shard, in a worker."""
    from distributed import get_worker

    worker = get_worker()
    try:
        if worker.state.nthreads != 1:  # its shards would share a death, and nobody could say which picture it was
            raise DataError(f"it looks at {worker.state.nthreads} shards at a time; start workers with --nthreads 1, "
                            "and several by --nworkers")
        read_own(folder)  # before a lock makes the folder
        # A driver that was killed may have left this shard to another worker, which still looks at it.
        with files.only_one(folder, _LOCKED, wait=-1):
            pass
        return collect_shard(folder, model, settings, threads)
    except DataError as error:
        raise DataError(f"worker {worker.address}: {error}") from error


def _is_finished(folder: Path) -> bool:
    """Return whether there is nothing to do in a shard; a picture that could not be read is tried again."""
    states = {record.source: record.state for record in read_journal(folder)}
    deadly = {source for source, (count, _) in read_deaths(folder).items() if count >= LIMIT}
    return all(states.get(source.address) == "done" or source.address in states and bool(
        source.problem or source.address in deadly) for source in read_own(folder))


def _trace(folder: str) -> tuple[int, ...]:
    """Return what grows when a shard comes further, or when the blame for a death is found."""
    return tuple(path.stat().st_size if path.exists() else 0 for path in (Path(folder, PROGRESS), Path(folder, DEATHS)))


def _put_together(out: Path, reporting: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the shards into the folder that they are in, also over what an earlier merge wrote."""
    from .merging import merge_event  # not above: workers draw no figures
    from .report import PEOPLE, REPORT

    for old in out.glob("merged*"):  # of a driver that was killed
        shutil.rmtree(old, ignore_errors=True)
    result = merge_event(out / SHARDS, out / "merged", **reporting)
    for name in (SETTINGS, FACES, PROGRESS, ERRORS, PEOPLE, REPORT):
        os.replace(out / "merged" / name, out / name)
    shutil.rmtree(out / "merged")
    return {**result, "out": str(out), "report": str(out / REPORT)}
