"""What holds for the whole project: imports that go one way, notebooks that are clean."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
def modules():
    package = ROOT / "fer_utils"
    return {str(p.relative_to(package)): ast.parse(p.read_text(encoding="utf-8")) for p in package.rglob("*.py")}


def test_imports_go_one_way():
    """The layers stand in pyproject.toml."""
    ran = subprocess.run([Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_importing_the_package_loads_no_network_library():
    code = ("import sys, fer_utils.lab.notebooks, fer_utils.cli; "
            "print([m for m in ('tensorflow', 'keras', 'jax', 'torch', 'ipywidgets') if m in sys.modules])")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_networks_training_and_augmentation_are_backend_neutral():
    for name in ("zoo", "augment", "spec"):
        assert "tensorflow" not in (ROOT / "fer_utils" / "networks" / f"{name}.py").read_text(encoding="utf-8").replace(
            "TensorFlow", "")


def test_public_functions_have_docstrings():
    missing = [f"{name}.{node.name}" for name, tree in modules().items() for node in tree.body
               if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
               and not ast.get_docstring(node)]
    assert missing == []


def test_the_notebooks_are_there():
    assert [p.stem for p in NOTEBOOKS] == ["01_explore", "02_prepare", "03_train", "04_compare", "05_evaluate",
                                           "06_webcam", "07_photos", "08_event"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
class TestNotebook:
    @pytest.fixture
    def notebook(self, path):
        return json.loads(path.read_text(encoding="utf-8"))

    @pytest.fixture
    def code(self, notebook):
        return [c for c in notebook["cells"] if c["cell_type"] == "code"]

    def test_one_parameters_cell_of_json_literals(self, notebook, code):
        tagged = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
        assert len(tagged) == 1
        for statement in ast.parse("".join(tagged[0]["source"])).body:
            assert isinstance(statement, ast.Assign)
            json.dumps(ast.literal_eval(statement.value))

    def test_kernel_and_metadata(self, notebook, path):
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"
        assert "widgets" not in notebook["metadata"] and "papermill" not in notebook["metadata"]
        assert path.stat().st_size < 1_000_000

    def test_opens_with_a_title_and_ends_with_lessons_and_exercises(self, notebook):
        prose = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown"]
        assert prose[0].startswith("# ") and "**Reads**" in prose[0] and "**Writes**" in prose[0]
        assert any(text.startswith("## What we learned") for text in prose)
        assert prose[-1].startswith("## Exercises")

    def test_short_cells_without_classes_or_repeated_functions(self, code):
        assert len(code) <= 30
        sources = ["".join(c["source"]) for c in code]
        assert max(len(s.splitlines()) for s in sources) <= 15
        text = "\n".join(sources)
        assert not re.search(r"^\s*class |sys\.path|[\"'](/|[A-Z]:\\)\w", text, re.MULTILINE)
        functions = re.findall(r"^def (\w+)", text, re.MULTILINE)
        assert len(functions) == len(set(functions))

    def test_committed_with_outputs_of_one_run_without_errors(self, code):
        counts = [c["execution_count"] for c in code]
        assert counts == list(range(1, len(code) + 1))
        outputs = [o for c in code for o in c["outputs"]]
        assert not [o for o in outputs if o["output_type"] == "error"]
        assert not [o for o in outputs if o.get("name") == "stderr"]
        assert any("image/png" in o.get("data", {}) for o in outputs)


def test_a_relative_place_is_the_same_place_in_a_notebooks_kernel(tmp_path):
    # Kernels inherit the environment and stand in notebooks/.
    code = "import os, fer_utils.paths as p; print(p.RUNS, os.environ['FER_RUNS'], os.environ['FER_YUNET'], sep='|')"
    environment = {**os.environ, "FER_RUNS": "runs", "FER_YUNET": "face.onnx", "PYTHONPATH": str(ROOT)}
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    runs = str((tmp_path / "runs").resolve())
    assert out.stdout.strip() == f"{runs}|{runs}|{(tmp_path / 'face.onnx').resolve()}", out.stderr
