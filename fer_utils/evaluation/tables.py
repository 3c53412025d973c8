"""The table of results, for notebook 04, the README and models/README.md."""
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from .. import paths
from ..data.copies import clean_mask
from ..data.ferplus import ferplus_labels
from ..errors import DataError
from ..labels import EMOTIONS, UNLABELLED
from ..metrics import clean_same_mix, mcnemar, scores, with_interval
from ..networks import zoo
from ..networks.backend import import_keras
from ..networks.runs import answers, best_card, ensemble_probabilities, read_card


def results_table(cards, usage="PrivateTest"):
    """Lay the cards of trained networks out as one table, best first, exhibits last.

    Parameters
    ----------
    cards : iterable of dict
        As `read_card` gives them.
    usage : str

    Returns
    -------
    DataFrame
        name, label (the network and what sets its training apart, for figures), model, protocol, balance, augment,
        seed, scored_on, accuracy, low, high, macro_f1, macro_f1_low, macro_f1_high, clean_accuracy,
        clean_same_mix (clean accuracy if the classes were mixed as among all faces scored), clean_macro_f1,
        parameters, mflops, epochs, minutes, data. Under the leaky protocol the scores are those of its
        own leaky test part, as projects A and E reported them; where the data has no labels for `usage`, those of
        the part that training chose by.
    """
    rows = []
    for card in cards:
        exhibit = card["config"]["protocol"] == "leaky"
        scored_on = "leaky test" if exhibit else usage
        if scored_on not in card["scores"]:
            scored_on = next(iter(card["scores"]))
        part = card["scores"][scored_on]
        clean = part.get("clean") or {}
        rows.append({
            "name": card["name"], "label": _label(card), "model": card["model"],
            "protocol": card["config"]["protocol"], "balance": card["config"]["balance"],
            "augment": card["config"]["augment"], "seed": card["config"]["seed"],
            "scored_on": scored_on, "accuracy": part["accuracy"],
            "low": part["accuracy_interval"][0], "high": part["accuracy_interval"][1],
            "macro_f1": part["macro_f1"], "macro_f1_low": part["macro_f1_interval"][0],
            "macro_f1_high": part["macro_f1_interval"][1], "clean_accuracy": clean.get("accuracy"),
            "clean_same_mix": clean_same_mix(part), "clean_macro_f1": clean.get("macro_f1"),
            "parameters": card["parameters"], "mflops": card["mflops"],
            "epochs": card["epochs_run"], "minutes": round(card["seconds"] / 60, 1), "data": card["data"]["title"]})
    table = pd.DataFrame(rows)
    if len(table):
        table = table.sort_values(["protocol", "accuracy"], ascending=[False, False], kind="stable")
    return table.reset_index(drop=True)


def _label(card):
    config = card["config"]
    balance = {"none": "", "over": "over-sampled", "under": "under-sampled", "class_weights": "class weights"}
    words = [config["model"], config["augment"].replace("none", ""),
             balance.get(config["balance"], config["balance"]), "distilled" if config.get("teachers") else "",
             "averaged" if card.get("averaged") else "", f"seed {config['seed']}" if config["seed"] else ""]
    return ", ".join(word for word in words if word)


def seed_table(cards, usage="PrivateTest"):
    """Lay out how far scores spread between runs of one recipe that differ in nothing but their seed.

    Parameters
    ----------
    cards : iterable of dict
        As `read_card` gives them.
    usage : str

    Returns
    -------
    DataFrame
        A row for each honest recipe that several seeds were trained by: ``label``, ``seeds`` (how many), and the
        ``mean``, ``sd`` (sample standard deviation), ``lowest`` and ``highest`` of their accuracies, ``half_width``
        (half their mean 95 % bootstrap interval), and ``macro_f1`` and ``macro_f1_sd``. Empty if there is none.
    """
    recipes = {}
    for card in cards:
        if card["config"]["protocol"] == "official" and usage in card["scores"] and not card.get("averaged"):
            # An older card lacks the fields that came later, which are off by default.
            key = str(sorted((name, value) for name, value in card["config"].items() if value and name != "seed"))
            recipes.setdefault((key, card["data"]["fingerprint"]), {})[card["config"]["seed"]] = card
    rows = []
    for runs in recipes.values():
        parts = [card["scores"][usage] for card in runs.values()]
        if len(parts) < 2:
            continue
        accuracy, macro_f1 = (np.array([part[name] for part in parts]) for name in ("accuracy", "macro_f1"))
        config = next(iter(runs.values()))["config"] | {"seed": 0}
        rows.append({"label": _label({"config": config}), "seeds": len(parts), "mean": accuracy.mean(),
                     "sd": accuracy.std(ddof=1), "lowest": accuracy.min(), "highest": accuracy.max(),
                     "half_width": np.mean([np.ptp(part["accuracy_interval"]) / 2 for part in parts]),
                     "macro_f1": macro_f1.mean(), "macro_f1_sd": macro_f1.std(ddof=1)})
    return pd.DataFrame(rows)


