"""What a user may name as a source."""
import os
import sys

import numpy as np
import pytest
from PIL import Image

from fer_utils.errors import CameraError, DataError
from fer_utils.vision import sources
from fer_utils.vision.sources import Source, find_sources, parse_source, public_address
from fer_utils.vision.video import open_source


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save_gif(path, frames):
    first, *others = (Image.fromarray(np.full((48, 64, 3), 40 * i, np.uint8)) for i in range(frames))
    first.save(path, save_all=True, append_images=others, duration=100)
    return path


def test_what_exists_is_a_file_or_folder_whatever_its_name(here):
    assert parse_source("2024") == Source("camera", "2024") == parse_source(2024)
    (here / "2024").mkdir()
    assert parse_source("2024") == Source("folder", str(here / "2024")) and parse_source(2024).kind == "camera"
    (here / "0").write_bytes(b"")
    assert parse_source("0") == Source("unknown", str(here / "0"))
    (here / "C:").mkdir()
    assert parse_source("C://").kind == "folder" and parse_source("D://").kind == "stream"


def test_numbers_are_cameras_and_addresses_streams(here):
    assert [parse_source(name) for name in (0, "0", "07", np.int64(3))] == [
        Source("camera", "0"), Source("camera", "0"), Source("camera", "7"), Source("camera", "3")]
    assert parse_source("rtsp://door/1") == Source("stream", "rtsp://door/1")
    with pytest.raises(CameraError, match="none.jpg: there is no such file or folder"):
        parse_source("none.jpg")


@pytest.mark.parametrize(("name", "kind"), [
    ("a.JFIF", "photo"), ("a.avif", "photo"), ("a.jp2", "photo"), ("a.heic", "photo"), ("a.TS", "video"),
    ("a.flv", "video"), ("a.mp4", "video"), ("a.txt", "unknown"), ("mp4", "unknown")])
def test_a_files_ending_says_its_kind(here, name, kind):
    (here / name).write_bytes(b"")
    assert parse_source(name).kind == kind


def test_a_gif_that_moves_is_a_video_and_one_that_does_not_a_photo(here):
    still, moving = save_gif(here / "still.gif", 1), save_gif(here / "moving.gif", 4)
    (here / "broken.gif").write_bytes(b"GIF89a")
    assert [(source.kind, source.address) for source in find_sources(here)] == [
        ("photo", str(here / "broken.gif")), ("video", str(moving)), ("photo", str(still))]
    for path, frames in ((still, 1), (moving, 4)):
        with open_source(path) as source:
            assert [frame.image.shape for frame in source] == [(48, 64, 3)] * frames


def test_folders_are_searched_at_any_depth_each_picture_once(here):
    for name in ("b.jpg", "a/c.mp4", "a/.hidden.jpg", ".git/d.jpg", "a/notes.txt", "a/a/e.png"):
        (here / name).parent.mkdir(exist_ok=True, parents=True)
        (here / name).write_bytes(b"")
    found = find_sources([here / "a", 1, here, "rtsp://door"])
    assert [source.address.removeprefix(f"{here}/") for source in found] == [
        "a/c.mp4", "a/a/e.png", "1", "b.jpg", "rtsp://door"]
    (here / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no photo .* or video .* in this folder"):
        find_sources("empty")
    with pytest.raises(DataError, match="notes.txt: neither a photo nor a video"):
        find_sources(here / "a" / "notes.txt")


def test_a_folder_gives_the_photos_that_are_read_when_they_are_named(here):
    """By their content, as `read_photo` knows them, where their ending says nothing."""
    names = ["IMG_0001", "a.ppm", "b.jpe", "c.photo"]
    for name in names:
        Image.new("RGB", (8, 8)).save(here / name, "PNG")
        assert parse_source(here / name).kind == "photo"
    (here / "notes").write_text("BM is how a bitmap begins")
    os.mkfifo(here / "pipe"), os.mkfifo(here / "pipe.gif")  # neither is opened
    assert [os.path.basename(source.address) for source in find_sources(here)] == [*names, "pipe.gif"]


def test_folders_that_are_not_searched_are_said_and_links_in_a_circle_end(here, monkeypatch):
    for name in ("in/a.jpg", "in/locked/b.jpg", "elsewhere/c.jpg"):
        (here / name).parent.mkdir(exist_ok=True, parents=True)
        (here / name).write_bytes(b"")
    for name, target in (("circle", here / "in"), ("other", here / "elsewhere"), ("itself.jpg", "itself.jpg")):
        (here / "in" / name).symlink_to(target)
    scandir = os.scandir

    def refuse(folder):  # the tests may run as root, to whom nothing is locked
        if folder.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(sources.os, "scandir", refuse)
    found = {os.path.basename(source.address): source for source in find_sources("in")}
    assert list(found) == ["a.jpg", "itself.jpg", "other", "locked"]
    assert "in/other: a link to another folder is not followed; give that folder as a source too" in (
        found["other"].problem)
    assert "in/locked: this folder cannot be searched (Permission denied)" in found["locked"].problem
    assert [source.kind for source in find_sources(["in/circle", "in"])].count("photo") == 4, "a named link"
    with pytest.raises(DataError, match="locked: this folder cannot be searched"):
        find_sources("in/locked")


def test_folders_within_folders_to_any_depth(here):
    deep = here.joinpath(*["d"] * 400)
    deep.mkdir(parents=True)
    (deep / "deep.jpg").write_bytes(b"")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)  # instead of more folders, which take seconds
    try:
        assert [source.address for source in find_sources(here)] == [str(deep / "deep.jpg")]
    finally:
        sys.setrecursionlimit(limit)


def test_a_cameras_device_is_that_camera(here, monkeypatch):
    assert parse_source("/dev/video3") == Source("camera", "3")
    (here / "by-id").symlink_to("/dev/video12")
    assert parse_source("by-id") == Source("camera", "12")


@pytest.mark.parametrize(("address", "shown"), [
    ("rtsp://ada:secret@door:554/user=ada&password=secret?key=secret", "rtsp://door:554"), ("rtsp://", "rtsp://")])
def test_an_address_is_shown_without_what_may_be_a_password(address, shown):
    assert public_address(address) == shown


@pytest.mark.parametrize(("system", "release", "environment", "words"), [
    ("darwin", "23", {}, "System Settings"), ("win32", "10", {}, "desktop apps"),
    ("linux", "5.15-microsoft-standard-WSL2", {}, "usbipd"), ("linux", "6.1", {}, "/dev/video63"),
    ("linux", "6.1", {"JUPYTERHUB_USER": "ada"}, "browser"), ("win32", "10", {"SSH_CONNECTION": "1"}, "browser")])
def test_help_fits_the_system(monkeypatch, system, release, environment, words):
    for name in sources.REMOTE:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sources.sys, "platform", system)
    monkeypatch.setattr(sources.platform, "release", lambda: release)
    assert words in sources.camera_help(63)
