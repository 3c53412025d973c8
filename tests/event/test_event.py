"""The event report: what is counted, that nothing finished is lost, and that the correction corrects."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.cbook import get_sample_data
from PIL import Image

from fer_utils import errors as errors_module
from fer_utils import metrics
from fer_utils.data import load, split
from fer_utils.data.drawn import draw_faces
from fer_utils.event import collect as collect_module
from fer_utils.event import people as people_module
from fer_utils.event import report, shares, store
from fer_utils.labels import EMOTIONS
from fer_utils.networks import runs
from fer_utils.plots import event
from fer_utils.vision import predict, scenes
from fer_utils.vision import video as video_module
from fer_utils.vision.predict import Face

MODEL = Path(__file__).resolve().parents[2] / "models" / "fer_net"
PORTRAIT = get_sample_data("grace_hopper.jpg", asfileobj=False)
pytestmark = pytest.mark.skipif(not (MODEL / "model.onnx").is_file(), reason="no models/fer_net/model.onnx here")


def portrait(side=400):
    image = np.asarray(Image.open(PORTRAIT).convert("RGB"))[:, 60:460]
    return cv2.resize(image, (side, side * image.shape[0] // image.shape[1]), interpolation=cv2.INTER_AREA)


def photo(path, taken="2024:06:01 18:30:00", people=1):
    """Write the portrait, side by side as often as there are people, on gray."""
    image = Image.fromarray(np.hstack([portrait(300)] * people) if people else np.full((200, 300, 3), 128, np.uint8))
    exif = image.getexif()
    if taken:
        exif.get_ifd(0x8769)[36867] = taken
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)
    return path


def video(path, frames=45, rate=15, step=12, away=()):
    """Write a person who walks past: the portrait crosses the picture by `step` pixels a frame."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), rate, (640, 360))
    person = cv2.cvtColor(portrait(200), cv2.COLOR_RGB2BGR)
    for i in range(frames):
        picture = np.full((360, 640, 3), 110, np.uint8)
        left = min(i * step, 640 - person.shape[1])
        if i not in away:
            picture[40:40 + person.shape[0], left:left + person.shape[1]] = person
        writer.write(picture)
    writer.release()
    return path


def collect(sources, out, **options):
    return collect_module.collect_event(video_module, out, MODEL, detector="haar", progress=False, **options)


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
    summary = people_module.summarise(tmp_path / "out")
    assert summary["participants"] == 3 and summary["photos_without_faces"] == 1 and summary["file_times"] == 1
    assert list(summary["by_source"].index) == ["party", "party/deep/er"]


def test_a_camera_that_lost_its_date_does_not_stretch_the_event(tmp_path):
    folder = tmp_path / "party"
    for i in range(4):
        photo(folder / f"{i}.jpg", taken=f"2024:06:01 18:{10 * i}:00", people=3)
    photo(folder / "reset.jpg", taken="2000:01:01 00:00:07")
    collect(folder, tmp_path / "out")
    summary = people_module.summarise(tmp_path / "out")
    assert summary["participants"] == 13 and summary["wrong_clock"] == 1
    assert (summary["first"], summary["last"]) == ("2024-06-01 18:00:00", "2024-06-01 18:30:00")
    assert summary["over_time"]["participants"].sum() == 12 and summary["shares"]["faces"].iloc[:7].sum() == 13
    assert "1 participant dated more than 30 days from the others" in report.report_page(summary)

    # As many as that are no slip: people met twice.
    for i in range(2):
        photo(folder / f"before-{i}.jpg", taken="2023:06:01 18:00:00")
    collect(folder, tmp_path / "out")
    again = people_module.summarise(tmp_path / "out")
    assert again["wrong_clock"] == 0 and again["first"][:4] == "2000"


def test_a_person_walking_past_is_one_participant(tmp_path):
    collect(video(tmp_path / "walk.avi"), tmp_path / "out")
    faces = store.read_faces(tmp_path / "out")
    people = people_module.participants(faces)
    assert len(faces) > 15 and len(people) == 1
    np.testing.assert_allclose(people[list(EMOTIONS)].to_numpy(float),
                               faces[list(EMOTIONS)].mean().to_numpy()[None], atol=1e-6)
    assert people["looks"][0] == len(faces) and faces["seconds"].max() <= 3
    assert people["until"][0] - people["time"][0] > pd.Timedelta(seconds=1.5)


