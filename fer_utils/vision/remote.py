"""Files in buckets and on web servers, by fsspec: listed by their addresses, fetched when they are looked at."""
import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..errors import DataError, MissingExtraError, need

_USUAL = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory", "ftp", "sftp", "ssh", "smb", "hdfs", "webhdfs",
          "hf")
_NO_FILES = ("file", "local", "data", "http", "https")  # http is decided by the end of the address
_CONNECT_S, _SILENCE_S = 30, 60  # so long may a web server take to answer, and be silent while it sends a file
_given: dict[str, str] = {}
"""The addresses as they were given, by what is shown and stored of them: the rest may be a password."""


def is_address(text: str) -> bool:
    """Return whether a text has the form of an address, as ``https://…`` and, on Windows too, not ``C:\\``."""
    return re.match(r"[a-z][a-z0-9+.-]+://", text, re.IGNORECASE) is not None


def has_files(address: str) -> bool:
    """Return whether fsspec reads files at addresses of this scheme; for http, which cameras have too, False."""
    scheme = address.partition("://")[0].lower()
    if not is_address(address) or scheme in _NO_FILES:
        return False
    if scheme in _USUAL:
        return True
    with contextlib.suppress(ImportError):
        import fsspec

        return scheme in fsspec.available_protocols()
    return False


def ending_of(address: str) -> str:
    """Return the ending of a file's name, in small letters: that of an address without its query."""
    name = unquote(without_secrets(address)) if _is_web(address) else address
    return os.path.splitext(name.rpartition("/")[2])[1].lower()


def without_secrets(address: str) -> str:
    """Return an address without user, password, query and fragment: what may be stored and shown of it.

        >>> without_secrets("https://me:secret@host:80/a%20b.jpg?key=1")
        'https://host:80/a%20b.jpg'
    """
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    user, at, host = host.rpartition("@")
    if _is_web(address):  # elsewhere "?" and "#" are letters of a name
        return f"{scheme}://" + re.split("[?#]", f"{host}{slash}{path}")[0]
    return f"{scheme}://{user.partition(':')[0]}{at}{host}{slash}{path}"  # Azure has a container before the @


def _is_web(address: str) -> bool:
    return address.partition("://")[0].lower() in ("http", "https")


def keep(address: str) -> str:
    """Remember an address, for fetching, by what may be shown of it, which is returned."""
    shown = without_secrets(address)
    if shown != address:
        _given[shown] = address
    return shown


def has_secrets(shown: str) -> bool:
    """Return whether an address was given with more than is shown and stored of it."""
    return shown in _given


def list_folder(shown: str) -> tuple[list[str], list[str]]:
    """Return the addresses of files and of folders within a folder, sorted; `DataError` where it cannot be read."""
    files: list[str] = []
    folders: list[str] = []
    root = shown.rstrip("/") + "/"
    with _saying(shown, "this folder cannot be searched"):
        system, path = _file_system(shown)
        system.invalidate_cache()
        for entry in system.ls(path, detail=True):
            name = entry["name"]
            if not _is_web(shown):  # a name need not have the server that it is on
                name = f"{_given.get(shown, shown).rstrip('/')}/{name.rstrip('/').rpartition('/')[2]}"
            address = keep(name)
            if address.startswith(root) and address != root:  # pages have links to other places
                (folders if entry["type"] == "directory" else files).append(address)
    return sorted(files), sorted(folders)


def check_library(shown: str) -> None:
    """Raise `MissingExtraError`, or another error that says what to install, where addresses like this need it."""
    with _saying(shown, "cannot be read"):
        _file_system(shown)


class Fetcher:
    """Copies of remote files, each in a temporary folder for as long as it is looked at.

    `owner` is a folder that one process at a time writes to.
    """

    def __init__(self, owner: Path):
        name = hashlib.sha256(os.fsencode(os.path.realpath(owner))).hexdigest()[:12]
        self._prefix = f"fer-utils-{name}-"

    def delete_left_over(self) -> None:
        """Delete the copies that an earlier process of this owner left, which was killed."""
        for left in Path(tempfile.gettempdir()).glob(f"{self._prefix}*"):
            shutil.rmtree(left, ignore_errors=True)

    def local(self, address: str) -> contextlib.AbstractContextManager[str]:
        """Give the path of a file here, as `local_copy`."""
        return local_copy(address, self._prefix)


@contextlib.contextmanager
def local_copy(address: str, prefix: str = "fer-utils-") -> Iterator[str]:
    """Give the path of a file here: `address` itself, or a copy of a remote file, with its last change.

    `DataError`: it could not be fetched.
    """
    if not is_address(address):
        yield address
        return
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        copy = os.path.join(folder, f"copy{ending_of(address)}")
        with _saying(address, "could not be fetched"):
            system, path = _file_system(address)
            about = system.info(path)
            system.get_file(path, copy)
            size = about.get("size")
            if size is not None and os.path.getsize(copy) != size:
                raise OSError(f"{os.path.getsize(copy)} of {size} bytes came")
            if changed := _changed(about):
                os.utime(copy, (changed, changed))
        yield copy


def _file_system(shown: str) -> tuple[Any, str]:
    need("fsspec", *(["aiohttp"] if _is_web(shown) else []))
    import fsspec.core

    address = _given.get(shown, shown)
    if not _is_web(address):
        return fsspec.core.url_to_fs(address)
    from aiohttp import ClientTimeout

    # A film may take longer than the five minutes that a file else may take. The environment has proxies and a netrc.
    options = {"timeout": ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S), "trust_env": True}
    own = fsspec.config.conf.get(address.partition("://")[0].lower(), {}).get("client_kwargs", {})
    return fsspec.core.url_to_fs(address, client_kwargs=options | own)


def _changed(about: dict[str, Any]) -> float | None:
    """Return when a file was changed last, as its server says."""
    for name in ("LastModified", "mtime", "last_modified", "modified", "updated", "Last-Modified", "created"):
        value = about.get(name)
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            if isinstance(value, (int, float)):
                return float(value)
            if isinstance(value, datetime):
                return value.timestamp()
            if isinstance(value, str):
                return (parsedate_to_datetime(value) if "," in value else datetime.fromisoformat(value)).timestamp()
    return None


@contextlib.contextmanager
def _saying(shown: str, what: str) -> Iterator[None]:
    """Turn what goes wrong with a remote file into a `DataError` without passwords."""
    try:
        yield
    except (DataError, MissingExtraError):
        raise
    except ImportError as error:  # fsspec says what is missing: "Install s3fs to access S3"
        library = re.search(r"install (\w+)", str(error), re.IGNORECASE)
        remedy = f"pip install {library[1]}" if library else str(error)
        raise DataError(f"{shown}: {what}, because a library is not installed: {remedy}") from error
    except FileNotFoundError as error:
        raise DataError(f"{shown}: {what}: there is no such file, folder or bucket") from error
    except Exception as error:  # each kind of server has errors of its own
        status = getattr(error, "status", None)
        said = f"HTTP {status}" if status else f"{type(error).__name__} {error}".strip()
        raise DataError(f"{shown}: {what}: {_clean(said)}") from error


def _clean(text: str) -> str:
    """Return a library's error on one line, without the queries and passwords of addresses that it names."""
    text = re.sub(r"(://)[^/\s'\"]*@", r"\1", " ".join(text.split()))
    return re.sub(r"(://[^\s?'\"]*)\?[^\s'\")]*", r"\1", text)[:300]
