"""The section on peak memory and bytes of the update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.figures import Figure
from tunebench.reports.figures.sizes import no_increment
from tunebench.reports.sections.base.panels import size_figures
from tunebench.reports.sections.base.section import Page, Section, partial


@dataclass(frozen=True)
class _View:
    sizes: Sequence[tuple[str, str, Sequence[Figure]]]
    notes: Sequence[str]


class MemorySection(Section):
    """The section on peak memory and bytes of the update."""

    ident = "memory"
    nav = "Memory"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("memory")

    def view(self, page: Page) -> _View:
        """Return figures by board and task."""
        return _View(size_figures(page.groups, page.summary.environment), no_increment(page.summary.rows))


SECTION = MemorySection()
