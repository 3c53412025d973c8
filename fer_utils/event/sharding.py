"""One of several equal parts of an event's sources, for several processes or computers; `merging` joins them."""
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Self

from .. import files
from ..errors import DataError
from ..vision.sources import Source, public_address

MANIFEST, FORMATS = "shard.json", (1, 2)
"""A shard's file, and its formats that can be read: the second one has parts of videos."""
SOURCES = "sources.json"
"""What the shards of a cluster share: one list of all sources, beside their folders."""
_SHARED = f"../{SOURCES}"
_KINDS = ("folder", "part", "photo", "video")
_REMEDY, _NEW_FOLDER = "run this shard again into a new folder", "collect into a new folder"


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` parts of the same sources, counted from 1.

        >>> shard = Shard.parse("2/3")
        >>> shard.number, shard.count, str(shard)
        (2, 3, 'shard 2 of 3')
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"a shard is K/N with K from 1 to N, as 2/3; got {self.number}/{self.count}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read K/N, as ``2/3``."""
        match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
        if not match:
            raise ValueError(f"a shard is K/N with K from 1 to N, as 2/3; got {text}")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"shard {self.number} of {self.count}"

    def folder(self, out: Path | str) -> Path:
        """Return the folder within `out` that this shard alone writes to."""
        return Path(out) / f"shard-{self.number}-of-{self.count}"

    def own(self, found: Sequence[Source]) -> list[Source]:
        """Return this shard's sources, in the order given."""
        numbers = deal(found, self.count)
        return [source for source in found if numbers[source.address] == self.number]


def deal(found: Sequence[Source], count: int) -> dict[str, int]:
    """Return for each source's address its shard's number: each kind is dealt out like cards, sorted by address."""
    in_turn = sorted(found, key=lambda source: (source.kind, source.address))
    return {source.address: index % count + 1 for index, source in enumerate(in_turn)}


@dataclass(frozen=True)
class Manifest:
    """What a shard was begun with: `sources` are those of all shards together, in the order they were found."""

    folder: Path
    shard: Shard
    sources: list[Source]

    def __str__(self) -> str:
        return f"{self.shard} ({self.folder})"


def refuse_cameras(found: Sequence[Source]) -> None:
    """Raise `DataError` where a source has no end that could be known beforehand."""
    for source in found:
        if source.kind in ("camera", "stream"):
            raise DataError(f"{source.kind} {public_address(source.address)}: only photos and videos can be divided "
                            "into shards; collect it by a command of its own, into a folder of its own")


def keep_manifest(folder: Path, shard: Shard, found: Sequence[Source]) -> None:
    """Write what a shard is begun with; `DataError` where its folder was begun with other sources.

    The lock of the folder must be held.
    """
    if not (folder / MANIFEST).exists():
        files.write_json(folder / MANIFEST, {"format": _format(found), "shard": shard.number, "of": shard.count,
                                             "sources": [astuple(source) for source in found]})
        return
    before = read_manifest(folder)
    if before.shard != shard:
        raise DataError(f"{folder}: holds {before.shard}, not {shard}; name another folder")
    _check_unchanged(f"{folder}: the sources have changed since {shard} was begun", before.sources, found)


def _format(found: Sequence[Source]) -> int:
    return 2 if any(source.kind == "part" for source in found) else 1


def cuts_videos(file: Path) -> bool:
    """Return whether the shards that a file describes have long videos in parts: not those of earlier versions."""
    values = files.read_json(file, _REMEDY) if file.exists() else None
    return not (isinstance(values, dict) and values.get("format") == 1)


def _check_unchanged(problem: str, before: Sequence[Source], found: Sequence[Source]) -> None:
    added, gone = (_first_of_one_only(*pair) for pair in ((found, before), (before, found)))
    if added or gone:
        what = f"{added} is new" if added else f"{gone} is no longer there"
        raise DataError(f"{problem} ({what}), so shards would overlap or leave something out; name the same sources, "
                        "or begin all shards again in a new folder")


def begin_shards(folder: Path, count: int | None, found: Sequence[Source], usual: int) -> list[Shard]:
    """Divide sources into shards in a folder, or go on with those that are there; return them.

    There are `count` of them; where that is None, as many as were begun, or `usual`. Raises `DataError` where they were
    begun with other sources or in another number. The folder's lock must be held.
    """
    file = folder / SOURCES
    if file.exists():
        values = files.read_json(file, _NEW_FOLDER)
        _check_unchanged(f"{folder}: the sources have changed since its shards were begun", _sources_of(file, values),
                         found)
        if count not in (None, values["of"]):
            raise DataError(f"{folder}: was begun with {values['of']} shards, not {count}; leave that number out, or "
                            "name another folder")
        count = int(values["of"])
    else:
        count = count or usual
        files.write_json(file, {"format": _format(found), "of": count,
                                "sources": [astuple(source) for source in found]})
    shards = [Shard(number, count) for number in range(1, count + 1)]
    own: dict[int, list[Source]] = {shard.number: [] for shard in shards}
    numbers = deal(found, count)
    for source in found:
        own[numbers[source.address]].append(source)
    for shard in shards:
        if not (manifest := shard.folder(folder) / MANIFEST).exists():
            mine = [astuple(source) for source in own[shard.number]]
            files.write_json(manifest, {"format": _format(found), "shard": shard.number, "of": count,
                                        "sources": _SHARED, "own": mine})
    return shards


def read_own(folder: Path | str) -> list[Source]:
    """Return the sources of one of the shards that `begin_shards` began; `DataError` where there is none."""
    file = Path(folder) / MANIFEST
    return _sources_of(file, files.read_json(file, _NEW_FOLDER), "own")


def check_same_sources(one: Manifest, other: Manifest) -> None:
    """Raise `DataError` where two shards were begun with other sources; their order does not matter."""
    if one.sources is other.sources:
        return
    for first, second in ((one, other), (other, one)):
        if alone := _first_of_one_only(first.sources, second.sources):
            raise DataError(f"{one} and {other} were begun with different sources ({alone} is known to {first.shard} "
                            "only): all shards must be run with the same sources, under the same paths")


def _first_of_one_only(one: Sequence[Source], other: Sequence[Source]) -> str:
    """Return the first source that only the first list has, or has as another kind; "" where there is none."""
    known = {(source.kind, source.address) for source in other}
    return next((source.address for source in one if (source.kind, source.address) not in known), "")


def read_manifest(folder: Path | str, known: dict[Path, list[Source]] | None = None) -> Manifest:
    """Return what a shard was begun with; `DataError` where that cannot be read or is of another version.

    `known` are lists that several shards share, by their files; one that is not yet there is read and added.
    """
    file, known = Path(folder) / MANIFEST, {} if known is None else known
    values: Any = files.read_json(file, _REMEDY)
    try:
        if values["format"] not in FORMATS:
            raise DataError(f"{file}: was written by another version of fer_utils (its format is {values['format']}, "
                            f"this version's {FORMATS[-1]}); use one version for all shards and for --merge")
        if type(values["shard"]) is not int or type(values["of"]) is not int:
            raise TypeError("shard and of must be whole numbers")
        if values["sources"] == _SHARED:
            shared = file.parent.parent / SOURCES
            if shared not in known:
                known[shared] = _sources_of(shared, files.read_json(shared, "put it back beside the shards"))
            sources = known[shared]
        else:
            sources = _sources_of(file, values)
        return Manifest(Path(folder), Shard(values["shard"], values["of"]), sources)
    except (TypeError, KeyError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file}: does not describe a shard ({error}); {_REMEDY}") from error


def _sources_of(file: Path, values: Any, key: str = "sources") -> list[Source]:
    """Return the sources that a file lists; `DataError` where these are none."""
    try:
        sources = [Source(*source) for source in values[key]]
        if not all(isinstance(text, str) for source in sources for text in astuple(source)):
            raise TypeError("a source must be three texts: kind, address and problem")
        if not all(source.kind in _KINDS for source in sources):
            raise TypeError(f"a source's kind must be one of {', '.join(_KINDS)}")
        return sources
    except (TypeError, KeyError) as error:
        raise DataError(f"{file}: does not describe a shard ({error}); {_REMEDY}") from error
