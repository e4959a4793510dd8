"""Alignment of external traces: on computed ones the reported bound always holds; a trace without a bound is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tunebench.targets.agent.job import pulses
from tunebench.targets.meters.alignment import Alignment, Pattern, by_clock, by_pulses
from tunebench.targets.transport.clock_offset import Offset

CHIP_S = 0.5
BOARD_S = 5_000.0
RUN_S = 30.0
BEFORE = Pattern(BOARD_S + 2.0, CHIP_S, 0.0)
AFTER = Pattern(BOARD_S + 2.0 + 13 * CHIP_S + 3 * CHIP_S + RUN_S + 3.0, CHIP_S, 0.0)
WINDOW = (BEFORE.start_s + 16 * CHIP_S + 1.0, AFTER.start_s - 3 * CHIP_S - 0.5)
WINDOW_NS = (int(WINDOW[0] * 1e9), int(WINDOW[1] * 1e9))
IDLE_W, BUSY_W = 2.5, 6.5


def load_w(t: np.ndarray) -> np.ndarray:
    """Power of the board over its own time: idle, pattern, a run with a rhythm of its own, pattern, idle."""
    power = np.full_like(t, IDLE_W)
    for pattern in (BEFORE, AFTER):
        for index, chip in enumerate(pattern.code):
            start = pattern.start_s + index * pattern.chip_s
            power[(t >= start) & (t < start + pattern.chip_s) & (chip == "1")] = BUSY_W
    run = (t >= WINDOW[0]) & (t < WINDOW[1])
    power[run] = 5.0 + 1.2 * np.sign(np.sin(2 * np.pi * 0.37 * t[run]))
    return power


def seen(seed: int, *, hz: float, averaging: bool, sigma_w: float, ppm: float, jitter: float = 0.0):
    """Return what a meter with a clock of its own would log: times, readings, and the true map board -> meter time."""
    random = np.random.default_rng(seed)
    offset, rate = random.uniform(-1e5, 1e5), 1 + ppm * 1e-6
    count = int((AFTER.start_s + 15 - BOARD_S) * hz)
    board = BOARD_S + (np.arange(count) + random.uniform(0, 1) + random.uniform(-jitter, jitter, count)) / hz
    if averaging:  # the mean over the period around each reading
        fine = np.linspace(-0.5, 0.5, 41) / hz
        power = load_w((board[:, None] + fine).ravel()).reshape(count, 41).mean(axis=1)
    else:
        power = load_w(board)
    power = power + random.normal(0, sigma_w, count)

    def true(board_s: float) -> float:
        return offset + rate * (board_s - BOARD_S)

    return [true(b) for b in board], [float(p) for p in power], true


@pytest.mark.parametrize("seeds", [range(5), pytest.param(range(5, 60), marks=pytest.mark.slow)])
@pytest.mark.parametrize("averaging", [False, True])
@pytest.mark.parametrize("hz", [10.0, 10.7, 50.0])
def test_the_bound_holds_for_any_offset_drift_noise_and_phase(hz, averaging, seeds):
    tight = 0
    for seed in seeds:
        ppm = float(np.random.default_rng(seed + 1000).uniform(-15_000, 15_000))
        sigma_w = (BUSY_W - IDLE_W) / (6.5 + 2 * (seed % 20))
        t, p, true = seen(seed, hz=hz, averaging=averaging, sigma_w=sigma_w, ppm=ppm, jitter=0.2)
        alignment = by_pulses(t, p, BEFORE, AFTER, WINDOW_NS)
        assert isinstance(alignment, Alignment), (seed, alignment)
        errors = [abs(a - true(b)) for a, b in zip(alignment.window(WINDOW_NS), WINDOW, strict=True)]
        assert max(errors) <= alignment.bound_s, (seed, errors, alignment)
        assert abs(alignment.drift_ppm - ppm) <= alignment.drift_bound_ppm
        assert alignment.bound_s <= 2 / hz
        tight += max(errors) > alignment.bound_s / 10
    assert tight, "errors are always far below the bound: it says nothing"


def test_readings_that_failed_are_left_out_and_the_bound_still_holds():
    t, p, true = seen(3, hz=20, averaging=False, sigma_w=0.1, ppm=300)
    random = np.random.default_rng(3)
    holed = [None if random.uniform() < 0.15 else value for value in p]
    alignment = by_pulses(t, holed, BEFORE, AFTER, WINDOW_NS)
    assert isinstance(alignment, Alignment)
    assert abs(alignment.window(WINDOW_NS)[0] - true(WINDOW[0])) <= alignment.bound_s


def test_late_edges_widen_the_bound_by_as_much():
    t, p, _ = seen(4, hz=50, averaging=False, sigma_w=0.05, ppm=0)
    sharp = by_pulses(t, p, BEFORE, AFTER, WINDOW_NS)
    late = by_pulses(t, p, replace(BEFORE, late_s=0.03), AFTER, WINDOW_NS)
    assert late.bound_s == pytest.approx(sharp.bound_s + 0.03, abs=0.004)


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        (lambda t, p: (t, [IDLE_W + 0.01 * (i % 2) for i, _ in enumerate(p)]), "load pattern"),
        (
            lambda t, p: (t, [3.0 + 0.02 * (value - 3.0) + 0.5 * (i * 7 % 5) for i, value in enumerate(p)]),
            "load",
        ),
        (lambda t, p: (t[: len(t) // 2], p[: len(p) // 2]), "does not reach over both"),
        (lambda t, p: (t[::4], p[::4]), "too slow for load pulses of 0.5 s; set chip_s to 1"),
        (
            lambda t, p: (t, [IDLE_W if x > t[0] + 30 else v for x, v in zip(t, p, strict=True)]),
            "only one|stand out",
        ),
        (lambda t, p: ([1.2 * x for x in t], p), "only one|stand out"),
        (lambda t, p: (t[:100] + t[99:99:-1] + [t[98]] + t[101:], p), "do not increase"),
        (lambda t, p: ([], []), "does not reach over both"),
    ],
    ids=["idle", "noise", "half", "slow", "one-pattern", "wrong-clock", "backwards", "empty"],
)
def test_what_cannot_be_bounded_is_refused_with_the_reason(change, reasons):
    t, p, _ = seen(5, hz=20, averaging=False, sigma_w=0.05, ppm=0)
    t, p = change(t, p)
    refusal = by_pulses(t, p, BEFORE, AFTER, WINDOW_NS)
    assert isinstance(refusal, str)
    assert any(reason in refusal for reason in reasons.split("|")), refusal


def test_a_step_below_five_sigma_is_refused():
    t, p, _ = seen(6, hz=50, averaging=False, sigma_w=(BUSY_W - IDLE_W) / 3, ppm=0)
    refusal = by_pulses(t, p, BEFORE, AFTER, WINDOW_NS)
    assert isinstance(refusal, str)
    assert "times the meter's noise; 5 are needed" in refusal or "do not stand out" in refusal


def test_a_third_pattern_in_the_trace_is_ambiguous_and_refused():
    t, p, _ = seen(7, hz=20, averaging=False, sigma_w=0.05, ppm=0)
    shift_s = t[-1] + 1.0 - t[0]
    refusal = by_pulses(t + [x + shift_s for x in t], p + p, BEFORE, AFTER, WINDOW_NS)
    assert isinstance(refusal, str)
    assert "do not stand out" in refusal


def test_a_bound_over_one_percent_of_the_window_is_refused():
    t, p, _ = seen(8, hz=20, averaging=False, sigma_w=0.05, ppm=0)
    short = (WINDOW_NS[0], WINDOW_NS[0] + 1_000_000_000)
    assert "over 1% of the window of 1.00 s" in by_pulses(t, p, BEFORE, AFTER, short)


def _offset(board_s: float, true_offset_s: float, bound_s: float, lean: float) -> Offset:
    """Return an exchange whose error is ``lean`` (-1..1) times its bound."""
    estimate = true_offset_s + lean * bound_s
    return Offset(estimate, bound_s, board_s + estimate)


@pytest.mark.parametrize("ppm", [-150.0, -20.0, 0.0, 150.0])
def test_the_clock_exchange_maps_the_window_within_its_bound(ppm):
    random = np.random.default_rng(int(ppm) + 500)
    for _ in range(200):
        start, length = random.uniform(0, 1e5), random.uniform(10, 300)
        base = random.uniform(-1e6, 1e6)
        b1, b2 = random.uniform(1e-4, 0.05, 2)

        def true(board_s: float, base: float = base, start: float = start) -> float:
            return base + ppm * 1e-6 * (board_s - start)

        before = _offset(start - 3, true(start - 3), b1, random.uniform(-1, 1))
        after = _offset(start + length + 2, true(start + length + 2), b2, random.uniform(-1, 1))
        alignment = by_clock(before, after, (int(start * 1e9), int((start + length) * 1e9)))
        if isinstance(alignment, str):
            assert "over 1% of the window" in alignment
            assert max(b1, b2) > 0.009 * length
            continue
        for at, edge in zip(
            alignment.window((int(start * 1e9), int((start + length) * 1e9))),
            (start, start + length),
            strict=True,
        ):
            assert abs(at - (edge + true(edge))) <= alignment.bound_s + 1e-6


def test_a_clock_that_was_stepped_or_rebooted_between_the_exchanges_is_refused():
    before, after = _offset(100.0, 50.0, 0.001, 0), _offset(160.0, 50.02, 0.001, 0)
    refusal = by_clock(before, after, (105_000_000_000, 155_000_000_000))
    assert isinstance(refusal, str)
    assert "drift apart by 333 +- 33 ppm" in refusal
    # The same difference within the exchanges' own uncertainty proves nothing.
    unsure = by_clock(
        replace(before, bound_s=0.1), replace(after, bound_s=0.1), (105_000_000_000, 155_000_000_000)
    )
    assert isinstance(unsure, Alignment)


def test_the_board_emits_the_pattern_it_promises():
    record = pulses.emit(0.02)
    pattern = Pattern.from_record(record)
    assert pattern.code == "1111100110101"
    assert record["cores"] >= 1
    assert 0 <= pattern.late_s < 0.5
    edges = pulses.edges_ns(0, 10)
    assert edges == [0, 50, 70, 90, 100, 110, 120, 130]


def test_a_pattern_that_a_core_did_not_keep_is_refused():
    record = {"start_ns": 1, "chip_ns": 1, "code": pulses.BARKER_13, "late_ns": None}
    with pytest.raises(ValueError, match="not every core kept up"):
        Pattern.from_record(record)
