"""Parts of a video: put together they are what one reader of the whole video gives, frame for frame, row for row."""

import functools
import json
import math
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from tqdm import tqdm

from fer_utils.event import collect, merging, parts, sharding, store, underway
from fer_utils.event.parts import Part, cut_videos
from fer_utils.event.sharding import Shard
from fer_utils.vision import seeking
from fer_utils.vision.predict import Face
from fer_utils.vision.remote import Fetcher
from fer_utils.vision.seeking import VideoPart, find_cuts
from fer_utils.vision.sources import Source
from fer_utils.vision.track import Tracker
from fer_utils.vision.video import VideoFile, every_moment

from .pictures import portrait
from .test_sharding import OPTIONS, check_same, needs_tiny
from .test_store import SETTINGS

RATE = 25
needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg here")


def walkers(path, seconds=8.0, size=(320, 180)):
    """Write two bright squares that cross each other, on a ground that gets lighter; one is away for a moment."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), RATE, size)
    for i in range(int(seconds * RATE)):
        picture = np.full((*size[::-1], 3), i % 100, np.uint8)
        picture[20:60, (x := i * 2 % 280):x + 40] = 255
        if not 60 < i < 90:
            picture[100:140, (x := 280 - i * 2 % 280):x + 40] = 255
        writer.write(picture)
    writer.release()
    return path


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    return walkers(tmp_path_factory.mktemp("walk") / "walk ü.mp4")


def encoded(walk, path, *options):
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", walk, *options, path], check=True)
    return path


class Eyes:
    """In the place of networks: see each bright square as a face."""

    fetcher = Fetcher(Path("out"))

    def look(self, image):
        _, _, found, _ = cv2.connectedComponentsWithStats((image[..., 0] > 180).astype(np.uint8))
        return [Face(tuple(map(int, each[:4])), 1.0, np.full(7, 1 / 7, np.float32)) for each in found[1:]
                if each[4] > 99]

    def pipeline(self, every):
        return SimpleNamespace(look=self.look, follow=Tracker(**parts.how_to_follow(every)).update)

    def ahead(self, work, items):
        return ((item, functools.partial(work, item)) for item in items)


@pytest.fixture
def short_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART_S", 1.7)


@pytest.fixture
def without_report(monkeypatch):
    monkeypatch.setattr(merging, "report_event", lambda *_, **__: {})


def look_at_whole(path, out):
    with store.open_table(out, SETTINGS) as table, tqdm(disable=True) as bar:
        collect._collect_video(str(path), table, Eyes(), bar)
    return out


def look_at_parts(found, out, count=3):
    for shard in (Shard(number, count) for number in range(count, 0, -1)):
        with store.open_table(shard.folder(out), SETTINGS) as table:
            sharding.keep_manifest(shard.folder(out), shard, found)
            for source in shard.own(found):
                if table.state(source.address) != "done":
                    parts.collect_part(source.address, table, Eyes().look, Eyes().ahead, lambda: None)
    return out


def frames_of(video, every=0.1):
    with video:
        return [(frame.index, frame.time, zlib.crc32(frame.image.tobytes()))
                for frame in video.frames(wanted=every_moment(every))]


@needs_ffmpeg
@pytest.mark.parametrize("name, options", [
    ("bframes.mp4", "-c:v libx264 -bf 3 -x264-params keyint=50:open-gop=1"),
    ("bframes.mkv", "-c:v libx264 -bf 3 -x264-params keyint=50:open-gop=1"),
    ("varying.mp4", "-vf select='lt(mod(n,70),25)+not(mod(n,9))' -fps_mode vfr -c:v libx264 -bf 2 -g 12"),
    ("late.mov", "-c:v mpeg4 -g 20 -bf 2 -output_ts_offset 7"),
    ("refresh.mp4", "-c:v libx264 -x264-params intra-refresh=1:keyint=25")])
def test_parts_have_the_frames_of_the_whole_video_with_their_times(walk, tmp_path, monkeypatch, name, options):
    path = encoded(walk, tmp_path / name, *options.split())
    cuts = find_cuts(path, 1.7)
    assert all(abs(cut - 1.7 * number) < 0.9 for number, cut in enumerate(cuts, 1))
    assert bool(cuts) == (name != "late.mov"), "how long it is, is not sure"
    cuts, from_start = cuts or [2.0, 4.5], []
    monkeypatch.setattr(seeking, "_LEADS_S", (0.3, 0.9, 2.4))
    monkeypatch.setattr(VideoPart, "_come_from_start", lambda self, path, begin, come=VideoPart._come_from_start: (
        from_start.append(begin), come(self, path, begin)))
    for every in (0, 0.1, 0.7):
        whole, found, before, following = frames_of(VideoFile(path), every), [], 0, None
        for begin, end in zip([0, *cuts], [*cuts, math.inf]):
            part = VideoPart(path, begin, end)
            found += [(index + before, *frame) for index, *frame in frames_of(part, every)]
            assert not following or following.same(part.first)
            assert part.ended == (end == math.inf)
            before, following = before + part.count, part.following
        assert found == whole
    assert all(begin < 2.4 for begin in from_start)


@pytest.mark.parametrize("wrong", [[0.9], [0.9, 2.4]])
def test_a_file_that_does_not_seek_exactly_is_read_from_another_place_or_its_start(walk, monkeypatch, wrong):
    come, places = VideoPart._come, []

    def come_elsewhere(self, begin, lead):
        places.append(lead)
        return come(self, begin - (lead / 5 if lead in wrong else 0), lead)

    monkeypatch.setattr(seeking, "_LEADS_S", (0.3, 0.9, 2.4))
    monkeypatch.setattr(VideoPart, "_come", come_elsewhere)
    rest = [frame for _, *frame in frames_of(VideoFile(walk)) if frame[0] >= 4]
    assert [frame for _, *frame in frames_of(VideoPart(walk, 4.0))] == rest
    assert places == [0.3, 0.9, 2.4]


def test_a_part_may_have_no_frame(walk):
    before, empty, after = (VideoPart(walk, *between) for between in ((0, 2.001), (2.001, 2.01), (2.01, 2.1)))
    assert len(frames_of(before, 0)) == before.count == 51 and before.following.same(empty.first)
    assert frames_of(empty, 0) == [] and empty.count == 0 and not empty.ended
    assert empty.following.same(after.first) and len(frames_of(after, 0)) == 2
    beyond = VideoPart(walk, 99.0)
    assert frames_of(beyond, 0) == [] and beyond.ended and (beyond.count, beyond.first, beyond.following) == (
        0, None, None)


def test_what_is_not_cut(walk, tmp_path):
    data = walk.read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[:len(data) * 2 // 3])
    assert find_cuts(walk, 1.7) and not find_cuts(walk, 4.1) and not find_cuts(tmp_path / "half.mp4", 1.7)
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), RATE, (320, 180))
    for _ in range(200):
        writer.write(np.zeros((180, 320, 3), np.uint8))
    writer.release()
    assert not find_cuts(tmp_path / "a.avi", 1.7), "it has no times of its own"
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    sources = [Source("video", str(tmp_path / name)) for name in ("a.avi", "half.mp4", "bad.mp4", "gone.mp4")]
    assert cut_videos([*sources, Source("photo", "/a.jpg")]) == [*sources, Source("photo", "/a.jpg")]


def test_parts_of_a_video_go_to_different_shards_and_its_people_keep_their_numbers(walk, tmp_path, short_parts,
                                                                                   without_report):
    found = cut_videos([Source("video", str(walk))])
    assert len(found) == 4 and [Part.parse(each.address).source for each in found] == found
    assert {number: sum(each in Shard(number, 4).own(found) for each in found) for number in range(1, 5)} == {
        1: 1, 2: 1, 3: 1, 4: 1}
    merging.merge_event(look_at_parts(found, tmp_path / "out"), tmp_path / "merged")
    check_same(tmp_path / "merged", look_at_whole(walk, tmp_path / "serial"))
    rows = store.read_faces(tmp_path / "merged")
    cut = Part.parse(found[1].address).begin
    across = [track for track, of in rows.groupby("track") if of["seconds"].min() < cut < of["seconds"].max()]
    assert len(across) == 2


@pytest.mark.parametrize("where", [0.1, 0.45, 0.8])
def test_frames_that_cannot_be_decoded_are_counted_as_in_one_run(walk, tmp_path, short_parts, without_report, where):
    path, data = tmp_path / "broken.mp4", bytearray(walk.read_bytes())
    begin = int(len(data) * where)
    data[begin:begin + 20_000] = bytes(20_000)
    path.write_bytes(data)
    found = cut_videos([Source("video", str(path))])
    assert len(found) == 4
    merging.merge_event(look_at_parts(found, tmp_path / "out"), tmp_path / "merged")
    check_same(tmp_path / "merged", look_at_whole(path, tmp_path / "serial"))
    [error] = store.read_errors(tmp_path / "merged")
    assert "frames could not be decoded and were skipped" in error["error"]


def test_a_part_that_does_not_fit_ends_the_video_and_is_reported(walk, tmp_path, short_parts, without_report):
    path = tmp_path / "changed.mp4"
    shutil.copy(walk, path)
    found = cut_videos([Source("video", str(path))])
    out = look_at_parts(found, tmp_path / "out", 1)
    file = Shard(1, 1).folder(out) / parts.PARTS_SEEN
    lines = [json.loads(line) for line in file.read_bytes().splitlines() if line]
    lines[2]["first"][1] = "00" * 64
    file.write_bytes(b'{"source": "half a li\n' + b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    merging.merge_event(out, tmp_path / "merged")
    [error] = store.read_errors(tmp_path / "merged")
    assert error["source"] == str(path) and "cannot be put together from its parts at 3 seconds" in error["error"]
    whole = store.read_faces(look_at_whole(path, tmp_path / "serial"))
    rows = store.read_faces(tmp_path / "merged")
    assert 0 < len(rows) < len(whole) and rows["frame"].tolist() == whole["frame"][:len(rows)].tolist()


def test_a_part_at_which_workers_died_ends_the_video_and_is_reported(walk, tmp_path, short_parts, without_report):
    found = cut_videos([Source("video", str(walk))])
    out = Shard(1, 1).folder(tmp_path / "out")
    with store.open_table(out, SETTINGS) as table:
        sharding.keep_manifest(out, Shard(1, 1), found)
        for _ in range(underway.LIMIT):
            with underway.UnderWay(table) as notes, notes.looking_at(found[2].address):
                left = (out / underway.NOTE).read_bytes()
            (out / underway.NOTE).write_bytes(left)
        with underway.UnderWay(table) as notes:
            todo = notes.without_deadly(found)
    assert todo == [*found[:2], found[3]]
    with store.open_table(out, SETTINGS) as table:
        for source in todo:
            parts.collect_part(source.address, table, Eyes().look, Eyes().ahead, lambda: None)
    merging.merge_event(out, tmp_path / "merged")
    [error] = store.read_errors(tmp_path / "merged")
    assert error["source"] == str(walk) and "(part 3 of 4: " in error["error"] and "died" in error["error"]
    last = store.read_faces(tmp_path / "merged")["seconds"].max()
    assert last == pytest.approx(Part.parse(found[2].address).begin, abs=0.2)


def test_a_shard_of_an_earlier_version_goes_on_with_whole_videos(walk, tmp_path, short_parts):
    manifest = Shard(1, 1).folder(tmp_path) / sharding.MANIFEST
    assert sharding.cuts_videos(manifest)
    manifest.parent.mkdir()
    sharding.keep_manifest(manifest.parent, Shard(1, 1), [Source("video", str(walk))])
    assert json.loads(manifest.read_text())["format"] == 1 and not sharding.cuts_videos(manifest)


@needs_tiny
def test_a_kill_in_one_part_of_a_real_persons_walk(tmp_path, monkeypatch, without_report):
    path = tmp_path / "in" / "walk.mp4"
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 15, (640, 360))
    person = cv2.cvtColor(portrait(200), cv2.COLOR_RGB2BGR)
    for i in range(90):
        picture = np.full((360, 640, 3), 110, np.uint8)
        picture[40:40 + person.shape[0], i * 4:i * 4 + 200] = person
        writer.write(picture)
    writer.release()
    serial = tmp_path / "serial"
    collect.collect_event(path, serial, **OPTIONS)
    monkeypatch.setattr(parts, "PART_S", 2.0)
    found = cut_videos([Source("video", str(path))])
    assert len(found) == 3
    code = ("import os, signal\nfrom fer_utils import event\nfrom fer_utils.event import parts\n"
            "parts.PART_S, note = 2.0, parts.skipped_note\n"
            "parts.skipped_note = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
            f"event.collect_event({str(path)!r}, {str(tmp_path / 'out')!r}, {str(OPTIONS['model'])!r}, 'haar', 0.4, "
            "progress=False, shard=event.Shard(1, 2))")
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    for number in (1, 2):
        done = collect.collect_event(path, tmp_path / "out", shard=Shard(number, 2), **OPTIONS)
    assert (done["errors"], done["videos"], done["parts"]) == (0, 0, 1)
    deaths = json.loads((Shard(1, 2).folder(tmp_path / "out") / "deaths.json").read_text())
    assert deaths == {found[0].address: [1, 0]}
    merging.merge_event(tmp_path / "out", tmp_path / "merged")
    check_same(tmp_path / "merged", serial)
    assert store.read_faces(tmp_path / "merged")["track"].nunique() == 1
