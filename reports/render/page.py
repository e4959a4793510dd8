"""The page of a report: what its sections are made from."""

from __future__ import annotations

from tunebench.reports.figures import Styles
from tunebench.reports.formatting.privacy import Scrub
from tunebench.reports.results.reader import RunReader
from tunebench.reports.sections.base.groups import groups_of
from tunebench.reports.sections.base.section import Page
from tunebench.reports.sections.base.trend import Trend
from tunebench.reports.summary import Summary


def page_of(summary: Summary, reader: RunReader, scrub: Scrub, trend: Trend) -> Page:
    """Return the page: the data that all sections are made from.

    Args:
        summary: text that names a person or a machine is taken out already.
    """
    rows = summary.rows
    styles = Styles(
        [row.label for row in rows] + [rep.label for rep in summary.repetitions],
        baselines=[name for name in summary.baselines.values() if name],
        controls=[row.label for row in rows if row.aa_control],
    )
    return Page(summary, reader, scrub, groups_of(rows), styles, trend)
