"""The table for terminals: complete, plain, and safe to print."""

import pytest

from tunebench.reports.formatting.units import clean, clean_block, seconds, significant
from tunebench.reports.render.text import table
from tunebench.reports.results import RunReader
from tunebench.reports.summary import summarise


@pytest.fixture
def demo_table(demo):
    return table(summarise(demo))


def test_it_names_every_method_with_its_conditions(demo_table):
    for label in ("ft-all", "ft-all A/A", "lora-all", "lora-last", "skip2-lora"):
        assert f"\n{label} " in demo_table
    assert "host  ·  digits/mlp  ·  torch on cpu 1 thread float32  ·  baseline ft-all" in demo_table


def test_it_says_what_was_not_measured_and_what_not_to_conclude(demo_table):
    assert "energy: no power sensor: looked for" in demo_table
    assert "What you may not conclude" in demo_table
    assert "NO VERDICT" in demo_table
    assert "* range seen" in demo_table
    assert "A/A control on host, digits/mlp: no verdict" in demo_table


def test_energy_stands_with_its_scope(lab):
    assert " J rails_sum" in table(summarise(lab))
    assert "1 invalid, 1 failed" in table(summarise(lab))


def test_hostile_names_reach_no_terminal(campaign, tmp_path):
    campaign.rename = {"lora-all": "evil\x1b[31m\x1b]0;title\x07" + "x" * 1_000_000}
    text = table(summarise(RunReader(campaign.write(tmp_path))))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "more characters" in text
    assert len(text) < 20_000


def test_an_empty_run_prints(campaign, tmp_path):
    campaign.methods, campaign.finish = [], False
    text = table(summarise(RunReader(campaign.write(tmp_path))))
    assert "0 repetitions: none" in text
    assert "NOT COMPLETE" in text


def test_rows_without_numbers_print_dashes(campaign, tmp_path):
    campaign.failed = {f"b0-t{b}-m{m}" for b in range(3) for m in (1, 4)}
    text = table(summarise(RunReader(campaign.write(tmp_path))))
    assert "time: killed by the kernel's OOM killer (ft-all A/A, skip2-lora)" in text
    assert "no verdict (no block in which both" in text


def test_one_value_is_called_one_value(campaign, tmp_path):
    campaign.blocks = 1
    text = " ".join(table(summarise(RunReader(campaign.write(tmp_path)))).split())
    assert "one value" in text
    assert "one block" in text
    assert "* range seen" not in text
    assert "one block shows no spread" in text


def test_control_and_direction_characters_become_visible():
    assert clean("a\x00b\u202ec\nd") == "a\ufffdb\ufffdc d"
    assert clean_block("a\x1b[2Jb\n\x07") == "ab\n\ufffd"


def test_the_end_of_a_long_log_is_kept():
    shown = clean_block("start" + "x" * 10_000 + "the error", 100)
    assert shown.endswith("the error")
    assert shown.startswith("(9914 characters left out)")


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0 s"), (1e-9, "1.00 ns"), (0.9999, "1.00 s"), (3600, "3600 s")]
)
def test_seconds_are_shown_in_a_fitting_unit(value, shown):
    assert seconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (-0.0123, "-0.0123"), (0.9999, "1.00"), (99.99, "100")]
)
def test_numbers_are_shown_with_three_significant_digits(value, shown):
    assert significant(value) == shown
