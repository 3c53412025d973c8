"""Events from buckets and web servers: the same rows as from local files, and no password on disk."""

import importlib.util
import os
import sys
import tempfile
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from fer_utils.errors import CameraError, DataError, MissingExtraError
from fer_utils.event import collect, store
from fer_utils.event.cluster import Cluster, cluster_event
from fer_utils.vision import remote
from fer_utils.vision.sources import Source, find_sources, parse_source
from fer_utils.vision.video import open_source

from .pictures import WebServer, photo, served, video
from .test_sharding import OPTIONS, needs_tiny

fsspec = pytest.importorskip("fsspec")
MADE = datetime(2023, 5, 4, 3, 2, 1).timestamp()


@pytest.mark.parametrize("address, kind", [
    ("s3://bucket/folder", "folder"), ("gs://bucket/a.JPG", "photo"), ("s3://b/film.mp4", "video"),
    ("memory://party", "folder"), ("https://h/photos/", "folder"), ("https://h/photos/?token=1", "folder"),
    ("https://h/S%C3%BC%C3%9Fe.jpg?key=a.mp4", "photo"), ("http://h/film.mp4", "video"), ("http://h/live.ts", "stream"),
    ("http://h/live", "stream"), ("http://h:8080", "stream"), ("http://h/video.mjpg", "stream"),
    ("rtsp://h/a.mp4", "stream"), ("file:///a.jpg", "stream"), ("github://a:b@c/d.png", "photo")])
def test_what_an_address_is(address, kind):
    assert parse_source(address).kind == kind


@pytest.mark.parametrize("address, shown", [
    ("https://me:secret@h:80/a.jpg?key=1#x", "https://h:80/a.jpg"), ("https://token@h/", "https://h/"),
    ("s3://bucket/a?b#c@d.jpg", "s3://bucket/a?b#c@d.jpg"), ("ftp://me:secret@h/a.jpg", "ftp://me@h/a.jpg"),
    ("abfs://container@account.dfs.core.windows.net/a.jpg",) * 2])
def test_what_is_shown_and_stored_of_an_address(address, shown):
    assert parse_source(address).address == shown
    assert remote.has_secrets(shown) == (address != shown)


@pytest.fixture(scope="module")
def party(tmp_path_factory):
    """A folder with photos, one of them unreadable, and a clip."""
    folder = tmp_path_factory.mktemp("party") / "Fest"
    photo(folder / "a.jpg")
    photo(folder / "sub" / "Süße #1.jpg", taken=None, people=2)
    os.utime(folder / "sub" / "Süße #1.jpg", (MADE, MADE))
    (folder / "bad.jpg").write_bytes(b"no photo")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.jpg").write_text("no picture")
    os.utime(video(folder / "sub" / "walk.avi", frames=9), (MADE, MADE))
    return folder


@pytest.fixture
def bucket(party):
    memory = fsspec.filesystem("memory")
    memory.put(str(party), "/bucket/Fest", recursive=True)
    for name in ("sub/Süße #1.jpg", "sub/walk.avi"):
        memory.store[f"/bucket/Fest/{name}"].created = datetime.fromtimestamp(MADE)
    yield "memory://bucket/Fest"
    memory.rm("/bucket", recursive=True)


