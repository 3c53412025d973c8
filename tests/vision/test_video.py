"""Video files, photos and cameras as sources of frames: real files, and cameras that fail."""
import os
import re
import struct
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from fer_utils.errors import CameraError
from fer_utils.vision import video
from fer_utils.vision.video import VideoFile, every_moment, open_source, read_frames
from tests.fakes import FakeCapture, write_video


def test_every_frame_of_a_video_in_order(tmp_path):
    with open_source(write_video(tmp_path / "a.mp4")) as source:
        frames = list(source)
    assert source.total == 20 and source.fps == 25 and not source.live
    assert [f.index for f in frames] == list(range(20))
    assert np.allclose([f.time for f in frames], np.arange(20) / 25, atol=1e-3)
    assert np.allclose([f.image.mean() for f in frames], 19.5 + 10 * np.arange(20), atol=4)


def brightness(frames):
    return [(frame.index, round(frame.image.mean() / 10 - 1.95)) for frame in frames]


def test_wanted_frames_are_those_that_a_whole_reading_gives(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    with VideoFile(path) as source:
        assert brightness(source.frames(wanted=every_moment(0.2))) == [(0, 0), (5, 5), (10, 10), (15, 15)]
    with VideoFile(path) as source:  # within a moment of which the first frame was seen before
        assert brightness(source.frames(12, every_moment(0.2))) == [(15, 15)]
    with VideoFile(path) as source:
        assert brightness(source.frames(17, every_moment(0))) == [(17, 17), (18, 18), (19, 19)]
    found = read_frames(path, {0, 7, 19, 40})
    assert {index: round(image.mean() / 10 - 1.95) for index, image in found.items()} == {0: 0, 7: 7, 19: 19}
    assert read_frames(path, set()) == {}


def test_frames_have_their_own_times_not_those_of_a_nominal_rate(tmp_path):
    first, *others = (Image.fromarray(np.full((48, 64, 3), 40 * i, np.uint8)) for i in range(5))
    first.save(tmp_path / "a.gif", save_all=True, append_images=others, duration=[100, 2000, 100, 100, 100])
    with open_source(tmp_path / "a.gif") as source:
        assert [frame.time for frame in source] == pytest.approx([0, 0.1, 2.1, 2.2, 2.3])


@pytest.mark.parametrize(("stamps", "times"), [
    ([0, 40, 80, 120], [0, 0.04, 0.08, 0.12]), ([7000, 7040, 7120, 7130], [0, 0.04, 0.12, 0.13]),
    ([-80, -40, 0, 40], [0, 0.04, 0.08, 0.12]), ([0, 0, 0, 0], [0, 0.02, 0.04, 0.06]),
    ([0, 40, 10, 50], [0, 0.04, 0.06, 0.08]), ([0, 40, 9e7, 80, 120], [0, 0.04, 0.06, 0.08, 0.12]),
    ([9000, 9040, 0, 40, 80, 180], [0, 0.04, 0.06, 0.08, 0.1, 0.2])],
    ids=["as they are", "a clock that starts late", "or early", "no times", "times that jump back",
         "one damaged time", "a recorder that began anew"])
def test_clocks_of_containers(monkeypatch, tmp_path, stamps, times):
    class Capture:
        def __init__(self, *_):
            self.left, self.now = list(stamps), 0.0

        def isOpened(self):
            return True

        def get(self, what):
            return {cv2.CAP_PROP_POS_MSEC: self.now, cv2.CAP_PROP_FPS: 50.0}.get(what, 0.0)

        def grab(self):
            if not self.left:
                return False
            self.now = self.left.pop(0)
            return True

        def retrieve(self):
            return True, np.zeros((4, 4, 3), np.uint8)

        def release(self):
            pass

    monkeypatch.setattr(video.cv2, "VideoCapture", Capture)
    (tmp_path / "any.mp4").touch()
    assert [frame.time for frame in VideoFile(tmp_path / "any.mp4")] == pytest.approx(times)


def damaged(path, first, count):
    """Zero so many frames of an MJPG video."""
    data = bytearray(path.read_bytes())
    for frame in list(re.finditer(rb"00dc(.{4})\xff\xd8", data, re.DOTALL))[first:first + count]:
        start, size = frame.end() - 2, int.from_bytes(frame[1], "little")
        data[start:start + size] = bytes(size)
    path.write_bytes(data)
    return path


def test_frames_that_cannot_be_decoded_are_skipped_and_counted(tmp_path):
    path = damaged(write_video(tmp_path / "a.avi", 120, codec="MJPG"), 10, 100)
    with VideoFile(path) as source:
        seen = list(source)
        assert source.skipped == 100 and not source.cut_short(120 / 25)
    numbers = [*range(10), *range(110, 120)]
    assert [frame.index for frame in seen] == numbers, "the others keep their numbers and times"
    assert [frame.time for frame in seen] == pytest.approx(np.array(numbers) / 25, abs=1e-3)
    with VideoFile(damaged(path, 10, 110)) as source:  # these are the frames after the damage
        assert len(list(source)) == 10 and source.cut_short(10 / 25), "it does not end there"


def test_what_headers_count_is_no_loss_and_a_lost_end_is(tmp_path):
    def short(path):
        with VideoFile(path) as source:
            return source.cut_short(len(list(source)) / 25), source.total

    def without_end(path):
        data = path.read_bytes()
        for name, content in (("cut", data[:len(data) * 6 // 10]), ("zeros", data[:len(data) * 6 // 10])):
            other = path.with_stem(name)
            other.write_bytes(content + bytes(len(data) - len(content) if name == "zeros" else 0))
            yield short(other)[0]

    avi = write_video(tmp_path / "a.avi", 40, codec="MJPG")
    mkv = write_video(tmp_path / "a.mkv", 40, codec="MJPG")
    assert all(without_end(avi)) and all(without_end(mkv))
    head = avi.read_bytes()
    strh = head.index(b"strh") + 40
    avi.write_bytes(head[:strh] + (100_000).to_bytes(4, "little") + head[strh + 4:])
    assert short(avi) == (False, 100_000)
    duration = b"\x44\x89\x88"  # a Matroska file lasts as long as its sound, or as the clock that starts late
    data = mkv.read_bytes()
    place = data.index(duration) + 3
    mkv.write_bytes(data[:place] + struct.pack(">d", 90_000) + data[place + 8:])
    assert short(mkv) == (False, 2250)


def test_an_mp4_that_was_trimmed_is_whole_and_one_that_lost_frames_is_not(tmp_path):
    path = write_video(tmp_path / "a.mp4", 40)
    data = path.read_bytes()
    with VideoFile(path) as source:
        assert not source.cut_short(40 / 25) and source.cut_short(10 / 25)
    # An edit list hides all but the first ten frames; the track then lasts so long, in milliseconds.
    place = data.index(b"tkhd") + 24
    assert int.from_bytes(data[place:place + 4], "big") == 1600
    path.write_bytes(data[:place] + (400).to_bytes(4, "big") + data[place + 4:])
    with VideoFile(path) as source:
        assert not source.cut_short(10 / 25) and source.cut_short(5 / 25)


def test_a_relative_name_with_a_colon_is_no_address(tmp_path, monkeypatch):
    write_video(tmp_path / "a.mp4").rename(tmp_path / "12:30.mp4")
    monkeypatch.chdir(tmp_path)
    with open_source("12:30.mp4") as source:
        assert source.read().index == 0


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_a_name_that_is_not_utf8_is_refused_in_words(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.mp4"
    os.rename(write_video(tmp_path / "a.mp4"), path)
    with pytest.raises(CameraError, match="not UTF-8"):  # OpenCV ends the process
        open_source(os.fsdecode(path))


def test_a_photo_is_one_frame(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((5, 7, 3), (0, 0, 255), np.uint8))
    with open_source(tmp_path / "a.png") as source:
        [frame] = source
    assert frame.image.shape == (5, 7, 3) and tuple(frame.image[0, 0]) == (255, 0, 0)


@pytest.mark.parametrize("content", [b"", b"not a video\n" * 50, bytes(range(256)) * 40])
def test_what_is_no_video_is_said_in_words(tmp_path, content, capfd):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(CameraError, match="broken.mp4.*ffmpeg"):
        open_source(path)
    assert capfd.readouterr().err == "", "the decoder's chatter must not reach the user"


def test_missing_files_and_folders(tmp_path):
    for name in (tmp_path / "none.mp4", "²"):
        with pytest.raises(CameraError, match="no such file"):
            open_source(name)
    with pytest.raises(CameraError, match="folder"):
        open_source(tmp_path)


def test_a_slow_reader_gets_the_newest_frame_each_once(fake_camera):
    fake_camera()
    with open_source(0) as source:
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


def test_a_fast_reader_waits_for_new_frames(fake_camera):
    fake_camera(interval=0.02)
    with open_source("0") as source:
        frames = [source.read() for _ in range(5)]
    assert [f.index for f in frames] == sorted({f.index for f in frames})


def test_a_camera_that_stops(fake_camera, monkeypatch):
    monkeypatch.setattr(video, "SILENCE_S", 0.2)
    fake_camera(frames=3)
    with open_source(0) as source, pytest.raises(CameraError, match="stopped after"):
        for _ in source:
            pass
    assert FakeCapture.made[0].released


def test_a_camera_that_gives_no_picture(fake_camera, monkeypatch):
    monkeypatch.setattr(video, "FIRST_FRAME_S", 0.2)
    fake_camera(frames=0)
    with open_source(0) as source, pytest.raises(CameraError, match="busy, or access was refused"):
        source.read()


def test_a_camera_that_is_not_there(fake_camera):
    fake_camera(opens=False)
    with pytest.raises(CameraError, match="camera 7 does not open. "):
        open_source(7)
    with pytest.raises(CameraError, match="stream rtsp://host does not open. Check the address"):
        open_source("rtsp://host/x")


def test_a_stream_that_ends_is_not_called_unplugged(fake_camera, monkeypatch):
    monkeypatch.setattr(video, "SILENCE_S", 0.2)
    fake_camera(frames=3)
    with open_source("rtsp://host/x") as source, pytest.raises(CameraError) as stopped:
        for _ in source:
            pass
    assert "has ended" in str(stopped.value) and "unplugged" not in str(stopped.value)


def test_a_video_file_by_its_address_is_no_stream(tmp_path):
    # Read as a live stream most of its frames would be dropped.
    with pytest.raises(CameraError, match="is a video file.*download it"):
        open_source(f"file://{write_video(tmp_path / 'clip.mp4')}")


def test_a_short_dropout_is_no_end(fake_camera, monkeypatch):
    fake_camera(frames=2)
    with open_source(0) as source:
        assert source.read() is not None
        time.sleep(0.1)
        FakeCapture.made[0].left = 5
        while source.read().index < 4:
            time.sleep(0.001)
