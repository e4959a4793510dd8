"""The contract of a report section, and what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import ClassVar, Protocol

from tunebench.reports.figures import Figure, Styles
from tunebench.reports.formatting.noted_table import NotedTable
from tunebench.reports.formatting.privacy import Scrub
from tunebench.reports.formatting.table import DataTable, captioned
from tunebench.reports.results.reader import RunReader
from tunebench.reports.sections.base.groups import Group
from tunebench.reports.sections.base.panels import is_heavy, once
from tunebench.reports.sections.base.trend import Trend
from tunebench.reports.summary import Summary


@dataclass(frozen=True)
class Page:
    """The data that a section of the HTML page is made from.

    Attributes:
        summary: all numbers of the run; names of people and machines are taken out already.
        reader: the run itself, for traces and logs. Text read from it must go through ``scrub``.
        scrub: takes names of people and machines out of a text.
        groups: the rows that may be compared with each other, in the order of the run.
        styles: the look of each method, the same in every figure.
        trend: the nights of a store; ``trend.why`` says why there are none.
    """

    summary: Summary
    reader: RunReader
    scrub: Scrub
    groups: Sequence[Group]
    styles: Styles
    trend: Trend

    @property
    def heavy(self) -> bool:
        """Return whether the page holds so much that figures are drawn once, not for wide and narrow screens."""
        return is_heavy(self.groups)

    def lighter(self, figures: Sequence[Figure]) -> Sequence[Figure]:
        """Return the figures, in one drawing only where the page is heavy."""
        return once(figures) if self.heavy else list(figures)


class Section(Protocol):
    """One section of the report: subclass this, and name an instance ``SECTION`` in the section's module.

    The modules of tunebench's sections stand in :data:`tunebench.reports.sections.registry.MODULES`. Another package
    names its class in the entry point group ``tunebench.sections``; tunebench makes one instance and shows it after its
    own.

    When a report is written, tunebench calls, for each section in turn:

    - HTML: :meth:`view`, then, unless that is None, renders :meth:`template` with the variables ``view`` (what
      :meth:`view` returned) and ``summary``. All text is escaped; figures and ``Markup`` are not.
    - plain text: :meth:`text`, whose blocks stand one below the other with an empty line between them.
    - Markdown: :meth:`markdown`.

    A section without anything to show returns None, nothing or an empty text and is left out, also from the
    navigation. It must not change what it is given, and must not read or write files but through ``page.reader``.

    Attributes:
        ident: the section's anchor, as in ``<section id="energy">``; letters, digits and ``-``, unique in a report.
        nav: its name in the page's navigation; empty: it is not named there.
        text_place: where it stands in plain text, small numbers first; the page has the order of the list.
    """

    ident: ClassVar[str]
    nav: ClassVar[str] = ""
    text_place: ClassVar[int] = 1000

    def template(self) -> str:
        """Return the source of the template partial (Jinja): one ``<section>`` element with ``ident`` as its id.

        ``{% from "macros.html.j2" import figure, data_table with context %}`` gives macros for figures and tables.
        A file of your package: ``resources.files("mylab").joinpath("queue.html.j2").read_text(encoding="utf-8")``.
        """
        return ""

    def view(self, page: Page) -> object | None:
        """Return what the template reads: numbers, words, tables and figures; None: the page has no such section."""
        return None

    def text(self, summary: Summary) -> Sequence[str]:
        """Return blocks of plain text, without colour, lines of at most 110 characters."""
        return ()

    def markdown(self, summary: Summary, limit: int) -> str:
        """Return Markdown of at most ``limit`` characters; foreign text must be escaped."""
        return ""


class TablesSection(Section):
    """A section of tables: the page's view is their list, plain text has one below the other."""

    def tables(self, summary: Summary) -> Sequence[DataTable]:
        """Return the tables; none: the section is left out."""
        raise NotImplementedError

    def view(self, page: Page) -> object | None:
        """Return the tables."""
        return self.tables(page.summary) or None

    def text(self, summary: Summary) -> Sequence[str]:
        """Return the tables."""
        return captioned(self.tables(summary))


class NotedSection(Section):
    """A section of one table with notes, which say why others are missing.

    Attributes:
        caption: of the table.
    """

    caption: ClassVar[str]

    def noted(self, summary: Summary) -> NotedTable | None:
        """Return the table and its notes; None: the section is left out."""
        raise NotImplementedError

    def view(self, page: Page) -> object | None:
        """Return the table and its notes."""
        return self.noted(page.summary)

    def text(self, summary: Summary) -> Sequence[str]:
        """Return the table and its notes."""
        noted = self.noted(summary)
        return noted.text(self.nav, self.caption) if noted is not None else []


def partial(name: str) -> str:
    """Return the source of one of tunebench's own template partials."""
    folder = resources.files("tunebench.reports.sections").joinpath("templates")
    return folder.joinpath(f"{name}.html.j2").read_text(encoding="utf-8")
