"""The section on each method against its baseline, quantity by quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.sections.base.panels import Panel, effect_panels
from tunebench.reports.sections.base.section import Page, Section, partial


@dataclass(frozen=True)
class _View:
    effects: Sequence[Panel]


class SpeedUpSection(Section):
    """The section on each method against its baseline, quantity by quantity."""

    ident = "speed-up"
    nav = "Against the baseline"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("speed_up")

    def view(self, page: Page) -> _View:
        """Return figures of time, energy, memory and accuracy."""
        return _View(effect_panels(page.groups))


SECTION = SpeedUpSection()
