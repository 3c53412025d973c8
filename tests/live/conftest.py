"""Servers for the tests of the photo app and the camera; each is started once."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.fakes import fake_camera, no_camera_stays_open  # noqa: F401  # fixtures

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120_000  # ms; a server and a kernel start, maybe beside other work
SERVE = """\
from fer_utils.live import server
server.ALONE, server.TICK = 3, 1
server.serve(port={port}, browser=False, visitors=2)
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve(command, port, home):
    """Start a server with its own home, temporary folder and log; wait until it listens."""
    for name in ("home", "tmp"):
        (home / name).mkdir()
    places = {"HOME": home / "home", "TMPDIR": home / "tmp", "JUPYTER_CONFIG_DIR": home / "home",
              "FER_MODELS": ROOT / "models", "FER_ROOT": ROOT, "FER_CACHE": home / "tmp"}
    log = open(home / "log", "w")
    server = subprocess.Popen(command, env={**os.environ, **{k: str(v) for k, v in places.items()}}, cwd=home,
                              stdout=log, stderr=log, start_new_session=True)
    until = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5)
            break
        except urllib.error.HTTPError:
            break
        except OSError:
            assert server.poll() is None and time.monotonic() < until, (home / "log").read_text()
            time.sleep(0.2)
    return server


def end(server):
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(20)


@pytest.fixture(scope="session")
def photo_server(tmp_path_factory):
    """The photo app's address and home; at most two visitors, and 3 s instead of 60 s for a kernel without a page."""
    port, home = free_port(), tmp_path_factory.mktemp("voila")
    server = serve([sys.executable, "-c", SERVE.format(port=port)], port, home)
    yield f"http://127.0.0.1:{port}/", home
    end(server)
    assert server.returncode == 0, (home / "log").read_text()


def kernels(home):
    """Return the processes of a server's kernels, by the files that their command lines name."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if re.search(r"ipykernel", command) and str(home) in command:
            found.append(int(process.name))
    return found
