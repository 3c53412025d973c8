"""The command line: ``python -m fer_utils COMMAND``; ``--help`` lists the commands."""
import argparse
import json
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

from .labels import EMOTIONS


class _Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes exit with status 1, as every other error does."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: {message}\n")


def main(arguments=None):
    """Run one command; return its exit status."""
    args = _parser().parse_args(arguments)
    try:
        # Under --json stdout holds one JSON object: what libraries print goes to stderr.
        with redirect_stdout(sys.stderr) if getattr(args, "json", False) else nullcontext():
            result, text = args.command(args)
    except KeyboardInterrupt:
        goes_on = ": the same command goes on from there" if args.name in ("train", "run", "event") else ""
        print(f"\nStopped. What was finished is kept{goes_on}.", file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError) as error:  # DataError and NotebookError among them
        print(f"fer_utils {args.name}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result) if getattr(args, "json", False) else text)
    return 1 if getattr(result, "failed", 0) else 0


def _data(args):
    from .data import copies, load

    if args.download:
        print(f"FER2013 is in {load.download()}", file=sys.stderr)
    faces = load.load(args.path)
    counts = faces.counts()
    across = copies.copies_in_training(faces)
    result = {
        "source": faces.source, "layout": faces.layout, "total": len(faces),
        "usage": {usage: {name: int(counts.loc[name, usage]) for name in EMOTIONS}
                  for usage in counts if counts[usage].sum()},
        "unlabelled": int((~faces.labelled).sum()),
        "exact_copies": int(copies.exact_copies(faces.pixels)),
        "test_faces_in_training": {usage: int(across.get(usage, 0)) for usage in ("PublicTest", "PrivateTest")},
    }
    counts.loc["all"] = counts.sum()
    lines = [f"{faces.title}: {len(faces):,} faces from {faces.source} ({faces.layout})", "",
             counts.to_string(), ""]
    if result["unlabelled"]:
        lines.append(f"{result['unlabelled']:,} faces are unlabelled")
    lines += [f"{result['exact_copies']:,} rows are exact copies of another row",
              *(f"{n:,} {usage} faces stand in Training byte for byte"
                for usage, n in result["test_faces_in_training"].items())]
    if faces.drawn:
        lines += ["", "No data set was found, so faces are drawn. `python -m fer_utils data --download` fetches "
                      "FER2013; data/README.md says how to get it by hand."]
    return result, "\n".join(lines)


def _train(args):
    from .data import load
    from .networks import recipes, runs, train

    options = {"protocol": args.protocol, "balance": args.balance, "augment": args.augment, "weights": args.weights,
               "epochs": args.epochs, "seed": args.seed, "patience": args.patience, "batch_size": args.batch_size,
               "learning_rate": args.learning_rate, "start": args.start, "teachers": args.teacher or None,
               "precision": "mixed_bfloat16" if args.mixed_precision else None}
    named = {name: _literal(value) for name, value in args.parameter}
    twice = sorted(name for name in named if options.get(name) is not None)
    if twice:
        raise ValueError(f"{', '.join(twice)} given twice: as -p and as an option of its own")
    config = recipes.TrainConfig.for_model(args.model, **options | named)
    faces = load.load(args.data)
    if args.sample:
        faces = load.sample(faces, args.sample)
    folder = train.train(config, faces, args.out, progress=None if args.quiet else "bar")
    card = runs.read_card(folder)
    return {"run": str(folder), **card}, _card_text(folder, card)


def _average(args):
    from .data import load
    from .networks import average, runs

    folder = average.average(args.runs, load.load(args.data), args.out)
    card = runs.read_card(folder)
    return {"run": str(folder), **card}, _card_text(folder, card)


def _card_text(folder, card):
    lines = [f"{card['model']} on {card['data']['title']}, {card['split']}: best epoch {card['best_epoch']} of "
             f"{card['epochs_run']}, {card['seconds'] / 60:.1f} minutes"]
    lines += [_score_text(usage, part) for usage, part in card["scores"].items()]
    return "\n".join([*lines, f"run folder: {folder}"])


def _score_text(usage, part):
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


def _evaluate(args):
    from . import metrics
    from .data import load
    from .evaluation import evaluate

    result = evaluate.evaluate_run(args.run, load.load(args.data), args.usage, args.flip)
    flipped = ", each face also mirrored" if args.flip else ""
    lines = [f"{result['model']} on {result['data']}{flipped}", _score_text(args.usage, result), "",
             metrics.per_class_table(result).round(3).to_string()]
    if result["exhibit"]:
        lines.insert(0, "EXHIBIT: trained under the leaky protocol, so on most of these very faces.")
    if not result["same_data"]:
        lines.insert(1, "It was trained on other data than these (another file, order or sample): where its training "
                        "faces are among these, the score flatters.")
    return result, "\n".join(lines)


def _predict(args):
    from .errors import DataError
    from .vision.images import read_photo
    from .vision.predict import Predictor

    predictor = Predictor(args.model, args.detector)
    photos, lines = [], []
    taken = {Path(file).resolve() for file in args.photos}
    for file in args.photos:
        entry = {"file": file, "width": None, "height": None, "faces": [], "error": None}
        photos.append(entry)
        try:
            image = read_photo(file)
            faces = predictor.faces(image)
        except Exception as error:  # whatever one photo breaks in a decoder or detector, the others go on
            entry["error"] = (str(error) if isinstance(error, DataError) else
                              f"{file}: could not be looked at ({type(error).__name__}: {error})")
            print(entry["error"], file=sys.stderr)
            continue
        entry |= {"height": image.shape[0], "width": image.shape[1], "faces": [face.to_dict() for face in faces]}
        lines.append(f"{file}: {len(faces)} face{'' if len(faces) == 1 else 's'}")
        lines += [f"  {face.emotion} {face.confidence:.0%} at {', '.join(map(str, face.box))}" for face in faces]
        if args.save:
            _save_annotated(image, faces, Path(file), args.save, taken)
    failed = sum(photo["error"] is not None for photo in photos)
    if failed:
        lines.append(f"{failed} of {len(photos)} photos could not be read")
    return _Result({"photos": photos}, failed), "\n".join(lines)


class _Result(dict):
    """A command's result, with how many of its inputs failed: those make the exit status 1."""

    def __init__(self, values, failed):
        super().__init__(values)
        self.failed = failed


def _webcam(args):
    from . import paths
    from .live import headless, window

    if args.seconds is not None and not args.headless:
        raise ValueError("--seconds goes with --headless; Esc closes the window")
    options = {"model": args.model, "detector": args.detector, "unsure": args.unsure}
    if args.headless:
        result = headless.annotate_video(args.source, args.out or paths.ROOT / "captures", mirror=bool(args.mirror),
                                 seconds=args.seconds, progress=not args.json, **options)
        shown = {**result, "video": str(result["video"]), "table": str(result["table"])}
        return (_Result(shown, not result["complete"]),
                f"{result['frames']} frames, {result['people']} faces followed: {result['video']}, {result['table']}"
                + ("" if result["complete"] else "\nthe file ended earlier than it says: is it whole?"))
    captures = window.webcam(args.source, mirror=args.mirror, out=args.out, **options)
    return ({"captures": [str(capture.path) for capture in captures]},
            "\n".join(str(capture.path) for capture in captures) or "nothing was captured (Space captures)")


def _event(args):
    from .event import report

    if not args.blur and not args.faces:
        raise ValueError("--no-blur goes with --faces")
    result = report.run_event(args.sources, args.out, args.model, args.detector, args.every, args.seconds, args.unsure,
                        args.faces, args.blur, progress=not args.json)
    return result, report.report_text(result)


def _app(args):
    import subprocess

    from .live import widgets

    print("Starting the photo app; Voilà says its address. Ctrl-C ends it.", file=sys.stderr)
    server = subprocess.Popen(widgets.app_command(args.host, args.port, args.browser))
    try:
        server.wait()
    except KeyboardInterrupt:
        server.terminate()
        server.wait()  # it ends its kernels first
    return _Result({}, server.returncode), "The photo app has ended."


def _save_annotated(image, faces, file, folder, taken):
    """Write a marked photo under a name that is not `taken`: by a photo given, or another one written.

    Nor does it replace a file of the user's own.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from .vision.draw import annotate

    folder.mkdir(parents=True, exist_ok=True)
    path, number = (folder / f"{file.stem}.png").resolve(), 1
    while path in taken or (path.exists() and not _is_ours(path)):
        number += 1
        path = path.with_name(f"{file.stem}-{number}.png")
    taken.add(path)
    info = PngInfo()
    info.add_text("Software", _SOFTWARE)
    Image.fromarray(annotate(image, faces)).save(path, pnginfo=info)


_SOFTWARE = "fer_utils predict"


def _is_ours(path):
    """Return whether a picture was written by an earlier call, and may be replaced."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.info.get("Software") == _SOFTWARE
    except OSError:
        return False


def _export(args):
    from .networks.export import export_onnx

    path, difference = export_onnx(args.run)
    return ({"file": str(path), "difference": difference},
            f"{path}: probabilities differ from Keras's by at most {difference:.1e}")


def _results(args):
    from . import paths
    from .data import ferplus, load
    from .evaluation import tables

    faces = load.load(args.data)
    votes = ferplus.find_ferplus(args.data)
    ensembles = [names.split("+") for names in args.ensemble]
    table = tables.measure(faces, votes and ferplus.read_ferplus(votes, faces), ensembles)
    table.to_csv(paths.MODELS / "results.csv", index=False, float_format="%.6g")
    tables.write(paths.ROOT / "README.md", tables.readme_table(table), "results")
    tables.write(paths.MODELS / "README.md", tables.class_table(table), "classes")
    return {"table": json.loads(table.to_json(orient="records"))}, tables.readme_table(table)


def _robustness(args):
    from .data import load
    from .evaluation import robustness
    from .vision.predict import Predictor

    faces = load.load(args.data)
    predictor = Predictor(args.run, "haar")
    table = robustness.robustness_table(predictor, faces, args.usage, args.clean)
    result = {"model": predictor.card["name"], "usage": args.usage, "clean": args.clean, "data": faces.title,
              "mild_accuracy": float(table.accuracy[table.mild].mean()),
              "changes": json.loads(table.to_json(orient="records"))}
    kept = " without copies of training faces" if args.clean else ""
    return result, (f"{result['model']} on {args.usage} of {faces.title}{kept}\n"
                    f"{table.round(3).to_string(index=False)}\n"
                    f"accuracy, mean of the faces as they are and the mild changes: {result['mild_accuracy']:.1%}")


def _zoo(args):
    import pandas as pd

    from .networks import zoo

    result = {name: zoo.describe(name) for name in zoo.NETWORKS}
    return result, pd.DataFrame(result).T.to_string()


def _run(args):
    from . import paths
    from .lab import notebooks

    parameters = {name: _literal(value) for name, value in args.parameter}
    only = [part for text in args.only for part in text.split(",") if part]
    result = notebooks.run("full" if args.full else "quick", only, parameters, args.data, args.fresh)
    table = result["table"]
    lines = [""]
    if len(table):
        lines += [f"PrivateTest, {result['title']} (leaky rows are an exhibit: their own leaky test part)",
                  table.drop(columns=["label", "data"]).to_string(index=False, float_format=lambda v: f"{v:.3f}"), ""]
    lines += [f"{result['done']} notebooks executed, {result['skipped']} were already done (--fresh runs them again)",
              f"executed notebooks  {result['executed']}", f"figures             {result['figures']}",
              f"trained networks    {paths.RUNS}"]
    return {**result, "table": json.loads(table.to_json(orient="records")), "executed": str(result["executed"]),
            "figures": str(result["figures"]), "runs": str(paths.RUNS)}, "\n".join(lines)


def _literal(text):
    """Read a parameter's value as JSON, or as plain text where it is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _share(text):
    """Read a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return value


def _bench(args):
    from .lab import bench

    if args.what in ("live", "event"):
        from .lab import bench_event, bench_live

        result = bench_live.bench_live() if args.what == "live" else bench_event.bench_event(args.data)
    else:
        result = bench.BENCHES[args.what](args.data)
    return result, json.dumps(result, indent=1, ensure_ascii=False)


def _parser():
    parser = _Parser(prog="python -m fer_utils", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def command(name, function, text, data=True):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        sub.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        if data:
            sub.add_argument("--data", metavar="PATH", help="FER2013 in any layout; default: what data/ holds, "
                                                            "else drawn faces")
        return sub

    sub = command("data", _data, "say what data set was found, class by usage", data=False)
    sub.add_argument("path", nargs="?", help="a file or folder; default: what data/ holds, else drawn faces")
    sub.add_argument("--download", action="store_true", help="fetch FER2013 from Kaggle into data/ first")

    sub = command("train", _train, "train one network under one protocol")
    sub.add_argument("--model", required=True, metavar="NAME", help="a name that `zoo` lists")
    sub.add_argument("--protocol", help="official (the default), or leaky (an exhibit)")
    sub.add_argument("--balance", help="none, over, under, smote or class_weights")
    sub.add_argument("--augment", metavar="NAME", help="none, project_b, arriaga, strong or light (see notebook 02)")
    sub.add_argument("--weights", help="imagenet (vgg16 only)")
    sub.add_argument("--epochs", type=int)
    sub.add_argument("--patience", type=int, help="stop after so many epochs without a better PublicTest accuracy")
    sub.add_argument("--batch-size", type=int)
    sub.add_argument("--learning-rate", type=float)
    sub.add_argument("--seed", type=int)
    sub.add_argument("--start", metavar="RUN", help="go on from the weights of a trained run of the same network")
    sub.add_argument("--teacher", action="append", metavar="RUN",
                     help="soften the labels by a trained run's probabilities; may be given several times")
    sub.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                     help="set any other field of train.TrainConfig")
    sub.add_argument("--mixed-precision", action="store_true", help="compute in bfloat16, keep float32 weights")
    sub.add_argument("--sample", type=int, metavar="N", help="train on a stratified sample of N faces of the data")
    sub.add_argument("--out", type=Path, metavar="DIR", help="the run folder; default: models/runs/<run>")
    sub.add_argument("--quiet", action="store_true", help="no progress bar")

    sub = command("average", _average, "average the weights of trained runs of one network into a new one")
    sub.add_argument("runs", nargs="+", metavar="RUN",
                     help="two or more, where one started from another's weights; who is named twice counts twice")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run folder to write")

    sub = command("evaluate", _evaluate, "score a trained network")
    sub.add_argument("run", metavar="NAME_OR_RUN_DIR", help="names joined by + are an ensemble")
    sub.add_argument("--flip", action="store_true", help="show each face mirrored too (test-time augmentation)")
    sub.add_argument("--usage", default="PrivateTest", choices=["Training", "PublicTest", "PrivateTest"])

    sub = command("robustness", _robustness, "score a network on faces cropped, turned, lit or hidden")
    sub.add_argument("run", metavar="NAME_OR_RUN_DIR")
    sub.add_argument("--usage", default="PrivateTest", choices=["Training", "PublicTest", "PrivateTest"])
    sub.add_argument("--clean", action="store_true", help="leave out faces of which a copy stands in Training")

    sub = command("results", _results, "measure all networks in models/ and write the tables in the READMEs")
    sub.add_argument("--ensemble", action="append", default=[], metavar="NAME+NAME", help="score their mean, too")

    sub = command("predict", _predict, "find the faces of photos and name their expressions", data=False)
    sub.add_argument("photos", nargs="+", metavar="PHOTO")
    sub.add_argument("--model", default="fer_net", metavar="NAME")
    sub.add_argument("--detector", default="auto", help="yunet, haar, or auto: YuNet where its file is")
    sub.add_argument("--save", type=Path, metavar="DIR", help="write each photo there with its faces marked")

    def live(sub, seconds="stop after so much of the source"):
        sub.add_argument("--model", default="fer_net", metavar="NAME")
        sub.add_argument("--detector", default="auto", help="yunet, haar, or auto: YuNet where its file is")
        sub.add_argument("--unsure", type=_share, default=0.0, metavar="P",
                         help="call a face unsure whose probability is below this (0 to 1)")
        sub.add_argument("--seconds", type=float, metavar="S", help=seconds)

    sub = command("webcam", _webcam, "live window: Space captures, Esc closes; or, --headless, an annotated video",
                  data=False)
    sub.add_argument("--source", default="0", help="camera number, video file, photo or stream address; default: 0")
    sub.add_argument("--headless", action="store_true", help="no window: write annotated.mp4 and faces.csv")
    sub.add_argument("--out", type=Path, metavar="DIR", help="where to; default: captures/")
    sub.add_argument("--mirror", action=argparse.BooleanOptionalAction,
                     help="default: in the window cameras yes, files no; with --headless no")
    live(sub)

    sub = command("event", _event, "report how the people on photos and videos of an event looked", data=False)
    sub.add_argument("sources", nargs="+", metavar="SOURCE",
                     help="folder of photos, photo, video, camera's number, or address of its stream (rtsp://…)")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="a second run with this goes on")
    sub.add_argument("--every", type=float, default=0.1, metavar="S",
                     help="look at videos and cameras every so many seconds; default: 0.1; who is seen on fewer than "
                          "three looks is not counted")
    sub.add_argument("--faces", action="store_true", help="put face pictures into the report, blurred")
    sub.add_argument("--no-blur", dest="blur", action="store_false", help="do not blur them")
    live(sub, seconds="stop a camera after so long; default: when Ctrl-C is pressed")
    sub.set_defaults(unsure=0.5)

    sub = command("app", _app, "serve the photo app (notebook 07) by Voilà, on this machine only", data=False)
    sub.add_argument("--host", default="127.0.0.1", help="another address opens it to others, who then need a token")
    sub.add_argument("--port", type=int, default=8866)
    sub.add_argument("--no-browser", dest="browser", action="store_false", help="do not open a browser")

    sub = command("export", _export, "write a trained network as model.onnx, beside its model.keras", data=False)
    sub.add_argument("run", metavar="NAME_OR_RUN_DIR")

    command("zoo", _zoo, "list the networks", data=False)

    sub = command("run", _run, "execute the notebooks with papermill")
    size = sub.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="minutes: small sample, short training (the default)")
    size.add_argument("--full", action="store_true", help="the report: every network on all faces; days on a CPU")
    sub.add_argument("--only", action="append", default=[], metavar="03,04", help="run these notebooks alone")
    sub.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                     help="set a parameter in every notebook that has it")
    sub.add_argument("--fresh", action="store_true", help="execute also the notebooks that are done")

    sub = command("bench", _bench, "time this project against plain ways of doing the same")
    sub.add_argument("what", metavar="NAME", choices=["data", "train", "live", "event"],
                     help="data, train, live or event")
    return parser
