import dataclasses
import json

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from fer_utils import paths
from fer_utils.errors import DataError
from fer_utils.lab import notebooks
from fer_utils.networks import sweep
from fer_utils.networks.recipes import TrainConfig


def write_notebook(folder, name, parameters, *code):
    cells = [new_markdown_cell(f"# {name}"), new_code_cell(parameters, metadata={"tags": ["parameters"]}),
             *[new_code_cell(source) for source in code]]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / f"{name}.ipynb")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A small project: two notebooks of which the second counts how often it ran."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(paths, "EXECUTED", tmp_path / "executed")
    monkeypatch.setattr(paths, "NOTEBOOKS", folder)
    write_notebook(folder, "01_one", "data = None\nsample = 0\nword = 'a'", "print(word)")
    write_notebook(folder, "02_two", "data = None\ntimes = 1", "open('count', 'a').write('x' * times)")
    return tmp_path


def test_notebooks_run_once_with_one_bar_and_again_only_when_something_changed(project, capsys):
    first = notebooks.run("quick", data="drawn:60")
    assert (first["done"], first["skipped"]) == (2, 0)
    bar = capsys.readouterr().err
    assert "01_one" in bar and "02_two: 100%" in bar and "6/6" in bar, "its code cells and the parameters' of both"
    again = notebooks.run("quick", data="drawn:60")
    assert (again["done"], again["skipped"]) == (0, 2)
    changed = notebooks.run("quick", parameters={"times": 2}, data="drawn:60")
    assert (changed["done"], changed["skipped"]) == (1, 1)
    notebooks.run("quick", only=["2"], data="drawn:60", fresh=True)
    assert (project / "notebooks" / "count").read_text() == "x" + "xx" + "x"
    executed = nbformat.read(project / "executed" / "quick" / "01_one.ipynb", 4)
    assert executed.metadata.papermill.parameters["data"] == "drawn:60"


def test_other_faces_and_lost_runs_are_done_again(project):
    notebooks.run("quick", data="drawn:60")
    other = notebooks.run("quick", data="drawn:60", parameters={"sample": 30})
    assert other["done"] == 2
    executed = project / "executed" / "quick" / "01_one.ipynb"
    job = notebooks.Job(project / "notebooks" / "01_one.ipynb", executed, {}, "faces", project / "card.json")
    notebooks._done_file(job).write_text(notebooks._job_hash(job, "package"))
    assert not notebooks._is_done(job, "package"), "its run folder has gone"
    (project / "card.json").write_text("{}")
    assert notebooks._is_done(job, "package")
    assert not notebooks._is_done(dataclasses.replace(job, fingerprint="other faces"), "package")


def test_every_file_of_the_package_counts_as_a_change(tmp_path, monkeypatch):
    module = tmp_path / "fer_utils" / "lab" / "notebooks.py"
    for path in (module, module.parents[1] / "live" / "static" / "camera.js"):
        path.parent.mkdir(parents=True)
        path.write_text("")
    monkeypatch.setattr(notebooks, "__file__", str(module))
    before = notebooks._package_hash()
    (module.parents[1] / "live" / "static" / "camera.js").write_text("let camera")
    changed = notebooks._package_hash()
    (module.parent / "__pycache__").mkdir()
    (module.parent / "__pycache__" / "notebooks.pyc").write_text("compiled")
    assert before != changed and notebooks._package_hash() == changed


def test_another_shared_network_is_shown_anew(project, monkeypatch):
    monkeypatch.setattr(paths, "MODELS", project / "models")
    (project / "models" / "net").mkdir(parents=True)
    (project / "models" / "net" / "card.json").write_text('{"epochs_run": 1}')
    jobs, _, _ = notebooks.plan("quick", data="drawn:60")
    shown, training = jobs[0], dataclasses.replace(jobs[0], writes=project / "card.json")
    before = [notebooks._job_hash(job, "package") for job in (shown, training)]
    (project / "models" / "net" / "card.json").write_text('{"epochs_run": 2}')
    after = [notebooks._job_hash(job, "package") for job in (shown, training)]
    assert before[0] != after[0] and before[1] == after[1], "a training reads no other network's card"


