"""Texts that a user chose, such as names of runs, put into Markdown so that they cannot change its form."""

import re
import shlex


def one_line(text: object) -> str:
    """Return a text on one line, without control characters and without what UTF-8 cannot hold."""
    words = " ".join(str(text).encode("utf-8", "replace").decode().split())
    return "".join(letter for letter in words if letter.isprintable())


def escaped(text: object) -> str:
    r"""Return a text as Markdown that shows just this text, in a table too.

    >>> print(escaped("fer_net | *new* <b>"))
    fer_net \| \*new\* \<b\>
    """
    return re.sub(r"[\\`*\[\]<>|~$#]|&(?=#?\w+;)|(?<!\w)_|_(?!\w)", r"\\\g<0>", one_line(text))


def code(text: object, table: bool = False) -> str:
    """Return a text in a monospaced font; `table` where that is in a table, whose cells `|` would end."""
    text = one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") else ""
    shown = f"{fence}{space}{text}{space}{fence}"
    return shown.replace("|", "\\|") if table else shown


def shell_word(text: object) -> str:
    """Return a text as one word of a command."""
    return shlex.quote(one_line(text))
