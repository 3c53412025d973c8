"""The package as pip installs it, away from its checkout, and what it says of the libraries that it needs."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
from matplotlib.cbook import get_sample_data
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fer_utils.errors import EXTRAS
from fer_utils.vision.scenes import write_clip

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMANDS = [  # those that need an extra, with what they lack
    (["train --model cnn3", "average a b --out c",
      "evaluate fer_net", "export fer_net", "results", "zoo", "bench live"],
     'Keras, which is not installed: pip install "fer-utils[train]"'),
    (["data", "robustness fer_net", "label --out x", "demo"],
     'scikit-learn, which is not installed: pip install "fer-utils[train]"'),
    (["app"], 'Voilà and anywidget, which are not installed: pip install "fer-utils[notebooks]"'),
    (["event party --out report --cluster local:2"],
     'Dask\'s distributed, which is not installed: pip install "fer-utils[cluster]"'),
    (["run", "figures"], 'papermill and Keras, which are not installed: pip install "fer-utils[notebooks,train]"'),
]
HIDE = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {hidden} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""


def run(*command, cwd):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FER_", "PYTHON"))}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def requirements(*extras):
    """Return what pyproject.toml asks for with some extras, those that an extra names itself among them."""
    found = {str(Requirement(line)) for line in PROJECT["dependencies"]}
    for line in (line for extra in extras for line in PROJECT["optional-dependencies"][extra]):
        requirement = Requirement(line)
        found |= requirements(*requirement.extras) if requirement.name == PROJECT["name"] else {str(requirement)}
    return found


def brought_by(asked):
    """Return the names of all packages that pip installs for some requirements, read from what is installed here."""
    names, todo = set(), list(map(Requirement, asked))
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, *requirement.extras) in names:
            continue
        names.add((name, *requirement.extras))
        further = map(Requirement, importlib.metadata.requires(name) or [])
        todo += [each for each in further if each.marker is None
                 or any(each.marker.evaluate({"extra": extra}) for extra in requirement.extras or {""})]
    return {name for name, *_ in names}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the wheel, install it without extras into a fresh environment, and return that environment's Python."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"  # a copy, since setuptools builds in place
    shutil.copytree(ROOT / "fer_utils", source / "fer_utils", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = ("wheel", "--verbose", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    built = run(*pip, *build, cwd=folder)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "environment", cwd=folder)
    python = folder / "environment" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    [wheel] = folder.glob("*.whl")
    run(*pip, "--python", python, "install", "--no-deps", "--no-compile", wheel, cwd=folder)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip()
    # The libraries are those of the environment that runs the tests, but those that pip would not bring are hidden.
    names = brought_by(requirements())
    hidden = [module for module, packages in importlib.metadata.packages_distributions().items()
              if module != "fer_utils" and not names & set(map(canonicalize_name, packages))]
    assert {"keras", "tensorflow", "IPython"} <= set(hidden) and "numpy" not in hidden
    Path(site, "hide.py").write_text(HIDE.format(hidden=hidden))
    Path(site, "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\nimport hide\n")
    return python, Path(site), built.stdout + built.stderr


@pytest.fixture
def folder(tmp_path):
    """A folder with a photo, a clip and a network, in which commands are called."""
    shutil.copy(get_sample_data("grace_hopper.jpg", asfileobj=False), tmp_path / "photo.jpg")
    write_clip(tmp_path / "clip.mp4", frames=6)
    shutil.copytree(ROOT / "models" / "fer_net_tiny", tmp_path / "models" / "fer_net_tiny")
    return tmp_path


def test_the_wheel_holds_every_file_of_the_package_and_setuptools_warns_of_none(installed):
    _, site, said = installed
    files = [path for path in (ROOT / "fer_utils").rglob("*")
             if path.is_file() and not re.search(r"__pycache__|/\.", path.as_posix().removeprefix(ROOT.as_posix()))]
    assert len(files) > 50 and [path for path in files if not (site / path.relative_to(ROOT)).is_file()] == []
    assert "absent from" not in said and "Package would be ignored" not in said


def test_predict_works_away_from_the_checkout_and_without_extras(installed, folder):
    python, site, _ = installed
    where = run(python, "-c", "import fer_utils.paths as p; print(p.__file__, p.ROOT, sep='\\n')", cwd=folder).stdout
    assert where.splitlines() == [str(site / "fer_utils" / "paths.py"), str(folder.resolve())]
    done = run(python, "-m", "fer_utils", "predict", "photo.jpg", "--model", "fer_net_tiny", "--detector", "haar",
               "--save", "marked", "--json", cwd=folder)
    [photo] = json.loads(done.stdout)["photos"]
    assert photo["error"] is None and len(photo["faces"]) == 1
    assert (folder / "marked" / "photo.png").is_file()


def test_webcam_and_event_work_without_extras(installed, folder):
    network = ["--model", "fer_net_tiny", "--detector", "haar"]
    calls = [["webcam", "--headless", "--source", "clip.mp4", "--out", "seen", *network],
             ["event", "clip.mp4", "photo.jpg", "--out", "party", *network]]
    run(installed[0], "-c", f"from fer_utils.cli import main; assert not any(map(main, {calls}))", cwd=folder)
    assert (folder / "seen" / "faces.csv").is_file() and (folder / "party" / "report.html").is_file()


def test_a_command_that_lacks_an_extra_names_it_in_one_sentence(installed, tmp_path):
    calls = [(call.split(), lacks) for names, lacks in COMMANDS for call in names]
    code = f"from fer_utils.cli import main; print([main(call) for call in {[call for call, _ in calls]}])"
    done = run(installed[0], "-c", code, cwd=tmp_path)
    assert json.loads(done.stdout) == [1] * len(calls)
    assert done.stderr.splitlines() == [f"fer_utils {call[0]}: this needs {lacks}" for call, lacks in calls]
    assert list(tmp_path.iterdir()) == []
    # The same for who calls the package, and for an import that no command has declared.
    code = ("import fer_utils as fer\nfrom fer_utils.errors import MissingExtraError, naming_the_extra\n"
            "try:\n    fer.build('cnn3')\nexcept MissingExtraError as error:\n    print(error)\n"
            "with naming_the_extra():\n    import seaborn")
    done = subprocess.run([installed[0], "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == 'this needs Keras, which is not installed: pip install "fer-utils[train]"\n', done.stderr
    assert done.stderr.endswith('this needs seaborn, which is not installed: pip install "fer-utils[notebooks]"\n')


# ---- what is declared ----

def test_requirements_txt_lists_what_the_extra_all_brings():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line.split("#") for line in lines if line and not line.startswith("#")]
    assert {str(Requirement(asked)) for asked, reason in listed if reason.strip()} == requirements("all")
    assert requirements("all") < requirements("test")


def test_every_library_of_an_extra_is_known_to_the_sentence_that_names_extras():
    packages = importlib.metadata.packages_distributions()
    for extra, libraries in EXTRAS.items():
        named = {Requirement(line).name for line in PROJECT["optional-dependencies"][extra]}
        found = {canonicalize_name(packages.get(module, [module])[0]) for module in libraries}
        # Two extras bring scikit-learn; the sentence names the first.
        assert found == named - ({"scikit-learn"} if extra == "notebooks" else set())


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_the_lock_has_one_version_of_each_dependency_within_its_bounds(python, system):
    """Where this fails: make lock."""
    text = (ROOT / "requirements-lock.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|file:|index-url|find-links| @ ", text)
    machine = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": system}
    versions = {}
    for block in re.split(r"\n(?=\w)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)):
        pin, *hashes = block.strip().split(" \\\n    ")
        name, version, marker = re.fullmatch(r"([\w.-]+)==([^ ;]+)(?: ; (.+))?", pin).groups()
        assert hashes and all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", each) for each in hashes)
        if marker is None or Marker(marker).evaluate(machine):
            assert name not in versions
            versions[name] = version
    for asked in map(Requirement, requirements("test")):
        assert asked.specifier.contains(versions[canonicalize_name(asked.name)]), asked
