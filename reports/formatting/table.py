"""Tables as data and as plain text that fits the reader's terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

#: Plain text is never wider than this, in characters; where no terminal says how wide it is, it is ``USUAL_WIDTH``.
MAX_WIDTH, USUAL_WIDTH = 150, 80
_MIN_WIDTH = 48
#: No cell is folded at fewer characters.
_MIN_CELL = 14
_BETWEEN = "  "

#: For how many characters a line plain text is laid out now; see :func:`text_width`.
_width: ContextVar[int] = ContextVar("text_width", default=110)


@dataclass(frozen=True)
class CellText:
    """One cell of the table; ``missing``: there is no value, and the reason stands under the table."""

    main: str
    second: str = ""
    third: str = ""
    missing: bool = False


@dataclass(frozen=True)
class DataTable:
    """The numbers behind a figure: plain text, escaped when rendered."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Grid(Protocol):
    """What lays out a table as plain text: :func:`grid` or :func:`padded_grid`."""

    def __call__(self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, keys: int = 1) -> str: ...


def terminal_width() -> int:
    """Return for how many characters a line to lay out: the terminal's (``COLUMNS``), at most ``MAX_WIDTH``."""
    return max(_MIN_WIDTH, min(MAX_WIDTH, shutil.get_terminal_size((USUAL_WIDTH, 24)).columns))


@contextmanager
def text_width(width: int) -> Iterator[None]:
    """Lay out tables and paragraphs for lines of so many characters."""
    token = _width.set(max(_MIN_WIDTH, min(MAX_WIDTH, width)))
    try:
        yield
    finally:
        _width.reset(token)


def captioned(tables: Sequence[DataTable]) -> list[str]:
    """Return a block of plain text for each table: its caption and its grid; three first columns name a row."""
    return [f"{paragraph(table.caption)}\n{grid(table.columns, table.rows, keys=3)}" for table in tables]


def grid(headings: Sequence[str], rows: Sequence[Sequence[str]], *, keys: int = 1) -> str:
    """Lay out a table as plain text: columns as wide as their widest text, two spaces between them.

    A table that is too wide for :func:`text_width` first says once, above, what is the same in every row. Then long
    cells are folded, and what still does not fit stands below, behind the first columns once more.

    Args:
        headings: of the columns.
        rows: a text for each column.
        keys: so many first columns say what a row is about.

    >>> with text_width(48):
    ...     print(grid(("method", "board", "time"), [["a", "pi", "1 s" * 9], ["b", "pi", "2 s" * 9]]))
    method  board  time
    ------  -----  ---------------------------
    a       pi     1 s1 s1 s1 s1 s1 s1 s1 s1 s
    b       pi     2 s2 s2 s2 s2 s2 s2 s2 s2 s
    >>> with text_width(48):
    ...     print(grid(("method", "board", "time"), [["a", "p" * 20, "1 s"], ["b", "p" * 20, "2 s" * 10]]))
    In every row: board pppppppppppppppppppp
    method  time
    ------  ------------------------------
    a       1 s
    b       2 s2 s2 s2 s2 s2 s2 s2 s2 s2 s
    """
    width = _width.get()
    if _needed(_widths(headings, rows)) <= width:
        return _plain(headings, rows)
    same = [i for i in range(len(headings)) if len(rows) > 1 and len({row[i] for row in rows}) == 1]
    if len(same) == len(headings):
        same = same[1:]
    above = [f"{headings[i]} {rows[0][i]}" for i in same if rows[0][i].strip(" -–")]
    left = [i for i in range(len(headings)) if i not in same]
    keys = max(1, sum(i < keys for i in left))
    headings = [headings[i] for i in left]
    rows = [[row[i] for i in left] for row in rows]
    parts = [paragraph(f"In every row: {', '.join(above)}")] if above else []
    if _needed(_widths(headings, rows)) <= width:
        parts.append(_plain(headings, rows))
    else:
        parts += _stacked(headings, rows, keys, width)
    return "\n".join(parts)


def _stacked(headings: Sequence[str], rows: Sequence[Sequence[str]], keys: int, width: int) -> list[str]:
    """Return tables of as many columns as fit, each behind the key columns; long cells are folded."""
    # Key columns together leave half of the line to what they are keys of.
    for_keys = max(_MIN_CELL // 2, width // 2 // keys - len(_BETWEEN))
    widths = _widths(headings, rows)
    widths[:keys] = [min(own, for_keys) for own in widths[:keys]]
    most = max(_MIN_CELL, width - _needed(widths[:keys]) - len(_BETWEEN))
    widths[keys:] = [min(own, most) for own in widths[keys:]]
    pieces: list[list[int]] = [[]]
    for i in range(keys, len(headings)):
        columns = [*range(keys), *pieces[-1], i]
        if pieces[-1] and _needed([widths[c] for c in columns]) > width:
            pieces.append([])
        pieces[-1].append(i)
    tables = []
    for piece in pieces:
        columns = [*range(keys), *piece]
        lines = _folded([headings[c] for c in columns], [widths[c] for c in columns])
        lines += [["-" * widths[c] for c in columns]]
        for row in rows:
            lines += _folded([row[c] for c in columns], [widths[c] for c in columns])
        tables.append("\n".join(_line(line, [widths[c] for c in columns]) for line in lines))
    return ["\n\n".join(tables)]


def _folded(cells: Sequence[str], widths: Sequence[int]) -> list[list[str]]:
    """Return the lines of a row whose cells are folded to their widths."""
    folded = [
        textwrap.wrap(cell, width, break_on_hyphens=False) or [""]
        for cell, width in zip(cells, widths, strict=True)
    ]
    return [
        [lines[i] if i < len(lines) else "" for lines in folded] for i in range(max(len(f) for f in folded))
    ]


def _widths(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(line[i]) for line in (headings, *rows)) for i in range(len(headings))]


def _needed(widths: Sequence[int]) -> int:
    return sum(widths) + len(_BETWEEN) * (len(widths) - 1)


def _plain(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = _widths(headings, rows)
    lines = [headings, ["-" * width for width in widths], *rows]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f"{text:<{width}}" for text, width in zip(cells, widths, strict=True))
    return _BETWEEN.join(padded).rstrip()


def padded_grid(headings: Sequence[str], rows: Sequence[Sequence[str]], *, keys: int = 1) -> str:
    """Lay out a table whose rows may have fewer cells than columns."""
    return grid(headings, [[*row, *[""] * (len(headings) - len(row))] for row in rows], keys=keys)


def paragraph(text: str, indent: str = "") -> str:
    """Wrap a text for :func:`text_width`; lines after the first begin with ``indent``."""
    return textwrap.fill(text, _width.get(), subsequent_indent=indent, break_on_hyphens=False)


def bullets(sentences: Sequence[str], width: int | None = None) -> str:
    """Lay out sentences as a bulleted list, wrapped at ``width`` characters; default: :func:`text_width`.

    >>> print(bullets(["a b", "c"], 5))
    - a b
    - c
    """
    width = width or _width.get()
    return "\n".join(textwrap.fill(f"- {text}", width, subsequent_indent="  ") for text in sentences)


def within_width(text: str) -> str:
    """Fold every line that is too wide for :func:`text_width`: names of other people's may be of any length."""
    width = _width.get()
    return "\n".join(
        line
        if len(line) <= width
        else textwrap.fill(line, width, subsequent_indent="  ", drop_whitespace=True)
        for line in text.split("\n")
    )
