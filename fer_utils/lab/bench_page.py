"""Benchmark of the page without a server, in a real browser."""

import base64
import functools
import http.server
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from ..errors import DataError
from ..vision.images import encode_image, read_photo
from ..vision.scenes import write_clip
from ..vision.video import open_source
from .webpage import build_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CLIP_FRAMES = 150
WATCHED_FRAMES = (500, 5000)
PHOTO_SIDES = (4032, 3024)  # pixels, as phones take photos
_PATIENCE_S = 60.0
_WATCHER = """() => {
 let last = performance.now();
 globalThis.longest = 0;
 setInterval(() => { const now = performance.now(); longest = Math.max(longest, now - last); last = now; }, 5);
}"""
_CLIP = """(clip) => {
 globalThis.blobs = clip.map((text) => new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]));
 return ferEngine.forget();
}"""
_FRAMES = """async ([first, count]) => {
 const decode = (i) => createImageBitmap(blobs[i % blobs.length]);
 let faces = 0, next = decode(first);
 const start = performance.now();
 for (let i = first; i < first + count; i++) {
   const bitmap = await next;
   next = decode(i + 1);  // a camera's pictures too are made while the one before is looked at
   faces += (await ferEngine.frame(bitmap, i / 30)).length;
 }
 (await next).close();
 return { faces: faces / count, frames_s: 1000 * count / (performance.now() - start) };
}"""
_PHOTO = """async (text) => {
 const blob = new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]);
 await new Promise((done) => setTimeout(done, 100));
 globalThis.longest = 0;
 const start = performance.now();
 const { faces } = await ferEngine.photo(blob);
 return { faces: faces.length, ms: performance.now() - start, page_blocked_ms: longest };
}"""


@contextmanager
def open_browser() -> Iterator["Browser"]:
    """Start Chromium or Chrome without a window, as Playwright drives it; `DataError` where there is none."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise DataError("the page is measured in Chromium, which is not here: install chromium, or Google Chrome")
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def serve_folder(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder on this computer, as a static host does; yield its address, and a list of all paths asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            asked.append(self.path)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()


def open_page(page: "Page", address: str) -> float:
    """Open the page and wait for its engine; return the seconds that took."""
    start = time.perf_counter()
    page.goto(address)
    while not page.evaluate("Boolean(globalThis.ferEngine)"):
        if time.perf_counter() - start > _PATIENCE_S:
            raise RuntimeError(f"{address}: the recognition did not start in {_PATIENCE_S:.0f} seconds")
        time.sleep(0.02)
    return time.perf_counter() - start


def bench_page(network: str = "tiny") -> dict[str, Any]:
    """Measure the page in one file (``fer.html``) in Chromium: start, live frames, a phone's photo and memory.

    ``first_answer_s`` is the time from opening to the faces of a first small photo. ``clips`` holds for one moving face
    and for six the mean number found and ``frames_s``, the best of three. ``photo`` is one of 12 megapixels, with
    ``page_blocked_ms``, the longest time that the page itself did not run. ``memory`` is the resident MiB of the
    page's process, its worker included, after so many frames.
    """
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        built = build_page(folder)
        clips = {name: _clip(Path(folder) / f"{faces}.mp4", faces)
                 for faces, name in ((1, "one face"), (6, "six faces"))}
        photo = base64.b64decode(clips["six faces"][0])
        page = browser.new_page()
        start_s = open_page(page, built["file"].as_uri())
        first = page.evaluate(_PHOTO, clips["one face"][0])
        result: dict[str, Any] = {"file_mb": round(built["file_bytes"] / 1e6, 2), "start_s": round(start_s, 2),
                                  "first_answer_s": round(start_s + first["ms"] / 1000, 2)}
        result["clips"] = {}
        for name, clip in clips.items():
            page.evaluate(_CLIP, clip)
            runs = [page.evaluate(_FRAMES, [turn * CLIP_FRAMES, CLIP_FRAMES]) for turn in range(3)]
            result["clips"][name] = {"faces": round(runs[0]["faces"], 2),
                                     "frames_s": round(max(run["frames_s"] for run in runs), 1)}
        page.evaluate(_WATCHER)
        result["photo"] = {name: round(value, 1) for name, value in page.evaluate(_PHOTO, _large(photo)).items()}
        result["memory"] = _memory(browser, page, clips["one face"])
    return result


def _clip(path: Path, faces: int) -> list[str]:
    write_clip(path, faces, CLIP_FRAMES)
    with open_source(path) as frames:
        return [base64.b64encode(encode_image(frame.image, 92)).decode() for frame in frames]


def _large(jpeg: bytes) -> str:
    return base64.b64encode(encode_image(cv2.resize(read_photo(jpeg), PHOTO_SIDES), 92)).decode()


def _memory(browser: "Browser", page: "Page", clip: list[str]) -> dict[str, float]:
    page.evaluate(_CLIP, clip)
    sizes, done = {}, 0
    for count in WATCHED_FRAMES:
        page.evaluate(_FRAMES, [done, count - done])
        done = count
        sizes[count] = _resident_mib(browser)
    first, end = sizes.values()
    return {**{f"{count}_frames_mib": round(size, 1) for count, size in sizes.items()},
            "grown_mib": round(end - first, 1)}


def _resident_mib(browser: "Browser") -> float:
    import psutil

    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    return max(psutil.Process(each["id"]).memory_info().rss for each in processes
               if each["type"] == "renderer") / 2**20  # the others are spare
