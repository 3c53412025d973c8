"""An event on a Dask cluster: its shards are looked at by workers, and put together here."""
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from .. import files, workers
from ..errors import DataError, naming_the_extra
from ..vision import remote
from ..vision.sources import Source, find_sources
from .collect import collect_shard, event_settings
from .parts import cut_videos
from .sharding import SOURCES, begin_shards, cuts_videos, read_own, refuse_cameras
from .store import ERRORS, FACES, PROGRESS, SETTINGS, Settings, read_journal
from .underway import DEATHS, LIMIT, read_deaths

if TYPE_CHECKING:
    from distributed import Client, Future

SHARDS = "shards"
_LOCKED = "another event is being collected into this folder"


@dataclass(frozen=True)
class Cluster:
    """Where shards are looked at, and in how many pieces."""

    address: str  # a Dask scheduler's, as tcp://10.0.0.1:8786; or local:4, which are four processes on this computer
    shards: int | None = None  # default: as many as were begun, or eight for each worker
    threads: int = 1  # of each worker, which look at pictures

    def __post_init__(self) -> None:
        workers.processes_of(self.address)  # raises ValueError
        for name, value in (("shards", self.shards), ("threads", self.threads)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")


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
    found = find_sources(sources, remote_files=True)
    refuse_cameras(found)
    _refuse_secrets(found)
    settings = event_settings(model, detector, every)
    out = Path(os.path.abspath(out))
    _check_out(out, found)
    if cuts_videos(out / SHARDS / SOURCES):
        found = cut_videos(found)
    with workers.connected(cluster.address) as client, files.only_one(out, _LOCKED):
        usual = max(1, min(8 * len(client.nthreads()), len(found)))
        shards = begin_shards(out / SHARDS, cluster.shards, found, usual)
        here = os.path.abspath(model) if os.path.isdir(model) else str(model)
        _look_at_all(client, [shard.folder(out / SHARDS) for shard in shards], (here, settings, cluster.threads),
                     progress)
        return _put_together(out, reporting)


def _refuse_secrets(found: Sequence[Source]) -> None:
    """Raise `DataError` where workers, which read the sources' list on disk, could not fetch a file."""
    for source in found:
        if remote.has_secrets(source.address):
            raise DataError(f"{source.address}: its address has a password or a query, which are not written to disk, "
                            "so workers do not know them; give it without --cluster, or keep them where fsspec finds "
                            "them on each computer (a netrc file, AWS_… variables, ~/.config/fsspec)")
        if source.address.startswith("memory://"):
            raise DataError(f"{source.address}: is in this process alone; leave --cluster out")


def _check_out(out: Path, found: Sequence[Source]) -> None:
    """Raise `DataError` where the folder holds faces that the shards will not have."""
    if not (out / FACES).exists():
        return
    known = {source.address for source in found}
    other = next((record.source for record in read_journal(out) if record.source not in known), "")
    if other or not (out / SHARDS).is_dir():
        what = f"faces of other sources, as {other}" if other else "an event that was collected without --cluster"
        raise DataError(f"{out}: holds {what}; name another folder, or go on in this one without --cluster")


def _look_at_all(client: "Client", folders: Sequence[Path], how: tuple[str, Settings, int], progress: bool) -> None:
    """Have all shards looked at that are not finished; the bar counts photos and videos."""
    own = {str(folder): len(read_own(folder)) for folder in folders}
    todo = [str(folder) for folder in folders if not _is_finished(folder)]

    def submit(folder: str) -> "Future":
        return client.submit(_look_at_shard, folder, *how, pure=False)

    with tqdm(total=sum(own.values()), initial=sum(own.values()) - sum(own[folder] for folder in todo),
              unit="source", disable=not progress, dynamic_ncols=True) as bar:
        for ended in workers.work_through(client, todo, submit, _trace):
            if ended:
                _result(*ended)
                bar.update(own[ended[0]])


def _result(folder: str, future: "Future") -> None:
    """Raise what went wrong with a shard."""
    from distributed import KilledWorker

    try:
        workers.result_of(future)
    except KilledWorker as error:
        raise DataError(f"{folder}: workers die of this shard before they look at a picture; see what they print, and "
                        "whether they have too little memory") from error


def _look_at_shard(folder: str, model: str, settings: Settings, threads: int) -> Mapping[str, int]:
    """Collect one shard, in a worker."""
    from distributed import get_worker

    worker = get_worker()
    try:
        workers.refuse_company("shards")  # which would share a death, and nobody could say which picture it was
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
