"""Sources, the live window under Xvfb with keys from xdotool, and headless video; real files, and cameras that fail."""

import csv
import ctypes
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from fer_utils import errors
from fer_utils.cli import main
from fer_utils.labels import EMOTIONS
from fer_utils.live import headless
from fer_utils.live import view as view_module
from fer_utils.live import window as window_module
from fer_utils.vision import detect as detect_module
from fer_utils.vision import draw, emoji, scenes, sources, track
from fer_utils.vision import video as video_module
from fer_utils.vision.detect import Detection, yunet_file
from fer_utils.vision.images import read_photo
from fer_utils.vision.predict import Face, Predictor
from fer_utils.vision.track import overlaps

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "fer_net"
needs_window = pytest.mark.skipif(not (shutil.which("Xvfb") and shutil.which("xdotool")),
                                  reason="Xvfb or xdotool is not installed")


def face(box=(20, 20, 40, 40), happy=0.7):
    probabilities = np.full(7, (1 - happy) / 6, np.float32)
    probabilities[EMOTIONS.index("happy")] = happy
    return Face(box, 0.9, probabilities)


class FakePredictor:
    """Finds one face in each frame, whose place is the frame's brightness; counts what it is asked."""

    card = SimpleNamespace(name="fake")

    def __init__(self, seconds=0.0):
        self.seconds, self.asked = seconds, 0
        self.detector = SimpleNamespace(name="fake", margin=1.0, detect=self._detect)

    def _detect(self, image):
        self.asked += 1
        time.sleep(self.seconds)
        return [Detection((20, 20, 40, 40), 0.9)]

    def classify(self, image, detections, on_stage=None):
        return [face() for _ in detections]

    def with_detector(self, detector):
        self.detector = detector
        return self

    def faces(self, image):
        return self.classify(image, self.detector.detect(image))


class FakeCapture:
    """A camera that gives numbered frames until it fails, as `cv2.VideoCapture` would."""

    made = []

    def __init__(self, *_, frames=10**9, interval=0.005, opens=True):
        self.left, self.interval, self.opens, self.n, self.released = frames, interval, opens, 0, False
        FakeCapture.made.append(self)

    def isOpened(self):
        return self.opens

    def get(self, _):
        return 0.0

    def set(self, *_):
        return True

    def read(self):
        assert not self.released
        time.sleep(self.interval)
        if self.left <= 0:
            return False, None
        self.left, self.n = self.left - 1, self.n + 1
        return True, np.full((120, 160, 3), self.n % 256, np.uint8)

    def release(self):
        self.released = True


@pytest.fixture
def fake_camera(monkeypatch):
    def use(**options):
        FakeCapture.made = []
        monkeypatch.setattr(video_module.cv2, "VideoCapture", lambda *a: FakeCapture(**options))
    return use


@pytest.fixture(autouse=True)
def nothing_left_behind():
    yield
    assert [t.name for t in threading.enumerate() if t.name == "camera"] == []


