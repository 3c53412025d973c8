"""A session of labelling: which face comes next, what was said of it, and how far the annotators agree."""
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from ..errors import DataError
from ..evaluation.agreement import annotator_agreement
from ..labels import EMOTIONS, N_CLASSES
from ..vision.predict import Predictor
from .label_folder import DECISIONS, NOT_A_FACE, SKIP, UNDO, LabelFace, LabelFolder
from .label_sources import find_faces

ORDERS = ("unsure", "random", "given")
GUESSES = ("after", "before", "never")
LEAST_FACES = 10
"""From fewer faces that annotators have in common a kappa is little more than chance."""
_BATCH = 256  # faces that go through the network at once


@dataclass(frozen=True)
class LabelSettings:
    """Who labels, in which order, and when the network's guess is shown; a value that is not allowed raises ValueError.

    "unsure" begins with the faces of which the network is least sure, "random" goes by the `seed`, "given" by the
    folder's own order. A guess that is shown "before" pulls labels towards the network: take that for speed only.
    """

    annotator: str = "me"
    order: Literal["unsure", "random", "given"] = "unsure"
    guess: Literal["after", "before", "never"] = "after"
    seed: int = 0

    def __post_init__(self) -> None:
        name = self.annotator
        if not isinstance(name, str) or not name.strip() or name != name.strip() or len(name) > 40 \
                or not name.isprintable() or name[0] in "=+-@":
            raise ValueError(f"an annotator's name must be 1 to 40 letters, digits or signs, without blanks around, "
                             f"and not begin with =, +, - or @; got {name!r}")
        for value, allowed, what in ((self.order, ORDERS, "order"), (self.guess, GUESSES, "guess")):
            if value not in allowed:
                raise ValueError(f"{what} must be one of {', '.join(allowed)}, got {value!r}")


@dataclass(frozen=True)
class LastDecision:
    """What was decided last: a face, its label, and the network's guess with its probability, where it may be shown."""

    face: str
    label: str
    guess: tuple[str, float] | None


