"""The lab's pages in a real browser: axe-core, a phone, no script, and the way from page to page."""

from __future__ import annotations

import pytest

from tests.reports.render.browser.test_accessible import axe, violations  # noqa: F401 - axe is a fixture
from tunebench.reports.history import index
from tunebench.reports.history.simulated import SimulatedLab
from tunebench.reports.render.site import links_beside, write_site

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A lab of eight nights."""
    root = tmp_path_factory.mktemp("site")
    lab = SimulatedLab(boards=2, cells=3, repetitions=3)
    for night in range(8):
        lab.write_night(root / "results", night)
    made = index.build(root / "results")
    write_site(made.path, (), root / "public", links_beside(root / "results", root / "public"))
    return root / "public"


@pytest.mark.parametrize("folder", ["", "boards", "series", "nights"])
def test_axe_finds_nothing_serious_and_a_phone_scrolls_no_page_sideways(visit, site, axe, folder):  # noqa: F811
    path = min((site / folder).glob("*.html"))
    page = visit(path, viewport={"width": 400, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert violations(page, axe) == []


def test_without_a_script_one_gets_from_the_lab_to_a_series_to_a_night_and_back(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site / "index.html").as_uri())
    page.get_by_role("link", name="board-01 / simulated/mlp / method-02").click()
    assert page.locator("svg").first.is_visible()
    page.get_by_role("link", name="2026-01-08 02:00").click()
    assert page.get_by_role("heading", level=1).text_content() == "2026-01-08 02:00"
    page.get_by_role("link", name="The lab").click()
    assert page.get_by_role("heading", level=1).text_content() == "The lab"
    context.close()
