"""The verdicts again, by today's rules, from what the run kept.

The record, the board's exit record, the trace and what the host saw are all that a verdict is made from: it must come out
again. Older records were written without the exit record: what was judged from its counters (swap, throttling bits,
cooling, gates, watchdog) stands as it was, and all that follows from kept figures is judged anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunebench.harness.record.harvest import ExitRecord
from tunebench.harness.record.validity.evidence import Evidence, evidence_of
from tunebench.harness.record.validity.judge import judge
from tunebench.harness.verify.discrepancy import Discrepancy, Lined
from tunebench.harness.verify.exit_records import Kept, whole
from tunebench.reports.records import Reason, Repetition
from tunebench.reports.results.drift import CODE as DRIFT

_RANK = {"valid": 0, "degraded": 1, "invalid": 2}
#: Judged from figures that also older records keep: a reason of these that is not found again has lost its ground.
_ALWAYS = frozenset({"no-window", "shared-machine", "emulated", "clock-bound", "sampler-gap"})


def not_judged_anew(lines: Sequence[Lined]) -> list[str]:
    """Which reasons nobody can judge again, and why: one sentence, or none."""
    older = [one.line for one in lines if not whole(one.rep)]
    if not older:
        return []
    return [
        f"{len(older)} of {len(lines)} records (the first on line {older[0]}) were written without the board's exit"
        " record: swap, throttling, frequency cap, cooling, over-current, gates, watchdog and suspend stand in them"
        " as they were judged"
    ]


def verdicts(one: Lined, kept: Kept) -> Iterator[Discrepancy]:
    """What today's rules make of a repetition, against what stands in its record."""
    rep = one.rep
    yield from kept.faults
    yield from _verdict_of_reasons(one)
    yield from _clock(one)
    if kept.whole and rep.seen:
        evidence = evidence_of(rep, rep.seen, kept.exit_record, kept.freq_median_hz)
    else:
        evidence = evidence_left_in(rep)
    _, today = judge(evidence)
    stands = {reason.code for reason in rep.reasons if reason.code != DRIFT}
    for reason in today:
        if reason.code not in stands and not (reason.code == "outcome" and "too-hot" in stands):
            yield one.finding(
                "verdict", f"today's rules say {reason.level}: {reason.message} ({reason.code})"
            )
    grounds = stands if kept.whole else stands & _ALWAYS
    for code in sorted(grounds - {reason.code for reason in today}):
        yield one.finding("verdict", f"reason {code!r} does not follow from what the run kept")


def evidence_left_in(rep: Repetition) -> Evidence:
    """What an older record still holds of what its judge saw."""
    sampler = rep.sampler
    if sampler is not None:
        read = {name: reads for name, reads in sampler.channels.items() if reads.n or reads.errors}
        sampler = sampler.model_copy(update={"channels": read})
    return Evidence(
        board_kind=rep.board_kind,
        emulated=rep.emulated,
        outcome=rep.outcome,
        outcome_reason=rep.outcome_reason,
        wall_s=rep.sustained.duration_s if rep.sustained else rep.wall_s,
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


def _verdict_of_reasons(one: Lined) -> Iterator[Discrepancy]:
    reasons: list[Reason] = [reason for reason in one.rep.reasons if reason.code != DRIFT]
    if not reasons and one.rep.verdict != "valid":
        yield one.finding("verdict", f"the verdict is {one.rep.verdict!r} and no reason stands for it")
    levels = [reason.level for reason in reasons if reason.level is not None]
    if len(levels) < len(reasons) or not levels:
        return  # an older record does not say what each reason alone makes of it
    worst = max(levels, key=lambda level: _RANK[level])
    if worst != one.rep.verdict:
        yield one.finding("verdict", f"the verdict is {one.rep.verdict!r}, its worst reason is {worst!r}")


def _clock(one: Lined) -> Iterator[Discrepancy]:
    offset = one.rep.clock_offset
    if offset is not None and offset.bound_s < 0:
        yield one.finding("clock", f"the clock bound is {offset.bound_s} s: a bound is not negative")
    if one.rep.clock != "CLOCK_MONOTONIC":
        yield one.finding("clock", f"durations by {one.rep.clock}; only CLOCK_MONOTONIC is never set")
