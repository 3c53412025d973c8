"""The page's folder on a host of files: the other network, offline use, and what a new version changes."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from fer_utils.lab.bench_page import serve_folder
from fer_utils.live import photos
from fer_utils.vision.predict import Predictor

from .test_webpage_ui import CHROMIUM, add, opened, until

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
STORE = "caches.keys().then(([name]) => caches.open(name))"


def test_another_network_looks_at_the_photos_once_more(browser, page_server, drawn):
    with opened(browser, page_server[0]) as page:
        add(page, **{"one.png": drawn[1], "words.jpg": b"no"})
        before = page.locator(".page-names").inner_text()
        page.get_by_label("Larger, errs less").check()
        until(page, f"document.querySelector('.page-names')?.innerText !== {before!r}")
        page.locator(".page-tools .fer-status", has_text="1 face in 1 photo; 1 not read").wait_for()
        seen = photos.analyse_photo(drawn[1], "one.png", Predictor(ROOT / "models" / "fer_net", "yunet"))
        assert f"{round(100 * float(seen.faces[0].confidence))} %" in page.locator(".page-names").inner_text()


def test_the_network_is_changed_while_photos_wait_and_the_language_changes(browser, page_server, drawn):
    with opened(browser, page_server[0]) as page:
        page.set_input_files("#page input[type=file]", [
            {"name": f"{i}.png", "mimeType": "image/png", "buffer": drawn[2]} for i in range(12)])
        page.locator(".page-waiting .fer-remove").last.click()
        page.get_by_label("Larger, errs less").check()
        page.get_by_label("Language").select_option("de")
        page.locator(".page-state", has_text="Das Netz ist jetzt: Größer").wait_for()
        page.locator(".page-tools .fer-status", has_text="22 Gesichter in 11 Fotos").wait_for()
        assert page.get_by_label("Größer, irrt seltener").is_checked()
        assert page.evaluate("document.activeElement.ariaLabel") == "Sprache"  # it does not jump


def test_it_opens_and_answers_without_a_connection_once_it_was_open(browser, page_server, built_page, drawn):
    address, asked = page_server
    with opened(browser, address) as page:
        until(page, "navigator.serviceWorker.ready.then((worker) => worker.active?.state === 'activated')")
        page.context.set_offline(True)
        asked.clear()
        page.reload()
        until(page, "Boolean(globalThis.ferEngine)")
        add(page, **{"one.png": drawn[1]})
        assert page.locator(".page-tile").count() == 1
        assert set(asked) <= {"/sw.js"}  # the browser itself looks for a newer one
    manifest = json.loads((built_page / "manifest.webmanifest").read_text())
    for icon in manifest["icons"]:
        assert "x".join(map(str, Image.open(built_page / icon["src"]).size)) == icon["sizes"]


def test_a_new_version_replaces_the_kept_one_and_what_the_browser_lost_comes_again(browser, built_page, tmp_path):
    folder = shutil.copytree(built_page, tmp_path / "page")
    with serve_folder(folder) as (address, _), opened(browser, address) as page:
        until(page, "navigator.serviceWorker.ready.then((worker) => worker.active?.state === 'activated')")
        [code] = folder.glob("assets/index-*.js")
        newer = code.rename(code.with_name("index-newer.js"))
        newer.write_text(newer.read_text(encoding="utf-8") + "\nglobalThis.newer = true;", encoding="utf-8")
        for name in ("index.html", "sw.js"):
            text = (folder / name).read_text(encoding="utf-8").replace(code.name, newer.name)
            (folder / name).write_text(text.replace("`fer-page-", "`fer-page-newer"), encoding="utf-8")
        page.reload()  # still the old one, from what was kept; meanwhile the new one comes
        until(page, "caches.keys().then((names) => names.length == 1 && names[0].startsWith('fer-page-newer'))")
        page.reload()
        until(page, "globalThis.newer && Boolean(globalThis.ferEngine)")
        lost = f"{STORE}.then(async (store) => {{ for (const {{ url }} of await store.keys()) " \
               "if (/yunet|style/.test(url)) await store.delete(url); return (await store.keys()).length; })"
        before = page.evaluate(lost)
        page.reload()
        until(page, f"{STORE}.then((store) => store.keys()).then((kept) => kept.length === {before + 2})")
        page.context.set_offline(True)
        page.reload()
        until(page, "Boolean(globalThis.ferEngine)")
