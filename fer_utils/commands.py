"""What the commands of the command line do: functions of their arguments, which return a result and its text."""

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from .data.faceset import FaceSet
    from .networks.card import Card
    from .vision.predict import Face

_SOFTWARE = "fer_utils predict"


@dataclass(frozen=True)
class Outcome:
    """What a command found."""

    result: dict[str, Any]  # what ``--json`` prints
    text: str  # the same for people
    failed: bool = False  # some of its inputs did: the exit status is 1


Command = Callable[[Namespace], Outcome]


def data_command(args: Namespace) -> Outcome:
    """Say what data set was found, class by usage."""
    from .data import copies, ferplus, load

    if args.download:
        print(f"FER2013 is in {load.download()}", file=sys.stderr)
    votes = ferplus.download_ferplus() if args.ferplus else None
    if votes:
        print(f"FER+ is in {votes}", file=sys.stderr)
    faces = load.load(args.path)
    counts = faces.counts()
    result: dict[str, Any] = {
        "source": faces.source, "layout": faces.layout, "total": len(faces),
        "usage": {usage: column for usage, column in counts.to_dict().items() if any(column.values())},
        "unlabelled": int((~faces.labelled).sum()), "exact_copies": copies.exact_copies(faces.pixels),
        "test_faces_in_training": copies.copies_in_training(faces)}
    counts.loc["all"] = counts.sum()
    lines = [f"{faces.title}: {len(faces):,} faces from {faces.source} ({faces.layout})", "",
             counts.to_string(), ""]
    if result["unlabelled"]:
        lines.append(f"{result['unlabelled']:,} faces are unlabelled")
    lines += [f"{result['exact_copies']:,} rows are exact copies of another row",
              *(f"{n:,} {usage} faces appear in Training byte for byte"
                for usage, n in result["test_faces_in_training"].items())]
    if votes:
        result["ferplus"] = votes
        lines.append(_ferplus_line(votes, faces))
    if faces.drawn:
        lines += ["", "No data set was found, so faces are drawn. `python -m fer_utils data --download` fetches "
                      "FER2013; data/README.md says how to get it by hand."]
    return Outcome(result, "\n".join(lines))


def _ferplus_line(votes: Path, faces: "FaceSet") -> str:
    """Say whether FER+'s votes belong to these faces."""
    from .data import ferplus
    from .errors import DataError

    try:
        agreement = ferplus.ferplus_agreement(faces.emotion, ferplus.read_ferplus(votes, faces))
    except DataError as error:
        return f"FER+ does not fit these faces: {error}"
    share = float(agreement["agreement"].to_numpy()[-1])
    return f"FER+'s ten annotators agree with {share:.1%} of the labels"


def train_command(args: Namespace) -> Outcome:
    """Train one network under one protocol."""
    from .data import load
    from .networks import recipes, train

    options: dict[str, Any] = {field.name: getattr(args, field.name, None) for field in fields(recipes.TrainConfig)}
    named = {name: json_or_text(value) for name, value in args.parameter}
    twice = sorted(name for name in named if options.get(name) is not None)
    if twice:
        raise ValueError(f"{', '.join(twice)} given twice: as -p and as an option of its own")
    config = recipes.TrainConfig.for_model(**options | named)
    faces = load.load(args.data)
    if args.sample:
        faces = load.sample(faces, args.sample)
    return _trained(train.train(config, faces, args.out, None if args.quiet else "bar", args.tensorboard))


def average_command(args: Namespace) -> Outcome:
    """Average the weights of trained runs of one network into a new one."""
    from .data import load
    from .networks import average

    return _trained(average.average(args.runs, load.load(args.data), args.out))


def _trained(folder: Path) -> Outcome:
    from .networks.runs import read_card

    card: Card = read_card(folder)
    lines = [f"{card.model} on {card.title}, {card.split}: best epoch {card.best_epoch} of {card.epochs_run}, "
             f"{card.minutes:.1f} minutes",
             *(_score_line(usage, part) for usage, part in card.scores.items()), f"run folder: {folder}"]
    return Outcome({"run": folder, **card.values}, "\n".join(lines))


