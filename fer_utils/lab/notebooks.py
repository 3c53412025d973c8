"""Running the notebooks with papermill, 03 once for each training, resuming where it stopped."""
import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from .. import paths
from ..data.load import load, sample
from ..evaluation.tables import results_table
from ..networks.recipes import TrainConfig
from ..networks.runs import read_card

TRAINING_PARAMETERS = ("model", "protocol", "balance", "augment", "epochs", "seed")
"""Fields of `TrainConfig` that notebook 03 has a parameter for; the others go into its ``overrides``."""


@dataclass(frozen=True)
class Profile:
    """What one kind of run trains, and on how many faces.

    Parameters
    ----------
    sample : int
        Faces of a real data set to use, stratified by usage and emotion; 0 for all.
    grid : tuple of dict
        One `TrainConfig.for_model` call each, and so one run of notebook 03 each.
    others : dict
        What differs from its own recipe where a network is asked for that the grid does not have.
    """

    sample: int
    grid: tuple
    others: dict = field(default_factory=dict)


# The quick recipes are short: their networks show how everything works, not what the networks can do. The two smallest
# networks, so that they are trained in minutes on an old processor too.
_SHORT = {"batch_size": 32, "schedule": "cosine", "patience": 0, "precision": "auto"}
# A high rate and small batches: the moving averages of so few steps must settle on a few thousand drawn faces too.
_MINI = {"model": "mini_xception", "augment": "none", "learning_rate": 3e-3, **_SHORT}
PROFILES = {
    "quick": Profile(10_000, (
        {**_MINI, "epochs": 6},
        {**_MINI, "epochs": 3, "protocol": "leaky"},
        {"model": "fer_net_tiny", "epochs": 10, "batch_size": 32, "augment": "arriaga", "ema": 0.99,
         "warmup_epochs": 1},
    ), {"epochs": 8, **_SHORT}),
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
    """One notebook to execute: its source, where the executed copy goes, and its parameters.

    ``fingerprint`` is that of the faces it reads, ``writes`` what else must be there for it to be done.
    """

    source: Path
    output: Path
    parameters: dict
    fingerprint: str = ""
    writes: Path | None = None


def notebook_sources(only=None):
    """Return the numbered notebooks, all or those whose numbers are in `only` ("03", "3" or "03_train").

    Raises
    ------
    ValueError
        A number that no notebook has.
    """
    found = sorted(paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    if not only:
        return found
    wanted = {str(name).split("_")[0].zfill(2) for name in only}
    missing = wanted - {p.name[:2] for p in found}
    if missing:
        raise ValueError(f"no notebook is numbered {', '.join(sorted(missing))}; there are "
                         f"{', '.join(p.stem for p in found)}")
    return [p for p in found if p.name[:2] in wanted]


def notebook_parameters(path):
    """Return a notebook's parameters as papermill reads them from its cell tagged ``parameters``: name → default."""
    import papermill

    return {name: entry["default"] for name, entry in papermill.inspect_notebook(str(path)).items()}


def plan(profile, only=None, parameters=None, data=None):
    """Lay out the notebooks of a run.

    Parameters
    ----------
    profile : str
        "quick" or "full".
    only : list of str, optional
        Numbers of the notebooks to run.
    parameters : dict, optional
        Values for parameters, for every notebook that has them.
    data : str, optional
        The data set; by default what `datasets.find` finds, else drawn faces.

    Returns
    -------
    jobs : list of Job
    runs : list of str
        Names of the training runs that the jobs make or read, in the grid's order.
    title : str
        What the faces are.

    Raises
    ------
    ValueError
        A parameter that no chosen notebook has.
    """
    parameters = dict(parameters or {})
    data = parameters.pop("data", data)  # it names the runs too, so it must be one for all notebooks
    overrides = parameters.pop("overrides", {})
    sources = notebook_sources(only)
    known = {source: notebook_parameters(source) for source in sources}
    for name in parameters:
        if not any(name in names for names in known.values()):
            have = sorted(set().union(*known.values()))
            raise ValueError(f"no notebook of this run has the parameter {name!r}; there are {', '.join(have)}")
    faces = load(data)
    size = parameters.get("sample", 0 if faces.drawn else PROFILES[profile].sample)
    if size:
        faces = sample(faces, size)
    # The notebooks run in their own folder, where a relative path would mean another place.
    common = {"data": data if data is None or data.startswith("drawn") else str(Path(data).resolve()), "sample": size}
    trainings = [{**entry, **{k: v for k, v in parameters.items() if k in TRAINING_PARAMETERS}, **overrides}
                 for entry in _grid(profile, parameters.get("model"))]
    fingerprint = faces.fingerprint()
    runs = {TrainConfig.for_model(**entry).run_name(fingerprint): entry for entry in trainings}
    folder = paths.EXECUTED / profile
    jobs = []
    for source in sources:
        given = {k: v for k, v in {"runs": list(runs), **common, **parameters}.items() if k in known[source]}
        if source.stem != "03_train":
            jobs.append(Job(source, folder / source.name, given, fingerprint))
            continue
        for name, entry in runs.items():
            shown = {k: v for k, v in entry.items() if k in TRAINING_PARAMETERS}
            hidden = {k: v for k, v in entry.items() if k not in TRAINING_PARAMETERS}
            jobs.append(Job(source, folder / f"{source.stem}-{name}.ipynb", {**given, **shown, "overrides": hidden},
                            fingerprint, paths.RUNS / name / "card.json"))
    return jobs, list(runs), faces.title


def _grid(profile, model):
    """Return a profile's training runs; where one model is asked for, that one's."""
    chosen = PROFILES[profile]
    if model is None:
        return chosen.grid
    return [entry for entry in chosen.grid if entry["model"] == model] or [{"model": model, **chosen.others}]


def run(profile="quick", only=None, parameters=None, data=None, fresh=False):
    """Execute a profile's notebooks with one progress bar, leaving out those already executed as they now are.

    Parameters
    ----------
    profile, only, parameters, data
        As `plan` takes them.
    fresh : bool
        Execute also what is done.

    Returns
    -------
    dict
        ``table`` (DataFrame, `evaluate.results_table` of the runs that are there), ``title``, ``executed`` and
        ``figures`` (folders), ``done`` and ``skipped`` (counts of notebooks).

    Raises
    ------
    NotebookError
        A cell failed; the executed copy is kept.
    """
    from tqdm import tqdm

    jobs, runs, title = plan(profile, only, parameters, data)
    # The report's figures are committed; a quick run must not replace them by lesser ones. Kernels inherit this.
    figures = paths.FIGURES if profile == "full" else paths.FIGURES / profile
    os.environ["FER_FIGURES"] = str(figures)
    folder = paths.EXECUTED / profile
    folder.mkdir(parents=True, exist_ok=True)
    package = _package_hash()
    todo = [job for job in jobs if fresh or not _is_done(job, package)]
    with tqdm(total=sum(_cells(job.source) for job in todo), unit="cell", dynamic_ncols=True) as bar:
        for job in todo:
            bar.set_description(job.output.stem)
            _execute(job, bar)
            _mark_done(job, package)
    cards = []
    for name in runs:
        if (paths.RUNS / name / "card.json").is_file():
            cards.append(read_card(paths.RUNS / name))
    return {"table": results_table(cards), "title": title, "executed": folder, "figures": figures,
            "done": len(todo), "skipped": len(jobs) - len(todo)}


def _cells(source):
    # One more than it has: papermill adds a cell with the parameters.
    return len(json.loads(source.read_text(encoding="utf-8"))["cells"]) + 1


def _execute(job, bar):
    import papermill

    _register_engine()
    _OneBar.bar = bar
    # The environment's own kernel, not one of that name that another project left in the user's folder.
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")
    try:
        papermill.execute_notebook(str(job.source), str(job.output), parameters=job.parameters, engine_name="one_bar",
                                   kernel_name="python3", cwd=str(paths.NOTEBOOKS), progress_bar=False,
                                   store_widget_state=False,  # it can hold what somebody uploaded
                                   # Kernels warn at each start that they listen on this machine; keep the bar whole.
                                   extra_arguments=["--IPKernelApp.log_level=40"])
    except papermill.PapermillExecutionError as error:
        trace = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))  # no colours: it may go to a file
        raise NotebookError(f"{job.source.name}, cell In[{error.exec_count}]: {error.ename}: {error.evalue}\n{trace}\n"
                            f"The executed copy, up to there: {job.output}") from None


