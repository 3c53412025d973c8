"""The photo app in Voilà and the camera in JupyterLab and Voilà, used by a real browser with a fake camera."""

import contextlib
import json
import re
import shutil
import socket
import sys
import time
import zipfile

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.cbook import get_sample_data

from fer_utils.labels import EMOTIONS
from fer_utils.live import photos
from tests.live.conftest import PATIENCE, end, free_port, serve

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

CAMERA = """\
from fer_utils.live import widgets
from fer_utils.vision.predict import Predictor
camera = widgets.browser_camera(Predictor(detector="haar"))
camera
"""

LABEL = """\
import numpy as np
from fer_utils import live
pixels = np.stack([np.full((48, 48), shade, np.uint8) for shade in (50, 120, 190)])
live.LabelWidget(live.LabelSession.of_faces(pixels, ["a", "b", "c"], None, "labels", annotator="Ada"))
"""


@pytest.fixture(scope="module")
def portrait():
    image = cv2.imdecode(np.frombuffer(get_sample_data("grace_hopper.jpg").read(), np.uint8), cv2.IMREAD_COLOR)
    scene = np.full((480, 640, 3), (130, 110, 90), np.uint8)
    scene[:, 120:530] = cv2.resize(image, (410, 480), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", scene, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


@pytest.fixture(scope="module")
def browser(portrait, tmp_path_factory):
    film = tmp_path_factory.mktemp("camera") / "face.mjpeg"
    film.write_bytes(portrait * 5)
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=[
            "--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={film}"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    port, home = free_port(), tmp_path_factory.mktemp("lab")
    (home / "work").mkdir()
    for name, source in (("camera", CAMERA), ("label", LABEL)):
        cell = {"cell_type": "code", "id": name, "execution_count": None, "metadata": {}, "outputs": [],
                "source": source}
        notebook = {"cells": [cell], "nbformat": 4, "nbformat_minor": 5,
                    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}}
        (home / "work" / f"{name}.ipynb").write_text(json.dumps(notebook))
    server = serve([sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}",
                    "--allow-root", "--IdentityProvider.token=", "--ServerApp.password=",
                    f"--ServerApp.root_dir={home / 'work'}", "--LabApp.news_url=",
                    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"], port, home)
    yield f"http://127.0.0.1:{port}/", home / "work" / "camera.ipynb"
    end(server)


def wait_until(page, condition, otherwise):
    until = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < until, otherwise()
        page.wait_for_timeout(200)


@pytest.fixture(scope="module")
def app(browser, photo_server):
    """The photo app's page, shared by its tests: its kernel takes seconds to start."""
    with contextlib.closing(browser.new_context(viewport={"width": 1280, "height": 900})) as context:
        context.set_default_timeout(PATIENCE)
        yield open_app(context, photo_server)


def open_app(context, photo_server):
    page, elsewhere = context.new_page(), []
    page.on("request", lambda request: elsewhere.append(request.url) if not request.url.startswith(
        (photo_server[0], "data:", "blob:")) else None)
    page.goto(photo_server[0], timeout=PATIENCE)
    page.get_by_role("button", name="Choose photos").wait_for(timeout=PATIENCE)
    assert elsewhere == [] and page.title() == "Expressions in your photos"
    assert page.locator("body").inner_text().startswith("Expressions in your photos")  # nothing above it
    return page


@pytest.fixture
def upload(app, tmp_path):
    """A function that gives files to the app; as paths, for Playwright takes a minute for 20 MB of bytes."""
    def upload(files):
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        app.set_input_files(".fer input[type=file]", [tmp_path / name for name in files])

    return upload


@pytest.fixture
def cleared(app):
    """The app without photos."""
    clear = app.get_by_role("button", name="Clear all")
    if clear.is_visible():
        clear.click()
    assert app.locator(".fer-item").count() == 0
    return app


def large_png():
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()  # 6.8 MB: seven messages


def open_booth(page):
    page.get_by_role("button", name="Take a photo").click()
    page.get_by_role("button", name="Take it").wait_for()  # shown, and listening, once the video plays
    assert page.evaluate("document.querySelector('.fer-booth video').videoWidth") > 0


def test_the_app_names_the_faces_and_says_what_is_wrong_with_each_bad_photo(cleared, upload, portrait):
    page, dialogs = cleared, []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    assert page.get_by_text("Photos stay on this computer").is_visible()
    assert page.get_by_text("Barrett et al. 2019").is_visible() and page.get_by_text("Article 5(1)(f)").is_visible()

    upload({"hopper_private.jpg": portrait, "<img src=x onerror=alert(1)>.jpg": portrait, "words.jpg": b"no",
            "noise.png": large_png(), "cut.jpg": portrait[:9000], "huge.jpg": bytes(photos.MAX_BYTES + 1)})
    page.locator(".fer-status", has_text="; 3 not read").wait_for()
    assert page.locator(".fer-status").inner_text().startswith("2 faces in 3 photos: ")
    cards = page.locator(".fer-item")
    said = [cards.nth(i).inner_text() for i in range(6)]
    emotion = cards.nth(0).locator(".fer-answer").inner_text()
    assert emotion in EMOTIONS and cards.nth(0).locator(".fer-bar").count() == 7
    assert cards.nth(0).locator(".fer-box").is_visible()
    assert "<img src=x onerror=alert(1)>.jpg" in said[1] and not dialogs
    assert "Not an image" in said[2] and "No face found" in said[3] and "cut short" in said[4] and "20 MB" in said[5]
    assert page.locator(".fer-all tbody tr").count() == 2

    page.get_by_label("Call a face unsure below").fill("95")
    assert cards.nth(0).locator(".fer-answer").inner_text() == "unsure"
    assert "2 unsure" in page.locator(".fer-status").inner_text()
    page.get_by_label("Call a face unsure below").fill("15")
    assert cards.nth(0).locator(".fer-answer").inner_text() == emotion

    with page.expect_download() as csv:
        page.get_by_role("button", name="Download CSV").click()
    table = pd.read_csv(csv.value.path(), encoding="utf-8-sig")
    assert table["emotion"].iloc[0] == emotion and table["photo"].iloc[0] == "hopper_private.jpg"
    with page.expect_download() as file:
        page.get_by_role("button", name="Download ZIP").click()
    with zipfile.ZipFile(file.value.path()) as archive:
        assert archive.namelist()[:2] == ["01_hopper_private.jpg", "02_img_src_x_onerror_alert_1.jpg"]
        drawn = cv2.imdecode(np.frombuffer(archive.read("01_hopper_private.jpg"), np.uint8), cv2.IMREAD_COLOR)
        assert drawn.shape == (480, 640, 3)

    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("document.body.scrollWidth") <= width


def test_another_visitor_does_not_see_a_photo_that_was_dropped(cleared, browser, photo_server, portrait):
    transfer = cleared.evaluate_handle("""(bytes) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "dropped.jpg", { type: "image/jpeg" }));
        return data;
    }""", list(portrait))
    cleared.dispatch_event(".fer-app", "drop", {"dataTransfer": transfer})
    cleared.locator(".fer-status", has_text="1 face in 1 photo").wait_for()
    with contextlib.closing(browser.new_context()) as context:
        visitor = open_app(context, photo_server)
        assert visitor.locator(".fer-item").count() == 0
        visitor.goto("about:blank")  # a page that is left ends its kernel, a closed context does not


def test_nothing_of_the_page_can_go_elsewhere_and_nothing_runs_that_is_not_the_apps(cleared):
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        port = elsewhere.getsockname()[1]
        came_through = cleared.evaluate("""async (port) => {
            const through = [], blocked = [];
            document.addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
            await fetch(`http://127.0.0.1:${port}/`, { mode: "no-cors" }).then(() => through.push("fetch"), () => {});
            try { new WebSocket(`ws://127.0.0.1:${port}/`); } catch { /* refused at once */ }
            navigator.sendBeacon(`http://127.0.0.1:${port}/`, "photo");
            new Image().src = `http://127.0.0.1:${port}/photo`;
            for (const [tag, place, value] of [["script", "textContent", "window.ran = 1"], ["script", "src",
                `http://127.0.0.1:${port}/`], ["script", "src", "data:text/javascript,window.ran = 1"],
                ["iframe", "src", `http://127.0.0.1:${port}/`]]) {
              const element = document.createElement(tag);
              element[place] = value;
              document.body.append(element);
            }
            const holder = document.createElement("div");
            holder.innerHTML = "<img src=x onerror='window.ran = 1'>";
            document.body.append(holder);
            await new Promise((done) => setTimeout(done, 500));
            if (window.ran) through.push("script");
            return [through, new Set(blocked).size];
        }""", port)
        elsewhere.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            while True:  # Chromium may connect beforehand, without a word
                caller = elsewhere.accept()[0]
                caller.settimeout(0.1)
                with contextlib.suppress(TimeoutError):
                    came_through[0].extend(filter(None, [caller.recv(1000)]))
    assert came_through[0] == [] and came_through[1] >= 4


def test_another_website_starts_no_kernel_and_its_link_asks_first(page, photo_server):
    address, home = photo_server
    started = (home / "log").read_text().count("Kernel started")
    page.route("http://elsewhere.test/", lambda route: route.fulfill(content_type="text/html", body=(
        f"<img src={address}><iframe src={address}></iframe><script src={address}></script>"
        f"<link rel=prefetch href={address}><a href='{address}?theme=x'>the app</a><a href={address}>here</a>")))
    page.goto("http://elsewhere.test/")
    page.get_by_text("here").click()
    page.get_by_text("Another website led here").wait_for()
    assert (home / "log").read_text().count("Kernel started") == started
    assert page.get_by_role("link", name="Open the photo app").get_attribute("href") == "/"


def test_the_app_takes_photos_itself(cleared):
    open_booth(cleared)
    assert cleared.get_by_role("button", name="Take a photo").is_disabled()  # a second stream would leave the first on
    cleared.keyboard.press("Space")
    cleared.locator(".fer-status", has_text="1 face in 1 photo").wait_for()
    assert cleared.evaluate("document.querySelector('.fer-booth video').srcObject") is None
    open_booth(cleared)
    cleared.get_by_role("button", name="Take it").dblclick()
    cleared.locator(".fer-status", has_text="2 faces in 2 photos").wait_for()


def test_photos_beyond_fifty_are_left_out(cleared, upload):
    upload({f"{i}.jpg": b"no" for i in range(photos.MAX_PHOTOS + 2)})
    cleared.locator(".fer-status", has_text="0 faces in 0 photos; 50 not read").wait_for()
    assert "2 photos were left out" in cleared.locator(".fer-notices").inner_text()


def test_the_kernel_ends_with_its_page_and_nothing_of_the_photos_is_left(cleared, upload, photo_server, portrait):
    upload({"hopper_private.jpg": portrait})
    cleared.locator(".fer-status", has_text="1 face in 1 photo").wait_for()
    home = photo_server[1]
    assert list(home.rglob("kernel-*.json"))
    cleared.goto("about:blank")
    wait_until(cleared, lambda: not list(home.rglob("kernel-*.json")), lambda: "the kernel goes on without its page")
    assert "hopper_private" not in (home / "log").read_text()
    left = [path for path in home.rglob("*") if path.is_file() and path.name != "log"]
    assert not [path for path in left if b"hopper_private" in path.read_bytes() or path.read_bytes()[:2] == b"\xff\xd8"]


def use_camera(page):
    page.get_by_role("button", name="Start camera").click()
    page.locator(".fer-live-row .fer-answer").first.wait_for()
    assert page.locator(".fer-live-row .fer-box").first.is_visible()
    page.keyboard.press("Space")
    page.locator(".fer-capture .fer-answer").first.wait_for()
    assert page.locator(".fer-capture .fer-answer").first.inner_text() in EMOTIONS
    assert page.locator(".fer-capture .fer-bar").count() % 7 == 0
    page.keyboard.press("Escape")
    page.locator(".fer-status", has_text="The camera is off").wait_for()
    assert page.evaluate("document.querySelector('.fer video').srcObject") is None
    return page.locator(".fer-capture .fer-answer").first.inner_text()


def run_first_cell(page):
    """Press run until the cell has run: JupyterLab drops, without a word, what comes before its kernel answers."""
    prompt, pressed = page.locator(".jp-Notebook .jp-InputPrompt").first, 0.0
    prompt.wait_for()

    def has_run():
        nonlocal pressed
        if (asked := page.locator(".jp-Dialog .jp-mod-accept")).count():
            asked.first.click()  # which kernel to take, where none is up yet
        if not re.search(r"[*\d]", prompt.inner_text()) and time.monotonic() - pressed > 2:
            page.locator(".jp-Notebook .jp-Cell .cm-content").first.click()
            page.locator("[data-command='notebook:run-cell-and-select-next']").first.click()
            pressed = time.monotonic()
        return re.search(r"\d", prompt.inner_text())

    wait_until(page, has_run, lambda: f"the cell did not run: {prompt.inner_text()}")


def test_the_camera_in_jupyterlab_leaves_nothing_in_the_notebook(page, lab):
    address, path = lab
    page.goto(f"{address}lab/tree/camera.ipynb?reset", timeout=PATIENCE)
    run_first_cell(page)
    use_camera(page)
    page.keyboard.press("d")
    page.keyboard.press("d")
    assert page.locator(".fer-camera").count() == 1  # the widget's keys are no notebook commands
    page.locator(".jp-Notebook .jp-Cell .cm-content").first.click()
    page.keyboard.press("Control+s")
    wait_until(page, lambda: '"execution_count": 1' in path.read_text(), path.read_text)
    saved = path.read_text()
    assert len(saved) < 5000 and "/9j/" not in saved


def test_the_camera_in_voila_and_a_refused_one(page, lab):
    address = f"{lab[0]}voila/render/camera.ipynb"
    page.goto(address, timeout=PATIENCE)
    use_camera(page)
    page.evaluate("""() => { navigator.mediaDevices.getUserMedia = () =>
        Promise.reject(new DOMException("no", "NotAllowedError")); }""")
    page.get_by_role("button", name="Start camera").click()
    page.locator(".fer-status", has_text="The camera was refused").wait_for()
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = undefined; }")
    page.get_by_role("button", name="Start camera").click()
    page.locator(".fer-status", has_text="only on https pages and on localhost").wait_for()


def test_faces_are_labelled_in_jupyterlab_by_keys_alone(page, lab):
    address, path = lab

    def decided(count):
        page.locator(".fer-head", has_text=f"{count} of 3 faces").wait_for()

    page.goto(f"{address}lab/tree/label.ipynb?reset", timeout=PATIENCE)
    run_first_cell(page)
    page.locator(".fer-asked[src]").wait_for()
    page.keyboard.press("Escape")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.fer-asking')"):
            break
    for count, key in enumerate(("4", "Space", "u", "d", "9")):  # "d" is no key of ours, nor of the notebook here
        page.keyboard.press(key)
        decided((1, 2, 1, 1, 2)[count])
    for _ in range(7):
        page.keyboard.press("Tab")
    assert "neutral" in page.evaluate("document.activeElement.innerText")
    page.keyboard.press("Enter")
    decided(3)
    page.locator(".fer-lead", has_text="All faces are decided").wait_for()
    page.keyboard.press("Escape")  # the keys work on, though the button that has the focus does nothing now
    page.locator(".fer-summary", has_text="2 of 3 faces have a label: happy 1, neutral 1").wait_for()
    table = pd.read_csv(path.with_name("labels") / "labels.csv")
    assert table["label"].tolist() == ["happy", "skip", "undo", "not a face", "neutral"]
