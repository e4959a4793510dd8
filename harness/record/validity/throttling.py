"""Check how a board protects itself: throttling, caps, cooling, heat.

Part of :data:`tunebench.harness.record.validity.checks.CHECKS`.
"""

from __future__ import annotations

from tunebench.harness.record.validity.evidence import Evidence, Objection
from tunebench.targets.agent.health import counters
from tunebench.targets.agent.sensors.throttled import NAMES
from tunebench.targets.boards import kind_of

MIN_CLOCK_SHARE = 0.98
TRIP_MARGIN_C = 5.0
_UNDER_VOLTAGE = 1


def throttled(evidence: Evidence) -> list[Objection]:
    """Object to throttling or under-voltage that the firmware reports, or that its memory leaves open."""
    before, after = evidence.counter("before", "throttled"), evidence.counter("after", "throttled")
    during = evidence.counter("during", "throttled")
    if evidence.counter("during", "undervoltage") and not ((after or 0) | (during or 0)) & _UNDER_VOLTAGE:
        return [Objection("invalid", "the supply's alarm (rpi_volt) reports: under-voltage", {"alarm": 1})]
    if after is None and during is None:
        return []
    bits = (after or 0) | (during or 0)
    fresh = (bits & 0xF) | (((bits & ~(before or 0)) >> 16) & 0xF)
    faults = fresh & _UNDER_VOLTAGE if evidence.policy == "sustained" else fresh
    if faults:
        names = ", ".join(name for bit, name in NAMES.items() if faults & (1 << bit))
        return [Objection("invalid", f"the firmware reports: {names}", {"bits": f"{bits:#x}"})]
    stale = ((before or 0) >> 16) & 0xF & (_UNDER_VOLTAGE if evidence.policy == "sustained" else 0xF)
    if stale and during is None:
        names = ", ".join(name for bit, name in NAMES.items() if stale & (1 << bit))
        return [
            Objection(
                "degraded",
                f"the firmware's memory was set since boot ({names}) and nothing was read while it ran: "
                "it proves nothing either way until the board is rebooted",
                {"bits": f"{before:#x}"},
            )
        ]
    return []


def frequency_cap(evidence: Evidence) -> list[Objection]:
    """Object to a highest CPU frequency that the kernel has lowered."""
    before, after = evidence.counter("before", "freq_cap_khz"), evidence.counter("after", "freq_cap_khz")
    if (
        evidence.own_machine
        or evidence.policy == "sustained"
        or before is None
        or after is None
        or after >= before
    ):
        return []
    message = f"the kernel lowered the highest CPU frequency from {before / 1e3:.0f} to {after / 1e3:.0f} MHz"
    return [Objection("invalid", message, {"before_hz": before * 1e3, "after_hz": after * 1e3})]


def clock_low(evidence: Evidence) -> list[Objection]:
    """Object to a CPU that ran below its cap, on boards without turbo.

    Where the firmware measures the clock (a Raspberry Pi's), that is the truth: it may hold the CPU below what the kernel
    believes, with no flag set.
    """
    before, after = evidence.counter("before", "freq_cap_khz"), evidence.counter("after", "freq_cap_khz")
    caps_khz = [cap for cap in (before, after) if cap]
    steady = kind_of(evidence.board_kind).steady_clock or (evidence.root != "/" and not evidence.own_machine)
    if not steady or evidence.role == "idle" or evidence.policy == "sustained":
        return []
    if not caps_khz:
        return []
    cap_hz = min(caps_khz) * 1e3
    believed_hz, measured_hz = evidence.freq_median_hz, evidence.clock_median_hz or None
    if measured_hz is not None and measured_hz < MIN_CLOCK_SHARE * cap_hz:
        believed = f", the kernel believes {believed_hz / 1e6:.0f}" if believed_hz is not None else ""
        message = (
            f"the CPU ran at {measured_hz / 1e6:.0f} MHz (the firmware's measurement, median of the window){believed}; "
            f"its cap is {cap_hz / 1e6:.0f}"
        )
        return [Objection("degraded", message, {"median_hz": measured_hz, "cap_hz": cap_hz})]
    if believed_hz is None or believed_hz >= MIN_CLOCK_SHARE * cap_hz:
        return []
    message = (
        f"the CPU ran at {believed_hz / 1e6:.0f} MHz (median of the window), its cap is {cap_hz / 1e6:.0f}"
    )
    return [Objection("degraded", message, {"median_hz": believed_hz, "cap_hz": cap_hz})]


def cooling(evidence: Evidence) -> list[Objection]:
    """Object to cooling devices that slow the board."""
    if evidence.own_machine or evidence.policy == "sustained":
        return []
    active = {name: max(pair) for name, pair in _known(evidence, counters.COOLING).items() if max(pair) > 0}
    if not active and evidence.counter("during", "cooling_state"):
        active = {"one of them, while it ran,": evidence.counter("during", "cooling_state") or 0}
    if not active:
        return []
    devices = ", ".join(f"{name} at {state}" for name, state in active.items())
    return [Objection("invalid", f"cooling devices slow the board: {devices}", dict(active))]


def over_current(evidence: Evidence) -> list[Objection]:
    """Object to over-current alarms."""
    table = _known(evidence, counters.OVER_CURRENT)
    raised = {
        name: after - before if name.endswith("_cnt") else after
        for name, (before, after) in table.items()
        if (after > before if name.endswith("_cnt") else after > 0)
    }
    if not raised and evidence.counter("during", "over_current"):
        raised = {"a rail's limit, while it ran": 1}
    if not raised:
        return []
    return [Objection("invalid", f"over-current alarms: {', '.join(sorted(raised))}", dict(raised))]


def _known(evidence: Evidence, prefix: str) -> dict[str, tuple[int, int]]:
    """Return (before, after) of the counters of a kind that were read both times."""
    pairs = evidence.counters(prefix).items()
    return {name: (a, b) for name, (a, b) in pairs if a is not None and b is not None}


def near_trip(evidence: Evidence) -> list[Objection]:
    """Object to a temperature near the one at which the board begins to throttle."""
    highest_c, trip_c = (
        evidence.number("conditions", "temp_max_c"),
        evidence.number("watchdog", "passive_trip_c"),
    )
    if evidence.own_machine or evidence.policy == "sustained" or highest_c is None or trip_c is None:
        return []
    if highest_c < trip_c - TRIP_MARGIN_C:
        return []
    message = f"it reached {highest_c:g} C; the board begins to throttle at {trip_c:g} C"
    return [Objection("degraded", message, {"temp_max_c": highest_c, "trip_c": trip_c})]


def not_settled(evidence: Evidence) -> list[Objection]:
    """Object to a sustained load that has no steady state yet."""
    if evidence.settled is not False:
        return []
    return [
        Objection(
            "degraded",
            "no steady state: the last third still changes by over 2%; a longer sustained_s is needed",
        )
    ]
