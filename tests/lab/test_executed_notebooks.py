"""Every notebook, executed by papermill on drawn faces, as the quick run does it."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd

import fer_utils as fer
from tests.lab.executing import ROOT, outputs, run, text


def test_the_quick_run_executes_every_notebook(tmp_path):
    result = run(tmp_path, "--data", "drawn:500", "-p", "epochs", 1, "-p", "pictures", 20)
    executed = sorted(Path(result["executed"]).glob("*.ipynb"))
    assert [p.name[:2] for p in executed] == ["01", "02", "03", "03", "03", "04", "05", "06", "07", "08"]
    assert result["done"] == 10 and len(result["table"]) == 3
    assert [row["protocol"] for row in result["table"]] == ["official", "official", "leaky"]
    for path in executed:
        said = text(path)
        assert path.name > "06" or "drawn faces, not FER2013" in said, f"{path.name} does not say what its faces are"
        assert not [o for o in outputs(path) if o.get("name") == "stderr"], path.name
        assert "widgets" not in nbformat.read(path, 4).metadata
    figures = {p.stem for p in Path(result["figures"]).glob("*.png")}
    assert {"01_class_balance", "02_leak", "03_network_mini_xception", "03_network_fer_net_tiny", "04_comparison",
            "05_confusion", "05_gradcam"} <= figures
    assert figures == {p.stem for p in Path(result["figures"]).glob("*.pdf")}


def test_a_leaky_runs_curves_are_not_called_publictest(tmp_path):
    """The cell of notebook 03 that draws them, with a leaky run's card."""
    (tmp_path / "history.csv").write_text("epoch,train_loss,train_accuracy,val_loss,val_accuracy\n1,2,0.3,1.5,0.4\n")
    [cell] = [c.source for c in nbformat.read(ROOT / "notebooks" / "03_train.ipynb", 4).cells
              if c.cell_type == "code" and "plot_history" in c.source]
    names = {"pd": pd, "fer": fer, "folder": tmp_path, "model": "cnn3", "faces": SimpleNamespace(title="FER2013"),
             "parts": SimpleNamespace(exhibit=True), "card": SimpleNamespace(name="run", chosen_by="leaky test")}
    exec(cell, names)
    figure = names["figure"]
    assert "leaky split: an exhibit" in figure.get_suptitle()
    assert figure.axes[0].get_title() == "best leaky test accuracy 40.0%"
