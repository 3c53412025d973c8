"""What a command found, and what several commands need."""

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Outcome:
    """What a command found."""

    result: dict[str, Any]  # what ``--json`` prints
    text: str  # the same for people
    failed: bool = False  # some of its inputs did: the exit status is 1


Command = Callable[[argparse.Namespace], Outcome]


def command(add: Any, name: str, action: Command, data: bool = True,
            needs: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Add a subcommand, whose help is the docstring of the function that it calls.

    `needs` are libraries of `errors.EXTRAS` that are looked for before any work.
    """
    text = (action.__doc__ or " ").removesuffix(".")
    text = text[0].lower() + text[1:]
    sub = add.add_parser(name, help=text, description=text)
    sub.set_defaults(command=action, needs=needs)
    sub.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    if data:
        sub.add_argument("--data", metavar="PATH", help="FER2013 in any layout; default: what data/ holds, "
                                                        "else drawn faces")
    return sub


def add_parameter(sub: argparse.ArgumentParser, text: str) -> None:
    """Add -p NAME VALUE, which may be given several times."""
    sub.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help=text)


def add_cluster(sub: argparse.ArgumentParser, what: str) -> None:
    """Add --cluster, whose help begins with `what`, and --threads."""
    sub.add_argument("--cluster", metavar="ADDRESS", help=f"{what} the workers of a Dask scheduler, as "
                                                          "tcp://10.0.0.1:8786; or local:4, four processes here")
    sub.add_argument("--threads", type=int, metavar="N", help="with --cluster: TensorFlow's threads in each worker; "
                                                              "default: the cores, divided among the workers there")


def given_cluster(args: argparse.Namespace) -> tuple[str, int | None] | None:
    """Return address and threads of --cluster; None where it is not given."""
    if args.cluster is None:
        if args.threads is not None:
            raise ValueError("--threads goes with --cluster")
        return None
    from ..errors import need
    from ..workers import processes_of

    need("distributed")
    processes_of(args.cluster)  # ValueError: it is no address
    return args.cluster, args.threads


def add_network(sub: argparse.ArgumentParser) -> None:
    """Add --model and --detector."""
    sub.add_argument("--model", default="fer_net", metavar="NAME")
    sub.add_argument("--detector", default="auto", help="yunet, haar, or auto: YuNet where its file is")


def add_live(sub: argparse.ArgumentParser, seconds: str) -> None:
    """Add --unsure, and --seconds, whose help is `seconds`."""
    sub.add_argument("--unsure", type=_share, default=0.0, metavar="P",
                     help="call a face unsure whose probability is below this (0 to 1)")
    sub.add_argument("--seconds", type=float, metavar="S", help=seconds)


def _share(text: str) -> float:
    """Read a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return value


def json_or_text(text: str) -> Any:
    """Read a parameter's value as JSON, or as plain text where it is none.

    >>> json_or_text("3"), json_or_text("fer_net")
    (3, 'fer_net')
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def records(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return the rows of a table as JSON holds them."""
    return json.loads(table.to_json(orient="records"))


def score_line(usage: str, part: dict[str, Any]) -> str:
    """Write the scores of one part as a line."""
    from .. import metrics

    low, high = part["accuracy_interval"]
    f1_low, f1_high = part["macro_f1_interval"]
    text = (f"{usage}: accuracy {part['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}), "
            f"macro-F1 {part['macro_f1']:.3f} ({f1_low:.3f} to {f1_high:.3f}), {part['n']:,} faces")
    clean = part.get("clean") or {}
    if clean.get("accuracy") is not None:
        macro_f1 = "–" if clean["macro_f1"] is None else f"{clean['macro_f1']:.3f}"
        mix = metrics.clean_same_mix(part)
        same_mix = "" if math.isnan(mix) else f" ({mix:.1%} on the same mix of classes)"  # a class has no clean face
        text += (f"; on the {clean['n']:,} without a copy in Training: accuracy {clean['accuracy']:.1%}{same_mix}, "
                 f"macro-F1 {macro_f1}")
    return text
