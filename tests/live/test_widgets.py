"""The photo app and the browser camera without a browser: messages as JavaScript sends them, answered."""

import io
import json
import os
import re
import signal
import sys
import time
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image

from fer_utils.labels import EMOTIONS
from fer_utils.live import photos, widgets
from fer_utils.live.label_widget import LabelWidget
from fer_utils.vision import detect, images
from fer_utils.vision.predict import Face, Predictor

MODEL = Path(__file__).resolve().parents[2] / "models" / "fer_net"
PORTRAIT = get_sample_data("grace_hopper.jpg").read()
SURE, TORN = (np.eye(7, dtype=np.float32)[3] * 0.94 + 0.06 / 7), np.full(7, 1 / 7, np.float32)


class Stub:
    """Answers with the same faces whatever the picture."""

    detector = SimpleNamespace(name="stub", detect=lambda image: [])

    def __init__(self, *probabilities):
        self.found = [Face((10 * i, 20, 8, 9), 0.9, p) for i, p in enumerate(probabilities)]

    def faces(self, image):
        return self.found

    def classify(self, image, detections, on_stage=None):
        return self.found


class Broken:
    def faces(self, image):
        raise MemoryError("secret.jpg")


class Page:
    """A browser: sends a widget's messages and keeps the answers."""

    def __init__(self, widget):
        self.widget, self.heard = widget, []
        widget.send = lambda content, buffers=None: self.heard.append((content, buffers or []))

    def ask(self, kind, buffers=(), **content):
        self.widget._receive(None, {"kind": kind, "view": "v", "id": len(self.heard), **content},
                             [memoryview(b) for b in buffers])
        answer, files = self.heard[-1]
        json.dumps(answer)
        assert answer["view"] == "v"
        return answer, files

    def upload(self, number, data, name="photo.jpg", part=1 << 20):
        parts = [data[at:at + part] for at in range(0, len(data), part)] or [b""]
        for piece in parts[:-1]:
            answer, _ = self.ask("part", [piece], photo=number)
            if "error" in answer:
                return answer, []
        return self.ask("photo", parts[-1:], photo=number, name=name)


def app(*probabilities, unsure=0.4):
    return Page(widgets.photo_app(Stub(*(probabilities or [SURE])), unsure))