def test_a_face_seen_twice_only_is_noise(tmp_path):
    path = video(tmp_path / "flash.avi", away=set(range(45)) - {10, 11, 12})
    collect(path, tmp_path / "out")
    summary = people_module.summarise(tmp_path / "out", min_looks=3)
    assert summary["participants"] == 0 and summary["noise"] == 1 and summary["shares"] is None
    page = report.report_page(summary)
    assert "No face was found that counts" in page and "1 face of videos and cameras left out" in page


def test_a_person_who_stays_is_one_participant_however_rarely_one_looks(tmp_path):
    collect(video(tmp_path / "still.avi", frames=150, step=0), tmp_path / "out", every=2.5)
    people = people_module.participants(store.read_faces(tmp_path / "out"))
    assert len(people) == 1 and people["looks"][0] == 4


def test_a_video_cut_short_is_reported_and_a_whole_one_is_not(tmp_path):
    path = video(tmp_path / "cut.avi", frames=150, step=0)
    assert collect(path, tmp_path / "whole", every=6)["errors"] == 0
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 3])
    assert collect(path, tmp_path / "out", every=6)["errors"] == 1
    assert "cut short" in store.read_errors(tmp_path / "out")[0]["error"]


def test_a_folder_called_by_its_year_is_no_camera(tmp_path, monkeypatch):
    photo(tmp_path / "2024" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    assert collect_module.find_sources("2024") == [("photo", str(tmp_path / "2024" / "a.jpg"))]
    assert collect_module.find_sources(["0", 1]) == [("camera", "0"), ("camera", "1")]


def test_an_impossible_time_is_not_believed(tmp_path):
    for taken in ("0001:01:01 00:00:00", "9999:12:31 23:59:59"):
        assert collect_module.photo_time(photo(tmp_path / "a.jpg", taken))[1] == "file"


def test_whatever_breaks_in_one_photo_costs_that_photo(tmp_path, monkeypatch):
    def read(path):
        if "bad" in path:
            raise MemoryError
        return portrait()

    for name in ("bad.jpg", "good.jpg"):
        photo(tmp_path / "in" / name)
    monkeypatch.setattr(collect_module, "read_photo", read)
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


def test_names_of_every_kind_survive(tmp_path):
    names = ["a,b.jpg", 'say "x".jpg', "<script>alert(1)</script>.jpg".replace("/", "_"), "zwei\nZeilen.jpg", "NA.jpg"]
    if sys.platform == "linux":
        names.append(os.fsdecode(b"caf\xe9.jpg"))
    for name in names:
        photo(tmp_path / "in" / "tmp.jpg").rename(tmp_path / "in" / name)
    result = report.run_event(tmp_path / "in", tmp_path / "out", MODEL, "haar", progress=False)
    assert {os.path.basename(s) for s in store.read_faces(tmp_path / "out")["source"]} == set(names)
    assert result["participants"] == len(names) == collect(tmp_path / "in", tmp_path / "out")["already_done"]


def settings():
    return store.Settings("net", "0", "haar", 0.1, tuple(map(tuple, np.eye(7, dtype=int).tolist())), "PublicTest")


def a_face(box=(10, 10, 50, 50), emotion=3):
    return Face(box, 1.0, np.eye(7, dtype=np.float32)[emotion])


@pytest.mark.parametrize("cut", range(1, 400, 7))
def test_whatever_is_cut_off_the_files_only_unfinished_photos_are_lost(tmp_path, cut):
    table = store.EventTable(tmp_path, settings())
    for i in range(4):
        table.add_photo(f"photo {i}\n.jpg", (datetime(2024, 6, 1), "exif"), [a_face(), a_face()])
    table.close()
    for name in (store.FACES, store.PROGRESS):
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[:max(len(data) - cut, 0)])
        kept = store.read_faces(tmp_path)
        again = store.EventTable(tmp_path, settings())
        done = [source for source in again.records if again.state(source) == "done"]
        assert sorted(kept["source"]) == sorted(2 * done)
        for i in range(4):
            if f"photo {i}\n.jpg" not in done:
                again.add_photo(f"photo {i}\n.jpg", (datetime(2024, 6, 1), "exif"), [a_face(), a_face()])
        again.close()
        assert store.read_faces(tmp_path)["source"].value_counts().tolist() == [2] * 4


