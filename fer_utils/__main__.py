"""``python -m fer_utils COMMAND``; ``--help`` lists the commands."""

import contextlib
import io
import signal
import sys

from .cli import main


class _Unfailing(io.TextIOWrapper):
    """A stream of messages and progress bars: if nobody can read them any more, the work goes on without them."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # some terminals cannot show all letters of a file's name
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _Unfailing(sys.stderr.buffer, sys.stderr.encoding, "backslashreplace", line_buffering=True)
    for name in ("SIGTERM", "SIGHUP"):  # as Ctrl-C does, they end the work so that what was finished is kept
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:  # not under nohup
            signal.signal(getattr(signal, name), signal.default_int_handler)
    sys.exit(main())
