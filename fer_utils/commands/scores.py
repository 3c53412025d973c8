"""Commands of scores: evaluate, robustness, audit-groups, suspicious-labels, results, cards, push."""

import argparse
import contextlib
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .outcome import Outcome, command, records, score_line

if TYPE_CHECKING:
    import pandas as pd


def add_scores_commands(add: Any) -> None:
    """Add these commands to the command line."""
    usages = ["Training", "PublicTest", "PrivateTest"]
    sub = command(add, "evaluate", evaluate_command, needs=("keras",))
    sub.add_argument("run", metavar="NAME_OR_RUN_DIR", help="names joined by + are an ensemble")
    sub.add_argument("--views", type=int, default=1, choices=[1, 2, 10],
                     help="take the mean of its answers to so many views of a face (test-time augmentation): 2 with "
                          "its mirror image, 10 with both also shifted to four sides; default: 1")
    sub.add_argument("--flip", dest="views", action="store_const", const=2, help="the same as --views 2")
    sub.add_argument("--usage", default="PrivateTest", choices=usages)

    sub = command(add, "robustness", robustness_command, needs=("sklearn",))
    sub.add_argument("run", metavar="NAME_OR_RUN_DIR")
    sub.add_argument("--usage", default="PrivateTest", choices=usages)
    sub.add_argument("--clean", action="store_true", help="leave out faces of which a copy appears in Training")

    _add_audit(command(add, "audit-groups", audit_groups_command, data=False))

    sub = command(add, "suspicious-labels", suspicious_labels_command, needs=("keras",))
    sub.add_argument("--out", type=Path, default=Path("suspicious_labels.csv"), metavar="CSV",
                     help="the table to write; default: suspicious_labels.csv")
    sub.add_argument("--model", default="fer_net_tiny", metavar="NAME", help="the network to train on each fold")
    sub.add_argument("--folds", type=int, default=4, metavar="K", help="default: 4")
    sub.add_argument("--epochs", type=int, default=15, help="of each fold's training; default: 15")
    sub.add_argument("--sample", type=int, metavar="N", help="only a stratified sample of N faces of the data")
    sub.add_argument("--quiet", action="store_true", help="no progress bar")

    sub = command(add, "results", results_command, needs=("keras",))
    sub.add_argument("--ensemble", action="append", default=[], metavar="NAME+NAME", help="score their mean, too")
    sub.add_argument("--peer", action="append", default=[], metavar="RUN",
                     help="an adopted network for the table of peers; what models/peers.csv has of others is kept")

    command(add, "cards", cards_command, data=False)

    sub = command(add, "push", push_command, data=False)
    sub.add_argument("run", metavar="NAME_OR_RUN_DIR")
    sub.add_argument("repo", metavar="OWNER/NAME", help="its repository there; made if it is not there")
    sub.add_argument("--private", action="store_true", help="only its owner sees it")
    sub.add_argument("--exhibit", action="store_true", help="upload a network of the leaky protocol, too")
    sub.add_argument("--dry-run", action="store_true", help="say what would be uploaded, and upload nothing")


