"""Every notebook, executed by papermill on drawn faces: as the quick run does it, and on the challenge's files."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pandas as pd

from fer_utils.data.drawn import draw_faces
from fer_utils.plots import style

ROOT = Path(__file__).resolve().parents[2]


def run(tmp_path, *arguments):
    places = {f"FER_{name}": str(tmp_path / name.lower()) for name in ("CACHE", "RUNS", "FIGURES", "EXECUTED")}
    places["FER_MODELS"] = str(ROOT / "models")  # notebooks 06 to 08 use the shared networks
    done = subprocess.run([sys.executable, "-m", "fer_utils", "run", "--quick", "--json", *map(str, arguments)],
                          cwd=ROOT, env={**os.environ, **places}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def outputs(path):
    for cell in nbformat.read(path, 4).cells:
        yield from cell.get("outputs", [])


def text(path):
    return "\n".join(str(o.get("text", "")) + str(o.get("data", {}).get("text/markdown", ""))
                     + str(o.get("data", {}).get("text/html", "")) for o in outputs(path))


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
    names = {"pd": pd, "plots": style, "folder": tmp_path, "model": "cnn3", "faces": SimpleNamespace(title="FER2013"),
             "parts": SimpleNamespace(exhibit=True), "card": SimpleNamespace(name="run", chosen_by="leaky test")}
    exec(cell, names)
    figure = names["figure"]
    assert "leaky split: an exhibit" in figure.get_suptitle()
    assert figure.axes[0].get_title() == "best leaky test accuracy 40.0%"


def test_the_challenges_files_give_a_submission(tmp_path):
    faces = draw_faces(400, seed=2)
    rows = [" ".join(map(str, face.ravel())) for face in faces.pixels]
    training = faces.usage == "Training"
    data = tmp_path / "challenge"
    data.mkdir()
    table = pd.DataFrame({"emotion": faces.emotion, "pixels": rows})
    table[training].to_csv(data / "train.csv", index=False)
    table.loc[~training, ["pixels"]].to_csv(data / "test.csv", index=False)
    result = run(tmp_path, "--data", data, "--only", "01,02,03,04,05,06,08",  # 07 reads no faces of the data set
                 "-p", "model", "fer_net_tiny", "-p", "epochs", 1, "-p", "sample", 0, "-p", "pictures", 20)
    assert [row["scored_on"] for row in result["table"]] == ["validation"]
    [submission] = Path(result["runs"]).glob("*/submission.csv")
    answers = pd.read_csv(submission)
    assert len(answers) == (~training).sum() and answers["emotion"].between(0, 6).all()
