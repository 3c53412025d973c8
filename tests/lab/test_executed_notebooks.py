"""Every notebook, executed: on drawn faces, on the challenge's files, and with the answers to its exercises.

All in one kernel, in which TensorFlow loads once; 04 once more by papermill, as `python -m fer_utils run` executes it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

import fer_utils as fer
from fer_utils.data.drawn import draw_faces
from fer_utils.lab import notebooks

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"epochs": 1, "by_hand": 64, "pictures": 12}
ANSWERS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))


def cells_of(job, begin):
    """Return the cells that execute a notebook: all of it, or what follows another notebook from `begin` on."""
    given = new_code_cell("\n".join(f"{name} = {value!r}" for name, value in job.parameters.items()))
    code = [cell for cell in nbformat.read(job.source, 4).cells if cell.cell_type == "code"]
    cells = [given] if begin else [new_code_cell(f"%reset -f\n%cd -q {job.source.parent}")]
    first = next(i for i, cell in enumerate(code) if cell.source.startswith(begin))
    for cell in code[first:]:
        cells.append(new_code_cell(f"# {job.source.name}\n{cell.source}"))
        if "parameters" in cell.metadata.get("tags", ()):
            cells.append(given)
    return cells


def execute_in_one_kernel(jobs, environment):
    """Execute notebooks, pairs of a `notebooks.Job` and where to begin, one after the other, and return them executed.

    Where it begins at its beginning (""), the names of the notebook before are deleted.
    """
    cells, ends = [], []
    for job, begin in jobs:
        cells += cells_of(job, begin)
        ends.append(len(cells))
    whole = new_notebook(cells=cells)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        NotebookClient(whole, timeout=300, kernel_name="python3", store_widget_state=False,
                       extra_arguments=["--IPKernelApp.log_level=40"]).execute()
    return [new_notebook(cells=whole.cells[start:end]) for start, end in zip([0, *ends], ends)]


def challenge_files(folder):
    """Write train.csv, and test.csv, whose faces have no labels; return how many these are."""
    faces = draw_faces(400, seed=2)
    rows = [" ".join(map(str, face.ravel())) for face in faces.pixels]
    training = faces.usage == "Training"
    folder.mkdir()
    table = pd.DataFrame({"emotion": faces.emotion, "pixels": rows})
    table[training].to_csv(folder / "train.csv", index=False)
    table.loc[~training, ["pixels"]].to_csv(folder / "test.csv", index=False)
    return (~training).sum()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Where notebooks read and write: in a folder, except for the shared networks."""
    root = tmp_path_factory.mktemp("executed")
    inside = {f"FER_{name}": str(root / name.lower()) for name in ("CACHE", "RUNS", "FIGURES", "EXECUTED")}
    return inside | {"FER_MODELS": str(ROOT / "models"), "JUPYTER_PREFER_ENV_PATH": "1"}


@pytest.fixture(scope="module")
def executed(places, tmp_path_factory):
    """The executed notebooks: those on drawn faces, on the challenge's files, and the answers; and what was planned."""
    data = tmp_path_factory.mktemp("data") / "challenge"
    unlabelled = challenge_files(data)
    drawn = notebooks.plan("quick", None, {**SMALL, "model": "mini_xception", "persons": 15}, "drawn:300")
    # 07 reads no faces of the data set, and 06 in its last cells alone: those follow 06 on drawn faces.
    small = {**SMALL, "model": "fer_net_tiny"}
    challenge = notebooks.plan("quick", ["01", "02", "03", "04", "05", "08"], small, str(data))
    [last_of_06] = notebooks.plan("quick", ["06"], {}, str(data)).jobs
    answers = [notebooks.Job(path, path, {"data": "drawn:60"} if "data" in notebooks.notebook_parameters(path) else {})
               for path in ANSWERS]
    jobs = [(job, "") for job in [*drawn.jobs, *challenge.jobs, *answers]]
    after_06 = [job.source.name[:2] for job in drawn.jobs].index("06") + 1
    jobs.insert(after_06, (last_of_06, "everything = fer.load(data)"))
    done = execute_in_one_kernel(jobs, places)
    del done[after_06]
    n, m = len(drawn.jobs), len(drawn.jobs) + len(challenge.jobs)
    return {"drawn": list(zip(drawn.jobs, done[:n])), "runs": drawn.runs, "answers": done[m:],
            "submitted": challenge.runs, "faces": unlabelled}


def outputs(notebook):
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def complaints(notebook):
    """What it wrote to stderr, except that YuNet's file is missing here."""
    return [o["text"] for o in outputs(notebook)
            if o.get("name") == "stderr" and not o["text"].startswith("YuNet's file is not here")]


def text(notebook):
    return "\n".join(str(o.get("text", "")) + str(o.get("data", {}).get("text/markdown", ""))
                     + str(o.get("data", {}).get("text/html", "")) for o in outputs(notebook))


def test_every_notebook_runs_on_drawn_faces(executed, places):
    names = [job.source.name for job, _ in executed["drawn"]]
    assert [name[:2] for name in names] == ["01", "02", "03", "03", "04", "05", "06", "07", "08", "09"]
    for name, (_, notebook) in zip(names, executed["drawn"]):
        said = text(notebook)
        assert name > "06" or "drawn faces, not FER2013" in said, f"{name} does not say what its faces are"
        assert not complaints(notebook), name
    figures = {p.stem for p in Path(places["FER_FIGURES"]).glob("*.png")}
    assert {"01_class_balance", "02_leak", "03_network_mini_xception", "04_comparison", "05_confusion",
            "05_gradcam"} <= figures
    assert figures == {p.stem for p in Path(places["FER_FIGURES"]).glob("*.pdf")}


def test_papermill_compares_the_networks_that_were_trained(executed, places):
    command = [sys.executable, "-m", "fer_utils", "run", "--quick", "--json", "--only", "04", "--data", "drawn:300",
               "-p", "runs", json.dumps(executed["runs"])]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **places}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout)
    assert result["done"] == 1 and "quick" in result["figures"]
    [path] = Path(result["executed"]).glob("*.ipynb")
    executed_by_papermill = nbformat.read(path, 4)
    assert "drawn faces, not FER2013" in text(executed_by_papermill)
    assert "widgets" not in executed_by_papermill.metadata


def test_the_challenges_files_give_a_submission(executed, places):
    [run] = executed["submitted"]
    folder = Path(places["FER_RUNS"]) / run
    assert list(fer.read_card(folder).scores) == ["validation"]
    answers = pd.read_csv(folder / "submission.csv")
    assert len(answers) == executed["faces"] and answers["emotion"].between(0, 6).all()


def test_every_worked_answer_runs(executed):
    assert [path.name for path in ANSWERS] == [path.name for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    warned = [said for each in executed["answers"] for said in complaints(each)]
    assert sum(len(each.cells) for each in executed["answers"]) > 60 and not warned, warned


def test_a_leaky_runs_curves_are_not_called_publictest():
    """The lines of notebook 03 that name its curves."""
    cells = [c.source for c in nbformat.read(ROOT / "notebooks" / "03_train.ipynb", 4).cells if c.cell_type == "code"]
    lines = [line for source in cells for line in source.splitlines()
             if line.startswith(("parts = fer.split(faces, config.", "note = ", "live = "))]
    names = {"fer": fer, "title": "FER2013", "model": "cnn3", "faces": fer.load("drawn:200"),
             "config": fer.TrainConfig.for_model("cnn3", protocol="leaky")}
    exec("\n".join(lines), names)
    assert (names["live"].validation, names["live"].note) == ("leaky test", "FER2013, leaky split: an exhibit")
