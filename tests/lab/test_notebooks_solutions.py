"""The worked answers to the exercises, executed on a few drawn faces."""

import nbformat
from nbclient import NotebookClient

from tests.lab.executing import ROOT

FACES = 'data = "drawn:100"'


def test_every_worked_answer_runs(tmp_path, monkeypatch):
    """In one kernel, whose names are deleted between two notebooks: TensorFlow loads once."""
    for name in ("DATA", "RUNS", "FIGURES"):
        monkeypatch.setenv(f"FER_{name}", str(tmp_path / name.lower()))
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("FER_MODELS", str(ROOT / "models"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    answers = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
    assert [path.name for path in answers] == [path.name for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    cells = []
    for path in answers:
        cells.append(nbformat.v4.new_code_cell("%reset -f"))
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code":
                cells.append(nbformat.v4.new_code_cell(f"# {path.name}\n{cell.source}"))
                if "parameters" in cell.metadata.get("tags", ()) and "data =" in cell.source:
                    cells.append(nbformat.v4.new_code_cell(FACES))
    whole = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(whole, timeout=300, kernel_name="python3", extra_arguments=["--IPKernelApp.log_level=40"],
                   resources={"metadata": {"path": str(ROOT / "notebooks" / "solutions")}}).execute()
    warned = [cell.source for cell in whole.cells for o in cell.get("outputs", ()) if o.get("name") == "stderr"]
    assert len(cells) > 60 and not warned, warned
