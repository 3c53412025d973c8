"""What a user may name as a source: photos, videos, folders of them, cameras, streams."""
import os
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ..errors import CameraError, DataError
from . import remote
from .images import is_animated, is_photo

PHOTO_ENDINGS = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".jp2", ".heic",
                 ".heif")
VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv",
                 ".flv", ".3gp", ".3g2", ".qt", ".mpe", ".vob", ".ogv", ".asf", ".divx")
STREAMED = (".ts", ".flv", ".asf", ".mpg", ".mpeg", ".ogv")
"""At a web address these endings are a camera's stream, not a file."""
_DEEPEST = 50  # folders in one another on a web server, whose pages may have links in a circle
_ONLY_EVENT = "only `event` reads files in buckets and on web servers; download it and give its path"
REMOTE = ("JUPYTERHUB_USER", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE", "CODESPACES", "SSH_CONNECTION")
"""Environment variables that mean: Python runs on another computer than the one its user sits at."""


@dataclass(frozen=True)
class Source:
    """One place that frames come from.

    `address` is an absolute path, a camera's number in digits, or a stream's address. A file that was named itself, of
    unknown ending and no photo, has the kind "unknown". A part of a video, as `event.parts` makes them, is a "part".
    `problem` says why a folder within a folder was not searched.
    """

    kind: Literal["photo", "video", "camera", "stream", "folder", "unknown", "part"]
    address: str
    problem: str = ""


def parse_source(source: str | Path | int) -> Source:
    """Say what a user means by a source.

    What exists on disk is a file or a folder, even one called ``2024``. Else digits are a camera and what holds
    "://" is a file, a folder or a stream; `CameraError` where none fits. A ``.gif`` that moves is a video, another one
    is a photo. Linux's ``/dev/video0`` is the camera 0.

    s3://, gs:// and others that fsspec knows are files, by their endings, or else folders. http:// and https:// are
    cameras' streams, but for addresses that end like a photo, like a video that is no stream, or, for a folder, in "/".
    """
    text = os.fspath(source) if isinstance(source, os.PathLike) else str(source)
    path = os.path.abspath(Path(source).expanduser()) if isinstance(source, (str, os.PathLike)) else ""
    if path and os.path.isdir(path):
        return Source("folder", path)
    if device := re.fullmatch(r"/dev/video(\d+)", os.path.realpath(path)):
        return Source("camera", str(int(device[1])))
    if path and os.path.exists(path):
        return Source(_file_kind(path) or "unknown", path)
    if text.isdecimal():
        return Source("camera", str(int(text)))
    if "://" in text:
        kind = _remote_kind(text)
        return Source(kind, text if kind == "stream" else remote.keep(text))
    raise CameraError(f"{source}: there is no such file or folder; a source is a photo, a video, a folder, a camera's "
                      "number (0 is the first) or a stream's address (rtsp://…)")


def _remote_kind(address: str) -> Literal["photo", "video", "folder", "stream"]:
    ending, scheme = remote.ending_of(address), address.partition("://")[0].lower()
    if scheme in ("http", "https"):
        if ending in STREAMED:
            return "stream"
        if remote.without_secrets(address).endswith("/"):
            return "folder"
    elif not remote.has_files(address):
        return "stream"
    if ending in PHOTO_ENDINGS or ending in VIDEO_ENDINGS:
        return "photo" if ending in PHOTO_ENDINGS else "video"
    return "stream" if scheme in ("http", "https") else "folder"


def is_remote_file(source: Source) -> bool:
    """Return whether a source is a file, or a folder of files, in a bucket or on a web server."""
    return source.kind in ("photo", "video", "folder") and remote.is_address(source.address)


def find_sources(sources: str | Path | int | Sequence[str | Path | int], remote_files: bool = False) -> list[Source]:
    """List the photos, videos, cameras and streams that sources name, each once, in order.

    Folders are searched at any depth for files of known endings, and others that are photos. Hidden files are left out.
    A folder within that cannot be read, or that is a link to another place, is listed with its `problem`. Files in
    buckets and on web servers are refused without `remote_files`. Raises `DataError` where a source is not there, is
    neither photo nor video, or is a folder without any.
    """
    if isinstance(sources, (str, os.PathLike, int)):
        sources = [sources]
    found: dict[str, Source] = {}
    for name in sources:
        source = parse_source(name)
        if source.kind == "unknown":
            raise DataError(f"{name}: neither a photo nor a video, by its content and the ending of its name")
        if is_remote_file(source):
            if not remote_files:
                raise DataError(f"{source.address}: {_ONLY_EVENT}")
            remote.check_library(source.address)
        inside = list(_pictures_in(source)) if source.kind == "folder" else [source]
        if all(each.problem for each in inside):
            raise DataError(inside[0].problem if inside else f"{name}: no photo ({', '.join(PHOTO_ENDINGS)}) or video "
                            f"({', '.join(VIDEO_ENDINGS)}) in this folder")
        found |= {each.address: each for each in inside}
    return list(found.values())


def _pictures_in(folder: Source) -> Iterator[Source]:
    return _remote_pictures(folder.address) if is_remote_file(folder) else _local_pictures(folder.address)


def _remote_pictures(root: str) -> Iterator[Source]:
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            found, inside = remote.list_folder(folder)
        except DataError as error:
            yield Source("folder", folder, str(error))
            continue
        for address in found:
            ending = remote.ending_of(address)  # to look into each file would be to fetch it
            if not _is_hidden(address) and ending in (*PHOTO_ENDINGS, *VIDEO_ENDINGS):
                yield Source("photo" if ending in PHOTO_ENDINGS else "video", address)
        if folder.count("/") - root.count("/") < _DEEPEST:
            waiting += [each for each in inside[::-1] if not _is_hidden(each)]
        elif inside:
            yield Source("folder", inside[0], f"{inside[0]}: is not searched, because it lies over {_DEEPEST} folders "
                                              "deep; do links lead in a circle?")


def _is_hidden(address: str) -> bool:
    return address.rstrip("/").rpartition("/")[2].startswith(".")


def _local_pictures(root: str) -> Iterator[Source]:
    # Not by os.walk: before Python 3.12 it calls itself for each folder within a folder, a thousand times at most.
    real_root, waiting = os.path.realpath(root), [root]
    while waiting:
        folder = waiting.pop()
        inside = []
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield Source("folder", folder, f"{folder}: this folder cannot be searched ({error.strerror}); make it "
                                           "readable, or move what is in it")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                inside.append(entry.path)
            elif os.path.isdir(entry.path):  # and not entry.is_dir, which fails for a link to itself
                if not _lies_in(os.path.realpath(entry.path), real_root):
                    yield Source("folder", entry.path, f"{entry.path}: a link to another folder is not followed; give "
                                                       "that folder as a source too")
            elif kind := _file_kind(entry.path):
                yield Source(kind, entry.path)
        waiting += inside[::-1]


def _lies_in(path: str, root: str) -> bool:
    return path == root or path.startswith(os.path.join(root, ""))


def _file_kind(path: str) -> Literal["photo", "video"] | None:
    ending = os.path.splitext(path)[1].lower()
    if ending == ".gif":
        return "video" if is_animated(path) else "photo"
    if ending in VIDEO_ENDINGS:
        return "video"
    return "photo" if ending in PHOTO_ENDINGS or is_photo(path) else None


def is_remote() -> bool:
    """Return whether Python seems to run on another computer than the one its user sits at."""
    return any(os.environ.get(name) for name in REMOTE)


def camera_help(index: int | str = 0) -> str:
    """Return what to do about a camera that does not open, on this operating system."""
    browser = "use the browser's camera: how = \"browser\" in notebook 06"
    if is_remote():
        return f"Python runs on another computer, which does not see your camera; {browser}."
    if sys.platform == "darwin":
        return ("In System Settings > Privacy & Security > Camera allow the program that started Python (Terminal, "
                "VS Code, JupyterLab), then quit and start it again. Close other programs that use the camera.")
    if sys.platform == "win32":
        return ("In Settings > Privacy & security > Camera switch on camera access and \"Let desktop apps access your "
                "camera\". Close other programs that use the camera (Teams, Zoom, a browser tab).")
    if "microsoft" in platform.release().lower():
        return (f"WSL does not pass a camera on: run Python on Windows itself, attach the camera with usbipd-win, or "
                f"{browser}.")
    device = Path(f"/dev/video{index}")
    if not device.exists():
        there = ", ".join(sorted(p.name.removeprefix("video") for p in Path("/dev").glob("video*")))
        return (f"There is no {device}: " + (f"the cameras here are {there}; name one of these." if there else
                f"plug a camera in; in a container pass --device {device}; or {browser}."))
    if not os.access(device, os.R_OK | os.W_OK):
        return f"You may not open {device}: sudo usermod -aG video $USER, then log out and in again."
    return f"Another program may be using it: fuser {device} names it. Close it, or name another camera."


def public_address(address: str) -> str:
    """Return a stream's scheme, host and port alone: user, path and query may hold a password."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if host else address
