"""The LoRAE study in the report: our figures and published ones are labelled, one comparison is fixed beforehand, and
missing values have reasons."""

import json
import re

import pytest

from tunebench.reports.formatting.json_value import json_value
from tunebench.reports.records import Quality
from tunebench.reports.render.html import render
from tunebench.reports.render.markdown import markdown
from tunebench.reports.render.text import table
from tunebench.reports.summary import summarise

TWO = ["ft-all", "lorae-r4"]


@pytest.fixture
def block(lorae):
    """Function (**fields of the run) -> the summary's study of a run, small by default."""
    return lambda **fields: summarise(lorae(**{"sets": ["bccd"], "labels": TWO, **fields})).lorae


def section(html):
    return html[html.index('<section id="lorae">') : html.index('<section id="comparison">')]


def words(html):
    return re.sub(r"\s+", " ", re.sub(r"<(title|desc|style)[^>]*>.*?</\1>|<[^>]+>", " ", html, flags=re.S))


def method(unit, label):
    return next(row for row in unit.methods if row.label == label)


@pytest.mark.parametrize("study", [None, "skip2-lora", "something-else"])
def test_only_a_plan_that_asks_for_the_study_has_one(block, study):
    assert block(study=study, blocks=1) is None


def test_other_runs_have_no_section(demo):
    assert 'id="lorae"' not in render(demo)
    assert "LoRAE study" not in table(summarise(demo))


def test_the_study_is_json(block):
    study = block(shipped=True)
    assert json.loads(json.dumps(json_value(study), allow_nan=False)) == json_value(study)


def test_the_reduction_is_taken_against_what_ft_all_updates(block):
    (unit,) = block().units
    assert method(unit, "lorae-r4").reduction == pytest.approx(1 - 25_544 / 376_471)
    assert method(unit, "ft-all").reduction == 0
    assert unit.chosen.reduction_met is True  # 93.2% of at least 90%


def test_a_missed_reduction_is_told(block):
    (unit,) = block(labels=["ft-all", "lorae-r32"], candidate="lorae-r32").units
    assert unit.chosen.reduction_met is False


@pytest.mark.parametrize(
    ("points", "noise", "verdict"),
    [(1.0, 0.0005, "SAME"), (4.0, 0.0005, "HIGHER"), (-4.0, 0.0005, "LOWER"), (0.5, 0.02, "UNCLEAR")],
)
def test_the_candidate_is_judged_alone_against_one_point(block, points, noise, verdict):
    # the generator gives rank 4 one point less than ft-all
    (unit,) = block(points={"lorae-r4": points}, noise=noise).units
    main = unit.chosen.differences[0]
    assert (main.metric, main.verdict_alone, main.n, main.delta) == ("mAP50", verdict, 8, 1.0)


def test_below_six_blocks_there_is_no_verdict(block):
    (unit,) = block(blocks=5).units
    (main, further) = unit.chosen.differences
    assert (main.verdict_alone, main.interval) == ("NO VERDICT", "range")
    assert (further.verdict_alone, further.interval) == ("NO VERDICT", "range")


def test_a_detector_is_told_by_both_of_its_metrics(block):
    (unit,) = block().units
    assert unit.metrics == ["mAP50", "mAP50-95"]
    assert method(unit, "ft-all").quality["mAP50-95"].mean == pytest.approx(0.255, abs=0.002)
    main, further = method(unit, "lorae-r4").differences
    assert further.value == pytest.approx(main.value / 2, abs=1e-6)


def test_boards_and_tasks_are_never_pooled(lorae, fake_board):
    boards = [fake_board("pi-1", "linux"), fake_board("pi-2", "linux")]
    study = summarise(lorae(boards=boards, labels=TWO)).lorae
    assert [(u.board_id, u.dataset) for u in study.units] == [
        (board, name) for board in ("pi-1", "pi-2") for name in ("mnist", "bccd", "shapes")
    ]


def test_without_a_candidate_none_is_judged(block):
    (unit,) = block(candidate=None).units
    assert unit.chosen is None
    assert "none was fixed" in unit.chosen_missing


def test_a_candidate_that_was_not_measured_is_named(lorae):
    html = render(lorae(sets=["bccd"], labels=["ft-all", "ft-last"]))
    assert "No row was judged alone: lorae-r4 was not measured." in words(section(html))


