"""What each method does: a card for each, with a diagram that says the same to those who do not see it."""

import re
import xml.etree.ElementTree as ET

import pytest

from tunebench.reports.figures.methods.diagram import method_diagram
from tunebench.reports.figures.methods.known import KNOWN, KnownMethod
from tunebench.reports.render.html import render
from tunebench.reports.results import RunReader
from tunebench.reports.sections.base.method_words import what_it_costs, what_trains
from tunebench.reports.sections.base.rows import comparison_table
from tunebench.reports.sections.comparison import SECTION
from tunebench.reports.sections.methods import method_cards
from tunebench.reports.summary import summarise

SVG = "{http://www.w3.org/2000/svg}"


def diagram(name):
    method = KNOWN[name]
    return ET.fromstring(
        str(method_diagram("d", name, method, f"{what_trains(method)} {what_it_costs(method)}"))
    )


def marks(name):
    """How often each class stands in a diagram."""
    classes = [element.get("class") for element in diagram(name).iter()]
    return {css: classes.count(css) for css in ("m-trains", "m-frozen", "m-adapter", "m-kept")}


def test_every_method_has_its_own_two_lines():
    lines = {name: (what_trains(method), what_it_costs(method)) for name, method in KNOWN.items()}
    assert len(set(lines.values())) == len(KNOWN)
    assert all(line.endswith(".") and len(line) < 160 for pair in lines.values() for line in pair)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ft-all", {"m-trains": 6, "m-frozen": 0, "m-adapter": 0, "m-kept": 0}),
        ("ft-last", {"m-trains": 2, "m-frozen": 4, "m-adapter": 0, "m-kept": 0}),
        ("ft-bias", {"m-trains": 3, "m-frozen": 3, "m-adapter": 0, "m-kept": 0}),
        ("ft-all-lora", {"m-trains": 6, "m-frozen": 0, "m-adapter": 3, "m-kept": 0}),
        ("lora-all", {"m-trains": 0, "m-frozen": 6, "m-adapter": 3, "m-kept": 0}),
        ("lora-last", {"m-trains": 0, "m-frozen": 6, "m-adapter": 1, "m-kept": 0}),
        ("skip-lora", {"m-trains": 0, "m-frozen": 6, "m-adapter": 3, "m-kept": 0}),
        # Inputs of both later layers, and what the frozen last layer gives.
        ("skip2-lora", {"m-trains": 0, "m-frozen": 6, "m-adapter": 3, "m-kept": 3}),
        ("lora-last-cached", {"m-trains": 0, "m-frozen": 6, "m-adapter": 1, "m-kept": 2}),
        # Its last layer trains: what that gives changes and is not kept.
        ("ft-last-cached", {"m-trains": 2, "m-frozen": 4, "m-adapter": 0, "m-kept": 1}),
        ("lorae", {"m-trains": 0, "m-frozen": 6, "m-adapter": 3, "m-kept": 0}),
        ("untrained", {"m-trains": 0, "m-frozen": 6, "m-adapter": 0, "m-kept": 0}),
        ("reestimated", {"m-trains": 0, "m-frozen": 6, "m-adapter": 0, "m-kept": 0}),
        # BatchNorm's affine; the last layer has none.
        ("tent", {"m-trains": 2, "m-frozen": 4, "m-adapter": 0, "m-kept": 0}),
    ],
)
def test_the_diagram_shows_what_trains_where_adapters_sit_and_what_is_kept(name, expected):
    assert marks(name) == expected


def test_gradients_are_drawn_as_far_as_they_go():
    def reach(name):
        lines = [e for e in diagram(name).iter(SVG + "line") if e.get("class") == "m-back"]
        return float(lines[0].get("x1")) if lines else None

    assert (
        reach("lora-all") == reach("ft-all") == reach("ft-bias") < reach("skip2-lora") == reach("lora-last")
    )
    assert reach("untrained") is None and reach("reestimated") is None and reach("tent") == reach("ft-all")


