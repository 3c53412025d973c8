"""Execute the notebooks with papermill, 03 once for each training; a stopped run goes on where it was."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from .. import files, paths
from ..data.load import load, sample
from ..errors import DataError
from ..evaluation.tables import results_table
from ..metrics import with_interval
from ..networks.recipes import TrainConfig
from ..networks.runs import read_card

TRAINING_PARAMETERS = ("model", "protocol", "balance", "augment", "epochs", "seed")
"""Fields of `TrainConfig` that notebook 03 has a parameter for; the others go into its ``overrides``."""


@dataclass(frozen=True)
class Profile:
    """What one kind of run trains, and on how many faces."""

    sample: int  # so many faces of a real data set, stratified by usage and emotion; 0 means all
    grid: tuple[dict[str, Any], ...]  # arguments of `TrainConfig.for_model`, one run of notebook 03 for each
    others: dict[str, Any] = field(default_factory=dict)  # added to the recipe of a network that the grid lacks
    parameters: dict[str, Any] = field(default_factory=dict)  # of every notebook that has them


# The quick recipes are short: they show how everything works, not what the networks can do. They take the two smallest
# networks, which train in minutes on an old processor too.
_SHORT: dict[str, Any] = {"batch_size": 32, "schedule": "cosine", "patience": 0, "precision": "auto"}
# A high rate and small batches: batch normalisation's moving averages must settle in few steps on few faces.
_MINI: dict[str, Any] = {"model": "mini_xception", "augment": "none", "learning_rate": 3e-3, **_SHORT}
PROFILES = {
    "quick": Profile(10_000, (
        {**_MINI, "epochs": 6},
        {**_MINI, "epochs": 3, "protocol": "leaky"},
        {"model": "fer_net_tiny", "epochs": 10, "batch_size": 32, "augment": "arriaga", "ema": 0.99,
         "warmup_epochs": 1},
    ), {"epochs": 8, **_SHORT}, {"by_hand": 500, "persons": 30}),  # notebook 03 trains by hand each time
    "full": Profile(0, (
        {"model": "cnn5_bn"}, {"model": "cnn5_bn", "balance": "none"}, {"model": "cnn5_bn", "balance": "class_weights"},
        {"model": "cnn5_bn", "protocol": "leaky"},
        {"model": "cnn3"}, {"model": "cnn3", "augment": "project_b"},
        {"model": "vgg16"}, {"model": "vgg16", "augment": "project_b"},
        {"model": "cnn4_wide"}, {"model": "cnn_rgb100"}, {"model": "mini_xception"},
        {"model": "fer_net"}, {"model": "fer_net", "seed": 1}, {"model": "fer_net", "seed": 2},
    )),
}
"""What ``--quick`` and ``--full`` train."""


class NotebookError(RuntimeError):
    """Say which notebook and cell failed, with the cell's traceback."""


@dataclass(frozen=True)
class Job:
    """One notebook to execute."""

    source: Path
    output: Path
    parameters: dict[str, Any]
    fingerprint: str = ""  # of the faces that it reads
    writes: Path | None = None  # a file without which the job is not done
    config: TrainConfig | None = None  # of the training whose card that is


class Plan(NamedTuple):
    """What a run executes: its jobs, the names of the training runs that they make or read, and what the faces are."""

    jobs: list[Job]
    runs: list[str]
    title: str