def _score_line(usage: str, part: dict[str, Any]) -> str:
    from . import metrics

    low, high = part["accuracy_interval"]
    f1_low, f1_high = part["macro_f1_interval"]
    text = (f"{usage}: accuracy {part['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}), "
            f"macro-F1 {part['macro_f1']:.3f} ({f1_low:.3f} to {f1_high:.3f}), {part['n']:,} faces")
    clean = part.get("clean") or {}
    if clean.get("accuracy") is not None:
        macro_f1 = "–" if clean["macro_f1"] is None else f"{clean['macro_f1']:.3f}"
        text += (f"; on the {clean['n']:,} without a copy in Training: accuracy {clean['accuracy']:.1%} "
                 f"({metrics.clean_same_mix(part):.1%} on the same mix of classes), macro-F1 {macro_f1}")
    return text


def export_command(args: Namespace) -> Outcome:
    """Write a trained network as model.onnx, beside its model.keras."""
    from .networks.export import export_onnx

    path, difference = export_onnx(args.run)
    return Outcome({"file": path, "difference": difference},
                   f"{path}: probabilities differ from Keras's by at most {difference:.1e}")


def zoo_command(args: Namespace) -> Outcome:
    """List the networks."""
    import pandas as pd

    from .networks import zoo

    result = {name: zoo.describe(name) for name in zoo.NETWORKS}
    return Outcome(result, pd.DataFrame(result).T.to_string())


def evaluate_command(args: Namespace) -> Outcome:
    """Score a trained network."""
    from . import metrics
    from .data import load
    from .evaluation import evaluate

    result = evaluate.evaluate_run(args.run, load.load(args.data), args.usage, args.flip)
    flipped = ", each face also mirrored" if args.flip else ""
    lines = [f"{result['model']} on {result['data']}{flipped}", _score_line(args.usage, result), "",
             metrics.per_class_table(result).round(3).to_string()]
    if result["exhibit"]:
        lines.insert(0, "EXHIBIT: trained under the leaky protocol, so on most of these very faces.")
    if not result["same_data"]:
        lines.insert(1, "It was trained on other data than these (another file, order or sample): where its training "
                        "faces are among these, the score flatters.")
    return Outcome(result, "\n".join(lines))


def robustness_command(args: Namespace) -> Outcome:
    """Score a network on faces cropped, turned, lit or hidden."""
    from .data import load
    from .evaluation import robustness
    from .vision.predict import Predictor

    faces = load.load(args.data)
    predictor = Predictor(args.run, "haar")
    table = robustness.robustness_table(predictor, faces, args.usage, args.clean)
    result = {"model": predictor.card.name, "usage": args.usage, "clean": args.clean, "data": faces.title,
              "mild_accuracy": float(table.accuracy[table.mild].mean()),
              "changes": _records(table)}
    kept = " without copies of training faces" if args.clean else ""
    return Outcome(result, f"{result['model']} on {args.usage} of {faces.title}{kept}\n"
                           f"{table.round(3).to_string(index=False)}\n"
                           "accuracy, mean of the faces as they are and the mild changes: "
                           f"{result['mild_accuracy']:.1%}")


def results_command(args: Namespace) -> Outcome:
    """Measure all networks in models/ and write the tables in README, docs/ and models/."""
    from . import paths
    from .data import ferplus, load
    from .evaluation import model_card, tables

    faces = load.load(args.data)
    votes = ferplus.find_ferplus(args.data)
    ensembles = [names.split("+") for names in args.ensemble]
    table = tables.shared_table(faces, ferplus.read_ferplus(votes, faces) if votes else None, ensembles)
    table.to_csv(paths.MODELS / "results.csv", index=False, float_format="%.6g")
    tables.write_between(paths.ROOT / "README.md", tables.readme_table(table), "results")
    tables.write_between(paths.ROOT / "docs" / "results.md", tables.full_table(table), "results")
    tables.write_between(paths.MODELS / "README.md", tables.index_table(table, paths.MODELS), "networks")
    model_card.write_model_cards()
    return Outcome({"table": _records(table)}, tables.full_table(table))