def write_video(path, frames=20, size=(160, 120), codec="mp4v"):
    """Write a video whose frames can be told apart by their brightness."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, size)
    assert writer.isOpened()
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, (size[1], size[0], 3), np.uint8)
    for i in range(frames):
        writer.write(noise + np.uint8(10 * i % 200))
    writer.release()
    return path


class TestFiles:
    def test_every_frame_of_a_video_in_order(self, tmp_path):
        with video_module.open_source(write_video(tmp_path / "a.mp4")) as source:
            frames = list(source)
        assert source.total == 20 and source.fps == 25 and not source.live
        assert [f.index for f in frames] == list(range(20))
        assert np.allclose([f.time for f in frames], np.arange(20) / 25, atol=1e-3)
        assert np.allclose([f.image.mean() for f in frames], 19.5 + 10 * np.arange(20), atol=4)

    def test_a_photo_is_one_frame(self, tmp_path):
        cv2.imwrite(str(tmp_path / "a.png"), np.full((5, 7, 3), (0, 0, 255), np.uint8))
        with video_module.open_source(tmp_path / "a.png") as source:
            [frame] = source
        assert frame.image.shape == (5, 7, 3) and tuple(frame.image[0, 0]) == (255, 0, 0)

    @pytest.mark.parametrize("content", [b"", b"not a video\n" * 50, bytes(range(256)) * 40])
    def test_what_is_no_video_is_said_in_words(self, tmp_path, content, capfd):
        path = tmp_path / "broken.mp4"
        path.write_bytes(content)
        with pytest.raises(errors.CameraError, match="broken.mp4.*ffmpeg"):
            video_module.open_source(path)
        assert capfd.readouterr().err == "", "the decoder's chatter must not reach the user"

    def test_missing_files_and_folders(self, tmp_path):
        for name in (tmp_path / "none.mp4", "²"):
            with pytest.raises(errors.CameraError, match="no such file"):
                video_module.open_source(name)
        with pytest.raises(errors.CameraError, match="folder"):
            video_module.open_source(tmp_path)


class TestCamera:
    def test_a_slow_reader_gets_the_newest_frame_each_once(self, fake_camera):
        fake_camera()
        with video_module.open_source(0) as source:
            assert source.live
            indices = []
            for _ in range(5):
                frame = source.read()
                newest = FakeCapture.made[0].n
                indices.append(frame.index)
                # Frames before this one are dropped, so that the picture never lags.
                assert newest - frame.index <= 3
                assert frame.image[0, 0, 0] == (frame.index + 1) % 256
                time.sleep(0.06)
        assert np.all(np.diff(indices) >= 4), "a reader this slow must skip frames"
        assert FakeCapture.made[0].released

    def test_a_fast_reader_waits_for_new_frames(self, fake_camera):
        fake_camera(interval=0.02)
        with video_module.open_source("0") as source:
            frames = [source.read() for _ in range(5)]
        assert [f.index for f in frames] == sorted({f.index for f in frames})

    def test_a_camera_that_stops(self, fake_camera, monkeypatch):
        monkeypatch.setattr(video_module, "SILENCE_S", 0.2)
        fake_camera(frames=3)
        with video_module.open_source(0) as source, pytest.raises(errors.CameraError, match="stopped after"):
            for _ in source:
                pass
        assert FakeCapture.made[0].released

    def test_a_camera_that_gives_no_picture(self, fake_camera, monkeypatch):
        monkeypatch.setattr(video_module, "FIRST_FRAME_S", 0.2)
        fake_camera(frames=0)
        with video_module.open_source(0) as source, pytest.raises(errors.CameraError, match="busy, or access was refused"):
            source.read()

    def test_a_camera_that_is_not_there(self, fake_camera):
        fake_camera(opens=False)
        with pytest.raises(errors.CameraError, match="camera 7 does not open. "):
            video_module.open_source(7)
        with pytest.raises(errors.CameraError, match="stream rtsp://host does not open. Check the address"):
            video_module.open_source("rtsp://host/x")

    def test_a_stream_that_ends_is_not_called_unplugged(self, fake_camera, monkeypatch):
        monkeypatch.setattr(video_module, "SILENCE_S", 0.2)
        fake_camera(frames=3)
        with video_module.open_source("rtsp://host/x") as source, pytest.raises(errors.CameraError) as stopped:
            for _ in source:
                pass
        assert "has ended" in str(stopped.value) and "unplugged" not in str(stopped.value)

    def test_a_video_file_by_its_address_is_no_stream(self, tmp_path):
        # Read as a live stream most of its frames would be dropped.
        with pytest.raises(errors.CameraError, match="is a video file.*download it"):
            video_module.open_source(f"file://{write_video(tmp_path / 'clip.mp4')}")

    def test_a_short_dropout_is_no_end(self, fake_camera, monkeypatch):
        fake_camera(frames=2)
        with video_module.open_source(0) as source:
            assert source.read() is not None
            time.sleep(0.1)
            FakeCapture.made[0].left = 5
            while source.read().index < 4:
                pass

    @pytest.mark.parametrize(("system", "release", "environment", "words"), [
        ("darwin", "23", {}, "System Settings"), ("win32", "10", {}, "desktop apps"),
        ("linux", "5.15-microsoft-standard-WSL2", {}, "usbipd"), ("linux", "6.1", {}, "/dev/video63"),
        ("linux", "6.1", {"JUPYTERHUB_USER": "ada"}, "browser"), ("win32", "10", {"SSH_CONNECTION": "1"}, "browser")])
    def test_help_fits_the_system(self, monkeypatch, system, release, environment, words):
        for name in sources.REMOTE:
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sources.sys, "platform", system)
        monkeypatch.setattr(sources.platform, "release", lambda: release)
        assert words in sources.camera_help(63)


class TestSmoother:
    def test_is_an_exponential_mean_in_time(self):
        smoother = track.Smoother(seconds=0.5)
        smoother.update([face(happy=0.2)], 0.0)
        for i in range(1, 6):
            [(number, seen)] = smoother.update([face(happy=0.8)], i / 10).items()
        # The step response of a first-order low pass, whatever the frame rate.
        assert seen.probabilities[3] == pytest.approx(0.8 - 0.6 * np.exp(-0.5 / 0.5), abs=1e-5)
        assert seen.probabilities.sum() == pytest.approx(1, abs=1e-5) and number == 0

    def test_none_at_zero_seconds(self):
        smoother = track.Smoother(seconds=0)
        smoother.update([face(happy=0.2)], 0.0)
        assert smoother.update([face(happy=0.8)], 0.1)[0].probabilities[3] == pytest.approx(0.8)

    def test_each_face_keeps_its_own_history(self):
        smoother = track.Smoother(seconds=10)
        left, right = face((0, 0, 40, 40), 0.9), face((200, 0, 50, 50), 0.2)
        smoother.update([left, right], 0.0)
        again = smoother.update([right, left], 0.1)
        assert list(again) == [1, 0]
        assert again[0].probabilities[3] == pytest.approx(0.9) and again[1].probabilities[3] == pytest.approx(0.2)

    def test_a_missed_face_stays_for_a_moment(self):
        smoother = track.Smoother()
        smoother.update([face()], 0.0)
        smoother.update([], 0.1)
        assert len(smoother.recent(0.1)) == 1 and smoother.recent(1.0) == []
        assert list(smoother.update([face()], 0.5)) == [0], "and comes back under its number"


class TestDetectors:
    def test_haar_in_yunets_place_searches_live_frames_small_too(self, monkeypatch, capsys):
        monkeypatch.setattr("fer_utils.vision.detect.yunet_file", lambda: None)
        assert detect_module.live_detector("auto", 320).max_side == detect_module.live_detector("haar", 320).max_side == 320

    def test_another_detector_starts_without_the_last_ones_mean(self):
        view = view_module.LiveView(FakePredictor())
        view.picture(video_module.Frame(np.zeros((100, 100, 3), np.uint8), 0.0, 0))
        assert len(view.pipeline.recent(0.0)) == 1
        view.pipeline.predictor.detector.name = "yunet"
        view.switch_detector()
        assert view.pipeline.predictor.detector.name == "haar" and view.pipeline.recent(0.0) == []


class TestFollower:
    @pytest.mark.parametrize("name", ["haar", pytest.param("yunet", marks=pytest.mark.skipif(
        yunet_file(download=False) is None, reason="YuNet's file is not here"))])
    def test_follows_moving_faces_as_a_whole_search_finds_them(self, tmp_path, name):

        scenes.write_clip(tmp_path / "six.mp4", 6, 7)
        whole, follower = detect_module.live_detector(name), track.FaceFollower(detect_module.live_detector(name))
        for frame in video_module.open_source(tmp_path / "six.mp4"):
            expected, found = whole.detect(frame.image), follower.detect(frame.image)
            assert len(expected) == len(found) == 6
            assert overlaps([d.box for d in expected], [d.box for d in found]).max(axis=1).min() > 0.6

    def test_looks_everywhere_once_a_face_is_lost(self):
        asked = []

        class Detector:
            name = "haar"

            def detect(self, image):
                asked.append(image.shape[:2])
                return [Detection((100.0, 100.0, 60.0, 60.0))]

        follower = track.FaceFollower(Detector(), every=5)
        near = []
        follower._near = SimpleNamespace(detect=lambda image: near.append(image.shape[:2]) or [])
        blank = np.zeros((300, 400, 3), np.uint8)
        assert [len(follower.detect(blank)) for _ in range(6)] == [1] * 6
        assert asked == [(300, 400)] * 6 and near == [(128, 128)], "no use in looking near for some frames"


class TestHeadless:
    def test_video_and_table_of_every_frame(self, tmp_path):
        result = headless.annotate_video(write_video(tmp_path / "in.mp4"), tmp_path / "out", FakePredictor(), progress=False)
        assert (result["frames"], result["faces"], result["people"], result["complete"]) == (20, 20, 1, True)
        with open(result["table"], newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert tuple(rows[0]) == ("time", "frame", "face", "x", "y", "width", "height", "score", "emotion", *EMOTIONS)
        assert [int(r["frame"]) for r in rows] == list(range(20))
        assert float(rows[5]["time"]) == pytest.approx(0.2, abs=1e-3)
        first = [rows[0][name] for name in ("x", "y", "width", "height", "emotion", "happy")]
        assert first == ["20", "20", "40", "40", "happy", "0.7000"]
        with video_module.open_source(result["video"]) as video:
            pictures = [f.image for f in video]
        assert len(pictures) == 20 and pictures[0].shape == (120, 160, 3) and video.fps == 25
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["annotated.mp4", "faces.csv"]

    def test_a_video_without_faces(self, tmp_path):
        predictor = FakePredictor()
        predictor.detector.detect = lambda image: []
        result = headless.annotate_video(write_video(tmp_path / "in.mp4"), tmp_path, predictor, progress=False)
        assert result["faces"] == 0 and (tmp_path / "faces.csv").read_text().splitlines() == [",".join(headless.COLUMNS)]

    @pytest.mark.parametrize("shape", [(1, 1), (33, 57), (9000, 12000)])
    def test_a_photo_of_any_size(self, tmp_path, shape):
        cv2.imwrite(str(tmp_path / "a.png"), np.zeros((*shape, 3), np.uint8))
        result = headless.annotate_video(tmp_path / "a.png", tmp_path, FakePredictor(), progress=False)
        assert result["frames"] == 1
        with video_module.open_source(result["video"]) as video:
            assert max(video.read().image.shape) <= headless.MAX_VIDEO_SIDE

    def test_a_video_that_ends_in_the_middle_of_a_frame(self, tmp_path):
        whole = write_video(tmp_path / "whole.avi", 40, codec="MJPG").read_bytes()
        cut = tmp_path / "cut.avi"
        cut.write_bytes(whole[:len(whole) * 6 // 10])
        result = headless.annotate_video(cut, tmp_path / "out", FakePredictor(), progress=False)
        assert 15 <= result["frames"] <= 30 and not result["complete"]
        with video_module.open_source(result["video"]) as video:
            assert len(list(video)) == result["frames"]

    @pytest.mark.parametrize(("total", "complete"), [(21, True), (40, False)])
    def test_only_an_end_that_is_far_too_early_is_a_loss(self, tmp_path, monkeypatch, total, complete):
        """Matroska counts by its longest track, and a trimmed MP4 the frames that it hides."""
        source = video_module.open_source(write_video(tmp_path / "in.mp4"))
        source.total = total
        monkeypatch.setattr(headless, "open_source", lambda _: source)
        result = headless.annotate_video("any", tmp_path / "out", FakePredictor(), progress=False)
        assert result["frames"] == 20 and result["complete"] == complete

    def test_a_video_with_frames_left_out_is_whole(self, tmp_path, monkeypatch):
        """A screen's recording has a frame where something moved, and Matroska counts as if it had all."""
        source = video_module.open_source(write_video(tmp_path / "in.mp4"))
        read = source.read
        source.read = lambda: next((frame for frame in iter(read, None) if frame.index % 3 == 0), None)
        monkeypatch.setattr(headless, "open_source", lambda _: source)
        result = headless.annotate_video("any", tmp_path / "out", FakePredictor(), progress=False)
        assert result["frames"] == 7 and result["complete"]

    @pytest.mark.parametrize("seconds", [0, -1, float("nan")])
    def test_no_time_is_refused(self, tmp_path, seconds):
        with pytest.raises(ValueError, match="above 0"):
            headless.annotate_video(tmp_path, tmp_path, FakePredictor(), seconds=seconds)

    def test_ctrl_c_keeps_what_was_finished(self, tmp_path):
        predictor = FakePredictor()
        detect = predictor.detector.detect

        def interrupted(image):
            if predictor.asked == 7:
                raise KeyboardInterrupt
            return detect(image)

        predictor.detector.detect = interrupted
        with pytest.raises(KeyboardInterrupt):
            headless.annotate_video(write_video(tmp_path / "in.mp4"), tmp_path / "out", predictor, progress=False)
        assert len((tmp_path / "out" / "faces.csv").read_text().splitlines()) == 8
        with video_module.open_source(tmp_path / "out" / "annotated.mp4") as video:
            assert len(list(video)) == 7

    def test_a_camera_that_stops_keeps_what_was_finished(self, tmp_path, fake_camera, monkeypatch):
        monkeypatch.setattr(video_module, "SILENCE_S", 0.3)
        fake_camera(frames=30, interval=0.02)
        with pytest.raises(errors.CameraError, match="stopped after"):
            headless.annotate_video(0, tmp_path, FakePredictor(), progress=False)
        rows = (tmp_path / "faces.csv").read_text().splitlines()
        assert len(rows) > 10 and FakeCapture.made[0].released and not (tmp_path / "part.faces.csv").exists()

    def test_a_slow_cameras_video_keeps_real_time(self, tmp_path, fake_camera, monkeypatch):
        fake_camera(interval=0.1)  # ten frames a second, into a video of thirty
        result = headless.annotate_video(0, tmp_path, FakePredictor(), seconds=1.0, progress=False)
        monkeypatch.undo()
        assert result["frames"] <= 12
        with video_module.open_source(result["video"]) as video:
            assert len(list(video)) / video.fps == pytest.approx(result["seconds"], abs=0.15)

    def test_nothing_is_left_of_a_source_that_does_not_open(self, tmp_path):
        (tmp_path / "bad.mp4").write_bytes(b"bad")
        with pytest.raises(errors.CameraError):
            headless.annotate_video(tmp_path / "bad.mp4", tmp_path / "out", FakePredictor(), progress=False)
        assert not (tmp_path / "out").exists()

    @pytest.mark.skipif(not MODEL.is_dir(), reason="models/fer_net is not here")
    def test_the_real_network_on_a_real_face(self, tmp_path):
        scenes.write_clip(tmp_path / "clip.mp4", 1, 12)
        result = headless.annotate_video(tmp_path / "clip.mp4", tmp_path, MODEL, detector="haar", progress=False)
        assert result["frames"] == 12 and result["people"] == 1 and result["faces"] >= 11
        with open(result["table"], newline="") as file:
            rows = list(csv.DictReader(file))
        # A face's first frame is averaged with nothing before it: it must be what the picture by itself gets.
        clip = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
        frames = [clip.read()[1] for _ in range(12)]
        clip.release()
        [alone] = Predictor(MODEL, "haar").faces(cv2.cvtColor(frames[int(rows[0]["frame"])], cv2.COLOR_BGR2RGB))
        assert rows[0]["emotion"] == alone.emotion
        assert [float(rows[0][name]) for name in EMOTIONS] == pytest.approx(alone.probabilities.tolist(), abs=1e-3)


