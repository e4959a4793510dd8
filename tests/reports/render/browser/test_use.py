"""The report in use: sorting, filtering, links that keep the view, traces, downloads, themes; and without a script."""

from __future__ import annotations

import csv
import io
import json

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROWS = "#comparison .group:not([hidden]) tbody tr:not([hidden])"


@pytest.fixture
def lab_page(visit, pages):
    """Opens the lab's report, with an address if one is given."""
    return lambda hash_="", **options: visit(pages["lab_run"], hash_, **options)


def column(page, key):
    """Values of a column of the first comparison table, from top to bottom."""
    return page.evaluate(
        """key => { const table = document.querySelector('table.compare');
           const at = [...table.querySelectorAll('thead th')].findIndex(h => h.dataset.key === key);
           return [...table.tBodies[0].rows].map(r => r.cells[at].dataset.v || ''); }""",
        key,
    )


def head(page, key):
    return page.locator(f"table.compare thead th[data-key='{key}']").first


def test_a_click_on_a_heading_sorts_and_a_third_one_restores(lab_page):
    page = lab_page()
    before = column(page, "time")
    head(page, "time").locator("button").click()
    up = [float(value) for value in column(page, "time")]
    assert up == sorted(up)
    assert head(page, "time").get_attribute("aria-sort") == "ascending"
    head(page, "time").locator("button").click()
    down = [float(value) for value in column(page, "time")]
    assert down == sorted(down, reverse=True)
    assert head(page, "time").get_attribute("aria-sort") == "descending"
    head(page, "time").locator("button").click()
    assert column(page, "time") == before


def test_sorting_works_by_keyboard(lab_page):
    page = lab_page()
    head(page, "method").locator("button").focus()
    page.keyboard.press("Enter")
    names = column(page, "method")
    assert names == sorted(names, key=str.lower)


def test_words_board_and_verdict_filter_the_rows(lab_page):
    page = lab_page()
    total = page.locator(ROWS).count()
    page.fill("#filter-words", "lora-last")
    assert page.locator(ROWS).count() == 2
    assert page.locator("#filter-found").inner_text() == f"2 of {total} rows"
    page.select_option("#filter-board", "orin-02")
    assert page.locator(ROWS).count() == 1
    assert not page.locator("[data-board='pi5-01']").first.is_visible()
    page.click("#filter-clear")
    page.select_option("#filter-verdict", "faster")
    assert 0 < page.locator(ROWS).count() < total
    assert all("faster" in text for text in page.locator(ROWS).all_inner_texts())


def test_a_link_brings_the_view_back(lab_page, pages):
    page = lab_page()
    page.fill("#filter-words", "lora")
    head(page, "energy").locator("button").click()
    page.select_option("#filter-board", "orin-02")
    page.locator("[data-tabs='q'] button", has_text="Memory").click()
    hash_ = page.evaluate("location.hash")
    assert "b=orin-02" in hash_
    assert "m=lora" in hash_
    again = lab_page(hash_)
    assert again.input_value("#filter-words") == "lora"
    assert again.input_value("#filter-board") == "orin-02"
    assert again.locator(ROWS).all_inner_texts() == page.locator(ROWS).all_inner_texts()
    assert again.locator("div[data-panel='memory']").first.is_visible()
    assert not again.locator("[data-tabs='q'] div[data-panel='time']").first.is_visible()


def test_hostile_words_in_a_link_are_only_words(lab_page):
    page = lab_page(
        "#m=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&b=%22%5D&sort=__proto__&q=constructor&t=%27%5D"
    )
    assert page.locator("img").count() == 0
    assert page.input_value("#filter-words").startswith("<img")


def test_traces_are_drawn_when_unfolded_and_not_before(lab_page):
    page = lab_page()
    packed = page.locator("script[id^='data-trace']").count()
    assert packed >= 8
    assert page.locator("script[data-decoded]").count() == 0
    first = page.locator("#traces details.trace").first
    first.locator("summary").first.click()
    first.locator("canvas").first.wait_for()
    assert page.locator("script[data-decoded]").count() == 1
    second = page.locator("#traces details.trace").nth(1)
    second.locator("summary").first.click()
    second.locator("canvas").first.wait_for()
    assert page.locator("script[data-decoded]").count() == 2
    assert "t=trace-" in page.evaluate("location.hash")