def cards_command(args: Namespace) -> Outcome:
    """Write the page of each network in models/, its README.md."""
    from .evaluation import model_card

    written = model_card.write_model_cards()
    return Outcome({"cards": written}, "\n".join(map(str, written)))


def push_command(args: Namespace) -> Outcome:
    """Upload a trained network and its page to the Hugging Face Hub."""
    from .lab import hub

    done = hub.push_model(args.run, args.repo, args.private, args.exhibit, args.dry_run)
    return Outcome({"repo": args.repo, "dry_run": args.dry_run, "done": done}, done)


def predict_command(args: Namespace) -> Outcome:
    """Find the faces of photos and name their expressions."""
    from .vision.images import look_at_photo
    from .vision.predict import Predictor

    predictor = Predictor(args.model, args.detector)
    photos, lines = [], []
    taken = {Path(file).resolve() for file in args.photos}
    for file in args.photos:
        seen, error = look_at_photo(file, lambda image: (image, predictor.faces(image)))
        photos.append({"file": file, "width": None, "height": None, "faces": [], "error": error or None})
        if seen is None:
            print(error, file=sys.stderr)
            continue
        image, faces = seen
        photos[-1] |= {"height": image.shape[0], "width": image.shape[1], "faces": [face.to_dict() for face in faces]}
        lines.append(f"{file}: {len(faces)} face{'' if len(faces) == 1 else 's'}")
        lines += [f"  {face.emotion} {face.confidence:.0%} at {', '.join(map(str, face.box))}" for face in faces]
        if args.save:
            saved = _save_annotated(image, faces, args.save / f"{Path(file).stem}.png", taken)
            lines.append(f"  marked in {saved}")
    failed = sum(photo["error"] is not None for photo in photos)
    if failed:
        lines.append(f"{failed} of {len(photos)} photos could not be read")
    return Outcome({"photos": photos}, "\n".join(lines), failed > 0)


def _save_annotated(image: "np.ndarray", faces: list["Face"], path: Path, taken: set[Path]) -> Path:
    """Write a marked photo as PNG, with a number behind its name where that is `taken` or a file of the user's own.

    Returns the path of that PNG.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from .vision.draw import annotate

    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.resolve()
    stem, number = path.stem, 1
    while path in taken or (path.exists() and not _is_ours(path)):
        number += 1
        path = path.with_name(f"{stem}-{number}.png")
    taken.add(path)
    info = PngInfo()
    info.add_text("Software", _SOFTWARE)
    Image.fromarray(annotate(image, faces)).save(path, pnginfo=info)
    return path


def _is_ours(path: Path) -> bool:
    """Return whether an earlier call wrote a picture, which may then be replaced."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.info.get("Software") == _SOFTWARE
    except OSError:
        return False


def webcam_command(args: Namespace) -> Outcome:
    """Live window: Space captures, Esc closes; or, --headless, an annotated video."""
    from . import paths
    from .live import headless, window

    if args.seconds is not None and not args.headless:
        raise ValueError("--seconds goes with --headless; Esc closes the window")
    options = {"model": args.model, "detector": args.detector, "unsure": args.unsure}
    if args.headless:
        result = headless.annotate_video(args.source, args.out or paths.ROOT / "captures", mirror=bool(args.mirror),
                                         seconds=args.seconds, progress=not args.json, **options)
        text = f"{result['frames']} frames, {result['people']} faces followed: {result['video']}, {result['table']}"
        if not result["complete"]:
            text += "\nthe file ended earlier than it says: is it whole?"
        return Outcome(result, text, not result["complete"])
    captures = window.webcam(args.source, mirror=args.mirror, out=args.out, **options)
    files = [str(capture.path) for capture in captures]
    return Outcome({"captures": files}, "\n".join(files) or "nothing was captured (Space captures)")


