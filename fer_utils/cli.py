"""The command line: ``python -m fer_utils COMMAND``; ``--help`` lists the commands."""

import argparse
import io
import json
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from typing import NoReturn

from . import errors
from .commands import event, faces, lab, scores, training, tuning


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
    except (ValueError, OSError, RuntimeError, errors.MissingExtraError) as error:  # DataError, NotebookError too
        print(f"fer_utils {args.called}: {_sentence(error)}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ImportError) as stop:
        # Ctrl-C while a library loads may end as that library's ImportError.
        if isinstance(stop, ImportError) and not isinstance(stop.__cause__, KeyboardInterrupt):
            raise
        resumes = args.called in ("train", "tune", "run", "event", "label")
        goes_on = ": the same command goes on from there" if resumes else ""
        said = isinstance(stop, KeyboardInterrupt) and str(stop) or f"Stopped. What was finished is kept{goes_on}."
        print(f"\n{said}", file=sys.stderr)
        return 130
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that is not UTF-8, or not of this console, is no failure
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(json.dumps(outcome.result, default=os.fspath) if args.json else outcome.text, flush=True)
    except OSError as error:
        # Python writes what is left once more when it ends, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # `| head` has read all that it wanted
            print(f"fer_utils {args.called}: it is done, but what it says could not be written ({error}); make room "
                  "there, or name another file", file=sys.stderr)
            return 1
    return 1 if outcome.failed else 0


def _sentence(error: Exception) -> str:
    """Return what an error says; the system's own errors do not say what to do."""
    place = isinstance(error, OSError) and (error.filename2 or error.filename)
    if not isinstance(error, OSError) or not error.strerror or not isinstance(place, (str, bytes, os.PathLike)):
        return str(error)
    from . import files  # which loads numpy

    name = files.PART.sub("", os.fsdecode(place))
    return (f"{name}: {error.strerror}; is this the right place, may you read and write there, and is there room on "
            "the disk?")


def _parser() -> _Parser:
    parser = _Parser(prog="python -m fer_utils", description=__doc__)
    add = parser.add_subparsers(dest="called", required=True, metavar="COMMAND")
    training.add_training_commands(add)
    tuning.add_tuning_commands(add)
    scores.add_scores_commands(add)
    faces.add_faces_commands(add)
    event.add_event_command(add)
    lab.add_lab_commands(add)
    return parser
