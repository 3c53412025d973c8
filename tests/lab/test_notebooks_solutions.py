"""The worked answers to the exercises, executed on a few drawn faces."""

from fer_utils.lab import notebooks
from tests.lab.executing import ROOT, execute_in_one_kernel


def test_every_worked_answer_runs(tmp_path, monkeypatch):
    """In one kernel, whose names are deleted between two notebooks: TensorFlow loads once."""
    for name in ("DATA", "RUNS", "FIGURES"):
        monkeypatch.setenv(f"FER_{name}", str(tmp_path / name.lower()))
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("FER_MODELS", str(ROOT / "models"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    answers = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
    assert [path.name for path in answers] == [path.name for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    executed = execute_in_one_kernel([(path, _given(path)) for path in answers], ROOT / "notebooks" / "solutions")
    warned = [cell.source for each in executed for cell in each.cells for o in cell.get("outputs", ())
              if o.get("name") == "stderr"]
    assert sum(len(each.cells) for each in executed) > 60 and not warned, warned


def _given(path):
    """The parameters of a notebook's answers: few drawn faces, where they read any."""
    return {"data": "drawn:100"} if "data" in notebooks.notebook_parameters(path) else {}
