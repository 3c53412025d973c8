"""The command line: ``python -m fer_utils COMMAND``; ``--help`` lists the commands."""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

from . import commands, errors


class _Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes exit with status 1, as every other error does."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    args = _parser().parse_args(arguments)
    try:
        # Under --json stdout holds one JSON object: what libraries print goes to stderr.
        with redirect_stdout(sys.stderr) if args.json else nullcontext(), errors.naming_the_extra():
            errors.need(*args.needs)
            outcome = args.command(args)
    except KeyboardInterrupt as stop:
        goes_on = ": the same command goes on from there" if args.name in ("train", "run", "event") else ""
        said = str(stop) or f"Stopped. What was finished is kept{goes_on}."
        print(f"\n{said}", file=sys.stderr)
        return 130
    except (ValueError, OSError, RuntimeError, errors.MissingExtraError) as error:  # DataError, NotebookError too
        print(f"fer_utils {args.name}: {_sentence(error)}", file=sys.stderr)
        return 1
    try:
        print(json.dumps(outcome.result, default=os.fspath) if args.json else outcome.text, flush=True)
    except OSError as error:
        # Python writes what is left once more when it ends, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # `| head` has read all that it wanted
            print(f"fer_utils {args.name}: it is done, but what it says could not be written ({error}); make room "
                  "there, or name another file", file=sys.stderr)
            return 1
    return 1 if outcome.failed else 0


def _sentence(error: Exception) -> str:
    """Return what an error says; the system's own errors do not say what to do."""
    place = isinstance(error, OSError) and (error.filename2 or error.filename)
    if not isinstance(error, OSError) or not error.strerror or not isinstance(place, (str, bytes, os.PathLike)):
        return str(error)
    name = re.sub(r"\bpart-\d+-\d+-", "", os.fsdecode(place))  # of `files.whole`
    return (f"{name}: {error.strerror}; is this the right place, may you read and write there, and is there room on "
            "the disk?")


def _parser() -> _Parser:
    parser = _Parser(prog="python -m fer_utils", description=__doc__)
    add = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    _add_data_and_training(add)
    _add_evaluation(add)
    _add_faces(add)
    _add_lab(add)
    return parser


