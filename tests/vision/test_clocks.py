"""When a photo or video was made, whatever became of the file's own date."""
import os
import shutil
import subprocess
import time
from datetime import datetime

import cv2
import numpy as np
import pytest
from PIL import Image

from fer_utils.vision.clocks import photo_time, video_time

COPIED = datetime(2023, 5, 4, 3, 2, 1)  # the file's date


@pytest.fixture(autouse=True)
def zone(monkeypatch):
    """This computer is five and a half hours ahead of UTC."""
    if not hasattr(time, "tzset"):
        pytest.skip("this system sets no time zone for one process")
    monkeypatch.setenv("TZ", "XST-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def copied(path):
    os.utime(path, (0, COPIED.timestamp()))
    return path


@pytest.mark.parametrize(("tags", "taken", "clock"), [
    ({36867: "2024:06:01 18:30:00"}, "2024-06-01 18:30:00", "exif"),
    ({36867: "2024:06:01 18:30:00", 36868: "2020:01:01 00:00:00", 306: "2025:01:01 00:00:00"}, "2024-06-01 18:30:00",
     "exif"),
    ({36868: "2024:06:01 18:30:00", 306: "2025:01:01 00:00:00"}, "2024-06-01 18:30:00", "exif digitized"),
    ({306: "2024:06:01 18:30:00", 36867: "    :  :     :  :  "}, "2024-06-01 18:30:00", "exif changed"),
    ({306: "2024:06:01 18:30:00", 36867: "0000:00:00 00:00:00"}, "2024-06-01 18:30:00", "exif changed"),
    ({36867: "2024-06-01T18:30:00"}, "2024-06-01 18:30:00", "exif"),
    ({36867: "2024/06/01 18:30"}, "2024-06-01 18:30:00", "exif"),
    ({36867: "2024:6:1 8:5:0"}, "2024-06-01 08:05:00", "exif"),
    ({36867: "2024-06-01T18:30:00.250+02:00"}, "2024-06-01 22:00:00", "exif"),
    ({36867: "2024-06-01 13:00:00Z"}, "2024-06-01 18:30:00", "exif"),
    ({36867: "2024:06:01 15:00:00", 36881: "+02:00"}, "2024-06-01 18:30:00", "exif"),
    ({306: "2024:06:01 08:00:00", 36880: "-05:00", 36881: "+01:00"}, "2024-06-01 18:30:00", "exif changed"),
    ({36867: "2024:06:01 18:30:00", 36881: "   :  "}, "2024-06-01 18:30:00", "exif"),
    ({36867: "9999:12:31 23:59:59"}, str(COPIED), "file"), ({36867: "2024:13:01 18:30:00"}, str(COPIED), "file"),
    ({36867: "yesterday"}, str(COPIED), "file"), ({}, str(COPIED), "file"),
])
def test_a_photos_best_evidence(tmp_path, tags, taken, clock):
    image = Image.new("RGB", (8, 8))
    exif = image.getexif()
    for tag, value in tags.items():
        (exif if tag == 306 else exif.get_ifd(0x8769))[tag] = value
    image.save(tmp_path / "a.jpg", exif=exif)
    assert photo_time(copied(tmp_path / "a.jpg")) == (datetime.fromisoformat(taken), clock)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="FFmpeg is not installed")
@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv", "webm", "wmv", "avi"])
def test_a_videos_own_date_as_ffmpeg_writes_it(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    made = ["-metadata", "date=2024-06-01 18:30:00" if ending == "avi" else "creation_time=2024-06-01T13:00:00Z"]
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=s=64x64:d=1:r=5", *made, path], check=True)
    assert video_time(copied(path), 1.0) == (datetime(2024, 6, 1, 18, 30), "video")


def test_a_video_without_a_date_of_its_own_ended_at_the_files(tmp_path):
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 64))
    writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    assert video_time(copied(path), 61.0) == (datetime(2023, 5, 4, 3, 1), "file")
    data = path.read_bytes()
    path.write_bytes(data[:12] + b"IDIT\x1a\0\0\0SAT JUN  1 18:30:00 2024\n\0" + data[12:])  # a camera's
    assert video_time(copied(path), 61.0) == (datetime(2024, 6, 1, 18, 30), "video")
    path.write_bytes(b"\0\0\0\x10moov\0\0\0\x08mvhd")
    assert video_time(copied(path), 61.0)[1] == "file"
    path.write_bytes(b"\0\0\0\x60moov\0\0\0\x58mdta com.apple.quicktime.creationdate 2024-06-01T15:00:00+0200")
    assert video_time(copied(path), 61.0) == (datetime(2024, 6, 1, 18, 30), "video"), "a phone's, with its zone"
