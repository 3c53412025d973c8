"""The table on disk: whatever stops the writing, what was finished is there, and only one process writes."""

import json
import math
import shutil
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from fer_utils import files
from fer_utils.errors import DataError
from fer_utils.event import store
from fer_utils.vision.predict import Face

SETTINGS = store.Settings("net", "0", "haar", 0.1, np.eye(7, dtype=int).tolist(), "PublicTest")
TWO_FACES = [Face((10, 10, 50, 50), 1.0, np.eye(7, dtype=np.float32)[3])] * 2


def add_photo(table, name, faces=TWO_FACES):
    table.add_photo(name, datetime(2024, 6, 1), "exif", faces)


@pytest.fixture(scope="module")
def four_photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    with store.open_table(folder, SETTINGS) as table:
        for i in range(4):
            add_photo(table, f"photo {i}\n.jpg")
    return folder


@pytest.mark.parametrize("cut", range(1, 400, 7))
def test_whatever_is_cut_off_the_files_only_unfinished_photos_are_lost(four_photos, tmp_path, cut):
    for name in (store.FACES, store.PROGRESS):
        folder = shutil.copytree(four_photos, tmp_path / name)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:max(len(data) - cut, 0)])
        kept = store.read_faces(folder)
        with store.open_table(folder, SETTINGS) as again:
            done = [source for source in again.records if again.state(source) == "done"]
            assert sorted(kept["source"]) == sorted(2 * done)
            for i in range(4):
                if f"photo {i}\n.jpg" not in done:
                    add_photo(again, f"photo {i}\n.jpg")
        assert store.read_faces(folder)["source"].value_counts().tolist() == [2] * 4


@pytest.mark.parametrize("room", range(600, 1600, 90))
def test_a_full_disk_ends_it_and_loses_nothing_finished(tmp_path, limited_files, room):
    """What is written when it is full is a part of a row, or of a line of the journal."""
    limited_files(room)
    with pytest.raises(DataError, match=r"(csv|jsonl): could not be written \(File too large\).*make room"):
        with store.open_table(tmp_path, SETTINGS) as table:
            for i in range(9):
                add_photo(table, f"{i}.jpg")
    limited_files(10**9)
    done = {record.source for record in store.read_journal(tmp_path)}
    assert 0 < len(done) < 9 and sorted(store.read_faces(tmp_path)["source"]) == sorted(2 * list(done))
    with store.open_table(tmp_path, SETTINGS) as table:
        assert set(table.records) == done
        for i in range(9):
            if f"{i}.jpg" not in done:
                add_photo(table, f"{i}.jpg")
    assert store.read_faces(tmp_path)["source"].value_counts().to_dict() == {f"{i}.jpg": 2 for i in range(9)}


def test_a_frames_faces_come_back_in_their_order_under_their_time(tmp_path):
    recording = store.Footage("walk.avi", "video", datetime(2024, 6, 1, 18), "file")
    wide, small = (Face((0, 0, side, side), 0.5, np.eye(7, dtype=np.float32)[side % 7]) for side in (90, 30))
    with store.open_table(tmp_path, SETTINGS) as table:
        add_photo(table, "photo.jpg")
        table.add_frame(recording, 0, 0.0, {7: wide, 2: small})
        table.add_frame(recording, 3, 0.125, {2: small})
        table.mark("walk.avi", "video", "partial", position=4)
        before = table.frames_before("walk.avi")
        assert table.position("walk.avi") == 4 and table.position("other.avi") == 0
    assert {time: [face.box for face in faces] for time, faces in before.items()} == {
        0.0: [wide.box, small.box], 0.125: [small.box]}
    rows = store.read_faces(tmp_path)
    assert rows["track"].dropna().tolist() == [7, 2, 2]
    assert rows["time"].tolist()[2:] == ["2024-06-01 18:00:00.000"] * 2 + ["2024-06-01 18:00:00.125"]


def test_one_folder_is_written_by_one_process(tmp_path):
    with store.open_table(tmp_path, SETTINGS):
        with pytest.raises(DataError, match="another event is being collected"):
            with store.open_table(tmp_path, SETTINGS):
                pass
    with store.open_table(tmp_path, SETTINGS) as table:
        add_photo(table, "a.jpg")


