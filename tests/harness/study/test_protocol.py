"""The rules of protocol 2, on tables of scores worked by hand."""

from __future__ import annotations

import doctest
import math

import pytest

from tunebench.harness.study import protocol
from tunebench.harness.study.protocol import (
    Choice,
    choose,
    collapsed_rates,
    plateau,
    steps_for_all,
    to_score_next,
)

NAN, INF = math.nan, math.inf
CELLS = ((100, 0), (100, 1), (101, 0), (101, 1))


def table(**rates):
    """Return scores by rate and cell; r_0005 is the rate 0.0005."""
    return {float(f"0.{name[2:]}"): dict(zip(CELLS, values, strict=True)) for name, values in rates.items()}


def test_the_ladder_has_factor_2_and_equal_rates_are_equal_numbers():
    ratios = {later / earlier for earlier, later in zip(protocol.LADDER, protocol.LADDER[1:], strict=False)}
    assert ratios == {2.0}
    for rate in (0.000125, 0.0005, 0.001, 0.002, 0.004, 0.016, 0.128, 1.024):
        assert rate in protocol.LADDER


@pytest.mark.parametrize("track", protocol.TRACKS)
def test_a_search_begins_with_rates_of_the_ladder_and_development_bases_are_no_suites(track):
    window = protocol.first_window(track)
    assert len(window) == protocol.FIRST_RATES
    assert set(window) <= set(protocol.LADDER)
    assert list(protocol.development_bases()) == [100, 101]


def test_the_smallest_rate_within_one_standard_error_is_taken():
    # freed of the cells' levels, the best rate's scores scatter by sd 0.01: SE = 0.005
    scores = table(
        r_001=(0.70, 0.70, 0.70, 0.70),
        r_002=(0.90, 0.90, 0.90, 0.90),
        r_004=(0.916, 0.896, 0.916, 0.896),
        r_008=(0.80, 0.80, 0.80, 0.80),
    )
    choice = choose(scores)
    levels = [(0.70 + 0.90 + best + 0.80) / 4 for best in (0.916, 0.896)] * 2
    freed = [best - level for best, level in zip((0.916, 0.896) * 2, levels, strict=True)]
    middle = sum(freed) / 4
    error = math.sqrt(sum((value - middle) ** 2 for value in freed) / 3) / 2
    assert choice.error == pytest.approx(error)
    assert choice.best == 0.004
    assert choice.rate == 0.004  # 0.006 below the best, and the error is 0.0043
    nearer = {**scores, 0.002: dict.fromkeys(CELLS, 0.903)}
    assert choose(nearer).rate == 0.002


def test_that_one_fold_is_harder_than_another_is_no_error():
    """Shifting a cell by any level changes nothing but the means."""
    scores = table(
        r_001=(0.9, 0.8, 0.85, 0.9), r_002=(0.92, 0.81, 0.86, 0.93), r_004=(0.91, 0.80, 0.87, 0.92)
    )
    harder = {
        rate: {cell: score - 0.05 * at for at, (cell, score) in enumerate(cells.items())}
        for rate, cells in scores.items()
    }
    assert choose(harder).error == pytest.approx(choose(scores).error)
    assert choose(harder).rate == choose(scores).rate


@pytest.mark.parametrize("bad", [None, NAN, INF, -INF, 0.0, 0.44])
def test_a_rate_at_which_any_run_collapses_is_out_even_if_its_mean_were_best(bad):
    scores = table(
        r_0005=(0.80, 0.80, 0.80, 0.80), r_001=(0.85, 0.85, 0.85, 0.84), r_002=(0.86, 0.86, 0.86, 0.86),
        r_004=(0.99, 0.99, 0.99, bad),
    )  # fmt: skip
    scores[0.002][CELLS[3]] = 0.90
    assert collapsed_rates(scores) == [0.004]
    choice = choose(scores)
    assert (choice.best, choice.out) == (0.002, (0.004,))
    assert choice.stands  # the neighbour that collapsed was scored, too


def test_a_score_of_half_the_best_is_no_collapse():
    scores = table(r_001=(0.9, 0.9, 0.9, 0.9), r_002=(0.8, 0.8, 0.8, 0.45))
    assert collapsed_rates(scores) == []


def test_equal_scores_take_the_smaller_rate_and_its_neighbours():
    scores = {rate: dict.fromkeys(CELLS, 0.9) for rate in (0.001, 0.002, 0.004)}
    choice = choose(scores)
    assert (choice.best, choice.rate, choice.error) == (0.001, 0.001, 0.0)
    assert choice.missing == (0.0005,)
    assert not choice.stands