def test_a_video_goes_on_where_it_was_with_the_same_people(tmp_path, monkeypatch):
    path = video(tmp_path / "walk.avi")
    collect(path, tmp_path / "whole")
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
    assert 0 < len(store.read_faces(tmp_path / "parts")) < len(store.read_faces(tmp_path / "whole"))
    collect(path, tmp_path / "parts")
    pd.testing.assert_frame_equal(store.read_faces(tmp_path / "parts"),
                                  store.read_faces(tmp_path / "whole"))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_kill_9_loses_nothing_finished(tmp_path):
    for i in range(40):
        photo(tmp_path / "in" / f"{i:02d}.jpg", people=2)
    code = (f"from fer_utils import event; event.collect({str(tmp_path / 'in')!r}, {str(tmp_path / 'out')!r}, "
            f"{str(MODEL)!r}, 'haar', progress=False)")
    process = subprocess.Popen([sys.executable, "-c", code])
    journal = tmp_path / "out" / store.PROGRESS
    until = time.monotonic() + 50
    while time.monotonic() < until and not (journal.is_file() and journal.read_text().count("\n") >= 5):
        time.sleep(0.02)
    process.kill()
    process.wait()
    finished = {record["source"] for record in store.read_journal(tmp_path / "out")}
    assert 5 <= len(finished) < 40
    assert store.read_faces(tmp_path / "out")["source"].value_counts().to_dict() == dict.fromkeys(finished, 2)
    assert collect(tmp_path / "in", tmp_path / "out")["already_done"] == len(finished)
    assert store.read_faces(tmp_path / "out")["source"].value_counts().tolist() == [2] * 40


def test_refuses_to_mix_and_bad_sources(tmp_path):
    photo(tmp_path / "in" / "a.jpg")
    collect(tmp_path / "in", tmp_path / "out")
    with pytest.raises(errors_module.DataError, match="every was 0.1, now 0.5"):
        collect(tmp_path / "in", tmp_path / "out", every=0.5)
    other = tmp_path / "other"
    shutil.copytree(MODEL, other)
    card = runs.read_card(other)
    (other / "card.json").write_text(json.dumps({**card, "name": "another"}))
    with pytest.raises(errors_module.DataError, match="model was fer_net, now another"):
        collect_module.collect_event(tmp_path / "in", tmp_path / "out", other, "haar", progress=False)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "faces.csv").write_text("do not overwrite me")
    with pytest.raises(errors_module.DataError, match="choose another folder"):
        collect(tmp_path / "in", tmp_path / "theirs")
    assert (tmp_path / "theirs" / "faces.csv").read_text() == "do not overwrite me"
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("")
    for source, message in (("empty", "no photo"), ("text.txt", "neither"), ("gone", "no such file")):
        with pytest.raises(errors_module.DataError, match=message):
            collect(tmp_path / source, tmp_path / "new")


class FakeCamera:
    """A camera that shows the portrait, for ever or for so many frames."""

    frames = 10**9

    def __init__(self, source, *options):
        self.picture = cv2.cvtColor(portrait(), cv2.COLOR_RGB2BGR)

    def isOpened(self):  # noqa: N802
        return True

    def read(self):
        time.sleep(0.02)
        self.frames -= 1
        # Cameras drop a frame now and then; that is not their end.
        return (True, self.picture) if self.frames > 0 and self.frames % 5 else (False, None)

    def set(self, what, value):
        pass

    def get(self, what):
        return 0.0

    def release(self):
        pass


def test_a_camera_until_it_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(collect_module.cv2, "VideoCapture", FakeCamera)
    for _ in range(2):  # each recording is one of its own
        collect(0, tmp_path / "out", seconds=1.0)
        time.sleep(1)
    summary = people_module.summarise(tmp_path / "out", min_looks=1)
    assert summary["cameras"] == 2 and summary["followed"] == 2
    assert report.example_faces(summary["people"]) == [] and not summary["errors"]


