"""The comparison: what every row has in common is said once, words are explained in place, one value has no interval."""

import re

import pytest

from tunebench.reports.records import Quality, Reason
from tunebench.reports.render.html import render
from tunebench.reports.render.markdown import markdown
from tunebench.reports.render.text import table
from tunebench.reports.results import RunReader
from tunebench.reports.sections.base.groups import groups_of
from tunebench.reports.summary import summarise

BUILD = "native 1 (x86-64-v3, zig cc 0.14.1 -O3 -march=x86_64_v3 -ffast-math -fno-trapping-math, 9f86d081884c7d65)"
#: Twice the same number as both ends of an interval or range.
SAME_ENDS = re.compile(r"[\[(]?([+−-]?\d[\d.]*(?: ?[%×a-zµ]+)?)(?:, | – | to |–)\1[\])]?")


def page_text(html):
    body = html[html.index("<main>") : html.index("</main>")]
    body = re.sub(r"<(script|title|desc)\b.*?</\1>", " ", body, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


@pytest.fixture
def compared(store_reps, make_record):
    """Function (fields of method one, of method two, blocks) -> the table of both beside the baseline."""

    made = []

    def make(first=None, second=None, blocks=6, **shared):
        reps = []
        made.append(first)
        shared["run_id"] = f"20261121T0745{len(made):02}Z-a1b2"
        for block in range(blocks):
            for label, fields in (("ft-all", {}), ("a", first or {}), ("b", second or {})):
                wall_s = 4.0 + 0.01 * block
                reps.append(
                    make_record(label=label, block=block, seed=block, wall_s=wall_s, **{**shared, **fields})
                )
        (group,) = groups_of(summarise(store_reps(reps)).rows)
        return group.table

    return make


def names(made):
    return [column.name for column in made.columns]


def test_what_is_the_same_in_every_row_stands_in_the_caption(compared):
    made = compared()
    assert "n" not in names(made)
    assert "Engine" not in names(made)
    assert made.validity[0] == "degraded"
    shared = dict(made.shared)
    assert shared["repetitions of each method"] == "6"
    assert shared["engine"] == "torch 2.13.0+cpu"
    assert shared["accuracy before"] == "78.1%"


def test_what_differs_keeps_its_column(compared):
    made = compared(first={"verdict": "valid", "reasons": []}, second={"peak_rss_b": None})
    assert made.validity is None
    assert "Peak memory" in names(made)
    assert [row.validity for row in made.rows] == ["degraded", "valid", "degraded"]


def test_a_quantity_that_no_row_has_takes_no_column_but_a_note(compared, store_reps, make_record):
    assert "Energy" not in names(compared())
    assert "Energy not measured" in page_text(
        render(store_reps([make_record(block=b, run_id="other") for b in range(2)]))
    )


@pytest.mark.parametrize("version", [BUILD, "x" * 500])
def test_the_text_of_an_engines_build_widens_no_column(compared, make_record, version):
    prov = make_record().prov.model_copy(update={"engine_version": version})
    made = compared(prov=prov, engine="native", engine_build="v3")
    assert "Engine" not in names(made)
    assert dict(made.shared)["engine"].startswith(version[:50])
    mixed = compared(first={"prov": prov, "engine": "native"})
    assert "Engine" in names(mixed)
    assert names(mixed)[-1] == "Engine"


def test_degraded_says_in_place_that_the_number_may_be_used(demo, store_reps, make_record):
    text = page_text(render(demo))
    assert "every row: degraded may be used, with this reservation: shared-machine" in text
    plain = table(summarise(demo))
    assert "degraded, may be used (shared-machine)" in plain
    assert "degraded, may be used (shared-machine)" in markdown(summarise(demo))
    reasons = [Reason(code="hot", message="it was hot")]
    reps = [make_record(block=b, verdict="degraded", reasons=reasons) for b in range(6)]
    reps += [make_record(block=b, label="x", verdict="valid", reasons=[]) for b in range(6)]
    reps += [make_record(block=b, label="y", verdict="invalid", reasons=reasons) for b in range(6)]
    text = page_text(render(store_reps(reps)))
    assert "degraded may be used, with this reservation hot" in text
    assert "valid may be used" in text
    assert "invalid stands in no number" in text


def test_one_block_shows_no_interval_anywhere(campaign, tmp_path):
    campaign.blocks = 1
    reader = RunReader(campaign.write(tmp_path))
    summary = summarise(reader)
    for text in (page_text(render(reader)), table(summary), markdown(summary)):
        assert SAME_ENDS.search(text) is None, SAME_ENDS.search(text)
    assert "one block" in table(summary)
    assert "one value" in page_text(render(reader))
    assert "one seed" in page_text(render(reader))
    assert "IQR" not in page_text(render(reader))


def test_a_marked_repetition_alone_is_marked_as_one(demo):
    section = render(demo).split('<section id="phases">')[1].split("</section>")[0]
    assert ", n = 1</text>" in section


def test_phases_that_disagree_with_the_timed_medians_say_so(store_reps, make_record):
    def marked(wall_s):
        return make_record(
            role="instrumented",
            wall_s=wall_s,
            window_phases_s={"forward": wall_s / 2, "backward": wall_s / 3},
        )

    timed = [make_record(block=b, wall_s=4.0) for b in range(6)]
    apart = page_text(render(store_reps([*timed, marked(6.5)])))
    assert "Disagrees with the timed medians: ft-all +62.5% (n = 1)." in apart


def test_phases_that_agree_say_nothing(demo):
    assert "Disagrees" not in render(demo)


def test_a_task_without_a_baseline_says_so_and_never_none(store_reps, make_record):
    reps = [make_record(label=label, block=b, quality=Quality()) for label in ("x", "y") for b in range(2)]
    reader = store_reps(reps)
    summary = summarise(reader)
    assert summary.rows[0].baseline is None
    assert "no baseline" in table(summary)
    assert "no baseline" in markdown(summary)
    for text in (table(summary), markdown(summary), page_text(render(reader))):
        assert "None" not in text


def test_a_control_without_a_baseline_is_held_against_its_twin_by_name(store_reps, make_record):
    reps = [
        make_record(
            label=label, method="lora-all", aa_control=label.endswith("A/A"), block=b, wall_s=4 + 0.01 * b
        )
        for label in ("lora-all", "lora-all A/A")
        for b in range(6)
    ]
    html = render(store_reps(reps))
    assert "against None" not in html
    assert "over None" not in html


@pytest.mark.parametrize("width", [80, 150])
def test_the_text_is_no_wider_than_its_reader(lab, demo, study, lorae, width):
    for reader in (lab, demo, study(), lorae()):
        lines = table(summarise(reader), width).splitlines()
        assert max(map(len, lines)) <= width


def test_markdown_is_no_wider_than_150(lab, demo, study, lorae):
    for reader in (lab, demo, study(), lorae()):
        assert max(map(len, markdown(summarise(reader)).splitlines())) <= 150


def test_long_names_make_text_and_markdown_no_wider(campaign, tmp_path, fake_board):
    campaign.boards = [fake_board("b" * 300, "linux", "x" * 300)]
    campaign.rename = {"lora-all": "m" * 300, "ft-all": "<&*" * 100}
    campaign.task = "d" * 200 + "/" + "e" * 200
    summary = summarise(RunReader(campaign.write(tmp_path)))
    assert max(map(len, table(summary, 150).splitlines())) <= 150
    assert max(map(len, markdown(summary).splitlines())) <= 170
