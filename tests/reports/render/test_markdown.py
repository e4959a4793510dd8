"""The report for a pull request: short, equal to the page, and harmless whatever names hold."""

import re

import pytest

from tunebench.reports.formatting.markdown import escaped
from tunebench.reports.formatting.privacy import scrubber
from tunebench.reports.render.markdown import MAX_CHARS, markdown
from tunebench.reports.summary import summarise

EVIL = "<script>alert(1)</script> @everyone #1 [x](http://evil.example) ![i](//e) | `c` \x1b[31m www.evil.example"


@pytest.fixture
def large(store_reps, make_record):
    """8 boards x 12 cells x 6 blocks."""
    labels = ["ft-all", *(f"method-{i:02}" for i in range(11))]
    return store_reps(
        [
            make_record(
                board_id=f"board-{b}",
                label=label,
                block=block,
                seed=block,
                wall_s=4.0 - 0.1 * m + 0.01 * block,
            )
            for b in range(8)
            for m, label in enumerate(labels)
            for block in range(6)
        ]
    )


def test_eight_boards_and_twelve_cells_fit_into_a_comment(large):
    text = markdown(summarise(large))
    assert text.count("| method-") == 8 * 11
    assert "left out" not in text
    assert len(text) < 65_000
    assert len(text.encode()) < 65_000


@pytest.mark.slow
def test_the_longest_names_fit_too_and_what_is_left_out_is_told(store_reps, make_record):
    reps = [
        make_record(board_id=f"{b}" + "#" * 10_000, label=f"{m}" + "<" * 10_000, task="@" * 1000)
        for b in range(80)
        for m in range(10)
    ]
    text = markdown(summarise(store_reps(reps)))
    assert len(text) <= MAX_CHARS
    assert re.search(r"\d+ more tables are left out", text)
    assert "### What you may not conclude" in text


def test_it_has_the_counts_the_control_and_the_verdicts_of_the_page(lab):
    text = markdown(summarise(lab))
    assert "106 valid, 1 invalid, 1 failed" in text
    assert "A/A control on pi5-01, digits/mlp: passed" in text
    words = " ".join(text.split())
    assert (
        "- pi5-01 · digits/mlp: Stay with ft-all: no method is shown to be faster at equal accuracy" in words
    )
    assert "skip2-lora if 1.6 points of accuracy may be lost (3.3× faster" in words
    row = next(line for line in text.splitlines() if line.startswith("| skip2-lora"))
    assert "| faster |" in row
    assert ", less" in row  # energy
    assert ", lower" in row or ", higher" in row or ", same" in row  # accuracy


def test_nothing_in_a_name_becomes_markup_a_link_or_a_mention(store_reps, make_record):
    reps = [make_record(label=f"m{EVIL}", board_id=f"b{EVIL}", task=EVIL, block=b) for b in range(2)]
    text = markdown(summarise(store_reps(reps)))
    assert "<script" not in text
    assert "\x1b" not in text
    assert "http://" not in text
    assert "www.evil" not in text
    assert not re.search(r"@\w", text)
    assert not re.search(r"(?<!^)(?<!#)#\d", text)
    assert not re.search(r"(?<!\\)\[", text)
    columns = {len(re.split(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("| ")}
    assert 3 <= min(columns) <= max(columns) <= 11, "a table's lines have as many cells as its heading"
    tables = [part for part in text.split("\n\n") if part.startswith("| ")]
    assert all(len({len(re.split(r"(?<!\\)\|", line)) for line in part.splitlines()}) == 1 for part in tables)


def test_a_line_break_cannot_leave_its_cell():
    assert "\n" not in escaped("a\n\n# b\r\nc")


def test_an_empty_run_says_so(campaign, tmp_path):
    from tunebench.reports.results import RunReader

    campaign.methods, campaign.finish = [], False
    text = markdown(summarise(RunReader(campaign.write(tmp_path))))
    assert "No answer: nothing was recorded." in text
    assert "**not complete**" in text
    assert "No A/A control was run" in text


def test_names_of_people_and_machines_are_taken_out(store_reps, make_record):
    reps = [make_record(missing={"energy": "no sensor below /home/ann/x on thor-7"})]
    text = markdown(summarise(store_reps(reps)), scrubber(["thor-7"]))
    assert "/home/ann" not in text
    assert "thor-7" not in text
