"""Means over boards, whose unit is the board, and times to a quality, in which runs that never reach it count."""

import math

import numpy as np
import pytest

from tunebench.reports.stats.across_boards import across_boards, board_ratio
from tunebench.reports.stats.time_to_accuracy import compare_to_quality, to_quality, value_at_quality


def test_a_board_counts_once_however_many_blocks_it_ran():
    rng = np.random.default_rng(1)
    base = rng.uniform(1, 2, 100)
    many, few = board_ratio(base, 0.25 * base), board_ratio([1.0], [1.0])
    assert across_boards([many, few]).ratio == pytest.approx(0.5)


def test_the_interval_covers_over_boards():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(300):
        result = across_boards(np.exp(rng.normal(-0.7, 0.2, 8)).tolist())
        covered += result.low <= math.exp(-0.7) <= result.high
    assert 0.90 <= covered / 300 <= 0.99


def test_few_boards_give_their_range():
    result = across_boards([0.5, 0.4, 0.6])
    assert (result.interval, result.low, result.high) == ("range", pytest.approx(0.4), pytest.approx(0.6))
    assert result.spread == pytest.approx(math.exp(np.std(np.log([0.5, 0.4, 0.6]), ddof=1)))
    assert across_boards([0.5]).spread is None


def test_the_interval_is_the_same_every_time():
    ratios = [0.5, 0.4, 0.6, 0.55, 0.45, 0.52]
    assert across_boards(ratios) == across_boards(ratios)


@pytest.mark.parametrize("ratios", [[], [0.0], [math.nan], [math.inf, 1.0]])
def test_what_is_no_ratio_is_refused(ratios):
    with pytest.raises(ValueError, match=r"at least one board|positive and finite"):
        across_boards(ratios)


def test_the_time_to_quality_is_that_of_a_point_on_the_curve():
    assert value_at_quality([0, 1, 2], [0.1, 0.9, 0.8], 0.85) == 1
    assert value_at_quality([0, 1, 2], [0.1, 0.5, 0.8], 0.85) is None
    with pytest.raises(ValueError, match="3 values for 2"):
        value_at_quality([0, 1, 2], [0.1, 0.2], 0.5)
    with pytest.raises(ValueError, match="fall"):
        value_at_quality([0, 2, 1], [0.1, 0.2, 0.3], 0.5)


def test_runs_that_never_get_there_count_as_slowest():
    result = to_quality([1.0, None, 3.0, None, 2.0])
    assert (result.n, result.reached, result.median) == (5, 3, 3.0)
    assert result.high is None
    assert result.olympic is None  # two never got there
    assert to_quality([None] * 3).median is None


def test_the_olympic_mean_drops_best_and_worst_and_forgives_one():
    assert to_quality([1.0, 2.0, 3.0, 10.0]).olympic == 2.5
    assert to_quality([1.0, 2.0, 3.0, None]).olympic == 2.5
    assert to_quality([1.0, 2.0]).olympic is None


def test_from_six_runs_the_median_has_an_interval():
    result = to_quality([5.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0])
    assert (result.kind, result.low, result.high) == ("order-statistic", 2.0, 8.0)


@pytest.mark.parametrize("values", [[], [-1.0], [math.inf]])
def test_values_to_quality_that_are_absent_negative_or_infinite_are_refused(values):
    with pytest.raises(ValueError, match=r"at least one|finite"):
        to_quality(values)


def test_a_run_that_never_gets_there_loses_its_block():
    base = [1.0, 1.1, 1.0, 1.05, 1.0, 1.1, 1.0, 1.02]
    result = compare_to_quality(base, [None] * 6 + [1.0, 1.0], delta=0.02)
    assert (result.verdict, result.ratio, result.n, result.neither) == ("UNCLEAR", None, 8, 0)
    assert compare_to_quality(base, [None] * 8, delta=0.02).verdict == "SLOWER"
    assert compare_to_quality([None] * 8, base, delta=0.02).verdict == "FASTER"


def test_blocks_in_which_neither_got_there_say_nothing():
    result = compare_to_quality([None, None, 1.0], [None, None, 0.5], delta=0.02)
    assert (result.n, result.neither, result.verdict, result.ratio) == (
        1,
        2,
        "NO VERDICT",
        pytest.approx(0.5),
    )
    assert compare_to_quality([None], [None], delta=0.02).verdict == "NO VERDICT"


@pytest.mark.parametrize(
    ("base", "other", "delta"),
    [([], [], 0.02), ([1.0], [1.0, 2.0], 0.02), ([1.0], [0.0], 0.02), ([1.0], [1.0], 0.0)],
)
def test_a_comparison_to_quality_refuses_values_that_are_unpaired_or_not_positive(base, other, delta):
    with pytest.raises(ValueError, match=r"paired|positive"):
        compare_to_quality(base, other, delta=delta)
