"""Shards: put together they are what one run gives, and what does not belong together is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from fer_utils.cli import main
from fer_utils.errors import DataError
from fer_utils.event import collect as collect_module
from fer_utils.event import merging, people, report, sharding, store
from fer_utils.event.sharding import Shard
from fer_utils.vision.sources import Source

from .pictures import MODEL, photo, video
from .test_store import SETTINGS, TWO_FACES

TINY = MODEL.with_name("fer_net_tiny")
OPTIONS = {"model": TINY, "detector": "haar", "every": 0.4, "progress": False}
SOURCES = [Source("video", "/in/c.mp4"), Source("photo", "/in/b.jpg"), Source("photo", "/in/a.jpg"),
           Source("photo", "/in/d.jpg"), Source("folder", "/in/locked", "/in/locked: cannot be searched")]
needs_tiny = pytest.mark.skipif(not (TINY / "model.onnx").is_file(), reason="no models/fer_net_tiny/model.onnx here")


# ---- real pictures ----


@pytest.fixture(scope="module")
def party(tmp_path_factory):
    """Photos, one of them unreadable, and two clips; and what one run over them all gives."""
    folder = tmp_path_factory.mktemp("party")
    inside = folder / "Fest in Köln"
    for number, name in enumerate(("Süße Gäste 1.jpg", "b.jpg", "z/ä.jpg")):
        photo(inside / name, taken=f"2024:06:01 18:3{number}:00", people=number)
    (inside / "kaputt ß.jpg").write_bytes(b"not a photo")
    video(inside / "walk 1.avi", frames=18, step=6)
    video(inside / "a ü.avi", frames=18, step=0)
    (inside / "elsewhere").symlink_to(folder)  # is not followed, and reported
    result = report.run_event(inside, folder / "serial", unsure=0.6, **OPTIONS)
    assert (result["participants"], result["photos"], result["videos"], len(result["errors"])) == (5, 3, 2, 2)
    return inside, folder / "serial", result


def check_same(merged, serial):
    """Compare all that an event's folder holds, but for the journal's notes of how far a video was on the way."""
    pd.testing.assert_frame_equal(store.read_faces(merged), store.read_faces(serial))
    for name in (store.FACES, store.ERRORS, store.SETTINGS):
        assert (merged / name).read_bytes() == (serial / name).read_bytes()
    here, there = ([(record.source, record.kind, record.state, record.position, record.faces, record.note)
                    for record in store.read_journal(folder)] for folder in (merged, serial))
    assert here == there


@pytest.fixture
def without_report(monkeypatch):
    monkeypatch.setattr(merging, "report_event", lambda *_, **__: {})


@needs_tiny
def test_shards_on_two_computers_give_what_one_run_gives(party, tmp_path, capsys):
    inside, serial, expected = party
    for number, place in ((2, "one"), (1, "two"), (3, "one")):
        done = collect_module.collect_event(inside, tmp_path / place, shard=Shard(number, 3), **OPTIONS)
        assert done["already_done"] == 0 and done["photos"] + done["videos"] + done["errors"] in (2, 3)
    (tmp_path / "one").rename(tmp_path / "Füße und Hände")
    merged = tmp_path / "new" / "Bericht ü"
    assert main(["event", "--merge", str(tmp_path / "Füße und Hände"), str(tmp_path / "two"), "--out", str(merged),
                 "--unsure", "0.6", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    check_same(merged, serial)
    pd.testing.assert_frame_equal(people.summarise(merged)["people"], people.summarise(serial)["people"])
    assert result == {**expected, "out": str(merged), "report": str(merged / "report.html")}
    for name in ("report.html", "participants.csv"):
        assert (merged / name).read_bytes() == (serial / name).read_bytes()
    assert os.listdir(merged.parent) == [merged.name]
    # The merged folder is one like any other: one run over the same sources finds nothing left but what cannot be read.
    again = collect_module.collect_event(inside, merged, **OPTIONS)
    assert again["already_done"] == 5 and again["errors"] == 2
    check_same(merged, serial)


@needs_tiny
def test_more_shards_than_sources(party, tmp_path, without_report):
    inside, serial, _ = party
    counts = [collect_module.collect_event(inside, tmp_path / "out", shard=Shard(number, 8), **OPTIONS)
              for number in range(1, 9)]
    assert sum(count["photos"] + count["videos"] + count["errors"] == 0 for count in counts) == 1
    merging.merge_event(tmp_path / "out", tmp_path / "merged")
    check_same(tmp_path / "merged", serial)


@needs_tiny
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_shard_that_is_killed_goes_on_also_where_its_folder_was_moved(party, tmp_path, without_report):
    inside, serial, _ = party
    collect_module.collect_event(inside, tmp_path / "out", shard=Shard(1, 2), **OPTIONS)
    code = ("import time\nfrom fer_utils import event\nfrom fer_utils.event import store\n"
            "store.EventTable.MARK_SECONDS, add = 0, store.EventTable.add_frame\n"
            "store.EventTable.add_frame = lambda *arguments: (add(*arguments), time.sleep(0.3))\n"
            f"event.collect_event({str(inside)!r}, {str(tmp_path / 'out')!r}, {str(TINY)!r}, 'haar', 0.4, "
            "progress=False, shard=event.Shard(2, 2))")
    process = subprocess.Popen([sys.executable, "-c", code])
    journal = tmp_path / "out" / "shard-2-of-2" / store.PROGRESS
    until = time.monotonic() + 50
    while time.monotonic() < until and not (journal.is_file() and '"partial"' in journal.read_text()):
        time.sleep(0.02)
    process.kill()
    process.wait()
    (tmp_path / "out").rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"shard 2 of 2 \(.*shard-2-of-2\) is not finished: . of its . sources are "
                                        r"left, the first is .*\.avi; run it"):
        merging.merge_event(tmp_path / "moved", tmp_path / "merged")
    assert sorted(os.listdir(tmp_path)) == ["moved"]
    done = collect_module.collect_event(inside, tmp_path / "moved", shard=Shard(2, 2), **OPTIONS)
    assert done["already_done"] >= 1
    before = {path: path.read_bytes() for path in (tmp_path / "moved").rglob("*.csv")}
    again = collect_module.collect_event(inside, tmp_path / "moved", shard=Shard(2, 2), **OPTIONS)
    assert again == done | {"already_done": done["photos"] + done["videos"]}
    assert before == {path: path.read_bytes() for path in (tmp_path / "moved").rglob("*.csv")}
    merging.merge_event(tmp_path / "moved", tmp_path / "merged")
    check_same(tmp_path / "merged", serial)


@needs_tiny
def test_a_shard_by_the_command_line(tmp_path, capsys):
    photo(tmp_path / "in" / "a.jpg")
    (tmp_path / "in" / "b.jpg").write_bytes(b"not a photo")
    out, options = str(tmp_path / "out"), ["--model", str(TINY), "--detector", "haar", "--json"]
    assert main(["event", str(tmp_path / "in"), "--out", out, "--shard", "1/2", *options]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "out": os.path.join(out, "shard-1-of-2"), "shard": 1, "of": 2, "photos": 1, "videos": 0, "cameras": 0,
        "faces": 1, "errors": 0, "already_done": 0}
    assert main(["event", str(tmp_path / "in"), "--shard", "2/2", "--out", out, *options[:-1]]) == 1
    assert "1 could not be read in full" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, said", [
    (["0", "--shard", "1/2"], "camera 0: only photos and videos can be divided into shards"),
    (["rtsp://me:secret@door", "--shard", "1/2"], "stream rtsp://door: only photos and videos can be divided"),
    (["IN", "--shard", "3/2"], "a shard is K/N with K from 1 to N, as 2/3; got 3/2"),
    (["IN", "--shard", "0/2"], "got 0/2"), (["IN", "--shard", "half"], "got half"), (["IN", "--shard", ""], "got "),
    (["IN", "--shard", "1/2", "--faces"], "--faces: --shard writes no report"),
    (["IN", "--shard", "1/2", "--seconds", "3"], "--seconds: it stops a camera"),
    (["--shard", "1/2", "--merge", "IN"], "leave one of them out"),
    (["--merge", "IN", "--every", "1"], "--every: --merge does not look at pictures"),
    (["IN", "--threads", "0"], "threads must be 1 or more, got 0"),
    (["--merge", "IN"], "no shard is in this folder"), (["--merge", "IN", "gone"], "no shard is in this folder"),
    (["--merge", "gone"], "gone: there is no such folder"),
    ([], "name either SOURCE"), (["IN", "--merge", "IN"], "name either SOURCE")])
def test_what_the_command_line_refuses(tmp_path, capsys, arguments, said):
    photo(tmp_path / "in" / "a.jpg", people=0)
    arguments = [str(tmp_path / "in") if argument == "IN" else argument for argument in arguments]
    assert main(["event", *arguments, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1 and "secret" not in error
    assert os.listdir(tmp_path) == ["in"]


# ---- stores without pictures ----


def write_shard(out, shard, sources=SOURCES, settings=SETTINGS, left=()):
    """Write what `collect_event` would, with two faces on each photo."""
    with store.open_table(shard.folder(out), settings) as table:
        sharding.keep_manifest(shard.folder(out), shard, sources)
        for source in shard.own(sources):
            if source.address in left:
                continue
            if source.kind == "photo":
                table.add_photo(source.address, datetime(2024, 6, 1), "exif", TWO_FACES)
            else:
                table.mark(source.address, source.kind, "failed", note=source.problem or "broken")
    return shard.folder(out)


def write_shards(out, count, **options):
    for number in range(1, count + 1):
        write_shard(out, Shard(number, count), **options)
    return out


@pytest.mark.parametrize("count", range(1, 8))
def test_each_source_has_one_shard_and_each_shard_as_many_of_a_kind(count):
    sources = [Source("photo", f"/{i * 37 % 100}.jpg") for i in range(100)] + [Source("video", f"/{i}.mp4")
                                                                            for i in range(10)]
    shards = [Shard(number, count).own(sources) for number in range(1, count + 1)]
    assert sorted((source for shard in shards for source in shard), key=sources.index) == sources
    for kind in ("photo", "video"):
        many = [sum(source.kind == kind for source in shard) for shard in shards]
        assert max(many) - min(many) <= 1
    for number, shard in enumerate(shards, 1):
        assert sorted(Shard(number, count).own(sources[::-1]), key=str) == sorted(shard, key=str)


def test_rows_come_in_the_order_of_one_run_however_each_shard_came_to_them(tmp_path, without_report):
    """Photos that failed at first are read after the others, which must not show; a name need not be UTF-8."""
    sources = [Source("photo", "/in/caf\udce9, \"ü\"\n.jpg"), *SOURCES]
    order = [source for source in sources if source.kind == "photo"]
    with store.open_table(Shard(1, 1).folder(tmp_path / "out"), SETTINGS) as table:
        table.mark(order[0].address, "photo", "failed", note="not yet copied")
    write_shard(tmp_path / "out", Shard(1, 1), sources)
    merging.merge_event(tmp_path / "out", tmp_path / "merged")
    assert store.read_faces(tmp_path / "merged")["source"].tolist() == [each.address for each in order for _ in "12"]
    assert [record.source for record in store.read_journal(tmp_path / "merged")] == [
        "/in/locked", *(each.address for each in order), "/in/c.mp4"]
    assert [error["error"] for error in store.read_errors(tmp_path / "merged")] == [SOURCES[-1].problem, "broken"]


OTHER = [*SOURCES[:-1], Source("photo", "/in/e.jpg")]


def damage(out, file, change):
    path = out / "shard-2-of-3" / file
    path.write_bytes(change(path.read_bytes()))


def renumbered(out):
    shutil.copytree(out / "shard-2-of-3", out / "shard-2-of-3 (copy)")


@pytest.mark.parametrize("spoil, said", [
    (lambda out: shutil.rmtree(out / "shard-2-of-3"), "ö ut: of 3 shards, 1 is missing: 2; run"),
    (lambda out: [shutil.rmtree(each) for each in out.iterdir()] and write_shard(out, Shard(2, 14)),
     "of 14 shards, 13 are missing: 1, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 3 more; run"),
    (renumbered, r"shard 2 of 3 is there twice, in .*shard-2-of-3.* and .*\(copy\)"),
    (lambda out: write_shard(out, Shard(1, 2)), "shard 1 of [23] .* and shard . of [23] .* different divisions"),
    (lambda out: write_shard(shutil.rmtree(out / "shard-2-of-3") or out, Shard(2, 3), OTHER),
     "shard 1 of 3 .*shard 2 of 3 .* different sources .*/in/locked is known to shard 1 of 3 only"),
    (lambda out: write_shard(shutil.rmtree(out / "shard-2-of-3") or out, Shard(2, 3), left=["/in/b.jpg", "/in/c.mp4"]),
     "shard 2 of 3 .* is not finished: 1 of its 2 sources are left, the first is /in/c.mp4"),
    *[(lambda out, change=change: write_shard(shutil.rmtree(out / "shard-2-of-3") or out, Shard(2, 3),
                                              settings=replace(SETTINGS, **change)),
       f"shard 1 of 3 .*shard 2 of 3 .* collected differently .*{said}")
      for change, said in (({"model": "other"}, "model is net, and other"), ({"weights": "1"}, "weights is 0, and 1"),
                           ({"detector": "yunet"}, "detector is haar, and yunet"),
                           ({"every": 0.5}, "every is 0.1, and 0.5"))],
    (lambda out: damage(out, sharding.MANIFEST, lambda data: data.replace(b'"format": 1', b'"format": 3')),
     "shard-2-of-3.*another version of fer_utils .*format is 3"),
    (lambda out: damage(out, store.SETTINGS, lambda data: data.replace(b'"model"', b'"new": 1, "model"')),
     "shard-2-of-3.*not the settings of an event"),
    (lambda out: damage(out, sharding.MANIFEST, lambda data: data[:-9]),
     "shard-2-of-3.*shard.json: not readable as JSON"),
    (lambda out: damage(out, sharding.MANIFEST, lambda data: data.replace(b'"of": 3', b'"of": 1')),
     "shard-2-of-3.*does not describe a shard .*got 2/1"),
    (lambda out: damage(out, store.FACES, lambda data: data.replace(b"/in/a.jpg", b"/in/x.jpg")),
     "shard-2-of-3.*faces.csv: was changed or is damaged .*rows of another source"),
])
def test_what_does_not_belong_together_is_refused_and_nothing_is_changed(tmp_path, spoil, said):
    out = write_shards(tmp_path / "ö ut", 3)
    spoil(out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(DataError, match=said) as error:
        merging.merge_event(out, tmp_path / "merged")
    assert "\n" not in str(error.value)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert os.listdir(tmp_path) == ["ö ut"]


def test_a_merge_is_whole_or_not_there(tmp_path, monkeypatch, limited_files):
    out = write_shards(tmp_path / "out", 2)
    limited_files((out / "shard-1-of-2" / store.SETTINGS).stat().st_size)
    with pytest.raises(DataError, match=r"could not be written \(File too large\)"):
        merging.merge_event(out, tmp_path / "merged")
    limited_files(10**9)

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(merging, "report_event", stopped)
        merging.merge_event(out, tmp_path / "merged")
    assert os.listdir(tmp_path) == ["out"]
    monkeypatch.setattr(merging, "report_event", lambda *_, **__: {})
    (tmp_path / "merged").mkdir()  # empty, as a new folder of a file manager is
    merging.merge_event([out, out / "shard-1-of-2"], tmp_path / "merged")
    assert len(store.read_faces(tmp_path / "merged")) == 6
    for there in ("merged", "out"):
        with pytest.raises(DataError, match=f"{there}: is there already, and a merge writes a new folder"):
            merging.merge_event(out, tmp_path / there)
    assert len(store.read_faces(tmp_path / "merged")) == 6 and sorted(os.listdir(tmp_path)) == ["merged", "out"]


def test_a_shard_is_not_gone_on_with_other_sources(tmp_path):
    folder = write_shard(tmp_path, Shard(1, 2))
    for sources, said in ((SOURCES[1:], "/in/c.mp4 is no longer there"),
                          ([*SOURCES, Source("photo", "/in/e.jpg")], "/in/e.jpg is new")):
        with pytest.raises(DataError, match=rf"sources have changed since shard 1 of 2 was begun \({said}\)"):
            sharding.keep_manifest(folder, Shard(1, 2), sources)
    sharding.keep_manifest(folder, Shard(1, 2), SOURCES[::-1])  # a shell of another language may sort otherwise
    with pytest.raises(DataError, match="holds shard 1 of 2, not shard 2 of 2"):
        sharding.keep_manifest(folder, Shard(2, 2), SOURCES)
    assert len(store.read_faces(folder)) > 0 and Path(folder / sharding.MANIFEST).is_file()
