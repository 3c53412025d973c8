"""Train a network on with own faces: a few of them, without forgetting what it knew."""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import files
from ..data.copies import copies_of
from ..data.faceset import FaceSet
from ..data.grouped import LEAST_GROUPS, divide_groups, shared_groups
from ..data.load import sample
from ..errors import DataError
from ..labels import EMOTIONS, N_CLASSES
from .card import Card
from .recipes import TrainConfig
from .runs import read_card
from .train import train

if TYPE_CHECKING:
    from .callbacks import Progress

OWN_SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-4, "schedule": "cosine", "warmup_epochs": 1.0, "epochs": 15, "batch_size": 32,
    "augment": "light", "mixup": 0.0, "ema": 0.0, "weight_decay": 0.0, "optimizer": "adam", "freeze_norm": True,
    "balance": "none", "patience": 0}
"""What differs from the network's own recipe: a low rate for few steps, and batch normalisation as it was."""
REPLAY = 8.0
"""Faces of the old Training part that are learnt again, for each own one.

Measured with fer_net and 40 drawn people, which it had never seen (56 held-out faces): with 8 and a learning rate of
1e-4 accuracy on them rose by 30 points, and fell by 0.7 on FER2013's PublicTest (95 % interval -1.5 to +0.1); with 4
and 2e-4 it rose by 36, and fell by 2.4.
"""
_PARTS = ("Training", "PublicTest", "PrivateTest")


@dataclass(frozen=True, eq=False)
class OwnFaces:
    """Own faces, checked, and what else is learnt with them; made by `prepare_own_faces`."""

    start: str  # the trained network to start from
    card: Card  # its card
    own: FaceSet  # divided into three parts, by person
    base: FaceSet | None  # what the network was trained on, to be replayed and scored
    joined: FaceSet  # `own`, and the replayed faces in its Training part
    replayed: int
    notes: tuple[str, ...]  # what to know before believing the scores


def prepare_own_faces(start: Path | str, own: FaceSet, base: FaceSet | None = None,
                      replay: float = REPLAY) -> OwnFaces:
    """Check own faces, divide them by person, and add `replay` faces of the base's Training part for each own one.

    `start` is the trained network, `base` the faces that it was trained on (FER2013); without them nothing is replayed.
    Own faces with a copy in the base are left out. DataError: the faces cannot teach, or could not be tested on.
    ValueError: the network cannot be trained on, or has already seen own faces.
    """
    card, own = read_card(start), divide_groups(own)
    _check_start(start, card, own)
    if not replay >= 0:
        raise ValueError(f"replay must be at least 0 faces for each own one, got {replay}")
    notes = [f"{n:,} faces have no label and are left out"] if (n := int((~own.labelled).sum())) else []
    own = own[own.labelled]
    if base is not None and len(own):
        copies = copies_of(own.pixels, base.pixels)
        if copies.any():
            notes.append(f"{copies.sum():,} of {len(own):,} own faces are copies of faces in {base.source}, which the "
                         "network has seen or is tested on; they are left out")
            own = own[~copies]
    if not len(own):
        raise DataError(f"{own.source}: no own faces are left to learn from{': ' * bool(notes)}{'; '.join(notes)}")
    _check_own(own)
    notes += _notes(own, card, base)
    replayed = own[:0]
    if base is not None and replay:
        old = base[(base.usage == "Training") & base.labelled]
        wanted = round(replay * int((own.usage == "Training").sum()))
        replayed = sample(old, wanted) if wanted else old[:0]
    return OwnFaces(str(start), card, own, base, _join(own, replayed), len(replayed), tuple(notes))


def _check_start(start: Path | str, card: Card, own: FaceSet) -> None:
    if card.adopted or not (card.folder / "model.keras").is_file():
        raise ValueError(f"{start}: has no Keras model that could be trained on; start from another network")
    if not card.honest:
        raise ValueError(f"{start} was trained under the {card.protocol} protocol, on test faces; start from another "
                         "network")
    if own.fer2013:
        raise DataError(f"{own.source}: these are FER2013's faces, not own ones; name yours by --data, or train on "
                        "FER2013 with --model NAME --start RUN")
    for each in (card, *_origins(card)):
        if (each.values.get("own_faces") or each.title == "own faces") and not each.learnt_from(own):
            before = each.config.get("start")
            through = "" if each is card else f" through {each.name}"
            raise ValueError(f"{start} has learnt{through} from other own faces, or from these divided otherwise: "
                             "people whom it knows may be among the test faces. Start from "
                             + (f"{before}, as it did" if before and each is card else "another network"))


