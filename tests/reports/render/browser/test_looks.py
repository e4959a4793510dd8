"""The report in a real browser: silent, offline, without sideways scrolling, in both themes and on paper."""

import pytest

from tests.reports.render.browser.contrast import too_faint

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(params=["lab_run", "study_run"])
def report(request, pages):
    """The page of a lab's campaign, and that of a study."""
    return pages[request.param]


@pytest.fixture
def open_page(visit, report):
    """Opens the report."""
    return lambda **options: visit(report, **options)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 768, 1024, 1400])
def test_the_page_does_not_scroll_sideways(open_page, width, scheme):
    page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_comparison_fits_a_desktop(open_page):
    page = open_page(viewport={"width": 1400, "height": 900})
    assert page.evaluate(
        "(e => e.scrollWidth <= e.clientWidth)(document.querySelector('.compare').parentElement)"
    )


@pytest.mark.parametrize(("width", "shown", "hidden"), [(1400, "wide", "narrow"), (400, "narrow", "wide")])
def test_each_width_has_its_drawing(visit, pages, width, shown, hidden):
    page = visit(pages["lab_run"], viewport={"width": width, "height": 900})
    assert page.locator(f"#speed-up .draw.{shown}").first.is_visible()
    assert not page.locator(f"#speed-up .draw.{hidden}").first.is_visible()


@pytest.mark.parametrize("width", [1400, 400])
def test_a_page_with_many_rows_has_one_drawing_for_every_width(visit, pages, width):
    page = visit(pages["study_run"], viewport={"width": width, "height": 900})
    assert page.locator("#speed-up .draw.once").first.is_visible()
    assert page.locator("#speed-up .draw.wide, #speed-up .draw.narrow").count() == 0


@pytest.mark.parametrize("width", [1400, 400])
def test_text_in_figures_is_large_enough_to_read(open_page, width):
    page = open_page(viewport={"width": width, "height": 900})
    # A closed trace has a third of the line, an open one all of it.
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    least = page.evaluate(
        """() => Math.min(...[...document.querySelectorAll('.draw svg')].filter(s => s.getBoundingClientRect().width)
           .map(s => s.getBoundingClientRect().width / s.viewBox.baseVal.width * 12.5))"""
    )
    assert least >= 11


def test_the_theme_follows_the_system(open_page):
    ask = "getComputedStyle(document.body).backgroundColor"
    assert open_page(color_scheme="light").evaluate(ask) == "rgb(255, 255, 255)"
    assert open_page(color_scheme="dark").evaluate(ask) == "rgb(16, 19, 22)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(open_page, scheme):
    """WCAG AA: 4.5 to 1 for the page's ink, muted text, links and warnings."""
    page = open_page(color_scheme=scheme)
    selectors = [
        "h1",
        ".lead",
        ".meta",
        "nav a",
        ".not h2",
        ".not li",
        ".compare .second",
        ".chip",
        "summary",
        "footer",
    ]
    assert too_faint(page, selectors) == []


def test_the_numbers_under_a_figure_unfold_without_script(open_page):
    page = open_page()
    table = page.locator("#speed-up details table").first
    assert not table.is_visible()
    page.locator("#speed-up details summary").first.click()
    assert table.is_visible()


def test_a_printed_page_is_light_fits_a4_and_has_no_navigation(open_page, tmp_path):
    page = open_page(color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    page.set_viewport_size({"width": 720, "height": 1000})  # A4 less its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    page.pdf(path=str(tmp_path / "report.pdf"))
    assert (tmp_path / "report.pdf").stat().st_size > 20_000
