"""The section on where a training step spends its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.sections.base.panels import Panel, phase_panels
from tunebench.reports.sections.base.section import Page, Section, partial


@dataclass(frozen=True)
class _View:
    phases: Sequence[Panel]


class PhasesSection(Section):
    """The section on where a training step spends its time."""

    ident = "phases"
    nav = "Phases"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("phases")

    def view(self, page: Page) -> _View:
        """Return figures in seconds and in shares."""
        return _View(phase_panels(page.groups))


SECTION = PhasesSection()
