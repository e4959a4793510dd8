"""Steady state and decline, on series whose answer is known."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from tunebench.harness.record.sustained import MIN_N, sustained, theil_sen
from tunebench.reports.records import Sustained


def heating(n: int, first_s: float, steady_s: float, tau: float) -> list[float]:
    return [steady_s - (steady_s - first_s) * math.exp(-i / tau) for i in range(n)]


def test_a_constant_series_has_no_decline_and_is_steady_from_the_start():
    steady_state = sustained([2.0] * 30)
    assert (steady_state.first_s, steady_state.steady_s, steady_state.decline) == (2.0, 2.0, 0.0)
    assert steady_state.settled and steady_state.time_to_steady_s == 0.0
    assert (steady_state.n, steady_state.duration_s) == (30, 60.0)


def test_a_board_that_slows_down_and_settles_tells_how_much_and_when():
    series = heating(120, 1.0, 1.5, 10)
    steady_state = sustained(series, temp_end_c=81.0)
    assert steady_state.steady_s == pytest.approx(1.5, rel=1e-3)
    assert steady_state.decline == pytest.approx(0.5, rel=1e-3)
    assert steady_state.settled
    # 0.5 exp(-i/10) falls under 2% of 1.5 at i = 28.
    assert steady_state.time_to_steady_s == pytest.approx(sum(series[:29]), rel=0.05)
    assert steady_state.temp_end_c == 81.0


def test_a_series_that_still_slows_down_is_not_settled_and_names_no_time():
    steady_state = sustained([1.0 + 0.01 * i for i in range(60)])
    assert not steady_state.settled
    assert steady_state.time_to_steady_s is None
    assert steady_state.slope_per_min > 0
    assert steady_state.decline > 0.4


def test_a_drop_in_two_steps_counts_from_the_last_step():
    series = [1.0] * 10 + [1.2] * 20 + [1.3] * 60
    steady_state = sustained(series)
    assert (steady_state.steady_s, steady_state.settled) == (1.3, True)
    assert steady_state.time_to_steady_s == pytest.approx(sum(series[:30]), abs=1.5)


def test_noise_and_single_outliers_do_not_move_the_answer():
    rng = random.Random(1)
    series = [value * rng.gauss(1, 0.003) for value in heating(150, 1.0, 1.4, 12)]
    series[120] *= 3
    series[60] *= 2
    steady_state = sustained(series)
    assert steady_state.settled
    assert steady_state.steady_s == pytest.approx(1.4, rel=5e-3)
    assert steady_state.time_to_steady_s < sum(series[:60])


def test_a_board_that_gets_faster_has_a_negative_decline():
    assert sustained([2.0] * 3 + [1.8] * 40).decline == pytest.approx(-0.1)


@pytest.mark.parametrize("series", [[], [1.0] * (MIN_N - 1), [1.0] * 10 + [0.0]])
def test_too_little_is_refused_with_the_reason(series):
    assert isinstance(sustained(series), str)
    assert isinstance(sustained([1.0] * MIN_N), Sustained)


def test_the_slope_is_the_one_of_the_line_and_long_series_are_quick():
    x = [float(i) for i in range(20000)]
    assert theil_sen(x, [3.0 - 0.5 * value for value in x]) == pytest.approx(-0.5)


@pytest.mark.parametrize("n", [2, 3, 10, 11, 199])
def test_the_slope_is_bit_for_bit_that_of_scipy(n):
    rng = random.Random(n)
    x = [i + rng.random() / 2 for i in range(n)]
    y = [rng.gauss(1.0, 0.1) for _ in range(n)]
    assert theil_sen(x, y) == stats.theilslopes(y, x).slope
