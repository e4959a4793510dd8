"""axe-core on the pages: nothing serious or critical, in both themes, wide and narrow, folded and unfolded."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

#: WCAG 2.2 A and AA, and what axe calls best practice.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def axe():
    """axe-core's source (MPL-2.0), carried by the package axe-playwright-python."""
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    return (Path(package.__path__[0]) / "axe.min.js").read_text(encoding="utf-8")


def violations(page, axe):
    page.evaluate(axe)
    asked = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
    results = page.evaluate("asked => axe.run(asked)", asked)
    assert results["passes"]
    return [
        (
            violation["impact"],
            violation["id"],
            [node["target"] for node in violation["nodes"][:3]],
            violation["nodes"][0]["failureSummary"],
        )
        for violation in results["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("lab_run", "light"),
        ("lab_run", "dark"),
        ("study_run", "light"),
        ("lorae_run", "light"),
        ("lorae_run", "dark"),
        ("comparison", "light"),
        ("comparison", "dark"),
    ],
)
def test_axe_finds_nothing_serious(visit, pages, axe, name, scheme):
    page = visit(pages[name], viewport={"width": 1400, "height": 900}, color_scheme=scheme)
    assert violations(page, axe) == []


def test_axe_finds_nothing_serious_on_a_phone_with_everything_unfolded(visit, pages, axe):
    page = visit(pages["lab_run"], viewport={"width": 400, "height": 900})
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.locator("#traces").scroll_into_view_if_needed()
    page.locator("#traces canvas").first.wait_for()
    assert violations(page, axe) == []


def test_axe_finds_nothing_serious_in_hostile_content(visit, hostile, axe):
    assert violations(visit(hostile), axe) == []