@pytest.mark.parametrize("end, errors", [(KeyboardInterrupt(), 0), (errors_module.CameraError("unplugged"), 1)])
def test_every_frame_that_a_camera_gave_counts(tmp_path, monkeypatch, end, errors):
    class Camera(FakeCamera):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def __iter__(self):
            for index in range(20):  # the last ones are still being looked at when it ends
                yield video_module.Frame(portrait(), index / 10, index)
            raise end

    monkeypatch.setattr(collect_module, "open_source", Camera)
    collect(0, tmp_path / "out", every=0.0)
    assert len(store.read_faces(tmp_path / "out")) == 20
    assert len(store.read_errors(tmp_path / "out")) == errors


def test_ctrl_c_while_a_frame_is_looked_at_loses_none(tmp_path, monkeypatch):
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
    monkeypatch.setattr(collect_module.cv2, "VideoCapture", FakeCamera)
    collect(0, tmp_path / "out", every=0.0)
    assert len(store.read_faces(tmp_path / "out")) == len(asked) - 1 > 4


def test_one_folder_is_written_by_one_process(tmp_path):
    photo(tmp_path / "a.jpg")
    settings = collect_module._settings(MODEL, "haar", 0.1)
    table = store.EventTable(tmp_path / "out", settings)
    with pytest.raises(errors_module.DataError, match="another event is being collected"):
        collect(tmp_path / "a.jpg", tmp_path / "out")
    table.close()
    assert collect(tmp_path / "a.jpg", tmp_path / "out")["faces"] == 1


def test_a_folder_whose_errors_cannot_be_written_is_not_left_locked(tmp_path, monkeypatch):
    photo(tmp_path / "a.jpg")

    def refused(*arguments):
        raise PermissionError("errors.csv is open in another program")

    table = store.EventTable(tmp_path / "out", collect_module._settings(MODEL, "haar", 0.1))
    with monkeypatch.context() as patch, pytest.raises(PermissionError):
        patch.setattr(store, "write_csv", refused)
        table.close()
    assert collect(tmp_path / "a.jpg", tmp_path / "out")["faces"] == 1


def test_people_of_a_video_that_broke_are_counted_with_it(tmp_path, monkeypatch):
    frames = collect_module._frames

    def broken(video_, every, start):
        for number, frame in enumerate(frames(video_, every, start)):
            if number == 20:
                raise OSError("the disk has gone")
            yield frame

    monkeypatch.setattr(collect_module, "_frames", broken)
    collect(video(tmp_path / "walk.avi"), tmp_path / "out")
    summary = people_module.summarise(tmp_path / "out")
    assert summary["videos"] == 1 and summary["followed"] == summary["participants"] == 1
    assert "the disk has gone" in summary["errors"][0]["error"]


def test_a_cameras_stream_by_its_address_which_may_hold_a_password(tmp_path, monkeypatch):
    monkeypatch.setattr(collect_module.cv2, "VideoCapture", FakeCamera)
    monkeypatch.setattr(FakeCamera, "frames", 40)
    monkeypatch.setattr(video_module, "SILENCE_S", 0.5)
    address = "rtsp://guest:secret@door.example:554/user=guest&password=secret?key=secret"
    report.run_event([address], tmp_path / "out", MODEL, "haar", progress=False)
    summary = people_module.summarise(tmp_path / "out", min_looks=1)
    assert summary["cameras"] == 1 and summary["followed"] == 1
    assert "camera rtsp://door.example:554, 2" in summary["people"]["source"].iloc[0]
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert written and not any(b"secret" in path.read_bytes() for path in written)


def test_what_an_unplugged_camera_saw_counts_and_its_end_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(collect_module.cv2, "VideoCapture", FakeCamera)
    monkeypatch.setattr(FakeCamera, "frames", 40)
    monkeypatch.setattr(video_module, "SILENCE_S", 0.5)
    collect(0, tmp_path / "out")
    summary = people_module.summarise(tmp_path / "out", min_looks=1)
    assert summary["followed"] == 1 and "stopped after" in summary["errors"][0]["error"]


def test_a_camera_that_is_not_there(tmp_path):
    with pytest.raises(errors_module.DataError, match="camera 97"):
        collect(97, tmp_path / "out")


# --- Shares ------------------------------------------------------------------------------------------------------


