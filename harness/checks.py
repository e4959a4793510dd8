"""The checks after a repetition, as one table. What is measured before it is :data:`targets.agent.gates.GATES`.

``docs/verdicts.md`` is held against both tables by a test.
"""

from __future__ import annotations

from harness.evidence import Check, Evidence, Finding
from targets.agent import lease, strain
from targets.agent.gates import GATES, UNJUDGED
from targets.agent.sensors.throttled import NAMES

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
#: Load beyond the threads that the repetition before this one has left in the average.
MAX_LOAD_1M = 0.5
MIN_CLOCK_SHARE = 0.98
TRIP_MARGIN_C = 5.0
#: Boards whose highest frequency is one that they can keep; a PC's turbo is not.
_STEADY_CLOCK = ("raspberry-pi", "jetson")
_UNDER_VOLTAGE = 1


def _outcome(seen: Evidence) -> list[Finding]:
    if seen.outcome == "ok" or _too_hot(seen):
        return []
    return [Finding("invalid", seen.outcome_reason or f"the repetition ended as {seen.outcome!r}")]


def _too_hot(seen: Evidence) -> list[Finding]:
    tripped_c, limit_c = seen.number("watchdog", "tripped_c"), seen.number("watchdog", "limit_c")
    if tripped_c is None:
        return []
    message = seen.outcome_reason or f"too hot: {tripped_c:g} C"
    return [Finding("invalid", message, {"temp_c": tripped_c, "limit_c": limit_c})]


def _no_window(seen: Evidence) -> list[Finding]:
    if seen.outcome != "ok" or seen.wall_s is not None:
        return []
    return [
        Finding("invalid", seen.wall_missing or "the workload wrote no marks: there is no measured window")
    ]


def _correctness(seen: Evidence) -> list[Finding]:
    return [Finding("invalid", seen.check_failed)] if seen.check_failed else []


def _swap(seen: Evidence) -> list[Finding]:
    pages = sum(max(0, seen.grown(name) or 0) for name in ("pswpin", "pswpout"))
    return [Finding("invalid", f"{pages} pages were swapped while it ran", {"pages": pages})] if pages else []


def _oom(seen: Evidence) -> list[Finding]:
    kills = seen.grown("oom_kill") or 0
    if kills <= 0 or seen.outcome != "ok":
        return []  # a workload that was killed itself ended as 'oom'
    return [
        Finding(
            "degraded", f"the kernel killed {kills} other process(es) for want of memory", {"kills": kills}
        )
    ]


def _throttled(seen: Evidence) -> list[Finding]:
    before, after = seen.counter("before", "throttled"), seen.counter("after", "throttled")
    during = seen.counter("during", "throttled")
    if seen.counter("during", "undervoltage") and not ((after or 0) | (during or 0)) & _UNDER_VOLTAGE:
        return [Finding("invalid", "the supply's alarm (rpi_volt) reports: under-voltage", {"alarm": 1})]
    if after is None and during is None:
        return []
    bits = (after or 0) | (during or 0)
    fresh = (bits & 0xF) | (((bits & ~(before or 0)) >> 16) & 0xF)
    faults = fresh & _UNDER_VOLTAGE if seen.policy == "sustained" else fresh
    if faults:
        names = ", ".join(name for bit, name in NAMES.items() if faults & (1 << bit))
        return [Finding("invalid", f"the firmware reports: {names}", {"bits": f"{bits:#x}"})]
    old = ((before or 0) >> 16) & 0xF & (_UNDER_VOLTAGE if seen.policy == "sustained" else 0xF)
    if old and during is None:
        names = ", ".join(name for bit, name in NAMES.items() if old & (1 << bit))
        return [
            Finding(
                "degraded",
                f"the firmware's memory was set since boot ({names}) and nothing was read while it ran: "
                "it proves nothing either way until the board is rebooted",
                {"bits": f"{before:#x}"},
            )
        ]
    return []


def _frequency_cap(seen: Evidence) -> list[Finding]:
    before, after = seen.counter("before", "freq_cap_khz"), seen.counter("after", "freq_cap_khz")
    if seen.own_machine or seen.policy == "sustained" or before is None or after is None or after >= before:
        return []
    message = f"the kernel lowered the highest CPU frequency from {before / 1e3:.0f} to {after / 1e3:.0f} MHz"
    return [Finding("invalid", message, {"before_hz": before * 1e3, "after_hz": after * 1e3})]


