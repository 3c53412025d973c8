"""One data set from several files: join the parts, leave out copies, and refuse what may not belong together."""
import hashlib
import re
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from .faceset import UNLABELLED_USAGE, USAGES
from .layouts import EACH_ROW, Found, named_part, table_usage
from .places import csv_columns, home

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Pixels, labels, usages and groups, as in `FaceSet`; a group is "" where none is told."""


@dataclass(eq=False)
class _Part:
    """The faces of one file."""

    name: str
    arrays: Arrays

    def __post_init__(self) -> None:
        pixels, emotion, usage, _ = self.arrays
        digests = [hashlib.blake2b(face, digest_size=12).digest() for face in pixels]
        self.faces = set(digests)
        self.labelled = set(zip(digests, emotion.tolist()))
        self.usages = set(usage.tolist())

    @property
    def at(self) -> str:
        """The folder that it shares with other parts of its data set."""
        return home(self.name.rpartition("/")[0])

    def clashes(self, other: "_Part") -> bool:
        """Return whether both have faces of one usage; the challenge's unlabelled faces are PrivateTest's too."""
        mine, its = ({"PrivateTest" if usage == UNLABELLED_USAGE else usage for usage in part.usages}
                     for part in (self, other))
        return bool(mine & its)

    def is_in(self, others: "list[_Part]") -> bool:
        """Return whether others hold all its faces, with its labels where it has some."""
        if self.usages == {UNLABELLED_USAGE}:
            return self.faces <= set().union(*(part.faces for part in others))
        return self.labelled <= set().union(*(part.labelled for part in others))

    def is_shard(self, other: "_Part") -> bool:
        """Return whether names differ in their numbers only (train_1.csv, train_2.csv), and most faces differ."""
        names = {re.sub(r"\d+", "0", part.name) for part in (self, other)}
        return len(names) == 1 and 2 * len(self.faces & other.faces) < min(len(self.faces), len(other.faces))


def join(found: Found, read: list[Arrays]) -> tuple[Arrays, list[str]]:
    """Return the faces of all parts in the official order of usages, and a line about files that hold copies.

    Files belong together where they are in one folder and no two of them hold faces of one usage. A `DataError` names
    two of which that is not certain.
    """
    if len(read) == 1:
        return read[0], []
    parts = sorted(map(_Part, found.names, read), key=lambda part: -len(part.faces))
    taken: list[_Part] = []
    copies: list[str] = []
    for part in parts:
        clashing = [other for other in taken if part.clashes(other)]
        if clashing and part.is_in(taken):
            copies.append(part.name)
        elif strange := [other for other in taken if part.at != other.at] + [
                other for other in clashing if not part.is_shard(other)]:
            raise _not_certain(found, part, strange[0])
        else:
            taken.append(part)
    if len(taken) > 1:
        _check_names(found, taken)
    taken.sort(key=lambda part: (min(map((*USAGES, UNLABELLED_USAGE).index, part.usages)),
                                 [int(number[-18:]) for number in re.findall(r"\d+", part.name)], part.name))
    pixels, emotion, usage, group = (np.concatenate(arrays) for arrays in zip(*(part.arrays for part in taken)))
    return (pixels, emotion, usage, group), copies


def _not_certain(found: Found, part: _Part, other: _Part) -> DataError:
    usages = " and ".join(sorted(part.usages & other.usages)) or "faces"
    return DataError(
        f"{found.place.where}: {part.name} and {other.name} both hold {usages}, not all the same, and it is not "
        "certain that they belong together; name the one to read, or put the parts of one data set into one folder "
        "and call them train.csv, validation.csv and test.csv")


def _check_names(found: Found, taken: list[_Part]) -> None:
    """Raise a `DataError` where several labelled tables are joined, and nothing tells the part of one of them."""
    if found.layout == "arrays":
        return
    kinds = {part.name: table_usage(part.name, csv_columns(found.place, part.name)) for part in taken}
    labelled = [name for name, kind in kinds.items() if kind != UNLABELLED_USAGE]
    unknown = [name for name in labelled if kinds[name] != EACH_ROW and not named_part(name)]
    if unknown and len(labelled) > 1:
        raise DataError(f"{found.place.where}: {unknown[0]} has no column Usage, and its name does not tell which part "
                        "it is; call the files train.csv, validation.csv and test.csv, or name the one to read")
