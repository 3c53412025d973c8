"""The page: it stands alone, escapes what comes from outside, and shows no face unless asked."""

import json
import os
import shutil
import sys
from pathlib import Path

import cv2
import pandas as pd
import pytest

from fer_utils.cli import main
from fer_utils.event import people, report, store
from fer_utils.labels import EMOTIONS

from .pictures import MODEL, collect, needs_model, photo

pytestmark = needs_model


def test_the_page_stands_alone_and_is_escaped(crowd):
    _, result, out = crowd
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "A &lt;b&gt;party&lt;/b&gt; &amp; more" in page and "<b>party" not in page
    assert "<script" not in page and "http" not in page.replace("http://www.w3.org", "")
    for said in ("not a feeling", "<i>Psychological", "Barrett", "5(1)(f)", "counts twice", "unsure", "raw",
                 "corrected", "blurred"):
        assert said in page
    assert {p.name for p in out.iterdir()} == {"faces.csv", "participants.csv", "report.html", "errors.csv",
                                               "progress.jsonl", "settings.json", ".lock"}
    table = pd.read_csv(out / "participants.csv")
    assert len(table) == result["participants"] and set(table["emotion"]) <= set(EMOTIONS)


def test_the_result_is_json(crowd):
    assert json.loads(json.dumps(crowd[1])) == crowd[1]


def test_names_of_every_kind_survive_and_are_escaped(tmp_path):
    names = ["a,b.jpg", 'say "x".jpg', "<script>alert(1)<_script>.jpg", "zwei\nZeilen.jpg", "NA.jpg"]
    if sys.platform == "linux":
        names.append(os.fsdecode(b"caf\xe9.jpg"))
    folder = tmp_path / "<i>in"
    for name in names:
        photo(folder / "tmp.jpg").rename(folder / name)
    (folder / "<script>.mp4").write_bytes(b"not a video")
    result = report.run_event(folder, tmp_path / "out", model=MODEL, detector="haar", progress=False)
    assert {os.path.basename(s) for s in store.read_faces(tmp_path / "out")["source"]} == set(names)
    assert result["participants"] == len(names) == collect(folder, tmp_path / "out")["already_done"]
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "&lt;i&gt;in" in page and "&lt;script&gt;.mp4" in page and "<script" not in page and "<i>in" not in page
    assert "1 source could not be read in full" in report.report_text(result)


def test_nothing_but_unreadable_files_is_a_failure(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"no photo")
    arguments = ["event", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--model", str(MODEL),
                 "--detector", "haar"]
    assert main(arguments) == 1 and "1 source could not be read in full" in capsys.readouterr().out
    photo(tmp_path / "in" / "b.jpg")
    assert main(arguments) == 0


def test_a_share_is_rounded_once(crowd, monkeypatch):
    """0.08547 is 8.5 %, and not 0.0855 and so 8.6 %."""
    summary = people.summarise(crowd[2])
    summary["shares"].loc["happy", "corrected"] = 0.085_47
    monkeypatch.setattr(report, "summarise", lambda *_: summary)
    result = report.report_event(crowd[2])
    assert "happy              corrected   8.5%" in report.report_text(result)
    assert json.loads(json.dumps(result))["shares"]["happy"]["corrected"] == 0.085_47


def test_no_face_unless_asked_and_then_blurred(crowd, tmp_path):
    summary = people.summarise(crowd[2])
    assert "image/png" not in report.write_report(summary, tmp_path / "report.html").read_text(encoding="utf-8")
    (emotion, sure, blurred), *_ = report.example_faces(summary["people"], limit=1)
    (_, _, clear), *_ = report.example_faces(summary["people"], blur=False, limit=1)
    assert len(report.example_faces(summary["people"])) == report.FACES_SHOWN
    assert emotion in EMOTIONS and 0 < sure <= 1 and blurred.shape == clear.shape == (96, 96, 3)
    # What makes a face recognisable is in its edges: almost nothing of them is left.
    edges = [cv2.Laplacian(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.CV_64F).std() for face in (blurred, clear)]
    assert edges[0] < 0.2 * edges[1]


def test_faces_of_a_video_are_cut_from_its_frames_and_left_out_once_it_is_gone(walk, tmp_path):
    found = people.participants(store.read_faces(walk[1]))
    (example,) = report.example_faces(found, blur=False)
    assert example.emotion == found["emotion"][0] and example.face.std() > 20
    assert report.example_faces(found.assign(source=str(tmp_path / "gone.avi"))) == []


def test_the_page_in_chromium(crowd):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser_path:
        pytest.skip("no chromium here")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for width in (390, 1280):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme="dark")
            page.goto(f"file://{crowd[1]['report']}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.pdf().startswith(b"%PDF")
        browser.close()
