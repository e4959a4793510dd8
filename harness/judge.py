"""The verdict on one repetition: a table of checks, each giving a level and a reason.

``invalid`` numbers are excluded from comparisons; ``degraded`` ones are shown with their reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from reports.records import ClockOffset, Reason, Verdict

Level = Literal["degraded", "invalid"]

#: A clock bound wider than this share of the window says nothing about a trace's alignment.
MAX_CLOCK_SHARE = 0.01
MAX_GAP_PERIODS = 5.0
#: Load beyond the threads that the repetition before this one has left in the average.
MAX_LOAD_1M = 0.5


@dataclass(frozen=True)
class Evidence:
    """What a verdict is made from."""

    board_kind: str
    emulated: bool
    outcome: str
    outcome_reason: str | None
    wall_s: float | None
    threads: int = 1
    exit_record: Mapping[str, Any] = field(default_factory=dict)
    offset: ClockOffset | None = None
    check_failed: str | None = None
    wall_missing: str | None = None


Check = Callable[[Evidence], "tuple[Level, str] | None"]


def _outcome(seen: Evidence) -> tuple[Level, str] | None:
    if seen.outcome == "ok":
        return None
    return "invalid", seen.outcome_reason or f"the repetition ended as {seen.outcome!r}"


def _no_window(seen: Evidence) -> tuple[Level, str] | None:
    if seen.outcome == "ok" and seen.wall_s is None:
        return "invalid", seen.wall_missing or "the workload wrote no marks: there is no measured window"
    return None


def _correctness(seen: Evidence) -> tuple[Level, str] | None:
    return ("invalid", seen.check_failed) if seen.check_failed else None


def _swap(seen: Evidence) -> tuple[Level, str] | None:
    before, after = _counters(seen)
    pages = sum(_grown(before, after, name) for name in ("pswpin", "pswpout"))
    return ("invalid", f"{pages} pages were swapped while it ran") if pages else None


def _throttled(seen: Evidence) -> tuple[Level, str] | None:
    before, after = _counters(seen)
    old, new = before.get("throttled"), after.get("throttled")
    if not isinstance(new, int):
        return None
    fresh = (new & 0xF) | (((new & ~(old if isinstance(old, int) else 0)) >> 16) & 0xF)
    names = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
    bits = [name for bit, name in enumerate(names) if fresh & (1 << bit)]
    return ("invalid", "the firmware reports: " + ", ".join(bits)) if bits else None


def _shared_machine(seen: Evidence) -> tuple[Level, str] | None:
    if seen.board_kind == "loopback":
        return "degraded", "shared machine: host and board are one, so nothing keeps the board quiet"
    return None


def _emulated(seen: Evidence) -> tuple[Level, str] | None:
    return ("degraded", "emulated board: its times are not a board's") if seen.emulated else None


def _busy(seen: Evidence) -> tuple[Level, str] | None:
    load = (seen.exit_record.get("conditions") or {}).get("load_1m_start")
    limit = MAX_LOAD_1M + seen.threads
    if seen.board_kind != "loopback" and isinstance(load, int | float) and load > limit:
        return (
            "degraded",
            f"load was {load:.2f} at the start; over {limit:g} the board is busy with something else",
        )
    return None


def _gaps(seen: Evidence) -> tuple[Level, str] | None:
    sampler = seen.exit_record.get("sampler") or {}
    gap, period = sampler.get("max_gap_s"), sampler.get("period_s")
    if isinstance(gap, int | float) and isinstance(period, int | float) and gap > MAX_GAP_PERIODS * period:
        return "degraded", f"the sampler paused for {gap:.2f} s (period {period:g} s)"
    return None


def _clock(seen: Evidence) -> tuple[Level, str] | None:
    if seen.offset is None or not seen.wall_s:
        return None
    if seen.offset.bound_s > MAX_CLOCK_SHARE * seen.wall_s:
        return "degraded", (
            f"host-board clock known to +-{1000 * seen.offset.bound_s:.1f} ms, over 1% of the window "
            f"({seen.wall_s:.2f} s); durations are the board's own and not affected"
        )
    return None


def _agent_warnings(seen: Evidence) -> tuple[Level, str] | None:
    # On loopback the idle and thermal gates only warn, and the shared machine is the reason that stands.
    if seen.board_kind == "loopback":
        return None
    messages = [
        str(one.get("message", ""))[:200]
        for one in seen.exit_record.get("warnings") or []
        if isinstance(one, dict)
    ]
    return ("degraded", "; ".join(messages[:3])) if messages else None


#: Code -> check. The order is the order of the reasons in a record.
CHECKS: tuple[tuple[str, Check], ...] = (
    ("outcome", _outcome),
    ("no-window", _no_window),
    ("correctness", _correctness),
    ("swapped", _swap),
    ("throttled", _throttled),
    ("shared-machine", _shared_machine),
    ("emulated", _emulated),
    ("busy", _busy),
    ("sampler-gap", _gaps),
    ("clock-bound", _clock),
    ("board-warning", _agent_warnings),
)


def judge(seen: Evidence) -> tuple[Verdict, list[Reason]]:
    """Run every check; the worst level is the verdict."""
    verdict: Verdict = "valid"
    reasons: list[Reason] = []
    for code, check in CHECKS:
        found = check(seen)
        if found is None:
            continue
        level, message = found
        reasons.append(Reason(code=code, message=message))
        if level == "invalid" or verdict == "valid":
            verdict = level
    return verdict, reasons


def _counters(seen: Evidence) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    counters = seen.exit_record.get("counters") or {}
    return counters.get("before") or {}, counters.get("after") or {}


def _grown(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> int:
    old, new = before.get(name), after.get(name)
    return max(0, new - old) if isinstance(old, int) and isinstance(new, int) else 0
