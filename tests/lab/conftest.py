"""The page without a server, built once for all its tests."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from fer_utils import paths
from fer_utils.errors import DataError
from fer_utils.lab import webpage
from fer_utils.lab.bench_page import serve_folder
from fer_utils.vision.detect import yunet_file

ROOT = Path(__file__).resolve().parents[2]
_NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENETUNREACH")


@pytest.fixture(scope="session")
def built_page():
    """Both forms of the page in a folder, built once, also where several processes share the tests out."""
    if yunet_file(download=False) is None:
        pytest.skip("YuNet's file is not on this computer")
    try:
        webpage.find_node()
    except DataError as problem:
        pytest.skip(str(problem))
    folder = Path(os.environ["FER_TESTS_CACHE"]) / "page"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")), pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "MODELS", ROOT / "models")
        if not (folder / "fer.html").is_file():
            try:
                webpage.build_page(folder)
            except RuntimeError as error:
                if any(word in str(error) for word in _NO_NETWORK):
                    pytest.skip("the page's packages are not installed, and npm has no network")
                raise
    return folder


@pytest.fixture
def page_server(built_page):
    """A host of files that serves the page's folder: its address, and a list of each path that it was asked for."""
    with serve_folder(built_page) as served:
        yield served
