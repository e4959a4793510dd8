"""The head of the page: the answer is seen at once, one can choose by limits, and what is folded unfolds."""

from __future__ import annotations

import pytest

from tests.reports.render.browser.contrast import too_faint

pytestmark = [pytest.mark.browser, pytest.mark.slow]

DESK, PHONE = {"width": 1400, "height": 900}, {"width": 400, "height": 800}


@pytest.fixture
def open_page(visit, pages):
    """Opens a page by the name of its run, at a size, with an address if one is given."""
    return lambda name, size=DESK, hash_="", **options: visit(pages[name], hash_, viewport=size, **options)


def seen(page, locator):
    """Whether the whole of an element is on the screen as the page was opened, without scrolling."""
    box, size = locator.bounding_box(), page.viewport_size
    assert page.evaluate("scrollY") == 0
    return (
        box is not None
        and box["width"] > 0
        and box["x"] >= 0
        and box["x"] + box["width"] <= size["width"]
        and box["y"] >= 0
        and box["y"] + box["height"] <= size["height"]
    )


def row_of(page, label):
    return page.locator(f"table.methods tr[data-name='{label}']").first


def ranking(page):
    return page.evaluate(
        "() => [...document.querySelectorAll('table.methods tbody tr')].map(row => row.dataset.name)"
    )


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_one_task_is_answered_at_first_sight(open_page, size):
    """A method, its factor, its accuracy difference and the verdict, at 1400 x 900 and on a phone at 400 x 800."""
    page = open_page("answer_run", size)
    claim = page.locator("[data-slot=claim]")
    assert seen(page, claim)
    assert claim.inner_text().startswith(
        "Use skip2-lora: 7.0× faster than lora-all at equal accuracy (+0.3 points)"
    )
    row = row_of(page, "skip2-lora")
    assert seen(page, row)
    assert "7.0×" in row.inner_text()
    assert "+0.3 points" in row.inner_text()
    for chip in row.locator(".chip").all():
        assert seen(page, chip)
    assert [chip.inner_text().split()[-1] for chip in row.locator(".chip").all()] == ["faster", "same"]


@pytest.mark.parametrize(
    ("name", "size"), [("lab_run", DESK), ("lab_run", PHONE), ("lorae_run", DESK), ("lorae_run", PHONE)]
)
def test_each_of_several_tasks_is_answered_at_first_sight(open_page, name, size):
    page = open_page(name, size)
    rows = page.locator("table.answers tbody tr").all()
    assert len(rows) >= 2
    for row in rows:
        assert seen(page, row)
        assert row.locator("[data-slot=lead]").inner_text() != ""
        assert "×" in row.locator("[data-slot=time] .figure-of").inner_text()
        assert "points" in row.locator("[data-slot=accuracy] .figure-of").inner_text()
        assert seen(page, row.locator("[data-slot=time] .chip"))
        assert seen(page, row.locator("[data-slot=accuracy] .chip"))


def test_limits_rank_the_methods_anew_and_stand_in_the_address(open_page, pages):
    page = open_page("answer_run")
    before = ranking(page)
    assert row_of(page, "skip2-lora").get_attribute("class") == "pick"
    page.fill("#limit-kib", "2")
    assert (
        page.locator("[data-slot=chosen]")
        .inner_text()
        .startswith(
            "Within these limits, the fastest: lora-last, 1.73× faster than lora-all, accuracy −2.8 points"
        )
    )
    assert not page.locator("[data-slot=claim]").is_visible()
    assert ranking(page)[0] == "lora-last"
    assert row_of(page, "ft-all").locator("[data-slot=out]").inner_text() == "over the limit of update"
    assert "kib=2" in page.evaluate("location.hash")
    page.fill("#limit-loss", "1")
    assert page.locator("[data-slot=chosen]").inner_text() == "No method keeps within these limits."
    page.click("#limit-clear")
    assert ranking(page) == before
    assert page.locator("[data-slot=claim]").is_visible()
    assert not page.locator("[data-slot=chosen]").is_visible()
    assert page.evaluate("location.hash") == ""


def test_a_link_brings_the_choice_back(open_page):
    page = open_page("answer_run")
    page.select_option("#limit-least", "points")
    page.fill("#limit-joule", "0.7")
    chosen = page.locator("[data-slot=chosen]").inner_text()
    assert chosen.startswith("Within these limits, the most accurate: skip2-lora")
    again = open_page("answer_run", hash_=page.evaluate("location.hash"))
    assert again.locator("[data-slot=chosen]").inner_text() == chosen
    assert again.input_value("#limit-joule") == "0.7"
    assert again.input_value("#limit-least") == "points"
    assert ranking(again) == ranking(page)


def test_the_most_accurate_is_another_answer_than_the_fastest(open_page):
    page = open_page("answer_run", hash_="#least=points")
    assert (
        "the most accurate: ft-all, 1.39× the time of lora-all, accuracy +1.9 points"
        in page.locator("[data-slot=chosen]").inner_text()
    )
    assert row_of(page, "ft-all").get_attribute("class") == "pick"


@pytest.mark.parametrize(
    "hash_", ["#loss=-1&mem=abc&joule=&kib=NaN", "#least=__proto__", "#least=constructor&loss=%3Cimg%3E"]
)
def test_an_address_with_nonsense_leaves_the_answer(open_page, hash_):
    page = open_page("answer_run", hash_=hash_)
    assert page.locator("[data-slot=claim]").is_visible()
    assert page.locator("img").count() == 0


