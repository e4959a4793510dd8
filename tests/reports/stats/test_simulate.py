"""Verdicts on simulated campaigns of a drifting board: how often they are wrong, how often they find a difference.

The fast tests simulate a few hundred campaigns; the slow one the 2,000 of the acceptance figures.
"""

import numpy as np
import pytest

from tunebench.reports.stats.paired import compare
from tunebench.reports.stats.signed_rank import signed_rank_interval
from tunebench.reports.stats.simulate import TYPICAL, DriftingBoard, rates, simulate, variants


def test_equal_seeds_give_equal_campaigns():
    first, again = (simulate([1.0, 1.1], blocks=4, campaigns=5, seed=3) for _ in range(2))
    assert (first == again).all()
    assert (first != simulate([1.0, 1.1], blocks=4, campaigns=5, seed=4)).any()


def test_without_noise_a_campaign_is_its_ratios():
    still = DriftingBoard(warm_up=0, jitter=0, outliers=0)
    times = simulate([1.0, 0.5, 2.0], blocks=3, campaigns=2, seed=1, board=still)
    assert times == pytest.approx(np.broadcast_to(np.array([1.0, 0.5, 2.0])[:, None], (2, 3, 3)))


def test_jitter_has_its_spread_and_its_memory():
    board = DriftingBoard(warm_up=0, outliers=0, phi=0.6)
    logs = np.log(simulate([1.0], blocks=40, campaigns=2000, seed=2, board=board))[:, 0]
    assert logs.std() == pytest.approx(0.015, rel=0.02)
    assert np.corrcoef(logs[:, :-1].ravel(), logs[:, 1:].ravel())[0, 1] == pytest.approx(0.6, abs=0.02)


def test_warm_up_and_outliers_are_as_told():
    warm = simulate(
        [1.0], blocks=80, campaigns=1, seed=1, board=DriftingBoard(jitter=0, outliers=0)
    ).squeeze()
    assert (warm[0], warm[-1]) == (1.0, pytest.approx(1.04, abs=1e-4))
    hit = simulate([1.0], blocks=50, campaigns=400, seed=1, board=DriftingBoard(warm_up=0, jitter=0))
    assert (hit > 1).mean() == pytest.approx(0.03, abs=0.005)
    assert 1.05 <= hit[hit > 1].min() < hit.max() <= 1.5


@pytest.mark.parametrize(
    ("ratios", "blocks", "campaigns"), [([], 3, 1), ([1.0], 0, 1), ([1.0], 3, 0), ([1.0, -1.0], 3, 1)]
)
def test_what_cannot_be_simulated_is_refused(ratios, blocks, campaigns):
    with pytest.raises(ValueError, match="simulate needs"):
        simulate(ratios, blocks=blocks, campaigns=campaigns, seed=1)


def test_a_few_hundred_campaigns_show_no_false_verdict_and_find_five_percent():
    same = rates(1.0, blocks=10, campaigns=300, seed=5)
    assert same.rate("FASTER", "SLOWER") <= 0.01
    assert 0.92 <= same.coverage <= 0.98
    assert rates(1.05, blocks=10, campaigns=300, seed=6).rate("SLOWER") >= 0.8


def test_one_method_after_the_other_misleads_where_blocks_do_not():
    """Sequential order makes warm-up look like a difference: intervals no longer cover."""
    in_order = rates(1.0, blocks=20, campaigns=200, seed=7, order="sequential")
    blocked = rates(1.0, blocks=20, campaigns=200, seed=7)
    assert in_order.coverage < 0.6 < 0.92 < blocked.coverage


def test_capped_ranks_see_more_than_wilcoxons_where_there_are_outliers():
    times = simulate([1.0, 1.05], blocks=10, campaigns=300, seed=8)
    edge = np.log(1.02)
    plain = np.mean([signed_rank_interval(np.log(c / b))[0] > edge for b, c in times])
    capped = np.mean([compare(b, c, delta=0.02).verdict == "SLOWER" for b, c in times])
    assert plain < 0.85 < 0.9 < capped


@pytest.mark.slow
@pytest.mark.parametrize("board", ["typical", "white jitter", "slow wander"])
def test_two_thousand_campaigns_meet_the_acceptance_figures(board):
    """False verdicts <= 1%; +5% found in >= 80% (10 blocks) and >= 95% (15); coverage 93-97%."""
    kind = variants()[board]
    by_blocks = {}
    for blocks in (10, 15, 20):
        same = rates(1.0, blocks=blocks, campaigns=2000, seed=100 + blocks, board=kind)
        by_blocks[blocks] = rates(1.05, blocks=blocks, campaigns=2000, seed=200 + blocks, board=kind)
        assert same.rate("FASTER", "SLOWER") <= 0.01
        assert 0.93 <= same.coverage <= 0.97
        assert 0.93 <= by_blocks[blocks].coverage <= 0.97
    assert by_blocks[10].rate("SLOWER") >= 0.80
    assert by_blocks[15].rate("SLOWER") >= 0.95


def test_the_typical_board_is_the_one_of_the_acceptance_figures():
    assert (TYPICAL.warm_up, TYPICAL.jitter, TYPICAL.outliers) == (0.04, 0.015, 0.03)
