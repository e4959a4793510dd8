"""The section on accuracy against what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.sections.base.panels import Panel, cost_panels
from tunebench.reports.sections.base.section import Page, Section, partial


@dataclass(frozen=True)
class _View:
    costs: Sequence[Panel]


class AccuracySection(Section):
    """The section on accuracy against what it costs."""

    ident = "accuracy"
    nav = "Accuracy"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("accuracy")

    def view(self, page: Page) -> _View:
        """Return figures against time, against energy, and of the way there."""
        return _View(cost_panels(page.groups, page.styles))


SECTION = AccuracySection()
