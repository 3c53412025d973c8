"""Put the shards of an event together: the same table, summary and report as one run over all sources gives."""
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..vision.sources import Source
from .parts import join_parts, uncut
from .report import REPORT, report_event
from .sharding import MANIFEST, Manifest, check_same_sources, deal, read_manifest
from .store import Settings, StoredSource, changed_settings, copy_rows, open_table, read_settings, read_sources


def merge_event(folders: str | Path | Sequence[str | Path], out: str | Path, **reporting: Any) -> dict[str, Any]:
    """Put shards together in a new folder, and return what `report_event` does, whose options are `reporting`.

    `folders` are shards, or hold shards: what ``--out`` was when `collect_event` collected them. The photos and videos
    need not be there, except for pictures of faces in the report.

    Raises `DataError`, and leaves `out` as it was, where a shard is missing, is there twice or is not finished, where
    shards have other settings or sources, or where `out` holds files already.
    """
    shards = _complete(_find_shards([folders] if isinstance(folders, (str, os.PathLike)) else folders))
    settings = _common_settings(shards)
    numbers = deal(shards[0].sources, len(shards))
    stored = [_finished(manifest, numbers) for manifest in shards]
    with _whole_folder(out) as part:
        with open_table(part, settings) as table:
            # One run notes folders first, then it reads all photos, then all videos: the kinds' alphabetical order.
            for source, parts in sorted(uncut(shards[0].sources), key=lambda pair: pair[0].kind):
                places = [numbers[each.address] - 1 for each in parts or [source]]
                found = [(shards[index].folder, stored[index][each.address])
                         for index, each in zip(places, parts or [source])]
                if parts:
                    join_parts(source.address, found, table)
                else:
                    copy_rows(*found[0], table)
        result = report_event(part, **reporting)
    return {**result, "out": str(out), "report": str(Path(out) / REPORT)}


def _find_shards(folders: Sequence[str | Path]) -> list[Manifest]:
    """Read the shards in folders, each once, sorted by number."""
    found: dict[str, Manifest] = {}
    shared: dict[Path, list[Source]] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder; --merge takes the --out of `event … --shard K/N`")
        inside = [folder] if (folder / MANIFEST).is_file() else sorted(folder.glob("shard-*-of-*"))
        if not inside:
            raise DataError(f"{folder}: no shard is in this folder; --merge takes the --out of `event … --shard K/N`")
        for each in inside:
            manifest = read_manifest(each, shared)
            first = next(iter(found.values()), manifest)
            if manifest.sources == first.sources:  # which is kept once: it may be long
                manifest = replace(manifest, sources=first.sources)
            found[os.path.realpath(each)] = manifest
    return sorted(found.values(), key=lambda manifest: manifest.shard.number)


def _complete(shards: Sequence[Manifest]) -> list[Manifest]:
    """Return the shards where they are all shards of one division of the same sources; else raise `DataError`."""
    first, there = shards[0], {manifest.shard.number: manifest for manifest in shards}
    for manifest in shards:
        if manifest.shard.count != first.shard.count:
            raise DataError(f"{first} and {manifest} belong to different divisions; name the folders of one alone")
    for manifest in shards:
        if there[manifest.shard.number] is not manifest:
            raise DataError(f"{manifest.shard} is there twice, in {manifest.folder} and "
                            f"{there[manifest.shard.number].folder}; leave one of them out")
    missing = [str(number) for number in range(1, first.shard.count + 1) if number not in there]
    if missing:
        places = " and ".join(dict.fromkeys(str(manifest.folder.parent) for manifest in shards))
        more = f" and {len(missing) - 10:,} more" if len(missing) > 10 else ""
        are = "is" if len(missing) == 1 else "are"
        raise DataError(f"{places}: of {first.shard.count} shards, {len(missing):,} {are} missing: "
                        f"{', '.join(missing[:10])}{more}; run what is missing, or name its folder too")
    for manifest in shards:
        check_same_sources(first, manifest)
    return list(shards)


def _common_settings(shards: Sequence[Manifest]) -> Settings:
    settings = [read_settings(manifest.folder) for manifest in shards]
    for manifest, other in zip(shards, settings):
        if changed := changed_settings(settings[0], other):
            raise DataError(f"{shards[0]} and {manifest} were collected differently ({changed}), so they cannot be put "
                            "together; run one of them again with the settings of the other, into a new folder")
    return settings[0]


def _finished(manifest: Manifest, numbers: dict[str, int]) -> dict[str, StoredSource]:
    """Return what a shard stored of each of its sources; `DataError` where it has not done them all."""
    stored = read_sources(manifest.folder)
    own = [source for source in manifest.sources if numbers[source.address] == manifest.shard.number]
    left = [source.address for source in own
            if source.address not in stored or stored[source.address].record.state == "partial"]
    if left:
        raise DataError(f"{manifest} is not finished: {len(left):,} of its {len(own):,} sources are left, "
                        f"the first is {left[0]}; run it to its end by the command that began it")
    return stored


@contextmanager
def _whole_folder(out: str | Path) -> Iterator[Path]:
    """Give a folder to write to, which becomes `out` only when all went well."""
    target = Path(os.path.realpath(out))
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise DataError(f"{out}: is there already, and a merge writes a new folder; name another one by --out, or "
                        "delete this one")
    part = target.with_name(f"{target.name}.merging-{uuid.uuid4().hex[:8]}")
    part.mkdir(parents=True)
    try:
        yield part
        if target.exists():
            target.rmdir()  # which fails where something came into it
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
