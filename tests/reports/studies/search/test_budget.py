"""A budget as a user writes it: bounds in their units, and one clear sentence for each mistake."""

from __future__ import annotations

import math

import pytest

from tunebench.reports.studies.search.budget import UNITS, parse_budget, shown


def test_the_budget_of_the_documentation_is_read_in_seconds_bytes_and_shares():
    budget = parse_budget("ms=5,mb=20,accuracy>=0.9")

    assert [(bound.quantity, bound.limit) for bound in budget.bounds] == [
        ("time", 0.005),
        ("memory", 20e6),
        ("accuracy", 0.9),
    ]


@pytest.mark.parametrize(
    ("values", "excess"),
    [
        ({"time": 0.005, "memory": 20e6, "accuracy": 0.9}, 0),
        ({"time": 0.010, "memory": 20e6, "accuracy": 0.9}, 1.0),
        ({"time": 0.001, "memory": 30e6, "accuracy": 0.45}, 1.0),
        ({"time": 0.001, "memory": 1e6}, math.inf),
    ],
)
def test_what_misses_the_budget_is_told_by_how_much_of_each_limit(values, excess):
    assert parse_budget("ms=5,mb=20,accuracy>=0.9").excess(values) == pytest.approx(excess)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("watts=5", "unknown quantity 'watts'; allowed: ms"),
        ("ms", "'ms' is no bound"),
        ("", "'' is no bound"),
        ("ms>=5", "ms is bounded from above"),
        ("accuracy<=0.9", "accuracy is bounded from below"),
        ("accuracy>=90", "accuracy is a share from 0 to 1"),
        ("ms=0", "ms is a number above 0"),
        ("ms=-5", "ms is a number above 0"),
        ("ms=1e999", "ms is a number above 0"),
        ("ms=--5", "'--5' is no number"),
        ("ms=5,s=1", "time is bounded twice"),
    ],
)
def test_a_mistake_names_the_part_and_what_it_may_be(text, words):
    with pytest.raises(ValueError, match=r".") as caught:
        parse_budget(text)
    assert words in str(caught.value)


def test_every_quantity_can_be_shown():
    assert [shown(unit.quantity, unit.scale) for unit in UNITS.values()] == [
        "1.00 ms", "1.00 s", "1000 B", "977 KiB", "1.00 mJ", "1.00 J", "100.0%",
    ]  # fmt: skip
    assert shown("time", None) == "–"
