"""Turn what a workload read from its counters into a record's instructions, cycles and cache misses, or say why not."""

from __future__ import annotations

from tunebench.harness.record.harvest import PmuCounts, WorkloadResult
from tunebench.reports.records import Pmu

EVENTS = ("instructions", "cycles", "cache_misses")
#: A counter that ran for less of its time has shared the PMU with others, and what it counted is scaled.
WHOLE = 0.999
#: Scaling assumes that what was not seen is like what was seen; of so little nobody knows.
LEAST_RUNNING = 0.05


def counted(result: WorkloadResult, outcome: str, repeats: int) -> tuple[Pmu | None, dict[str, str]]:
    """Return the counts of the window, and why those that are null are.

    Args:
        result: what the workload says; untrusted.
        outcome: how it ended.
        repeats: fine-tunings in the window; 0: an idle baseline, whose sleep nobody counts.
    """
    if repeats == 0 or result.check is not None:
        return None, {}
    if outcome != "ok":
        return None, {EVENTS[0]: "no measured window"}
    read = result.pmu
    if read is None:
        return None, {
            EVENTS[
                0
            ]: "the workload read no counters: it marks its window by other means than tunebench.marks"
        }
    values, missing, shares = dict[str, int](), dict[str, str](), list[float]()
    for name in EVENTS:
        value = _scaled(read, name)
        if isinstance(value, str):
            missing[name] = value
        else:
            values[name], running = value
            shares.append(running)
    if not values:
        return None, missing
    instructions = values.get("instructions")
    pmu = Pmu(
        instructions=instructions,
        cycles=values.get("cycles"),
        cache_misses=values.get("cache_misses"),
        running=min(shares),
        repeats=repeats,
        instructions_per_finetuning=None if instructions is None else instructions / repeats,
    )
    return pmu, missing


def _scaled(read: PmuCounts, name: str) -> tuple[int, float] | str:
    """Return an event's count over all of the window and the share of it that was counted, or why there is none."""
    if name not in read.counts:
        return read.reason or "this CPU's PMU has no counter for it, or none was free"
    count, enabled_ns, running_ns = read.counts[name]
    if running_ns > enabled_ns:
        return "the counter ran for longer than it was switched on: not believed"
    share = running_ns / enabled_ns if enabled_ns else 0.0
    if share < LEAST_RUNNING:
        return f"the counter ran for {share:.1%} of the window's CPU time: others held the PMU"
    if share < WHOLE and read.core_pmus > 1:
        return (
            f"the workload ran for {1 - share:.1%} of its CPU time on cores of another kind, which count by another PMU:"
            " pin it to cores of one kind (taskset)"
        )
    if count == 0 and name != "cache_misses":
        return "the counter stayed at 0: this machine has it in name only"
    return (count, 1.0) if share >= WHOLE else (round(count / share), share)
