"""An annotated video and its table, without a window."""
import csv
import json
import os
import runpy
import shutil
import signal
import sys
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from PIL import Image

from fer_utils import files
from fer_utils.cli import main
from fer_utils.errors import CameraError, DataError
from fer_utils.labels import EMOTIONS
from fer_utils.live import headless
from fer_utils.live import recording as recording_module
from fer_utils.live.headless import annotate_video
from fer_utils.live.recording import Recording
from fer_utils.vision import scenes, video
from fer_utils.vision.predict import Predictor
from fer_utils.vision.video import open_source
from tests.fakes import FakeCapture, FakePredictor, write_video

MODEL = Path(__file__).resolve().parents[2] / "models" / "fer_net"


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_video_and_table_of_every_frame(tmp_path):
    result = annotate_video(write_video(tmp_path / "in.mp4"), tmp_path / "out", FakePredictor(), progress=False)
    assert (result["frames"], result["faces"], result["people"], result["complete"]) == (20, 20, 1, True)
    with open(result["table"], newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == ("time", "frame", "face", "x", "y", "width", "height", "score", "emotion", *EMOTIONS)
    assert [int(r["frame"]) for r in rows] == list(range(20))
    assert float(rows[5]["time"]) == pytest.approx(0.2, abs=1e-3)
    first = [rows[0][name] for name in ("x", "y", "width", "height", "emotion", "happy")]
    assert first == ["20", "20", "40", "40", "happy", "0.7000"]
    with open_source(result["video"]) as written:
        pictures = [f.image for f in written]
    assert len(pictures) == 20 and pictures[0].shape == (120, 160, 3) and written.fps == 25
    assert names(tmp_path / "out") == ["annotated.mp4", "faces.csv"]


def test_a_video_without_faces(tmp_path):
    predictor = FakePredictor()
    predictor.detector.detect = lambda image: []
    result = annotate_video(write_video(tmp_path / "in.mp4"), tmp_path, predictor, progress=False)
    assert result["faces"] == 0
    assert (tmp_path / "faces.csv").read_text().splitlines() == [",".join(headless.TABLE_COLUMNS)]


@pytest.mark.parametrize("shape", [(1, 1), (33, 57), (300, 4000)])
def test_a_photo_of_any_size(tmp_path, shape):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((*shape, 3), np.uint8))
    result = annotate_video(tmp_path / "a.png", tmp_path, FakePredictor(), progress=False)
    assert result["frames"] == 1
    with open_source(result["video"]) as written:
        assert max(written.read().image.shape) <= recording_module.MAX_VIDEO_SIDE


