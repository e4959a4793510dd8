"""List the checks after a repetition, as one table.

What is measured before a repetition is in :data:`tunebench.targets.agent.health.gates.GATES`.

``docs/verdicts.md`` is held against both tables by a test.
"""

from __future__ import annotations

from tunebench.harness.record.validity import throttling, timing
from tunebench.harness.record.validity.evidence import Check, Evidence, Objection
from tunebench.targets.agent import lease
from tunebench.targets.agent.health.gates import GATES, UNJUDGED
from tunebench.targets.boards import kind_of

#: Load beyond the threads that the repetition before this one has left in the average.
MAX_LOAD_1M = 0.5


def _outcome(evidence: Evidence) -> list[Objection]:
    """Object to a repetition that did not end well; heat has a check of its own."""
    if evidence.outcome == "ok" or _too_hot(evidence):
        return []
    return [Objection("invalid", evidence.outcome_reason or f"the repetition ended as {evidence.outcome!r}")]


def _too_hot(evidence: Evidence) -> list[Objection]:
    """Object to a repetition that the thermal watchdog ended."""
    tripped_c, limit_c = evidence.number("watchdog", "tripped_c"), evidence.number("watchdog", "limit_c")
    if tripped_c is None:
        return []
    message = evidence.outcome_reason or f"too hot: {tripped_c:g} C"
    return [Objection("invalid", message, {"temp_c": tripped_c, "limit_c": limit_c})]


def _no_window(evidence: Evidence) -> list[Objection]:
    """Object to a repetition that ended well without a measured window."""
    if evidence.outcome != "ok" or evidence.window_s is not None:
        return []
    return [
        Objection(
            "invalid", evidence.window_missing or "the workload wrote no marks: there is no measured window"
        )
    ]


def _correctness(evidence: Evidence) -> list[Objection]:
    """Object to a method whose correctness check has failed on this board."""
    return [Objection("invalid", evidence.check_failed)] if evidence.check_failed else []


def _contested(evidence: Evidence) -> list[Objection]:
    """Object to a repetition by whose end somebody else had the board's place: they may have been on the board."""
    return [Objection("invalid", evidence.contested)] if evidence.contested else []


def _stressor(evidence: Evidence) -> list[Objection]:
    """Object to a stressor that did not hold: what was measured is neither the quiet row nor the stressed one."""
    stressor = evidence.stressor
    if stressor is None or stressor.held or evidence.outcome != "ok":
        return []
    return [
        Objection("invalid", f"stressor {stressor.id}: {stressor.reason or 'the board says nothing of it'}")
    ]


def _swap(evidence: Evidence) -> list[Objection]:
    """Object to pages that were swapped while it ran."""
    pages = sum(max(0, evidence.grown(name) or 0) for name in ("pswpin", "pswpout"))
    return (
        [Objection("invalid", f"{pages} pages were swapped while it ran", {"pages": pages})] if pages else []
    )


def _oom(evidence: Evidence) -> list[Objection]:
    """Object to other processes that the kernel killed for want of memory."""
    kills = evidence.grown("oom_kill") or 0
    if kills <= 0 or evidence.outcome != "ok":
        return []  # a workload that was killed itself ended as 'oom'
    return [
        Objection(
            "degraded", f"the kernel killed {kills} other process(es) for want of memory", {"kills": kills}
        )
    ]


def _shared_machine(evidence: Evidence) -> list[Objection]:
    """Object to a loopback board: host and board are one machine."""
    if not kind_of(evidence.board_kind).host_itself:
        return []
    return [Objection("degraded", "shared machine: host and board are one, so nothing keeps the board quiet")]


def _emulated(evidence: Evidence) -> list[Objection]:
    """Object to an emulated board."""
    return [Objection("degraded", "emulated board: its times are not a board's")] if evidence.emulated else []


def _simulated(evidence: Evidence) -> list[Objection]:
    """Object to sensor values from a simulated tree."""
    if evidence.root == "/":
        return []
    return [Objection("degraded", "simulated: sensor values come from a simulated tree")]


def _busy(evidence: Evidence) -> list[Objection]:
    """Object to a high load average, but not where a gate has measured the CPU time of others: that is more exact."""
    load, limit = evidence.number("conditions", "load_1m_start"), MAX_LOAD_1M + evidence.threads
    measured = evidence.number("conditions", "background_cores") is not None
    if evidence.own_machine or measured or load is None or load <= limit:
        return []
    message = f"load was {load:.2f} at the start; over {limit:g} the board is busy with something else"
    return [Objection("degraded", message, {"load_1m": load, "limit": limit})]


