"""A suite's quality in one process: every block of every row, kept, and judged as the report does."""

from __future__ import annotations

import doctest
import json
from types import SimpleNamespace

import pytest

from benchmarks import study_quality
from benchmarks.study_quality import Measured, differing, measure_all, show, wanted
from tunebench.harness.artifacts.native import why_no_kernels_here
from tunebench.harness.config.suite import load_suite

SUITE = """
[suite]
name = "mine"
blocks = 2
baseline = "lora-all"
study = "skip2-lora"
candidate = "skip2-lora"
margin = 1.5

[[workload]]
dataset = "digits"
model = "mlp"
engine = "native"
task = "digits"
epochs = 1
methods = ["lora-all", "skip2-lora", "untrained"]

[[workload]]
dataset = "digits"
model = "mlp"
engine = "native"
task = "controls"
baseline = "ft-last"
blocks = 1
epochs = 1
methods = ["ft-last"]
"""


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(SUITE)
    return load_suite(str(path))


def test_every_row_has_its_blocks_and_controls_of_the_machine_are_left_out(suite):
    rows = [(row.task, row.label, block) for row, block in wanted(suite)]
    assert rows.count(("controls", "ft-last", 0)) == 1
    assert ("controls", "ft-last", 1) not in rows
    assert len(rows) == len(set(rows)) == 7


def test_a_candidate_is_judged_and_one_that_diverged_counts_as_0(suite):
    known = {("digits", "lora-all", block): Measured(0.5, 0.9, 0.1) for block in range(8)}
    known |= {("digits", "skip2-lora", block): Measured(0.5, None, None) for block in range(8)}
    lines = list(show(suite, known))
    assert lines[0] == "digits lora-all; n 8; diverged 0; before 50.00; 90.00 +- 0.00; loss 0.1"
    assert lines[1].startswith(
        "digits skip2-lora; n 8; diverged 8; before 50.00; 0.00 +- 0.00; loss -; minus lora-all -90"
    )
    assert lines[1].endswith("INFERIOR")


def test_scores_that_differ_from_a_runs_are_named():
    ended = {"task": "digits", "label": "lora-all", "role": "timed", "outcome": "ok"}
    reps = [SimpleNamespace(**ended, block=block, quality=SimpleNamespace(after=0.9)) for block in (0, 1)]
    known = {
        ("digits", "lora-all", block): Measured(0.5, score, 0.1) for block, score in enumerate((0.9, 0.8))
    }
    assert differing(known, SimpleNamespace(repetitions=reps)) == (2, ["digits lora-all block 1: 0.9 0.8"])


@pytest.mark.skipif(bool(why_no_kernels_here()), reason="no compiler for this machine")
def test_what_was_kept_is_not_measured_again(suite, tmp_path):
    keep = tmp_path / "kept.json"
    first = measure_all(suite, keep)
    assert len(first) == 7
    assert first[("digits", "untrained", 0)].after == first[("digits", "untrained", 0)].before
    content = json.loads(keep.read_text())
    content["digits | lora-all | 0"] = [0.0, 0.25, None]
    keep.write_text(json.dumps(content))
    assert measure_all(suite, keep)[("digits", "lora-all", 0)] == Measured(0.0, 0.25, None)


def test_the_examples_hold():
    assert doctest.testmod(study_quality).failed == 0