def test_limits_speak_of_every_task_of_a_run(open_page):
    page = open_page("lab_run")
    do = page.locator("table.answers td[data-slot=do]")
    assert do.all_inner_texts() == ["Stay with ft-all", "Stay with ft-all"]
    page.fill("#limit-loss", "2")
    assert do.all_inner_texts() == ["Use skip2-lora", "Use skip2-lora"]
    assert page.locator("#limit-found").inner_text() == "2 of 2 have a method within these limits"
    page.fill("#limit-loss", "0")
    assert do.all_inner_texts() == ["Stay with ft-all", "Stay with ft-all"]
    page.click("#limit-clear")
    assert page.locator("table.answers [data-slot=lead]").first.inner_text() == "skip2-lora"


def test_the_chooser_works_by_keyboard(open_page):
    page = open_page("answer_run")
    page.locator("#limit-loss").focus()
    page.keyboard.type("0")
    page.keyboard.press("Enter")
    assert (
        page.locator("[data-slot=chosen]")
        .inner_text()
        .startswith("Within these limits, the fastest: skip2-lora")
    )


def test_without_scripts_the_answer_stands_and_nothing_that_would_not_work(open_page):
    page = open_page("answer_run", java_script_enabled=False)
    assert page.locator("[data-slot=claim]").is_visible()
    assert not page.locator("[data-slot=chosen]").is_visible()
    assert not page.locator("#chooser").is_visible()
    assert page.locator("table.methods tbody tr").count() == 4
    several = open_page("lab_run", java_script_enabled=False)
    second = several.locator("details.answer").nth(1)
    assert not second.locator("table.methods").is_visible()
    second.locator("summary").first.click()
    assert second.locator("table.methods").is_visible()


def test_a_line_of_the_list_leads_to_its_answer_and_unfolds_it(open_page):
    page = open_page("lab_run")
    page.locator("table.answers a").nth(1).click()
    assert page.locator("details.answer").nth(1).evaluate("answer => answer.open")


def test_states_are_chips_that_unfold(open_page):
    page = open_page("lab_run")
    assert page.locator("#aa > summary").inner_text().startswith("A/A control: passed")
    assert page.locator("#validity > summary").inner_text().startswith("repetitions: 106 of 108 usable")
    assert not page.locator("#validity li").first.is_visible()
    page.locator("#validity > summary").click()
    assert page.locator("#validity li").first.is_visible()
    page.locator("#aa > summary").click()
    assert "pi5-01 · digits/mlp: passed" in page.locator("#aa").inner_text()


def test_two_cautions_stand_open_and_the_others_are_folded(open_page):
    page = open_page("lab_run")
    assert page.locator("#cautions li:visible").count() == 2
    page.locator("#cautions summary").click()
    assert page.locator("#cautions li:visible").count() == page.locator("#cautions li").count() > 3
    printed = open_page("lab_run")
    printed.emulate_media(media="print")
    assert printed.locator("#cautions li:visible").count() == printed.locator("#cautions li").count()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_navigation_stays_in_sight_and_hides_no_heading(open_page, size):
    page = open_page("lab_run", size, reduced_motion="reduce")
    nav = page.locator("nav")
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    assert nav.bounding_box()["y"] == 0
    nav.locator("a[href='#comparison']").click()
    heading = page.locator("#comparison h2").bounding_box()
    assert heading["y"] >= nav.bounding_box()["height"]
    assert heading["y"] < size["height"] / 2


def test_the_navigation_names_no_section_that_is_empty(open_page):
    page = open_page("answer_run")
    names = page.locator("nav a").evaluate_all("links => links.map(link => link.hash)")
    assert "#answers" in names
    for name in names:
        section = page.locator(name)
        assert section.locator("table, figure, svg, details, dl, pre, ul").count() > 0, name
    assert "#trend" not in names  # no store was given


def test_a_verdict_of_the_matrix_tells_its_reason_on_demand(open_page):
    page = open_page("answer_run")
    cell = page.locator(".matrix tbody tr", has_text="skip2-lora").locator("td").first
    assert cell.locator("summary").inner_text().startswith("▶ 7.0")
    assert not cell.locator("p").is_visible()
    cell.locator("summary").focus()
    page.keyboard.press("Enter")
    assert "The interval lies wholly beyond ±2%" in cell.locator("p").inner_text()


def test_names_of_the_second_figure_cover_neither_one_another_nor_a_point(open_page):
    page = open_page("answer_run")
    boxes = page.evaluate(
        """() => { const svg = document.querySelector('.answer-figure .draw.wide svg');
           const box = e => { const r = e.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
           return [...svg.querySelectorAll('text.strong')].map(e => [e.textContent, box(e)]); }"""
    )
    assert {name for name, _ in boxes} == {"lora-all (baseline)", "skip2-lora", "ft-all", "lora-last"}
    for i, (_, a) in enumerate(boxes):
        for _, b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_of_the_head_has_contrast(open_page, scheme):
    page = open_page("answer_run", color_scheme=scheme, hash_="#kib=2")
    selectors = [
        ".claim",
        ".claim em",
        ".others li",
        ".methods td",
        ".methods th",
        ".methods .out",
        ".chip",
        ".chooser",
        ".status summary",
        ".matrix summary",
        ".not li",
        ".not summary",
    ]
    assert too_faint(page, selectors) == []
