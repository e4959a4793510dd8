"""A suite as data: other numbers of blocks, looks, budgets, and a choice of its methods."""

from __future__ import annotations

import re

import pytest

from tests.harness.config.suite.own_method import OWN, write
from tunebench.harness.config.suite import AA_SUFFIX, load_suite, sized
from tunebench.harness.errors import UsageError
from tunebench.reports.results.plan_view import SuiteView


def test_another_number_of_blocks_counts_for_every_task_and_has_bounds():
    suite = sized(load_suite("demo"), blocks=12)
    assert suite.header.blocks == 12
    assert {workload.blocks for workload in suite.workloads} == {None}
    assert sized(suite) is suite
    for blocks in (0, -1, 1001):
        with pytest.raises(UsageError, match=rf"--blocks {blocks}: a whole number from 1 to 1000"):
            sized(suite, blocks=blocks)


def test_a_suite_until_it_is_decided_has_looks_and_says_so_in_its_plan():
    suite = sized(load_suite("quick"), until_decided=True)
    assert (suite.header.blocks, [look.blocks for look in suite.looks]) == (30, [11, 17, 30])
    assert [look["blocks"] for look in suite.as_dict()["until_decided"]["looks"]] == [11, 17, 30]
    assert "until_decided" not in load_suite("quick").as_dict()
    assert sized(load_suite("quick"), until_decided=True, max_blocks=12).looks[-1].blocks == 12


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"blocks": 4, "until_decided": True}, "exclude each other"),
        ({"max_blocks": 4}, "--max-blocks goes with --until-decided"),
        ({"until_decided": True, "max_blocks": 5}, "allow no verdict; the first one is possible after 10"),
        ({"until_decided": True, "max_blocks": 0}, "--max-blocks 0: a whole number"),
    ],
)
def test_numbers_of_blocks_that_make_no_sense_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        sized(load_suite("quick"), **options)


def test_a_suite_that_compares_nothing_cannot_be_decided():
    with pytest.raises(UsageError, match="compares nothing"):
        sized(load_suite("quick").only_methods("lorae"), until_decided=True)


def test_budgets_stand_in_the_plan_only_where_a_suite_has_them(tmp_path):
    asked = OWN.replace("blocks = 2", "blocks = 2\nbudgets = { wall_s = [10, 60], energy_j = [0.5] }")
    written = load_suite(write(tmp_path, asked)).as_dict()
    assert written["budgets"] == {"wall_s": [10.0, 60.0], "energy_j": [0.5]}
    assert SuiteView.of(written).budgets == written["budgets"]
    assert "budgets" not in load_suite(write(tmp_path, OWN)).as_dict()


def test_methods_select_rows_and_their_controls():
    suite = load_suite("quick").only_methods("ft-all,skip2-lora")
    assert {workload.label for workload in suite.workloads} == {"ft-all", "ft-all" + AA_SUFFIX, "skip2-lora"}
    with pytest.raises(UsageError, match=r"unknown method 'magic'; suite 'quick' has: ft-all"):
        load_suite("quick").only_methods("magic")


@pytest.mark.parametrize("names", ["", " ", ",", " , "])
def test_methods_that_name_none_are_refused(names):
    with pytest.raises(UsageError, match="names no method; suite 'quick' has: ft-all"):
        load_suite("quick").only_methods(names)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("skip-lora", "does not measure the built-in method 'skip-lora'; it has: ft-all"),
        ("skip-lora", "built-in suites with it: emulated, skip2-paper"),
        ("lora-last-cached", "list it under 'methods' in a suite file of your own"),
        ("ft-al", "unknown method 'ft-al' (did you mean 'ft-all'?)"),
        ("Skip2-LoRA", "(did you mean 'skip2-lora'?)"),
    ],
)
def test_a_method_that_is_known_elsewhere_is_not_called_unknown(name, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        load_suite("quick").only_methods(name)