#: Warnings of the agent that have a check of their own here, or that stand elsewhere in the record.
_SHOWN_ELSEWHERE = frozenset({"throttled", "swapped", lease.TAKEN_OVER})
_GATE_CODES = frozenset({*(gate.code for gate in GATES), UNJUDGED})


def _tuning(evidence: Evidence) -> list[Objection]:
    """Object to each fault of tuning."""
    return [Objection("degraded", fault[:300]) for fault in evidence.tuning_faults]


def _warnings(evidence: Evidence) -> list[Objection]:
    """Object to what the agent noted, a gate under its own code; at most eight of them."""
    if evidence.own_machine:
        return []
    objections = []
    for warning in evidence.exit_record.warnings if evidence.exit_record else []:
        if warning.code is None or warning.code in _SHOWN_ELSEWHERE:
            continue
        code = warning.code if warning.code in _GATE_CODES else None
        objections.append(Objection("degraded", warning.message, {}, code))
    return objections[:8]


#: The order is the order of the reasons in a record.
CHECKS: tuple[Check, ...] = (
    Check(
        "too-hot",
        "the thermal watchdog",
        "invalid",
        "a temperature above the inventory's `max_temp_c`, else 5 C under the lowest critical or hot trip point, else"
        " 95 C, twice in a row: the workload is ended",
        "safety of the board; trip points: Documentation/driver-api/thermal/sysfs-api.rst",
        _too_hot,
    ),
    Check(
        "outcome", "how the workload ended", "invalid", "not `ok`", "an unfinished job has no time", _outcome
    ),
    Check(
        "no-window",
        "the marks of the measured window",
        "invalid",
        "missing or unreadable",
        "a duration is never guessed",
        _no_window,
    ),
    Check(
        "correctness",
        "the correctness gate of a cached method on this board",
        "invalid",
        "failed",
        "the speed of wrong results means nothing (docs/measurement.md)",
        _correctness,
    ),
    Check(
        "contested",
        "the board's place in its farm, right after the repetition",
        "invalid",
        "somebody has taken or released it",
        "the lease on the board keeps other campaigns away, but nobody who logs in because the farm says that it is their"
        " turn (docs/farm.md)",
        _contested,
    ),
    Check(
        "stressor",
        "what the suite puts around the fine-tuning (`stressors`), read back when the workload has ended",
        "invalid",
        "it was not applied, did not hold to the end, or could not be removed",
        "a row under a stressor stands for that stressor (docs/robustness.md)",
        _stressor,
    ),
    Check(
        "swapped",
        "pswpin, pswpout of /proc/vmstat",
        "invalid",
        "any page between start and end. Stressor `low-memory`: degraded, it is what is looked for",
        "SD cards are thousands of times slower than memory (proc_vmstat(5))",
        _swap,
    ),
    Check(
        "oom-elsewhere",
        "oom_kill of /proc/vmstat",
        "degraded",
        "rose, while the workload itself survived",
        "memory was short; kills in other control groups count too (proc_vmstat(5))",
        _oom,
    ),
    Check(
        "throttled",
        "the Raspberry Pi firmware's get_throttled: before, once a second, after; rpi_volt's alarm",
        "invalid",
        "a bit 0-3 in any reading, or a bit 16-19 that was not set before. Old bits 16-19 and no reading in between:"
        " degraded. Policy `sustained`: under-voltage only",
        "documentation of vcgencmd get_throttled; the Zero family has no under-voltage detector",
        throttling.throttled,
    ),
    Check(
        "frequency-capped",
        "largest scaling_max_freq, before and after",
        "invalid",
        "lower after than before. Policy `sustained`: not judged",
        "the kernel lowers it when a zone passes its passive trip point (Documentation/admin-guide/pm/cpufreq.rst)",
        throttling.frequency_cap,
    ),
    Check(
        "clock-low",
        "CPU frequency and, on a Raspberry Pi, the clock that the firmware measures: medians of the window; boards"
        " without turbo only",
        "degraded",
        "either under 98% of scaling_max_freq. Policy `sustained`: not judged",
        "a governor that did not follow, or firmware that runs slower than asked without any flag"
        " (raspberrypi/firmware#1469)",
        throttling.clock_low,
    ),
    Check(
        "cooling",
        "thermal cooling devices that slow the board: before, once a second, after; not fans, and not warnings to people"
        " (`hot-surface-alert`)",
        "invalid",
        "a state above 0. Policy `sustained`: not judged",
        "cooling by slowing down (Documentation/driver-api/thermal/sysfs-api.rst)",
        throttling.cooling,
    ),
    Check(
        "over-current",
        "INA3221 alarms (curr*_crit_alarm, curr*_max_alarm) and Jetson's oc*_throt_cnt",
        "invalid",
        "an alarm is set while it ran or after, or a count rose",
        "a Jetson lowers its clocks on over-current (Documentation/hwmon/ina3221.rst)",
        throttling.over_current,
    ),
    Check(
        "near-trip",
        "highest temperature of the repetition",
        "degraded",
        "within 5 C of the lowest passive trip point to which a device that slows the board is bound. Policy `sustained`:"
        " not judged",
        "short throttling may lie between two samples",
        throttling.near_trip,
    ),
    Check(
        "not-settled",
        "policy `sustained`: the fine-tunings of the last third",
        "degraded",
        "their trend (Theil-Sen) over the third is 2% or more of their median",
        "without a steady state the last third is only a moment; 2% is the smallest difference that matters by default",
        throttling.not_settled,
    ),
    Check(
        "suspended",
        "CLOCK_BOOTTIME less CLOCK_MONOTONIC, before and after",
        "invalid",
        "grew by more than 10 ms",
        "CLOCK_BOOTTIME counts sleep, CLOCK_MONOTONIC does not (clock_gettime(2))",
        timing.slept,
    ),
    Check(
        "clock-step",
        "CLOCK_REALTIME less CLOCK_MONOTONIC, before and after",
        "degraded",
        "changed by more than 0.5 s",
        "a Raspberry Pi has no clock that survives a power cut; its time jumps when NTP answers. No duration uses it",
        timing.clock_step,
    ),
    Check(
        "shared-machine",
        "the board's kind",
        "degraded",
        "loopback",
        "host and board share one machine",
        _shared_machine,
    ),
    Check(
        "emulated",
        "the inventory's `emulated`",
        "degraded",
        "true",
        "an emulator's times are its own",
        _emulated,
    ),
    Check(
        "simulated",
        "the inventory's `simulated_root`",
        "degraded",
        "set",
        "values of a simulated tree are no measurement",
        _simulated,
    ),
    Check(
        "busy-load",
        "load average at the start, where the CPU time of others was not measured",
        "degraded",
        "above the workload's threads + 0.5",
        "the repetition before this one is still in it",
        _busy,
    ),
    Check(
        "sampler-gap",
        "largest gap between samples",
        "degraded",
        "over 5 periods",
        "what happened in between is not known",
        timing.gaps,
    ),
    Check(
        "sampler-rate",
        "samples taken against those due",
        "degraded",
        "off by more than 20%, where at least 10 were due",
        "a sampler that cannot keep its pace is starved, or starves",
        timing.rate,
    ),
    Check(
        "channel-errors",
        "reads of each channel that failed, hung or contradicted others",
        "degraded",
        "over 1% of them, and more than one",
        "what was not read is a gap, and gaps hide peaks; failures are counted on the board, never filled in",
        timing.channel_errors,
    ),
    Check(
        "clock-bound",
        "bound of the tighter clock exchange",
        "degraded",
        "over 1% of the window",
        "host-side traces cannot be aligned better than that; durations are the board's own",
        timing.clock_bound,
    ),
    Check(
        "clock-drift",
        "clock exchange before against after",
        "degraded",
        "moved by more than both bounds and 200 ppm of the time between",
        "crystals are within 100 ppm of each other, and NTP slews by 500 ppm at most",
        timing.clock_drift,
    ),
    Check(
        "tuning",
        "what `[board.tuning]` asks for, set and read back; what an earlier run left, put back",
        "degraded",
        "any of it failed",
        "the board is not in the state that it is said to be in; `required = true` skips it instead (docs/tuning.md)",
        _tuning,
    ),
    Check(
        "board-warning",
        "what the agent noted: gates under their own codes (below), and what it could not finish cleanly",
        "degraded",
        "any; not on the host's own machine, where `shared-machine` stands for it",
        "docs/inventory.md, `gates`",
        _warnings,
    ),
)
