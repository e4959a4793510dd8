"""Tell how a repetition ended, and whether its correctness check holds."""

from __future__ import annotations

from typing import Literal

from tunebench.harness.config.suite import Workload, canonical_json
from tunebench.harness.planning.job import BoardContext
from tunebench.harness.planning.repetition import Planned
from tunebench.harness.record.harvest import ExitRecord, Harvested, WorkloadResult
from tunebench.reports.records import Repetition

MeasuredOutcome = Literal["ok", "failed", "deadline", "oom", "killed", "diverged", "lost"]


def _outcome(got: Harvested) -> tuple[MeasuredOutcome, str | None]:
    """How the repetition ended, and why if not well."""
    exit_record: ExitRecord | None = got.exit_record
    if exit_record is None:
        fault = next((one for one in got.faults if one.startswith("exit.json")), None)
        return "lost", fault or "the board has no exit record of it: the agent or the board died while it ran"
    if exit_record.outcome != "ok":
        # What the workload itself says is wrong is worth more than its return code.
        told = got.result.reason if got.result is not None and got.result.outcome == "failed" else None
        return exit_record.outcome, told or exit_record.reason or f"return code {exit_record.returncode}"
    fault = next((one for one in got.faults if one.startswith("out/")), None)
    if fault:
        return "failed", f"the workload wrote something unreadable: {fault}"
    if got.result is not None and got.result.outcome == "diverged":
        return "diverged", got.result.reason or "the loss is not finite"
    return "ok", None


def _checked_key(cell: Workload) -> tuple[str, str]:
    return (cell.task, cell.method)


def _check_failed(planned: Planned, result: WorkloadResult) -> str | None:
    if planned.role != "check" or result.check is None or result.check.get("passed") is True:
        return None
    return f"correctness gate: cache on and off disagree on this board: {canonical_json(result.check)[:300]}"


def note_check(record: Repetition, planned: Planned, bench: BoardContext) -> None:
    """Remember a failed correctness check: no speed of that method is believed on this board."""
    if planned.role != "check":
        return
    if record.outcome != "ok" or record.check is None or record.check.get("passed") is not True:
        reason = record.outcome_reason or "cache on and off disagree"
        bench.failed_checks[_checked_key(planned.cell)] = f"correctness gate failed on this board: {reason}"
    else:  # the first attempt may have been lost
        bench.failed_checks.pop(_checked_key(planned.cell), None)
