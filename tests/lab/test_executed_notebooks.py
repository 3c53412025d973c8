"""Every notebook, executed on drawn faces with the parameters of the quick run."""

from pathlib import Path

import nbformat

import fer_utils as fer
from fer_utils.lab import notebooks
from tests.lab.executing import ROOT, execute_in_one_kernel, outputs, places, run, text

PARAMETERS = {"model": "mini_xception", "epochs": 1, "by_hand": 64, "pictures": 20}


def test_every_notebook_runs_on_drawn_faces(tmp_path, monkeypatch):
    """03, once for each training, and 04 by papermill; the others in one kernel."""
    given = [word for pair in PARAMETERS.items() if pair[0] != "pictures" for word in ("-p", *pair)]
    result = run(tmp_path, "--only", "03,04", "--data", "drawn:300", *given)
    assert result["done"] == 3 and [row["protocol"] for row in result["table"]] == ["official", "leaky"]
    executed = {path.name: nbformat.read(path, 4) for path in Path(result["executed"]).glob("*.ipynb")}
    for name, value in places(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FER_FIGURES", result["figures"])
    jobs = [job for job in notebooks.plan("quick", None, PARAMETERS, "drawn:300").jobs
            if job.source.name not in ("03_train.ipynb", "04_compare.ipynb")]
    others = execute_in_one_kernel([(job.source, job.parameters) for job in jobs], ROOT / "notebooks")
    executed |= {job.source.name: other for job, other in zip(jobs, others)}
    assert sorted(name[:2] for name in executed) == ["01", "02", "03", "03", "04", "05", "06", "07", "08"]
    for name, notebook in executed.items():
        said = text(notebook)
        assert name > "06" or "drawn faces, not FER2013" in said, f"{name} does not say what its faces are"
        assert not [o for o in outputs(notebook) if o.get("name") == "stderr"], name
        assert "widgets" not in notebook.metadata
    figures = {p.stem for p in Path(result["figures"]).glob("*.png")}
    assert {"01_class_balance", "02_leak", "03_network_mini_xception", "04_comparison", "05_confusion",
            "05_gradcam"} <= figures
    assert figures == {p.stem for p in Path(result["figures"]).glob("*.pdf")}


def test_a_leaky_runs_curves_are_not_called_publictest():
    """The lines of notebook 03 that name its curves."""
    cells = [c.source for c in nbformat.read(ROOT / "notebooks" / "03_train.ipynb", 4).cells if c.cell_type == "code"]
    lines = [line for source in cells for line in source.splitlines()
             if line.startswith(("parts = fer.split(faces, config.", "note = ", "live = "))]
    names = {"fer": fer, "title": "FER2013", "model": "cnn3", "faces": fer.load("drawn:200"),
             "config": fer.TrainConfig.for_model("cnn3", protocol="leaky")}
    exec("\n".join(lines), names)
    assert (names["live"].validation, names["live"].note) == ("leaky test", "FER2013, leaky split: an exhibit")