def _add_audit(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("table", type=Path, metavar="TABLE", help="CSV with a column of photos and one of groups")
    sub.add_argument("--group", default="group", metavar="COLUMN", help="default: group")
    sub.add_argument("--photo", metavar="COLUMN", help="default: photo, source, file, path or image")
    sub.add_argument("--emotion", metavar="COLUMN", help="true emotions; default: emotion, where the table has it and "
                                                         "no probabilities")
    sub.add_argument("--faces", type=Path, metavar="CSV", help="a faces.csv of event or of the photo app; without it, "
                                                               "the photos are looked at")
    sub.add_argument("--photos", type=Path, metavar="DIR", help="where the photos are; default: beside the table")
    sub.add_argument("--crops", action="store_true", help="each photo is a face already")
    sub.add_argument("--model", default="fer_net", metavar="NAME")
    sub.add_argument("--detector", default="auto", help="yunet, haar, or auto: YuNet where its file is")
    sub.add_argument("--out", type=Path, metavar="CSV", help="write the numbers of each group there")
    sub.add_argument("--figure", type=Path, metavar="FILE", help="draw them, as FILE.png and FILE.pdf")


def evaluate_command(args: Namespace) -> Outcome:
    """Score a trained network."""
    from .. import metrics
    from ..data import ferplus, load
    from ..errors import DataError
    from ..evaluation import evaluate

    faces = load.load(args.data)
    with contextlib.suppress(DataError):  # they have no votes
        faces = faces if faces.drawn else ferplus.with_votes(faces)
    result = evaluate.evaluate_run(args.run, faces, args.usage, args.views)
    shown = {1: "", 2: ", each face also mirrored", 10: ", ten views of each face"}[args.views]
    lines = [f"{result['model']} on {result['data']}{shown}", score_line(args.usage, result), "",
             metrics.per_class_table(result).round(3).to_string()]
    shares = result.get("ferplus")
    if shares and shares["accuracy"] is not None:
        clean = "" if shares["clean_accuracy"] is None else f" ({shares['clean_accuracy']:.1%} without copies)"
        lines.insert(2, f"It answers what most of FER+'s annotators saw on {shares['accuracy']:.1%} of the faces"
                        f"{clean}.")
    if result["exhibit"]:
        lines.insert(0, "EXHIBIT: trained under the leaky protocol, so on most of these very faces.")
    if result["adopted"]:
        lines.insert(1, "It was trained elsewhere, on data that are not known: where these faces are among them, the "
                        "score flatters.")
    elif not result["same_data"]:
        lines.insert(1, "It was trained on other data than these (another file, order or sample): where its training "
                        "faces are among these, the score flatters.")
    return Outcome(result, "\n".join(lines))


def robustness_command(args: Namespace) -> Outcome:
    """Score a network on faces cropped, turned, lit or hidden."""
    from ..data import load
    from ..evaluation import robustness
    from ..vision.predict import Predictor

    faces = load.load(args.data)
    predictor = Predictor(args.run, "haar")
    table = robustness.robustness_table(predictor, faces, args.usage, args.clean)
    result = {"model": predictor.card.name, "usage": args.usage, "clean": args.clean, "data": faces.title,
              "mild_accuracy": float(table.accuracy[table.mild].mean()),
              "changes": records(table)}
    kept = " without copies of training faces" if args.clean else ""
    return Outcome(result, f"{result['model']} on {args.usage} of {faces.title}{kept}\n"
                           f"{table.round(3).to_string(index=False)}\n"
                           "accuracy, mean of the faces as they are and the mild changes: "
                           f"{result['mild_accuracy']:.1%}")


def audit_groups_command(args: Namespace) -> Outcome:
    """Compare accuracy and expressions between groups that you have labelled."""
    from .. import files
    from ..evaluation import groups

    if args.figure and args.figure.suffix not in ("", ".png", ".pdf"):
        raise ValueError(f"{args.figure}: a figure is written as .png and .pdf; name one of them")
    labels = groups.read_group_table(args.table, args.group, args.photo, args.emotion)
    if labels.has_faces and (args.faces or args.photos or args.crops):
        raise ValueError(f"{args.table} has the network's answers already; leave out --faces, --photos and --crops")
    not_read: list[str] = []
    copies: list[str] = []
    if labels.has_faces:
        faces, without = labels.rows, 0
    else:
        photos = labels.rows["photo"]
        answers = groups.read_answers(args.faces) if args.faces else _look_at(args, photos, not_read, copies)
        faces, without = groups.join_answers(labels, answers)
        without -= len(copies)
    unseen = sorted(set(labels.rows["group"]) - set(faces["group"]))
    result = groups.audit_groups(faces) | {"photos_without_a_face": without, "copies": copies,
                                           "groups_without_a_face": unseen, "not_read": not_read}
    text = groups.audit_text(result)
    text += "".join(f"\n{name}: no face of this group was found" for name in unseen)
    if copies:
        text += f"\n{len(copies)} photos are not counted: they are copies of others, as {copies[0]}"
    if without:
        text += f"\n{without} photos of the table are not counted: they are without a face, or not in --faces"
    unused = int((labels.rows["true"] >= 0).sum() - (faces["true"] >= 0).sum())
    if unused:
        text += f"\n{unused} true emotions are not used: their photos have no face, or several, and one emotion"
    if args.out:
        files.write_csv(args.out, groups.flat_table(result), float_format="%.6g")
        text += f"\nnumbers: {args.out}"
    if args.figure:
        text += f"\nfigure: {_draw_groups(args.figure, result)}"
    text += "".join(f"\nnot read: {error}" for error in not_read)
    return Outcome(result, text, failed=bool(not_read))


def suspicious_labels_command(args: Namespace) -> Outcome:
    """Find labels of Training that look wrong to networks that have not learnt from these faces."""
    from .. import files
    from ..data import ferplus, load
    from ..errors import DataError
    from ..evaluation import suspicious
    from ..networks.recipes import TrainConfig

    if args.out.is_dir():
        raise ValueError(f"--out {args.out}: is a folder; name a file")  # before trainings of hours
    whole = load.load(args.data)
    try:
        whole = ferplus.with_votes(whole)
    except DataError:
        pass  # the text says that there are none
    rows = load.sample_rows(whole, len(whole) if args.sample is None else args.sample)
    faces = whole[rows]
    # A moving average of the weights would lag behind in so few steps.
    config = TrainConfig.for_model(args.model, epochs=args.epochs, ema=0.0)
    found = suspicious.out_of_fold(config, faces, args.folds, None if args.quiet else "bar",
                                   lambda fold, run: print(f"fold {fold}: {run}", file=sys.stderr))
    counts = suspicious.suspicion_counts(faces, found)
    table = suspicious.suspicious_table(faces, found)
    files.write_csv(args.out, table.assign(face=rows[table["face"]]), float_format="%.6g")
    text = suspicious.suspicion_text(counts) + f"\n\ntable: {args.out}"
    if len(rows) < len(whole):
        text += f"\nIt is of a sample: {len(rows):,} of {len(whole):,} faces."
    return Outcome({**counts, "table": args.out, "runs": list(found.runs)}, text, failed=not counts["usable"])


def _look_at(args: Namespace, photos: "pd.Series", not_read: list[str], copies: list[str]) -> "pd.DataFrame":
    """Classify the faces of a table's photos; the paths are relative to --photos, else to the table.

    What is wrong with those that cannot be read goes into `not_read`; photos that equal an earlier one go into
    `copies`, and are not looked at: counted twice, they would make intervals too narrow.
    """
    import hashlib

    import pandas as pd
    from tqdm.auto import tqdm

    from ..errors import DataError
    from ..vision.detect import WholePicture
    from ..vision.images import look_at_photo
    from ..vision.predict import Predictor

    folder = args.photos or args.table.parent
    if missing := [name for name in photos if not (folder / name).is_file()]:
        raise DataError(f"{len(missing)} of {len(photos)} photos of the table are not in {folder}, as {missing[0]}; "
                        "say where they are by --photos, or correct their names")
    predictor = Predictor(args.model, WholePicture() if args.crops else args.detector)
    rows, seen = [], set()
    for name in tqdm(photos, desc="photos", leave=False, disable=None):
        with contextlib.suppress(OSError), open(folder / name, "rb") as file:
            mark = hashlib.file_digest(file, "sha256").digest()
            if mark in seen:
                copies.append(name)
                continue
            seen.add(mark)
        faces, error = look_at_photo(folder / name, predictor.faces)
        if faces is None:
            not_read.append(error)
        rows += [(name, int(face.probabilities.argmax())) for face in faces or ()]
    return pd.DataFrame(rows, columns=["photo", "predicted"])


def _draw_groups(file: Path, result: dict[str, Any]) -> Path:
    """Draw accuracy by group; without true emotions, the expression of the largest difference."""
    from .. import plots
    from ..evaluation import groups

    what = "accuracy" if result["accuracy"] else (result["shares"]["largest"] or {}).get("of", "happy")
    table = groups.flat_table(result).rename(columns={what: "value", f"{what}_low": "low", f"{what}_high": "high"})
    table["enough"] = table["enough_for_accuracy" if result["accuracy"] else "enough_for_shares"]
    if result["accuracy"]:
        table["faces"] = table["labelled"]
    title = what if result["accuracy"] else f"share of {what}"
    return plots.save_figure(plots.plot_groups(table.dropna(subset="value"), title), file.stem, file.parent)[0]


def results_command(args: Namespace) -> Outcome:
    """Measure all networks in models/ and write the tables in README, docs/ and models/."""
    from .. import files, paths
    from ..data import ferplus, load
    from ..evaluation import model_card, tables
    from ..networks.runs import read_card

    faces = load.load(args.data)
    peers = tables.peer_rows(map(read_card, args.peer), faces, paths.MODELS / "peers.csv")
    votes = ferplus.find_ferplus(args.data)
    ensembles = [names.split("+") for names in args.ensemble]
    table = tables.shared_table(faces, ferplus.read_ferplus(votes, faces) if votes else None, ensembles)
    files.write_csv(paths.MODELS / "results.csv", table, float_format="%.6g")
    tables.write_between(paths.ROOT / "README.md", tables.readme_table(table), "results")
    tables.write_between(paths.ROOT / "docs" / "results.md", tables.full_table(table), "results")
    files.write_csv(paths.MODELS / "peers.csv", peers, float_format="%.6g")
    tables.write_between(paths.ROOT / "docs" / "results.md", tables.peers_table(table, peers), "peers")
    tables.write_between(paths.MODELS / "README.md", tables.index_table(table, paths.MODELS), "networks")
    model_card.write_model_cards()
    return Outcome({"table": records(table)}, tables.full_table(table))


def cards_command(args: Namespace) -> Outcome:
    """Write the page of each network in models/, its README.md."""
    from ..evaluation import model_card

    written = model_card.write_model_cards()
    return Outcome({"cards": written}, "\n".join(map(str, written)))


def push_command(args: Namespace) -> Outcome:
    """Upload a trained network and its page to the Hugging Face Hub."""
    from ..lab import hub

    done = hub.push_model(args.run, args.repo, args.private, args.exhibit, args.dry_run)
    return Outcome({"repo": args.repo, "dry_run": args.dry_run, "done": done}, done)