def test_what_was_not_shipped_is_said_and_not_zero(lorae):
    reader = lorae(sets=["bccd"], labels=TWO)
    candidate = method(summarise(reader).lorae.units[0], "lorae-r4")
    assert (candidate.shipped, candidate.shipped_missing) == (None, "no update was shipped in this run")
    assert "– (no update was shipped in this run)" in words(section(render(reader)))


def test_links_keep_how_their_seconds_were_come_by(lorae):
    text = words(section(render(lorae(sets=["bccd"], labels=TWO, shipped=True))))
    assert "101 KiB adapter: own 20.0 ms measured, 250k 3.27 s computed" in text
    assert "1.44 MiB delta: own 20.0 ms measured, 250k 48.2 s computed" in text


def test_ours_published_and_inference_are_labelled(lorae):
    text = words(section(render(lorae(labels=TWO))))
    for name, published, inferred in (
        ("classification", "86.1%", "rank 64 85.4%"),
        ("detection", "98.6%", "rank 4 98.6%"),
        ("segmentation", "94.1%", "rank 16 94.0%"),
    ):
        assert f"{name} published, not measured here {published}" in text
        assert f"{name} inference, ours {inferred}" in text
    assert text.count("ours, measured here lorae-r4") == 3


def test_the_section_is_linked_and_stands_before_the_comparison(lorae):
    html = render(lorae(sets=["shapes"], labels=TWO))
    assert '<a href="#lorae">LoRAE study</a>' in html
    assert html.index('id="lorae"') < html.index('id="comparison"')


def test_test_images_too_few_are_said(lorae):
    text = words(section(render(lorae(sets=["bccd"], labels=TWO))))
    assert "Intervals hold for other seeds and these 72 test images" in text


def test_text_and_markdown_tell_it_too(lorae):
    summary = summarise(lorae(sets=["bccd"], labels=TWO))
    assert "LoRAE study" in table(summary)
    assert "lorae-r4 (fixed beforehand)" in table(summary)
    assert "### LoRAE study" in markdown(summary)


def test_foreign_names_are_escaped(lorae):
    evil = "<script>alert(1)</script>"
    html = section(render(lorae(sets=["bccd"], labels=TWO, rename={"lorae-r4": evil}, candidate=evil)))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def judged(block, **fields):
    (unit,) = block(suite={"margin": 1.0}, noise=0.0, **fields).units
    return unit.judged


def test_without_a_margin_nothing_is_said_of_inferiority(block):
    study = block()
    assert study.units[0].judged is None
    assert "inferior" not in str(study)


@pytest.mark.parametrize(
    ("points", "blocks", "claim"),
    [
        (0.5, 8, "lorae-r4 is non-inferior to ft-all at 1 point, the margin fixed beforehand: −0.50 points"),
        (-1.0, 8, "lorae-r4 is inferior to ft-all: worse by more than 1 point"),
        (0.0, 8, "Not shown that lorae-r4 is non-inferior to ft-all at 1 point"),
        (0.5, 5, "Too few blocks to say whether lorae-r4 is non-inferior to ft-all"),
    ],
)
def test_the_candidate_is_judged_by_the_margin_that_the_suite_committed(block, points, blocks, claim):
    # the made-up gains differ by one point: 19 against 20
    sentence = judged(block, points={"lorae-r4": points}, blocks=blocks)
    assert sentence.startswith(claim)
    assert "from one pretraining: other start weights are not in it" in sentence


def test_a_run_that_diverged_is_counted_as_0(block):
    lost = {"outcome": "diverged", "quality": Quality(before=0.3)}
    sentence = judged(block, change={"lorae-r4": lost})
    assert "8 runs diverged and count as 0" in sentence
    assert "is inferior to ft-all" in sentence


def test_bases_and_losses_stand_beside_the_claim(lorae):
    run = lorae(
        sets=["bccd"], labels=TWO, suite={"margin": 1.0, "bases": 4}, points={"lorae-r4": 1.0},
        change={"lorae-r4": {"base": 2}},
    )  # fmt: skip
    text = table(summarise(run))
    assert "start weights, which come from 4 pretrainings" in " ".join(text.split())
    assert "is non-inferior to ft-all" in words(section(render(run)))
