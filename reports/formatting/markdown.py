"""Foreign text and tables as Markdown that does nothing but show them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tunebench.reports.formatting.units import clean

_SPECIAL = {ord(c): f"\\{c}" for c in "\\`*_[]|~"} | {
    ord("<"): "&lt;", ord(">"): "&gt;", ord("&"): "&amp;", ord("\n"): " ",
}  # fmt: skip
#: What hosts of Markdown turn into links even where it is escaped: a space without width keeps it text.
_LINKING = re.compile(r"(@|#|:/|www)(?=[\w/.])", re.I)
_NO_WIDTH = "\u200b"


def escaped(text: str, limit: int = 200) -> str:
    """Escape foreign text for Markdown: it is shown as it is and has no other effect.

    >>> escaped("<b>*x*</b> | a_b")
    '&lt;b&gt;\\\\*x\\\\*&lt;/b&gt; \\\\| a\\\\_b'
    >>> escaped("@team #1 http://a.b www.a.b").replace(_NO_WIDTH, "|")
    '@|team #|1 http:/|/a.b www|.a.b'
    """
    return _LINKING.sub(rf"\1{_NO_WIDTH}", clean(text, limit).translate(_SPECIAL))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; every cell is escaped."""
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(escaped(cell) or " " for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)
