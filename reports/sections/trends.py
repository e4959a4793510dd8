"""The section on this run's series over the nights of a store."""

from __future__ import annotations

from dataclasses import replace

from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.sections.base.trend import ONE_RUN, Trend


class TrendsSection(Section):
    """The section on this run's series over the nights of a store; without one Environment says what it would add."""

    ident = "trend"
    nav = "Nights"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("trends")

    def view(self, page: Page) -> Trend | None:
        """Return the nights, or why a store has none; None without a store."""
        if page.trend.why == ONE_RUN:
            return None
        return replace(page.trend, figures=page.lighter(page.trend.figures))


SECTION = TrendsSection()
