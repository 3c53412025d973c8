"""Files that are whole or not there, a cache of arrays, and one lock for each folder."""
import contextlib
import glob
import json
import os
import re
import stat
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from .errors import DataError

if TYPE_CHECKING:  # a webcam starts without pandas
    import pandas as pd

_STALE_S = 3600.0  # a temporary file this old was left by a program that was killed


@contextlib.contextmanager
def whole(path: Path | str) -> Iterator[Path]:
    """Give a temporary path to write to; the file is put in its place only when all went well.

    The temporary path is in the same folder, which is made if it is missing, and has the same ending (Keras and OpenCV
    choose the format by it). After an error it is deleted, and what was at `path` before is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of names with other numbers, too: those of captures hold their time, and never come again.
    for old in path.parent.glob("part-*-" + re.sub(r"\d", "[0-9]", glob.escape(path.name))):
        with contextlib.suppress(OSError):
            if time.time() - old.stat().st_mtime > _STALE_S:
                old.unlink()
    part = path.with_name(f"part-{os.getpid()}-{threading.get_ident()}-{path.name}")
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write bytes, whole or not at all."""
    with whole(path) as part:
        part.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_csv(path: Path | str, table: "pd.DataFrame") -> None:
    """Write a table as CSV without its index, whole or not at all; names that are not UTF-8 keep their bytes."""
    with whole(path) as part:
        table.to_csv(part, index=False, errors="surrogateescape")


def why_unreadable(path: Path | str) -> str:
    """Return why a path cannot be read as a file, and what to do; "" where it can.

    A pipe is not opened, because that would wait until somebody writes into it.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            return "is a folder"
        if not stat.S_ISREG(mode):
            return "is a pipe, a socket or a device, not a file; name a file"
        with open(path, "rb"):
            return ""
    except FileNotFoundError:
        return "there is no such file"
    except PermissionError:
        return "you have no permission to read it; ask its owner, or change that with chmod"
    except (OSError, ValueError) as error:  # names that are too long or hold a zero byte, links in a circle
        return f"cannot be opened ({getattr(error, 'strerror', None) or error})"


def read_json(path: Path | str, remedy: str) -> Any:
    """Read a JSON file; the `DataError` of a missing or damaged one ends in `remedy`, what the user can do."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}); {remedy}") from error


def cached_arrays(file: Path, key: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return arrays from a cache file (``.npz``), or make them and keep them there.

    `key` says what the arrays are made from; under another key they are made anew. No array may be called "key". Where
    the file cannot be written, a warning says so, and the arrays are returned all the same.
    """
    # Whatever is wrong with a cache file, its source is still there.
    with contextlib.suppress(Exception), np.load(file) as kept:
        if str(kept["key"]) == key:
            return {name: kept[name] for name in kept.files if name != "key"}
    arrays = make()
    to_keep: dict[str, Any] = {"key": np.array(key), **arrays}
    try:
        with whole(file) as part, open(part, "wb") as output:
            np.savez(output, **to_keep)
    except OSError as error:
        warnings.warn(f"{file.parent}: what was computed could not be cached there ({error}); it will be computed anew "
                      "each time", stacklevel=3)
    return arrays


@contextlib.contextmanager
def only_one(folder: Path | str, doing: str) -> Iterator[None]:
    """Hold the lock of a folder, so that two programs do not write the same files.

    The folder is made if it is missing; the lock is its file ``.lock``. Where another program holds it, a `DataError`
    says what that is `doing`: "another program trains into this folder".
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(f"{folder}: {doing}; wait until it ends, or name another folder") from None
    try:
        yield
    finally:
        lock.release()
