"""Which pictures are under way, noted on disk: one at which a process died twice is left out, and reported."""
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

from .. import files
from ..vision.sources import Source
from .store import EventTable

NOTE, DEATHS = "under-way.json", "deaths.json"
LIMIT = 2
"""At so many deaths a picture is left out. One may be chance: who stops a process asks for no good moment."""

LookingAt = Callable[[str], AbstractContextManager[Any]]


class UnderWay:
    """The pictures that this process is looking at, and those at which earlier ones died: `deaths`, by their sources.

    Use it inside a ``with``, while the table's lock is held. What a killed process had under way is looked at alone, so
    that the second death has one cause. A video counts anew where it came further in between.
    """

    def __init__(self, table: EventTable):
        self._table, self._note, self._deaths = table, table.out / NOTE, table.out / DEATHS
        self.deaths = read_deaths(table.out)
        self._positions: dict[str, int] = {}
        self._now: list[str] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        for source in _noted(self._note):
            if self._table.state(source) != "done":
                position = self._table.position(source)
                count, before = self.deaths.get(source, (0, position))
                self.deaths[source] = (count + 1 if before == position else 1, position)
                files.write_json(self._deaths, self.deaths)
        self._file = open(self._note, "wb", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._note.unlink(missing_ok=True)  # whatever ended this process, it was no sudden death

    def without_deadly(self, todo: Sequence[Source]) -> list[Source]:
        """Mark the sources at which processes died twice as failed, and return the others."""
        left = []
        for source in todo:
            if self.deaths.get(source.address, (0, 0))[0] < LIMIT:
                left.append(source)
            elif self._table.state(source.address) != "failed":
                self._table.mark(source.address, source.kind, "failed", self._table.position(source.address), note=(
                    f"{source.address}: its worker died while it was looked at, {LIMIT} times (is there too little "
                    f"memory?); it is not tried again unless you delete {self._deaths.name} in this folder"))
        return left

    @contextmanager
    def looking_at(self, source: str) -> Iterator[None]:
        """Note that a source is under way."""
        self._change(self._now.append, source)
        try:
            yield
        finally:
            self._change(self._now.remove, source)

    def _change(self, change: Callable[[str], None], source: str) -> None:
        with self._lock:
            change(source)
            self._file.seek(0)
            self._file.write(json.dumps(self._now).encode() + b"\n")  # what was longer before stays behind this line


def _noted(note: Path) -> list[str]:
    """Return what a process that was killed had under way."""
    with suppress(OSError, ValueError, IndexError):
        return list(map(str, json.loads(note.read_bytes().splitlines()[0])))
    return []


def read_deaths(folder: Path) -> dict[str, tuple[int, int]]:
    """Return of each source at which a process died how often that was, and at which frame of a video."""
    if not (folder / DEATHS).exists():
        return {}
    values = files.read_json(folder / DEATHS, "delete it: what it names is then tried again")
    return {source: (int(count), int(position)) for source, (count, position) in values.items()}
