"""The section that shows every timed repetition in the order in which it ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.figures import Figure
from tunebench.reports.sections.base.panels import repetition_figures
from tunebench.reports.sections.base.section import Page, Section, partial


@dataclass(frozen=True)
class _View:
    figures: Sequence[Figure]


class RepetitionsSection(Section):
    """The section that shows every timed repetition in the order in which it ran."""

    ident = "repetitions"
    nav = "Every repetition"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("repetitions")

    def view(self, page: Page) -> _View:
        """Return a strip and a spread for each board."""
        return _View(page.lighter(repetition_figures(page.summary.repetitions, page.styles)))


SECTION = RepetitionsSection()
