"""The table of results, made from the cards of trained networks: for notebook 04 and the pages that show it."""

import tempfile
import time
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from .. import paths
from ..data.faceset import FaceSet
from ..data.ferplus import ferplus_labels
from ..errors import DataError
from ..files import write_text
from ..labels import EMOTIONS, UNLABELLED
from ..metrics import clean_same_mix, mcnemar, memory_gap, with_interval
from ..networks import zoo
from ..networks.card import Card, unpack_answers
from ..networks.export import write_onnx
from ..networks.runs import best_card
from .evaluate import evaluate_networks
from .markdown import escaped

_GAP = ["memory_gap", "memory_gap_low", "memory_gap_high"]
_PEER = ["name", "source", "accuracy", "low", "high", "clean_accuracy", "clean_low", "clean_high", *_GAP, "ms"]
_TRAINED = ["name", "label", "model", "protocol", "balance", "augment", "seed", "scored_on", "accuracy", "low", "high",
            "macro_f1", "macro_f1_low", "macro_f1_high", "clean_accuracy", "clean_same_mix", "clean_macro_f1",
            "memory_gap", "parameters", "mflops", "epochs", "minutes", "data"]
_SHARED = ["name", "model", "training", "epochs", "accuracy", "low", "high", "macro_f1", "macro_f1_low",
           "macro_f1_high", "clean_accuracy", "clean_low", "clean_high", "clean_same_mix", "clean_macro_f1",
           "clean_macro_f1_low", "clean_macro_f1_high", *_GAP, *(f"f1_{name}" for name in EMOTIONS), "ferplus",
           "mcnemar_p", "parameters", "mflops", "ms", "minutes", "exhibit"]
README_NETWORKS = ("fer_net", "fer_net_fer2013", "fer_net_tiny", "vgg16_augmented", "cnn5_bn", "cnn5_bn_leaky")
"""The rows of the README's table: our default, our best on FER2013, our fastest, project B's best, and projects A and
E's without and with the leak. docs/results.md has all."""
MARKS = "<!-- {} of: python -m fer_utils results -->"


def results_table(cards: Iterable[Card]) -> pd.DataFrame:
    """Put the cards of trained networks into one table, best first, exhibits last.

    A row has a ``label`` that no other row has, what sets the training apart, the scores (`Card.reported`) with their
    intervals, those on clean faces, ``clean_same_mix`` and ``memory_gap`` (as in `metrics`), and the cost.
    """
    table = _ranked([_row(card) for card in cards], _TRAINED)
    return table.assign(label=_unique_labels(table), minutes=table["minutes"].astype(float).round(1))


def _unique_labels(table: pd.DataFrame) -> pd.Series:
    """Return the labels, "cnn3, plain" for "cnn3"; those of several rows end with the epochs or the run's hash."""
    label = table["label"].where(table["label"] != table["model"], table["label"] + ", plain")
    for more in (table["epochs"].map("{} epochs".format), table["name"].str.rsplit("-", n=1).str[-1]):
        label = label.where(~label.duplicated(keep=False), label + ", " + more)
    return label


def _row(card: Card) -> dict[str, Any]:
    usage, result = card.reported
    return {"name": card.name, "label": card.label, "model": card.model, "training": card.training,
            "protocol": card.protocol, "balance": card.config["balance"], "augment": card.config["augment"],
            "seed": card.config["seed"], "scored_on": usage, **_score_columns(result), "parameters": card.parameters,
            "mflops": card.mflops, "epochs": card.epochs_run, "minutes": card.minutes, "data": card.title,
            "exhibit": not card.honest}


