"""``python -m fer_utils COMMAND``; ``--help`` lists the commands."""

import io
import sys

from .cli import main

if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # some terminals cannot show all letters of a file's name
    sys.exit(main())
