"""The section on instructions, on stored campaigns whose counts are made up."""

from __future__ import annotations

import json
import random

import pytest

from tests.reports.campaigns import Campaign
from tunebench.reports.render.html import render
from tunebench.reports.results import RunReader
from tunebench.reports.results.frames import frame
from tunebench.reports.sections.instructions import SECTION
from tunebench.reports.summary import as_json, summarise

NAMES = ("instructions", "cycles", "cache_misses")


def with_counts(run, *, running=1.0, repeats=1, left_out=()):
    """Add to each timed record what a board with a PMU would have counted: 3 G instructions, 0.2% apart."""
    rng = random.Random(1)
    path = run / "reps.jsonl"
    lines = []
    for line in path.read_text().splitlines():
        rep = json.loads(line)
        if rep["label"] in left_out:
            rep["missing"]["instructions"] = "no PMU counts instructions here (ENOENT)"
        else:
            count = int(3e9 * rng.uniform(0.999, 1.001)) * repeats
            rep["pmu"] = {
                "scope": "user", "instructions": count, "cycles": 2 * count, "cache_misses": count // 500,
                "running": running, "repeats": repeats, "instructions_per_finetuning": count / repeats,
            }  # fmt: skip
        lines.append(json.dumps(rep))
    path.write_text("\n".join(lines) + "\n")
    return RunReader(run, check=False)


def section_text(summary):
    return "\n".join(SECTION.text(summary))


@pytest.fixture
def run(tmp_path):
    return Campaign(blocks=5).write(tmp_path / "results")


def test_a_row_has_medians_of_one_fine_tuning_of_a_step_and_both_spreads(run):
    summary = summarise(with_counts(run, repeats=4))
    row = next(row for row in summary.rows if row.label == "ft-all")
    assert row.pmu is not None
    assert row.pmu.instructions.median == pytest.approx(3e9, rel=0.002)
    assert row.pmu.per_step.median == pytest.approx(row.pmu.instructions.median / row.steps, rel=0.002)
    assert row.pmu.ipc.median == 0.5
    text = section_text(summary)
    line = next(line for line in text.splitlines() if "lora-last" in line)
    assert " G " in line
    assert "0.50" in line
    assert "2" in line  # misses in 1000


def test_what_was_scaled_and_what_was_not_counted_is_told(run):
    text = section_text(summarise(with_counts(run, running=0.43, left_out=("lora-all",))))
    assert "*" in text
    assert "ran for 43.0% of the time or more" in text
    assert "no PMU counts instructions here (ENOENT) (lora-all)" in " ".join(text.split())


def test_a_run_without_counts_has_no_section_and_says_why_in_its_rows(run):
    reader = RunReader(run)
    summary = summarise(reader)
    assert section_text(summary) == ""
    assert all(row.pmu is None and row.pmu_missing for row in summary.rows)
    assert 'id="instructions"' not in render(reader)


def test_the_page_shows_table_and_figure_and_the_json_has_the_numbers(run):
    reader = with_counts(run)
    page = render(reader)
    assert 'id="instructions"' in page
    assert "Spread of time and of instructions" in page
    value = as_json(summarise(reader))
    assert value["rows"][0]["pmu"]["instructions"]["n"] == 5
    json.dumps(value, allow_nan=False)


def test_tables_hold_the_counts_of_one_fine_tuning(run):
    table = frame(with_counts(run, repeats=2).repetitions)
    timed = table[table["role"] == "timed"]
    assert timed["instructions"].between(2.9e9, 3.1e9).all()
    assert (timed["cycles"] > timed["instructions"]).all()
    assert set(NAMES) | {"pmu_running"} <= set(table.columns)
