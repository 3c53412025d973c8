"""The page without a server, built once for all its tests."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from filelock import FileLock

from fer_utils import paths
from fer_utils.errors import DataError
from fer_utils.lab import page_pictures, webpage
from fer_utils.lab.bench_page import serve_folder
from fer_utils.labels import EMOTIONS
from fer_utils.vision.detect import yunet_file

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
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


@pytest.fixture(scope="module")
def drawn():
    """Example pictures of 1, 2, 6 and 7 drawn faces, as PNG files."""
    def png(emotions, seed):
        return cv2.imencode(".png", page_pictures.draw_wall(emotions, seed)[..., ::-1])[1].tobytes()

    return {1: png(["happy"], 4), 2: png(["surprise", "neutral"], 10), 6: png(EMOTIONS[:6], 30), 7: png(EMOTIONS, 30)}


@pytest.fixture(scope="module")
def browser(tmp_path_factory, drawn):
    """Chromium, with a camera that sees two drawn faces."""
    sync_playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").sync_playwright
    film = tmp_path_factory.mktemp("camera") / "faces.mjpeg"
    picture = cv2.resize(cv2.imdecode(np.frombuffer(drawn[2], np.uint8), cv2.IMREAD_COLOR), (640, 336))
    film.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes() * 5)
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=[
            "--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={film}"])
        yield browser
        browser.close()
