"""Accuracy compared on paired predictions: exact on one seed, over seeds and items, and where items are the limit."""

import numpy as np
import pytest
import scipy.stats

from tunebench.reports.stats.accuracy import compare_accuracies, compare_accuracy, mcnemar
from tunebench.reports.stats.paired import MAX_BLOCKS_NEEDED, difference


def predictions(n, items, lost, won, *, same_items=0.5, seed_sd=0.0, seed=1):
    """(baseline right, candidate right): on a share ``same_items`` of the items all seeds agree."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(0, seed_sd, n)[:, None]
    draw = np.where(rng.random(items) < same_items, rng.random(items), rng.random((n, items)))
    is_lost = draw < np.clip(lost - shift, 0, 1)
    is_won = (draw >= 0.5) & (draw < 0.5 + np.clip(won + shift, 0, 1))
    base = is_lost | (~is_won & (rng.random((n, items)) < 0.9))
    return base, is_won | (base & ~is_lost)


def test_mcnemar_is_the_binomial_test_on_what_differs():
    rng = np.random.default_rng(1)
    base, other = rng.random(200) < 0.8, rng.random(200) < 0.9
    lost, won, p = mcnemar(base, other)
    assert (lost, won) == (int((base & ~other).sum()), int((~base & other).sum()))
    assert p == pytest.approx(scipy.stats.binomtest(lost, lost + won).pvalue)


@pytest.mark.parametrize(("base", "other"), [([], []), ([True], [True, False])])
def test_mcnemar_refuses_what_is_not_paired(base, other):
    with pytest.raises(ValueError, match="paired by item"):
        mcnemar(base, other)


@pytest.mark.parametrize(
    ("lost", "won", "verdict"),
    [(0.01, 0.09, "HIGHER"), (0.09, 0.01, "LOWER"), (0.001, 0.001, "SAME"), (0.05, 0.06, "UNCLEAR")],
)
def test_the_verdict_on_accuracy_follows_from_the_interval_in_points(lost, won, verdict):
    result = compare_accuracy(*predictions(10, 2000, lost, won), delta=0.8)
    assert result.verdict == verdict
    assert result.low <= result.points <= result.high
    assert result.points == pytest.approx(100 * (won - lost), abs=1.0)
    assert (result.blocks_needed > 0) == (verdict == "UNCLEAR")
    assert (result.p_outside <= 0.05) == (verdict in ("HIGHER", "LOWER"))
    assert (result.p_inside <= 0.05) == (verdict == "SAME")


@pytest.mark.slow
@pytest.mark.parametrize("seed_sd", [0.0, 0.02])
@pytest.mark.parametrize("same_items", [0.0, 1.0])
def test_the_interval_covers_new_seeds_and_new_items(same_items, seed_sd):
    """It covers at least 95%, wherever the difference comes from: a bootstrap over both is a little too wide."""
    covered = 0
    for seed in range(120):
        right = predictions(8, 300, 0.04, 0.07, same_items=same_items, seed_sd=seed_sd, seed=seed)
        result = compare_accuracy(*right)
        covered += result.low <= 3.0 <= result.high
    assert covered / 120 >= 0.92


def test_repeating_the_test_set_with_more_seeds_does_not_make_more_items():
    few = compare_accuracy(*predictions(6, 300, 0.04, 0.04, same_items=1.0))
    many = compare_accuracy(*predictions(60, 300, 0.04, 0.04, same_items=1.0))
    assert many.high - many.low > 0.8 * (few.high - few.low)
    assert (many.verdict, many.limited_by, many.blocks_needed) == ("UNCLEAR", "items", MAX_BLOCKS_NEEDED)


def test_where_seeds_are_the_limit_more_blocks_are_asked_for():
    result = compare_accuracy(*predictions(6, 4000, 0.02, 0.03, same_items=0.0, seed_sd=0.02))
    assert (result.verdict, result.limited_by) == ("UNCLEAR", "blocks")
    assert result.blocks_needed > 0


def test_equal_predictions_are_the_same_and_leave_nothing_open():
    base, _ = predictions(6, 100, 0.05, 0.05)
    result = compare_accuracy(base, base)
    assert (result.verdict, result.points, result.low, result.high, result.limited_by) == (
        "SAME",
        0,
        0,
        0,
        None,
    )
    assert result.discordant == 0


def test_items_on_which_nobody_differs_do_not_change_the_interval():
    base, other = predictions(8, 400, 0.05, 0.08)
    order = np.random.default_rng(1).permutation(400)
    first, shuffled = compare_accuracy(base, other), compare_accuracy(base[:, order], other[:, order])
    assert (shuffled.low, shuffled.high) == pytest.approx((first.low, first.high), abs=0.25)


def test_large_test_sets_are_resampled_likewise():
    """Above 5,000 items only those on which the methods differ are drawn; the interval is of the same kind."""
    small, large = (compare_accuracy(*predictions(8, items, 0.03, 0.05)) for items in (4800, 6000))
    assert small.low <= 2.0 <= small.high
    assert large.low <= 2.0 <= large.high
    assert (large.high - large.low) / (small.high - small.low) == pytest.approx((4800 / 6000) ** 0.5, rel=0.2)


def test_below_six_seeds_there_is_a_range_and_no_verdict():
    base, other = predictions(3, 500, 0.01, 0.2)
    result = compare_accuracy(base, other)
    gains = 100 * (other.mean(axis=1) - base.mean(axis=1))
    assert (result.verdict, result.confidence, result.blocks_needed) == ("NO VERDICT", None, 3)
    assert (result.low, result.high) == pytest.approx((gains.min(), gains.max()))


@pytest.mark.parametrize("shape", [((2, 3), (3, 2)), ((0, 3), (0, 3)), ((3,), (3,))])
def test_what_is_not_paired_by_block_and_item_is_refused(shape):
    with pytest.raises(ValueError, match="paired by block and item"):
        compare_accuracy(np.ones(shape[0], bool), np.ones(shape[1], bool))


def test_a_band_must_be_positive():
    with pytest.raises(ValueError, match="delta"):
        compare_accuracy(np.ones((6, 2), bool), np.ones((6, 2), bool), delta=0)


def test_accuracies_without_predictions_are_compared_over_seeds_only():
    base, other = [0.9, 0.91, 0.89, 0.9, 0.92, 0.9, 0.91], [0.93, 0.93, 0.93, 0.92, 0.95, 0.93, 0.94]
    result = compare_accuracies(base, other)
    plain = difference([100 * v for v in base], [100 * v for v in other])
    assert (result.verdict, result.items, result.discordant) == ("HIGHER", 0, None)
    assert (result.points, result.low, result.high) == (plain.shift, plain.low, plain.high)
    assert compare_accuracies(base[:2], other[:2]).verdict == "NO VERDICT"
    # Six blocks can give no 99% interval.
    assert compare_accuracies(base[:6], other[:6], level=0.01).verdict == "UNCLEAR"
