"""What holds for the whole project: imports that go one way, short functions, notebooks that are clean."""

import ast
import collections
import doctest
import importlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest
from matplotlib.cbook import get_sample_data

from fer_utils import paths
from fer_utils.labels import EMOTIONS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "fer_utils"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MODULES = {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
           for path in sorted(PACKAGE.rglob("*.py"))}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def imported_packages(tree):
    """Return the top-level names of what a module imports, the package's own modules left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]


def public_names(tree):
    """Return the names that a module defines: functions, classes and constants without a leading underscore."""
    for node in tree.body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))


def public_functions(body, prefix=""):
    """Yield the public functions and methods of a module's or class's body, with their full names."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body, f"{node.name}.")
        elif isinstance(node, FUNCTIONS) and not node.name.startswith("_"):
            yield prefix + node.name, node


def code_lines(function):
    """Return the lines from the first statement after the docstring to the end."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def python(code, cwd=ROOT, **environment):
    """Run code in a fresh interpreter; return what it printed."""
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env={**os.environ, **environment},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---- imports ----

def test_imports_go_one_way():
    """The layers are listed in pyproject.toml."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


def test_no_private_name_is_imported_from_another_module():
    taken = [f"{module}: {name.name}" for module, tree in MODULES.items() for node in ast.walk(tree)
             if isinstance(node, ast.ImportFrom) and node.level for name in node.names if name.name.startswith("_")]
    assert taken == []


def test_everything_that_is_imported_is_declared():
    declared = (ROOT / "requirements.txt").read_text().splitlines()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    declared += [line for name, lines in extras.items() if name != "test" for line in lines]
    known = {re.match(r"[\w-]*", line)[0].lower() for line in declared}
    packages = importlib.metadata.packages_distributions()
    missing = {f"{module}: {name}" for module, tree in MODULES.items() for name in imported_packages(tree)
               if name not in sys.stdlib_module_names and name != "fer_utils"
               and not known & {each.lower().replace("_", "-") for each in packages.get(name, [name])}}
    assert missing == set()


@pytest.mark.parametrize("modules, libraries", [
    ("fer_utils.live.window, fer_utils.live.headless, fer_utils.event.collect, fer_utils.cli, fer_utils.vision.scenes",
     ("tensorflow", "keras", "jax", "torch", "ipywidgets")),
    ("fer_utils.live.window, fer_utils.live.headless", ("pandas", "sklearn", "matplotlib")),
    ("fer_utils.lab.notebooks, fer_utils.networks.train, fer_utils.evaluation.tables, fer_utils.event.report; "
     "from fer_utils.plots import *",
     ("tensorflow", "keras", "jax", "torch")),
    ("fer_utils.cli", ("numpy", "cv2", "pandas"))])
def test_what_is_not_needed_is_not_loaded(modules, libraries):
    assert python(f"import sys, {modules}; print([m for m in {libraries} if m in sys.modules])") == "[]"


def test_networks_and_their_input_are_backend_neutral():
    loaded = {name: set(imported_packages(MODULES[f"networks/{name}.py"]))
              for name in ("architectures", "zoo", "augment", "spec")}
    assert not [name for name, packages in loaded.items() if packages & {"tensorflow", "jax", "torch"}]


# ---- code that can be read ----

def test_public_functions_have_docstrings():
    missing = [f"{module}: {node.name}" for module, tree in MODULES.items() for node in tree.body
               if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_")
               and not ast.get_docstring(node)]
    assert missing == []


