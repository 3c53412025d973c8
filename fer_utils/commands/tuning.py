"""Command of a search for settings: tune."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from .outcome import Outcome, add_cluster, add_parameter, command, given_cluster, json_or_text, records


def add_tuning_commands(add: Any) -> None:
    """Add this command to the command line."""
    sub = command(add, "tune", tune_command, needs=("keras", "optuna"))
    sub.add_argument("model", metavar="NAME", help="a network that `zoo` lists")
    sub.add_argument("--trials", type=int, default=20, metavar="N", help="trainings in all; default: 20")
    sub.add_argument("--search", action="append", default=[], metavar="FIELD=VALUES",
                     help="search this field of TrainConfig: learning_rate=1e-4..1e-2 or augment=none,light; may be "
                          "given several times; default: learning_rate, augment, label_smoothing, mixup, batch_size")
    add_parameter(sub, "set another field of TrainConfig in all trials, such as epochs 10")
    sub.add_argument("--sample", type=int, metavar="N", help="search on a stratified sample of N faces of the data")
    add_cluster(sub, "let the trials be trained by")
    sub.add_argument("--out", type=Path, metavar="DIR", help="where the search is kept; default: "
                                                             "models/runs/tune-NAME")


def tune_command(args: Namespace) -> Outcome:
    """Search the settings of a training with Optuna, by clean PublicTest faces alone; a stopped search goes on."""
    from .. import paths, plots
    from ..data import load
    from ..networks import sweep, tune

    space, cluster = dict(map(_search, args.search)) or tune.SPACE, given_cluster(args)
    fixed = {name: json_or_text(value) for name, value in args.parameter}
    faces = load.load(args.data)
    title = faces.title
    if args.sample:
        title += f", {min(args.sample, len(faces)):,} of {len(faces):,} faces"
        faces = load.sample(faces, args.sample)
    out = args.out or paths.RUNS / f"tune-{args.model}"
    if cluster:
        source = sweep.FacesFrom.of(faces, args.data, args.sample or 0)
        study = sweep.tune_on_cluster(tune.Search(args.model, args.trials, space, fixed), source, out, *cluster)
    else:
        study = tune.tune(args.model, faces, out, args.trials, space, **fixed)
    table, mattered = tune.trials_table(study), tune.what_mattered(study)
    best, ended = tune.best_settings(study), int((~table["stopped"].astype(bool)).sum())
    picture, _ = plots.save_figure(plots.plot_tuning(table, mattered, title), "tuning", out)
    again = " ".join(f"-p {name} {value}" for name, value in (fixed | best).items())
    lines = [table.head(10).to_string(index=False, float_format="{:.4g}".format), "",
             *(f"{name} explains {share:.0%} of the variance among the {ended} trials that were trained to their end"
               for name, share in mattered.items()),
             f"Train with the best: python -m fer_utils train --model {args.model} {again}",
             "These accuracies choose, so they flatter; score the winner once, with evaluate.", f"Figure: {picture}"]
    return Outcome({"out": out, "best": best, "trials": records(table), "importance": mattered.to_dict(),
                    "figure": picture}, "\n".join(lines))


def _search(text: str) -> tuple[str, Any]:
    from ..networks.tune import Choice

    name, equals, values = text.partition("=")
    if not equals:
        raise ValueError(f"--search {text}: write FIELD=VALUES, such as learning_rate=1e-4..1e-2")
    return name.strip(), Choice.parse(values)