def _register_engine():
    """Teach papermill an engine that moves our one bar on by each finished cell."""
    global _OneBar
    from papermill.engines import NBClientEngine, papermill_engines

    if _OneBar is not None:
        return

    class OneBar(NBClientEngine):
        bar = None

        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, **options):
            complete = nb_man.cell_complete

            def cell_complete(*args, **kwargs):
                complete(*args, **kwargs)
                cls.bar.update()

            nb_man.cell_complete = cell_complete
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    _OneBar = OneBar
    papermill_engines.register("one_bar", OneBar)


_OneBar = None


def _package_hash():
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _job_hash(job, package):
    text = job.source.read_text(encoding="utf-8") + json.dumps(job.parameters, sort_keys=True, default=str)
    text += job.fingerprint + package
    if job.writes is None:  # a training reads no other network's card
        text += "".join(card.read_text(encoding="utf-8") for card in sorted(paths.MODELS.glob("*/card.json")))
    return hashlib.sha256(text.encode()).hexdigest()


def _done_file(job):
    return job.output.with_suffix(".done")


def _is_done(job, package):
    mark = _done_file(job)
    return (job.output.is_file() and mark.is_file() and mark.read_text() == _job_hash(job, package)
            and (job.writes is None or job.writes.is_file()))


def _mark_done(job, package):
    _done_file(job).write_text(_job_hash(job, package))
