"""Judge every repetition again by today's rules, from what the run kept.

The record, the board's exit record, the trace and what the host saw are all that a verdict is made from: it must come out
again. Older records were written without the exit record: what was judged from its counters (swap, throttling bits,
cooling, gates, watchdog) stands as it was, and all that follows from kept figures is judged anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunebench.harness.record.harvest import ExitRecord
from tunebench.harness.record.validity.evidence import Evidence, evidence_of
from tunebench.harness.record.validity.judge import judge
from tunebench.harness.verify.discrepancy import Discrepancy, RecordLine
from tunebench.harness.verify.exit_records import Kept, whole
from tunebench.reports.records import Reason, Repetition
from tunebench.reports.results.drift import CODE as DRIFT

_RANK = {"valid": 0, "degraded": 1, "invalid": 2}
#: Judged from figures that also older records keep: a reason of these that is not found again has lost its ground.
_ALWAYS = frozenset({"no-window", "shared-machine", "emulated", "clock-bound", "sampler-gap"})


def not_judged_anew(lines: Sequence[RecordLine]) -> list[str]:
    """Return which reasons nobody can judge again, and why: one sentence, or none."""
    older = [line.number for line in lines if not whole(line.record)]
    if not older:
        return []
    return [
        f"{len(older)} of {len(lines)} records (the first on line {older[0]}) were written without the board's exit"
        " record: swap, throttling, frequency cap, cooling, over-current, gates, watchdog and suspend stand in them"
        " as they were judged"
    ]


def verdicts(line: RecordLine, kept: Kept) -> Iterator[Discrepancy]:
    """Compare what today's rules make of a repetition with what stands in its record."""
    rep = line.record
    yield from kept.faults
    yield from _verdict_of_reasons(line)
    yield from _clock(line)
    if kept.whole and rep.seen:
        evidence = evidence_of(rep, rep.seen, kept.exit_record, kept.freq_median_hz, kept.clock_median_hz)
    else:
        evidence = evidence_left_in(rep)
    _, today = judge(evidence)
    stands = {reason.code for reason in rep.reasons if reason.code != DRIFT}
    for reason in today:
        if reason.code not in stands and not (reason.code == "outcome" and "too-hot" in stands):
            yield line.discrepancy(
                "verdict", f"today's rules say {reason.level}: {reason.message} ({reason.code})"
            )
    grounds = stands if kept.whole else stands & _ALWAYS
    for code in sorted(grounds - {reason.code for reason in today}):
        yield line.discrepancy("verdict", f"reason {code!r} does not follow from what the run kept")


def evidence_left_in(rep: Repetition) -> Evidence:
    """Return what an older record still holds of what its judge saw."""
    sampler = rep.sampler
    if sampler is not None:
        read = {name: reads for name, reads in sampler.channels.items() if reads.n or reads.errors}
        sampler = sampler.model_copy(update={"channels": read})
    return Evidence(
        board_kind=rep.board_kind,
        emulated=rep.emulated,
        outcome=rep.outcome,
        outcome_reason=rep.outcome_reason,
        window_s=rep.sustained.duration_s if rep.sustained else rep.wall_s,
        threads=rep.threads,
        role=rep.role,
        policy=rep.policy,
        root="simulated" if any(reason.code == "simulated" for reason in rep.reasons) else "/",
        exit_record=ExitRecord(
            rep_id=rep.rep_id,
            outcome="ok",  # the record's own outcome is what is judged
            process_s=rep.process_s,
            sampler=sampler,
            conditions=rep.conditions,
        ),
        offset=rep.clock_offset,
        settled=rep.sustained.settled if rep.sustained else None,
        check_failed=_check_failed(rep),
    )


def _check_failed(rep: Repetition) -> str | None:
    if rep.role != "check" or rep.check is None or rep.check.get("passed") is True:
        return None
    return "the correctness check did not pass"


def _verdict_of_reasons(line: RecordLine) -> Iterator[Discrepancy]:
    reasons: list[Reason] = [reason for reason in line.record.reasons if reason.code != DRIFT]
    if not reasons and line.record.verdict != "valid":
        yield line.discrepancy(
            "verdict", f"the verdict is {line.record.verdict!r} and no reason stands for it"
        )
    levels = [reason.level for reason in reasons if reason.level is not None]
    if len(levels) < len(reasons) or not levels:
        return  # an older record does not say what each reason alone makes of it
    worst = max(levels, key=lambda level: _RANK[level])
    if worst != line.record.verdict:
        yield line.discrepancy(
            "verdict", f"the verdict is {line.record.verdict!r}, its worst reason is {worst!r}"
        )


def _clock(line: RecordLine) -> Iterator[Discrepancy]:
    offset = line.record.clock_offset
    if offset is not None and offset.bound_s < 0:
        yield line.discrepancy("clock", f"the clock bound is {offset.bound_s} s: a bound is not negative")
    if line.record.clock != "CLOCK_MONOTONIC":
        yield line.discrepancy(
            "clock", f"durations by {line.record.clock}; only CLOCK_MONOTONIC is never set"
        )