def test_a_trace_zooms_and_shows_the_baseline(lab_page):
    page = lab_page("#t=trace-g0-2")
    trace = page.locator("details", has=page.locator("[data-plot='trace-g0-2']"))
    trace.locator("canvas").first.wait_for()
    shot = trace.locator(".plot-area").screenshot()
    trace.get_by_role("button", name="Zoom in").click()
    page.wait_for_timeout(100)
    assert trace.locator(".plot-area").screenshot() != shot
    trace.get_by_role("button", name="Whole run").click()
    trace.get_by_role("checkbox").check()
    trace.locator("canvas").first.wait_for()
    trace.locator(".u-over").first.hover()
    page.wait_for_timeout(100)
    assert " s, " in trace.locator(".plot-say").inner_text()


def test_the_data_of_the_page_can_be_saved(lab_page):
    page = lab_page()
    with page.expect_download() as download:
        page.click("[data-download='data-csv']")
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert len(rows) == 108
    assert {row["board_id"] for row in rows} == {"pi5-01", "orin-02"}
    with page.expect_download() as download:
        page.click("[data-download='data-json']")
    assert json.loads(download.value.path().read_text())["run"]["run_id"] == "20261121T074500Z-a1b2"


def test_the_theme_button_beats_the_system_and_redraws_traces(lab_page):
    page = lab_page("#t=trace-g0-0", color_scheme="light")
    page.locator("#traces canvas").first.wait_for()
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 22)"
    assert page.locator("#theme").inner_text() == "Light"
    page.locator("#traces canvas").first.wait_for()
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_on_paper_every_panel_and_table_stands_and_no_control(lab_page):
    page = lab_page()
    page.emulate_media(media="print")
    assert not page.locator("#comparison .controls").is_visible()
    assert not page.locator("#chooser").is_visible()
    assert not page.locator("#theme").is_visible()
    assert page.locator("[data-tabs='q'] div[data-panel='memory'] h3.panel-name").is_visible()
    assert page.locator("#speed-up .draw:visible").count() == 8


def test_on_paper_a_trace_that_was_drawn_stands_once(lab_page):
    page = lab_page("#t=trace-g0-0")
    page.locator("#traces canvas").first.wait_for()
    page.emulate_media(media="print")
    assert not page.locator("#traces canvas").first.is_visible()
    assert page.locator("#traces .draw:visible").count() >= 1


def test_without_scripts_everything_stands_there(lab_page):
    page = lab_page(java_script_enabled=False)
    assert page.locator("#comparison tbody tr").count() == 10
    assert not page.locator("#comparison .controls").is_visible()
    assert not page.locator("#chooser").is_visible()
    assert not page.locator("#theme").is_visible()
    assert page.locator("div[data-panel='memory']").first.is_visible()
    assert not page.locator("#traces .draw").first.is_visible()
    page.locator("#traces summary").first.click()
    assert page.locator("#traces .draw").first.is_visible()
    assert not page.locator(".plot-bar").first.is_visible()
    page.locator("#speed-up summary").first.click()
    assert page.locator("#speed-up table").first.is_visible()


def test_hostile_content_is_shown_as_text(visit, hostile):
    page = visit(hostile)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.fill("#filter-words", "<script>")
    page.fill("#filter-words", "")
    assert page.locator("img").count() == 0
    assert page.evaluate("document.scripts.length - document.querySelectorAll('script[type]').length") == 2
    text = page.locator("body").inner_text()
    assert "<script>alert(1)</script>" in text
    assert "{{7*7}}" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "x" * 5000 not in text
    assert hostile.stat().st_size < 1_500_000
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_comparison_of_two_runs_needs_no_script(visit, pages):
    page = visit(pages["comparison"], viewport={"width": 400, "height": 900})
    assert page.locator("script").count() == 0
    assert "are not paired" in page.locator("body").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
