"""``python -m fer_utils COMMAND``; ``--help`` lists the commands."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # not every pipe's encoding has every file name's letters
    sys.exit(main())