def event_command(args: Namespace) -> Outcome:
    """Report how the people on photos and videos of an event looked."""
    from .event import report

    if not args.blur and not args.faces:
        raise ValueError("--no-blur goes with --faces")
    result = report.run_event(args.sources, args.out, model=args.model, detector=args.detector, every=args.every,
                              seconds=args.seconds, progress=not args.json, unsure=args.unsure, faces=args.faces,
                              blur=args.blur)
    return Outcome(result, report.report_text(result))


def photo_app_command(args: Namespace) -> Outcome:
    """Serve the photo app (notebook 07) by Voilà, on this machine only."""
    import subprocess

    from .live import widgets

    print("Starting the photo app; Voilà says its address. Ctrl-C ends it.", file=sys.stderr)
    server = subprocess.Popen(widgets.app_command(args.host, args.port, args.browser))
    try:
        server.wait()
    except KeyboardInterrupt:
        server.terminate()
        server.wait()  # it ends its kernels first
    return Outcome({}, "The photo app has ended.", server.returncode != 0)


def run_command(args: Namespace) -> Outcome:
    """Execute the notebooks with papermill."""
    from . import paths
    from .lab import notebooks

    parameters = {name: json_or_text(value) for name, value in args.parameter}
    result = notebooks.run("full" if args.full else "quick", _numbers(args.only), parameters, args.data, args.fresh)
    table = result["table"]
    lines = [""]
    if len(table):
        lines += [f"{result['title']} (the leaky test is an exhibit: most of its faces were trained on)",
                  notebooks.narrow_table(table), ""]
    lines += [f"{result['done']} notebooks executed, {result['skipped']} were already done (--fresh runs them again)",
              f"executed notebooks  {result['executed']}", f"figures             {result['figures']}",
              f"trained networks    {paths.RUNS}"]
    return Outcome({**result, "table": _records(table), "runs": paths.RUNS}, "\n".join(lines))


def _records(table: "pd.DataFrame") -> list[dict[str, Any]]:
    return json.loads(table.to_json(orient="records"))


def _numbers(only: list[str]) -> list[str]:
    return [part for text in only for part in text.split(",") if part] or only


def figures_command(args: Namespace) -> Outcome:
    """Draw the committed figures anew, without training, or check that they fit the code."""
    from . import paths
    from .lab import figures

    only = _numbers(args.only)
    if not args.check:
        drawn = figures.draw_figures(args.out or paths.FIGURES, only, args.data)
        return Outcome({"figures": drawn}, f"{len(drawn)} files are in {args.out or paths.FIGURES}")
    table = figures.check_figures(args.out or paths.FIGURES, only, args.data)
    failed = not table["state"].isin(["equal", "same", "needs FER+"]).all()
    lines = [table[table["state"] != "equal"].to_string(index=False)] if (table["state"] != "equal").any() else []
    lines.append(f"{(table['state'] == 'equal').sum()} of {len(table)} figures have the same bytes"
                 + ("; `make figures` draws those that differ" if failed else ""))
    return Outcome({"figures": _records(table)}, "\n".join(lines), failed)


def demo_command(args: Namespace) -> Outcome:
    """Make the README's moving picture: the live view on a made-up scene."""
    from . import paths
    from .lab import demo

    path = args.out or paths.ROOT / "docs" / "demo.webp"
    demo.write_demo(path, demo.FRAMES if args.frames is None else args.frames)
    return Outcome({"file": path, "bytes": path.stat().st_size}, f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def bench_command(args: Namespace) -> Outcome:
    """Time this project against plain ways of doing the same."""
    from .lab import bench

    result = bench.BENCHES[args.what](args.data)
    return Outcome(result, json.dumps(result, indent=1, ensure_ascii=False))


def json_or_text(text: str) -> Any:
    """Read a parameter's value as JSON, or as plain text where it is none.

    >>> json_or_text("3"), json_or_text("fer_net")
    (3, 'fer_net')
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
