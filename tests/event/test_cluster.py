"""An event on a Dask cluster gives what one run gives, also where workers, their photos or the driver die."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import dask
import pandas as pd
import pytest
from distributed import LocalCluster

from fer_utils import files
from fer_utils import workers as dask_workers
from fer_utils.cli import main
from fer_utils.errors import DataError
from fer_utils.event import collect, merging, people, report, sharding, store, underway
from fer_utils.event.cluster import Cluster, cluster_event
from fer_utils.vision.sources import Source

from .pictures import MODEL, photo, served, video
from .test_store import SETTINGS, TWO_FACES

TINY = MODEL.with_name("fer_net_tiny")
OPTIONS = {"model": TINY, "detector": "haar", "every": 0.4, "progress": False, "unsure": 0.6}
HERE = {"processes": False, "dashboard_address": "127.0.0.1:0"}
needs_tiny = pytest.mark.skipif(not (TINY / "model.onnx").is_file(), reason="no models/fer_net_tiny/model.onnx here")
needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
PRELOAD = """
import ctypes, time
from pathlib import Path
from fer_utils.event import collect
from fer_utils.vision.images import look_at_photo

def look(path, work):
    if "deadly" in path:
        ctypes.string_at(0)  # a decoder that reads where it must not: the system ends the process
    if (Path(path).parent / "slow").exists():
        time.sleep(0.2)
    return look_at_photo(path, work)

