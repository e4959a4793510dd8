"""axe-core on the pages: nothing serious or critical, in both themes, wide and narrow, folded and unfolded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunebench.reports.history.gating import Judgement, NightFinding
from tunebench.reports.history.screen import Screening, Sight
from tunebench.reports.render.html import render
from tunebench.reports.results import RunReader

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


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u202e{{7*7}}"


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
def test_a_gates_verdict_is_the_first_thing_seen_and_axe_finds_nothing_serious(
    visit, lab_run, tmp_path, axe, width, scheme
):
    finding = NightFinding(
        "REGRESSION", "b", EVIL, "k", "time", 1.0, Screening("suspect", 0.3, 9.0, 12), reason=EVIL
    )
    judgement = Judgement("r", [finding, NightFinding("UNCLEAR", "b", "b / t / m", "l", "time")], 12)
    judgement.sight = Sight(0.12, 0.04, 8, 0)
    path = tmp_path / "gate.html"
    path.write_text(render(RunReader(lab_run), gate=judgement), encoding="utf-8")
    page = visit(path, viewport={"width": width, "height": 800}, color_scheme=scheme)
    box = page.locator("#gate").bounding_box()
    assert box["y"] < 60
    assert box["y"] + box["height"] < 800
    assert box["x"] + box["width"] <= width
    assert page.title().startswith("Regression")
    assert violations(page, axe) == []
