"""Dask's workers, on this computer or on several: find them, and let them do tasks though some of them die."""
import os
import re
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import DataError

if TYPE_CHECKING:
    from distributed import Client, Future

_ANSWER_S, _WORKERS_S = 10, 30  # how long the scheduler may take to answer, and the first worker to come
_LOOK_S = 0.1  # between two looks at what has ended
_ROUNDS = 3  # how often workers may die of a task that comes no further; Dask itself tries each time four workers


def processes_of(address: str) -> int:
    """Return how many processes on this computer an address asks for, as local:4 does; 0 for a scheduler's address.

    ValueError: it is neither.

        >>> processes_of("local:4"), processes_of("tcp://10.0.0.1:8786")
        (4, 0)
    """
    local = re.fullmatch(r"local(?::([1-9][0-9]*))?", address)
    if not local and "://" not in address:
        raise ValueError("a cluster is a Dask scheduler's address, as tcp://10.0.0.1:8786, or local:4 for four "
                         f"processes on this computer; got {address}")
    return int(local[1] or os.cpu_count() or 1) if local else 0


@contextmanager
def connected(address: str, **local_options: Any) -> Iterator["Client"]:
    """Give a client of a cluster that has a worker; `local_options` are those of a `LocalCluster`.

    DataError: no scheduler answers there, or it has no worker.
    """
    from distributed import Client, LocalCluster

    if processes := processes_of(address):
        with (LocalCluster(n_workers=processes, threads_per_worker=1, processes=True, silence_logs="CRITICAL",
                           dashboard_address="127.0.0.1:0", **local_options) as local, Client(local) as client):
            yield client
        return
    try:
        client = Client(address, timeout=_ANSWER_S)
    except OSError as error:
        raise DataError(f"{address}: no Dask scheduler answers there ({error}); start one by: dask scheduler"
                        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_WORKERS_S)
        except TimeoutError:
            raise DataError(f"{address}: this scheduler has no worker; start one by: dask worker {address} --nthreads 1"
                            ) from None
        yield client


def work_through(client: "Client", names: Sequence[str], submit: Callable[[str], "Future"],
                 trace: Callable[[str], Hashable]) -> Iterator[tuple[str, "Future"] | None]:
    """Submit a task for each name, and give name and future of each as it ends; several times a second, give None.

    A task whose workers have died is submitted again, as long as it comes further: `trace` returns what changes then.
    After three times without that its future is given, which raises `KilledWorker`. Tasks that have not ended when the
    caller stops are cancelled.
    """
    from distributed import KilledWorker

    traces, rounds = {name: trace(name) for name in names}, dict.fromkeys(names, 0)
    under_way = {submit(name): name for name in names}
    try:
        while under_way:
            for future in [future for future in under_way if future.done()]:
                name = under_way.pop(future)
                if future.status == "error" and isinstance(future.exception(), KilledWorker):
                    before, traces[name] = traces[name], trace(name)
                    rounds[name] = rounds[name] + 1 if traces[name] == before else 0
                    if rounds[name] < _ROUNDS:
                        under_way[submit(name)] = name
                        continue
                yield name, future
            yield None
            time.sleep(_LOOK_S)
    finally:
        client.cancel(list(under_way))


def result_of(future: "Future") -> Any:
    """Return a task's result; a scheduler that has ended, and what a worker cannot import, are a `DataError`."""
    from distributed.client import FutureCancelledError

    try:
        return future.result()
    except FutureCancelledError as error:
        raise DataError("the Dask scheduler has ended; start it and its workers, then the same command goes on"
                        ) from error
    except ImportError as error:
        raise DataError(f"a worker cannot import what it needs ({error}); install the same fer-utils for all workers"
                        ) from error


def refuse_company(what: str) -> None:
    """Raise `DataError`, in a worker, where it does several tasks at a time: they would die together, and share state.

    `what` says what a task is, as "shards".
    """
    from distributed import get_worker

    if (count := get_worker().state.nthreads) != 1:
        raise DataError(f"it works on {count} {what} at a time; start workers with --nthreads 1, and several by "
                        "--nworkers")


class UnwantedError(Exception):
    """Nobody waits for a task any more: its caller has stopped or died."""


def stop_unwanted_task() -> None:
    """Raise `UnwantedError`, in a worker, where nobody waits for the task that calls this."""
    from distributed import get_worker

    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    if task is None or task.state != "executing":
        raise UnwantedError
