"""Files that are whole or not there, a cache of arrays, and one lock for each folder."""
import contextlib
import json
import os
import platform
import re
import stat
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from .errors import DataError, InUseError

if TYPE_CHECKING:  # a webcam starts without pandas
    import pandas as pd

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_BLANKS = r"[ \t\x00-\x08\x0e-\x1f\x7f-\x84\xa0\xad\u2000-\u200f\u2060\u3000\ufeff]*"
_SIGNS = r"[=+\-@\u2212\ufe62-\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20]"  # the last ones are full-width and small forms
_FORMULA = re.compile(rf"\A(?=[\t\r\n])|(?:\A|(?<=[\n\r\v\f\x85\u2028\u2029;]))(?={_BLANKS}{_SIGNS})")
_HOST = zlib.crc32(platform.node().encode())  # containers that share a folder have processes of the same numbers
PART = re.compile(r"\bpart-(?:(\d+)h)?(\d+)-\d+-")
"""How the name of a temporary file begins: with numbers of its computer, its process and its thread."""
_STALE_S = 86_400.0  # of another computer's temporary files, and of those of an earlier version


@contextlib.contextmanager
def whole(path: Path | str) -> Iterator[Path]:
    """Give a temporary path to write to; the file is put in its place only when all went well.

    The temporary path is in the same folder, which is made if it is missing, and has the same ending (Keras and OpenCV
    choose the format by it). After an error it is deleted, and what was at `path` before is untouched; an `OSError`
    names `path` where it names no file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_parts(path.parent)
    part = path.with_name(f"part-{_HOST}h{os.getpid()}-{threading.get_ident()}-{path.name}")
    try:
        yield part
        os.replace(part, path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:  # a full disk does not say where
            error.filename = str(path)
        raise


def remove_stale_parts(folder: Path) -> None:
    """Remove the temporary files of `whole` that killed programs left in a folder; never those of a live program."""
    with contextlib.suppress(OSError):  # no such folder, or somebody else removed the file
        for old in folder.glob("part-*"):
            if (name := PART.match(old.name)) and _is_stale(old, name[1], int(name[2])):
                old.unlink(missing_ok=True)


def _is_stale(part: Path, host: str | None, process: int) -> bool:
    if host != str(_HOST) or os.name == "nt":  # Windows cannot be asked, and keeps open files
        return time.time() - part.stat().st_mtime > _STALE_S
    try:
        os.kill(process, 0)  # asks only
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):  # another user's, or no process's number
        pass
    return False


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write bytes, whole or not at all."""
    with whole(path) as part:
        part.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write text as UTF-8, whole or not at all; bytes of a name that is not UTF-8 become ``\\udce9``, as in JSON."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path | str, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_csv(path: Path | str, table: "pd.DataFrame", **options: Any) -> None:
    """Write a table as CSV without its index, whole or not at all; names that are not UTF-8 keep their bytes.

    Texts that are formulas are escaped (`escape_formula`).
    """
    with whole(path) as part:
        without_formulas(table).to_csv(part, index=False, errors="surrogateescape", **options)


def without_formulas(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table for spreadsheets: `escape_formula` on the texts of each column, numbers as they are."""
    texts = table.select_dtypes(exclude=["number", "bool", "datetime"])
    return table.assign(**{str(name): column.map(escape_formula) for name, column in texts.items()})


def escape_formula(value: Any) -> Any:
    """Put a quote before a text, or a line of it, that a spreadsheet would take for a formula and run.

    Blank characters, also those that cannot be seen, and the full-width signs of East Asian keyboards count as well. So
    does what follows a semicolon: where that separates columns (German, French), it begins a cell of its own.

        >>> escape_formula("=cmd()"), escape_formula("me.jpg"), escape_formula("-0.5"), escape_formula(-0.5)
        ("'=cmd()", 'me.jpg', '-0.5', -0.5)
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    return _FORMULA.sub("'", value)


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


def csv_divider(path: Path | str) -> str:
    """Return what divides the columns of a CSV table, by its first line: ";" or ",".

    Spreadsheets in German, French and other languages write semicolons.
    """
    with open(path, "rb") as file:
        header = file.readline(10_000)
    return ";" if b";" in header and b"," not in header else ","


def read_json(path: Path | str, remedy: str) -> Any:
    """Read a JSON file; the `DataError` of a missing or damaged one ends in `remedy`, what the user can do."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}); {remedy}") from error


def cached_arrays(file: Path, key: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return arrays from a cache file (``.npz``), or make them and keep them there.

    `key` says what the arrays are made from; under another key they are made anew. No array may be called "key". Where
    the file cannot be written, a warning says so, and the arrays are returned all the same.
    """
    remove_stale_parts(file.parent)
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
def only_one(folder: Path | str, doing: str, wait: float = 0) -> Iterator[None]:
    """Hold the lock of a folder, so that two programs do not write the same files.

    The folder is made if it is missing; the lock is its file ``.lock``, and the system frees that of a program that was
    killed. Where another program holds it for over `wait` seconds (-1: for ever), an `InUseError` says what that is
    `doing`: "another program trains into this folder".
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise InUseError(f"{folder}: {doing}; wait until it ends, or name another folder") from None
    try:
        yield
    finally:
        lock.release()
