"""A large lab's night with every section: small enough to mail, and opened within seconds."""

from __future__ import annotations

import pytest

from tunebench.reports.history import index
from tunebench.reports.history.simulated import SimulatedLab
from tunebench.reports.history.simulated.details import fill_up
from tunebench.reports.render.html import render
from tunebench.reports.results import RunReader

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """8 boards x 12 cells x 5 blocks with traces, energy, phases and curves, and 30 nights before it."""
    root = tmp_path_factory.mktemp("large")
    lab = SimulatedLab(boards=8, cells=12, repetitions=5)
    for night in range(31):
        folder = lab.write_night(root, night)
    fill_up(folder)
    path = root / "report.html"
    path.write_text(render(RunReader(folder), index=index.build(root).path), encoding="utf-8")
    return path


def test_the_page_stays_below_two_megabytes(large):
    assert large.stat().st_size < 2_000_000


def test_it_opens_soon_and_decodes_no_trace_that_it_does_not_show(visit, large):
    loaded_ms = []
    for _ in range(3):
        page = visit(large, viewport={"width": 1400, "height": 900})
        loaded_ms.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    # The soonest of three: what another process takes from one visit is not the page's weight.
    assert min(loaded_ms) < 2000
    assert page.locator("script[id^='data-trace']").count() > 20
    assert page.locator("script[data-decoded]").count() == 0
    page.locator("#traces details.trace summary").first.click()
    page.locator("#traces canvas").first.wait_for()
    assert page.locator("script[data-decoded]").count() == 1


@pytest.mark.parametrize("width", [1400, 400])
def test_it_has_no_sideways_scrolling(visit, large, width):
    page = visit(large, viewport={"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
