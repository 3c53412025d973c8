"""The page without a server as a visitor uses it, in a real browser with a fake camera."""

import contextlib
import io
import re
import shutil
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_utils.lab import page_pictures
from fer_utils.labels import EMOTIONS
from fer_utils.live import photos
from fer_utils.vision.predict import Predictor

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
LANGUAGES = ("en", "de", "fr")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


def until(page, condition):
    """Wait until JavaScript is true; Playwright's own function for that is refused by the page's policy."""
    end = time.monotonic() + 60
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


@contextlib.contextmanager
def opened(browser, address, locale="en-GB", **options):
    with contextlib.closing(browser.new_context(viewport=DESK, locale=locale, **options)) as context:
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(address)
        until(page, "Boolean(globalThis.ferEngine)")
        yield page
        assert errors == []


@pytest.fixture(scope="module")
def shared_page(browser, built_page):
    with opened(browser, (built_page / "fer.html").as_uri()) as page:
        yield page


@pytest.fixture
def page(shared_page):
    """The page in one file, in English and without photos."""
    page = shared_page
    page.set_viewport_size(DESK)
    page.get_by_label("Language").or_(page.get_by_label("Sprache")).or_(page.get_by_label("Langue")).select_option("en")
    clear = page.get_by_role("button", name="Clear all")
    if clear.is_visible():
        clear.click()
    page.get_by_label("Call a face unsure below").fill("50")
    assert page.locator(".fer-item").count() == 0
    return page


def add(page, **files):
    """Give files to the page; returns when all are looked at."""
    page.set_input_files("#page input[type=file]", [
        {"name": name, "mimeType": "image/png", "buffer": data} for name, data in files.items()])
    until(page, "!document.querySelector('.page-waiting, .page-progress progress:not([hidden])')")


def download(page, button):
    with page.expect_download() as file:
        page.get_by_role("button", name=button).click()
    return Path(file.value.path()).read_bytes()


# Photos.

