"""The section on the LoRAE study."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.formatting.markdown import escaped, table
from tunebench.reports.formatting.table import padded_grid
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.studies.lorae.constants import TITLE
from tunebench.reports.studies.lorae.tables import headline
from tunebench.reports.studies.lorae.text import lorae_lines
from tunebench.reports.studies.lorae.view import LoraeView, lorae_view
from tunebench.reports.studies.tracks.words import track_markdown
from tunebench.reports.summary import Summary

#: Characters of the table in Markdown at most.
_MOST_MARKDOWN = 8_000


class LoraeSection(Section):
    """The section on the LoRAE study; left out of other runs' reports."""

    ident = "lorae"
    nav = "LoRAE study"
    text_place = 60

    def template(self) -> str:
        """Return the section's partial."""
        return partial("lorae")

    def view(self, page: Page) -> LoraeView | None:
        """Return the study's words, tables and figures; None for other runs."""
        return lorae_view(page.summary.lorae)

    def text(self, summary: Summary) -> Sequence[str]:
        """Return the study's tables."""
        return [lorae_lines(summary.lorae, padded_grid)] if summary.lorae is not None else []

    def markdown(self, summary: Summary, limit: int) -> str:
        """Return the study's result."""
        if summary.lorae is None:
            return ""
        lines = headline(summary.lorae)
        text = f"### {TITLE}\n\n{escaped(lines.caption)}\n\n{table(lines.columns, lines.rows)}"
        if summary.lorae.tracks:
            text += f"\n\n{track_markdown(summary.lorae.tracks)}"
        is_short = len(text) + 2 < _MOST_MARKDOWN
        return text if is_short else f"### {TITLE}\n\nToo long for a comment: see the page."


SECTION = LoraeSection()
