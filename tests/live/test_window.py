"""The live window under Xvfb with keys from xdotool; its captures, and what it shows where."""
import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fer_utils.errors import CameraError
from fer_utils.live import window as window_module
from fer_utils.live.view import LiveView
from fer_utils.vision import draw, emoji, scenes, sources
from fer_utils.vision.images import read_photo
from fer_utils.vision.video import open_source
from tests.fakes import FakePredictor, face, write_video

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "fer_net"
needs_window = pytest.mark.skipif(not (shutil.which("Xvfb") and shutil.which("xdotool")),
                                  reason="Xvfb or xdotool is not installed")


class TestCaptures:
    def test_png_and_json_say_the_same(self, tmp_path):
        image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
        capture = window_module.save_capture(image, FakePredictor(), tmp_path)
        assert np.array_equal(read_photo(capture.path), image)
        described = json.loads(capture.path.with_suffix(".json").read_text())
        assert described["file"] == capture.path.name and described["width"] == 80
        assert described["faces"][0]["box"] == [20, 20, 40, 40]
        assert sum(described["faces"][0]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert capture._repr_png_().startswith(b"\x89PNG") and len(list(tmp_path.iterdir())) == 2

    def test_an_unsure_face_is_called_so(self, tmp_path):
        image = np.zeros((60, 80, 3), np.uint8)
        sure, unsure = (window_module.save_capture(image, FakePredictor(), tmp_path, limit).picture()
                        for limit in (0.6, 0.8))
        assert tuple(sure[40, 20]) == emoji.RGB["happy"] and tuple(unsure[40, 20]) == draw.UNSURE_COLOUR

    def test_mirror_moves_faces_with_the_picture(self):
        image = np.zeros((50, 100, 3), np.uint8)
        image[20:60, 20:60] = 9
        turned, [found] = draw.mirrored(image, [face((20, 20, 40, 30))])
        x, y, width, height = found.box
        assert (turned[y:y + height, x:x + width] == 9).all() and turned.sum() == image.sum()


class TestKeys:
    """The window's loop with a window that only notes what it is to show."""

    def watch(self, monkeypatch, tmp_path, *keys, unsure=0.0):
        shown, left = [], list(keys)
        window = SimpleNamespace(show=shown.append, key=lambda _: left.pop(0))
        monkeypatch.setattr(window_module, "FREEZE_S", 0.0)
        photo = np.zeros((120, 200, 3), np.uint8)
        photo[:, :100] = 90
        cv2.imwrite(str(tmp_path / "photo.png"), photo)
        view = LiveView(FakePredictor(), unsure=unsure)
        with open_source(tmp_path / "photo.png") as frames:
            captures = list(window_module._watch(frames, window, view, tmp_path / "out"))
        assert left == [], "the last key closes"
        return shown, captures

    def test_m_turns_a_photo_too(self, monkeypatch, tmp_path):
        shown, _ = self.watch(monkeypatch, tmp_path, "", "", "m", "q")
        assert len(shown) == 2, "once, and again after the key"
        assert shown[0][5, 5].tolist() == [90] * 3 and shown[1][5, 5].tolist() == [0] * 3

    def test_the_photo_comes_back_after_a_capture(self, monkeypatch, tmp_path):
        shown, captures = self.watch(monkeypatch, tmp_path, "", "", " ", "", "q", unsure=0.8)
        assert len(shown) == 3 and len(captures) == 1
        assert np.array_equal(shown[1][:80], captures[0].picture()[:80]), "the capture without the status below"
        assert tuple(shown[1][40, 20]) == tuple(shown[2][40, 20]) == draw.UNSURE_COLOUR, "0.7 is unsure, frozen or not"


class TestView:
    def test_what_is_asked_for_is_taken(self):
        for how in ("window", "browser", "clip"):
            assert window_module.choose_view(how) == how
        with pytest.raises(ValueError, match="auto, window"):
            window_module.choose_view("tv")

    def test_auto(self, monkeypatch):
        for name in (*sources.REMOTE, "SERVER_SOFTWARE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("DISPLAY", ":0")
        assert window_module.choose_view() == "clip", "nobody can press a key in a test"
        shell = SimpleNamespace(kernel=SimpleNamespace(_allow_stdin=True))
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
        assert window_module.choose_view() == "window"
        monkeypatch.setenv("JUPYTERHUB_USER", "ada")
        assert window_module.choose_view() == "browser"
        shell.kernel._allow_stdin = False  # papermill on a hub
        assert window_module.choose_view() == "clip"
        monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.8")
        assert window_module.choose_view() == "browser"

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays have addresses on Linux alone")
    def test_no_display_is_said_and_ends_no_process(self, monkeypatch, tmp_path):
        monkeypatch.delenv("DISPLAY", raising=False)
        with pytest.raises(CameraError, match="DISPLAY is not set"):
            window_module.webcam(tmp_path / "any.mp4")
        monkeypatch.setenv("DISPLAY", ":986")
        assert ":986 cannot be opened" in window_module.window_problem()


@pytest.fixture(scope="module")
def display():
    read, write = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(write), "-screen", "0", "900x700x24"], pass_fds=[write],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as answer:
        number = answer.readline().strip()
    assert number, "Xvfb did not start"
    yield f":{number}"
    server.terminate()
    server.wait(20)


def click_the_cross(display, window):
    """Send a window what a window manager sends it when its cross is clicked (WM_DELETE_WINDOW)."""
    class ClientMessage(ctypes.Structure):
        _fields_ = [("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int),
                    ("display", ctypes.c_void_p), ("window", ctypes.c_ulong), ("message_type", ctypes.c_ulong),
                    ("format", ctypes.c_int), ("data", ctypes.c_long * 5), ("padding", ctypes.c_long * 24)]

    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype, x11.XInternAtom.restype = ctypes.c_void_p, ctypes.c_ulong
    connection = ctypes.c_void_p(x11.XOpenDisplay(display.encode()))
    protocols, delete = (x11.XInternAtom(connection, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
    message = ClientMessage(33, 0, 1, connection, window, protocols, 32, (ctypes.c_long * 5)(delete, 0, 0, 0, 0))
    x11.XSendEvent(connection, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
    x11.XCloseDisplay(connection)


SCRIPT = """
import json, subprocess, threading
from fer_utils.live import window
from tests.fakes import FakePredictor
captures = window.webcam({clip!r}, {model}, out={out!r},
                         on_capture=lambda c: print("captured", c.path, flush=True))
left = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", window.TITLE], capture_output=True, text=True)
print(json.dumps({{"captures": len(captures), "emotions": [f.emotion for c in captures for f in c.faces],
                   "threads": threading.active_count(), "windows": len(left.stdout.split())}}))
"""


@needs_window
class TestWindow:
    """A real OpenCV window; each step has its own deadline, and nothing outlives the test."""

    def start(self, display, clip, out, model="FakePredictor()", times=1):
        environment = {**os.environ, "DISPLAY": display, "PYTHONUNBUFFERED": "1"}
        script = times * SCRIPT.format(clip=str(clip), model=model, out=str(out))
        process = subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=ROOT, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            return process, self.window(display)
        except BaseException:
            process.kill()
            print(process.communicate()[1])
            raise

    def window(self, display):
        for _ in range(20):
            # xdotool ends with an X error if another window closes while it looks through them, as that of
            # `window_problem` does.
            found = self.xdotool(display, "search", "--sync", "--onlyvisible", "--name", window_module.TITLE).split()
            if found:
                return found[0]
            time.sleep(0.2)
        raise AssertionError(f"no window named {window_module.TITLE!r} came up")

    @staticmethod
    def xdotool(display, *arguments):
        # Its status says nothing: the window may be gone before the closing key comes up again.
        return subprocess.run(["xdotool", *arguments], env={**os.environ, "DISPLAY": display}, timeout=90,
                              capture_output=True, text=True).stdout

    def press(self, display, window, *keys):
        for key in keys:
            self.xdotool(display, "key", "--window", window, key)

    @staticmethod
    def finish(process):
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 0, err
        return json.loads(out.splitlines()[-1]), out

    @pytest.mark.parametrize("close", ["Escape", "q"])
    def test_space_captures_and_a_key_closes(self, display, tmp_path, close):
        process, window = self.start(display, write_video(tmp_path / "clip.mp4"), tmp_path / "out")
        try:
            self.press(display, window, "m", "space")
            assert process.stdout.readline().startswith("captured"), "the notebook hears of it at once"
            self.press(display, window, close)  # also while the picture stands still
        finally:
            result, _ = self.finish(process)
        assert result == {"captures": 1, "emotions": ["happy"], "threads": 1, "windows": 0}
        assert sorted(p.suffix for p in (tmp_path / "out").iterdir()) == [".json", ".png"]

    def test_other_keys_do_nothing(self, display, tmp_path):
        # The left arrow's code ends in the byte of a Q.
        process, window = self.start(display, write_video(tmp_path / "clip.mp4"), tmp_path / "out")
        try:
            for key in ("x", "Left", "F1", "Left", "space"):
                time.sleep(0.5)  # of keys that come at once OpenCV gives the last one
                self.press(display, window, key)
            assert process.stdout.readline().startswith("captured")
            self.press(display, window, "Left", "q")
        finally:
            result, _ = self.finish(process)
        assert result["captures"] == 1

    def test_closing_the_window_closes_and_it_opens_again(self, display, tmp_path):
        process, window = self.start(display, write_video(tmp_path / "clip.mp4"), tmp_path / "out", times=2)
        try:
            time.sleep(1)
            click_the_cross(display, int(window))
            assert json.loads(process.stdout.readline())["windows"] == 0
            self.press(display, self.window(display), "Escape")
        finally:
            result, _ = self.finish(process)
        assert result == {"captures": 0, "emotions": [], "threads": 1, "windows": 0}

    @pytest.mark.skipif(not MODEL.is_dir(), reason="models/fer_net is not here")
    def test_a_real_face_is_seen_and_drawn(self, display, tmp_path):
        clip = tmp_path / "clip.mp4"
        scenes.write_clip(clip, 1, 30)
        # Haar's: "auto" says so where YuNet's file is missing, before the first capture.
        process, window = self.start(display, clip, tmp_path / "out", f"{str(MODEL)!r}, detector='haar'")
        try:
            time.sleep(2)
            self.press(display, window, "space")
            assert process.stdout.readline().startswith("captured")
            self.press(display, window, "d", "d", "Escape")
        finally:
            result, _ = self.finish(process)
        assert result["captures"] == 1 and len(result["emotions"]) == 1 and result["threads"] == 1
