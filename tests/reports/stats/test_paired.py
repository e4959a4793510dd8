"""Statistics against values worked by hand, brute force over all signs, scipy, and simulation."""

import doctest
import importlib
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from tunebench import reports
from tunebench.reports.stats.paired import (
    MAX_BLOCKS_NEEDED,
    centre_interval,
    compare,
    difference,
    log_ratios,
)
from tunebench.reports.stats.signed_rank import (
    claim_p_values,
    half,
    hodges_lehmann,
    min_values,
    signed_rank_depth,
    signed_rank_interval,
    signed_rank_tail,
    walsh_averages,
)

PACKAGE = Path(reports.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
    for file in PACKAGE.rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_the_docstrings_run(name):
    result = doctest.testmod(importlib.import_module(f"tunebench.reports.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def brute_force_interval(values, confidence=0.95, cap=None):
    """All shifts that the exact two-sided signed-rank test does not reject, by enumerating every sign."""
    n = len(values)
    weights = [min(rank, cap or n) for rank in range(1, n + 1)]
    sums = [sum(itertools.compress(weights, signs)) for signs in itertools.product((0, 1), repeat=n)]
    averages = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2))

    def rejected(centre):
        away = sorted((value - centre for value in values), key=abs)
        sides = [sum(itertools.compress(weights, [side * a > 0 for a in away])) for side in (1, -1)]
        return sum(s <= min(sides) for s in sums) / 2**n <= (1 - confidence) / 2

    middles = [(a + b) / 2 for a, b in itertools.pairwise(averages)]
    kept = [index for index, centre in enumerate(middles) if not rejected(centre)]
    if 2 * 0.5**n > 1 - confidence:
        return None
    return averages[kept[0]], averages[kept[-1] + 1]


@pytest.mark.parametrize("cap", [None, 1, 3, 5])
@pytest.mark.parametrize("n", range(1, 11))
def test_the_interval_equals_brute_force(n, cap):
    values = np.random.default_rng(n).normal(size=n).tolist()
    expected = brute_force_interval(values, cap=cap)
    assert signed_rank_interval(values, cap=cap) == (expected and pytest.approx(expected))


@pytest.mark.parametrize("cap", [None, 4])
def test_interval_and_claims_never_disagree(cap):
    """A claim's p-value is at most 5% exactly when the 95% interval supports it, for any band."""
    rng = np.random.default_rng(1)
    for _ in range(80):
        n = int(rng.integers(6, 16))
        values, band = rng.normal(0.4, 1.0, n), float(rng.uniform(0.05, 1.5))
        low, high = signed_rank_interval(values, cap=cap)
        outside, inside = claim_p_values(values, band, cap=cap)
        assert (outside <= 0.05) == (low > band or high < -band)
        assert (inside <= 0.05) == (-band <= low and high <= band)


def test_swapping_sides_mirrors_the_capped_interval():
    values = np.random.default_rng(2).normal(0.3, 1.0, 11)
    low, high = signed_rank_interval(values, cap=6)
    assert signed_rank_interval(-values, cap=6) == pytest.approx((-high, -low))


def test_cap_one_is_the_sign_test_and_cap_n_is_wilcoxons():
    values = np.random.default_rng(8).normal(size=10)
    ordered = sorted(values)
    assert signed_rank_interval(values, cap=1) == pytest.approx((ordered[1], ordered[8]))
    assert signed_rank_interval(values, cap=10) == signed_rank_interval(values)


def test_one_outlier_in_ten_blocks_decides_under_wilcoxon_but_not_under_capped_ranks():
    blocks = [0.045, 0.046, 0.048, 0.049, 0.05, 0.05, 0.052, 0.053, 0.055, -0.3]
    assert signed_rank_interval(blocks)[0] < -0.1
    assert signed_rank_interval(blocks, cap=half(10))[0] > 0.04
    assert centre_interval(blocks)[0] > 0.04


def test_equal_values_give_an_interval_without_width():
    assert centre_interval([0.25] * 9) == (0.25, 0.25)


@pytest.mark.parametrize("cap", [None, 150])
def test_the_normal_approximation_of_test_and_interval_agree(cap):
    depth = signed_rank_depth(300, cap=cap)
    assert signed_rank_tail(300, depth - 1, cap) <= 0.025 < signed_rank_tail(300, depth, cap)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99, 1 - 0.05 / 7])