MARKS = "<!-- {} of: python -m fer_utils results -->"


def shared_cards():
    """Return the cards of the networks in models/, each with its ``folder``."""
    folders = sorted(p.parent for p in paths.MODELS.glob("*/card.json"))
    return [{**read_card(folder), "folder": str(folder)} for folder in folders]


def milliseconds(names, repeats=200):
    """Time networks on one face and one CPU thread in ONNX Runtime, in turn so that what else runs slows all alike.

    Parameters
    ----------
    names : sequence of str
        Keys of `zoo.NETWORKS`; untrained weights take as long as trained ones.

    Returns
    -------
    dict of str to float
        Median milliseconds.
    """
    import onnxruntime

    from ..networks.export import write_onnx

    import_keras()
    sessions = {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        for name in dict.fromkeys(names):
            path = Path(folder) / f"{name}.onnx"
            write_onnx(zoo.build(name), path)
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            face = np.zeros((1, *zoo.network(name).spec.input_shape), np.float32)
            sessions[name] = (session, {session.get_inputs()[0].name: face})
    spent = {name: [] for name in sessions}
    for _ in range(repeats):
        for name, (session, face) in sessions.items():
            start = time.perf_counter()
            session.run(None, face)
            spent[name].append(time.perf_counter() - start)
    return {name: 1000 * float(np.median(seconds)) for name, seconds in spent.items()}


def measure(faces, ferplus=None, ensembles=()):
    """Lay out what is known of every shared network.

    Parameters
    ----------
    faces : FaceSet
        All of FER2013.
    ferplus : ndarray, optional
        FER+'s votes (`audit.read_ferplus`), int (N, 10).
    ensembles : sequence of sequence of str
        Networks in models/ whose mean is scored too, each face also mirrored.

    Returns
    -------
    DataFrame
        A row a network, honest ones first, best first: its training, PrivateTest ``accuracy``, ``low``, ``high``,
        ``macro_f1`` and its interval, the same on clean faces and the accuracy there if their classes were mixed as in
        the whole part (``clean_same_mix``), ``f1_<emotion>``, ``ferplus`` (share of the faces where its answer is
        FER+'s plurality vote), ``mcnemar_p`` against the network that is best on PublicTest, ``parameters``,
        ``mflops``, ``ms`` (a face, one CPU thread) and training ``minutes``. A leaky network has its scores on its
        own leaky test part; its clean ones are of the faces there that it never saw.

    Raises
    ------
    DataError
        There is no shared network, or none of an ensemble's name, or these are not the faces that they were trained
        on.
    """
    cards = shared_cards()
    part = faces.of("PrivateTest")
    strangers = [card["name"] for card in cards if card["data"]["fingerprint"] != faces.fingerprint()]
    if strangers or not cards:
        raise DataError(f"{faces.source}: not the faces that {', '.join(strangers) or 'any network in models/'} was "
                        "trained on; give the full FER2013 with --data")
    unknown = sorted({name for names in ensembles for name in names} - {card["name"] for card in cards})
    if unknown:
        raise DataError(f"no network in models/ is called {', '.join(unknown)}; there are "
                        f"{', '.join(card['name'] for card in cards)}")
    voted = None if ferplus is None else ferplus_labels(ferplus)[faces.usage == "PrivateTest"]
    best = best_card(cards)
    best_right = answers(best, part) == part.emotion
    ms = milliseconds([card["model"] for card in cards])
    rows = []
    for card in cards:
        exhibit = card["config"]["protocol"] == "leaky"
        result = card["scores"]["leaky test" if exhibit else "PrivateTest"]
        guess = None if exhibit else answers(card, part)
        rows.append({"name": card["name"], "model": card["model"], "training": _training(card),
                     "epochs": f"{card['best_epoch']} of {card['epochs_run']}", **_score_columns(result),
                     **_comparison(guess, part, voted, None if card is best else best_right),
                     "parameters": card["parameters"], "mflops": card["mflops"], "ms": round(ms[card["model"]], 2),
                     "minutes": round(card["seconds"] / 60), "exhibit": exhibit})
    for names in ensembles:
        chosen = [next(card for card in cards if card["name"] == name) for name in names]
        probabilities = ensemble_probabilities([card["folder"] for card in chosen], part.pixels, flip=True)
        result = scores(part.emotion, probabilities, clean_mask(faces, "PrivateTest"))
        rows.append({"name": f"{'+'.join(names)} mirrored", "model": " + ".join(names),
                     "training": "mean, each face also mirrored", "epochs": "", **_score_columns(result),
                     **_comparison(probabilities.argmax(axis=1), part, voted, best_right),
                     "parameters": sum(card["parameters"] for card in chosen),
                     "mflops": 2 * sum(card["mflops"] for card in chosen),
                     "ms": round(2 * sum(ms[card["model"]] for card in chosen), 2), "minutes": None, "exhibit": False})
    return pd.DataFrame(rows).sort_values(["exhibit", "accuracy"], ascending=[True, False]).reset_index(drop=True)


def _training(card):
    config = card["config"]
    words = [{"none": "", "over": "over-sampled", "class_weights": "class weights"}.get(config["balance"],
                                                                                        config["balance"]),
             "" if config["augment"] == "none" else f"augmentation {config['augment']}",
             "distilled" if config.get("teachers") else "", "averaged" if card.get("averaged") else "",
             f"seed {config['seed']}" if config["seed"] else ""]
    text = ", ".join(word for word in words if word) or "plain"
    return f"{'leaky protocol, ' if config['protocol'] == 'leaky' else ''}{text}"


def _score_columns(result):
    clean = result.get("clean") or {}
    low, high = clean.get("accuracy_interval") or (None, None)
    macro_f1_low, macro_f1_high = clean.get("macro_f1_interval") or (None, None)
    return {"accuracy": result["accuracy"], "low": result["accuracy_interval"][0],
            "high": result["accuracy_interval"][1], "macro_f1": result["macro_f1"],
            "macro_f1_low": result["macro_f1_interval"][0], "macro_f1_high": result["macro_f1_interval"][1],
            "clean_accuracy": clean.get("accuracy"), "clean_low": low, "clean_high": high,
            "clean_same_mix": clean_same_mix(result), "clean_macro_f1": clean.get("macro_f1"),
            "clean_macro_f1_low": macro_f1_low, "clean_macro_f1_high": macro_f1_high,
            **{f"f1_{name}": result["per_class"][name]["f1"] for name in EMOTIONS}}


def _comparison(guess, part, voted, best_right):
    """Compare a network's answers with FER+'s votes and with the best network's; None where that is undefined."""
    known = None if voted is None else voted != UNLABELLED
    return {"ferplus": None if guess is None or voted is None else float((guess == voted)[known].mean()),
            "mcnemar_p": None if guess is None or best_right is None
            else mcnemar(guess == part.emotion, best_right)["p"]}


def readme_table(table):
    """Return a results table as Markdown: scores and cost, one line a network."""
    lines = ["| network | training | epochs | PrivateTest | macro-F1 | clean | same mix | clean macro-F1 | "
             "FER+ | p | ms a face | minutes |", "|" + "---|" * 12]
    top = table.loc[~table["exhibit"], "accuracy"].max()
    for row in table.itertuples():
        accuracy = with_interval(row.accuracy, (row.low, row.high), percent=True)
        accuracy = f"*{accuracy}*" if row.exhibit else f"**{accuracy}**" if row.accuracy == top else accuracy
        name = " + ".join(f"`{part}`" for part in row.model.split(" + "))
        lines.append("| " + " | ".join([
            f"*exhibit:* {name}" if row.exhibit else name, row.training, row.epochs, accuracy,
            with_interval(row.macro_f1, (row.macro_f1_low, row.macro_f1_high)),
            with_interval(row.clean_accuracy, (row.clean_low, row.clean_high), percent=True),
            "–" if row.exhibit else _percent(row.clean_same_mix),
            with_interval(row.clean_macro_f1, (row.clean_macro_f1_low, row.clean_macro_f1_high)),
            _percent(row.ferplus), _number(row.mcnemar_p, ".1g"), _number(row.ms, ".2g"),
            _number(row.minutes, ".0f")]) + " |")
    return "\n".join(lines)


def class_table(table):
    """Return F1 by class, and each network's size, as Markdown."""
    lines = ["| network | training | " + " | ".join(EMOTIONS) + " | parameters | MFLOPs |", "|" + "---|" * 11]
    for row in table.to_dict("records"):
        name = f"*exhibit:* {row['model']}" if row["exhibit"] else row["model"]
        lines.append("| " + " | ".join([name, row["training"], *(f"{row[f'f1_{e}']:.2f}" for e in EMOTIONS),
                                        f"{row['parameters']:,}", f"{row['mflops']:,.1f}"]) + " |")
    return "\n".join(lines)


def _percent(value):
    return "–" if value is None or pd.isna(value) else f"{value:.1%}"


def _number(value, form):
    return "–" if value is None or pd.isna(value) else format(value, form)


def write(path, text, name):
    """Put a text between a file's two marks, which name what made it.

    Raises
    ------
    DataError
        The file has no such marks.
    """
    before, after = MARKS.format(f"{name} begins"), MARKS.format(f"{name} ends")
    old = path.read_text(encoding="utf-8")
    if before not in old or after not in old:
        raise DataError(f"{path}: has no lines {before} and {after} to write between")
    head, rest = old.split(before, 1)
    path.write_text(f"{head}{before}\n{text}\n{after}{rest.split(after, 1)[1]}", encoding="utf-8")