def _score_columns(result: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that every row has, of a network or an ensemble, from the result of `metrics.scores`."""
    clean = result.get("clean") or {}
    columns: dict[str, Any] = {"clean_same_mix": clean_same_mix(result), **dict(zip(_GAP, memory_gap(result)))}
    for part, prefix in ((result, ""), (clean, "clean_")):
        for name, interval in (("accuracy", prefix), ("macro_f1", f"{prefix}macro_f1_")):
            low, high = part.get(f"{name}_interval") or (None, None)
            columns |= {f"{prefix}{name}": part.get(name), f"{interval}low": low, f"{interval}high": high}
    return columns | {f"f1_{name}": result["per_class"][name]["f1"] for name in EMOTIONS}


def _ranked(rows: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(dict.fromkeys([*columns, "exhibit"])))
    ranked = table.sort_values(["exhibit", "accuracy"], ascending=[True, False], kind="stable")
    return ranked.reset_index(drop=True)[columns]


def seed_table(cards: Iterable[Card], usage: str = "PrivateTest") -> pd.DataFrame:
    """Show how far scores spread between trainings that differ in nothing but their seed.

    A row for each recipe of the official protocol that was trained with several seeds: how many ``seeds``, ``mean``,
    ``sd`` (sample standard deviation), ``lowest`` and ``highest`` of their accuracies, ``half_width`` (half their mean
    95 % bootstrap interval), ``macro_f1`` and ``macro_f1_sd``.
    """
    recipes: dict[tuple[str, str], dict[int, Card]] = {}
    for card in cards:
        if card.honest and usage in card.scores and not card.averaged:
            # Fields at 0 or none count as absent: an older card lacks the fields that came later.
            key = str(sorted((name, value) for name, value in card.config.items() if value and name != "seed"))
            recipes.setdefault((key, card.fingerprint), {})[card.config["seed"]] = card
    rows = []
    for runs in (list(runs.values()) for runs in recipes.values() if len(runs) > 1):
        parts = [card.scores[usage] for card in runs]
        accuracy, macro_f1 = (np.array([part[name] for part in parts]) for name in ("accuracy", "macro_f1"))
        rows.append({"label": replace(runs[0], config=runs[0].config | {"seed": 0}).label, "seeds": len(parts),
                     "mean": accuracy.mean(), "sd": accuracy.std(ddof=1), "lowest": accuracy.min(),
                     "highest": accuracy.max(),
                     "half_width": np.mean([np.ptp(part["accuracy_interval"]) / 2 for part in parts]),
                     "macro_f1": macro_f1.mean(), "macro_f1_sd": macro_f1.std(ddof=1)})
    return pd.DataFrame(rows)


def shared_cards() -> list[Card]:
    """Return the cards of the networks in models/."""
    return [Card.read(path.parent) for path in sorted(paths.MODELS.glob("*/card.json"))]


def shared_table(faces: FaceSet, votes: np.ndarray | None = None,
                 ensembles: Sequence[Sequence[str]] = ()) -> pd.DataFrame:
    """Put all that is known of the networks in models/ into one table, best first, exhibits last.

    `faces` are all of FER2013; `votes` those of FER+, int (N, 10); an ensemble names networks in models/, whose mean is
    scored too, each face also mirrored.

    To the scores of `results_table`, with F1 by class, it adds ``ferplus`` (the share of the faces where the answer is
    the emotion with most FER+ votes), ``mcnemar_p`` against the network that is best on PublicTest, and ``ms`` for one
    face on one CPU thread. An exhibit has the scores on its own leaky test part; the clean ones are on the faces there
    that it never saw. DataError: a network is not in models/, or was trained on other faces.
    """
    cards = {card.name: card for card in shared_cards()}
    if not cards:
        raise DataError(f"{paths.MODELS}: holds no network; run this in the folder of the project, or name the folder "
                        "of networks in FER_MODELS")
    strangers = [card.name for card in cards.values() if card.fingerprint != faces.fingerprint()]
    if strangers:
        raise DataError(f"{faces.source}: not the faces that {', '.join(strangers)} was trained on; give the full "
                        "FER2013 with --data")
    unknown = sorted({name for names in ensembles for name in names} - set(cards))
    if unknown:
        raise DataError(f"no network in models/ is called {', '.join(unknown)}; there are {', '.join(cards)}")
    ms = milliseconds([card.model for card in cards.values()])
    part, best = faces.of("PrivateTest"), best_card(cards.values())
    best_right = best.answers(part) == part.emotion
    voted = None if votes is None else ferplus_labels(votes)[faces.usage == "PrivateTest"]

    def compared(answers: np.ndarray, with_best: bool = True) -> dict[str, Any]:
        return {"ferplus": None if voted is None else float((answers == voted)[voted != UNLABELLED].mean()),
                "mcnemar_p": mcnemar(answers == part.emotion, best_right)["p"] if with_best else None}

    rows = []
    for card in cards.values():
        rows.append({**_row(card), "epochs": f"{card.best_epoch} of {card.epochs_run}",
                     "minutes": round(card.minutes), "ms": round(ms[card.model], 2),
                     **(compared(card.answers(part), card is not best) if card.honest else {})})
    for names in ensembles:
        chosen = [cards[name] for name in names]
        result = evaluate_networks([card.folder for card in chosen], faces, "PrivateTest", views=2)
        rows.append({"name": f"{'+'.join(names)} mirrored", "model": " + ".join(names),
                     "training": "mean, each face also mirrored", "epochs": "", "exhibit": False,
                     **_score_columns(result), **compared(unpack_answers(result["answers"])),
                     "parameters": sum(card.parameters for card in chosen),
                     "mflops": 2 * sum(card.mflops for card in chosen),
                     "ms": round(2 * sum(ms[card.model] for card in chosen), 2)})
    return _ranked(rows, _SHARED)


def peer_rows(cards: Iterable[Card], faces: FaceSet, file: Path) -> pd.DataFrame:
    """Return scores, ms and source of networks that were trained elsewhere and adopted, then of others that `file` has.

    DataError: a network was trained here, or scored on other faces than these.
    """
    chosen = {card.folder / "model.onnx": card for card in cards}
    for card in chosen.values():
        if not card.adopted:
            raise DataError(f"{card.name}: was trained here; a peer is a network of the command adopt")
        if card.fingerprint != faces.fingerprint():
            raise DataError(f"{card.name}: was scored on other faces than {faces.source}; adopt it again with these")
    ms = milliseconds(chosen)
    rows = [{**_row(card), "source": card.adopted["source"], "ms": round(ms[file], 2)} for file, card in chosen.items()]
    kept = pd.read_csv(file).to_dict("records") if file.is_file() else []
    return pd.DataFrame([*rows, *(row for row in kept if row["name"] not in {one["name"] for one in rows})],
                        columns=_PEER)


def milliseconds(networks: Iterable[str | Path], repeats: int = 200) -> dict[str | Path, float]:
    """Return the median time of networks for one face, on one CPU thread in ONNX Runtime.

    A network is a name of the zoo, whose weights are untrained, or a model.onnx. They are timed in turn, so that other
    work on the machine slows all of them alike.
    """
    import onnxruntime

    sessions = {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        for name in dict.fromkeys(networks):
            path = Path(name) if isinstance(name, Path) else Path(folder) / f"{name}.onnx"
            if isinstance(name, str):
                write_onnx(zoo.build(name), path)
            session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
            taken = session.get_inputs()[0]
            sessions[name] = (session, {taken.name: np.zeros((1, *taken.shape[1:]), np.float32)})
    spent: dict[str | Path, list[float]] = {name: [] for name in sessions}
    for _ in range(repeats):
        for name, (session, inputs) in sessions.items():
            start = time.perf_counter()
            session.run(None, inputs)
            spent[name].append(time.perf_counter() - start)
    return {name: 1000 * float(np.median(seconds)) for name, seconds in spent.items()}


def readme_table(table: pd.DataFrame, names: Sequence[str] = README_NETWORKS) -> str:
    """Return a few networks of a `shared_table` as Markdown in five columns, each with a link to its page."""
    lines = ["| network | PrivateTest | clean | same mix | ms a face |", "|" + "---|" * 5]
    for row in table[table["name"].isin(names)].to_dict("records"):
        name, accuracy = f"[`{row['name']}`](models/{row['name']}/README.md)", _interval(row, "accuracy", "", True)
        lines.append("| " + " | ".join([
            f"*exhibit:* {name}" if row["exhibit"] else name, f"*{accuracy}*" if row["exhibit"] else accuracy,
            _interval(row, "clean_accuracy", "clean_", percent=True), _same_mix(row),
            _number(row["ms"], ".2g")]) + " |")
    return "\n".join(lines)


def full_table(table: pd.DataFrame) -> str:
    """Return the scores and cost of a `shared_table` as Markdown, one line for each network."""
    lines = ["| network | training | epochs | PrivateTest | macro-F1 | clean | memory gap | same mix | "
             "clean macro-F1 | FER+ | p | ms a face | minutes |", "|" + "---|" * 13]
    top = table.loc[~table["exhibit"], "accuracy"].max()
    for row in table.to_dict("records"):
        accuracy = _interval(row, "accuracy", "", percent=True)
        accuracy = f"*{accuracy}*" if row["exhibit"] else f"**{accuracy}**" if row["accuracy"] == top else accuracy
        name = " + ".join(f"`{part}`" for part in row["model"].split(" + "))
        lines.append("| " + " | ".join([
            f"*exhibit:* {name}" if row["exhibit"] else name, row["training"], row["epochs"], accuracy,
            _interval(row, "macro_f1", "macro_f1_"), _interval(row, "clean_accuracy", "clean_", percent=True),
            _gap(row), _same_mix(row),
            _interval(row, "clean_macro_f1", "clean_macro_f1_"), _number(row["ferplus"], ".1%"),
            _number(row["mcnemar_p"], ".1g"), _number(row["ms"], ".2g"), _number(row["minutes"], ".0f")]) + " |")
    return "\n".join(lines)


def index_table(table: pd.DataFrame, models: Path) -> str:
    """Return a narrow table of a `shared_table` as Markdown: one line and one link for each folder in `models`."""
    lines = ["| network | PrivateTest | clean | memory gap | weights | training |", "|" + "---|" * 6]
    for row in table.to_dict("records"):
        folder = models / str(row["name"])
        if not (folder / "card.json").is_file():
            continue  # an ensemble
        accuracy = _interval(row, "accuracy", "", percent=True)
        lines.append("| " + " | ".join([
            f"{'*exhibit:* ' if row['exhibit'] else ''}[{escaped(row['name'])}]({quote(str(row['name']))}/README.md)",
            f"*its own leaky test:* {accuracy}" if row["exhibit"] else accuracy,
            _interval(row, "clean_accuracy", "clean_", percent=True), _gap(row),
            "yes" if (folder / "model.keras").is_file() else "no", escaped(row["training"])]) + " |")
    return "\n".join(lines)


def peers_table(table: pd.DataFrame, peers: pd.DataFrame) -> str:
    """Return the networks of a `shared_table` and those of `peer_rows` as one Markdown table, best first."""
    ours = table[~table["exhibit"] & table["minutes"].notna()]  # without ensembles
    ours = ours.assign(source="trained here, " + ours["training"].str.replace("plain", "no augmentation"))
    rows = pd.concat([ours[_PEER], peers[_PEER].assign(peer=True)]).sort_values("accuracy", ascending=False)
    lines = ["| network | from | PrivateTest | clean | memory gap | ms a face |", "|" + "---|" * 6]
    for row in rows.to_dict("records"):
        name = f"**`{row['name']}`**" if row["peer"] is True else f"`{row['name']}`"
        lines.append("| " + " | ".join([
            name, escaped(row["source"]), _interval(row, "accuracy", "", percent=True),
            _interval(row, "clean_accuracy", "clean_", percent=True), _gap(row), _number(row["ms"], ".2g")]) + " |")
    return "\n".join(lines)


def _interval(row: dict[Hashable, Any], name: str, ends: str, percent: bool = False) -> str:
    return with_interval(row[name], (row[f"{ends}low"], row[f"{ends}high"]), percent)


def _gap(row: dict[Hashable, Any]) -> str:
    """Write the memory gap with its interval, in percentage points."""
    return with_interval(row["memory_gap"], (row["memory_gap_low"], row["memory_gap_high"]), True).replace("%", "")


def _same_mix(row: dict[Hashable, Any]) -> str:
    # An exhibit's own test part has another mix than PrivateTest.
    return "–" if row["exhibit"] else _number(row["clean_same_mix"], ".1%")


def _number(value: float | None, form: str) -> str:
    return "–" if value is None or pd.isna(value) else format(value, form)


def write_between(path: Path, text: str, name: str) -> None:
    """Write a text between the two `MARKS` of this name in a file; DataError if there is no file with such marks."""
    before, after = MARKS.format(f"{name} begins"), MARKS.format(f"{name} ends")
    if not path.is_file():
        raise DataError(f"{path}: not there; run this in the folder of the project, or name that folder in FER_ROOT")
    old = path.read_text(encoding="utf-8")
    if before not in old or after not in old:
        raise DataError(f"{path}: has no lines {before} and {after} to write between")
    head, rest = old.split(before, 1)
    write_text(path, f"{head}{before}\n{text}\n{after}{rest.split(after, 1)[1]}")