@pytest.mark.parametrize("module", [name for name in MODULES if ">>> " in (PACKAGE / name).read_text(encoding="utf-8")])
def test_examples_in_docstrings_are_true(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example may write a file
    name = ".".join(["fer_utils", *Path(module).with_suffix("").parts]).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0, "its report is printed above"


def test_public_functions_are_annotated():
    missing = []
    for module, tree in MODULES.items():
        for name, function in public_functions(tree.body):
            given = function.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            bare = [a.arg for a in arguments if a and a.annotation is None and a.arg not in ("self", "cls")]
            if bare or function.returns is None:
                missing.append(f"{module}: {name}({', '.join(bare)})")
    assert missing == []


def test_modules_and_functions_are_short():
    long = [f"{module}: {count} lines" for module in MODULES
            if (count := len((PACKAGE / module).read_text(encoding="utf-8").splitlines())) > 400]
    long += [f"{module}: {node.name}, {code_lines(node)} lines of code" for module, tree in MODULES.items()
             for node in ast.walk(tree) if isinstance(node, FUNCTIONS) and code_lines(node) > 50]
    assert long == []


def test_no_two_things_share_a_name():
    where = collections.defaultdict(list)
    for module, tree in MODULES.items():
        for name in set(public_names(tree)):
            where[name].append(module)
    assert {name: modules for name, modules in where.items() if len(modules) > 1} == {}


def test_tests_mirror_the_package():
    """A file of tests is named after a module beside whose package it is, or after the package."""
    # What belongs to no single module.
    whole = {"test_structure", "test_installed", "test_site", "lab/test_executed_notebooks", "live/test_browser",
             "plots/test_every_figure"}
    strays = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        name = path.relative_to(ROOT / "tests").with_suffix("").as_posix()
        folder, module = PACKAGE / Path(name).parent, Path(name).name.removeprefix("test_")
        # test_train_resume.py tests train.py, too.
        modules = {other.stem for other in folder.glob("*.py")} | {folder.name}
        parts = module.split("_")
        if name not in whole and not any("_".join(parts[:n]) in modules for n in range(1, len(parts) + 1)):
            strays.append(name)
    assert strays == []


def test_the_readmes_example_runs(tmp_path, monkeypatch, capsys):
    [example] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(example.splitlines()) == 3
    shutil.copy(get_sample_data("grace_hopper.jpg", asfileobj=False), tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "MODELS", ROOT / "models")
    exec(example, {})
    [emotion] = ast.literal_eval(capsys.readouterr().out.splitlines()[-1])
    assert emotion in EMOTIONS


# ---- notebooks ----

def test_the_notebooks_are_there():
    assert [p.stem for p in NOTEBOOKS] == ["01_explore", "02_prepare", "03_train", "04_compare", "05_evaluate",
                                           "06_webcam", "07_photos", "08_event", "09_own_faces"]


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

    def test_the_first_cell_of_code_installs_the_project_on_colab_and_does_nothing_elsewhere(self, code, monkeypatch):
        assert ["colab" in c["metadata"].get("tags", []) for c in code] == [True] + [False] * (len(code) - 1)
        assert {"remove-cell"} <= set(code[0]["metadata"]["tags"]) and code[0]["outputs"] == []
        commands, source = [], "".join(code[0]["source"])
        shell = types.SimpleNamespace(system=commands.append)
        monkeypatch.setenv("FER_ROOT", "before")
        exec(source, {"get_ipython": lambda: shell})
        assert commands == [] and os.environ["FER_ROOT"] == "before"
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
        exec(source, {"get_ipython": lambda: shell})
        assert [re.findall("git clone|pip install|data --download", c) for c in commands] == [
            ["git clone"], ["pip install"], ["data --download"]]
        [address] = re.findall(r"https?://[^ \"']+", source)
        citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
        assert f"repository-code: {address}\n" in citation, "the repository's address"

    def test_kernel_and_metadata(self, notebook, path):
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"
        assert "widgets" not in notebook["metadata"] and "papermill" not in notebook["metadata"]
        assert path.stat().st_size < 1_000_000

    def test_opens_with_a_title_and_ends_with_lessons_and_exercises(self, notebook):
        prose = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown"]
        assert prose[0].startswith("# ") and "**Reads**" in prose[0] and "**Writes**" in prose[0]
        assert any(text.startswith("## What we learned") for text in prose)
        assert prose[-1].startswith("## Exercises")

    def test_short_cells_without_classes_or_repeated_functions(self, notebook, code, path):
        assert len(code) <= 30
        if (path.parent / "solutions" / path.name).exists():  # those that are not rewritten yet may be longer
            lesson = [c for c in notebook["cells"] if "colab" not in c["metadata"].get("tags", [])]
            assert len(lesson) <= 40
        sources = ["".join(c["source"]) for c in code]
        assert max(len(s.splitlines()) for s in sources) <= 15
        text = "\n".join(sources)
        assert not re.search(r"^\s*class |sys\.path|[\"'](/|[A-Z]:\\)\w", text, re.MULTILINE)
        functions = re.findall(r"^def (\w+)", text, re.MULTILINE)
        assert len(functions) == len(set(functions))

    def test_imports_at_most_four_modules_of_the_package_and_no_benchmark(self, code):
        nodes = [node for c in code for node in ast.walk(ast.parse("".join(c["source"])))]
        modules = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
        modules |= {f"{node.module}.{name.name}" for node in nodes if isinstance(node, ast.ImportFrom)
                    for name in node.names}
        assert len([name for name in modules if name.startswith("fer_utils")]) <= 4
        assert not [node for node in nodes if isinstance(node, ast.Attribute) and node.attr == "lab"]

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
    said = python(code, tmp_path, FER_RUNS="runs", FER_YUNET="face.onnx", PYTHONPATH=str(ROOT))
    runs = str((tmp_path / "runs").resolve())
    assert said == f"{runs}|{runs}|{(tmp_path / 'face.onnx').resolve()}"
