"""Check clocks and samples: sleep, steps, bounds, drift, gaps, rates.

Part of :data:`tunebench.harness.record.validity.checks.CHECKS`.
"""

from __future__ import annotations

from tunebench.harness.record.validity.evidence import Evidence, Objection

#: A clock bound wider than this share of the window says nothing about a trace's alignment.
MAX_CLOCK_SHARE = 0.01
#: Crystals differ by less; more is a clock that was stepped or slewed hard.
MAX_DRIFT_PPM = 200.0
MAX_STEP_S = 0.5
MIN_SLEEP_S = 0.01
MAX_GAP_PERIODS = 5.0
MAX_RATE_SHARE = 0.2
#: Below so many expected samples their rate says nothing.
MIN_SAMPLES = 10
#: Share of a channel's reads that failed or were refused.
MAX_ERROR_SHARE = 0.01


def slept(evidence: Evidence) -> list[Objection]:
    """Object to a board that was suspended while it ran."""
    awake_ns, all_ns = evidence.grown("monotonic_ns"), evidence.grown("boottime_ns")
    if awake_ns is None or all_ns is None or (all_ns - awake_ns) / 1e9 <= MIN_SLEEP_S:
        return []
    slept_s = (all_ns - awake_ns) / 1e9
    return [
        Objection(
            "invalid", f"the board was suspended for {slept_s:.2f} s while it ran", {"slept_s": slept_s}
        )
    ]


def clock_step(evidence: Evidence) -> list[Objection]:
    """Object to a wall clock that was stepped."""
    real_ns, steady_ns = evidence.grown("realtime_ns"), evidence.grown("monotonic_ns")
    asleep_ns = max(0, (evidence.grown("boottime_ns") or steady_ns or 0) - (steady_ns or 0))
    if real_ns is None or steady_ns is None:
        return []
    step_s = (real_ns - steady_ns - asleep_ns) / 1e9
    if abs(step_s) <= MAX_STEP_S:
        return []
    message = (
        f"the board's wall clock was stepped by {step_s:+.1f} s while it ran; durations are taken from "
        "CLOCK_MONOTONIC and are not affected, its UTC times are"
    )
    return [Objection("degraded", message, {"step_s": step_s})]


def clock_bound(evidence: Evidence) -> list[Objection]:
    """Object to a clock bound that is wide beside the window."""
    if (
        evidence.offset is None
        or not evidence.window_s
        or evidence.offset.bound_s <= MAX_CLOCK_SHARE * evidence.window_s
    ):
        return []
    message = (
        f"host-board clock known to +-{1000 * evidence.offset.bound_s:.1f} ms, over 1% of the window "
        f"({evidence.window_s:.2f} s); durations are the board's own and not affected"
    )
    return [Objection("degraded", message, {"bound_s": evidence.offset.bound_s, "wall_s": evidence.window_s})]


def clock_drift(evidence: Evidence) -> list[Objection]:
    """Object to clocks of host and board that moved apart."""
    if len(evidence.exchanges) < 2:
        return []
    (begun_s, first), (ended_s, second) = evidence.exchanges[0], evidence.exchanges[-1]
    drift_s = second.offset_s - first.offset_s
    beyond_s = abs(drift_s) - first.bound_s - second.bound_s
    elapsed_s = ended_s - begun_s
    if elapsed_s <= 0 or beyond_s <= MAX_DRIFT_PPM * 1e-6 * elapsed_s:
        return []
    message = (
        f"host and board clock moved apart by {1000 * drift_s:+.1f} ms in {elapsed_s:.0f} s, beyond what the "
        f"exchanges leave open and {MAX_DRIFT_PPM:g} ppm: one of the monotonic clocks is wrong or was slewed"
    )
    return [Objection("degraded", message, {"drift_s": drift_s, "elapsed_s": elapsed_s})]


def gaps(evidence: Evidence) -> list[Objection]:
    """Object to a pause of the sampler."""
    gap_s, period_s = evidence.number("sampler", "max_gap_s"), evidence.number("sampler", "period_s")
    if gap_s is None or period_s is None or gap_s <= MAX_GAP_PERIODS * period_s:
        return []
    message = f"the sampler paused for {gap_s:.2f} s (period {period_s:g} s)"
    return [Objection("degraded", message, {"max_gap_s": gap_s, "period_s": period_s})]


def rate(evidence: Evidence) -> list[Objection]:
    """Object to a sampler that took more or fewer samples than were due."""
    n, period_s = evidence.number("sampler", "n"), evidence.number("sampler", "period_s")
    process_s = evidence.exit_record.process_s if evidence.exit_record else None
    if n is None or not period_s or process_s is None:
        return []
    expected = process_s / period_s
    if expected < MIN_SAMPLES or abs(n / expected - 1) <= MAX_RATE_SHARE:
        return []
    message = f"{n:.0f} samples in {process_s:.1f} s where {expected:.0f} were due: the rate is off by more than 20%"
    return [Objection("degraded", message, {"n": n, "expected": expected})]


def channel_errors(evidence: Evidence) -> list[Objection]:
    """Object to channels that were read without a value too often."""
    failures, values = [], {}
    sampler = evidence.exit_record.sampler if evidence.exit_record else None
    for name, reads in sampler.channels.items() if sampler else ():
        lost = reads.errors + reads.refused
        total = reads.n + lost
        # The workload's own memory cannot be read once it has ended.
        if name != "rss_b" and lost > 1 and lost > MAX_ERROR_SHARE * total:
            why = max(reads.reasons, key=lambda reason: reads.reasons[reason], default="no reason")
            failures.append(f"{name} {lost} of {total} ({why[:120]})")
            values[name[:64]] = lost / total
    if not failures:
        return []
    more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
    return [Objection("degraded", f"reads without a value: {'; '.join(failures[:3])}{more}", values)]