def test_both_neighbours_of_the_best_and_of_the_chosen_are_needed():
    scores = table(r_001=(0.90, 0.92, 0.90, 0.92), r_002=(0.92, 0.90, 0.92, 0.91))
    choice = choose(scores)
    assert (choice.best, choice.rate) == (0.002, 0.001)
    assert choice.missing == (0.0005, 0.004)


def test_where_every_rate_collapses_smaller_ones_are_tried_down_to_the_end_of_the_ladder():
    ladder = (0.001, 0.002, 0.004)
    lost = {0.002: dict.fromkeys(CELLS), 0.004: dict.fromkeys(CELLS)}
    assert choose(lost, ladder).missing == (0.001,)
    choice = choose({0.001: dict.fromkeys(CELLS, NAN), **lost}, ladder)
    assert choice == Choice(
        None, out=(0.001, 0.002, 0.004), reason="at least one run collapsed at every rate"
    )
    assert not choice.stands


def test_a_best_rate_at_an_end_of_the_ladder_does_not_stand():
    ladder = (0.001, 0.002)
    choice = choose({0.001: {"a": 0.5}, 0.002: {"a": 0.9}}, ladder)
    assert (choice.missing, choice.stands) == ((), False)
    assert "0.002, is an end of the ladder" in choice.reason


def test_a_chosen_rate_at_an_end_of_the_ladder_does_not_stand_though_the_best_is_inside():
    ladder = (0.001, 0.002, 0.004)
    scores = {0.001: {"a": 0.70, "b": 0.72}, 0.002: {"a": 0.75, "b": 0.70}, 0.004: {"a": 0.70, "b": 0.71}}
    choice = choose(scores, ladder)
    assert (choice.best, choice.rate, choice.stands) == (0.002, 0.001, False)
    assert "the chosen rate, 0.001, is an end of the ladder" in choice.reason


def test_what_one_method_lacks_is_scored_for_all():
    up = {rate: dict.fromkeys(CELLS, rate) for rate in (0.001, 0.002, 0.004)}
    down = {rate: dict.fromkeys(CELLS, 1 - 100 * rate) for rate in (0.001, 0.002, 0.004)}
    middle = {rate: dict.fromkeys(CELLS, score) for rate, score in ((0.001, 0.5), (0.002, 0.9), (0.004, 0.6))}
    assert to_score_next({"a": middle}) == []
    assert to_score_next({"a": middle, "b": up, "c": down}) == [0.0005, 0.008]


@pytest.mark.parametrize(
    "scores",
    [
        {},
        {0.001: {}},
        {0.001: {"a": 1.0}, 0.002: {"b": 1.0}},
        {0.001: {"a": 1.0}, 0.002: {"a": 1.0, "b": 1.0}},
    ],
)
def test_rates_that_were_run_elsewhere_are_not_compared(scores):
    with pytest.raises(ValueError, match="same bases and folds"):
        choose(scores)


def test_a_rate_beside_the_ladder_is_refused():
    with pytest.raises(ValueError, match=r"not on the ladder: \[0.003\]"):
        choose({0.003: {"a": 1.0}})


@pytest.mark.parametrize(
    ("scores", "steps"),
    [
        ({72: 0.700, 144: 0.790, 288: 0.792}, 144),
        ({72: 0.700, 144: 0.701}, 72),
        ({72: 0.700, 144: 0.790}, None),
        ({72: 0.700}, None),
        ({72: 0.700, 144: 0.703}, None),  # exactly 0.3 points is a gain
        ({72: 0.700, 144: 0.690}, 72),
        ({72: 0.700, 144: 0.701, 288: 0.790, 576: 0.79}, 288),  # a plateau that does not last is none
        ({72: 0.700, 144: None}, None),
        ({72: 0.700, 144: NAN}, None),
    ],
)
def test_steps_end_where_doubling_adds_less_than_three_tenths_of_a_point(scores, steps):
    assert plateau(scores).steps == steps


def test_the_slowest_method_decides_the_steps_of_all():
    quick, slow = {72: 0.9, 144: 0.9}, {72: 0.7, 144: 0.8, 288: 0.801}
    assert steps_for_all({"a": quick, "b": slow}) == 144
    assert steps_for_all({"a": quick, "b": {72: 0.7, 144: 0.8}}) is None
    assert steps_for_all({}) is None
    with pytest.raises(ValueError, match="must double"):
        plateau({72: 0.7, 100: 0.8})


def test_the_examples_hold():
    assert doctest.testmod(protocol).failed == 0
