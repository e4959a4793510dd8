"""Holm's procedure against values worked by hand, and the verdicts it leaves standing."""

import math

import numpy as np
import pytest

from tunebench.reports.stats.holm import compare_all, holm
from tunebench.reports.stats.paired import compare
from tunebench.reports.stats.simulate import DriftingBoard, simulate


def test_holm_gives_the_p_values_and_levels_worked_by_hand():
    adjusted = holm([0.01, 0.04, 0.03, 0.005])
    assert [p for p, _ in adjusted] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # Two claims stand (0.005 <= 0.05/4, 0.01 <= 0.05/3); the procedure stops at 0.03 > 0.05/2.
    assert [level for _, level in adjusted] == pytest.approx([0.05 / 3, 0.025, 0.025, 0.0125])


def test_a_claim_stands_exactly_when_its_p_value_is_within_its_level():
    rng = np.random.default_rng(3)
    for _ in range(200):
        p_values = rng.beta(0.3, 2.0, int(rng.integers(1, 9))).tolist()
        for p, (adjusted, level) in zip(p_values, holm(p_values), strict=True):
            assert (adjusted <= 0.05) == (p <= level)


def test_one_method_is_not_adjusted():
    assert holm([0.049]) == [(0.049, 0.05)]
    assert holm([]) == []


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_what_is_no_p_value_is_refused(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([p])


def campaign(ratios, blocks=12, seed=1):
    return simulate([1.0, *ratios], blocks=blocks, campaigns=1, seed=seed, board=DriftingBoard(jitter=0.006))[
        0
    ]


def test_one_method_gets_the_verdict_it_has_alone():
    base, other = campaign([1.05])
    (result,) = compare_all([base], [other], delta=0.02)
    alone = compare(base, other, delta=0.02)
    assert result.alone == alone
    assert (result.verdict, result.low, result.high) == (alone.verdict, alone.low, alone.high)


def test_adjusted_interval_and_verdict_agree_whatever_the_methods():
    rng = np.random.default_rng(9)
    for seed in range(40):
        ratios = np.exp(rng.normal(0, 0.03, 5)).tolist()
        base, *others = campaign(ratios, blocks=int(rng.integers(8, 16)), seed=seed)
        for result in compare_all([base] * 5, others, delta=0.02):
            claims = {
                "FASTER": result.high < 1 / 1.02,
                "SLOWER": result.low > 1.02,
                "SAME": result.low >= 1 / 1.02 and result.high <= 1.02,
            }
            assert result.verdict == next((name for name, is_so in claims.items() if is_so), "UNCLEAR")
            assert result.low <= result.alone.ratio <= result.high
            assert result.verdict in (result.alone.verdict, "UNCLEAR")
            assert (result.blocks_needed > 0) == (result.verdict == "UNCLEAR")
            assert result.level <= 0.05


def test_many_methods_ask_for_more_blocks():
    base = [1.0, 1.001, 0.999, 1.0, 1.002, 0.998]
    fast = [0.5] * 6
    results = compare_all([base] * 4, [fast] * 4, delta=0.02)
    assert {result.alone.verdict for result in results} == {"FASTER"}
    assert {result.verdict for result in results} == {"UNCLEAR"}
    # At 5%/4 the exact test needs eight values: 2 * 0.5**8 <= 0.0125.
    assert {result.blocks_needed for result in results} == {2}
    assert results[0].low is None


def test_methods_with_too_few_blocks_are_not_counted():
    base, fast = [1.0 + 0.001 * i for i in range(6)], [0.5] * 6
    results = compare_all([base, base[:3]], [fast, fast[:3]], delta=0.02)
    assert [(result.verdict, result.methods) for result in results] == [("FASTER", 1), ("NO VERDICT", 1)]
    assert results[1].p is None
    assert results[1].blocks_needed == 3, "six blocks suffice where the other method has nine by then (Holm)"


def test_lists_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="2 baselines for 1"):
        compare_all([[1.0], [1.0]], [[1.0]], delta=0.02)


def test_holm_holds_the_rate_of_any_false_difference():
    """Five methods on the very edge of the band: the worst case. Alone each errs in 2.5%, so any of five in ~10%."""
    edge = 1.02
    times = simulate([1.0, *[edge] * 5], blocks=12, campaigns=400, seed=11, board=DriftingBoard())
    alone = adjusted = 0
    for base, *others in times:
        results = compare_all([base] * 5, others, delta=0.02)
        alone += any(result.alone.verdict == "SLOWER" for result in results)
        adjusted += any(result.verdict == "SLOWER" for result in results)
    assert adjusted / 400 <= 0.04 < alone / 400
