"""The page of a trained network, README.md in its folder, in the form of the Hugging Face Hub."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .. import paths
from ..errors import DataError
from ..files import write_text
from ..labels import EMOTIONS
from ..metrics import clean_same_mix, with_interval
from ..networks.card import Card
from .markdown import code, escaped, one_line, shell_word
from .tables import shared_cards
from .training_text import faces_name, is_fer2013, retrain_command, training_text

_OURS = "<!-- Written by: python -m fer_utils cards."  # in the template


def write_model_cards() -> list[Path]:
    """Write README.md into the folder of each network in models/; return the files.

    DataError, and no page is written: models/ holds no network, or a README.md is there that is not such a page.
    """
    # Of an adopted network its authors know what a page must say.
    pages = {card.folder / "README.md": model_card(card) for card in shared_cards() if not card.adopted}
    if not pages:
        raise DataError(f"{paths.MODELS}: holds no folder with a card.json, so there is no network to write a page of; "
                        "run this in the project's folder, or name the folder of networks in FER_MODELS")
    for file in pages:
        if file.exists() and not (file.is_file() and _OURS in file.read_text(encoding="utf-8", errors="replace")):
            raise DataError(f"{file}: was not written by this command, so it is not replaced; move it away or rename "
                            "it, and run the command again")
    for file, page in pages.items():
        write_text(file, page)
    return list(pages)


def model_card(card: Card) -> str:
    """Return the page of a network as Markdown, with the metadata of the Hugging Face Hub as YAML before it.

    Everything on it is from the card, from `results.csv` in models/ where that holds the same network, and from
    whether the folder holds ``model.keras``.
    """
    # Markdown, so nothing is escaped; what goes into YAML is written as JSON, which is YAML too.
    pages = Environment(loader=FileSystemLoader(Path(__file__).with_name("template")), undefined=StrictUndefined,
                        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False)
    pages.filters |= {filter.__name__: filter for filter in (code, escaped, one_line, shell_word)}
    usage, result = card.reported
    clean = card.clean if card.clean.get("n") and card.clean.get("accuracy") is not None else {"n": 0}
    drawn, real = card.title.startswith("drawn"), is_fer2013(card)
    copies = result["n"] - clean["n"] if clean["n"] else 0
    return pages.get_template("model_card.md").render(
        card=card, config=card.config, emotions=EMOTIONS, usage=usage, result=result, clean=clean, copies=copies,
        # Whoever trains on faces of their own says which licence the network has; the Hub takes a page without one.
        real=real, drawn=drawn, ours=(real or drawn) and not card.values.get("adopted"),
        faces=faces_name(card), labelled="FER2013" if real else "the faces that it learnt from",
        weights=(card.folder / "model.keras").is_file(),
        scores=_score_rows(card), classes=_class_rows(result), weakest=_weakest(result), rarest=_rarest(result),
        metadata=_results(card), training=training_text(card), command=retrain_command(card),
        measured=_measured(card, usage))


def _score_rows(card: Card) -> list[dict[str, Any]]:
    """Return the rows of the table of scores: the part, its faces, accuracy and macro-F1."""
    rows = []
    for usage, part in card.scores.items():
        rows.append(_score_row(usage, part))
        clean = part.get("clean") or {}
        if not clean.get("n"):
            continue
        rows.append(_score_row(f"{usage}, clean", clean))
        if not np.isnan(same_mix := clean_same_mix(part)):
            rows.append({"part": f"{usage}, clean, same mix", "n": f"{clean['n']:,}", "accuracy": f"{same_mix:.1%}",
                         "macro_f1": "–"})
    return rows


def _score_row(name: str, part: dict[str, Any]) -> dict[str, Any]:
    return {"part": name, "n": f"{part['n']:,}",
            "accuracy": with_interval(part.get("accuracy"), part.get("accuracy_interval"), percent=True),
            "macro_f1": with_interval(part.get("macro_f1"), part.get("macro_f1_interval"))}


def _class_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """Return the rows of the table of classes: emotion, faces, F1, precision and recall."""
    rows = []
    for emotion in EMOTIONS:
        scores = result["per_class"][emotion]
        rows.append({"emotion": emotion, "n": f"{scores['support']:,}" if scores.get("support") is not None else "–",
                     "f1": with_interval(scores["f1"], scores.get("f1_interval")),
                     **{name: with_interval(scores.get(name), None) for name in ("precision", "recall")}})
    return rows


def _weakest(result: dict[str, Any]) -> list[tuple[str, float]]:
    """Return the two emotions with the lowest F1, lowest first."""
    f1 = {emotion: result["per_class"][emotion]["f1"] for emotion in EMOTIONS}
    return sorted(f1.items(), key=lambda item: item[1])[:2]


def _rarest(result: dict[str, Any]) -> tuple[str, int, int]:
    """Return the emotion with the fewest faces, their number, and how many of them are clean (0: not known)."""
    faces = np.sum(result["confusion"], axis=1)
    which = int(faces.argmin())
    clean = (result.get("clean") or {}).get("confusion")
    return EMOTIONS[which], int(faces[which]), int(np.sum(clean[which])) if clean else 0


def _results(card: Card) -> list[dict[str, Any]]:
    """Return the entries of the metadata's ``model-index``.

    Those of an exhibit, and those on other faces than FER2013, are under a data set of their own, so that no list of
    results ranks them with others.
    """
    kind, name = "fer2013" if is_fer2013(card) else "other-faces", faces_name(card)
    if not card.honest:
        kind, name = f"{kind}-leaky", f"{name}, leaky protocol, exhibit"
    entries = []
    for usage, part in card.scores.items():
        for split, scores in ((usage, part), (f"{usage}, clean", part.get("clean") or {})):
            metrics = [{"type": kind_of, "value": scores[key], "name": label} for key, kind_of, label in
                       (("accuracy", "accuracy", "Accuracy"), ("macro_f1", "f1", "Macro-F1"))
                       if scores.get(key) is not None]
            if metrics:
                entries.append({"dataset": {"type": kind, "name": name, "split": split}, "metrics": metrics})
    return entries


def _measured(card: Card, usage: str) -> dict[str, Any]:
    """Return what `results.csv` adds to a card: milliseconds, agreement with FER+, the scores with mirrored faces.

    A row of other weights than the card's (the network was trained again since) adds nothing.
    """
    found: dict[str, Any] = dict.fromkeys(("ms", "ferplus", "mirrored"))
    file = paths.MODELS / "results.csv"
    if card.folder.parent != paths.MODELS or not file.is_file():
        return found
    rows = _measured_rows(file)
    row = rows.get(card.name)
    if row is None or abs(row["accuracy"] - card.reported[1]["accuracy"]) > 1e-5:
        return found
    if not np.isnan(row["ms"]):
        found["ms"] = f"{row['ms']:.2g}"
    if not np.isnan(row["ferplus"]):
        found["ferplus"] = f"{row['ferplus']:.1%}"
    if mirrored := rows.get(f"{card.name} mirrored"):
        found["mirrored"] = {
            "part": f"{usage}, each face also mirrored", "n": f"{card.reported[1]['n']:,}",
            "accuracy": with_interval(mirrored["accuracy"], (mirrored["low"], mirrored["high"]), percent=True),
            "macro_f1": with_interval(mirrored["macro_f1"], (mirrored["macro_f1_low"], mirrored["macro_f1_high"]))}
    return found


def _measured_rows(file: Path) -> dict[str, dict[Hashable, Any]]:
    """Return the rows of results.csv by their names; DataError where it is another or a damaged table."""
    remedy = "fetch it again, make it anew with: python -m fer_utils results, or move it away"
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError) as error:  # pandas's own and UnicodeDecodeError are ValueErrors
        raise DataError(f"{file}: not readable as CSV ({str(error).strip()}); {remedy}") from error
    numbers = ["accuracy", "low", "high", "macro_f1", "macro_f1_low", "macro_f1_high", "ms", "ferplus"]
    if missing := [name for name in ("name", *numbers) if name not in table]:
        raise DataError(f"{file}: has no column {', '.join(missing)}; {remedy}")
    if wrong := [name for name in numbers if table[name].dtype.kind not in "if" and table[name].notna().any()]:
        raise DataError(f"{file}: the column {wrong[0]} holds other things than numbers; {remedy}")
    return {str(row["name"]): row for row in table.to_dict("records")}