@pytest.mark.parametrize("name", KNOWN)
def test_those_who_do_not_see_a_diagram_read_its_two_lines(name):
    root = diagram(name)
    assert root.get("role") == "img"
    assert root.find(SVG + "title").text == f"Diagram of {name}"
    assert root.find(SVG + "desc").text == f"{what_trains(KNOWN[name])} {what_it_costs(KNOWN[name])}"


@pytest.mark.parametrize("name", KNOWN)
def test_everything_in_a_diagram_lies_inside_it(name):
    root = diagram(name)
    _, _, width, height = map(float, root.get("viewBox").split())
    for rect in root.iter(SVG + "rect"):
        x, y, w, h = (float(rect.get(key)) for key in ("x", "y", "width", "height"))
        assert x >= 0 and y >= 0 and x + w <= width and y + h <= height
    for line in root.iter(SVG + "polyline"):
        points = [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


def test_the_page_has_a_card_for_each_method_and_none_twice(demo):
    html = render(demo)
    section = html[html.index('<section id="each-method">') :]
    section = section[: section.index("</section>")]
    names = re.findall(r"<li><h3>([^<]+)</h3>", section)
    assert names == ["ft-all", "lora-all", "lora-last", "skip2-lora"], "the A/A control is its twin"
    assert section.count('role="img"') == 4
    assert "Adapters of this run have rank 4." in section
    assert 'href="#each-method"' in html


def section_of(reader):
    html = render(reader)
    section = html[html.index('<section id="each-method">') :]
    return section[: section.index("</section>")]


def test_how_weights_were_updated_is_told_where_it_is_not_the_plain_way(store_reps, make_record):
    adamw = {"optimizer": "adamw", "schedule": "cosine", "clip": 1.0, "rank": 4}
    reps = [
        make_record(),
        make_record(label="lora-all adamw", method="lora-all", params=adamw),
        make_record(
            label="lora-all fast", method="lora-all", params={"schedule": "cosine", "lora_plus": 16.0}
        ),
        make_record(label="mine", method="own", own=True),
    ]
    sentence = (
        "Trained by: ft-all: plain SGD at a constant rate; lora-all adamw: AdamW, cosine schedule, gradients clipped at "
        "1; lora-all fast: SGD, cosine schedule, LoRA+ 16."
    )
    reader = store_reps(reps)
    assert sentence in section_of(reader)
    summary = summarise(reader)
    for shown in (SECTION.text(summary), [SECTION.markdown(summary, 60_000)]):
        assert sentence in " ".join(" ".join(shown).split())


def test_one_training_of_all_methods_is_told_once(store_reps, make_record):
    params = {"optimizer": "momentum", "weight_decay": 0.01}
    reps = [make_record(label=label, method=label, params=params) for label in ("ft-all", "lora-all")]
    reader = store_reps(reps)
    assert "Trained by SGD with momentum 0.9, weight decay 0.01." in section_of(reader)
    shared = comparison_table(summarise(reader).rows).shared
    assert ("trained by", "SGD with momentum 0.9, weight decay 0.01") in shared


def test_the_plain_way_needs_no_words(demo):
    summary = summarise(demo)
    shown = [section_of(demo), *SECTION.text(summary), SECTION.markdown(summary, 60_000)]
    assert all("rained by" not in text for text in shown)


def test_a_method_of_ones_own_and_an_unknown_one_are_called_what_they_are(store_reps, make_record):
    reps = [make_record(label="mine", method="own", own=True), make_record(label="ft-all", method="zo-9000")]
    own, unknown = method_cards(summarise(store_reps(reps)).rows)
    assert (own.name, own.first, own.diagram) == ("mine", "A method of your own.", None)
    assert unknown.first == "A method that this version does not know."


def test_a_run_without_records_has_no_such_section_and_no_link_to_it(campaign, tmp_path):
    campaign.methods, campaign.finish = [], False
    html = render(RunReader(campaign.write(tmp_path)))
    assert 'href="#each-method"' not in html
    assert 'id="each-method"' not in html


def test_a_method_that_trains_nothing_and_mixed_ones_are_put_into_words():
    assert what_trains(KnownMethod()) == "Nothing trains."
    assert what_trains(KnownMethod(weights="last", biases="all")) == (
        "Only weights of the last layer and biases of all layers train."
    )
