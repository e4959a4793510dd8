"""Stressors in suites: what is accepted, what a mistake is told, and the rows, series and jobs that they make."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import load_suite
from tunebench.harness.config.tables.stress import kinds
from tunebench.harness.errors import UsageError
from tunebench.harness.planning import limits
from tunebench.harness.planning.plan import make_plan

SUITE = """
[suite]
name = "s"
blocks = 2
baseline = "lora-all"
{stressors}
[[workload]]
dataset = "digits"
model = "mlp"
methods = ["ft-all", "lora-all"]
{keys}
"""
TIGHT = '[[stressor]]\nid = "tight"\nkind = "low-memory"\nfree_mib = 200\n'


@pytest.fixture
def suite(tmp_path: Path):
    def load(keys: str = "", stressors: str = ""):
        path = tmp_path / "s.toml"
        path.write_text(SUITE.format(keys=keys, stressors=stressors))
        return load_suite(str(path))

    return load


def test_each_stressor_makes_the_rows_once_more_in_a_task_of_its_own_with_the_same_baseline(suite):
    stressed = suite('stressors = ["background-load", "tight"]', TIGHT)
    assert stressed.tasks == ["digits/mlp", "digits/mlp under background-load", "digits/mlp under tight"]
    assert set(stressed.baselines.values()) == {"lora-all"}
    rows = {workload.key: workload for workload in stressed.workloads}
    assert rows["digits/mlp", "ft-all"].stressor is None
    tight = rows["digits/mlp under tight", "ft-all"]
    assert tight.as_dict()["stressor"] == {"id": "tight", "kind": "low-memory", "params": {"free_mib": 200}}
    assert tight.stressor.quiet_task == "digits/mlp"
    assert rows["digits/mlp under background-load", "ft-all"].stressor.params == {"processes": 1}
    # A/A controls stand in every task: each has comparisons of its own.
    assert sum(workload.aa_control for workload in stressed.workloads) == 3


def test_quiet_and_stressed_rows_stand_in_the_same_blocks(suite):
    board = BoardEntry(id="a", kind="linux", host="a")
    plan = make_plan(suite('stressors = ["background-load"]'), [board], run_id="r", lab="l")
    for block in (0, 1):
        tasks = [row.workload.task for row in plan.repetitions if (row.role, row.block) == ("timed", block)]
        assert sorted(tasks) == ["digits/mlp"] * 3 + ["digits/mlp under background-load"] * 3


def test_a_suite_without_stressors_keeps_its_plan(suite):
    assert all("stressor" not in row for row in suite().as_dict()["cells"])


@pytest.mark.parametrize(
    ("keys", "stressors", "words"),
    [
        ('stressors = ["flood"]', "", "no .*id 'flood'.*there are: background-load, low-memory"),
        ('stressors = ["tight", "tight"]', TIGHT, "given twice"),
        ("", TIGHT, "goes with a workload that has 'stressors'"),
        ('stressors = ["tight"]', TIGHT + TIGHT, "id 'tight' is given twice"),
        (
            'stressors = ["x"]',
            '[[stressor]]\nid = "x"\nkind = "flood"',
            "unknown kind 'flood'; allowed: back",
        ),
        (
            'stressors = ["x"]',
            '[[stressor]]\nid = "x"\nkind = "low-memory"\nfree_mib = 1',
            "free_mib is 1, allowed: a whole number from 32 to 1048576",
        ),
        (
            'stressors = ["x"]',
            '[[stressor]]\nid = "x"\nkind = "capped-clock"\nmhz = 600',
            "no key 'mhz'; capped-clock has: max_percent",
        ),
        (
            'stressors = ["x"]',
            '[[stressor]]\nid = "x"\nkind = "shaped-link"\nlink = "5g"',
            "link is '5g', allowed: lan, wifi",
        ),
    ],
)
def test_a_mistake_is_told_with_what_is_allowed(suite, keys, stressors, words):
    with pytest.raises(UsageError, match=rf"s\.toml.*{words}"):
        suite(keys, stressors)


def test_every_kind_has_defaults_that_it_allows(suite):
    made = suite(f"stressors = {list(kinds())}".replace("'", '"'))
    assert len(made.tasks) == 1 + len(kinds())


def test_the_agent_is_told_how_much_it_may_take_and_nothing_of_what_the_host_applies(suite):
    by_id = {
        workload.stressor.ident: workload.stressor
        for workload in suite('stressors = ["low-memory", "shaped-link"]').workloads
        if workload.stressor is not None
    }
    here = limits.stressor(by_id["low-memory"], board_kind="loopback", root="/")
    there = limits.stressor(by_id["low-memory"], board_kind="linux", root="/")
    assert (here["most_b"], there["most_b"]) == (limits.MAX_HELD_B, None)
    assert limits.stressor(by_id["shaped-link"], board_kind="linux", root="/") is None


def test_operating_points_take_the_place_of_the_boards_own_setting(suite):
    modes = suite('power_modes = ["15W", "MAXN_SUPER"]\nbaseline = "ft-all"')
    assert modes.tasks == ["digits/mlp at 15W", "digits/mlp at MAXN_SUPER"]
    assert modes.baselines == dict.fromkeys(modes.tasks, "ft-all")
    assert modes.workloads[0].stressor.params == {"mode": "15W"}
    clocks = suite("frequencies_mhz = [600, 1500]")
    assert clocks.tasks == ["digits/mlp at 600 MHz", "digits/mlp at 1500 MHz"]
    assert {row.stressor.kind for row in clocks.workloads} == {"pinned-clock"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ('power_modes = ["15W"]\nfrequencies_mhz = [600]', "exclude each other"),
        ('power_modes = ["15W", "15W"]', "given twice"),
        ('power_modes = [""]', "1 to 32 characters"),
        ("frequencies_mhz = [0]", "a whole number from 1 to 10000"),
        ('power_modes = ["15W"]\nstressors = ["low-memory"]', "a workload of their own"),
    ],
)
def test_a_mistake_with_operating_points_is_told(suite, keys, words):
    with pytest.raises(UsageError, match=words):
        suite(keys)
