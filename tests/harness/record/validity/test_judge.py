"""Verdicts: every check fires on its own fault and on nothing else; every reason has a code and its values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tunebench.harness.record.harvest import ExitRecord
from tunebench.harness.record.validity.checks import CHECKS
from tunebench.harness.record.validity.evidence import Evidence
from tunebench.harness.record.validity.judge import judge
from tunebench.reports.records import ClockOffset, Stressed
from tunebench.targets.agent.health.counters import COOLING, OVER_CURRENT

S = 1_000_000_000
QUIET = {
    "rep_id": "r0",
    "outcome": "ok",
    "process_s": 3.0,
    "counters": {
        "before": {"pswpin": 5, "oom_kill": 1, "throttled": 0, "freq_cap_khz": 1500000},
        "after": {"pswpin": 5, "oom_kill": 1, "throttled": 0, "freq_cap_khz": 1500000},
    },
    "conditions": {"temp_max_c": 60.0, "load_1m_start": 0.9},
    "sampler": {"period_s": 0.2, "n": 16, "max_gap_s": 0.21},
    "watchdog": {"limit_c": 95.0, "tripped_c": None, "passive_trip_c": 80.0},
}


def exit_with(**parts) -> ExitRecord:
    """Return the exit record of a quiet board with some parts replaced."""
    return ExitRecord.model_validate({**QUIET, **parts})


GOOD = Evidence(
    board_kind="raspberry-pi",
    emulated=False,
    outcome="ok",
    outcome_reason=None,
    window_s=2.0,
    exit_record=exit_with(),
    offset=ClockOffset(offset_s=5.0, bound_s=0.001),
    exchanges=[
        (0.0, ClockOffset(offset_s=5.0, bound_s=0.001)),
        (4.0, ClockOffset(offset_s=5.0005, bound_s=0.001)),
    ],
    freq_median_hz=1.5e9,
)


#: Stressors that held: memory is short on purpose under the first, swapping is what it is for.
TIGHT, BUSY = (
    Stressed(id=kind, kind=kind, quiet_task="digits/mlp", held=True)
    for kind in ("low-memory", "background-load")
)


def with_counters(before: dict, after: dict, during: dict | None = None) -> Evidence:
    tables = {"before": before, "after": after, **({"during": during} if during is not None else {})}
    return replace(GOOD, exit_record=exit_with(counters=tables))


def with_part(part: str, **fields) -> Evidence:
    return replace(GOOD, exit_record=exit_with(**{part: {**QUIET[part], **fields}}))


def clocks(real_s: float, steady_s: float, boot_s: float) -> dict:
    values = {"realtime_ns": real_s, "monotonic_ns": steady_s, "boottime_ns": boot_s}
    return {name: int(value * S) for name, value in values.items()}


def reads(n: int, errors: int = 0, refused: int = 0) -> dict:
    return {"n": n, "errors": errors, "refused": refused, "reasons": {"no answer": errors, "held": refused}}


def drifted(second_s: float, bound_s: float = 0.001) -> Evidence:
    offsets = [ClockOffset(offset_s=value, bound_s=bound_s) for value in (5.0, second_s)]
    return replace(GOOD, exchanges=[(0.0, offsets[0]), (100.0, offsets[1])])


def test_a_quiet_board_is_valid_without_reasons():
    assert judge(GOOD) == ("valid", [])


def test_a_board_that_tells_next_to_nothing_is_not_accused():
    assert judge(replace(GOOD, exit_record=None, exchanges=(), offset=None, freq_median_hz=None)) == (
        "valid",
        [],
    )


def test_loopback_is_degraded_as_a_shared_machine_and_for_nothing_that_follows_from_it():
    noisy = exit_with(
        conditions={"load_1m_start": 9.0, "temp_max_c": 99.0},
        warnings=[{"code": "hot", "message": "78 C"}],
        counters={"before": {"freq_cap_khz": 3}, "after": {"freq_cap_khz": 2, COOLING + "Processor": 4}},
    )
    verdict, reasons = judge(replace(GOOD, board_kind="loopback", exit_record=noisy))
    assert verdict == "degraded"
    assert [reason.code for reason in reasons] == ["shared-machine"]
    assert "shared machine" in reasons[0].message


FIRES = [
    (replace(GOOD, outcome="oom", outcome_reason="killed by the kernel"), "outcome", "invalid"),
    (replace(GOOD, window_s=None), "no-window", "invalid"),
    (replace(GOOD, check_failed="cache is wrong"), "correctness", "invalid"),
    (replace(GOOD, contested="place pi is ours no more"), "contested", "invalid"),
    (replace(GOOD, emulated=True), "emulated", "degraded"),
    (replace(GOOD, board_kind="loopback", root="/tmp/tree"), "simulated", "degraded"),
    (with_counters({"pswpin": 5}, {"pswpin": 9}), "swapped", "invalid"),
    (replace(with_counters({"pswpin": 5}, {"pswpin": 9}), stressor=TIGHT), "swapped", "degraded"),
    (replace(with_counters({"pswpin": 5}, {"pswpin": 9}), stressor=BUSY), "swapped", "invalid"),
    (replace(GOOD, stressor=TIGHT.model_copy(update={"held": False})), "stressor", "invalid"),
    (with_counters({"oom_kill": 1}, {"oom_kill": 2}), "oom-elsewhere", "degraded"),
    (with_counters({"throttled": 0}, {"throttled": 0x50000}), "throttled", "invalid"),
    (with_counters({"throttled": 0}, {"throttled": 0x4}), "throttled", "invalid"),
    # The flag was set in one sample and not at the end.
    (with_counters({"throttled": 0}, {"throttled": 0}, {"throttled": 0x2}), "throttled", "invalid"),
    (with_counters({"throttled": 0}, {"throttled": 0}, {"undervoltage": 1}), "throttled", "invalid"),
    (with_counters({COOLING + "x": 0}, {COOLING + "x": 0}, {"cooling_state": 2}), "cooling", "invalid"),
    (with_counters({}, {}, {"over_current": 1}), "over-current", "invalid"),
    # The flag was set since boot and not sampled in between: it proves nothing about this repetition.
    (with_counters({"throttled": 0x50000}, {"throttled": 0x50000}), "throttled", "degraded"),
    (with_counters({"freq_cap_khz": 1500000}, {"freq_cap_khz": 1200000}), "frequency-capped", "invalid"),
    (replace(GOOD, freq_median_hz=1.2e9), "clock-low", "degraded"),
    # The kernel believes in its cap, the firmware measures less.
    (replace(GOOD, clock_median_hz=1.000265088e9), "clock-low", "degraded"),
    (replace(GOOD, freq_median_hz=None, clock_median_hz=1.0e9), "clock-low", "degraded"),
    (with_counters({COOLING + "cpufreq-cpu0": 0}, {COOLING + "cpufreq-cpu0": 2}), "cooling", "invalid"),
    (with_counters({OVER_CURRENT + "x alarm": 0}, {OVER_CURRENT + "x alarm": 1}), "over-current", "invalid"),
    (
        with_counters({OVER_CURRENT + "oc1_throt_cnt": 3}, {OVER_CURRENT + "oc1_throt_cnt": 4}),
        "over-current",
        "invalid",
    ),
    (with_part("conditions", temp_max_c=75.5), "near-trip", "degraded"),
    (with_counters(clocks(100, 50, 60), clocks(110, 58, 70)), "suspended", "invalid"),
    (with_counters(clocks(100, 50, 60), clocks(3710, 60, 70)), "clock-step", "degraded"),
    (with_counters(clocks(4000, 50, 60), clocks(410, 60, 70)), "clock-step", "degraded"),
    (with_part("conditions", load_1m_start=2.5), "busy-load", "degraded"),
    (with_part("sampler", max_gap_s=3.0), "sampler-gap", "degraded"),
    (with_part("sampler", n=11), "sampler-rate", "degraded"),
    (
        with_part("sampler", channels={"vdd_in_w": reads(14, errors=1, refused=1)}),
        "channel-errors",
        "degraded",
    ),
    (with_part("sampler", n=19), "sampler-rate", "degraded"),
    (replace(GOOD, offset=ClockOffset(offset_s=0.0, bound_s=0.1)), "clock-bound", "degraded"),
    (drifted(5.05), "clock-drift", "degraded"),
    (with_part("watchdog", tripped_c=96.0), "too-hot", "invalid"),
    (replace(GOOD, policy="sustained", settled=False), "not-settled", "degraded"),
    (replace(GOOD, tuning_faults=("governor: needs root",)), "tuning", "degraded"),
]


@pytest.mark.parametrize(
    ("evidence", "code", "verdict"), FIRES, ids=[f"{row[1]}-{i}" for i, row in enumerate(FIRES)]
)
def test_each_check_fires_on_its_own_fault_and_names_itself(evidence, code, verdict):
    judgement, reasons = judge(evidence)
    assert judgement == verdict
    expected = {"shared-machine", code} if evidence.board_kind == "loopback" else {code}
    assert {reason.code for reason in reasons} == expected
    (reason,) = [reason for reason in reasons if reason.code == code]
    assert reason.message
    assert reason.level == verdict


@pytest.mark.parametrize(
    "evidence",
    [
        # Flags were read in every sample: what the firmware remembers from before is then no evidence.
        with_counters({"throttled": 0x50000}, {"throttled": 0x50000}, {"throttled": 0x50000}),
        with_counters({"throttled": None}, {"throttled": None}),
        # A limit that the user had set was lifted.
        with_counters({"freq_cap_khz": 1200000}, {"freq_cap_khz": 1500000}),
        # The first read cleared the flag.
        with_counters({OVER_CURRENT + "x alarm": 1}, {OVER_CURRENT + "x alarm": 0}),
        with_counters({OVER_CURRENT + "oc1_throt_cnt": 3}, {OVER_CURRENT + "oc1_throt_cnt": 3}),
        with_counters({COOLING + "cpufreq-cpu0": 0}, {COOLING + "cpufreq-cpu0": 0}),
        with_counters(clocks(100, 50, 60), clocks(110.3, 60, 70)),  # NTP slews the clock: this is no step
        with_counters({"pswpin": 9}, {"pswpin": 5}),  # a counter that was reset
        with_part("conditions", temp_max_c=74.9),
        with_part(
            "conditions", load_1m_start=2.5, background_cores=0.01
        ),  # measured idle: the average is stale
        with_part("sampler", max_gap_s=None),
        with_part("sampler", channels={"vdd_in_w": reads(15, errors=1)}),
        with_part("sampler", channels={"vdd_in_w": reads(1500, errors=15)}),
        with_part("sampler", channels={"rss_b": reads(10, errors=2)}),
        replace(GOOD, exit_record=exit_with(process_s=1.0, sampler={"period_s": 0.2, "n": 3})),
        replace(GOOD, freq_median_hz=1.48e9),
        replace(GOOD, clock_median_hz=1.500345728e9),
        replace(GOOD, clock_median_hz=0.0),  # 0 is a clock that is off, not one that is slow
        replace(GOOD, clock_median_hz=0.6e9, role="idle"),
        replace(GOOD, clock_median_hz=0.6e9, policy="sustained"),
        replace(GOOD, freq_median_hz=0.6e9, role="idle"),  # an idle board may slow down
        replace(GOOD, policy="sustained", settled=True),
        replace(GOOD, board_kind="linux", freq_median_hz=1.2e9),  # a PC does not keep its turbo
        drifted(5.02),  # 200 ppm of 100 s
        drifted(5.05, bound_s=0.02),  # the exchanges leave it open
        replace(GOOD, exit_record=exit_with(warnings=[{"code": "lease-taken-over", "message": "x"}])),
    ],
)
def test_what_is_within_bounds_or_unknown_is_not_held_against_the_run(evidence):
    assert judge(evidence) == ("valid", [])


def test_the_firmwares_clock_is_told_beside_what_the_kernel_believes():
    _, (reason,) = judge(replace(GOOD, clock_median_hz=1.000265088e9))
    assert "ran at 1000 MHz (the firmware's measurement" in reason.message
    assert "the kernel believes 1500; its cap is 1500" in reason.message
    assert reason.values == {"median_hz": 1.000265088e9, "cap_hz": 1.5e9}


def test_a_step_of_the_wall_clock_is_told_with_its_size_and_leaves_durations_alone():
    verdict, (reason,) = judge(with_counters(clocks(100, 50, 60), clocks(3710, 60, 70)))
    assert verdict == "degraded"
    assert reason.values["step_s"] == pytest.approx(3600)
    assert "+3600.0 s" in reason.message
    assert "not affected" in reason.message


def test_sleep_is_not_taken_for_a_stepped_clock():
    _, reasons = judge(with_counters(clocks(100, 50, 60), clocks(170, 60, 130)))
    assert [reason.code for reason in reasons] == ["suspended"]
    assert reasons[0].values["slept_s"] == pytest.approx(60)


THROTTLED_IN_EVERY_WAY = replace(
    GOOD,
    policy="sustained",
    freq_median_hz=1.0e9,
    exit_record=exit_with(
        conditions={"temp_max_c": 84.0},
        counters={
            "before": {"throttled": 0, "freq_cap_khz": 1500000, COOLING + "cpufreq-cpu0": 0},
            "during": {"throttled": 0x6},
            "after": {"throttled": 0xE0008, "freq_cap_khz": 1000000, COOLING + "cpufreq-cpu0": 3},
        },
    ),
)


def test_under_sustained_throttling_is_data():
    assert judge(THROTTLED_IN_EVERY_WAY) == ("valid", [])


def test_under_cold_the_same_throttling_is_a_fault_in_every_way():
    verdict, reasons = judge(replace(THROTTLED_IN_EVERY_WAY, policy="cold"))
    assert verdict == "invalid"
    assert [reason.code for reason in reasons] == [
        "throttled",
        "frequency-capped",
        "cooling",
        "near-trip",
    ]


def test_under_voltage_is_a_fault_under_either_policy():
    evidence = replace(with_counters({"throttled": 0}, {"throttled": 0x10000}), policy="sustained")
    verdict, reasons = judge(evidence)
    assert (verdict, reasons[0].code) == ("invalid", "throttled")
    assert "under-voltage" in reasons[0].message


def test_a_gate_that_only_warned_gives_its_own_code_and_unknown_ones_do_not():
    warnings = [
        {"code": "users", "message": "logged in: ann"},
        {"code": "<b>", "message": "x"},
        {"message": "y"},
    ]
    verdict, reasons = judge(replace(GOOD, exit_record=exit_with(warnings=warnings)))
    assert verdict == "degraded"
    assert [reason.code for reason in reasons] == ["users", "board-warning"]


def test_invalid_outweighs_degraded_and_all_reasons_stay():
    verdict, reasons = judge(replace(GOOD, board_kind="loopback", outcome="deadline", outcome_reason="60 s"))
    assert verdict == "invalid"
    assert [reason.code for reason in reasons] == ["outcome", "shared-machine"]
    assert [reason.level for reason in reasons] == ["invalid", "degraded"]


def test_codes_are_unique():
    codes = [check.code for check in CHECKS]
    assert len(set(codes)) == len(codes)


def test_every_check_is_shown_to_fire():
    shown = {row[1] for row in FIRES} | {"shared-machine", "board-warning"}
    assert shown == {check.code for check in CHECKS}
