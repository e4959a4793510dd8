"""Runs that stop when they are decided: the looks share one budget, and no look may spend more than its share."""

import pytest

from benchmarks.until_decided import looked_at_every_block, tally
from tunebench.reports.stats.attainable import fewest_blocks, verdict_possible
from tunebench.reports.stats.holm import compare_all
from tunebench.reports.stats.sequential import ALPHA_OVER_LOOKS, plan_looks, run_until_decided
from tunebench.reports.stats.simulate import simulate


@pytest.mark.parametrize("claims", [1, 2, 3, 6, 12])
@pytest.mark.parametrize("most", [14, 20, 30, 45, 100, 1000])
def test_the_looks_spend_the_budget_and_no_more(claims, most):
    looks = plan_looks(claims, most)
    assert sum(look.alpha for look in looks) == pytest.approx(ALPHA_OVER_LOOKS)
    assert looks[-1].blocks == most
    counts = [look.blocks for look in looks]
    assert counts == sorted(set(counts))
    assert all(verdict_possible(look.blocks, claims, alpha=look.alpha) for look in looks)


@pytest.mark.parametrize("claims", [1, 3, 6])
def test_every_bound_that_can_carry_a_verdict_has_looks_and_no_other_has(claims):
    fewest = fewest_blocks(claims, alpha=ALPHA_OVER_LOOKS)
    for most in range(1, fewest):
        with pytest.raises(
            ValueError, match=f"{most} blocks allow no verdict; the first one is possible after {fewest}"
        ):
            plan_looks(claims, most)
    for most in range(fewest, fewest + 30):
        assert verdict_possible(
            plan_looks(claims, most)[0].blocks, claims, alpha=plan_looks(claims, most)[0].alpha
        )


def test_it_stops_at_the_first_look_at_which_everything_is_decided():
    looks = plan_looks(2, 30)
    for base, *others in simulate([1.0, 1.3, 1.04], blocks=30, campaigns=10, seed=5):
        stopped = run_until_decided(base, others, looks, delta=0.02)
        for look in looks:
            results = compare_all(
                [base[: look.blocks]] * 2, [o[: look.blocks] for o in others], delta=0.02, alpha=look.alpha
            )
            if (
                all(result.verdict not in ("UNCLEAR", "NO VERDICT") for result in results)
                or look is looks[-1]
            ):
                assert stopped.blocks == look.blocks
                assert list(stopped.results) == results
                break


def test_a_verdict_at_a_look_and_its_interval_agree():
    looks = plan_looks(3, 30)
    for base, *others in simulate([1.0, 0.9, 1.0, 1.05], blocks=30, campaigns=8, seed=8):
        for result in run_until_decided(base, others, looks, delta=0.02).results:
            assert result.alpha <= ALPHA_OVER_LOOKS / 2
            if result.verdict == "SLOWER":
                assert result.low > 1.02
            elif result.verdict == "FASTER":
                assert result.high < 1 / 1.02


def test_equal_methods_are_not_called_different_and_large_differences_save_most_blocks():
    looks = plan_looks(1)
    same = tally([1.0], campaigns=60, seed=1, looks=looks)
    assert same.false == 0.0
    large = tally([1.3], campaigns=30, seed=2, looks=looks)
    assert (large.false, large.right) == (0.0, 1.0)
    assert large.blocks < 12


@pytest.mark.slow
def test_false_verdicts_stay_below_one_per_cent_over_all_looks_and_claims():
    """Small form of benchmarks/until_decided.py, on the edge of the band too, where every verdict is false."""
    for claims in (1, 3):
        looks = plan_looks(claims)
        assert tally([1.0] * claims, campaigns=150, seed=10, looks=looks).false <= 0.01
        assert tally([1.02] * claims, campaigns=100, seed=11, looks=looks).false <= 0.03
    # The test can tell: whoever looks after every block at 5% is wrong far more often there.
    assert looked_at_every_block([1.02], campaigns=60, seed=12, most=30).false > 0.05