def public_confusion():
    return shares.known_confusion(runs.read_card(MODEL))[0]


def drawn_answers(n, seed=0):
    """Labels, and answers drawn with the network's own confusion of PublicTest."""
    rng = np.random.default_rng(seed)
    rates = public_confusion() / public_confusion().sum(axis=1, keepdims=True)
    true = np.repeat(np.arange(7), n)
    return true, np.concatenate([rng.choice(7, n, p=row) for row in rates])


def test_corrected_shares_are_closer_to_the_truth_and_inside_their_intervals():
    # Many answers, so that mixes drawn from them are as good as new.
    table = shares.check_correction(*drawn_answers(20_000), public_confusion(), mixes=10)
    assert table["closer"].sum() >= 8
    assert table["corrected_error"].mean() < 0.6 * table["raw_error"].mean()
    assert table["corrected_inside"].sum() >= 0.85 * 70
    assert table["raw_inside"].sum() < 0.6 * 70  # raw intervals know nothing of the classifier's errors


def test_copies_of_training_faces_do_not_count_as_known_faces():
    all_faces, strangers = np.full((7, 7), 5), np.full((7, 7), 2)
    card = {"name": "net", "scores": {"PublicTest": {"confusion": all_faces.tolist(),
                                                     "clean": {"confusion": strangers.tolist()}}}}
    matrix, usage = shares.known_confusion(card)
    assert matrix.tolist() == strangers.tolist() and usage == "PublicTest without copies of training faces"
    strangers[1] = 0  # no such face is disgust: nothing would be known of how disgust looks to the network
    card["scores"]["PublicTest"]["clean"]["confusion"] = strangers.tolist()
    matrix, usage = shares.known_confusion(card)
    assert matrix.tolist() == all_faces.tolist() and usage == "PublicTest"
    card["scores"]["PublicTest"]["clean"] = metrics.scores([0], np.eye(7)[:1], np.array([False]))["clean"]
    assert shares.known_confusion(card)[0].tolist() == all_faces.tolist(), "each face has a copy in Training"
    del card["scores"]["PublicTest"]["clean"]
    assert shares.known_confusion(card)[0].tolist() == all_faces.tolist()


@pytest.mark.skipif("FER_DATA" not in os.environ, reason="FER_DATA names no real FER2013")
def test_corrected_shares_are_closer_on_fer2013():
    faces = load.load()
    usage, faces, clean = split.report_part(faces)
    assert usage == "PrivateTest"
    faces = faces[clean]
    network = predict.Predictor(MODEL, "haar")
    predicted = np.concatenate([network.probabilities(faces.pixels[i:i + 256]).argmax(axis=1)
                                for i in range(0, len(faces), 256)])
    check = shares.check_correction(faces.emotion, predicted, public_confusion())
    assert check["closer"].sum() >= 8
    # With the copies the matrix would promise that the network errs less on strangers than it does.
    flattering = np.array(runs.read_card(MODEL)["scores"]["PublicTest"]["confusion"])
    flattered = shares.check_correction(faces.emotion, predicted, flattering)
    assert check["corrected_error"].mean() < flattered["corrected_error"].mean()
    assert check["corrected_inside"].mean() > flattered["corrected_inside"].mean()


def test_a_perfect_classifier_needs_no_correction():
    counts = np.array([5, 1, 0, 40, 9, 3, 42])
    np.testing.assert_allclose(shares.correct(counts / 100, 10_000 * np.eye(7)), counts / 100, atol=1e-3)


def test_intervals_of_few_faces_are_wide_and_group_photos_widen_them():
    three = shares.estimate(3 * np.eye(7, dtype=int)[[3]], 10_000 * np.eye(7)).loc["happy"]
    assert three.raw == 1 and three.raw_high == 1 and three.raw_low < 0.7 and three.corrected_low < 0.8
    people = np.eye(7, dtype=int)[[3] * 60 + [6] * 60]
    photos = 12 * np.eye(7, dtype=int)[[3] * 5 + [6] * 5]
    alone, grouped = (shares.estimate(units, public_confusion()).loc["happy"] for units in (people, photos))
    for kind in ("raw", "corrected"):
        widths = [row[f"{kind}_high"] - row[f"{kind}_low"] for row in (alone, grouped)]
        assert widths[1] > 1.5 * widths[0]