class LabelSession:
    """One annotator goes through the faces of a folder. Each decision is on disk before the next face comes.

    Faces that the annotator has decided before are not asked again. `probabilities` are what the network says, float
    (7,) by face. Without them there is no guess, and the order "unsure" raises ValueError.
    """

    def __init__(self, folder: LabelFolder, settings: LabelSettings | None = None,
                 probabilities: dict[str, np.ndarray] | None = None):
        self.folder, self.settings = folder, settings or LabelSettings()
        self._probabilities = probabilities or {}
        self._faces = folder.there()
        said = folder.labels().get(self.settings.annotator, {})
        self._decided = [face for face in said if face in self._faces]  # in the order of the decisions
        self._queue = deque(face for face in self._ordered() if face not in said)
        self.last: LastDecision | None = None

    @classmethod
    def of_sources(cls, sources: str | Path | Sequence[str | Path], out: str | Path, predictor: Predictor,
                   every: float = 1.0, progress: bool = True, **settings: Any) -> Self:
        """Begin with the faces of photos and videos (see `find_faces`), and those that the folder `out` has already.

        `settings` are those of `LabelSettings`.
        """
        chosen, folder = LabelSettings(**settings), LabelFolder(out)
        find_faces(sources, folder, predictor, every, progress)
        return cls.of_folder(folder, predictor, chosen)

    @classmethod
    def of_folder(cls, folder: LabelFolder, predictor: Predictor, settings: LabelSettings | None = None) -> Self:
        """Begin, or go on, with the faces that a folder has."""
        names = list(folder.there())
        if not names:
            raise DataError(f"{folder.path}: there are no faces to label; name photos or videos")
        probabilities: dict[str, np.ndarray] = {}
        for start in range(0, len(names), _BATCH):
            some = names[start:start + _BATCH]
            rows = predictor.probabilities([folder.pixels(name) for name in some])
            probabilities |= dict(zip(some, rows))
        return cls(folder, settings, probabilities)

    @classmethod
    def of_faces(cls, pixels: np.ndarray, names: Sequence[str], probabilities: np.ndarray | None, out: str | Path,
                 **settings: Any) -> Self:
        """Begin with faces that are given, such as those of FER2013 whose labels are suspicious, in their order.

        `pixels` are uint8 (N, 48, 48). `names` are the faces' own: letters, digits, "_", "-" and "." only; the column
        `face` of the result is NAME.png. `probabilities` are the network's, float (N, 7), or None. `settings` are those
        of `LabelSettings`; the order is "given", unless they name another.
        """
        chosen, folder = LabelSettings(**{"order": "given", **settings}), LabelFolder(out)
        pixels = np.asarray(pixels)
        if pixels.dtype != np.uint8 or pixels.shape != (len(names), 48, 48) or not len(names):
            raise ValueError(f"pixels must be uint8 (N, 48, 48) for N = {len(names)} names, one at least; got "
                             f"{pixels.dtype} {pixels.shape}")
        if probabilities is not None and np.shape(probabilities) != (len(names), N_CLASSES):
            raise ValueError(f"probabilities must be ({len(names)}, {N_CLASSES}), got {np.shape(probabilities)}")
        wrong = [name for name in names if not name.replace("_", "").replace("-", "").replace(".", "").isalnum()]
        if wrong or len({*map(str.lower, names)}) < len(names):
            raise ValueError("names must differ, and hold letters, digits, _, - and . only; got "
                             f"{(wrong or names)[0]!r}")
        new, there = [], folder.there()
        for name, image in zip(names, pixels):
            if f"{name}.png" not in there:
                new.append((LabelFace(f"{name}.png", name, name), image))
            elif not np.array_equal(folder.pixels(f"{name}.png"), image):
                raise DataError(f"{folder.path}: holds another face called {name}; name another folder")
        if new:
            folder.add(*zip(*new))
            folder.save_index()
        rows = None if probabilities is None else {f"{name}.png": row for name, row in zip(names, probabilities)}
        return cls(folder, chosen, rows)

    def _ordered(self) -> list[str]:
        names = list(self._faces)
        if self.settings.order == "random":
            return [names[i] for i in np.random.default_rng(self.settings.seed).permutation(len(names))]
        if self.settings.order == "unsure":
            if missing := [name for name in names if name not in self._probabilities]:
                raise ValueError(f"the order unsure needs the network's probabilities of each face, and {missing[0]} "
                                 "has none; give them, or take another order")
            return sorted(names, key=lambda name: float(self._probabilities[name].max()))
        return names

    @property
    def current(self) -> LabelFace | None:
        """The face that is asked now, None where nothing is left."""
        while self._queue and not self.folder.picture(self._queue[0]).is_file():
            self._queue.popleft()  # deleted meanwhile, so left out
        return self._faces[self._queue[0]] if self._queue else None

    @property
    def progress(self) -> tuple[int, int]:
        """How many faces this annotator has decided, of how many."""
        return len(self._decided), len(self._decided) + len(self._queue)

    def guess_of(self, face: str) -> tuple[str, float] | None:
        """Return the network's most probable emotion of a face, and its probability."""
        row = self._probabilities.get(face)
        return None if row is None else (EMOTIONS[int(np.argmax(row))], float(np.max(row)))

    @property
    def remark(self) -> str:
        """A sentence about the network's guess, as far as the settings allow, and what was decided last; or ""."""
        if self.settings.guess == "before" and self._queue and (guess := self.guess_of(self._queue[0])):
            return f"The network says {guess[0]} ({guess[1]:.0%})."
        if self.last is None:
            return ""
        said = "you skipped it" if self.last.label == SKIP else f"you say {self.last.label}"
        guess = self.last.guess
        return f"The face before: {said}" + (f", the network says {guess[0]} ({guess[1]:.0%})." if guess else ".")

    def decide(self, label: str) -> None:
        """Write down what the annotator says of the current face, one of `DECISIONS`, and go to the next."""
        if label not in DECISIONS:
            raise ValueError(f"{label!r} is none of {', '.join(DECISIONS)}")
        if not self._queue:
            raise ValueError("no face is left to decide")
        face = self._queue[0]
        guess = self.guess_of(face)
        self.folder.note(face, self.settings.annotator, label, guess[0] if guess else "")
        self._queue.popleft()
        self._decided.append(face)
        self.last = LastDecision(face, label, None if self.settings.guess == "never" else guess)

    def undo(self) -> bool:
        """Take back the last decision, also of an earlier session; its face is asked again. False if there is none."""
        if not self._decided:
            return False
        face = self._decided[-1]
        self.folder.note(face, self.settings.annotator, UNDO)
        self._queue.appendleft(self._decided.pop())
        self.last = None
        return True

    def finish(self) -> dict[str, Any]:
        """Make ``fer2013.csv`` of what all annotators said so far; return `label_summary`."""
        return label_summary(LabelFolder(self.folder.path))


