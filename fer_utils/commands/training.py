"""Commands of data and training: data, train, average, adopt, export, zoo."""

import re
import sys
import warnings
from argparse import Namespace
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .outcome import Outcome, add_parameter, command, json_or_text, records, score_line

if TYPE_CHECKING:
    from ..data.faceset import FaceSet
    from ..networks.card import Card


def add_training_commands(add: Any) -> None:
    """Add these commands to the command line."""
    sub = command(add, "data", data_command, data=False, needs=("sklearn",))
    sub.add_argument("path", nargs="?", help="a file or folder; default: what data/ holds, else drawn faces")
    sub.add_argument("--download", action="store_true", help="fetch FER2013 from Kaggle into data/ first")
    sub.add_argument("--ferplus", action="store_true",
                     help="fetch FER+, ten annotators' votes for each face, into data/ first")

    sub = command(add, "train", train_command, needs=("keras",))
    what = sub.add_mutually_exclusive_group()
    what.add_argument("--model", metavar="NAME", help="train the network of this name, which `zoo` lists, once")
    what.add_argument("--recipe", metavar="NAME", help="run all stages behind a shared network (its recipe.toml, or "
                                                       "another such file); a stopped run goes on")
    sub.add_argument("--dry-run", action="store_true", help="with --recipe: say its stages and their hours here")
    sub.add_argument("--protocol", help="official (the default), or leaky (an exhibit)")
    sub.add_argument("--balance", help="none, over, under, smote or class_weights")
    sub.add_argument("--augment", metavar="NAME", help="none, project_b, arriaga, strong or light (see notebook 02)")
    sub.add_argument("--weights", help="imagenet (vgg16 only)")
    sub.add_argument("--epochs", type=int)
    sub.add_argument("--patience", type=int, help="stop after so many epochs without a better PublicTest accuracy")
    sub.add_argument("--batch-size", type=int)
    sub.add_argument("--learning-rate", type=float)
    sub.add_argument("--seed", type=int)
    sub.add_argument("--start", metavar="RUN", help="go on from the weights of a trained run of the same network; "
                                                   "without --model, train it on with your own faces (--data)")
    sub.add_argument("--replay", type=float, metavar="N",
                     help="own faces: learn N of FER2013's again for each of them; default: 8")
    sub.add_argument("--replay-from", metavar="PATH", help="own faces: what the network was trained on; default: "
                                                           "FER2013, where data/ holds it")
    sub.add_argument("--teacher", action="append", dest="teachers", metavar="RUN",
                     help="soften the labels by a trained run's probabilities; may be given several times")
    add_parameter(sub, "set any other field of TrainConfig")
    _add_computing(sub)
    sub.add_argument("--leave-out", type=Path, metavar="CSV",
                     help="leave out the Training faces of this table, which `suspicious-labels` writes")
    sub.add_argument("--sample", type=int, metavar="N", help="train on a stratified sample of N faces of the data")
    sub.add_argument("--out", type=Path, metavar="DIR", help="the run folder; default: models/runs/<run>")
    sub.add_argument("--tensorboard", type=Path, metavar="DIR", help="write logs for TensorBoard there")
    sub.add_argument("--quiet", action="store_true", help="no progress bar")

    sub = command(add, "average", average_command, needs=("keras",))
    sub.add_argument("runs", nargs="+", metavar="RUN",
                     help="two or more, where one started from another's weights; who is named twice counts twice")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run folder to write")

    _add_adopt(add)

    sub = command(add, "export", export_command, data=False, needs=("keras",))
    sub.add_argument("run", metavar="NAME_OR_RUN_DIR")

    command(add, "zoo", zoo_command, data=False, needs=("keras",))


def _add_computing(sub: Any) -> None:
    sub.add_argument("--mixed-precision", action="store_const", const="mixed_bfloat16", dest="precision",
                     help="compute in bfloat16, keep float32 weights")
    sub.add_argument("--devices", type=int, default=1, metavar="N", help="share each batch out to N GPUs")
    sub.add_argument("--virtual-devices", action="store_true", help="divide the processor into these N devices, to try "
                                                                   "it out; slower than one")


def _add_adopt(add: Any) -> None:
    sub = command(add, "adopt", adopt_command, needs=("onnx", "sklearn"))
    sub.add_argument("file", type=Path, metavar="FILE", help="a network: .onnx, .keras, .h5 or .tflite")
    sub.add_argument("--name", required=True, help="what to call it; its run folder is models/runs/NAME")
    sub.add_argument("--labels", required=True, metavar="NAME,NAME,…",
                     help="a name for each of its outputs, in their order; contempt, other or - is left out")
    sub._negative_number_matcher = re.compile(r"-\d")  # so that argparse takes -1..1 for a value, as it takes -1
    sub.add_argument("--scale", required=True, metavar="LOW..HIGH",
                     help="what black and white are for it: 0..1, -1..1, 0..255; or standard, or imagenet")
    sub.add_argument("--input", metavar="HxWxC", help="its height, width and channels, such as 64x64x1; default: as "
                                                      "the file says")
    sub.add_argument("--logits", action="store_true", help="its outputs are logits: add a softmax")
    sub.add_argument("--enlarge", default="linear", help="how its own code makes a face larger: linear or cubic")
    sub.add_argument("--source", default="", metavar="TEXT", help="where it is from, for its card and tables")


