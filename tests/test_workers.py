"""Tasks whose workers die are done again as long as they come further; see also test_cluster.py and test_sweep.py."""

from types import SimpleNamespace

import pytest
from distributed import KilledWorker

from fer_utils import workers


class Task:
    """A future that has ended, with an error or well; `done=False`: not yet."""

    def __init__(self, error=None, done=True):
        self.status, self.exception, self.done = "error" if error else "finished", lambda: error, lambda: done


def test_a_task_is_given_up_after_three_deaths_without_progress(monkeypatch):
    monkeypatch.setattr(workers, "_LOOK_S", 0)
    come, submitted, cancelled = iter([1, 1, 2, 2, 2, 2]), [], []
    killed = KilledWorker("task", None, 3)

    def submit(name):
        submitted.append(name)
        return Task({"good": None, "deadly": killed, "wrong": ValueError()}[name])

    client = SimpleNamespace(cancel=cancelled.extend)
    given = dict(filter(None, workers.work_through(
        client, ["good", "deadly", "wrong"], submit, lambda name: next(come) if name == "deadly" else 0)))
    # Between its first and its second death it came further; the three after that brought nothing.
    assert submitted.count("deadly") == 5 and given["deadly"].exception() is killed
    assert submitted.count("good") == submitted.count("wrong") == 1 and set(given) == {"good", "deadly", "wrong"}
    assert cancelled == []


def test_what_is_left_is_cancelled_when_the_caller_stops():
    cancelled = []
    never = Task(done=False)
    through = workers.work_through(SimpleNamespace(cancel=cancelled.extend), ["a"], lambda name: never, len)
    assert next(through) is None
    through.close()
    assert cancelled == [never]


@pytest.mark.parametrize("address", ["here", "local:0", "local:x", ""])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match="or local:4 for four processes on this computer; got"):
        workers.processes_of(address)
