"""Cuts and links in suites: what is accepted, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.config.tables.test_compress import load
from tunebench.harness.config.inventory import loopback_inventory
from tunebench.harness.config.suite import Suite
from tunebench.harness.config.tables.partition import OWN
from tunebench.harness.errors import UsageError
from tunebench.harness.planning.job import crosses
from tunebench.harness.planning.plan import make_plan
from tunebench.targets.transport.traffic_shaping import PROFILES, Profile

SUITE = """
[suite]
name = "cutting"
baseline = "plain"
energy = true

[[transform]]
id = "int8"
kind = "quantize"
how = "static"

[[workload]]
dataset = "mnist"
model = "resnet-small"
runtime = "onnxruntime"
chains = { "plain" = ["tune"] }
partition = "auto"
links = ["wifi", { name = "4g", up_bit_s = 5e6, down_bit_s = 2e7, rtt_s = 0.06 }]
"""


def refused(folder: Path, old: str, new: str) -> str:
    """Return what is said of the suite with one place changed."""
    assert old in SUITE
    with pytest.raises(UsageError) as error:
        load(folder, SUITE.replace(old, new, 1))
    return str(error.value)


def test_links_are_names_or_numbers_and_stand_in_the_rows_parameters(tmp_path):
    suite: Suite = load(tmp_path, SUITE)
    row = suite.workloads[0]
    assert row.task == "mnist/resnet-small [onnxruntime x1 cut auto]"
    assert row.partition.cut == "auto"
    assert row.partition.links == (PROFILES["wifi"], Profile("4g", 5e6, 2e7, 0.06))
    assert row.params["partition"]["links"][1] == {
        "name": "4g", "up_bit_s": 5e6, "down_bit_s": 2e7, "rtt_s": 0.06,
    }  # fmt: skip


def test_without_links_all_shaped_ones_are_measured(tmp_path):
    text = "\n".join(line for line in SUITE.splitlines() if not line.startswith("links"))
    assert load(tmp_path, text).workloads[0].partition.links == tuple(PROFILES.values())


def test_a_network_that_is_not_cut_keeps_its_parameters(tmp_path):
    text = SUITE.partition("partition =")[0]
    row = load(tmp_path, text).workloads[0]
    assert row.partition is None
    assert "partition" not in row.params


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'partition = "auto"',
            'partition = "stage0_0_first"',
            "cannot be cut behind 'stage0_0_first', where one tensor alone would cross; allowed: auto, input, stem,",
        ),
        ('partition = "auto"', 'partition = "classifier"', "allowed: auto, input, stem"),
        ('partition = "auto"', "", "'links' go with 'partition'"),
        ('"wifi"', '"wfi"', "unknown link 'wfi'; allowed: lan, wifi, lte, 250k, 50k, or a table"),
        ('"wifi"', '"none"', "the board's own link is always measured"),
        ('"wifi"', '"wifi", "wifi"', "link 'wifi' is given twice"),
        ('name = "4g"', 'name = "lte"', "link 'lte' is a name that tunebench has"),
        ('name = "4g"', f'name = "{OWN}"', "link 'own' is a name that tunebench has"),
        ("up_bit_s = 5e6", "up_bit_s = -5e6", "up_bit_s"),
        ("rtt_s = 0.06", "rtt_s = -0.06", "rtt_s"),
        ("rtt_s = 0.06", "rtt_s = 60.0", "rtt_s"),
        (", rtt_s = 0.06", "", "rtt_s"),
        ('"onnxruntime"', '"ncnn"', "runtime 'ncnn' runs no parts of a network so far; those that do: onnxruntime,"),
        ('["tune"]', '["tune", "int8"]', "chain 'plain' ends in int8-static; what crosses is float32"),
        ('runtime = "onnxruntime"\nchains = { "plain" = ["tune"] }', 'methods = ["ft-all"]', "go with 'runtime'"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_what_is_allowed(tmp_path, old, new, message):
    said = refused(tmp_path, old, new)
    assert message in said
    assert "mine.toml" in said


def test_links_are_crossed_after_timed_repetitions_and_not_for_the_control(tmp_path):
    text = SUITE.replace('{ "plain" = ["tune"] }', '{ "plain" = ["tune"], "twin" = ["tune"] }')
    plan = make_plan(load(tmp_path, text), loopback_inventory().boards, run_id="r", lab="l")
    crossing = {(planned.role, planned.workload.label) for planned in plan.repetitions if crosses(planned)}
    assert crossing == {("timed", "plain"), ("timed", "twin")}
    assert any(planned.workload.aa_control for planned in plan.repetitions)