def notebook_sources(only: Sequence[str] | None = None) -> list[Path]:
    """Return the numbered notebooks, all or those whose numbers are in `only` ("03", "3" or "03_train")."""
    found = sorted(paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise DataError(f"{paths.NOTEBOOKS}: the project's notebooks are not there; run this in the folder of the "
                        "project, or name that folder in FER_ROOT")
    if not only:
        return found
    wanted = {str(name).split("_")[0].zfill(2): str(name) for name in only}
    missing = sorted(wanted[number] for number in wanted.keys() - {p.name[:2] for p in found})
    if missing:
        raise ValueError(f"no notebook is numbered {', '.join(missing)}; there are "
                         f"{', '.join(p.stem for p in found)}")
    return [p for p in found if p.name[:2] in wanted]


def notebook_parameters(path: Path | str) -> dict[str, str]:
    """Return name and default (as source code) of each parameter in the cell that is tagged ``parameters``."""
    import papermill

    return {name: entry["default"] for name, entry in papermill.inspect_notebook(str(path)).items()}


def plan(profile: str, only: Sequence[str] | None = None, parameters: dict[str, Any] | None = None,
         data: str | None = None) -> Plan:
    """Lay out the notebooks of a run of `PROFILES`, without executing any.

    `only` holds numbers of notebooks; `parameters` go to every notebook that has them, and one of them must.
    """
    parameters = dict(parameters or {})
    data = parameters.pop("data", data)  # it names the runs too, so it must be one for all notebooks
    overrides = parameters.pop("overrides", {})
    sources = notebook_sources(only)
    known = {source: notebook_parameters(source) for source in sources}
    have = sorted(set().union(*known.values()))
    for name in parameters:
        if name not in have:
            raise ValueError(f"no notebook of this run has the parameter {name!r}; there are {', '.join(have)}")
    faces = load(data)
    size = parameters.get("sample", 0 if faces.drawn else PROFILES[profile].sample)
    if size:
        faces = sample(faces, size)
    # The notebooks run in their own folder, where a relative path would mean another place.
    place = data if data is None or data.startswith("drawn") else str(Path(data).resolve())
    common = PROFILES[profile].parameters | {"data": place, "sample": size}
    chosen = {k: v for k, v in parameters.items() if k in TRAINING_PARAMETERS} | overrides
    model = parameters.get("model")
    grid = [entry for entry in PROFILES[profile].grid if model in (None, entry["model"])]
    trainings = [{**entry, **chosen} for entry in grid or [{"model": model, **PROFILES[profile].others}]]
    fingerprint = faces.fingerprint()
    configs = [TrainConfig.for_model(**entry) for entry in trainings]
    runs = {config.run_name(fingerprint): (config, entry) for config, entry in zip(configs, trainings)}
    jobs = []
    for source in sources:
        given = {k: v for k, v in {"runs": list(runs), **common, **parameters}.items() if k in known[source]}
        output = paths.EXECUTED / profile / source.name
        if source.stem != "03_train":
            jobs.append(Job(source, output, given, fingerprint))
            continue
        for name, (config, entry) in runs.items():
            # The notebook's own default is a short training; None asks for the recipe's epochs.
            shown = {"epochs": None} | {k: v for k, v in entry.items() if k in TRAINING_PARAMETERS}
            hidden = {k: v for k, v in entry.items() if k not in TRAINING_PARAMETERS}
            jobs.append(Job(source, output.with_name(f"{source.stem}-{name}.ipynb"),
                            {**given, **shown, "overrides": hidden}, fingerprint, paths.RUNS / name / "card.json",
                            config))
    return Plan(jobs, list(runs), faces.title)


def run(profile: str = "quick", only: Sequence[str] | None = None, parameters: dict[str, Any] | None = None,
        data: str | None = None, fresh: bool = False) -> dict[str, Any]:
    """Execute the notebooks of a `plan`, except those that were already executed as they now are, unless `fresh`.

    One progress bar counts the code cells of all notebooks. A failed cell raises `NotebookError`; the executed copy up
    to there is kept. Returns ``table`` (`results_table` of the runs that are there), ``title``, ``executed`` and
    ``figures`` (folders), ``done`` and ``skipped`` (numbers of notebooks).
    """
    from tqdm import tqdm

    jobs, runs, title = plan(profile, only, parameters, data)
    if "runs" not in (parameters or {}):
        _need_trainings(jobs, runs)
    # The report's figures are committed; a quick run must not replace them by lesser ones. Kernels inherit this.
    figures = paths.FIGURES if profile == "full" else paths.FIGURES / profile
    os.environ["FER_FIGURES"] = str(figures)
    package = _package_hash()
    todo = [job for job in jobs if fresh or not _is_done(job, package)]
    with tqdm(total=sum(map(_code_cells, todo)), unit="cell", dynamic_ncols=True) as bar:
        for job in todo:
            bar.set_description(job.output.stem)
            execute(job, lambda **cell: bar.update())
            files.write_text(_done_file(job), _job_hash(job, package))
    cards = [read_card(paths.RUNS / name) for name in runs if (paths.RUNS / name / "card.json").is_file()]
    return {"table": results_table(cards), "title": title, "executed": paths.EXECUTED / profile, "figures": figures,
            "done": len(todo), "skipped": len(jobs) - len(todo)}


def train_first(cluster: tuple[str, int | None], profile: str = "quick", only: Sequence[str] | None = None,
                parameters: dict[str, Any] | None = None, data: str | None = None) -> None:
    """Train the networks of a `plan` on a cluster, so that its notebooks find them finished.

    `cluster` is a Dask scheduler's address, or local:4 for four processes here, and the threads of each worker (None:
    a share of the cores). What is raised is that of `sweep.train_all`.
    """
    from ..networks import sweep

    trainings = {job.writes.parent: job.config for job in plan(profile, only, parameters, data).jobs
                 if job.writes and job.config}
    if not trainings:
        raise ValueError("--cluster trains networks, and only notebook 03 does so: add it to --only")
    given = parameters or {}
    data = given.get("data", data)
    faces = load(data)
    size = given.get("sample", 0 if faces.drawn else PROFILES[profile].sample)
    faces = sample(faces, size) if size else faces
    sweep.train_all(trainings, sweep.FacesFrom.of(faces, data, size), *cluster)


def _need_trainings(jobs: Sequence[Job], runs: Sequence[str]) -> None:
    """Raise `DataError` where notebooks read trainings that are not there and that no job makes."""
    made = {job.writes for job in jobs}
    missing = [name for name in runs if not {card := paths.RUNS / name / "card.json"} & made and not card.is_file()]
    readers = [job.source.stem[:2] for job in jobs if "runs" in job.parameters]
    if readers and missing:
        raise DataError(f"{', '.join(readers)}: what is read there has not been trained yet ({', '.join(missing)}): "
                        f"train first, with --only {','.join(['03', *readers])}; or take the shared networks, which "
                        "were trained on all of FER2013: -p runs [] -p sample 0")


def narrow_table(table: pd.DataFrame) -> str:
    """Return a table of `results_table` as text of at most 100 columns, best network first."""
    rows = table.to_dict("records")
    shown = pd.DataFrame({
        "network": [row["label"] if len(row["label"]) <= 34 else f"{row['label'][:33]}…" for row in rows],
        "scored on": table["scored_on"],
        "accuracy": [with_interval(row["accuracy"], (row["low"], row["high"]), percent=True) for row in rows],
        "macro-F1": table["macro_f1"].map("{:.3f}".format),
        "clean": [with_interval(row["clean_accuracy"], None, percent=True) for row in rows],
        "epochs": table["epochs"], "minutes": table["minutes"].map("{:.1f}".format)})
    return shown.to_string(index=False, justify="right")


def _code_cells(job: Job) -> int:
    cells = json.loads(job.source.read_text(encoding="utf-8"))["cells"]
    # Papermill adds a cell that sets the parameters.
    return sum(cell["cell_type"] == "code" for cell in cells) + bool(job.parameters)


def execute(job: Job, after_cell: Callable[..., object] | None = None) -> None:
    """Execute a notebook; `after_cell` is nbclient's hook ``on_cell_executed``.

    NotebookError: a cell failed. The executed copy, up to there, is kept.
    """
    import papermill

    # The environment's own kernel, not one of that name that another project left in the user's folder.
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    job.output.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(job.source, job.output, parameters=job.parameters, kernel_name="python3",
                                   cwd=paths.NOTEBOOKS, progress_bar=False, on_cell_executed=after_cell,
                                   store_widget_state=False,  # it can hold what somebody uploaded
                                   # Kernels warn at each start that they listen on this machine; keep the bar whole.
                                   extra_arguments=["--IPKernelApp.log_level=40"])
    except papermill.PapermillExecutionError as error:
        trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))  # no colours: it may go to a file
        raise NotebookError(f"{job.source.name}, cell In[{error.exec_count}]: {error.ename}: {error.evalue}\n{trace}\n"
                            f"The executed copy, up to there: {job.output}") from None


def _package_hash() -> str:
    """Return a hash of all files of this package: its modules, templates, and what the browser gets."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        name = path.relative_to(package).as_posix()
        if path.is_file() and not re.search(r"(^|/)(\.|__pycache__)", name):  # no caches, no hidden files
            digest.update(f"{name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _job_hash(job: Job, package: str) -> str:
    text = job.source.read_text(encoding="utf-8") + json.dumps(job.parameters, sort_keys=True, default=str)
    text += job.fingerprint + package
    if job.writes is None:  # a training reads no other network's card
        text += "".join(card.read_text(encoding="utf-8") for card in sorted(paths.MODELS.glob("*/card.json")))
    return hashlib.sha256(text.encode()).hexdigest()


def _done_file(job: Job) -> Path:
    return job.output.with_suffix(".done")


def _is_done(job: Job, package: str) -> bool:
    mark = _done_file(job)
    return (job.output.is_file() and mark.is_file() and mark.read_text(encoding="utf-8") == _job_hash(job, package)
            and (job.writes is None or job.writes.is_file()))
