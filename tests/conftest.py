"""Shared by all tests: no test may write into the project's own data, models or figures."""

import os
import tempfile
from pathlib import Path

import pytest

# Set before fer_utils is imported: it reads its places once. The real data set keeps its place, if one is given.
_scratch = tempfile.TemporaryDirectory(prefix="fer-tests-", ignore_cleanup_errors=True)  # removed at exit
for _name in ("MODELS", "RUNS", "FIGURES", "EXECUTED"):
    os.environ[f"FER_{_name}"] = str(Path(_scratch.name) / _name.lower())
# Processes that share the tests out (`make test`) inherit this, and find what another one found in minutes.
os.environ.setdefault("FER_TESTS_CACHE", str(Path(_scratch.name) / "cache"))
os.environ["FER_CACHE"] = os.environ["FER_TESTS_CACHE"]
if "PYTEST_XDIST_WORKER" in os.environ:
    # They fill the cores already: more threads each would only wait for one another.
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ.setdefault(_name, "1")


@pytest.fixture(scope="module")
def speck():
    """Put a network into the zoo that is compiled and trained in a second."""
    from fer_utils.networks import zoo
    from tests.networks.quick import speck_network

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.NETWORKS, "speck", speck_network())
        yield "speck"


@pytest.fixture
def limited_files():
    """Return a function after which no file of this process grows over so many bytes, as on a full disk."""
    resource = pytest.importorskip("resource", reason="no such limit on Windows")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def pytest_collection_modifyitems(items):
    """Begin with the files that take minutes: of two processes neither is then left with one of them at the end."""
    slow = ["test_executed_notebooks.py", "test_copies.py", "test_train.py", "test_collect.py", "test_browser.py"]
    items.sort(key=lambda item: slow.index(item.path.name) if item.path.name in slow else len(slow))
