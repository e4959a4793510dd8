"""Verdicts: every reason has a code, the worst level wins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.judge import CHECKS, Evidence, judge
from reports.records import ClockOffset

GOOD = Evidence(board_kind="raspberry-pi", emulated=False, outcome="ok", outcome_reason=None, wall_s=2.0)


def test_a_quiet_board_is_valid_without_reasons():
    assert judge(GOOD) == ("valid", [])


def test_loopback_is_degraded_as_a_shared_machine():
    verdict, reasons = judge(replace(GOOD, board_kind="loopback"))
    assert verdict == "degraded"
    assert [reason.code for reason in reasons] == ["shared-machine"]
    assert "shared machine" in reasons[0].message


@pytest.mark.parametrize(
    ("change", "code", "verdict"),
    [
        ({"outcome": "oom", "outcome_reason": "killed by the kernel"}, "outcome", "invalid"),
        ({"wall_s": None}, "no-window", "invalid"),
        ({"check_failed": "cache is wrong"}, "correctness", "invalid"),
        ({"emulated": True}, "emulated", "degraded"),
        (
            {"exit_record": {"counters": {"before": {"pswpin": 5}, "after": {"pswpin": 9}}}},
            "swapped",
            "invalid",
        ),
        (
            {"exit_record": {"counters": {"before": {"throttled": 0}, "after": {"throttled": 0x50000}}}},
            "throttled",
            "invalid",
        ),
        ({"exit_record": {"conditions": {"load_1m_start": 2.5}}}, "busy", "degraded"),
        ({"exit_record": {"sampler": {"period_s": 0.2, "max_gap_s": 3.0}}}, "sampler-gap", "degraded"),
        ({"offset": ClockOffset(offset_s=0.0, bound_s=0.1)}, "clock-bound", "degraded"),
        ({"exit_record": {"warnings": [{"code": "hot", "message": "78 C"}]}}, "board-warning", "degraded"),
    ],
)
def test_each_check_can_fail_and_names_itself(change, code, verdict):
    found, reasons = judge(replace(GOOD, **change))
    assert found == verdict
    assert code in [reason.code for reason in reasons]


def test_old_sticky_throttle_bits_are_not_held_against_the_run():
    counters = {"before": {"throttled": 0x50000}, "after": {"throttled": 0x50000}}
    assert judge(replace(GOOD, exit_record={"counters": counters}))[0] == "valid"


def test_invalid_outweighs_degraded_and_both_reasons_stay():
    verdict, reasons = judge(replace(GOOD, board_kind="loopback", outcome="deadline", outcome_reason="60 s"))
    assert verdict == "invalid"
    assert [reason.code for reason in reasons] == ["outcome", "shared-machine"]


def test_codes_are_unique():
    codes = [code for code, _ in CHECKS]
    assert len(set(codes)) == len(codes)