def encoded(array, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


GRAY = np.full((40, 60, 3), 128, np.uint8)


def read_csv(data):
    assert data.startswith(b"\xef\xbb\xbf")
    return pd.read_csv(io.BytesIO(data), encoding="utf-8-sig")


def test_a_photo_comes_back_upright_shrunk_and_with_its_faces_boxes_in_its_own_pixels():
    wide = Image.fromarray(np.zeros((1000, 3000, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    exif[0x010F] = "a camera of somebody"
    file = io.BytesIO()
    wide.save(file, "JPEG", exif=exif)
    answer, (jpeg,) = app().upload("1", file.getvalue(), part=500)
    assert (answer["width"], answer["height"]) == (1000, 3000) and answer["note"] == ""
    with Image.open(io.BytesIO(jpeg)) as shown:
        assert shown.size == (533, 1600) and not shown.getexif()
    assert answer["faces"] == [{"box": [0, 20, 8, 9], "probabilities": [round(float(p), 4) for p in SURE]}]


@pytest.mark.parametrize("detector", ["haar", pytest.param("yunet", marks=pytest.mark.skipif(
    detect.yunet_file(download=False) is None, reason="YuNet's file is not here"))])
def test_the_portrait_by_the_real_network(detector):
    predictor = Predictor(MODEL, detector)
    photo = photos.analyse_photo(PORTRAIT, "grace_hopper.jpg", predictor)
    assert len(photo.faces) == 1 and photo.note == ""
    x, y, width, height = photo.faces[0].box
    assert x < 265 < x + width and y < 220 < y + height  # her nose in that picture of 512×600 pixels
    drawn = photos.annotated_photo(photo)
    assert drawn.shape == (600, 512, 3)
    assert np.abs(drawn[y, x:x + width].astype(int) - Image.open(io.BytesIO(PORTRAIT)).crop(
        (x, y, x + width, y + 1))).mean() > 20


def bomb(side=20_000):
    """A PNG whose header claims so many pixels a side."""
    data = bytearray(encoded(np.zeros((1, 1), np.uint8)))
    data[16:24] = side.to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


def animation():
    file = io.BytesIO()
    pictures = [Image.fromarray(GRAY), Image.fromarray(GRAY // 2)]
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:])
    return file.getvalue()


BAD = {
    "text.jpg": (b"just words", "Not an image"),
    "empty.png": (b"", "Not an image"),
    "cut.jpg": (PORTRAIT[:20_000], "Damaged or cut short"),
    "bomb.png": (bomb(), "Too many pixels (at most 64 million)"),
    "large_bomb.png": (bomb(10_000), "10000×10000 pixels are too many (at most 64 million)"),
    "iphone.heic": (b"\0\0\0\x18ftypheic" + bytes(100), "HEIC cannot be read here"),
    "large.jpg": (bytes(photos.MAX_BYTES + 1), "Larger than 20 MB"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_upload_gets_its_line_and_the_next_goes_on(name):
    if name.endswith("heic") and images.heic_readable():
        pytest.skip("pillow-heif is here")
    page = app()
    data, words = BAD[name]
    answer, files = page.upload("1", data, name)
    assert words in answer.get("note", answer.get("error")) and not files
    answer, files = page.upload("2", encoded(GRAY), "good.png")
    assert len(answer["faces"]) == 1 and len(files) == 1


def test_a_photo_that_keeps_its_decoder_busy_is_given_up(monkeypatch):
    monkeypatch.setattr(photos, "MAX_SECONDS", 0.3)
    data = encoded(GRAY)
    empty = b"\0\0\0\0abCd" + zlib.crc32(b"abCd").to_bytes(4, "big")
    page, start = app(), time.monotonic()
    answer, files = page.upload("1", data[:33] + empty * 1_600_000 + data[33:], part=10**8)  # for minutes
    assert answer["note"] == "Took longer than 0.3 seconds; save it as JPEG." and not files
    assert time.monotonic() - start < 3 and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    assert page.upload("2", data)[0]["note"] == ""


def peak_of_reading(data):
    """Return by how many MB reading a photo raises this process's memory at most, and the note."""
    Path("/proc/self/clear_refs").write_text("5")
    mib = [int(line.split()[1]) >> 10 for line in Path("/proc/self/status").read_text().splitlines()
           if line.startswith(("VmRSS", "VmHWM"))]
    note = photos.analyse_photo(data, "photo", Stub()).note
    peak = next(int(line.split()[1]) >> 10 for line in Path("/proc/self/status").read_text().splitlines()
                if line.startswith("VmHWM"))
    return peak - max(mib), note


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="only Linux tells a peak")
@pytest.mark.parametrize("kind,mode,side,options", [
    ("WEBP", "RGBA", 5656, {"lossless": True, "method": 0}), ("PNG", "RGBA", 8000, {"compress_level": 1})])
def test_a_large_photo_needs_no_more_memory_than_documented(kind, mode, side, options):
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, kind, **options)
    peak, note = peak_of_reading(file.getvalue())
    assert note == "No face found." and peak < 520
    file = io.BytesIO()
    Image.new("1", (side + 9, side + 9)).save(file, kind)
    peak, note = peak_of_reading(file.getvalue())
    assert "pixels are too many" in note and peak < 20


def test_an_animation_no_face_and_two_hundred_faces():
    assert "only its first" in app().upload("1", animation(), "moving.gif")[0]["note"]
    page = Page(widgets.photo_app(Stub()))
    assert page.upload("1", encoded(GRAY))[0]["note"] == "No face found."
    page = app(*[SURE] * 200)
    assert len(page.upload("1", encoded(GRAY))[0]["faces"]) == 200
    assert len(read_csv(page.ask("csv", unsure=0.4)[1][0])) == 200
    assert page.ask("zip", unsure=0.4)[1]


def test_what_breaks_inside_is_said_without_a_traceback(capfd):
    page = Page(widgets.photo_app(Broken()))
    assert page.upload("1", encoded(GRAY), "secret.jpg")[0]["note"] == "Could not be looked at (MemoryError)."
    for odd in ({"kind": "csv"}, {"kind": "nonsense"}, {"kind": "photo", "photo": "2"}, {}):
        page.widget._receive(None, {"view": "v", "id": 1, **odd}, [])
        assert "error" in page.heard[-1][0]
    assert capfd.readouterr() == ("", "")


def test_no_more_than_fifty_are_held_and_removed_ones_make_room():
    page = app()
    for number in range(photos.MAX_PHOTOS):
        assert "error" not in page.upload(str(number), encoded(GRAY))[0]
    assert "50 photos at once" in page.upload("more", encoded(GRAY))[0]["error"]
    page.ask("remove", photos=["0", "1", "unknown"])
    assert len(page.widget.photos) == 48
    assert "error" not in page.upload("more", encoded(GRAY))[0]


def test_a_broken_off_upload_does_not_mix_with_the_next():
    page = app()
    page.ask("part", [b"half of something"], photo="1")
    assert page.upload("2", encoded(GRAY))[0]["width"] == 60


def test_the_csv_says_unsure_under_the_threshold():
    page = app(SURE, TORN)
    page.upload("1", encoded(GRAY), "=HYPERLINK(1).png")
    page.upload("2", b"words", "<b>.jpg")
    table = read_csv(page.ask("csv", unsure=0.4)[1][0])
    assert table["emotion"].tolist()[:2] == ["happy", "unsure"] and table["number"].tolist() == [1, 1, 2]
    assert table["photo"].tolist() == ["'=HYPERLINK(1).png"] * 2 + ["<b>.jpg"]
    assert table[list(EMOTIONS)].iloc[:2].sum(axis=1).round(2).tolist() == [1, 1]
    assert table["note"].iloc[2].startswith("Not an image") and pd.isna(table["face"].iloc[2])
    assert read_csv(page.ask("csv", unsure=0.1)[1][0])["emotion"].iloc[1] in EMOTIONS
    assert read_csv(page.ask("csv", unsure=0.99)[1][0])["emotion"].iloc[0] == "unsure"


def test_zip_entries_are_safe_unique_and_annotated(tmp_path):
    page = app(SURE)
    names = ["../../etc/passwd.jpg", "same.jpg", "same.jpg", "<img src=x>.jpg", r"C:\boot.ini", "写真.png", "…",
             "CON.jpg"]
    for i, name in enumerate(names):
        page.upload(str(i), encoded(np.zeros((100, 100, 3), np.uint8)), name)
    page.upload("bad", b"words", "bad.jpg")
    (data,) = page.ask("zip", unsure=0.4)[1]
    progress = [answer for answer, _ in page.heard if "of" in answer]
    assert [p["done"] for p in progress] == list(range(1, 10)) and progress[0]["of"] == 9
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        entries = archive.namelist()
        archive.extractall(tmp_path)
    assert entries == ["01_passwd.jpg", "02_same.jpg", "03_same.jpg", "04_img_src_x.jpg", "05_boot.jpg", "06_写真.jpg",
                       "07_photo.jpg", "08_CON.jpg", "faces.csv"]
    picture = np.asarray(Image.open(tmp_path / "02_same.jpg"))
    assert picture.shape == (100, 100, 3) and picture.max() > 100  # a box and a name on what was black
    assert len(pd.read_csv(tmp_path / "faces.csv", encoding="utf-8-sig")) == 9


def test_a_page_loaded_anew_finds_its_photos():
    page = app()
    page.upload("1", encoded(GRAY), "a.png")
    assert page.ask("hello")[0]["photos"] == ["1"]
    answer, files = page.ask("show", photo="1")
    assert answer["name"] == "a.png" and len(files) == 1
    assert len(page.ask("hello")[1]) == 7  # the emoji


@pytest.mark.parametrize("widget", [widgets.BrowserCamera, widgets.PhotoApp, LabelWidget])
def test_a_widgets_modules_are_joined_to_one_in_which_each_name_is_declared_once(widget):
    script = widget._esm
    assert re.findall(r"^(?:import|export) .*", script, re.M) == ["export default { render };"]
    declared = re.findall(r"^(?:async )?(?:function|const|let) (\w+)", script, re.M)
    assert len(declared) == len(set(declared)) and {"make", "openCamera", "connect", "render"} <= set(declared)


_written = []


def _audit(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and (
            (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"))
            or arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
        _written.append(arguments[0])


def test_photos_leave_no_file_no_state_and_no_word(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    caplog.set_level("DEBUG")
    widget = widgets.photo_app(Predictor(MODEL, "haar"))
    page, before = Page(widget), widget.get_state()
    sys.addaudithook(_audit)  # for good, hence the list that is compared
    start = len(_written)
    page.upload("1", PORTRAIT, "private_name.jpg")
    page.upload("2", b"words", "private_name.jpg")
    page.ask("zip", unsure=0.4)
    page.ask("csv", unsure=0.4)
    assert [p for p in _written[start:] if os.fsdecode(p) != os.devnull] == []
    assert list(tmp_path.iterdir()) == []
    assert widget.get_state() == before
    assert "private_name" not in str(widget.get_state()) + repr(widget) + caplog.text + "".join(capfd.readouterr())


def test_the_camera_smooths_live_frames_but_not_captures(monkeypatch):
    clock = iter((0.0, 0.1))
    monkeypatch.setattr(widgets.time, "monotonic", lambda: next(clock))
    stub = Stub(SURE)
    page = Page(widgets.browser_camera(stub, mirror=False))
    assert page.ask("hello")[0]["mirror"] is False
    frame = encoded(GRAY, "JPEG")
    assert page.ask("frame", [frame])[0]["faces"][0]["probabilities"][3] == pytest.approx(SURE[3], abs=1e-3)
    stub.found = Stub(TORN).found
    live = page.ask("frame", [frame])[0]["faces"][0]["probabilities"]
    assert SURE[3] > live[3] > 0.5 and sum(live) == pytest.approx(1, abs=1e-3)
    captured = page.ask("capture", [frame])[0]["faces"][0]["probabilities"]
    assert captured == pytest.approx([round(1 / 7, 4)] * 7)
    (kept,) = page.widget.captures
    assert kept.image.shape == (40, 60, 3) and kept.faces[0].confidence == pytest.approx(1 / 7)


def test_the_camera_keeps_the_last_captures_and_survives_a_bad_frame():
    page = Page(widgets.browser_camera(Stub(SURE)))
    assert "error" in page.ask("frame", [b"no jpeg"])[0] and "error" in page.ask("frame")[0]
    for _ in range(widgets.MAX_CAPTURES + 3):
        page.ask("capture", [encoded(GRAY, "JPEG")])
    assert len(page.widget.captures) == widgets.MAX_CAPTURES
    assert all(not isinstance(v, bytes) for v in page.widget.get_state().values())
