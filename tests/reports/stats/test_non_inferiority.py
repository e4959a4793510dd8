"""Non-inferiority at a margin: one-sided at 2.5%, divergences are scores."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from tunebench.reports.stats import non_inferiority
from tunebench.reports.stats.non_inferiority import judge_non_inferiority
from tunebench.reports.stats.paired import difference


def of_points(points, base=0.9):
    """Return scores of a baseline and of a candidate that is so many points away, by block."""
    return dict.fromkeys(range(len(points)), base), {
        at: base + shift / 100 for at, shift in enumerate(points)
    }


@pytest.mark.parametrize(
    ("points", "verdict"),
    [
        ([-0.4] * 6, "NOT INFERIOR"),
        ([3.0] * 6, "NOT INFERIOR"),  # far better is not inferior, too
        ([-1.0] * 6, "OPEN"),  # worse by the margin itself
        ([-1.2] * 6, "INFERIOR"),
        ([-2.0, 0.5, -0.3, 0.2, -0.1, 0.3], "OPEN"),
        ([-0.4] * 5, "NO VERDICT"),
    ],
)
def test_the_lower_end_of_the_interval_decides(points, verdict):
    judged = judge_non_inferiority(*of_points(points), margin=1.0)
    assert judged.verdict == verdict
    assert (judged.n, judged.diverged, judged.margin) == (len(points), 0, 1.0)


def test_its_bound_is_that_of_the_two_sided_interval_of_95_percent():
    points = [-0.5, 0.3, -0.9, 0.1, -0.2, 0.4, -0.6, 0.0]
    judged = judge_non_inferiority(*of_points(points), margin=1.0)
    plain = difference([0.0] * 8, points)
    assert (judged.points, judged.low, judged.high) == pytest.approx((plain.shift, plain.low, plain.high))


def test_runs_that_diverge_count_and_are_not_dropped():
    base, candidate = of_points([0.1] * 10)
    assert judge_non_inferiority(base, candidate, 1.0).verdict == "NOT INFERIOR"
    lost = {**candidate, **dict.fromkeys(range(4))}
    judged = judge_non_inferiority(base, lost, 1.0)
    assert (judged.verdict, judged.diverged, judged.n) == ("OPEN", 4, 10)
    assert judged.low == pytest.approx(-90)
    # the baseline's count as well
    assert judge_non_inferiority({**base, 0: None}, candidate, 1.0).diverged == 1


def test_blocks_that_only_one_has_are_in_no_pair():
    base, candidate = of_points([0.0] * 8)
    del base[0], candidate[7]
    assert judge_non_inferiority(base, candidate, 1.0).n == 6
    assert judge_non_inferiority({0: 0.9}, {1: 0.9}, 1.0) is None


def test_a_candidate_that_is_worse_by_the_margin_is_seldom_called_not_inferior():
    draw = np.random.default_rng(0)
    called = sum(
        judge_non_inferiority(*of_points(draw.normal(-1.0, 1.5, 10)), margin=1.0).verdict == "NOT INFERIOR"
        for _ in range(400)
    )
    assert called / 400 <= 0.025 + 3 * (0.025 * 0.975 / 400) ** 0.5


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan")])
def test_a_margin_must_be_positive(margin):
    with pytest.raises(ValueError, match="margin must be positive"):
        judge_non_inferiority({0: 0.9}, {0: 0.9}, margin)


def test_the_examples_hold():
    assert doctest.testmod(non_inferiority).failed == 0
