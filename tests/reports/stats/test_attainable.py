"""Whether a verdict is possible: held against the verdicts themselves, on the clearest data there are."""

import numpy as np
import pytest

from tunebench.reports.stats.accuracy import compare_accuracy
from tunebench.reports.stats.attainable import fewest_blocks, smallest_p, verdict_possible
from tunebench.reports.stats.holm import compare_all
from tunebench.reports.stats.paired import compare


def clearest(blocks, claims, ratio, **options):
    base = [10.0 + 0.01 * block for block in range(blocks)]
    candidate = [ratio * value for value in base]
    return compare_all([base] * claims, [candidate] * claims, delta=0.02, **options)


@pytest.mark.parametrize("claims", [1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize(("ratio", "verdict"), [(0.1, "FASTER"), (1.0, "SAME")])
def test_a_verdict_is_possible_from_the_very_block_on_that_is_told(claims, ratio, verdict):
    fewest = fewest_blocks(claims)
    for blocks in range(1, 13):
        verdicts = {result.verdict for result in clearest(blocks, claims, ratio)}
        assert (verdicts == {verdict}) == (blocks >= fewest) == verdict_possible(blocks, claims)


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.005, 0.0025])
def test_so_it_is_at_the_level_of_a_look(alpha):
    for claims in (1, 3, 6):
        fewest = fewest_blocks(claims, alpha=alpha)
        assert {r.verdict for r in clearest(fewest, claims, 0.1, alpha=alpha)} == {"FASTER"}
        assert {r.verdict for r in clearest(fewest - 1, claims, 0.1, alpha=alpha)} <= {
            "UNCLEAR",
            "NO VERDICT",
        }


def test_what_is_missing_leads_to_a_verdict_and_no_block_less_does():
    for claims in (1, 3, 6):
        for blocks in range(1, fewest_blocks(claims)):
            needed = {result.blocks_needed for result in clearest(blocks, claims, 0.1)}
            assert needed == {fewest_blocks(claims) - blocks}


def test_the_smallest_p_is_that_of_the_clearest_data():
    for blocks in (6, 8, 11):
        base = [1.0 + 0.001 * block for block in range(blocks)]
        assert compare(base, [value / 2 for value in base], delta=0.02).p_outside == smallest_p(blocks)
        assert compare(base, base, delta=0.02).p_inside == smallest_p(blocks)
    assert [smallest_p(blocks) for blocks in (0, 1, 5)] == [1.0, 1.0, 1.0]


def test_an_accuracy_is_limited_by_its_resamples_not_by_its_blocks():
    rng = np.random.default_rng(3)
    base = rng.random((6, 500)) < 0.5
    better = base | (rng.random((6, 500)) < 0.4)
    result = compare_accuracy(base, better)
    assert result.verdict == "HIGHER"
    assert smallest_p(6, "accuracy") <= result.p_outside < 0.05 / 7
    assert verdict_possible(6, 7, "accuracy")
    assert not verdict_possible(5, 1, "accuracy")
    assert not verdict_possible(6, 7)


def test_nothing_is_possible_where_nothing_is_compared():
    assert not verdict_possible(100, 0)
