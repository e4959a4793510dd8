"""Tables as data and as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class CellText:
    """One cell of the table; ``missing`` says that there is no value; why stands under the table."""

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
    """Columns as wide as their widest text, two spaces between them."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
