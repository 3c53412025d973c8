"""Every notebook, executed by papermill on drawn faces, as the quick run does it."""

from pathlib import Path

import nbformat

import fer_utils as fer
from tests.lab.executing import ROOT, outputs, run, text


def test_the_quick_run_executes_every_notebook(tmp_path):
    result = run(tmp_path, "--data", "drawn:300", "-p", "model", "mini_xception", "-p", "epochs", 1,
                 "-p", "by_hand", 64, "-p", "pictures", 20)
    executed = sorted(Path(result["executed"]).glob("*.ipynb"))
    assert [p.name[:2] for p in executed] == ["01", "02", "03", "03", "04", "05", "06", "07", "08"]
    assert result["done"] == 9 and len(result["table"]) == 2
    assert [row["protocol"] for row in result["table"]] == ["official", "leaky"]
    for path in executed:
        said = text(path)
        assert path.name > "06" or "drawn faces, not FER2013" in said, f"{path.name} does not say what its faces are"
        assert not [o for o in outputs(path) if o.get("name") == "stderr"], path.name
        assert "widgets" not in nbformat.read(path, 4).metadata
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