@pytest.fixture
def web(party, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    pytest.importorskip("aiohttp")
    with served(party.parent) as address:
        yield f"{address}/Fest/"


def test_folders_are_searched_at_any_depth(bucket, web):
    assert find_sources([bucket, f"{bucket}/a.jpg"], remote_files=True) == [
        Source("photo", f"{bucket}/a.jpg"), Source("photo", f"{bucket}/bad.jpg"),
        Source("photo", f"{bucket}/sub/Süße #1.jpg"), Source("video", f"{bucket}/sub/walk.avi")]
    assert find_sources([web, f"{web}a.jpg"], remote_files=True) == [
        Source("photo", f"{web}a.jpg"), Source("photo", f"{web}bad.jpg"),
        Source("photo", f"{web}sub/S%C3%BC%C3%9Fe%20%231.jpg"), Source("video", f"{web}sub/walk.avi")]


def rows_of(out):
    rows = store.read_faces(out)
    rows["source"] = rows["source"].str.replace("S%C3%BC%C3%9Fe%20%231", "Süße #1").str.partition("Fest/")[2]
    return rows


@needs_tiny
def test_an_event_of_a_bucket_and_of_a_web_server_is_that_of_the_same_files_here(party, bucket, web, tmp_path):
    collect.collect_event(party, tmp_path / "here", **OPTIONS)
    for name, address in (("bucket", bucket), ("web", web)):
        done = collect.collect_event(address, tmp_path / name, **OPTIONS)
        assert (done["photos"], done["videos"], done["errors"]) == (2, 1, 1)
        pd.testing.assert_frame_equal(rows_of(tmp_path / name), rows_of(tmp_path / "here"))
        [error] = store.read_errors(tmp_path / name)
        assert error["error"].startswith(error["source"]) and tempfile.gettempdir() not in error["error"]
        assert collect.collect_event(address, tmp_path / name, **OPTIONS)["already_done"] == 3
    assert not list(Path(tempfile.gettempdir()).glob(f"{remote.Fetcher(tmp_path / 'web')._prefix}*"))


@needs_tiny
def test_a_photo_at_which_the_connection_broke_is_reported_and_tried_again(web, tmp_path):
    WebServer.broken = {"a.jpg", "walk.avi"}
    done = collect.collect_event(web, tmp_path / "out", **OPTIONS)
    assert (done["photos"], done["videos"], done["errors"]) == (1, 0, 3)
    errors = {error["source"].removeprefix(web): error["error"] for error in store.read_errors(tmp_path / "out")}
    assert "could not be fetched" in errors["a.jpg"] and "could not be fetched" in errors["sub/walk.avi"]
    WebServer.broken = set()
    done = collect.collect_event(web, tmp_path / "out", **OPTIONS)
    assert (done["photos"], done["videos"], done["errors"], done["already_done"]) == (2, 1, 1, 1)


@needs_tiny
def test_a_password_fetches_and_is_nowhere_on_disk(web, tmp_path, monkeypatch):
    WebServer.password = "Basic bWU6c2VjcmV0"  # me:secret
    with pytest.raises(DataError, match="this folder cannot be searched: HTTP 401"):
        find_sources(web, remote_files=True)
    address = web.replace("http://", "http://me:secret@")
    done = collect.collect_event([address, f"{address}a.jpg?key=secret"], tmp_path / "out", **OPTIONS)
    assert (done["photos"], done["videos"]) == (2, 1)
    for path in (tmp_path / "out").iterdir():
        assert b"secret" not in path.read_bytes()
    with pytest.raises(DataError, match="a password or a query, which are not written to disk") as error:
        cluster_event(address, tmp_path / "new", Cluster("local:2"), **OPTIONS)
    assert "secret" not in str(error.value)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fsspec.filesystem("http").clear_instance_cache()
    assert len(find_sources(web, remote_files=True)) == 4


def test_copies_of_a_killed_process_are_deleted_and_those_of_others_are_not(bucket, tmp_path):
    mine, other = remote.Fetcher(tmp_path / "mine"), remote.Fetcher(tmp_path / "other")
    with mine.local(f"{bucket}/a.jpg") as left, other.local(f"{bucket}/a.jpg") as kept:
        remote.Fetcher(tmp_path / "mine").delete_left_over()
        assert not os.path.exists(left) and os.path.getsize(kept) > 1000
    assert not os.path.exists(os.path.dirname(kept))


def test_a_cluster_does_not_see_the_memory_of_another_process(bucket, tmp_path):
    with pytest.raises(DataError, match="is in this process alone; leave --cluster out"):
        cluster_event(bucket, tmp_path / "new", Cluster("local:2"), **OPTIONS)


def test_what_goes_wrong_is_said(bucket, web, monkeypatch):
    for address, said in ((f"{bucket}/none", "none: this folder cannot be searched: there is no such file, folder or"),
                          (f"{web}none/", "none/: this folder cannot be searched: there is no such file"),
                          ("https://127.0.0.1:1/x/?key=secret", "https://127.0.0.1:1/x/: this folder cannot be"),
                          ("s3://bucket/x", "s3://bucket/x: cannot be read, .* pip install s3fs")):
        if address.startswith("s3") and importlib.util.find_spec("s3fs"):
            continue
        with pytest.raises(DataError, match=said) as error:
            find_sources(address, remote_files=True)
        assert "secret" not in str(error.value) and "\n" not in str(error.value)
    for name in (f"{web}a.jpg", bucket):
        with pytest.raises(DataError, match="only `event` reads files in buckets and on web servers"):
            find_sources(name)
        with pytest.raises(CameraError, match="is a file, not a camera: download it"):
            open_source(name)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(MissingExtraError, match=r'aiohttp, which is not installed: pip install "fer-utils\[remote\]"'):
        find_sources(web, remote_files=True)
