"""Video files, photos and cameras as sources of frames: real files, and cameras that fail."""
import time

import cv2
import numpy as np
import pytest

from fer_utils.errors import CameraError
from fer_utils.vision import video
from fer_utils.vision.video import open_source
from tests.fakes import FakeCapture, write_video


def test_every_frame_of_a_video_in_order(tmp_path):
    with open_source(write_video(tmp_path / "a.mp4")) as source:
        frames = list(source)
    assert source.total == 20 and source.fps == 25 and not source.live
    assert [f.index for f in frames] == list(range(20))
    assert np.allclose([f.time for f in frames], np.arange(20) / 25, atol=1e-3)
    assert np.allclose([f.image.mean() for f in frames], 19.5 + 10 * np.arange(20), atol=4)


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
            pass