collect.look_at_photo = look
"""


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """Two worker processes, which are slow where a file says so, and die of some photos."""
    folder = tmp_path_factory.mktemp("workers")
    (folder / "preload.py").write_text(PRELOAD)
    with (dask.config.set({"distributed.worker.preload": [str(folder / "preload.py")],
                           "distributed.scheduler.allowed-failures": 1}),
          LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs="CRITICAL",
                       local_directory=folder) as local):
        yield local


@pytest.fixture(scope="module")
def party(tmp_path_factory):
    """Photos, one of them unreadable, and a clip; and what one run over them all gives."""
    inside, serial = tmp_path_factory.mktemp("party") / "Fest in Köln", tmp_path_factory.mktemp("serial")
    for number in range(9):
        photo(inside / f"Gäste {number}.jpg", taken=f"2024:06:01 18:3{number}:00", people=number % 3)
    (inside / "kaputt ß.jpg").write_bytes(b"not a photo")
    video(inside / "walk 1.avi", frames=18, step=6)
    return inside, serial, report.run_event(inside, serial, **OPTIONS)


@pytest.fixture
def slow(party):
    file = party[0] / "slow"
    file.touch()
    yield
    file.unlink()


@pytest.fixture
def without_report(monkeypatch):
    """Leave the report out, whose figures take longer than all the rest."""
    def counts(out, **_):
        for name in (report.PEOPLE, report.REPORT):
            (Path(out) / name).touch()
        return {"errors": store.read_errors(out), **store.count_kinds(store.read_journal(out))}

    monkeypatch.setattr(merging, "report_event", counts)


def check_same(out, serial, *also):
    for name in (store.FACES, store.ERRORS, store.SETTINGS, *also):
        assert (out / name).read_bytes() == (serial / name).read_bytes(), name
    pd.testing.assert_frame_equal(people.summarise(out)["people"], people.summarise(serial)["people"])
    here, there = ([(record.source, record.kind, record.state, record.position, record.faces, record.note)
                    for record in store.read_journal(folder)] for folder in (out, serial))
    assert here == there


def wait_until(what, seconds=60):
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
    return found


def done_in(out):
    """Return how many photos each shard has, by its folder."""
    journals = [(path, store.read_journal(path.parent)) for path in out.rglob(f"shard-*/{store.PROGRESS}")]
    return {path.parent: sum(record.state == "done" for record in journal) for path, journal in journals}


@needs_tiny
@needs_kill
def test_the_shard_of_a_killed_worker_is_done_by_another(party, slow, workers, tmp_path, without_report):
    inside, serial, _ = party
    out = tmp_path / "Füße"
    with ThreadPoolExecutor(1) as pool:
        where = Cluster(workers.scheduler_address, shards=2)
        driver = pool.submit(cluster_event, inside, out, where, **OPTIONS)
        wait_until(lambda: driver.done() or max(done_in(out).values(), default=0) >= 2)
        assert not driver.done()
        killed = next(iter(workers.workers.values())).pid
        os.kill(killed, signal.SIGKILL)
        assert driver.result(60)["out"] == str(out)
    check_same(out, serial)
    assert killed not in [worker.pid for worker in workers.workers.values()]
    assert set(os.listdir(out)) == {*os.listdir(serial), "shards"}


@needs_tiny
@needs_kill
def test_a_driver_that_was_killed_goes_on_where_it_was(party, slow, workers, tmp_path, capsys):
    inside, serial, expected = party
    call = ["event", str(inside), "--out", str(tmp_path / "out"), "--cluster", workers.scheduler_address, "--model",
            str(TINY), "--detector", "haar", "--every", "0.4", "--unsure", "0.6", "--json"]
    driver = subprocess.Popen([sys.executable, "-m", "fer_utils", *call, "--shards", "5"], stderr=subprocess.DEVNULL)
    shards = [tmp_path / "out" / "shards" / f"shard-{number}-of-5" for number in range(1, 6)]
    finished = wait_until(lambda: [shard for shard in shards if (shard / store.ERRORS).exists()])
    driver.kill()
    driver.wait()
    assert not (tmp_path / "out" / store.FACES).exists()
    before = {path: path.stat().st_mtime_ns for shard in finished if not store.read_errors(shard)
              for path in shard.iterdir()}
    assert before and main(call) == 0
    check_same(tmp_path / "out", serial, report.PEOPLE, report.REPORT)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    result = json.loads(capsys.readouterr().out)
    assert result == {**expected, "out": str(tmp_path / "out"), "report": str(tmp_path / "out" / "report.html")}
    assert main([*call, "--shards", "4"]) == 1
    assert "was begun with 5 shards, not 4" in capsys.readouterr().err


@needs_tiny
def test_a_photo_that_kills_workers_is_reported_and_the_others_are_looked_at(party, workers, tmp_path, without_report):
    inside, serial, _ = party
    photos, shard = sorted(inside.glob("Gäste*.jpg")), tmp_path / "out" / "shards" / "shard-1-of-1"
    deadly = photo(tmp_path / "deadly.jpg")
    result = cluster_event([deadly, *photos], tmp_path / "out", Cluster(workers.scheduler_address, 1), **OPTIONS)
    rows = store.read_faces(serial)
    pd.testing.assert_frame_equal(store.read_faces(tmp_path / "out"), rows[rows["kind"] == "photo"])
    [error] = result["errors"]
    assert error["source"] == str(deadly) and "its worker died while it was looked at, 2 times" in error["error"]
    assert str(deadly) in (tmp_path / "out" / store.ERRORS).read_text()
    assert underway.read_deaths(shard) == {str(deadly): (2, 0)}
    before = {path: path.stat().st_mtime_ns for path in shard.iterdir()}
    cluster_event([deadly, *photos], tmp_path / "out", Cluster(workers.scheduler_address), **OPTIONS)  # not once more
    assert before == {path: path.stat().st_mtime_ns for path in shard.iterdir()}


@needs_tiny
def test_workers_fetch_from_a_web_server(party, workers, tmp_path, without_report):
    pytest.importorskip("aiohttp")
    with served(party[0]) as address:
        options = {name: value for name, value in OPTIONS.items() if name != "unsure"}
        collect.collect_event(f"{address}/", tmp_path / "serial", **options)
        cluster_event(f"{address}/", tmp_path / "out", Cluster(workers.scheduler_address, 2), **OPTIONS)
    check_same(tmp_path / "out", tmp_path / "serial")


# ---- without pictures, and without processes ----


@pytest.fixture
def table(tmp_path):
    with store.open_table(tmp_path, SETTINGS) as table:
        yield table


def die(table, *looked_at):
    """Leave what a process leaves that dies while it looks at pictures."""
    with underway.UnderWay(table) as notes, ExitStack() as under_way:
        for source in looked_at:
            under_way.enter_context(notes.looking_at(source))
        left = (table.out / underway.NOTE).read_bytes()
    (table.out / underway.NOTE).write_bytes(left)
    return notes.deaths


def test_what_was_under_way_at_two_deaths_is_left_out(table):
    sources = [Source("photo", f"/in/{name}.jpg") for name in ("a", "b \udce9\n", "c")]
    a, b, c = (source.address for source in sources)
    assert die(table, c, a, b) == {}
    table.add_photo(c, datetime(2024, 6, 1), "exif", TWO_FACES)  # its faces were written after all
    assert die(table, b) == {a: (1, 0), b: (1, 0)}
    with underway.UnderWay(table) as notes:
        assert notes.deaths == underway.read_deaths(table.out) == {a: (1, 0), b: (2, 0)}
        assert notes.without_deadly(sources[:2]) == sources[:1]
        with pytest.raises(KeyboardInterrupt), notes.looking_at(a):
            raise KeyboardInterrupt  # which is no death
    assert not (table.out / underway.NOTE).exists()
    assert table.state(b) == "failed" and "its worker died" in table.records[b].note
    with underway.UnderWay(table) as notes:
        assert notes.deaths[a] == (1, 0) and notes.without_deadly(sources[:2]) == sources[:1]
    (table.out / underway.DEATHS).unlink()
    with underway.UnderWay(table) as notes:
        assert notes.without_deadly(sources[:2]) == sources[:2]
    (table.out / underway.NOTE).write_bytes(b'["/in/a')  # half a line
    assert die(table) == {}


def test_a_video_that_comes_further_between_two_deaths_goes_on(table):
    long = Source("video", "/in/long.mp4")
    for position, count in ((0, 1), (90, 1), (180, 1), (180, 2)):
        die(table, long.address)
        table.mark(long.address, "video", "partial", position)
        with underway.UnderWay(table) as notes:
            assert notes.deaths[long.address] == (count, position)
            assert notes.without_deadly([long]) == [long] * (count < 2)
    assert table.records[long.address].position == 180


@pytest.fixture(scope="module")
def threads():
    with LocalCluster(n_workers=1, threads_per_worker=2, **HERE) as local:
        yield local.scheduler_address


@needs_tiny
def test_what_a_worker_cannot_do_is_said(party, threads, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="worker inproc://.*works on 2 shards at a time; start workers with --nthr"):
        cluster_event(party[0], tmp_path / "out", Cluster(threads), **OPTIONS)
    source = party[0] / "Gäste 1.jpg"
    [shard] = sharding.begin_shards(tmp_path / "shards", None, [Source("photo", str(source))], 1)
    settings = collect.event_settings(TINY, "haar", 0.1)
    with pytest.raises(DataError, match="is not the one that the event was begun with .weights is 0, here"):
        collect.collect_shard(shard.folder(tmp_path / "shards"), TINY, replace(settings, weights="0"), 1)
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    with pytest.raises(DataError, match="Gäste 1.jpg is not there; workers must see the sources under the same paths"):
        collect.collect_shard(shard.folder(tmp_path / "shards"), TINY, settings, 1)


@needs_tiny
def test_pictures_that_were_under_way_at_a_death_are_looked_at_first_and_alone(party, tmp_path, monkeypatch):
    found = [Source("photo", str(path)) for path in sorted(party[0].glob("Gäste*.jpg"))]
    [shard] = sharding.begin_shards(tmp_path, 1, found, 1)
    suspects, order = [found[number].address for number in (3, 6)], []
    (shard.folder(tmp_path) / underway.NOTE).write_text(json.dumps(suspects) + "\n")

    def look(path, work):
        time.sleep(0.05)  # so that others would come beside it
        order.append((path, json.loads((shard.folder(tmp_path) / underway.NOTE).read_bytes().splitlines()[0])))
        return None, "not looked at"

    monkeypatch.setattr(collect, "look_at_photo", look)
    collect.collect_shard(shard.folder(tmp_path), TINY, collect.event_settings(TINY, "haar", 0.1), 3)
    assert sorted(order[:2]) == [(path, [path]) for path in suspects]
    assert len(order) == len(found) and max(len(together) for _, together in order[2:]) > 1


@needs_tiny
def test_a_shard_that_a_worker_of_an_earlier_driver_still_looks_at_is_waited_for(party, tmp_path, without_report):
    inside, serial, _ = party
    first = tmp_path / "out" / "shards" / "shard-1-of-3"
    with LocalCluster(n_workers=1, threads_per_worker=1, **HERE) as local, ThreadPoolExecutor(1) as pool:
        with files.only_one(first, "the earlier one"):
            where = Cluster(local.scheduler_address, shards=3)
            driver = pool.submit(cluster_event, inside, tmp_path / "out", where, **OPTIONS)
            wait_until(lambda: driver.done() or (first / sharding.MANIFEST).exists())
            with pytest.raises(TimeoutError):
                driver.result(0.7)
        driver.result(60)
    check_same(tmp_path / "out", serial)


@needs_tiny
@pytest.mark.parametrize("arguments, said", [
    (["0", "--cluster", "local:2"], "camera 0: only photos and videos can be divided"),
    (["IN", "--cluster", "here"], "as tcp://10.0.0.1:8786, or local:4 for four processes on this computer; got here"),
    (["IN", "--cluster", "local:0"], "got local:0"),
    (["IN", "--cluster", "local:2", "--shards", "0"], "shards must be 1 or more, got 0"),
    (["IN", "--cluster", "local:2", "--threads", "-1"], "threads must be 1 or more, got -1"),
    (["IN", "--cluster", "local:2", "--seconds", "3"], "--seconds: it stops a camera"),
    (["IN", "--cluster", "local:2", "--shard", "1/2"], "--cluster makes all of them"),
    (["--merge", "IN", "--cluster", "local:2"], "leave one of them out"),
    (["IN", "--shards", "2"], "--shards goes with --cluster"),
    (["IN", "--cluster", "tcp://127.0.0.1:9"], "no Dask scheduler answers there"),
    (["IN", "--cluster", "EMPTY"], "this scheduler has no worker; start one by: dask worker inproc://")])
def test_what_the_command_line_refuses(tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.setattr(dask_workers, "_ANSWER_S", 0.3)
    monkeypatch.setattr(dask_workers, "_WORKERS_S", 0.1)
    photo(tmp_path / "in" / "a.jpg", people=0)
    with ExitStack() as stack:
        names = {"IN": str(tmp_path / "in")}
        if "EMPTY" in arguments:
            names["EMPTY"] = stack.enter_context(LocalCluster(n_workers=0, **HERE)).scheduler_address
        arguments = [names.get(argument, argument) for argument in arguments]
        assert main(["event", *arguments, "--out", str(tmp_path / "out"), "--detector", "haar", "--model",
                     str(TINY)]) == 1
    assert said in capsys.readouterr().err and os.listdir(tmp_path) == ["in"]


def test_a_folder_of_something_else_is_left_alone(party, tmp_path):
    inside, serial, _ = party
    before = {path: path.read_bytes() for path in serial.iterdir()}
    with pytest.raises(DataError, match="holds an event that was collected without --cluster; name another folder"):
        cluster_event(inside, serial, Cluster("local:2"), **OPTIONS)
    with pytest.raises(DataError, match="holds faces of other sources, as .*Gäste 0.jpg"):
        cluster_event(inside / "Gäste 1.jpg", serial, Cluster("local:2"), **OPTIONS)
    assert before == {path: path.read_bytes() for path in serial.iterdir()}
    found = [Source("photo", f"/in/{name}.jpg") for name in "abc"]
    sharding.begin_shards(tmp_path, 2, found, 1)
    assert [len(sharding.read_own(shard.folder(tmp_path))) for shard in sharding.begin_shards(tmp_path, None, found, 9)
            ] == [2, 1]
    with pytest.raises(DataError, match=r"sources have changed since its shards were begun \(/in/c.jpg is no longer"):
        sharding.begin_shards(tmp_path, None, found[:2], 1)
