"""The section on this run's series over the nights of a store."""

from __future__ import annotations

from dataclasses import replace

from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.sections.base.trend import Trend


class TrendsSection(Section):
    """The section on this run's series over the nights of a store; without a store it says so."""

    ident = "trend"
    nav = "Nights"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("trends")

    def view(self, page: Page) -> Trend:
        """Return the nights, or why there are none."""
        return replace(page.trend, figures=page.lighter(page.trend.figures))


SECTION = TrendsSection()