def _command(add: Any, name: str, command: commands.Command, data: bool = True,
             needs: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Add a subcommand, whose help is the docstring of the function that it calls.

    `needs` are libraries of `errors.EXTRAS` that are looked for before any work.
    """
    text = (command.__doc__ or " ").removesuffix(".")
    text = text[0].lower() + text[1:]
    sub = add.add_parser(name, help=text, description=text)
    sub.set_defaults(command=command, needs=needs)
    sub.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    if data:
        sub.add_argument("--data", metavar="PATH", help="FER2013 in any layout; default: what data/ holds, "
                                                        "else drawn faces")
    return sub


def _add_parameter(sub: argparse.ArgumentParser, text: str) -> None:
    sub.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help=text)


def _add_data_and_training(add: Any) -> None:
    sub = _command(add, "data", commands.data_command, data=False, needs=("sklearn",))
    sub.add_argument("path", nargs="?", help="a file or folder; default: what data/ holds, else drawn faces")
    sub.add_argument("--download", action="store_true", help="fetch FER2013 from Kaggle into data/ first")
    sub.add_argument("--ferplus", action="store_true",
                     help="fetch FER+, ten annotators' votes for each face, into data/ first")

    sub = _command(add, "train", commands.train_command, needs=("keras",))
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
    sub.add_argument("--teacher", action="append", dest="teachers", metavar="RUN",
                     help="soften the labels by a trained run's probabilities; may be given several times")
    _add_parameter(sub, "set any other field of TrainConfig")
    sub.add_argument("--mixed-precision", action="store_const", const="mixed_bfloat16", dest="precision",
                     help="compute in bfloat16, keep float32 weights")
    sub.add_argument("--sample", type=int, metavar="N", help="train on a stratified sample of N faces of the data")
    sub.add_argument("--out", type=Path, metavar="DIR", help="the run folder; default: models/runs/<run>")
    sub.add_argument("--tensorboard", type=Path, metavar="DIR", help="write logs for TensorBoard there")
    sub.add_argument("--quiet", action="store_true", help="no progress bar")

    sub = _command(add, "average", commands.average_command, needs=("keras",))
    sub.add_argument("runs", nargs="+", metavar="RUN",
                     help="two or more, where one started from another's weights; who is named twice counts twice")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run folder to write")


def _add_evaluation(add: Any) -> None:
    usages = ["Training", "PublicTest", "PrivateTest"]
    sub = _command(add, "evaluate", commands.evaluate_command, needs=("keras",))
    sub.add_argument("run", metavar="NAME_OR_RUN_DIR", help="names joined by + are an ensemble")
    sub.add_argument("--flip", action="store_true", help="show each face mirrored too (test-time augmentation)")
    sub.add_argument("--usage", default="PrivateTest", choices=usages)

    sub = _command(add, "robustness", commands.robustness_command, needs=("sklearn",))
    sub.add_argument("run", metavar="NAME_OR_RUN_DIR")
    sub.add_argument("--usage", default="PrivateTest", choices=usages)
    sub.add_argument("--clean", action="store_true", help="leave out faces of which a copy appears in Training")

    sub = _command(add, "results", commands.results_command, needs=("keras",))
    sub.add_argument("--ensemble", action="append", default=[], metavar="NAME+NAME", help="score their mean, too")

    _command(add, "cards", commands.cards_command, data=False)


def _add_faces(add: Any) -> None:
    sub = _command(add, "predict", commands.predict_command, data=False)
    sub.add_argument("photos", nargs="+", metavar="PHOTO")
    _add_network(sub)
    sub.add_argument("--save", type=Path, metavar="DIR", help="write each photo there with its faces marked")

    sub = _command(add, "webcam", commands.webcam_command, data=False)
    sub.add_argument("--source", default="0", help="camera number, video file, photo or stream address; default: 0")
    sub.add_argument("--headless", action="store_true", help="no window: write annotated.mp4 and faces.csv")
    sub.add_argument("--out", type=Path, metavar="DIR", help="where to; default: captures/")
    sub.add_argument("--mirror", action=argparse.BooleanOptionalAction,
                     help="default: in the window cameras yes, files no; with --headless no")
    _add_network(sub)
    _add_live(sub, "stop after so much of the source")

    sub = _command(add, "event", commands.event_command, data=False)
    sub.add_argument("sources", nargs="+", metavar="SOURCE",
                     help="folder of photos, photo, video, camera's number, or address of its stream (rtsp://…)")
    sub.add_argument("--out", type=Path, required=True, metavar="DIR", help="a second run with this goes on")
    sub.add_argument("--every", type=float, default=0.1, metavar="S",
                     help="look at videos and cameras every so many seconds; default: 0.1; who is seen on fewer than "
                          "three looks is not counted")
    sub.add_argument("--faces", action="store_true", help="put face pictures into the report, blurred")
    sub.add_argument("--no-blur", dest="blur", action="store_false", help="do not blur them")
    _add_network(sub)
    _add_live(sub, "stop a camera after so long; default: when Ctrl-C is pressed")
    sub.set_defaults(unsure=0.5)

    sub = _command(add, "app", commands.photo_app_command, data=False, needs=("voila", "anywidget"))
    sub.add_argument("--host", default="127.0.0.1", help="another address opens it to others, who then need a token")
    sub.add_argument("--port", type=int, default=8866)
    sub.add_argument("--no-browser", dest="browser", action="store_false", help="do not open a browser")


def _add_network(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--model", default="fer_net", metavar="NAME")
    sub.add_argument("--detector", default="auto", help="yunet, haar, or auto: YuNet where its file is")


def _add_live(sub: argparse.ArgumentParser, seconds: str) -> None:
    sub.add_argument("--unsure", type=_share, default=0.0, metavar="P",
                     help="call a face unsure whose probability is below this (0 to 1)")
    sub.add_argument("--seconds", type=float, metavar="S", help=seconds)


def _share(text: str) -> float:
    """Read a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return value


def _add_lab(add: Any) -> None:
    sub = _command(add, "export", commands.export_command, data=False, needs=("keras",))
    sub.add_argument("run", metavar="NAME_OR_RUN_DIR")

    sub = _command(add, "push", commands.push_command, data=False)
    sub.add_argument("run", metavar="NAME_OR_RUN_DIR")
    sub.add_argument("repo", metavar="OWNER/NAME", help="its repository there; made if it is not there")
    sub.add_argument("--private", action="store_true", help="only its owner sees it")
    sub.add_argument("--exhibit", action="store_true", help="upload a network of the leaky protocol, too")
    sub.add_argument("--dry-run", action="store_true", help="say what would be uploaded, and upload nothing")

    _command(add, "zoo", commands.zoo_command, data=False, needs=("keras",))

    sub = _command(add, "run", commands.run_command, needs=("papermill", "keras"))
    size = sub.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="minutes: small sample, short training (the default)")
    size.add_argument("--full", action="store_true", help="the report: every network on all faces; days on a CPU")
    sub.add_argument("--only", action="append", default=[], metavar="03,04", help="run these notebooks alone")
    _add_parameter(sub, "set a parameter in every notebook that has it")
    sub.add_argument("--fresh", action="store_true", help="execute also the notebooks that are done")

    sub = _command(add, "figures", commands.figures_command, needs=("papermill", "keras"))
    sub.add_argument("--only", action="append", default=[], metavar="03,04", help="figures of these notebooks alone")
    sub.add_argument("--out", metavar="FOLDER", help="default: figures/")
    sub.add_argument("--check", action="store_true", help="draw them elsewhere, and compare; 1 if one differs")

    sub = _command(add, "demo", commands.demo_command, data=False, needs=("sklearn",))
    sub.add_argument("--out", type=Path, metavar="FILE", help="default: docs/demo.webp")
    sub.add_argument("--frames", type=int, metavar="N", help="so many in its ten seconds; default: 150")

    sub = _command(add, "bench", commands.bench_command, needs=("keras",))
    sub.add_argument("what", choices=["data", "train", "live", "event"])
