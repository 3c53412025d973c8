"""Collecting: every photo, video and camera is read, and whatever stops it, nothing finished is lost."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fer_utils.errors import CameraError, DataError
from fer_utils.event import collect as collect_module
from fer_utils.event import people, report, store
from fer_utils.labels import EMOTIONS
from fer_utils.networks import runs
from fer_utils.vision import images, predict
from fer_utils.vision import video as video_module
from fer_utils.vision.detect import yunet_file

from .pictures import MODEL, PortraitCamera, collect, needs_model, photo, portrait, video

pytestmark = needs_model
yunet = pytest.mark.skipif(yunet_file(download=False) is None, reason="YuNet's file is not on this computer")

# ---- photos ----


def test_photos_at_any_depth_with_their_times(tmp_path):
    folder = tmp_path / "party"
    photo(folder / "a.jpg", people=2)
    photo(folder / "deep" / "er" / "b.jpg", taken=None)
    photo(folder / "c.png", taken="0000:00:00 00:00:00", people=0)
    os.utime(folder / "deep" / "er" / "b.jpg", (0, datetime(2023, 5, 4, 3, 2, 1).timestamp()))
    for name in (".hidden.jpg", "._a.jpg", "notes.txt"):
        (folder / name).write_text("no picture")
    done = collect(folder, tmp_path / "out")
    assert done == {"photos": 3, "videos": 0, "cameras": 0, "faces": 3, "already_done": 0, "errors": 0}
    faces = store.read_faces(tmp_path / "out")
    assert list(faces.columns) == list(store.COLUMNS)
    by_name = faces.groupby(faces["source"].map(os.path.basename))
    assert by_name.size().to_dict() == {"a.jpg": 2, "b.jpg": 1}
    assert by_name["time"].first().to_dict() == {"a.jpg": "2024-06-01 18:30:00", "b.jpg": "2023-05-04 03:02:01"}
    assert by_name["clock"].first().to_dict() == {"a.jpg": "exif", "b.jpg": "file"}
    np.testing.assert_allclose(faces[list(EMOTIONS)].sum(axis=1), 1, atol=1e-4)
    same = predict.Predictor(MODEL, "haar").faces(np.asarray(Image.open(folder / "deep" / "er" / "b.jpg")))
    row = faces[faces["clock"] == "file"].iloc[0]
    assert tuple(row[["x", "y", "width", "height"]]) == same[0].box
    np.testing.assert_allclose(row[list(EMOTIONS)].to_numpy(float), same[0].probabilities, atol=1e-4)
    summary = people.summarise(tmp_path / "out")
    assert summary["participants"] == 3 and summary["photos_without_faces"] == 1 and summary["file_times"] == 1
    assert list(summary["by_source"].index) == ["party", "party/deep/er"]


def test_a_folder_called_by_its_year_is_no_camera(tmp_path, monkeypatch):
    photo(tmp_path / "2024" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    assert collect("2024", tmp_path / "out")["photos"] == 1


def test_what_is_no_file_and_folders_that_are_not_searched_are_said_and_then_forgotten(tmp_path):
    photo(tmp_path / "in" / "IMG_1.jpg").rename(tmp_path / "in" / "IMG_1")  # read by its content, as predict does
    photo(tmp_path / "elsewhere" / "b.jpg")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("a.jpg", "a.mp4", "a.gif"):
        os.mkfifo(tmp_path / "in" / name)
    done = collect(tmp_path / "in", tmp_path / "out")
    assert (done["photos"], done["faces"], done["errors"], done["already_done"]) == (1, 1, 4, 0)
    errors = {os.path.basename(error["source"]): error["error"] for error in store.read_errors(tmp_path / "out")}
    assert "a link to another folder is not followed" in errors.pop("link")
    assert len(errors) == 3 and all("is a pipe, a socket or a device" in text for text in errors.values())
    (tmp_path / "in" / "link").unlink()
    done = collect(tmp_path / "in", tmp_path / "out")
    assert (done["photos"], done["errors"], done["already_done"]) == (1, 3, 1)


@yunet
def test_photos_are_searched_as_predict_does(tmp_path):
    """At another size 5 of 110 faces got another name."""
    picture = np.full((1500, 3000, 3), 120, np.uint8)
    for i in range(8):
        face = portrait(60 + 12 * i)
        picture[100 + 150 * i:100 + 150 * i + len(face), 300 * i:300 * i + face.shape[1]] = face
    Image.fromarray(picture).save(tmp_path / "a.png")
    collect_module.collect_event(tmp_path / "a.png", tmp_path / "out", MODEL, detector="yunet", progress=False)
    faces, same = store.read_faces(tmp_path / "out"), predict.Predictor(MODEL, "yunet").faces(picture)
    assert len(same) == 8
    assert [tuple(row) for row in faces[["x", "y", "width", "height"]].to_numpy()] == [face.box for face in same]
    np.testing.assert_allclose(faces[list(EMOTIONS)].to_numpy(float), [f.probabilities for f in same], atol=1e-4)


def test_whatever_breaks_in_one_photo_costs_that_photo(tmp_path, monkeypatch):
    def read(path, max_pixels):
        if "bad" in path:
            raise MemoryError
        return portrait()

    for name in ("bad.jpg", "good.jpg"):
        photo(tmp_path / "in" / name)
    monkeypatch.setattr(images, "read_photo", read)
    assert collect(tmp_path / "in", tmp_path / "out")["photos"] == 1
    (error,) = store.read_errors(tmp_path / "out")
    assert "bad.jpg: could not be looked at (MemoryError" in error["error"]


def test_one_unreadable_file_is_recorded_and_tried_again(tmp_path):
    folder = tmp_path / "in"
    photo(folder / "good.jpg")
    (folder / "bad.jpg").write_bytes(b"not a photo")
    (folder / "bad.mp4").write_bytes(b"not a video")
    assert collect(folder, tmp_path / "out")["errors"] == 2
    errors = pd.read_csv(tmp_path / "out" / "errors.csv")
    assert sorted(errors["source"].map(os.path.basename)) == ["bad.jpg", "bad.mp4"]
    assert errors["error"].str.contains("bad").all()
    photo(folder / "bad.jpg")
    done = collect(folder, tmp_path / "out")
    assert (done["photos"], done["already_done"], done["errors"], done["faces"]) == (2, 1, 1, 2)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_kill_9_loses_nothing_finished(tmp_path):
    first = photo(tmp_path / "in" / "00.jpg", people=2)
    for i in range(1, 30):
        shutil.copy(first, tmp_path / "in" / f"{i:02d}.jpg")
    code = (f"from fer_utils import event; event.collect_event({str(tmp_path / 'in')!r}, {str(tmp_path / 'out')!r}, "
            f"{str(MODEL)!r}, 'haar', progress=False)")
    process = subprocess.Popen([sys.executable, "-c", code])
    journal = tmp_path / "out" / store.PROGRESS
    until = time.monotonic() + 50
    while time.monotonic() < until and not (journal.is_file() and journal.read_text().count("\n") >= 5):
        time.sleep(0.02)
    process.kill()
    process.wait()
    finished = {record.source for record in store.read_journal(tmp_path / "out")}
    assert 5 <= len(finished) < 30
    assert store.read_faces(tmp_path / "out")["source"].value_counts().to_dict() == dict.fromkeys(finished, 2)
    assert collect(tmp_path / "in", tmp_path / "out")["already_done"] == len(finished)
    assert store.read_faces(tmp_path / "out")["source"].value_counts().tolist() == [2] * 30


def test_refuses_to_mix_and_bad_sources(tmp_path):
    photo(tmp_path / "in" / "a.jpg")
    collect(tmp_path / "in", tmp_path / "out")
    with pytest.raises(DataError, match="every was 0.1, now 0.5"):
        collect(tmp_path / "in", tmp_path / "out", every=0.5)
    other = shutil.copytree(MODEL, tmp_path / "other")
    values = runs.read_card(other).values
    (other / "card.json").write_text(json.dumps({**values, "name": "another"}))
    with pytest.raises(DataError, match="model was fer_net, now another"):
        collect_module.collect_event(tmp_path / "in", tmp_path / "out", other, "haar", progress=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("")
    for source, message in (("empty", "no photo"), ("text.txt", "neither"), ("gone", "no such file")):
        with pytest.raises(DataError, match=message):
            collect(tmp_path / source, tmp_path / "new")
    for every in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="every must be seconds"):
            collect(tmp_path / "in", tmp_path / "new", every=every)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_another_process_writes_is_left_alone(tmp_path):
    photo(tmp_path / "a.jpg")
    with store.open_table(tmp_path / "out", collect_module.event_settings(MODEL, "haar", 0.1)):
        with pytest.raises(DataError, match="another event is being collected"):
            collect(tmp_path / "a.jpg", tmp_path / "out")
    assert collect(tmp_path / "a.jpg", tmp_path / "out")["faces"] == 1


# ---- videos ----


def test_a_video_cut_short_is_reported_and_a_whole_one_is_not(tmp_path):
    path = video(tmp_path / "cut.avi", frames=150, step=0)
    assert collect(path, tmp_path / "whole", every=6)["errors"] == 0
    lapse = video(tmp_path / "lapse.mp4", frames=4, rate=0.25, step=0)  # its last frame lasts for four seconds
    assert collect(lapse, tmp_path / "lapse")["errors"] == 0
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 3])
    assert collect(path, tmp_path / "out", every=6)["errors"] == 1
    assert "cut short" in store.read_errors(tmp_path / "out")[0]["error"]


@pytest.mark.parametrize("damaged, said", [(1, "1 frame could not be decoded and was skipped"),
                                           (3, "3 frames could not be decoded and were skipped")])
def test_frames_that_cannot_be_decoded_are_reported_and_the_others_count(tmp_path, damaged, said):
    path = video(tmp_path / "walk.avi")
    data = bytearray(path.read_bytes())
    for frame in list(re.finditer(rb"00dc(.{4})\xff\xd8", data, re.DOTALL))[20:20 + damaged]:
        start, size = frame.end() - 2, int.from_bytes(frame[1], "little")
        data[start:start + size] = bytes(size)
    path.write_bytes(data)
    result = report.run_event(path, tmp_path / "out", model=MODEL, detector="haar", every=0, progress=False)
    assert result["participants"] == 1 and result["videos"] == 1
    assert pd.read_csv(tmp_path / "out" / "errors.csv")["error"].tolist() == [f"{path}: {said}"]
    assert said in Path(result["report"]).read_text(encoding="utf-8") and said in report.report_text(result)


def test_a_video_goes_on_where_it_was_with_the_same_people(walk, tmp_path, monkeypatch):
    path, whole = walk
    monkeypatch.setattr(store.EventTable, "MARK_SECONDS", 0)
    add, calls = store.EventTable.add_frame, []

    def stop_in_the_middle(*arguments):
        calls.append(arguments)
        if len(calls) == 13:
            raise KeyboardInterrupt
        add(*arguments)

    monkeypatch.setattr(store.EventTable, "add_frame", stop_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        collect(path, tmp_path / "parts")
    assert 0 < len(store.read_faces(tmp_path / "parts")) < len(store.read_faces(whole))
    collect(path, tmp_path / "parts")
    pd.testing.assert_frame_equal(store.read_faces(tmp_path / "parts"), store.read_faces(whole))


def test_a_full_disk_is_not_the_videos_fault(walk, tmp_path, limited_files, monkeypatch):
    path, whole = walk
    monkeypatch.setattr(store.EventTable, "MARK_SECONDS", 0)
    limited_files(2000)
    with pytest.raises(DataError, match="could not be written"):
        collect(path, tmp_path / "out")
    limited_files(10**9)
    assert store.read_journal(tmp_path / "out")[0].state == "partial" and not store.read_errors(tmp_path / "out")
    collect(path, tmp_path / "out")
    pd.testing.assert_frame_equal(store.read_faces(tmp_path / "out"), store.read_faces(whole))


def test_people_of_a_video_that_broke_are_counted_with_it(walk, tmp_path, monkeypatch):
    frames = video_module.VideoFile.frames

    def broken(self, *arguments):
        for number, frame in enumerate(frames(self, *arguments)):
            if number == 20:
                raise OSError("the disk has gone")
            yield frame

    monkeypatch.setattr(video_module.VideoFile, "frames", broken)
    collect(walk[0], tmp_path / "out")
    summary = people.summarise(tmp_path / "out")
    assert summary["videos"] == 1 and summary["followed"] == summary["participants"] == 1
    assert "the disk has gone" in summary["errors"][0]["error"]


# ---- cameras ----


@pytest.fixture
def portrait_camera(monkeypatch):
    monkeypatch.setattr(video_module.cv2, "VideoCapture", PortraitCamera)
    monkeypatch.setattr(video_module, "SILENCE_S", 0.5)


def test_a_camera_until_it_is_stopped(tmp_path, portrait_camera):
    for _ in range(2):  # each recording is one of its own, named by its second
        collect(0, tmp_path / "out", seconds=0.6)
        time.sleep(0.5)
    summary = people.summarise(tmp_path / "out", min_looks=1)
    assert summary["cameras"] == 2 and summary["followed"] == 2
    assert report.example_faces(summary["people"]) == [] and not summary["errors"]


@pytest.mark.parametrize("end, errors", [(KeyboardInterrupt(), 0), (CameraError("unplugged"), 1)])
def test_every_frame_that_a_camera_gave_counts(tmp_path, monkeypatch, end, errors):
    class Camera(PortraitCamera):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def __iter__(self):
            for index in range(20):  # the last ones are still being looked at when it ends
                yield video_module.Frame(portrait(200), index / 10, index)
            raise end

    monkeypatch.setattr(collect_module, "open_source", Camera)
    collect(0, tmp_path / "out", every=0.0)
    assert len(store.read_faces(tmp_path / "out")) == 20
    assert len(store.read_errors(tmp_path / "out")) == errors


@pytest.mark.parametrize("threads", [1, 3])
def test_so_many_threads_look_at_pictures_side_by_side(tmp_path, monkeypatch, threads):
    for number in range(6):
        photo(tmp_path / "in" / f"{number}.png", people=0)
    together, used = threading.Barrier(threads), set()

    def look(path, work):
        used.add(threading.get_ident())
        together.wait(10)  # raises where fewer come
        return None, "not looked at"

    monkeypatch.setattr(collect_module, "look_at_photo", look)
    assert collect(tmp_path / "in", tmp_path / "out", threads=threads)["errors"] == 6
    assert len(used) == threads and "not looked at" in (tmp_path / "out" / store.ERRORS).read_text()


def test_ctrl_c_while_a_frame_is_looked_at_loses_none(tmp_path, monkeypatch, portrait_camera):
    asked = []

    class Workers(collect_module._Workers):
        def ahead(self, work, items):
            for item, look in super().ahead(work, items):
                def interrupted(look=look):
                    asked.append(1)
                    if len(asked) == 5:
                        raise KeyboardInterrupt
                    return look()
                yield item, interrupted

    monkeypatch.setattr(collect_module, "_Workers", Workers)
    collect(0, tmp_path / "out", every=0.0)
    assert len(store.read_faces(tmp_path / "out")) == len(asked) - 1 > 4


def test_a_cameras_stream_by_its_address_which_may_hold_a_password(tmp_path, monkeypatch, portrait_camera):
    monkeypatch.setattr(PortraitCamera, "frames", 40)
    address = "rtsp://guest:secret@door.example:554/user=guest&password=secret?key=secret"
    report.run_event([address], tmp_path / "out", model=MODEL, detector="haar", progress=False)
    summary = people.summarise(tmp_path / "out", min_looks=1)
    assert summary["cameras"] == 1 and summary["followed"] == 1
    assert "camera rtsp://door.example:554, 2" in summary["people"]["source"].iloc[0]
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert written and not any(b"secret" in path.read_bytes() for path in written)


def test_what_an_unplugged_camera_saw_counts_and_its_end_is_reported(tmp_path, monkeypatch, portrait_camera):
    monkeypatch.setattr(PortraitCamera, "frames", 40)
    collect(0, tmp_path / "out")
    summary = people.summarise(tmp_path / "out", min_looks=1)
    assert summary["followed"] == 1 and "stopped after" in summary["errors"][0]["error"]


def test_a_camera_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="camera 97"):
        collect(97, tmp_path / "out")
