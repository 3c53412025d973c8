"""Seconds and memory, measured the same way in every benchmark."""

import time
from collections.abc import Callable, Mapping


def seconds(work: Callable[..., object], *arguments: object) -> float:
    """Return the seconds that one call takes."""
    start = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - start


def fastest_in_turn(timers: Mapping[str, Callable[[], float]], rounds: int = 3) -> dict[str, float]:
    """Call all functions in turn, round by round, and return the smallest number that each returned.

    What else the machine does then slows all of them alike.
    """
    passes = [{name: timer() for name, timer in timers.items()} for _ in range(rounds)]
    return {name: min(one[name] for one in passes) for name in timers}


def resident_mib() -> float:
    """Return the resident memory of this process in MiB."""
    import psutil

    return psutil.Process().memory_info().rss / 2**20