def _clock_low(seen: Evidence) -> list[Finding]:
    caps = [seen.counter("before", "freq_cap_khz"), seen.counter("after", "freq_cap_khz")]
    known = [cap for cap in caps if cap]
    steady = seen.board_kind in _STEADY_CLOCK or (seen.root != "/" and not seen.own_machine)
    if not steady or seen.role == "idle" or seen.policy == "sustained":
        return []
    if not known or seen.freq_median_hz is None:
        return []
    cap_hz = min(known) * 1e3
    if seen.freq_median_hz >= MIN_CLOCK_SHARE * cap_hz:
        return []
    message = f"the CPU ran at {seen.freq_median_hz / 1e6:.0f} MHz (median of the window), its cap is {cap_hz / 1e6:.0f}"
    return [Finding("degraded", message, {"median_hz": seen.freq_median_hz, "cap_hz": cap_hz})]


def _cooling(seen: Evidence) -> list[Finding]:
    if seen.own_machine or seen.policy == "sustained":
        return []
    active = {name: max(pair) for name, pair in _known(seen, strain.COOLING).items() if max(pair) > 0}
    if not active and seen.counter("during", "cooling_state"):
        active = {"one of them, while it ran,": seen.counter("during", "cooling_state") or 0}
    if not active:
        return []
    told = ", ".join(f"{name} at {state}" for name, state in active.items())
    return [Finding("invalid", f"cooling devices slow the board: {told}", dict(active))]


def _over_current(seen: Evidence) -> list[Finding]:
    table = _known(seen, strain.OVER_CURRENT)
    raised = {
        name: after - before if name.endswith("_cnt") else after
        for name, (before, after) in table.items()
        if (after > before if name.endswith("_cnt") else after > 0)
    }
    if not raised and seen.counter("during", "over_current"):
        raised = {"a rail's limit, while it ran": 1}
    if not raised:
        return []
    return [Finding("invalid", f"over-current alarms: {', '.join(sorted(raised))}", dict(raised))]


def _known(seen: Evidence, prefix: str) -> dict[str, tuple[int, int]]:
    """Counters of a kind that were read both times."""
    pairs = seen.counters(prefix).items()
    return {name: (a, b) for name, (a, b) in pairs if a is not None and b is not None}


def _near_trip(seen: Evidence) -> list[Finding]:
    highest_c, trip_c = seen.number("conditions", "temp_max_c"), seen.number("watchdog", "passive_trip_c")
    if seen.own_machine or seen.policy == "sustained" or highest_c is None or trip_c is None:
        return []
    if highest_c < trip_c - TRIP_MARGIN_C:
        return []
    message = f"it reached {highest_c:g} C; the board begins to throttle at {trip_c:g} C"
    return [Finding("degraded", message, {"temp_max_c": highest_c, "trip_c": trip_c})]


def _not_settled(seen: Evidence) -> list[Finding]:
    if seen.settled is not False:
        return []
    return [
        Finding(
            "degraded",
            "no steady state: the last third still changes by over 2%; a longer sustained_s is needed",
        )
    ]


def _slept(seen: Evidence) -> list[Finding]:
    awake_ns, all_ns = seen.grown("monotonic_ns"), seen.grown("boottime_ns")
    if awake_ns is None or all_ns is None or (all_ns - awake_ns) / 1e9 <= MIN_SLEEP_S:
        return []
    slept_s = (all_ns - awake_ns) / 1e9
    return [
        Finding("invalid", f"the board was suspended for {slept_s:.2f} s while it ran", {"slept_s": slept_s})
    ]


def _clock_step(seen: Evidence) -> list[Finding]:
    real_ns, steady_ns = seen.grown("realtime_ns"), seen.grown("monotonic_ns")
    asleep_ns = max(0, (seen.grown("boottime_ns") or steady_ns or 0) - (steady_ns or 0))
    if real_ns is None or steady_ns is None:
        return []
    step_s = (real_ns - steady_ns - asleep_ns) / 1e9
    if abs(step_s) <= MAX_STEP_S:
        return []
    message = (
        f"the board's wall clock was stepped by {step_s:+.1f} s while it ran; durations are taken from "
        "CLOCK_MONOTONIC and are not affected, its UTC times are"
    )
    return [Finding("degraded", message, {"step_s": step_s})]


