"""What the gate would have seen: held against the screen itself, night by night."""

from __future__ import annotations

import numpy as np
import pytest

from tunebench.reports.history.noise import smallest_seen
from tunebench.reports.history.screen import POWER, Rule, Sight, screen, sight_of, smallest_visible

RULE = Rule()


def past(scatter, n=30, seed=1):
    return np.exp(np.random.default_rng(seed).normal(0, scatter, n)).tolist()


@pytest.mark.parametrize("scatter", [0.003, 0.01, 0.03, 0.06])
@pytest.mark.parametrize("n", [10, 30])
def test_the_screen_sees_that_slow_down_as_often_as_is_told(scatter, n):
    """By trying: averaged over pasts, since each one's scatter is an estimate."""
    rng = np.random.default_rng(7)
    seen = tried = 0
    for seed in range(60):
        nights = past(scatter, n, seed)
        change = smallest_visible(nights, RULE)
        if change is None:
            continue
        tonight = np.exp(rng.normal(0, scatter, 40)) * (1 + change)
        seen += sum(screen(nights, float(value), RULE).state == "suspect" for value in tonight)
        tried += len(tonight)
    assert tried >= 1000
    assert seen / tried == pytest.approx(POWER, abs=0.13 if n == 10 else 0.08)


def test_the_calibrations_simulation_agrees():
    """The simulation has the confirmation in it and tries steps: the screen alone sees no more than a step sooner."""
    for scatter in (0.005, 0.02):
        smallest = [smallest_visible(past(scatter, 30, seed), RULE) for seed in range(20)]
        simulated = smallest_seen(0.004, scatter, 10_000.0)
        assert float(np.median(smallest)) == pytest.approx(simulated, rel=0.5)


def test_too_few_nights_promise_nothing():
    assert smallest_visible(past(0.01, 9), RULE) is None
    assert smallest_visible([], RULE) is None
    assert smallest_visible([0.0] * 10, RULE) is None


def test_nights_that_scatter_without_bounds_hide_a_doubling():
    assert smallest_visible(past(1.0), RULE) is None


def test_the_sentence_names_the_series_that_hides_most_and_what_is_usual():
    sight = sight_of([past(0.003), past(0.003, seed=2), past(0.04)], RULE)
    assert sight.judged == 3
    assert sight.largest > 3 * sight.typical
    assert sight.sentence.startswith("slow-downs above ")
    assert "would have been seen in 8 of 10 nights (in half of the 3 series, those above " in sight.sentence


@pytest.mark.parametrize(
    ("sight", "words"),
    [
        (Sight(0.1101, 0.1101, 1, 0), "slow-downs above 12% would have been seen in 8 of 10 nights"),
        (Sight(0.031, 0.0301, 2, 0), "slow-downs above 3.1% would have been seen in 8 of 10 nights"),
        (Sight(None, 0.05, 4, 0), "in half of the 4 series, in others not even a doubled time"),
        (Sight(None, None, 2, 0), "not even a doubled time would have been seen"),
        (
            Sight(None, None, 0, 3, 4, 10),
            "nothing can be seen yet: all 3 series are still learning (4 of 10 nights)",
        ),
        (Sight(0.05, 0.05, 1, 2, 4, 10), "; 2 series still learn, nothing is seen in them"),
        (Sight(None, None, 0, 0), "no series was judged"),
    ],
)
def test_it_is_told_in_words(sight, words):
    assert words in sight.sentence


def test_learning_series_are_counted_apart():
    sight = sight_of([past(0.01, 4), past(0.01, 7), past(0.01, 30)], RULE)
    assert (sight.judged, sight.learning, sight.least_nights, sight.needed) == (1, 2, 4, 10)