def label_summary(folder: LabelFolder) -> dict[str, Any]:
    """Make a folder's ``fer2013.csv`` anew, and count.

    ``labels`` is its number of faces by emotion. ``faces`` are all faces: those in it, and the ``ties``, ``skipped``,
    ``not_a_face`` and ``undecided``. ``annotators`` counts decisions by name, ``agreement`` is `annotator_agreement`
    without what was skipped. ``unnamed`` are labelled faces of photos for which nobody has written who it is.
    """
    labels, outcomes, there = folder.labels(), folder.outcomes(), folder.there()
    if not folder.faces:
        raise DataError(f"{folder.path}: holds no labelled faces; label photos into it first")
    kept = {name: {face: label for face, label in own.items() if face in there} for name, own in labels.items()}
    compared = {name: {face: label for face, label in own.items() if label != SKIP} for name, own in kept.items()}
    last_words = list(outcomes.values())
    unnamed = [face for face in folder.faces.values() if face.box and outcomes.get(face.face) in EMOTIONS
               and re.fullmatch(re.escape(face.source) + r"(#\d+)?", face.person, re.DOTALL)]
    return {"folder": str(folder.path), "faces": len(there), "labels": folder.write_fer2013(),
            "ties": last_words.count(None), "skipped": last_words.count(SKIP),
            "not_a_face": last_words.count(NOT_A_FACE), "undecided": len(there) - len(outcomes),
            "unnamed": len(unnamed), "annotators": {name: len(own) for name, own in kept.items()},
            "agreement": annotator_agreement(compared)}


def summary_text(summary: dict[str, Any]) -> str:
    """Write a `label_summary` for people."""
    labelled = sum(summary["labels"].values())
    by_name = ", ".join(f"{name} {count}" for name, count in summary["labels"].items() if count)
    out = [f"{summary[key]} {word}" for key, word in (
        ("ties", "with as many votes for another label"), ("skipped", "skipped"), ("not_a_face", "not a face"),
        ("undecided", "not decided yet")) if summary[key]]
    lines = [f"{labelled} of {summary['faces']} faces have a label{': ' + by_name if by_name else ''}"]
    lines += [f"without: {', '.join(out)}"] if out else []
    lines += [f"decided by {name}: {count}" for name, count in summary["annotators"].items()]
    for row in summary["agreement"]:
        who = f"{', '.join(row['annotators'][:-1])} and {row['annotators'][-1]}"
        if not row["faces"]:
            lines.append(f"{who} have no face in common")
            continue
        kappa = "cannot be told, all have one label" if row["kappa"] is None else f"{row['kappa']:.2f}"
        few = f" (chance: fewer than {LEAST_FACES} faces)" if row["faces"] < LEAST_FACES else ""
        lines.append(f"{who} say the same of {row['same']:.0%} of {row['faces']} faces; {row['measure']}'s kappa: "
                     f"{kappa}{few}")
    if summary["unnamed"]:
        lines.append(f"{summary['unnamed']} labelled faces have no name in index.csv, column person: write who it is "
                     "before you train on. Else somebody on two photos may be both learnt from and tested on")
    if labelled:
        lines.append(f"{summary['folder']}: python -m fer_utils data reads it")
    return "\n".join(lines)