def _clock_bound(seen: Evidence) -> list[Finding]:
    if seen.offset is None or not seen.wall_s or seen.offset.bound_s <= MAX_CLOCK_SHARE * seen.wall_s:
        return []
    message = (
        f"host-board clock known to +-{1000 * seen.offset.bound_s:.1f} ms, over 1% of the window "
        f"({seen.wall_s:.2f} s); durations are the board's own and not affected"
    )
    return [Finding("degraded", message, {"bound_s": seen.offset.bound_s, "wall_s": seen.wall_s})]


def _clock_drift(seen: Evidence) -> list[Finding]:
    if len(seen.exchanges) < 2:
        return []
    (begun_s, first), (ended_s, second) = seen.exchanges[0], seen.exchanges[-1]
    drift_s = second.offset_s - first.offset_s
    beyond_s = abs(drift_s) - first.bound_s - second.bound_s
    elapsed_s = ended_s - begun_s
    if elapsed_s <= 0 or beyond_s <= MAX_DRIFT_PPM * 1e-6 * elapsed_s:
        return []
    message = (
        f"host and board clock moved apart by {1000 * drift_s:+.1f} ms in {elapsed_s:.0f} s, beyond what the "
        f"exchanges leave open and {MAX_DRIFT_PPM:g} ppm: one of the monotonic clocks is wrong or was slewed"
    )
    return [Finding("degraded", message, {"drift_s": drift_s, "elapsed_s": elapsed_s})]


def _gaps(seen: Evidence) -> list[Finding]:
    gap_s, period_s = seen.number("sampler", "max_gap_s"), seen.number("sampler", "period_s")
    if gap_s is None or period_s is None or gap_s <= MAX_GAP_PERIODS * period_s:
        return []
    message = f"the sampler paused for {gap_s:.2f} s (period {period_s:g} s)"
    return [Finding("degraded", message, {"max_gap_s": gap_s, "period_s": period_s})]


def _rate(seen: Evidence) -> list[Finding]:
    n, period_s = seen.number("sampler", "n"), seen.number("sampler", "period_s")
    process_s = seen.exit_record.get("process_s")
    if n is None or not period_s or not isinstance(process_s, int | float):
        return []
    expected = process_s / period_s
    if expected < MIN_SAMPLES or abs(n / expected - 1) <= MAX_RATE_SHARE:
        return []
    message = f"{n:.0f} samples in {process_s:.1f} s where {expected:.0f} were due: the rate is off by more than 20%"
    return [Finding("degraded", message, {"n": n, "expected": expected})]


def _channel_errors(seen: Evidence) -> list[Finding]:
    told, values = [], {}
    for name, reads in ((seen.exit_record.get("sampler") or {}).get("channels") or {}).items():
        lost = reads["errors"] + reads["refused"]
        total = reads["n"] + lost
        # The workload's own memory cannot be read once it has ended.
        if name != "rss_b" and lost > 1 and lost > MAX_ERROR_SHARE * total:
            why = max(reads["reasons"], key=reads["reasons"].get, default="no reason")
            told.append(f"{name} {lost} of {total} ({why[:120]})")
            values[name[:64]] = lost / total
    if not told:
        return []
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return [Finding("degraded", f"reads without a value: {'; '.join(told[:3])}{more}", values)]


def _shared_machine(seen: Evidence) -> list[Finding]:
    if seen.board_kind != "loopback":
        return []
    return [Finding("degraded", "shared machine: host and board are one, so nothing keeps the board quiet")]


def _emulated(seen: Evidence) -> list[Finding]:
    return [Finding("degraded", "emulated board: its times are not a board's")] if seen.emulated else []


def _simulated(seen: Evidence) -> list[Finding]:
    if seen.root == "/":
        return []
    return [Finding("degraded", "simulated: sensor values come from a simulated tree")]


def _busy(seen: Evidence) -> list[Finding]:
    """Where the CPU time of others was measured right before, the gate has said it; the load average is slower."""
    load, limit = seen.number("conditions", "load_1m_start"), MAX_LOAD_1M + seen.threads
    measured = seen.number("conditions", "background_cores") is not None
    if seen.own_machine or measured or load is None or load <= limit:
        return []
    message = f"load was {load:.2f} at the start; over {limit:g} the board is busy with something else"
    return [Finding("degraded", message, {"load_1m": load, "limit": limit})]