def data_command(args: Namespace) -> Outcome:
    """Say what data set was found, class by usage."""
    from ..data import copies, ferplus, load

    if args.download:
        print(f"FER2013 is in {load.download()}", file=sys.stderr)
    votes = ferplus.download_ferplus() if args.ferplus else None
    if votes:
        print(f"FER+ is in {votes}", file=sys.stderr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # `left_out` says the same below
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
    if faces.left_out:
        result["left_out"] = faces.left_out
        lines += faces.left_out
    if votes:
        result["ferplus"] = votes
        lines.append(_ferplus_line(votes, faces))
    if faces.drawn:
        lines += ["", "No data set was found, so faces are drawn. `python -m fer_utils data --download` fetches "
                      "FER2013; data/README.md says how to get it by hand."]
    return Outcome(result, "\n".join(lines))


def _ferplus_line(votes: Path, faces: "FaceSet") -> str:
    """Say whether FER+'s votes belong to these faces."""
    from ..data import ferplus
    from ..errors import DataError

    try:
        agreement = ferplus.ferplus_agreement(faces.emotion, ferplus.read_ferplus(votes, faces))
    except DataError as error:
        return f"FER+ does not fit these faces: {error}"
    share = float(agreement["agreement"].to_numpy()[-1])
    return f"FER+'s ten annotators agree with {share:.1%} of the labels"


def train_command(args: Namespace) -> Outcome:
    """Train one network under one protocol."""
    from ..networks import devices

    if args.virtual_devices and args.devices == 1:
        raise ValueError("--virtual-devices goes with --devices N")
    with devices.spread_over(args.devices, args.virtual_devices):
        return _train(args)


def _train(args: Namespace) -> Outcome:
    from ..networks import recipes, train

    options: dict[str, Any] = {field.name: getattr(args, field.name, None) for field in fields(recipes.TrainConfig)}
    if args.recipe:
        return _recipe(args, [name for name, value in options.items() if value is not None])
    if args.dry_run:
        raise ValueError("--dry-run goes with --recipe")
    if not args.model and not args.start:
        raise ValueError("say what to train: --model NAME, --recipe NAME, or --start RUN with --data of your own faces")
    if args.model and (args.replay is not None or args.replay_from):
        raise ValueError("--replay is for own faces: leave out --model, which --start tells")
    named = {name: json_or_text(value) for name, value in args.parameter}
    twice = sorted(name for name in named if options.get(name) is not None)
    if twice:
        raise ValueError(f"{', '.join(twice)} given twice: as -p and as an option of its own")
    if not args.model:
        return _own_faces(args, options | named)
    config = recipes.TrainConfig.for_model(**options | named)
    faces, whole = _training_faces(args, config.votes > 0)
    folder = train.train(config, faces, args.out, None if args.quiet else "bar", args.tensorboard)
    return _trained(_with_whole(folder, whole))


def _own_faces(args: Namespace, settings: dict[str, Any]) -> Outcome:
    """Train a network on with own faces; say what it was worth."""
    from ..data import load
    from ..evaluation import before_after
    from ..networks import own_faces

    if not args.data:
        raise ValueError("--start without --model trains on with own faces: say where they are by --data, or give "
                         "--model")
    if args.tensorboard or args.leave_out:
        raise ValueError("--tensorboard and --leave-out go with --model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the same is said below
        own = load.load(args.data)
    if not (Path(args.data) / "labels.csv").is_file():  # else `label` made the other files there
        print(*own.left_out, sep="\n", end="\n" * bool(own.left_out), file=sys.stderr)
    base = load.load(args.replay_from) if args.replay_from else _fer2013(args.data)
    replay = own_faces.REPLAY if args.replay is None else args.replay
    own = own if args.sample is None else load.sample(own, args.sample)
    faces = own_faces.prepare_own_faces(args.start, own, base, replay)
    settings = {name: value for name, value in settings.items() if name not in ("model", "start")}
    folder = own_faces.train_on(faces, args.out, None if args.quiet else "bar", **settings)
    result = before_after.measure_change(faces, folder)
    done = _trained(folder)
    return Outcome({**done.result, "before_after": result},
                   "\n".join([done.text, "", before_after.change_text(result)]))


def _fer2013(own: str) -> "FaceSet | None":
    """Return FER2013 where data/ holds it."""
    from ..data import load
    from ..errors import DataError

    try:
        found = load.find()
    except DataError:
        return None
    if found is None or found.resolve() == Path(own).expanduser().resolve():
        return None
    faces = load.load()
    return faces if faces.fer2013 else None


def _training_faces(args: Namespace, votes: bool) -> "tuple[FaceSet, FaceSet]":
    """Read the faces to train on, and the same with those that are left out.

    FER+'s votes go by row, so they are added before a sample is drawn.
    """
    from ..data import ferplus, left_out, load

    faces = load.load(args.data)
    if votes:
        faces = ferplus.with_votes(faces)
    rows = load.sample_rows(faces, len(faces) if args.sample is None else args.sample)
    whole = faces if len(rows) == len(faces) else faces[rows]
    if not args.leave_out:
        return whole, whole
    # Of the same sample, so that trainings with and without them can be compared.
    return whole[left_out.kept_faces(faces, args.leave_out)[rows]], whole


def _with_whole(folder: Path, whole: "FaceSet") -> Path:
    """Say in a run's card which data set its faces are from, where some were left out."""
    from .. import files
    from ..networks.runs import read_card

    card = read_card(folder)
    if not card.learnt_from(whole):
        left = {"fingerprint": whole.fingerprint(), "faces": len(whole)}
        files.write_json(folder / "card.json", card.values | {"left_out_of": left})
    return folder


def _recipe(args: Namespace, given: list[str]) -> Outcome:
    """Run a recipe, or say what it would do; `given` are options that only a single training takes."""
    from ..networks import stages

    given += ["parameter"] * bool(args.parameter) + ["tensorboard"] * bool(args.tensorboard)
    if given:
        raise ValueError(f"--{', --'.join(name.replace('_', '-') for name in given)} cannot be given with --recipe: "
                         "copy its recipe.toml, change it there, and name the copy")
    recipe = stages.read_recipe(args.recipe)
    faces, whole = _training_faces(args, any(stage.config and stage.config.votes for stage in recipe.stages))
    if args.dry_run and args.devices > 1:
        raise ValueError("--dry-run tells the hours on one device: leave out --devices")
    if args.dry_run:
        plan = stages.recipe_plan(recipe, faces)
        hours = plan["hours"].sum()
        text = f"{recipe.file} on {faces.title}\n{plan.round(2).to_string(index=False)}\n{hours:.1f} hours in all here"
        return Outcome({"recipe": recipe.name, "stages": records(plan), "hours": hours}, text)
    folder = stages.train_recipe(recipe, faces, args.out, None if args.quiet else "bar",
                                 lambda stage, place: print(f"{stage.name}: {place}", file=sys.stderr))
    done = _trained(_with_whole(folder, whole))
    promised = stages.kept_promises(recipe, folder) if faces.title == "FER2013" else []
    return Outcome(done.result, "\n".join([done.text, *promised]))


def average_command(args: Namespace) -> Outcome:
    """Average the weights of trained runs of one network into a new one."""
    from ..data import load
    from ..networks import average

    return _trained(average.average(args.runs, load.load(args.data), args.out))


def _trained(folder: Path) -> Outcome:
    from ..networks.runs import read_card

    card: Card = read_card(folder)
    kept = "kept" if card.config.get("keep") == "last" else "best"
    lines = [f"{card.model} on {card.title}, {card.split}: {kept} epoch {card.best_epoch} of {card.epochs_run}, "
             f"{card.minutes:.1f} minutes",
             *(score_line(usage, part) for usage, part in card.scores.items()), f"run folder: {folder}"]
    return Outcome({"run": folder, **card.values}, "\n".join(lines))


def adopt_command(args: Namespace) -> Outcome:
    """Make a run folder of a network that was trained elsewhere, and score it."""
    from ..data import load
    from ..networks.adopt import Adoption, adopt

    shape = None
    if args.input:
        sizes = args.input.lower().split("x")
        if len(sizes) != 3 or not all(size.isdecimal() for size in sizes):
            raise ValueError(f"--input {args.input}: must be height, width and channels, such as 64x64x1")
        shape = (int(sizes[0]), int(sizes[1]), int(sizes[2]))
    labels = tuple(label.strip() for label in args.labels.split(","))
    folder = adopt(Adoption(args.file, args.name, labels, args.scale, shape, args.enlarge, args.logits, args.source),
                   load.load(args.data))
    return _adopted(folder)


def _adopted(folder: Path) -> Outcome:
    from ..networks.runs import read_card

    card: Card = read_card(folder)
    known = card.adopted
    lines = [f"{card.label}: {card.origin}",
             f"It takes faces of {known['input']} ({known['layout']}), scaled to {known['scale']}, and gives "
             f"{known['outputs']}"]
    if known["dropped"]:
        lines.append(f"Left out, the others then sum to 1: {', '.join(known['dropped'])}")
    if known["missing"]:
        lines.append(f"It cannot name {', '.join(known['missing'])}: the probability is always 0")
    lines += [*(score_line(usage, part) for usage, part in card.scores.items()), f"run folder: {folder}"]
    return Outcome({"run": folder, **card.values}, "\n".join(lines))


def export_command(args: Namespace) -> Outcome:
    """Write a trained network as model.onnx, beside its model.keras."""
    from ..networks.export import export_onnx

    path, difference = export_onnx(args.run)
    return Outcome({"file": path, "difference": difference},
                   f"{path}: probabilities differ from Keras's by at most {difference:.1e}")


def zoo_command(args: Namespace) -> Outcome:
    """List the networks."""
    import pandas as pd

    from ..networks import zoo

    result = {name: zoo.describe(name) for name in zoo.NETWORKS}
    return Outcome(result, pd.DataFrame(result).T.to_string())