def test_data_and_overrides_given_as_parameters_reach_the_runs():
    plain = notebooks.plan("quick", ["03"], {"model": "vgg16"}, data="drawn:60")
    jobs, runs, title = notebooks.plan("quick", ["03"], {"model": "vgg16", "data": "drawn:60",
                                                     "overrides": {"learning_rate": 0.02}})
    assert jobs[0].parameters["overrides"]["learning_rate"] == 0.02 and title == plain[2]
    assert runs != plain[1]
    same = notebooks.plan("quick", ["03"], {"model": "vgg16", "data": "drawn:60"})
    assert same[1] == plain[1] and same[0][0].parameters == plain[0][0].parameters


def test_notebooks_that_read_trainings_say_which_to_run_before(project, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", project / "runs")
    write_notebook(project / "notebooks", "08_event", "data = None\nruns = []", "print(runs)")
    with pytest.raises(DataError, match=r"08: what is read .*: train first, with --only 03,08; or .* -p runs \[\]"):
        notebooks.run("quick", only=["08"], data="drawn:60")
    assert not (project / "executed").exists(), "said at once, and not by a traceback of the notebook"
    assert notebooks.run("quick", only=["08"], parameters={"runs": []}, data="drawn:60")["done"] == 1
    for name in notebooks.plan("quick", ["08"], data="drawn:60").runs[1:]:
        (project / "runs" / name).mkdir(parents=True)
        (project / "runs" / name / "card.json").write_text("{}")
    with pytest.raises(DataError, match="yet .mini_xception[^,]*.: train first"):
        notebooks.run("quick", only=["08"], data="drawn:60")


def test_an_unknown_parameter_or_notebook_is_an_error(project):
    with pytest.raises(ValueError, match="'wrod'; there are data, sample, times, word"):
        notebooks.run("quick", parameters={"wrod": 1}, data="drawn:60")
    with pytest.raises(ValueError, match="'word'"):
        notebooks.run("quick", only=["02"], parameters={"word": 1}, data="drawn:60")
    with pytest.raises(ValueError, match="09.*01_one, 02_two"):
        notebooks.run("quick", only=["09"])
    assert not (project / "executed").exists()


def test_a_failing_cell_is_shown_and_the_executed_copy_kept(project):
    write_notebook(project / "notebooks", "02_two", "data = None", "x = 1", "1 / 0")
    with pytest.raises(notebooks.NotebookError, match=r"02_two.ipynb, cell In\[4\]: ZeroDivisionError(.|\n)*1 / 0"):
        notebooks.run("quick", data="drawn:60")
    assert (project / "executed" / "quick" / "02_two.ipynb").is_file()
    again = write_notebook(project / "notebooks", "02_two", "data = None", "x = 1")
    assert again is None and notebooks.run("quick", data="drawn:60")["skipped"] == 1


def test_the_grid_gives_notebook_03_one_run_each():
    jobs, runs, title = notebooks.plan("quick", ["03"], data="drawn:60")
    assert len(jobs) == len(runs) == len(notebooks.PROFILES["quick"].grid) and title.startswith("drawn")
    for job, run in zip(jobs, runs):
        given = {k: v for k, v in job.parameters.items() if k not in ("data", "sample", "by_hand", "overrides")}
        config = TrainConfig.for_model(**given, **job.parameters["overrides"])
        assert run.startswith(f"{config.model}-{config.protocol}") and run in job.output.name
        json.dumps(job.parameters)
    jobs, runs, _ = notebooks.plan("quick", ["03"], {"model": "vgg16", "epochs": 2}, data="drawn:60")
    assert len(jobs) == 1 and jobs[0].parameters["epochs"] == 2 and runs[0].startswith("vgg16-")


def test_a_cluster_trains_the_runs_that_notebook_03_would(monkeypatch):
    told = []
    monkeypatch.setattr(sweep, "train_all", lambda *given: told.append(given))
    cluster, changed = ("local:2", 1), {"epochs": 2, "sample": 50, "overrides": {"learning_rate": 0.02}}
    notebooks.train_first(cluster, "quick", None, changed, "drawn:60")
    [(trainings, source, *address)] = told
    assert tuple(address) == cluster and len(trainings) == len(notebooks.PROFILES["quick"].grid)
    faces = source.read()
    assert len(faces) == 50
    for folder, config in trainings.items():
        assert folder == paths.RUNS / config.run_name(faces.fingerprint())
        assert (config.epochs, config.learning_rate) == (2, 0.02)
    _, runs, _ = notebooks.plan("quick", None, changed, "drawn:60")
    assert [folder.name for folder in trainings] == runs
    with pytest.raises(ValueError, match="only notebook 03 does so"):
        notebooks.train_first(cluster, "quick", ["04"], {}, "drawn:60")


def test_a_network_that_the_quick_grid_lacks_is_trained_quickly_too():
    assert "cnn5_bn" not in {entry["model"] for entry in notebooks.PROFILES["quick"].grid}
    [job], _, _ = notebooks.plan("quick", ["03"], {"model": "cnn5_bn", "balance": "smote"}, data="drawn:60")
    given = {k: v for k, v in job.parameters.items() if k not in ("data", "sample", "by_hand", "overrides")}
    config = TrainConfig.for_model(**given, **job.parameters["overrides"])
    assert config.epochs <= 15 and config.balance == "smote"
    assert config.learning_rate == TrainConfig.for_model("cnn5_bn").learning_rate


def test_full_covers_every_project_and_both_protocols():
    configs = [TrainConfig.for_model(**entry) for entry in notebooks.PROFILES["full"].grid]
    assert {c.model for c in configs} >= {"cnn5_bn", "cnn3", "vgg16", "cnn4_wide", "cnn_rgb100", "mini_xception",
                                          "fer_net"}
    assert {c.protocol for c in configs} == {"official", "leaky"}
    assert len(set(configs)) == len(configs)


def test_full_trains_for_the_epochs_of_each_recipe_not_for_notebook_03s_few():
    jobs = notebooks.plan("full", ["03"], data="drawn:60").jobs
    assert {job.parameters["epochs"] for job in jobs} == {None}


def test_every_notebook_of_the_project_says_which_parameters_it_has():
    for source in notebooks.notebook_sources():
        names = notebooks.notebook_parameters(source)
        # The networks that 06 and later use are shared ones: they are named by `run`, and `model` is for training.
        assert {"data", "sample"} <= set(names) if source.name < "06" else "run" in names, source.name
        assert "model" not in names or source.stem == "03_train"
    assert np.all([source.name[:2].isdigit() for source in notebooks.notebook_sources()])


def test_the_table_at_the_end_of_a_run_fits_a_narrow_window():
    row = {"label": "mini_xception, over-sampled", "scored_on": "PrivateTest", "accuracy": 0.554, "low": 0.538,
           "high": 0.57, "macro_f1": 0.5, "clean_accuracy": None, "epochs": 6, "minutes": 1.2}
    longest = {"label": "cnn5_bn, project_b, class weights, averaged, seed 2", "scored_on": "leaky test",
               "accuracy": 1.0, "low": 0.999, "high": 1.0, "clean_accuracy": 0.4, "epochs": 100, "minutes": 1234.5}
    lines = notebooks.narrow_table(pd.DataFrame([row, row | longest])).splitlines()
    assert max(map(len, lines)) <= 100 and "55.4% [53.8, 57.0]" in lines[1] and "–" in lines[1]