def test_a_video_that_ends_in_the_middle_of_a_frame(tmp_path):
    whole = write_video(tmp_path / "whole.avi", 40, codec="MJPG").read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole[:len(whole) * 6 // 10])
    result = annotate_video(cut, tmp_path / "out", FakePredictor(), progress=False)
    assert 15 <= result["frames"] <= 30 and not result["complete"]
    with open_source(result["video"]) as written:
        assert len(list(written)) == result["frames"]


def test_a_video_with_frames_left_out_is_whole(tmp_path, monkeypatch):
    """A screen's recording has a frame where something moved, and Matroska counts as if it had all."""
    source = open_source(write_video(tmp_path / "in.mp4"))
    read = source.read
    source.read = lambda: next((frame for frame in iter(read, None) if frame.index % 3 == 0), None)
    monkeypatch.setattr(headless, "open_source", lambda _: source)
    result = annotate_video("any", tmp_path / "out", FakePredictor(), progress=False)
    assert result["frames"] == 7 and result["complete"]


def test_the_video_lasts_as_long_as_a_source_with_frames_at_uneven_times(tmp_path):
    first, *others = (Image.fromarray(np.full((48, 64, 3), 40 * i, np.uint8)) for i in range(5))
    first.save(tmp_path / "a.gif", save_all=True, append_images=others, duration=[100, 2000, 100, 100, 400])
    result = annotate_video(tmp_path / "a.gif", tmp_path / "out", FakePredictor(), progress=False)
    assert result["frames"] == 5 and result["complete"]
    with video.VideoFile(result["video"]) as written:
        assert written.duration == pytest.approx(result["seconds"], abs=1 / written.fps)


def decoder_configuration(path):
    """What an MP4 says in its header of the decoder's configuration."""
    data = path.read_bytes()
    return data[data.rindex(b"esds") + 34:][:52]


def test_the_mp4_is_as_if_it_had_been_written_at_once(tmp_path):
    """It was a Matroska file first, of which a kill leaves what was written; no frame is encoded twice."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (240, 320, 3), np.uint8) for _ in range(30)]
    recording = Recording(tmp_path, 29.97, ["time"])
    direct = cv2.VideoWriter(str(tmp_path / "direct.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 29.97, (320, 240))
    for number, picture in enumerate(pictures):
        recording.add(picture, number / 29.97, [[number]])
        direct.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert len(recording.table.read_text().splitlines()) == 31, "a kill loses no row"
    left = shutil.copy(recording.video, tmp_path / "left.mkv")  # what a kill leaves
    with video.VideoFile(left) as read:
        assert len(list(read)) > 15
    left.unlink()
    direct.release()
    recording.finish(tmp_path / "annotated.mp4", tmp_path / "faces.csv", keep=False)
    with video.VideoFile(tmp_path / "annotated.mp4") as ours, video.VideoFile(tmp_path / "direct.mp4") as theirs:
        assert ours.fps == theirs.fps and ours.duration == theirs.duration
        assert all(np.array_equal(a.image, b.image) and a.time == b.time for a, b in zip(ours, theirs, strict=True))
    assert decoder_configuration(tmp_path / "annotated.mp4") == decoder_configuration(tmp_path / "direct.mp4")
    assert names(tmp_path) == ["annotated.mp4", "direct.mp4", "faces.csv"]


class TestFaults:
    """Whatever goes wrong with the outputs, a good video and its table stay, and what a camera gave is not lost."""

    @pytest.fixture
    def out(self, tmp_path):
        for name in ("annotated.mp4", "faces.csv"):
            (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "out" / name).write_text("before")
        return tmp_path / "out"

    @staticmethod
    def kept(out):
        return (out / "faces.csv").read_text() == (out / "annotated.mp4").read_text() == "before"

    def test_no_video_can_be_opened(self, tmp_path, out, monkeypatch):
        source = write_video(tmp_path / "in.mp4", frames=3)
        monkeypatch.setattr(recording_module.cv2, "VideoWriter", Mock(**{"return_value.isOpened.return_value": False,
                                                                         "fourcc.return_value": 0}))
        with pytest.raises(CameraError, match="is the folder writable"):
            annotate_video(source, out, FakePredictor(), progress=False)
        assert names(out) == ["annotated.mp4", "faces.csv"] and self.kept(out)

    def test_a_write_that_fails_unnoticed(self, tmp_path, out, limited_files):
        """OpenCV says nothing of a full disk."""
        source = write_video(tmp_path / "in.mp4", frames=40, size=(640, 480))
        limited_files(100_000)
        with pytest.raises(DataError, match="annotated.mp4: could not be written whole.*room on the disk"):
            annotate_video(source, out, FakePredictor(), progress=False)
        assert names(out) == ["annotated.mp4", "faces.csv"] and self.kept(out)

    def test_of_a_camera_what_was_written_stays(self, out, fake_camera, limited_files):
        fake_camera(frames=10**9)
        limited_files(4000)
        with pytest.raises(DataError, match="What was recorded is in recording-.*mkv"):
            annotate_video(0, out, FakePredictor(), seconds=0.5, progress=False)
        assert names(out)[2:] == [path.name for path in sorted(out.glob("recording-*"))] != [] and self.kept(out)

    def test_a_disk_that_is_nearly_full_ends_it_in_time(self, tmp_path, out, monkeypatch):
        free = Mock(side_effect=[Mock(free=10**9)] * 6 + [Mock(free=10**6)])
        monkeypatch.setattr(recording_module.shutil, "disk_usage", free)
        with pytest.raises(OSError, match="No space left"):
            annotate_video(write_video(tmp_path / "in.mp4"), out, FakePredictor(), progress=False)
        with open_source(out / "annotated.mp4") as written:
            assert len(list(written)) == 7
        assert len((out / "faces.csv").read_text().splitlines()) == 8

    @pytest.mark.parametrize("name", ["annotated.mp4", "faces.csv"])
    def test_both_files_are_replaced_or_neither(self, tmp_path, out, name):
        (out / name).unlink()
        (out / name / "inside").mkdir(parents=True)  # no file can take its place, as of one that is open on Windows
        other = out / ({"annotated.mp4", "faces.csv"} - {name}).pop()
        source = write_video(tmp_path / "in.mp4", frames=3)
        with pytest.raises(OSError):
            annotate_video(source, out, FakePredictor(), progress=False)
        assert other.read_text() == "before" and names(out) == ["annotated.mp4", "faces.csv"]

    def test_two_into_one_folder(self, tmp_path, out):
        source = write_video(tmp_path / "in.mp4", frames=3)
        with files.only_one(out, "it"), pytest.raises(DataError, match="another annotated video is being written"):
            annotate_video(source, out, FakePredictor(), progress=False)
        assert self.kept(out)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_no_time_is_refused(tmp_path, seconds):
    with pytest.raises(ValueError, match="above 0"):
        annotate_video(tmp_path, tmp_path, FakePredictor(), seconds=seconds)


def test_ctrl_c_keeps_what_was_finished(tmp_path):
    predictor = FakePredictor()
    detect = predictor.detector.detect

    def interrupted(image):
        if predictor.asked == 7:
            raise KeyboardInterrupt
        return detect(image)

    predictor.detector.detect = interrupted
    with pytest.raises(KeyboardInterrupt):
        annotate_video(write_video(tmp_path / "in.mp4"), tmp_path / "out", predictor, progress=False)
    assert len((tmp_path / "out" / "faces.csv").read_text().splitlines()) == 8
    with open_source(tmp_path / "out" / "annotated.mp4") as video:
        assert len(list(video)) == 7


def test_a_camera_that_stops_keeps_what_was_finished(tmp_path, fake_camera, monkeypatch):
    monkeypatch.setattr(video, "SILENCE_S", 0.3)
    fake_camera(frames=30, interval=0.02)
    with pytest.raises(CameraError, match="stopped after"):
        annotate_video(0, tmp_path, FakePredictor(), progress=False)
    rows = (tmp_path / "faces.csv").read_text().splitlines()
    assert len(rows) > 10 and FakeCapture.made[0].released and names(tmp_path) == ["annotated.mp4", "faces.csv"]


def test_a_slow_cameras_video_keeps_real_time(tmp_path, fake_camera, monkeypatch):
    fake_camera(interval=0.1)  # ten frames a second, into a video of thirty
    result = annotate_video(0, tmp_path, FakePredictor(), seconds=1.0, progress=False)
    monkeypatch.undo()
    assert result["frames"] <= 12
    with open_source(result["video"]) as written:
        assert len(list(written)) / written.fps == pytest.approx(result["seconds"], abs=0.15)


def test_nothing_is_left_of_a_source_that_does_not_open(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"bad")
    with pytest.raises(CameraError):
        annotate_video(tmp_path / "bad.mp4", tmp_path / "out", FakePredictor(), progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not MODEL.is_dir(), reason="models/fer_net is not here")
def test_the_real_network_on_a_real_face(tmp_path):
    scenes.write_clip(tmp_path / "clip.mp4", 1, 12)
    result = annotate_video(tmp_path / "clip.mp4", tmp_path, MODEL, detector="haar", progress=False)
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
        out.mkdir()
        for ending in ("mkv", "mp4"):  # killed while the one was made of the other
            (out / f"recording-20261127-053528-000.{ending}").touch()
        assert main(["webcam", "--source", str(source), "--headless", "--out", str(out), "--model", str(MODEL),
                     "--detector", "haar", "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["frames"], result["faces"], result["complete"]) == (4, 0, True)
        assert [Path(result["video"]), Path(result["table"])] == [out / "annotated.mp4", out / "faces.csv"]
        assert names(out) == ["annotated.mp4", "faces.csv", *(Path(path).name for path in result["left"])]
        assert len(result["left"]) == 1 and result["skipped"] == 0

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
    @pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
    def test_a_signal_ends_it_as_ctrl_c_does_even_without_a_terminal(self, tmp_path, monkeypatch, name):
        predictor = FakePredictor()
        detect = predictor.detector.detect

        def signalled(image):
            if predictor.asked == 7:
                os.kill(os.getpid(), getattr(signal, name))
            return detect(image)

        predictor.detector.detect = signalled
        monkeypatch.setattr(headless, "live_predictor", lambda *_: predictor)
        monkeypatch.setattr(sys, "argv", ["fer_utils", "webcam", "--headless", "--out", str(tmp_path / "out"),
                                          "--source", str(write_video(tmp_path / "in.mp4"))])
        full = open("/dev/full", "w")
        monkeypatch.setattr(sys, "stderr", full)
        try:
            with pytest.raises(SystemExit) as ended:
                runpy.run_module("fer_utils", run_name="__main__")
        finally:
            for each in ("SIGTERM", "SIGHUP"):
                signal.signal(getattr(signal, each), signal.SIG_DFL)
            with pytest.raises(OSError, match="No space left"):  # of the progress bar
                full.close()
        assert ended.value.code == 130 and names(tmp_path / "out") == ["annotated.mp4", "faces.csv"]
        assert len((tmp_path / "out" / "faces.csv").read_text().splitlines()) == 8

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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are not UTF-8")
def test_a_folder_that_opencv_cannot_name_is_an_error_and_one_with_a_colon_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = write_video(tmp_path / "in.avi", frames=3, codec="MJPG")
    for write in (lambda out: annotate_video(source, out, FakePredictor(), progress=False),
                  lambda out: scenes.write_clip(out, frames=1)):
        with pytest.raises(CameraError, match="not UTF-8, so OpenCV cannot open it; rename it"):  # and no crash
            write(os.fsdecode(b"caf\xe9"))
    assert not os.path.exists(b"caf\xe9")
    assert annotate_video(source, "12:30", FakePredictor(), progress=False)["frames"] == 3
    assert (tmp_path / "12:30" / "annotated.mp4").is_file()
