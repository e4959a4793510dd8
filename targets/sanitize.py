"""What a board says, made fit for a terminal: no escape sequence, no text that runs backwards."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

#: Control characters, text direction and the like, half surrogates; line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_KEPT = frozenset("\n\t")


#: What no board would say by itself: a program of ours that travels as one word, or another blob.
_BLOB = re.compile(
    r"import base64,zlib;exec\(zlib\.decompress\(base64\.b64decode\([\"'\\]*[A-Za-z0-9+/=]*[\"'\\]*\)*"
    r"|[A-Za-z0-9+/]{80,}={0,2}"
)


def without_blobs(text: str) -> str:
    """Return the text with what is encoded in it left out: a shell that is given a program may quote all of it.

    >>> without_blobs("sh: not found: " + 40 * "eNqVWN" + "==; try again")
    'sh: not found: ...; try again'
    """
    return _BLOB.sub("...", text)


def printable(text: str) -> str:
    r"""Return the text with everything a terminal would obey, and not show, written as escapes.

    >>> print(printable("\x1b[2Jall is well"))
    \x1b[2Jall is well
    """
    if text.isprintable():
        return text
    return "".join(_shown(char) for char in text)


def one_line(text: str) -> str:
    r"""Return printable text without line breaks and tabs: a board's text cannot pass for lines of ours.

    >>> print(one_line("fine\n  ok  disk"))
    fine\n  ok  disk
    """
    return printable(text).replace("\n", r"\n").replace("\t", r"\t")


def _shown(char: str) -> str:
    if char in _KEPT or unicodedata.category(char) not in _HIDDEN:
        return char
    return char.encode("unicode_escape").decode("ascii")


def cleaned(value: Any) -> Any:
    """Return a JSON value whose texts and keys are all printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    if isinstance(value, dict):
        return {printable(key): cleaned(item) for key, item in value.items()}
    return value