def test_a_folder_whose_errors_cannot_be_written_is_not_left_locked(tmp_path, monkeypatch):
    def refused(*arguments):
        raise PermissionError("errors.csv is open in another program")

    with monkeypatch.context() as patch, pytest.raises(PermissionError):
        patch.setattr(files, "write_csv", refused)
        with store.open_table(tmp_path, SETTINGS):
            pass
    with store.open_table(tmp_path, SETTINGS) as table:
        add_photo(table, "a.jpg")
    assert len(store.read_faces(tmp_path)) == 2


def test_faces_collected_differently_are_not_mixed(tmp_path):
    with store.open_table(tmp_path, SETTINGS) as table:
        add_photo(table, "a.jpg")
    for change, message in (({"every": 0.5}, "every was 0.1, now 0.5"),
                            ({"model": "other"}, "model was net, now other"),
                            ({"confusion": [[0] * 7] * 7}, r"\(confusion\)")):
        with pytest.raises(DataError, match=message), store.open_table(tmp_path, replace(SETTINGS, **change)):
            pass
    good = json.loads((tmp_path / store.SETTINGS).read_text())
    for damaged in ({"model": "net"}, [], None, good | {"every": -1}, good | {"every": "x"}, good | {"every": math.nan},
                    good | {"model": 3}, good | {"confusion": [[1] * 7] * 6}, good | {"confusion": [[-1] * 7] * 7},
                    good | {"confusion": [[1], [1, 2]]}, good | {"confusion": "x"}, good | {"more": 1}):
        (tmp_path / store.SETTINGS).write_text(json.dumps(damaged))
        with pytest.raises(DataError, match="not the settings of an event.*new folder"):
            store.read_settings(tmp_path)


@pytest.mark.parametrize("damage", [
    lambda record: [], lambda record: None, lambda record: {"source": "a"},
    *(lambda record, change=change: record | change for change in (
        {"bytes": "1"}, {"bytes": 1}, {"rows": -1}, {"source": 3}, {"faces": 1.5}))])
def test_a_damaged_line_of_the_journal_is_named_and_no_face_is_lost(damage, tmp_path):
    with store.open_table(tmp_path, SETTINGS) as table:
        add_photo(table, "a.jpg")
        add_photo(table, "b.jpg")
    journal, faces = tmp_path / store.PROGRESS, (tmp_path / store.FACES).read_bytes()
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([lines[0], json.dumps(damage(json.loads(lines[1]))), *lines[2:]]) + "\n")
    for use in (store.read_faces, store.read_journal, lambda out: store.open_table(out, SETTINGS).__enter__()):
        with pytest.raises(DataError, match=r"progress\.jsonl, line 2: is damaged .*new folder"):
            use(tmp_path)
    assert (tmp_path / store.FACES).read_bytes() == faces


@pytest.mark.parametrize("change", [
    lambda data: b"\0" * len(data), lambda data: data.replace(b"\n", b"\r\n"), lambda data: b"\xef\xbb\xbf" + data,
    lambda data: data.replace(b"1.0", b"2.0"), lambda data: data.replace(b"1.0", b"nan"),
    lambda data: data.replace(b",10,", b",x,"), lambda data: data.replace(b"2024-06-01", b"2024-xx-01"),
    lambda data: data.replace(b",", b";")])
def test_a_faces_csv_that_was_changed_is_named_and_left_as_it_is(change, four_photos, tmp_path):
    folder = shutil.copytree(four_photos, tmp_path / "photos")
    changed = change((folder / store.FACES).read_bytes())
    (folder / store.FACES).write_bytes(changed)
    with pytest.raises(DataError, match=r"faces\.csv: was changed or is damaged .*new folder"):
        store.read_faces(folder)
    with pytest.raises(DataError, match=r"faces\.csv: was changed"), store.open_table(folder, SETTINGS):
        pass
    assert (folder / store.FACES).read_bytes() == changed


def test_a_faces_csv_of_something_else_is_not_overwritten(tmp_path):
    (tmp_path / "faces.csv").write_text("do not overwrite me")
    with pytest.raises(DataError, match="choose another folder"), store.open_table(tmp_path, SETTINGS):
        pass
    assert (tmp_path / "faces.csv").read_text() == "do not overwrite me"
