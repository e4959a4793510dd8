"""Fronts, the best within a budget and the nearest to it, against brute force over trials that are made up."""

from __future__ import annotations

import random

import pytest

from tunebench.reports.studies.search.budget import parse_budget
from tunebench.reports.studies.search.front import best, front, nearest
from tunebench.reports.studies.search.model import Search, Trial

QUANTITIES = ("time", "memory", "accuracy")


def trial(number, **values):
    return Trial(number, f"point {number}", {"method": "ft-all", "epochs": number}, f"run {number}", values)


def made_up(seed, count=30):
    draw = random.Random(seed)
    return [
        trial(number, time=draw.randint(1, 5), memory=draw.randint(1, 5), accuracy=draw.randint(1, 5) / 5)
        for number in range(1, count + 1)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_what_no_trial_beats(seed):
    trials = made_up(seed)

    def beaten(mine):
        def good(one):
            return (-one.values["time"], -one.values["memory"], one.values["accuracy"])

        return any(
            all(a >= b for a, b in zip(good(other), good(mine), strict=True)) and good(other) != good(mine)
            for other in trials
        )

    assert front(trials, QUANTITIES) == [one.number for one in trials if not beaten(one)]


def test_a_trial_without_a_value_stands_in_no_front_and_is_never_chosen():
    trials = [trial(1, time=2.0, accuracy=0.8), trial(2, accuracy=0.99), trial(3)]

    assert front(trials, ("time", "accuracy")) == [1]
    assert best(trials, parse_budget("s=3"), "accuracy") == trials[0]
    assert best(trials, parse_budget("accuracy>=0.5"), "time") == trials[0]
    assert nearest(trials[1:], parse_budget("s=3"), "accuracy") is None


def test_within_the_budget_the_aim_decides_and_then_the_time():
    trials = [
        trial(1, time=1.0, accuracy=0.8),
        trial(2, time=3.0, accuracy=0.9),
        trial(3, time=2.0, accuracy=0.9),
        trial(4, time=9.0, accuracy=0.99),
    ]

    assert best(trials, parse_budget("s=5"), "accuracy").number == 3
    assert best(trials, parse_budget("s=5"), "time").number == 1


def test_the_nearest_misses_the_budget_by_the_least():
    trials = [
        trial(1, time=10.0, accuracy=0.9),
        trial(2, time=6.0, accuracy=0.9),
        trial(3, time=5.0, accuracy=0.1),
    ]
    budget = parse_budget("s=5,accuracy>=0.9")

    assert best(trials, budget, "accuracy") is None
    assert nearest(trials, budget, "accuracy").number == 2


def test_a_search_is_read_as_it_was_stored():
    search = Search("t", "b", parse_budget("s=5"), "accuracy", 9, 60.0, tuple(made_up(1, 3)), 2)

    assert Search.of(search.as_dict()) == search


@pytest.mark.parametrize("damage", [{"trials": 3}, {"aim": "watts"}, {"budget": {}}, {"chosen": "x"}])
def test_what_is_no_search_is_none(damage):
    search = Search("t", "b", parse_budget("s=5"), "accuracy", 9, 60.0, tuple(made_up(1, 3)), 2)

    assert Search.of({**search.as_dict(), **damage}) is None
    assert Search.of({}) is None
