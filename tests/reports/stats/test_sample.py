"""One sample in a few numbers: against scipy, and by hand."""

from __future__ import annotations

import math

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from tunebench.reports.stats.sample import iqr, mean_sd, median_abs_deviation, median_interval, robust_sd

SECONDS = st.floats(1e-6, 1e6)
#: Few different values: ties.
TIED = st.sampled_from([0.125, 0.5, 1 / 3, 7.0])


@pytest.mark.parametrize("n", range(6, 40))
def test_the_median_interval_covers_as_scipys_binomial_says(n):
    interval = median_interval(list(range(1, n + 1)))
    depth = int(interval.low)
    assert interval.high == n + 1 - depth
    assert interval.confidence == pytest.approx(1 - 2 * scipy.stats.binom.cdf(depth - 1, n, 0.5))
    assert interval.confidence >= 0.95 > 1 - 2 * scipy.stats.binom.cdf(depth, n, 0.5)


def test_few_values_give_a_range_by_name():
    interval = median_interval([4.0, 1.0, 2.0, 3.0, 5.0])
    assert (interval.median, interval.low, interval.high, interval.kind, interval.confidence) == (
        3,
        1,
        5,
        "range",
        None,
    )


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_a_median_needs_finite_values(values):
    with pytest.raises(ValueError, match=r"at least one|finite"):
        median_interval(values)


def test_iqr_mean_and_standard_deviation_are_those_by_hand_and_need_a_value():
    assert iqr([1, 2, 3, 4, 5]) == 2
    assert mean_sd([2.0, 4.0]) == (3.0, pytest.approx(math.sqrt(2)))
    with pytest.raises(ValueError, match="at least one"):
        mean_sd([])


@given(st.lists(SECONDS | TIED, min_size=1, max_size=40))
def test_spreads_are_those_of_scipy(values):
    assert median_abs_deviation(values) == scipy.stats.median_abs_deviation(values)
    assert robust_sd(values) == 1.4826 * scipy.stats.median_abs_deviation(values)
    # scipy's quantiles differ in the last bits.
    assert iqr(values) == pytest.approx(scipy.stats.iqr(values), rel=1e-9, abs=1e-9 * max(values))
