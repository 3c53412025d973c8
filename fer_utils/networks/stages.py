"""Recipes: the trainings behind a network, as a short file of stages that anyone can run again.

A stage trains a network, from random weights or from those of an earlier stage, and with earlier stages as teachers; or
it averages the weights of earlier stages. The last stage is the network::

    [[stage]]
    name = "scratch"
    train = "fer_net"
    augment = "light"

    [[stage]]
    name = "taught"
    train = "fer_net"
    start = "scratch"
    teachers = ["scratch"]

    [[stage]]
    name = "mean"
    average = ["scratch", "taught"]

    [promises.PublicTest]
    accuracy = 0.70
"""

import hashlib
import json
import subprocess
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import files, paths
from ..data.faceset import FaceSet
from ..data.split import split
from ..errors import DataError
from . import average, devices, train, zoo
from .recipes import TrainConfig, resolve_precision
from .runs import read_card

if TYPE_CHECKING:
    from .callbacks import Progress

_PROMISED = ("accuracy", "macro_f1", "clean_accuracy")


@dataclass(frozen=True)
class Stage:
    """One stage of a recipe: a training (`config`), or the mean of earlier stages' weights (`averages`)."""

    name: str
    config: TrainConfig | None = None  # its `start` and `teachers` may be names of earlier stages
    averages: tuple[str, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """The stages and shared networks that it needs."""
        if self.config is None:
            return self.averages
        return tuple(filter(None, (self.config.start, *self.config.teachers)))


@dataclass(frozen=True)
class Recipe:
    """The stages that make a network, in order, and the scores that they are to reach on FER2013."""

    name: str
    file: Path
    stages: tuple[Stage, ...]
    promises: dict[str, dict[str, float]]  # for PublicTest: accuracy, macro_f1, clean_accuracy

    def runs(self, fingerprint: str) -> dict[str, str]:
        """Return the name of each stage's run on the data with this `FaceSet.fingerprint`.

        Its last six characters depend on the data, on the stage's settings and on those of all stages that it needs: a
        stage is done again when one of these changes, and only then.
        """
        names: dict[str, str] = {}
        for stage in self.stages:
            settings = stage.config.to_dict() if stage.config else list(stage.averages)
            text = json.dumps([settings, [names.get(each, each) for each in stage.needs], fingerprint], sort_keys=True)
            names[stage.name] = f"{self.name}.{stage.name}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
        return names


def recipe_file(name: Path | str) -> Path:
    """Find a recipe by the name of a shared network, or by its path; DataError lists the recipes."""
    for file in (paths.MODELS / str(name) / "recipe.toml", Path(name)):
        if file.is_file():
            return file
    known = sorted(file.parent.name for file in paths.MODELS.glob("*/recipe.toml"))
    raise DataError(f"no recipe is called {str(name)!r}, and no file is there: "
                    f"{'there are ' + ', '.join(known) if known else f'{paths.MODELS} holds none'}")


def read_recipe(name: Path | str) -> Recipe:
    """Read a recipe, found as `recipe_file` finds it; DataError names the file, the stage and what is wrong there."""
    file = recipe_file(name)
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        stages = _read_stages(content.pop("stage", None))
        promises = _read_promises(content.pop("promises", {}))
        if content:
            raise ValueError(f"unknown {', '.join(content)}; a recipe has stage and promises")
    except (ValueError, TypeError) as error:  # tomllib's own is a ValueError
        raise DataError(f"{file}: {error}") from error
    return Recipe(file.parent.name if file.name == "recipe.toml" else file.stem, file, stages, promises)


def _read_stages(tables: Any) -> tuple[Stage, ...]:
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise ValueError("a recipe needs one [[stage]] or more")
    stages: list[Stage] = []
    for number, table in enumerate(tables, start=1):
        name = table.get("name", f"stage{number}")
        try:
            stage = _read_stage(dict(table), name, [each.name for each in stages])
        except (ValueError, TypeError) as error:
            raise ValueError(f"stage {name!r}: {error}") from error
        stages.append(stage)
    return tuple(stages)


def _read_stage(table: dict[str, Any], name: str, earlier: list[str]) -> Stage:
    if not isinstance(name, str) or not name.replace("_", "").isalnum() or name in earlier:
        raise ValueError("name must be a text of letters, digits and _ that no earlier stage has")
    table.pop("name", None)
    network, averages = table.pop("train", None), table.pop("average", None)
    if (network is None) == (averages is None):
        raise ValueError('say either train = "NETWORK" or average = ["STAGE", …]')
    if averages is not None:
        if table or not isinstance(averages, list) or len(averages) < 2:
            raise ValueError(f"average takes a list of two stages or more and nothing else, got {averages!r}, "
                             f"{', '.join(table) or 'nothing else'}")
        stage = Stage(name, averages=tuple(averages))
    else:
        stage = Stage(name, TrainConfig.for_model(network, **table))
    for needed in stage.needs:
        shared = paths.MODELS / str(needed)
        if needed not in earlier and not (shared / "recipe.toml").is_file():
            raise ValueError(f"{needed!r} is neither an earlier stage ({', '.join(earlier) or 'there is none'}) nor a "
                             "shared network with a recipe of its own")
    return stage


def _read_promises(tables: Any) -> dict[str, dict[str, float]]:
    promised = tables.get("PublicTest", {}) if isinstance(tables, dict) else None
    if not isinstance(promised, dict) or set(tables) - {"PublicTest"} or set(promised) - set(_PROMISED) or not all(
            isinstance(value, float) and 0 <= value <= 1 for value in promised.values()):
        raise ValueError("promises are a table [promises.PublicTest] with numbers from 0.0 to 1.0 for "
                         f"{', '.join(_PROMISED)}, got {tables}")
    return tables


def train_recipe(recipe: Recipe, faces: FaceSet, out: Path | str | None = None, progress: "Progress | None" = "bar",
                 before_stage: Callable[[Stage, Path], object] | None = None) -> Path:
    """Run all stages of a recipe, or go on where a killed run stopped, and return the folder of the network.

    The folder, by default ``models/runs/<recipe>``, is a copy of the last stage's run; its card names the recipe, the
    commit and the stages. Each stage has a run folder of its own in ``models/runs``, and a finished one is not trained
    again. `before_stage` is called with each stage and its folder before it begins. `progress` and what is raised are
    those of `train.train` and `average.average`.
    """
    folder = Path(out) if out else paths.RUNS / recipe.name
    _check_place(folder)
    _check_averages(recipe, faces)
    for stage in recipe.stages:
        if stage.config:
            devices.check_batch_size(stage.config.batch_size)
    runs = recipe.runs(faces.fingerprint())
    last = paths.RUNS / runs[recipe.stages[-1].name]
    for stage in recipe.stages:
        place = paths.RUNS / runs[stage.name]
        if before_stage:
            before_stage(stage, place)
        if stage.config is not None:
            train.train(_with_runs(stage.config, runs), faces, place, progress)
        elif not (place / "card.json").is_file():
            average.average([runs.get(name, name) for name in stage.averages], faces, place)
    seconds = {stage.name: read_card(paths.RUNS / runs[stage.name]).seconds if stage.config else 0.0
               for stage in recipe.stages}
    made = {"file": recipe.file.read_text(encoding="utf-8"), "commit": _commit(),
            "stages": [{"name": name, "run": runs[name], "seconds": seconds[name]} for name in seconds]}
    for name in ("model.keras", "history.csv"):
        files.write_bytes(folder / name, (last / name).read_bytes())
    (folder / "model.onnx").unlink(missing_ok=True)
    files.write_json(folder / "card.json", read_card(last).values | {
        "name": folder.name, "seconds": round(sum(seconds.values()), 1), "recipe": made})
    return folder


def _check_place(folder: Path) -> None:
    """Raise ValueError where a folder holds a network that no recipe has made, or a training that goes on."""
    card = folder / "card.json"
    if (folder / "state.json").is_file() or (card.is_file() and "recipe" not in read_card(folder).values):
        raise ValueError(f"{folder} holds another run, which this recipe would replace; name another folder with --out")


def _check_averages(recipe: Recipe, faces: FaceSet) -> None:
    """Raise ValueError, before any training, where shared weights would be averaged that have learnt other faces."""
    stages = {stage.name for stage in recipe.stages}
    for name in {name for stage in recipe.stages for name in stage.averages} - stages:
        if read_card(name).fingerprint != faces.fingerprint():
            raise ValueError(f"{recipe.file}: averages {name}, which was trained on other faces than {faces.source}; "
                             "name its data with --data")


def _with_runs(config: TrainConfig, runs: dict[str, str]) -> TrainConfig:
    """Name the runs of the stages that a training needs."""
    return replace(config, start=runs.get(config.start, config.start) if config.start else None,
                   teachers=tuple(runs.get(name, name) for name in config.teachers))


def _commit() -> str:
    """Return the commit of this project, with a + where files differ from it; empty outside of git."""
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=paths.ROOT, capture_output=True, text=True,
                              check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + "+" * bool(git("status", "--porcelain", "--", "fer_utils"))
    except (OSError, subprocess.CalledProcessError):
        return ""


def kept_promises(recipe: Recipe, folder: Path) -> list[str]:
    """Say of each score that a recipe promises on FER2013 what the network in a folder has reached."""
    part = read_card(folder).scores.get("PublicTest", {})
    reached = {"accuracy": part.get("accuracy"), "macro_f1": part.get("macro_f1"),
               "clean_accuracy": (part.get("clean") or {}).get("accuracy")}
    return [f"{usage} {name.replace('_', ' ')}: promised {value:.3f}, reached "
            + ("–" if reached[name] is None else f"{reached[name]:.3f}")
            for usage, promised in recipe.promises.items() for name, value in promised.items()]


def recipe_plan(recipe: Recipe, faces: FaceSet) -> pd.DataFrame:
    """Return what a recipe would do: a row for each stage with its name, work, epochs, hours, and whether it is done.

    The hours are those of this computer now: some training steps of each stage are timed.
    """
    runs, rows = recipe.runs(faces.fingerprint()), []
    for stage in recipe.stages:
        done = (paths.RUNS / runs[stage.name] / "card.json").is_file()
        config = stage.config
        work = f"train {config.model}" if config else f"average {' + '.join(stage.averages)}"
        if config and config.start:
            work += f" from {config.start}"
        if config and config.teachers:
            work += f", taught by {' + '.join(config.teachers)}"
        hours = 0.0 if config is None else _seconds(recipe, config, faces) / 3600
        rows.append((stage.name, work, config.epochs if config else 0, hours, done))
    return pd.DataFrame(rows, columns=["stage", "work", "epochs", "hours", "done"])


def _seconds(recipe: Recipe, config: TrainConfig, faces: FaceSet) -> float:
    """Time some steps of a training, and return how long all of it would take here."""
    from .batches import TrainingBatches

    parts = split(faces, config.protocol, config.balance, config.seed)
    alone = replace(config, start=None, teachers=(), teacher_views=0)
    batches = TrainingBatches(parts.train, alone, zoo.network(config.model).spec, class_weight=parts.class_weight)
    precision = resolve_precision(config.precision)
    model = zoo.build(config.model, precision, weights=config.weights, download=False, any_size=bool(config.crop))
    train.compile_model(model, config, len(batches))
    step = _usual_seconds(lambda i: model.train_on_batch(*batches[i % len(batches)]))
    # Without training a step is about a third of the work; PublicTest is seen after each epoch.
    epoch = len(batches) * step + len(parts.validation) / batches.size * step / 3
    passes = min(config.teacher_views, config.epochs) or 2
    taught = sum(passes * len(batches) * _seconds_to_answer(_network_of(recipe, name), precision, batches.size)
                 for name in config.teachers)
    batches.release()
    return config.epochs * epoch + taught


def _seconds_to_answer(network: str, precision: str, n: int) -> float:
    """Return how long a network takes for a batch of `n` faces."""
    model = zoo.build(network, precision)
    batch = np.zeros((n, *zoo.network(network).spec.input_shape), np.float32)
    return _usual_seconds(lambda i: model.predict_on_batch(batch))


def _network_of(recipe: Recipe, name: str) -> str:
    """Return the name of the network that an earlier stage or a shared network is."""
    stage = next((stage for stage in recipe.stages if stage.name == name), None)
    if stage is None:
        return read_card(name).model
    return stage.config.model if stage.config else _network_of(recipe, stage.averages[-1])


def _usual_seconds(action: Callable[[int], object], steps: int = 5) -> float:
    """Return the median time of some steps, after two that compile."""
    times = []
    for i in range(steps + 2):
        start = time.perf_counter()
        action(i)
        times.append(time.perf_counter() - start)
    return float(np.median(times[2:]))