def test_fewest_values_are_the_fewest_that_have_an_interval(confidence):
    n = min_values(confidence)
    assert signed_rank_depth(n, confidence) > 0
    assert signed_rank_depth(n - 1, confidence) == 0


@pytest.mark.parametrize(
    ("n", "critical"), [(6, 0), (7, 2), (8, 3), (9, 5), (10, 8), (15, 25), (20, 52), (25, 89)]
)
def test_depths_are_those_of_the_published_table(n, critical):
    """Two-sided 5% critical values of the signed-rank test (any statistics textbook)."""
    assert signed_rank_depth(n) == critical + 1


@pytest.mark.parametrize("n", [6, 9, 14])
def test_interval_and_scipys_test_agree(n):
    """Zero lies outside the interval exactly when scipy's exact test rejects it at 5%."""
    rng = np.random.default_rng(n)
    for _ in range(60):
        values = rng.normal(0.6, 1.0, n)
        low, high = signed_rank_interval(values)
        rejected = scipy.stats.wilcoxon(values, method="exact").pvalue <= 0.05
        assert rejected == (not low <= 0 <= high)


def test_the_normal_approximation_joins_the_exact_distribution():
    assert (
        abs(signed_rank_depth(200) - (scipy.stats.norm.ppf(0.025) * math.sqrt(200 * 201 * 401 / 24) + 10050))
        < 5
    )
    assert signed_rank_depth(201) > signed_rank_depth(200)
    low, high = signed_rank_interval(np.random.default_rng(0).normal(size=300))
    assert -0.2 < low < high < 0.2


def test_the_hodges_lehmann_estimate_is_the_median_of_the_walsh_averages():
    assert walsh_averages([1, 2, 6]).tolist() == [1, 1.5, 2, 3.5, 4, 6]
    assert hodges_lehmann([1, 2, 6]) == 2.75


def test_one_outlier_hardly_moves_the_hodges_lehmann_estimate():
    assert hodges_lehmann([1.0, 1.1, 0.9, 1.0, 1.05, 100.0]) < 1.2


def test_the_interval_covers_at_its_rate():
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(1000):
        low, high = signed_rank_interval(rng.standard_t(3, size=10) * 0.02 + 0.05)
        covered += low <= 0.05 <= high
    assert 0.93 <= covered / 1000 <= 0.975


def pairs(ratio, n, noise=0.004, seed=3):
    rng = np.random.default_rng(seed)
    drift = 10 * (1 + 0.04 * np.arange(n) / n)
    base = drift * np.exp(rng.normal(0, noise, n))
    return base.tolist(), (drift * ratio * np.exp(rng.normal(0, noise, n))).tolist()


@pytest.mark.parametrize(
    ("ratio", "noise", "verdict"),
    [(0.5, 0.004, "FASTER"), (1.3, 0.004, "SLOWER"), (1.0, 0.002, "SAME"), (1.02, 0.01, "UNCLEAR")],
)
def test_the_verdict_follows_from_the_interval_and_the_band(ratio, noise, verdict):
    result = compare(*pairs(ratio, 10, noise), delta=0.02)
    assert result.verdict == verdict
    assert result.low <= result.ratio <= result.high
    assert result.interval == "wilcoxon"
    assert (result.blocks_needed > 0) == (verdict == "UNCLEAR")