def test_one_large_photo_does_not_make_its_faces_surer():
    faces = np.eye(7, dtype=int)[[3] * 30 + [6] * 30]
    alone = shares.estimate(faces, public_confusion()).loc["happy"]
    for units in (faces.sum(axis=0)[None], np.array([faces.sum(axis=0) // 5] * 5)):
        photos = shares.estimate(units, public_confusion()).loc["happy"]
        for end in ("raw_low", "raw_high", "corrected_low", "corrected_high"):
            assert photos[end] == pytest.approx(alone[end], abs=0.03)


def test_shares_need_faces_and_a_confusion_matrix():
    with pytest.raises(ValueError, match="no faces"):
        shares.estimate(np.empty((0, 7), int), public_confusion())
    with pytest.raises(errors_module.DataError, match="no confusion matrix"):
        shares.known_confusion({"name": "old", "scores": {}})


# --- Crowds and the page -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd_report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crowd")
    truth = scenes.write_crowd(folder / "in", draw_faces(300, seed=3), pictures=20, minutes=90, seed=1)
    result = report.run_event(folder / "in", folder / "out", MODEL, "haar", faces=True, title="A <b>party</b> & more",
                        progress=False)
    return truth, result, folder / "out"


def test_a_crowd_with_known_answers(crowd_report):
    truth, result, out = crowd_report
    pairs = scenes.match(truth, people_module.participants(store.read_faces(out)))
    found, missed, false = (pairs["true"].notna() & pairs["predicted"].notna(), pairs["predicted"].isna(),
                            pairs["true"].isna())
    assert found.sum() + missed.sum() == len(truth)
    assert found.mean() > 0.75 and false.sum() <= 0.25 * len(truth)  # Haar sees faces in leaves
    assert result["participants"] == found.sum() + false.sum() and result["photos"] == 20
    assert (result["first"], result["last"]) == ("2024-06-01 18:00:00", "2024-06-01 19:30:00")
    assert json.loads(json.dumps(result)) == result


def test_the_page_stands_alone_and_is_escaped(crowd_report):
    _, result, out = crowd_report
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "A &lt;b&gt;party&lt;/b&gt; &amp; more" in page and "<b>party" not in page
    assert "<script" not in page and "http" not in page.replace("http://www.w3.org", "")
    for said in ("not a feeling", "Barrett", "5(1)(f)", "counts twice", "unsure", "raw", "corrected", "blurred"):
        assert said in page
    assert {p.name for p in out.iterdir()} == {"faces.csv", "participants.csv", "report.html", "errors.csv",
                                               "progress.jsonl", "settings.json", ".lock"}
    people = pd.read_csv(out / "participants.csv")
    assert len(people) == result["participants"] and set(people["emotion"]) <= set(EMOTIONS)


def test_no_face_unless_asked_and_then_blurred(crowd_report):
    _, _, out = crowd_report
    summary = people_module.summarise(out)
    assert "image/png" not in report.report_page(summary)
    (emotion, sure, blurred), *_ = report.example_faces(summary["people"], limit=1)
    (_, _, clear), *_ = report.example_faces(summary["people"], blur=False, limit=1)
    assert len(report.example_faces(summary["people"])) == report.FACES_SHOWN
    assert emotion in EMOTIONS and 0 < sure <= 1 and blurred.shape == clear.shape == (96, 96, 3)
    # What tells a face apart is in its edges: almost nothing of them is left.
    edges = [cv2.Laplacian(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.CV_64F).std() for face in (blurred, clear)]
    assert edges[0] < 0.2 * edges[1]


def test_figures_refuse_empty_tables():
    for draw in (event.plot_shares, event.plot_over_time, event.plot_by_source,
                 event.plot_correction):
        with pytest.raises(ValueError):
            draw(pd.DataFrame())


def test_the_page_in_chromium(crowd_report, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser_path:
        pytest.skip("no chromium here")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for width in (390, 1280):
            page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme="dark")
            page.goto(f"file://{crowd_report[1]['report']}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        assert page.pdf().startswith(b"%PDF")
        browser.close()


def test_no_tensorflow():
    code = "import sys, fer_utils.report; print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
