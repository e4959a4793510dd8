"""The LoRAE study in the text table and in Markdown."""

from __future__ import annotations

from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.table import Grid, paragraph
from tunebench.reports.studies.lorae import sentences
from tunebench.reports.studies.lorae.constants import TITLE
from tunebench.reports.studies.lorae.model import LoraeStudy
from tunebench.reports.studies.lorae.tables import cost_table, headline, quality_table
from tunebench.reports.studies.tracks.words import track_lines


def lorae_lines(study: LoraeStudy, grid: Grid) -> str:
    """Return the study as plain text; ``grid`` lays out headings and rows in columns."""
    parts = [
        TITLE,
        *map(paragraph, (sentences.RULE, sentences.seeds(study.units), sentences.COUNTED)),
        _table(headline(study), grid, keys=2),
    ]
    for unit in study.units:
        parts += [
            _table(quality_table(unit), grid),
            _table(cost_table(unit), grid),
            *map(paragraph, sentences.notes(unit)),
        ]
    return "\n".join([*parts, *track_lines(study.tracks, grid)])


def _table(table: DataTable, grid: Grid, keys: int = 1) -> str:
    return f"{paragraph(table.caption)}\n{grid(table.columns, table.rows, keys=keys)}"
