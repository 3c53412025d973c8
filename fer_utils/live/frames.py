"""Messages of a page to its kernel, checked before anything believes what they say of themselves."""
import json
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

PROTOCOL = "v1.kernel.websocket.jupyter.org"
MAX_FRAME = 2 << 20  # bytes; the page sends photos in parts of 1 MB
MAX_TEXT = 1 << 16  # bytes of a message without its files
MAX_FILES = 4
HEADER, CONTENT = 0, 3  # places in a message's parts; between them parent header and metadata, after them files


@dataclass(frozen=True)
class PageMessage:
    """A message as the kernel gets it, and what its header and content say."""

    channel: str
    parts: list[bytes]
    id: str
    type: str
    content: dict[str, Any]


def unpack(frame: str | bytes) -> PageMessage:
    """Return the message in a websocket frame (Jupyter's protocol v1); raise `ValueError` where it is none.

    A frame begins with the number of offsets, then those, each as 8 bytes, little-endian; then come channel, header,
    parent header, metadata, content and files.
    """
    if isinstance(frame, str):
        raise ValueError("it is text")
    count = int.from_bytes(frame[:8], "little")
    if not 6 <= count <= 6 + MAX_FILES or len(frame) < 8 * (count + 1):
        raise ValueError(f"it claims {count} parts")
    offsets = struct.unpack_from(f"<{count}Q", frame, 8)
    if offsets[0] != 8 * (count + 1) or offsets[-1] != len(frame) or any(a > b for a, b in pairwise(offsets)):
        raise ValueError("its parts do not follow one another")
    channel, *parts = (frame[a:b] for a, b in pairwise(offsets))
    if sum(map(len, parts[:CONTENT + 1])) > MAX_TEXT:
        raise ValueError("its text is too long")
    try:
        header, _, _, content = (_object(part) for part in parts[:CONTENT + 1])
        return PageMessage(channel.decode("ascii"), parts, _text(header["msg_id"]), _text(header["msg_type"]), content)
    except (KeyError, RecursionError) as error:
        raise ValueError(f"its header is incomplete or too deep ({type(error).__name__})") from error


def _object(part: bytes) -> dict[str, Any]:
    value = json.loads(part)
    if not isinstance(value, dict):
        raise ValueError("a part is no object")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200:
        raise ValueError("a name is no short text")
    return value


def check_message(message: PageMessage) -> str:
    """Return why a message is none that the app's page sends, "" where it is.

    Those are: which kernel is this, which widgets are there, and the widgets' own messages. None runs code.
    """
    if message.channel != "shell":
        return "a channel other than shell"
    data = message.content.get("data")
    allowed = {
        "kernel_info_request": True, "comm_info_request": True, "comm_close": True,
        "comm_open": message.content.get("target_name") == "jupyter.widget.control",
        "comm_msg": isinstance(data, dict) and data.get("method") in ("custom", "request_state", "request_states")}
    return "" if allowed.get(message.type) else f"{message.type[:40]!r}"


def answered(parts: list[Any]) -> str | None:
    """Return the id of the message with which a kernel says that it is done by these parts, None for other parts.

    `parts` are those of a kernel's message, from its signature on.
    """
    header = json.loads(bytes(parts[1]))
    if header["msg_type"] != "status" or json.loads(bytes(parts[4])).get("execution_state") != "idle":
        return None
    return json.loads(bytes(parts[2])).get("msg_id")
