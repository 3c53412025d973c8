"""Commands of the project itself: run, figures, demo, site, bench."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from .outcome import Outcome, add_cluster, add_parameter, command, given_cluster, json_or_text, records


def add_lab_commands(add: Any) -> None:
    """Add these commands to the command line."""
    sub = command(add, "run", run_command, needs=("papermill", "keras"))
    size = sub.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="minutes: small sample, short training (the default)")
    size.add_argument("--full", action="store_true", help="the report: every network on all faces; days on a CPU")
    sub.add_argument("--only", action="append", default=[], metavar="03,04", help="run these notebooks alone")
    add_parameter(sub, "set a parameter in every notebook that has it")
    sub.add_argument("--fresh", action="store_true", help="execute also the notebooks that are done")
    add_cluster(sub, "first let the networks be trained by")

    sub = command(add, "figures", figures_command, needs=("papermill", "keras"))
    sub.add_argument("--only", action="append", default=[], metavar="03,04", help="figures of these notebooks alone")
    sub.add_argument("--out", metavar="FOLDER", help="default: figures/")
    sub.add_argument("--check", action="store_true", help="draw them elsewhere, and compare; 1 if one differs")

    sub = command(add, "demo", demo_command, data=False, needs=("sklearn",))
    sub.add_argument("--out", type=Path, metavar="FILE", help="default: docs/demo.webp")
    sub.add_argument("--frames", type=int, metavar="N", help="so many in its ten seconds; default: 150")

    sub = command(add, "site", site_command, data=False)
    sub.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="index.html and fer.html go there")

    sub = command(add, "bench", bench_command, needs=("keras",))
    sub.add_argument("what", choices=["data", "train", "live", "event", "page", "cluster"])


def run_command(args: Namespace) -> Outcome:
    """Execute the notebooks with papermill."""
    from .. import paths
    from ..lab import notebooks

    parameters = {name: json_or_text(value) for name, value in args.parameter}
    profile, only = "full" if args.full else "quick", _numbers(args.only)
    if cluster := given_cluster(args):
        notebooks.train_first(cluster, profile, only, parameters, args.data)
    result = notebooks.run(profile, only, parameters, args.data, args.fresh)
    table = result["table"]
    lines = [""]
    if len(table):
        lines += [f"{result['title']} (the leaky test is an exhibit: most of its faces were trained on)",
                  notebooks.narrow_table(table), ""]
    lines += [f"{result['done']} notebooks executed, {result['skipped']} were already done (--fresh runs them again)",
              f"executed notebooks  {result['executed']}", f"figures             {result['figures']}",
              f"trained networks    {paths.RUNS}"]
    return Outcome({**result, "table": records(table), "runs": paths.RUNS}, "\n".join(lines))


def _numbers(only: list[str]) -> list[str]:
    return [part for text in only for part in text.split(",") if part] or only


def figures_command(args: Namespace) -> Outcome:
    """Draw the committed figures anew, without training, or check that they fit the code."""
    from .. import paths
    from ..lab import figures

    only = _numbers(args.only)
    if not args.check:
        drawn = figures.draw_figures(args.out or paths.FIGURES, only, args.data)
        return Outcome({"figures": drawn}, f"{len(drawn)} files are in {args.out or paths.FIGURES}")
    table = figures.check_figures(args.out or paths.FIGURES, only, args.data)
    failed = not table["state"].isin(["equal", "same", "needs FER+"]).all()
    lines = [table[table["state"] != "equal"].to_string(index=False)] if (table["state"] != "equal").any() else []
    lines.append(f"{(table['state'] == 'equal').sum()} of {len(table)} figures have the same bytes"
                 + ("; `make figures` draws those that differ" if failed else ""))
    return Outcome({"figures": records(table)}, "\n".join(lines), failed)


def demo_command(args: Namespace) -> Outcome:
    """Make the README's moving picture: the live view on a made-up scene."""
    from .. import paths
    from ..lab import demo

    path = args.out or paths.ROOT / "docs" / "demo.webp"
    demo.write_demo(path, demo.FRAMES if args.frames is None else args.frames)
    return Outcome({"file": path, "bytes": path.stat().st_size}, f"{path}: {path.stat().st_size / 1e6:.1f} MB")


def site_command(args: Namespace) -> Outcome:
    """Build the page that needs no server: a folder for a web host, and one file for a double click."""
    from ..lab import webpage

    built = webpage.build_page(args.out)
    lines = [f"{built['folder'] / 'index.html'}: for a web host; loads {built['start_bytes'] / 1e6:.1f} MB",
             f"{built['file']}: the same in one file, {built['file_bytes'] / 1e6:.1f} MB; open it by a double click"]
    return Outcome(built, "\n".join(lines))


def bench_command(args: Namespace) -> Outcome:
    """Time this project against plain ways of doing the same."""
    from ..lab import bench

    result = bench.BENCHES[args.what](args.data)
    return Outcome(result, json.dumps(result, indent=1, ensure_ascii=False))