class TestCommand:
    """``python -m fer_utils webcam``."""

    @pytest.mark.skipif(not MODEL.is_dir(), reason="models/fer_net is not here")
    def test_headless_says_what_it_wrote(self, tmp_path, capsys):
        source, out = write_video(tmp_path / "in.mp4", frames=4), tmp_path / "out"
        assert main(["webcam", "--source", str(source), "--headless", "--out", str(out), "--model", str(MODEL),
                     "--detector", "haar", "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["frames"], result["faces"], result["complete"]) == (4, 0, True)
        assert [Path(result["video"]), Path(result["table"])] == [out / "annotated.mp4", out / "faces.csv"]
        assert sorted(out.iterdir()) == [out / "annotated.mp4", out / "faces.csv"]

    @pytest.mark.parametrize(("arguments", "says"), [
        (["--seconds", "3"], "--headless"), (["--headless", "--seconds", "0"], "above 0"),
        (["--unsure", "40"], "from 0 to 1"), (["--unsure", "nan"], "from 0 to 1"),
        (["--headless", "--source", "none.mp4", "--model", str(MODEL), "--detector", "haar"], "no such file")])
    def test_mistakes_are_said(self, capsys, arguments, says):
        try:
            status = main(["webcam", *arguments])
        except SystemExit as stop:
            status = stop.code
        assert status == 1 and says in capsys.readouterr().err


class TestCaptures:
    def test_png_and_json_say_the_same(self, tmp_path):
        image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
        capture = window_module.save_capture(image, [face()], FakePredictor(), tmp_path)
        assert np.array_equal(read_photo(capture.path), image)
        described = json.loads(capture.path.with_suffix(".json").read_text())
        assert described["file"] == capture.path.name and described["width"] == 80
        assert described["faces"][0]["box"] == [20, 20, 40, 40]
        assert sum(described["faces"][0]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert capture._repr_png_().startswith(b"\x89PNG") and len(list(tmp_path.iterdir())) == 2

    def test_an_unsure_face_is_called_so(self, tmp_path):
        image = np.zeros((60, 80, 3), np.uint8)
        sure, unsure = (window_module.save_capture(image, [face(happy=0.4)], FakePredictor(), tmp_path, limit).picture()
                        for limit in (0.3, 0.5))
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
        captures, view = [], view_module.LiveView(FakePredictor(), unsure=unsure)
        with video_module.open_source(tmp_path / "photo.png") as frames:
            window_module._watch(frames, window, view, captures, tmp_path / "out", None)
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
        assert [window_module.choose_view(how) for how in ("window", "browser", "clip")] == ["window", "browser", "clip"]
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
        with pytest.raises(errors.CameraError, match="DISPLAY is not set"):
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
import json, subprocess, sys, threading
sys.path.insert(0, {tests!r})
from test_camera import FakePredictor
from fer_utils import camera
captures = camera.webcam({clip!r}, {model}, out={out!r},
                         on_capture=lambda c: print("captured", c.path, flush=True))
left = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", camera.TITLE], capture_output=True, text=True)
print(json.dumps({{"captures": len(captures), "emotions": [f.emotion for c in captures for f in c.faces],
                   "threads": threading.active_count(), "windows": len(left.stdout.split())}}))
"""


@needs_window
class TestWindow:
    """A real OpenCV window; each step has its own deadline, and nothing outlives the test."""

    def start(self, display, clip, out, model="FakePredictor()", times=1):
        environment = {**os.environ, "DISPLAY": display, "PYTHONUNBUFFERED": "1"}
        script = times * SCRIPT.format(tests=str(ROOT / "tests"), clip=str(clip), model=model, out=str(out))
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
            # `camera.window_problem` does.
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