#: Warnings of the agent that have a check of their own here, or that are told elsewhere.
_TOLD = frozenset({"throttled", "swapped", lease.TAKEN_OVER})
_GATE_CODES = frozenset({*(gate.code for gate in GATES), UNJUDGED})


def _tuning(seen: Evidence) -> list[Finding]:
    return [Finding("degraded", fault[:300]) for fault in seen.tuning_faults]


def _warnings(seen: Evidence) -> list[Finding]:
    if seen.own_machine:
        return []
    found = []
    for one in seen.exit_record.get("warnings") or []:
        code = one.get("code") if isinstance(one, dict) else None
        if not isinstance(code, str) or code in _TOLD:
            continue
        message = str(one.get("message", ""))[:200]
        found.append(Finding("degraded", message, {}, code if code in _GATE_CODES else None))
    return found[:8]


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
        "swapped",
        "pswpin, pswpout of /proc/vmstat",
        "invalid",
        "any page between start and end",
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
        _throttled,
    ),
    Check(
        "frequency-capped",
        "largest scaling_max_freq, before and after",
        "invalid",
        "lower after than before. Policy `sustained`: not judged",
        "the kernel lowers it when a zone passes its passive trip point (Documentation/admin-guide/pm/cpufreq.rst)",
        _frequency_cap,
    ),
    Check(
        "clock-low",
        "CPU frequency, median of the window; boards without turbo only",
        "degraded",
        "under 98% of scaling_max_freq. Policy `sustained`: not judged",
        "a governor that did not follow, or firmware that runs slower than asked",
        _clock_low,
    ),
    Check(
        "cooling",
        "thermal cooling devices but fans: before, once a second, after",
        "invalid",
        "a state above 0. Policy `sustained`: not judged",
        "cooling by slowing down (Documentation/driver-api/thermal/sysfs-api.rst)",
        _cooling,
    ),
    Check(
        "over-current",
        "INA3221 alarms (curr*_crit_alarm, curr*_max_alarm) and Jetson's oc*_throt_cnt",
        "invalid",
        "an alarm is set while it ran or after, or a count rose",
        "a Jetson lowers its clocks on over-current (Documentation/hwmon/ina3221.rst)",
        _over_current,
    ),
    Check(
        "near-trip",
        "highest temperature of the repetition",
        "degraded",
        "within 5 C of the lowest passive trip point. Policy `sustained`: not judged",
        "short throttling may lie between two samples",
        _near_trip,
    ),
    Check(
        "not-settled",
        "policy `sustained`: the fine-tunings of the last third",
        "degraded",
        "their trend (Theil-Sen) over the third is 2% or more of their median",
        "without a steady state the last third is only a moment; 2% is the smallest difference that matters by default",
        _not_settled,
    ),
    Check(
        "suspended",
        "CLOCK_BOOTTIME less CLOCK_MONOTONIC, before and after",
        "invalid",
        "grew by more than 10 ms",
        "CLOCK_BOOTTIME counts sleep, CLOCK_MONOTONIC does not (clock_gettime(2))",
        _slept,
    ),
    Check(
        "clock-step",
        "CLOCK_REALTIME less CLOCK_MONOTONIC, before and after",
        "degraded",
        "changed by more than 0.5 s",
        "a Raspberry Pi has no clock that survives a power cut; its time jumps when NTP answers. No duration uses it",
        _clock_step,
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
        _gaps,
    ),
    Check(
        "sampler-rate",
        "samples taken against those due",
        "degraded",
        "off by more than 20%, where at least 10 were due",
        "a sampler that cannot keep its pace is starved, or starves",
        _rate,
    ),
    Check(
        "channel-errors",
        "reads of each channel that failed, hung or contradicted others",
        "degraded",
        "over 1% of them, and more than one",
        "what was not read is a gap, and gaps hide peaks; failures are counted on the board, never filled in",
        _channel_errors,
    ),
    Check(
        "clock-bound",
        "bound of the tighter clock exchange",
        "degraded",
        "over 1% of the window",
        "host-side traces cannot be aligned better than that; durations are the board's own",
        _clock_bound,
    ),
    Check(
        "clock-drift",
        "clock exchange before against after",
        "degraded",
        "moved by more than both bounds and 200 ppm of the time between",
        "crystals are within 100 ppm of each other, and NTP slews by 500 ppm at most",
        _clock_drift,
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
