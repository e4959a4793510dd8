"""The LoRAE study in the text table and in Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from tunebench.reports.figures import DataTable
from tunebench.reports.studies.lorae import sentences
from tunebench.reports.studies.lorae.constants import TITLE
from tunebench.reports.studies.lorae.model import LoraeStudy
from tunebench.reports.studies.lorae.tables import cost_table, headline, quality_table

_WIDTH = 110
Grid = Callable[[Sequence[str], Sequence[Sequence[str]]], str]


def lorae_lines(study: LoraeStudy, grid: Grid) -> str:
    """Return the study as plain text; ``grid`` lays out headings and rows in columns."""
    parts = [
        TITLE,
        *map(_wrapped, (sentences.RULE, sentences.SEEDS, sentences.COUNTED)),
        _table(headline(study), grid),
    ]
    for unit in study.units:
        parts += [
            _table(quality_table(unit), grid),
            _table(cost_table(unit), grid),
            *map(_wrapped, sentences.notes(unit)),
        ]
    return "\n".join(parts)


def _table(table: DataTable, grid: Grid) -> str:
    return f"{_wrapped(table.caption)}\n{grid(table.columns, table.rows)}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_on_hyphens=False)
