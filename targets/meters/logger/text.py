"""The bytes of a logger's file as lines, whatever its encoding and its line ends."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\r|\n")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8", 1),
    (codecs.BOM_UTF16_LE, "utf-16-le", 2),
    (codecs.BOM_UTF16_BE, "utf-16-be", 2),
)


@dataclass(frozen=True)
class Encoding:
    """How bytes stand for text.

    Attributes:
        name: as Python knows it.
        width_b: bytes of the smallest unit; a part of the file begins at a multiple of it.
    """

    name: str = "utf-8"
    width_b: int = 1

    def text(self, data: bytes) -> str:
        """Return the text without its byte order mark; bytes that stand for nothing are replaced."""
        return data.decode(self.name, "replace").removeprefix("\ufeff")


def encoding_of(head: bytes) -> Encoding | None:
    """Return the encoding that the first bytes of a file show; ``None``: they are no text.

    A byte order mark decides. Without one it is UTF-8, or, where it cannot be that, Windows' western code page (in which
    exports write the signs for micro and degrees).
    """
    for mark, name, width_b in _MARKS:
        if head.startswith(mark):
            return Encoding(name, width_b)
    if b"\0" in head:
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # its end may be in the middle of a character
    except UnicodeDecodeError:
        return Encoding("cp1252")
    return Encoding()


def split_lines(text: str) -> list[str]:
    """Split at the line ends of any system; the last item is what follows the last one (empty: nothing).

    >>> split_lines("a\\r\\nb\\rc\\n")
    ['a', 'b', 'c', '']
    """
    return _LINE_END.split(text)


def is_comment(line: str) -> bool:
    """Tell whether a line is blank or a remark."""
    return not line.strip() or line.lstrip().startswith("#")
