"""Foreign text and tables as Markdown that does nothing but show them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from tunebench.reports.formatting.units import clean

_SPECIAL = {ord(c): f"\\{c}" for c in "\\`*_[]|~"} | {
    ord("<"): "&lt;", ord(">"): "&gt;", ord("&"): "&amp;", ord("\n"): " ",
}  # fmt: skip
#: What hosts of Markdown turn into links even where it is escaped: a space without width keeps it text.
_LINKING = re.compile(r"(@|#|:/|www)(?=[\w/.])", re.I)
_NO_WIDTH = "\u200b"
#: A line of Markdown is never wider than ``MAX_WIDTH`` characters; text is folded at ``WRAP``, cells are cut.
MAX_WIDTH, WRAP, MAX_CELL = 150, 80, 60
_BEGINS = re.compile(r"^(\d*)([-+=#.)])")


def escaped(text: str, limit: int = 200) -> str:
    """Escape foreign text for Markdown: it is shown as it is and has no other effect.

    >>> escaped("<b>*x*</b> | a_b")
    '&lt;b&gt;\\\\*x\\\\*&lt;/b&gt; \\\\| a\\\\_b'
    >>> escaped("@team #1 http://a.b www.a.b").replace(_NO_WIDTH, "|")
    '@|team #|1 http:/|/a.b www|.a.b'
    """
    return _LINKING.sub(rf"\1{_NO_WIDTH}", clean(text, limit).translate(_SPECIAL))


def lines(text: str, limit: int = 400, *, indent: str = "") -> str:
    """Escape a foreign text for Markdown and fold it at ``WRAP`` characters; no line of it becomes a list or a heading.

    >>> print(lines("a " * 40 + "- no item").split("\\n")[1])
    \\- no item
    """
    width = WRAP - len(indent)
    while True:
        # Folded before it is escaped: an escape that is cut in two would be none.
        folded = textwrap.wrap(clean(text, limit), width, break_on_hyphens=False)
        shown = (
            [escaped(folded[0], limit), *(_begun(escaped(line, limit)) for line in folded[1:])]
            if folded
            else []
        )
        if width < WRAP // 8 or all(len(line) <= MAX_WIDTH - len(indent) for line in shown):
            return f"\n{indent}".join(shown)
        width //= 2


def _begun(line: str) -> str:
    """Escape what would make a line begin a list, a heading or a rule."""
    return _BEGINS.sub(r"\1\\\2", line)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, keys: int = 1) -> str:
    """Return a Markdown table; every cell is escaped.

    What would make a line wider than ``MAX_WIDTH`` stands in a further table, behind the first ``keys`` columns.
    """
    cells = [[_cell(cell) for cell in row] for row in rows]
    widest = [max(len(line[i]) for line in (columns, *cells)) + 3 for i in range(len(columns))]
    pieces: list[list[int]] = [list(range(min(keys, len(columns))))]
    for i in range(keys, len(columns)):
        if len(pieces[-1]) > keys and 1 + sum(widest[c] for c in (*pieces[-1], i)) > MAX_WIDTH:
            pieces.append(list(range(keys)))
        pieces[-1].append(i)
    return "\n\n".join(_table(columns, cells, piece) for piece in pieces)


def _table(columns: Sequence[str], cells: Sequence[Sequence[str]], shown: Sequence[int]) -> str:
    rows = [
        [columns[i] for i in shown],
        ["---"] * len(shown),
        *([row[i] or " " for i in shown] for row in cells),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(text: str) -> str:
    """Escape a cell; one that is too wide with its escapes is cut once more."""
    limit = MAX_CELL
    while len(shown := escaped(text, limit)) > MAX_CELL + 8 and limit > 8:
        limit -= 8
    return shown