def _origins(card: Card) -> Iterator[Card]:
    """Give the cards of the networks that a network started from or was taught by, as far as they are here."""
    waiting, seen = [card], {card.folder.resolve()}
    while waiting:
        config = waiting.pop().config
        for name in filter(None, (config.get("start"), *(config.get("teachers") or ()))):
            with contextlib.suppress(DataError):
                before = read_card(name)
                if before.folder.resolve() not in seen:
                    seen.add(before.folder.resolve())
                    waiting.append(before)
                    yield before


def _check_own(own: FaceSet) -> None:
    if own.group is None and set(own.usage) == {"Training"}:
        raise DataError(f"{own.source}: nothing says who is on each face, so one person might be learnt from and "
                        "tested on; add a column person to the table (a name, a number, or the photo), or divide them "
                        "yourself into train/, validation/ and test/")
    classes = np.unique(own.emotion)
    if len(classes) < 2:
        raise DataError(f"{own.source}: all faces are labelled {EMOTIONS[classes[0]]}, so a network would learn to say "
                        "nothing else; add faces of other emotions")
    missing = [usage for usage in _PARTS if usage not in own.usage]
    if own.group is not None and missing:
        raise DataError(f"{own.source}: faces of {len(np.unique(np.asarray(own.group)))} persons are too few: some "
                        f"must be learnt from, some chosen by and some tested on. Bring {LEAST_GROUPS} at least, "
                        "better 20")
    if missing:
        raise DataError(f"{own.source}: there are no labelled {' and no '.join(missing)} faces; give all three "
                        "parts, or a column person, by which all faces are divided")


def _notes(own: FaceSet, card: Card, base: FaceSet | None) -> list[str]:
    notes = []
    learnt = np.bincount(own.emotion[own.usage == "Training"], minlength=N_CLASSES)
    if not learnt.all():
        none = ", ".join(EMOTIONS[label] for label in np.flatnonzero(learnt == 0))
        notes.append(f"no own face shows {none} in the Training part, so nothing is learnt about it"
                     + ("" if base is not None else "; it may be forgotten"))
    if base is None:
        notes.append("the faces that the network was trained on are not here: none is replayed, and what it forgets "
                     "cannot be measured (`python -m fer_utils data --download` fetches FER2013)")
    elif not card.learnt_from(base):
        notes.append(f"{card.name} was trained on other data than {base.source} (another file, order or sample): where "
                     "those held own faces or these test faces, the scores flatter")
    if shared := shared_groups(own):
        notes.append(f"{len(shared)} persons are in two of the parts, such as {shared[0]!r}: the scores flatter, and "
                     "the intervals are too narrow")
    if own.group is None:
        notes.append("nothing says who is on each face: where a person is in two parts, the scores flatter, and the "
                     "intervals are too narrow")
    return notes


def _join(own: FaceSet, replayed: FaceSet) -> FaceSet:
    """Add replayed faces to the Training part, each as a person of its own."""
    group = None
    if own.group is not None:
        group = np.concatenate([own.group, [f"replayed face {i + 1}" for i in range(len(replayed))]])
    return replace(own, pixels=np.concatenate([own.pixels, replayed.pixels]), votes=None, group=group,
                   emotion=np.concatenate([own.emotion, replayed.emotion]),
                   usage=np.concatenate([own.usage, np.full(len(replayed), "Training")]))


def train_on(faces: OwnFaces, out: Path | str | None = None, progress: "Progress | None" = "bar",
             **settings: Any) -> Path:
    """Train a network on with own faces, as `train` does, and return the run folder.

    The fields of `TrainConfig` are the network's own recipe, then `OWN_SETTINGS`, then `settings`. The epoch is chosen
    by the own PublicTest part. The card also says which own faces were learnt from, and how many others were replayed.
    """
    if settings.get("votes"):
        raise ValueError("votes: own faces have no votes of FER+'s annotators; leave it out")
    config = TrainConfig.for_model(faces.card.model, **OWN_SETTINGS | {"start": faces.start} | {
        name: value for name, value in settings.items() if value is not None})
    # `prepare_own_faces` has looked for copies. For good: a filter that is set for a while may stay, as Keras's threads
    # set some too.
    warnings.filterwarnings("ignore", ".* was trained on other data", UserWarning, module=__name__.replace(".", r"\."))
    folder = train(config, faces.joined, out, progress)
    own = {"fingerprint": faces.own.fingerprint(), "replayed": faces.replayed, "notes": list(faces.notes),
           "faces": {usage: int((faces.own.usage == usage).sum()) for usage in _PARTS}}
    card = read_card(folder)
    if card.values.get("own_faces") != own:
        files.write_json(folder / "card.json", card.values | {"own_faces": own})
    return folder