def test_pairing_by_block_removes_drift():
    base = [10 * 1.3**i for i in range(8)]
    result = compare(base, [0.9 * value for value in base], delta=0.02)
    assert result.ratio == pytest.approx(0.9)
    assert result.high - result.low < 1e-9


@pytest.mark.parametrize("n", [1, 3, 5])
def test_below_six_blocks_there_is_no_verdict_only_a_range(n):
    base, fast = pairs(0.5, n)
    result = compare(base, fast, delta=0.02)
    ratios = [f / b for b, f in zip(base, fast, strict=True)]
    assert (result.verdict, result.interval, result.confidence) == ("NO VERDICT", "range", None)
    assert (result.low, result.high) == pytest.approx((min(ratios), max(ratios)))
    assert result.blocks_needed == 6 - n


def test_swapping_the_two_inverts_the_ratio():
    base, other = pairs(0.8, 9)
    there, back = compare(base, other, delta=0.02), compare(other, base, delta=0.02)
    assert there.ratio == pytest.approx(1 / back.ratio)
    assert there.low == pytest.approx(1 / back.high)
    assert {there.verdict, back.verdict} == {"FASTER", "SLOWER"}


def test_the_band_is_the_same_in_both_directions():
    base = [1.0] * 8
    assert compare(base, [1.0199] * 8, delta=0.02).verdict == "SAME"
    assert compare(base, [1 / 1.0199] * 8, delta=0.02).verdict == "SAME"
    assert compare(base, [1.0201] * 8, delta=0.02).verdict == "SLOWER"
    assert compare(base, [1 / 1.0201] * 8, delta=0.02).verdict == "FASTER"


def test_the_further_blocks_asked_for_do_settle_it():
    rng = np.random.default_rng(5)
    settled, asked = 0, 0
    for _ in range(60):
        other = np.exp(rng.normal(0.06, 0.05, 8))
        result = compare([1.0] * 8, other, delta=0.02)
        if result.verdict != "UNCLEAR" or result.blocks_needed > 100:
            continue
        asked += 1
        more = np.concatenate([other, np.exp(rng.normal(0.06, 0.05, result.blocks_needed + 8))])
        settled += compare([1.0] * len(more), more, delta=0.02).verdict != "UNCLEAR"
    assert asked > 20
    assert settled / asked > 0.5


def test_a_difference_on_the_edge_of_the_band_asks_for_no_absurd_number():
    other = np.exp(math.log(1.02) + np.array([-0.03, -0.02, -0.01, 0.01, 0.02, 0.03]))
    assert compare([1.0] * 6, other, delta=0.02).blocks_needed == MAX_BLOCKS_NEEDED


@pytest.mark.parametrize(
    ("base", "other", "message"),
    [
        ([], [], "no block"),
        ([1.0], [1.0, 2.0], "paired"),
        ([1.0, 0.0], [1.0, 1.0], "positive"),
        ([1.0, math.nan], [1.0, 1.0], "positive and finite"),
        ([1.0], [math.inf], "positive and finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(base, other, message):
    with pytest.raises(ValueError, match=message):
        log_ratios(base, other)


def test_a_band_must_be_positive():
    with pytest.raises(ValueError, match="delta"):
        compare([1.0] * 6, [1.0] * 6, delta=0)


def test_plain_differences_have_the_signed_rank_interval():
    rng = np.random.default_rng(4)
    base, other = rng.normal(size=12), rng.normal(size=12)
    result = difference(base.tolist(), other.tolist())
    assert (result.low, result.high) == pytest.approx(brute_force_interval((other - base).tolist(), cap=6))
    assert result.shift == pytest.approx(hodges_lehmann(other - base))


@pytest.mark.parametrize(("base", "other"), [([1.0], [1.0, 2.0]), ([], []), ([math.nan], [1.0])])
def test_differences_refuse_what_is_not_paired_or_finite(base, other):
    with pytest.raises(ValueError, match=r"paired|nothing to compare|finite"):
        difference(base, other)
