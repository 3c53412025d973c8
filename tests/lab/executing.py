"""Executing the notebooks as `python -m fer_utils run` does, and reading what they show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).resolve().parents[2]


def places(tmp_path):
    """Where notebooks read and write: below `tmp_path`, except for the shared networks."""
    inside = {f"FER_{name}": str(tmp_path / name.lower()) for name in ("CACHE", "RUNS", "FIGURES", "EXECUTED")}
    return inside | {"FER_MODELS": str(ROOT / "models")}


def run(tmp_path, *arguments):
    done = subprocess.run([sys.executable, "-m", "fer_utils", "run", "--quick", "--json", *map(str, arguments)],
                          cwd=ROOT, env={**os.environ, **places(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def execute_in_one_kernel(notebooks, folder):
    """Execute (path, parameters) in one kernel, and return the executed notebooks.

    TensorFlow loads once. The names of a notebook are deleted before the next one begins.
    """
    cells, ends = [], []
    for path, parameters in notebooks:
        cells.append(new_code_cell("%reset -f"))
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code":
                cells.append(new_code_cell(f"# {path.name}\n{cell.source}"))
                if "parameters" in cell.metadata.get("tags", ()):
                    cells.append(new_code_cell("\n".join(f"{name} = {value!r}" for name, value in parameters.items())))
        ends.append(len(cells))
    whole = new_notebook(cells=cells)
    NotebookClient(whole, timeout=300, kernel_name="python3", extra_arguments=["--IPKernelApp.log_level=40"],
                   store_widget_state=False, resources={"metadata": {"path": str(folder)}}).execute()
    return [new_notebook(cells=whole.cells[start:end]) for start, end in zip([0, *ends], ends)]


def outputs(notebook):
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def text(notebook):
    return "\n".join(str(o.get("text", "")) + str(o.get("data", {}).get("text/markdown", ""))
                     + str(o.get("data", {}).get("text/html", "")) for o in outputs(notebook))
