"""Tables as data and as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass


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


def grid(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table as plain text: columns as wide as their widest text, two spaces between them."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def padded_grid(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table whose rows may have fewer cells than columns."""
    return grid(headings, [[*row, *[""] * (len(headings) - len(row))] for row in rows])


def bullets(sentences: Sequence[str], width: int = 110) -> str:
    """Lay out sentences as a bulleted list, wrapped at ``width`` characters.

    >>> print(bullets(["a b", "c"], 5))
    - a b
    - c
    """
    return "\n".join(textwrap.fill(f"- {text}", width, subsequent_indent="  ") for text in sentences)
