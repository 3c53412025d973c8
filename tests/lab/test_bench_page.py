import shutil

import pytest

from fer_utils.errors import DataError
from fer_utils.lab import bench_page

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_is_timed_in_a_browser(built_page, monkeypatch):
    file = built_page / "fer.html"
    monkeypatch.setattr(bench_page, "build_page", lambda folder: {"file": file, "file_bytes": file.stat().st_size})
    monkeypatch.setattr(bench_page, "CLIP_FRAMES", 4)
    monkeypatch.setattr(bench_page, "WATCHED_FRAMES", (2, 5))
    monkeypatch.setattr(bench_page, "PHOTO_SIDES", (800, 600))
    result = bench_page.bench_page()
    assert list(result) == ["file_mb", "start_s", "first_answer_s", "clips", "photo", "memory"]
    assert [clip["faces"] for clip in result["clips"].values()] == [1, 6]
    assert min(clip["frames_s"] for clip in result["clips"].values()) > 0
    assert 0 < result["start_s"] < result["first_answer_s"] and result["photo"]["faces"] == 6
    assert 0 < result["photo"]["page_blocked_ms"] < result["photo"]["ms"]
    assert list(result["memory"]) == ["2_frames_mib", "5_frames_mib", "grown_mib"]


def test_without_a_browser_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DataError, match="install chromium"), bench_page.open_browser():
        pass
