"""The section that sets boards side by side, on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.figures import Figure
from tunebench.reports.sections.base.panels import board_multiples
from tunebench.reports.sections.base.section import Page, Section, partial


@dataclass(frozen=True)
class _View:
    figures: Sequence[Figure]


class BoardsSection(Section):
    """The section that sets boards side by side, on one scale."""

    ident = "boards"
    nav = "Boards"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("boards")

    def view(self, page: Page) -> _View | None:
        """Return one figure for each task that ran on several boards; None without any."""
        figures = page.lighter(board_multiples(page.groups, page.styles))
        return _View(figures) if figures else None


SECTION = BoardsSection()
