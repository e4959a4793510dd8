"""What a board says of its counters becomes a record's numbers, or a reason; the counts are made up."""

from __future__ import annotations

import pytest

from tunebench.harness.record.harvest import PmuCounts, WorkloadResult
from tunebench.harness.record.pmu import counted

S = 1_000_000_000


def result(core_pmus: int = 1, **counts: tuple[int, int, int]) -> WorkloadResult:
    return WorkloadResult(pmu=PmuCounts(counts=counts, core_pmus=core_pmus))


def test_counts_of_the_whole_window_are_taken_as_they_are():
    pmu, missing = counted(
        result(
            instructions=(4000, 2 * S, 2 * S), cycles=(8000, 2 * S, 2 * S), cache_misses=(0, 2 * S, 2 * S)
        ),
        "ok",
        4,
    )
    assert missing == {}
    assert pmu is not None
    assert (pmu.instructions, pmu.cycles, pmu.cache_misses) == (4000, 8000, 0)
    assert (pmu.running, pmu.repeats, pmu.instructions_per_finetuning) == (1.0, 4, 1000)


def test_counters_that_took_turns_are_scaled_and_that_is_told():
    """By hand: a third of the time saw 300, the whole had 900."""
    pmu, _ = counted(result(instructions=(300, 3 * S, S), cycles=(500, 3 * S, 3 * S)), "ok", 1)
    assert pmu is not None
    assert (pmu.instructions, pmu.cycles) == (900, 500)
    assert pmu.running == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("counts", "core_pmus", "words"),
    [
        ((5, S, 0), 1, "ran for 0.0% of the window's CPU time: others held the PMU"),
        ((5, 0, 0), 1, "ran for 0.0%"),
        ((5, 100 * S, S), 1, "ran for 1.0%"),
        ((5, S, 2 * S), 1, "not believed"),
        ((0, S, S), 1, "stayed at 0"),
        ((5, 2 * S, S), 2, "50.0% of its CPU time on cores of another kind"),
    ],
)
def test_counts_that_cannot_be_believed_are_null_with_the_reason(counts, core_pmus, words):
    pmu, missing = counted(result(core_pmus, instructions=counts, cycles=(7, S, S)), "ok", 1)
    assert pmu is not None
    assert pmu.instructions is None
    assert pmu.instructions_per_finetuning is None
    assert words in missing["instructions"]
    assert "no counter for it" in missing["cache_misses"]


def test_an_unpinned_window_on_one_kind_of_core_counts_on_a_machine_with_two():
    pmu, _ = counted(result(2, instructions=(5, S, S)), "ok", 1)
    assert pmu is not None
    assert pmu.instructions == 5


def test_a_workload_that_could_not_read_says_why_and_its_reason_stands_once_for_each_event():
    pmu, missing = counted(WorkloadResult(pmu=PmuCounts(reason="closed on the way")), "ok", 1)
    assert pmu is None
    assert set(missing.values()) == {"closed on the way"}


@pytest.mark.parametrize(
    ("workload", "outcome", "repeats", "missing"),
    [
        (WorkloadResult(), "ok", 0, {}),
        (WorkloadResult(check={"passed": True}), "ok", 1, {}),
        (result(instructions=(1, 1, 1)), "failed", 1, {"instructions": "no measured window"}),
    ],
    ids=["idle baseline", "correctness check", "failed"],
)
def test_windows_that_are_no_measurement_count_nothing(workload, outcome, repeats, missing):
    assert counted(workload, outcome, repeats) == (None, missing)


def test_a_command_that_reads_no_counters_is_told_so():
    assert "other means than tunebench.marks" in counted(WorkloadResult(), "ok", 1)[1]["instructions"]


@pytest.mark.parametrize(
    "value",
    [{"counts": {"instructions": [-1, 2, 3]}}, {"counts": {"a": [1, 2]}}, {"counts": {"a": [2**64, 1, 1]}}],
)
def test_counts_of_another_form_are_refused(value):
    with pytest.raises(ValueError, match="counts"):
        WorkloadResult.model_validate({"pmu": value})
