"""Tell how a repetition ended, and whether its correctness check holds."""

from __future__ import annotations

from typing import Literal

from tunebench.harness.canonical import canonical_json
from tunebench.harness.planning.repetition import Planned
from tunebench.harness.record.harvest import ExitRecord, Harvested, WorkloadResult

MeasuredOutcome = Literal["ok", "failed", "deadline", "oom", "killed", "diverged", "lost"]


def outcome_of(harvested: Harvested) -> tuple[MeasuredOutcome, str | None]:
    """Return how the repetition ended, and why if not well."""
    exit_record: ExitRecord | None = harvested.exit_record
    if exit_record is None:
        fault = next((fault for fault in harvested.faults if fault.startswith("exit.json")), None)
        return "lost", fault or "the board has no exit record of it: the agent or the board died while it ran"
    if exit_record.outcome != "ok":
        # What the workload itself says is wrong is worth more than its return code.
        result = harvested.result
        own_reason = result.reason if result is not None and result.outcome == "failed" else None
        return (
            exit_record.outcome,
            own_reason or exit_record.reason or f"return code {exit_record.returncode}",
        )
    fault = next((fault for fault in harvested.faults if fault.startswith("out/")), None)
    if fault:
        return "failed", f"the workload wrote something unreadable: {fault}"
    if harvested.result is not None and harvested.result.outcome == "diverged":
        return "diverged", harvested.result.reason or "the loss is not finite"
    return "ok", None


def disagreement(planned: Planned, result: WorkloadResult) -> str | None:
    """Return why a correctness check has failed; ``None`` if it has not, or if this is no check."""
    if planned.role != "check" or result.check is None or result.check.get("passed") is True:
        return None
    return f"correctness gate: cache on and off disagree on this board: {canonical_json(result.check)[:300]}"
