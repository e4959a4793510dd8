"""The section on the Skip2-LoRA study."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.formatting.table import padded_grid
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.studies.skip2_lora.text import study_lines
from tunebench.reports.studies.skip2_lora.view import StudyView, study_view
from tunebench.reports.studies.tracks.words import track_markdown
from tunebench.reports.summary import Summary


class Skip2LoraSection(Section):
    """The section on the Skip2-LoRA study; left out of other runs' reports."""

    ident = "study"
    nav = "Skip2-LoRA study"
    text_place = 50

    def template(self) -> str:
        """Return the section's partial."""
        return partial("skip2_lora")

    def view(self, page: Page) -> StudyView | None:
        """Return the study's words, tables and figures; None for other runs."""
        return study_view(page.summary.study, page.styles)

    def text(self, summary: Summary) -> Sequence[str]:
        """Return the headline and what it depends on."""
        return [study_lines(summary.study, padded_grid)] if summary.study is not None else []

    def markdown(self, summary: Summary, limit: int) -> str:
        """Return the study's tracks: what may be claimed of them. Time saved stands in the run's own tables."""
        if summary.study is None or not summary.study.tracks:
            return ""
        text = f"### {self.nav}\n\n{track_markdown(summary.study.tracks)}"
        return text if len(text) + 2 < limit else f"### {self.nav}\n\nToo long for a comment: see the page."


SECTION = Skip2LoraSection()
