"""Predictions and the best cut, from made-up numbers; energy of a part from made-up samples."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tunebench.harness.record.harvest import PartTime, SampledChannel, Samples
from tunebench.harness.record.partition import LinkFigures, cut_records, link_record, predicted_s
from tunebench.reports.records import PartitionCut
from tunebench.workloads.deploy.device_parts import Crossing

CROSSINGS = [
    Crossing("input", (1, 28, 28), "uint8"),
    Crossing("pool", (64,), "float32"),
    Crossing("classifier", (10,), "float32"),
]
#: cut -> seconds on the board, seconds on the host
ALONE = {"input": (0.0, 0.004), "pool": (0.070, 0.001), "classifier": (0.080, 0.0)}


@dataclass(frozen=True)
class Call:
    """One call, made up."""

    total_s: float
    device_s: float = 0.01
    transfer_s: float = 0.02
    remote_s: float = 0.003


def cuts(**equal: bool) -> list[PartitionCut]:
    parts = [PartTime(cut=cut, device_s=device_s, calls=10) for cut, (device_s, _) in ALONE.items()]
    return [
        cut.model_copy(update={"remote_s": ALONE[cut.cut][1], "equal": equal.get(cut.cut, True)})
        for cut in cut_records(CROSSINGS, parts, Samples())
    ]


def link(rate_bit_s: float, rtt_s: float) -> LinkFigures:
    return LinkFigures("made-up", rate_bit_s, 2 * rate_bit_s, rtt_s, 40)


def test_a_prediction_is_both_parts_a_round_trip_and_the_bytes_over_the_rates():
    known = cuts()
    assert [cut.size_b for cut in known] == [784, 256, 0]
    slow = link(64e3, 0.010)
    assert predicted_s(known[0], slow) == pytest.approx(0.0 + 0.010 + 784 / 8e3 + 40 / 16e3 + 0.004)
    assert predicted_s(known[1], slow) == pytest.approx(0.070 + 0.010 + 256 / 8e3 + 40 / 16e3 + 0.001)
    assert predicted_s(known[2], slow) == 0.080


@pytest.mark.parametrize(
    ("rate_bit_s", "rtt_s", "best"),
    [(100e6, 0.001, "input"), (1e6, 0.020, "input"), (100e3, 0.001, "input"), (50e3, 0.4, "classifier")],
)
def test_a_slower_link_moves_the_predicted_best_to_the_board(rate_bit_s, rtt_s, best):
    assert link_record(link(rate_bit_s, rtt_s), cuts(), {}).predicted_best == best


def test_the_measured_best_has_the_least_median_total():
    called = {
        "input": [Call(0.05), Call(0.04), Call(0.9)],
        "pool": [Call(0.01), Call(0.06), Call(0.07)],
        "classifier": [Call(0.08)] * 3,
    }
    record = link_record(link(1e6, 0.02), cuts(), called)
    assert (record.measured_best, record.how) == ("input", "shaped")
    assert [call.total_s for call in record.calls] == [0.05, 0.06, 0.08]
    assert (record.calls[0].total_min_s, record.calls[0].total_max_s) == (0.04, 0.9)
    assert record.calls[0].device_s == 0.01


def test_a_cut_whose_outputs_differ_is_no_best():
    called = {"input": [Call(0.01)], "pool": [Call(0.05)], "classifier": [Call(0.08)]}
    record = link_record(link(100e6, 0.001), cuts(input=False), called)
    assert (record.predicted_best, record.measured_best) == ("pool", "pool")


def test_a_cut_that_cannot_win_is_not_called_and_says_why():
    record = link_record(link(1e3, 0.4), cuts(), {"classifier": [Call(0.08)]})
    assert record.measured_best == "classifier"
    assert record.calls[0].n == 0
    assert record.calls[0].total_s is None
    assert "need 6.8" in record.calls[0].reason
    failed = link_record(link(1e3, 0.4), cuts(), {}, "the link broke")
    assert failed.measured_best is None
    assert {call.reason for call in failed.calls} == {"the link broke"}


def test_a_board_that_has_not_timed_a_part_is_refused():
    with pytest.raises(ValueError, match="has not timed its part before 'pool'"):
        cut_records(CROSSINGS, [PartTime(cut="input", device_s=0.0, calls=1)], Samples())


def test_energy_is_of_one_call_of_a_part_in_its_own_window():
    second = 1_000_000_000
    power = SampledChannel(id="p", kind="power", scope="board_input", source="ina3221", rate_hz=10.0)
    # 2 W until second 20, 5 W from then on.
    rows = [[at * second / 10, 2.0 if at < 200 else 5.0] for at in range(400)]
    samples = Samples((power,), rows, 0.1)
    windows = {"input": (2, 16), "pool": (22, 36), "classifier": None}
    parts = [
        PartTime(
            cut=cut,
            device_s=0.1,
            calls=140,
            window_ns=None if window is None else (window[0] * second, window[1] * second),
        )
        for cut, window in windows.items()
    ]
    known = cut_records(CROSSINGS, parts, samples)
    assert known[0].device_j == pytest.approx(2.0 * 14 / 140)
    assert known[1].device_j == pytest.approx(5.0 * 14 / 140)
    assert known[1].device_j_scope == "board_input"
    assert known[2].device_j is None
