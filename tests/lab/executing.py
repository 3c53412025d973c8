"""Executing the notebooks as `python -m fer_utils run` does, and reading what they show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat

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