def test_each_photo_gets_its_faces_or_a_sentence_and_the_rest_goes_on(page, drawn):
    blank = cv2.imencode(".png", np.full((80, 120, 3), 128, np.uint8))[1].tobytes()
    add(page, **{"words.jpg": b"just words", "two.png": drawn[2], "<img src=x onerror=alert(1)>.png": drawn[1],
                 "phone.heic": b"\0\0\0\x18ftypheic" + bytes(200), "blank.png": blank})
    cards = page.locator(".fer-item")
    said = [cards.nth(i).inner_text() for i in range(5)]
    assert "Not a picture" in said[0] and "does not read HEIC" in said[3] and "No face found" in said[4]
    assert "<img src=x onerror=alert(1)>.png" in said[2]
    assert page.locator(".page-tools .fer-status").inner_text() == "3 faces in 3 photos; 2 not read"
    assert cards.nth(1).locator(".fer-box").count() == 2
    tile = cards.nth(1).locator(".page-tile").first
    assert tile.locator(".page-thumb > img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 50
    assert re.fullmatch(r"surprise\s+\d+ %\s+\w+\s+\d+ %", tile.locator(".page-names").inner_text())
    assert tile.locator(".fer-bar").count() == 0
    tile.locator("summary").focus()
    page.keyboard.press("Enter")
    tile.locator(".fer-bars").wait_for()
    assert [line.split("\n")[0] for line in tile.locator(".fer-bars li").all_inner_texts()] == list(EMOTIONS)
    cards.nth(0).get_by_role("button", name="Remove words.jpg").click()
    assert cards.count() == 4
    assert page.evaluate("document.activeElement.ariaLabel") == "Remove two.png"  # where the keyboard goes on


def test_the_slider_calls_faces_unsure(page, drawn):
    add(page, **{"one.png": drawn[1]})
    answer = page.locator(".page-names .fer-answer")
    page.get_by_label("Call a face unsure below").fill("95")
    assert answer.inner_text() == "unsure" and page.locator(".fer-box.fer-unsure").count() == 1
    assert page.locator(".page-names > span").count() == 3  # and its two strongest emotions
    assert "1 face is unsure" in page.locator(".page-summary").inner_text()
    page.get_by_label("Call a face unsure below").fill("15")
    assert answer.inner_text().startswith("happy") and "unsure" not in page.locator(".page-summary").inner_text()


def test_dropped_and_pasted_photos_come_in_and_pasted_text_does_not(page, drawn):
    transfer = page.evaluate_handle("""(bytes) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "given.png", { type: "image/png" }));
        return data;
    }""", list(drawn[1]))
    page.dispatch_event("#page", "drop", {"dataTransfer": transfer})
    page.locator(".fer-item", has_text="1 face").wait_for()
    page.evaluate("data => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data }))", transfer)
    until(page, "document.querySelectorAll('.page-tile').length == 2")
    page.evaluate("document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: new DataTransfer() }))")
    assert "no picture in what you pasted" in page.locator(".fer-notices").inner_text()
    paste = "document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: new DataTransfer() }))"
    page.evaluate(f"{{ {paste}; {paste}; }}")
    assert page.locator(".fer-notices p").count() == 1  # said once
    page.get_by_role("button", name="Dismiss").click()
    assert page.locator(".fer-notices").inner_text() == ""


def test_what_is_dropped_beside_the_column_does_not_take_the_pages_place(page):
    drop = """(fill) => { const dataTransfer = new DataTransfer();
        if (fill === "file") dataTransfer.items.add(new File(["words"], "beside.jpg"));
        else dataTransfer.setData("text/uri-list", "https://example.org/a.png");
        const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
        return !document.body.dispatchEvent(event); }"""
    assert page.evaluate(drop, "file") and page.evaluate(drop, "address")
    page.locator(".fer-failed", has_text="beside.jpg").wait_for()
    assert "no picture in what you pasted or dropped" in page.locator(".fer-notices").inner_text()
    page.get_by_role("button", name="Dismiss").click()
    page.evaluate("document.querySelector('img').dispatchEvent(new DragEvent('dragstart', { bubbles: true }))")
    page.evaluate(drop, "file")  # the page's own picture, moved a little
    page.evaluate("document.dispatchEvent(new DragEvent('dragend'))")
    assert page.locator(".fer-item").count() == 1


def test_after_removing_the_focus_stays_near_and_clearing_is_said(page):
    add(page, **{"a.jpg": b"no", "b.jpg": b"no"})
    page.get_by_role("button", name="Remove b.jpg").click()
    assert page.evaluate("document.activeElement.ariaLabel") == "Remove a.jpg"
    page.get_by_role("button", name="Clear all").click()
    assert page.evaluate("document.activeElement.textContent") == "Choose photos"
    assert page.locator(".page-state").inner_text() == "All photos are cleared."
    add(page, **{"a.jpg": b"no"})
    assert page.locator(".page-state").is_hidden()


def test_what_is_wrong_with_a_photo_is_said_in_the_pages_language(page, drawn):
    jpeg = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    add(page, **{"layers.jpg": jpeg[:-2] + 200 * b"\xff\xda\0\x08\x01\x01\0\0\x3f\0" + jpeg[-2:]})
    page.evaluate("""() => { const { photo } = ferEngine; ferEngine.photo = () => { ferEngine.photo = photo;
        return Promise.reject(Object.assign(new Error("odd"), { code: "failed" })); }; }""")
    add(page, **{"odd.png": drawn[1]})
    for language, layers, odd in (("en", "so many scans", "could not be looked at (odd)"),
                                  ("de", "so viele Durchgänge", "konnte nicht angesehen werden (odd)"),
                                  ("fr", "tant de passes", "n’a pas pu être examinée (odd)")):
        page.locator("select").first.select_option(language)
        said = page.locator(".fer-failed").all_inner_texts()
        assert layers in said[0] and odd in said[1]
    assert "2 non lues" in page.locator(".page-tools .fer-status").inner_text()


def test_photos_of_one_name_and_one_removed_while_the_zip_is_drawn(page, drawn):
    page.set_input_files("#page input[type=file]", [
        {"name": name, "mimeType": "image/png", "buffer": drawn[1]} for name in ("same.png", "same.png", "last.png")])
    until(page, "document.querySelectorAll('.page-tile').length == 3")
    with page.expect_download() as file:
        page.evaluate("""() => { document.querySelectorAll(".page-tools button")[1].click();
            document.querySelector(".fer-item .fer-remove").click(); }""")
    with zipfile.ZipFile(file.value.path()) as archive:
        assert archive.namelist() == ["01_same.jpg", "02_same.jpg", "03_last.jpg", "faces.csv"]


def test_a_dropped_folder_is_a_sentence(page):
    page.evaluate("""() => {
        const folder = new File([], "Holidays");
        folder.slice = () => ({ arrayBuffer: () => Promise.reject(new DOMException("no file", "NotFoundError")) });
        const dataTransfer = { files: [folder], types: ["Files"] };
        const drop = Object.assign(new Event("drop", { bubbles: true }), { dataTransfer });
        document.getElementById("page").dispatchEvent(drop);
    }""")
    page.locator(".fer-failed", has_text="If it is a folder, choose the photos in it.").wait_for()


def test_photos_beyond_two_hundred_are_left_out(page):
    add(page, **{f"{i}.jpg": b"no" for i in range(203)})
    page.locator(".page-tools .fer-status", has_text="200 not read").wait_for()
    assert page.locator(".fer-notices").inner_text().startswith("3 photos were left out: 200 at once is the limit.")
    page.get_by_role("button", name="Dismiss").click()


def test_the_three_examples_are_drawn_faces_that_it_finds(page):
    for n in (1, 2, 7):
        page.get_by_role("button", name=f"Example with {n} drawn face").click()
    until(page, "document.querySelectorAll('.page-tile').length == 10")
    assert page.locator(".page-tools .fer-status").inner_text() == "10 faces in 3 photos"


def test_six_faces_fit_on_a_phones_screen(page, drawn):
    page.set_viewport_size(PHONE)
    add(page, **{"six.png": drawn[6]})
    card = page.locator(".fer-item")
    assert card.locator(".page-tile").count() == 6
    card.scroll_into_view_if_needed()
    assert card.bounding_box()["height"] <= PHONE["height"]
    for box in (tile.bounding_box() for tile in card.locator("summary").all()):
        assert box["height"] >= 44 and box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"]
    for language in LANGUAGES:
        page.locator("select").first.select_option(language)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


# What a visitor takes along.

@pytest.fixture(scope="module")
def pythons(drawn):
    """What Python's photo app says of the photos that the tests below add."""
    predictor = Predictor(ROOT / "models" / "fer_net_tiny", "yunet")
    files = {"=1+1.png": drawn[7], "words, \"quoted\".jpg": b"just words", "two.png": drawn[2]}
    return files, [photos.analyse_photo(data, name, predictor) for name, data in files.items()]


def test_the_csv_and_the_zip_are_those_of_pythons_photo_app(page, pythons):
    files, seen = pythons
    add(page, **files)
    page.get_by_label("Call a face unsure below").fill("60")
    csv = download(page, "Download CSV")
    assert csv.startswith(b"\xef\xbb\xbf") and b"\r" not in csv
    table = pd.read_csv(io.BytesIO(csv), encoding="utf-8-sig")
    wanted = pd.read_csv(io.BytesIO(photos.faces_csv(seen, 0.6)), encoding="utf-8-sig")
    assert table.columns.tolist() == wanted.columns.tolist() and table["photo"].iloc[0] == "'=1+1.png"
    for column in ("number", "photo", "face", "emotion"):
        assert table[column].fillna("").tolist() == wanted[column].fillna("").tolist(), column
    assert "unsure" in set(table["emotion"]) and "Not a picture" in table["note"].iloc[7]
    boxes, numbers = ["x", "y", "width", "height"], ["score", "confidence", *EMOTIONS]
    assert (table[boxes] - wanted[boxes]).abs().max().max() <= 1
    assert (table[numbers] - wanted[numbers]).abs().max().max() < 1e-3

    with zipfile.ZipFile(io.BytesIO(download(page, "Download ZIP"))) as archive:
        assert archive.testzip() is None and archive.read("faces.csv") == csv
        with zipfile.ZipFile(io.BytesIO(photos.results_zip(seen))) as theirs:
            assert archive.namelist() == theirs.namelist()
        picture = np.asarray(Image.open(io.BytesIO(archive.read("03_two.jpg"))).convert("RGB")).astype(int)
    plain = page_pictures.draw_wall(["surprise", "neutral"], 10).astype(int)
    assert picture.shape == plain.shape
    x, y, width, height = table[boxes].iloc[-1].astype(int)
    edge = np.abs(picture - plain)[y + height // 2, [x, x + width]].max(axis=1)
    middle = np.abs(picture - plain)[y + height // 3:y + height // 2, x + width // 3:x + width // 2]
    assert edge.min() > 40 and middle.mean() < 8  # a box, and nothing within it


# Words.

def test_the_language_is_the_browsers_and_can_be_changed_without_losing_photos(browser, built_page, drawn):
    with opened(browser, (built_page / "fer.html").as_uri(), "de-AT") as page:
        assert page.title() == "Gesichtsausdrücke in Ihren Fotos"
        assert page.evaluate("document.documentElement.lang") == "de"
        add(page, **{"one.png": drawn[1], "words.jpg": b"no"})
        assert page.locator(".page-names .fer-answer").inner_text().startswith("fröhlich")
        page.get_by_label("Sprache").select_option("fr")
        assert page.locator(".page-names .fer-answer").inner_text().startswith("joie")
        assert "Ce n’est pas une image" in page.locator(".fer-failed").inner_text()
        assert page.evaluate("document.activeElement.ariaLabel") == "Langue"
        assert "emotion" in download(page, "Enregistrer le CSV").decode()  # the table is the same in each language
        page.get_by_label("Couleurs").select_option("dark")
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(21, 24, 29)"
        page.reload()
        assert page.title() == "Les expressions dans vos photos"
        assert page.evaluate("document.documentElement.className") == "dark"


def test_all_that_can_be_pressed_has_a_name_and_the_wording_is_that_of_the_app(page, drawn):
    add(page, **{"two.png": drawn[2]})
    unnamed = page.evaluate("""[...document.querySelectorAll("button, select, input, summary, a")]
        .filter((e) => !e.ariaHidden && !(e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent.trim()))
        .map((e) => e.outerHTML)""")
    assert unnamed == []
    text = page.locator("footer").inner_text()
    assert "is not a feeling (Barrett et al. 2019)" in text and "people who know and agree" in text
    assert page.get_by_text("Your photos are sent nowhere").is_visible()
    assert page.locator("h1").count() == 1 and page.locator("main").count() == 1


# The camera.

def test_the_camera_shows_faces_space_captures_and_escape_stops(page):
    page.get_by_role("button", name="Start camera").click()
    page.locator(".page-live .fer-box").nth(1).wait_for()
    assert page.locator(".page-live .fer-face").count() == 2 and page.locator(".page-live .fer-bar").count() == 14
    assert "surprise" in page.locator(".page-live .fer-face").first.inner_text()
    page.keyboard.press("Space")
    page.locator(".fer-item", has_text="camera-").get_by_text("2 faces").wait_for()
    page.locator(".fer-rate", has_text="frames/s").wait_for()
    held = page.evaluate("""document.body.dispatchEvent(new KeyboardEvent("keydown",
        { key: " ", repeat: true, bubbles: true, cancelable: true }))""")
    assert not held and page.locator(".fer-item").count() == 1  # one photo, and the page does not scroll
    page.keyboard.press("Escape")
    assert page.locator(".page-live").is_hidden()
    assert page.evaluate("document.querySelector('.page-live video').srcObject") is None
    assert page.evaluate("document.activeElement.textContent") == "Start camera"
    page.keyboard.press("Space")  # no camera: presses the button that has the focus
    page.locator(".page-live .fer-box").first.wait_for()
    page.keyboard.press("Escape")
    assert page.locator(".fer-item").count() == 1


def test_a_refused_camera_is_a_sentence_and_photos_go_on(browser, built_page, drawn):
    with opened(browser, (built_page / "fer.html").as_uri()) as page:
        for name, words in (
                ("NotAllowedError", "The camera was refused. Allow it"), ("NotFoundError", "No camera was found"),
                ("NotReadableError", "in use by another program"), ("OddError", "did not start (OddError)")):
            page.evaluate("""(name) => { navigator.mediaDevices.getUserMedia = () =>
                Promise.reject(new DOMException("no", name)); }""", name)
            page.get_by_role("button", name="Start camera").click()
            page.locator(".page-live .fer-trouble", has_text=words).wait_for()
        assert page.evaluate("document.activeElement.textContent") == "Start camera"
        assert page.get_by_role("button", name="Example with 1 drawn face").is_visible()
        page.keyboard.press("Escape")
        assert page.locator(".page-live").is_hidden()
        add(page, **{"one.png": drawn[1]})
        assert page.locator(".page-tile").count() == 1


def test_a_camera_that_is_taken_away_and_a_frame_that_fails_are_told(browser, built_page):
    with opened(browser, (built_page / "fer.html").as_uri(), has_touch=True, is_mobile=True) as page:
        page.get_by_role("button", name="Start camera").click()
        page.locator(".page-live .fer-box").first.wait_for()
        assert "Space" not in page.locator(".page-live").inner_text()  # a phone has no keys
        page.evaluate("document.querySelector('video').srcObject.getTracks()[0].dispatchEvent(new Event('ended'))")
        assert "unplugged or taken away" in page.locator(".page-live .fer-trouble").inner_text()
        assert page.evaluate("document.querySelector('video').srcObject") is None
        page.evaluate("""() => { ferEngine.frame = () =>
            Promise.reject(Object.assign(new Error("full"), { code: "no-room" })); }""")
        page.get_by_role("button", name="Start camera").click()
        page.locator(".page-live .fer-trouble", has_text="Too little memory").wait_for()
        page.get_by_label("Language").select_option("de")
        assert page.locator(".page-live").is_hidden()
