"""The package as pip installs it, away from its checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from matplotlib.cbook import get_sample_data

ROOT = Path(__file__).resolve().parent.parent


def run(*command, cwd):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FER_", "PYTHON"))}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the wheel, install it into a fresh environment, and return that environment's Python."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"  # a copy, since setuptools builds in place
    shutil.copytree(ROOT / "fer_utils", source / "fer_utils", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = ("wheel", "--verbose", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    built = run(*pip, *build, cwd=folder)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "environment", cwd=folder)
    python = folder / "environment" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    [wheel] = folder.glob("*.whl")
    run(*pip, "--python", python, "install", "--no-deps", "--no-compile", wheel, cwd=folder)
    # The libraries are those of the environment that runs the tests.
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip()
    Path(site, "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return python, Path(site), built.stdout + built.stderr


def test_the_wheel_holds_every_file_of_the_package_and_setuptools_warns_of_none(installed):
    _, site, said = installed
    files = [path for path in (ROOT / "fer_utils").rglob("*")
             if path.is_file() and not re.search(r"__pycache__|/\.", path.as_posix().removeprefix(ROOT.as_posix()))]
    assert len(files) > 50 and [path for path in files if not (site / path.relative_to(ROOT)).is_file()] == []
    assert "absent from" not in said and "Package would be ignored" not in said


def test_predict_works_away_from_the_checkout(installed, tmp_path):
    python, site, _ = installed
    shutil.copy(get_sample_data("grace_hopper.jpg", asfileobj=False), tmp_path / "photo.jpg")
    where = run(python, "-c", "import fer_utils.paths as p; print(p.__file__, p.ROOT, sep='\\n')", cwd=tmp_path).stdout
    assert where.splitlines() == [str(site / "fer_utils" / "paths.py"), str(tmp_path.resolve())]
    shutil.copytree(ROOT / "models" / "fer_net_tiny", tmp_path / "models" / "fer_net_tiny")
    done = run(python, "-m", "fer_utils", "predict", "photo.jpg", "--model", "fer_net_tiny", "--detector", "haar",
               "--save", "marked", "--json", cwd=tmp_path)
    [photo] = json.loads(done.stdout)["photos"]
    assert photo["error"] is None and len(photo["faces"]) == 1
    assert (tmp_path / "marked" / "photo.png").is_file()
