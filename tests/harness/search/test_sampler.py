"""Proposals over values that are made up: none twice, the same again from the same seed, and near the best in a third."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from benchmarks import search_grid
from tests.harness.search.conftest import METHODS
from tunebench.harness.errors import UsageError
from tunebench.harness.search.sampler import Known, check_optuna, propose
from tunebench.harness.search.search import Goal
from tunebench.reports.studies.search.budget import parse_budget
from tunebench.reports.studies.search.model import Trial

ROOT = Path(__file__).resolve().parents[3]

BUDGET = parse_budget("s=6,accuracy>=0.7")


@pytest.fixture
def optuna():
    """Skip where optuna is not installed."""
    return pytest.importorskip("optuna")


def values_at(point):
    """Return values that are made up: epochs cost time and help less and less, adapters are quick, a high rank helps."""
    chosen = point.as_dict()
    quick = {"ft-all": 1.0, "lora-all": 0.8, "skip2-lora": 0.3}[chosen["method"]]
    lost = 0.25 * math.exp(-chosen["epochs"] / 5) + 0.04 / chosen.get("rank", 16) ** 0.5
    return {
        "time": quick * chosen["epochs"],
        "accuracy": 0.95 - lost - 0.02 * (chosen["method"] == "skip2-lora"),
    }


def searched(space, seed, count):
    known = []
    while len(known) < count and (point := propose(space, known, BUDGET, "accuracy", seed)) is not None:
        known.append(Known(point, values_at(point)))
    return known


def test_every_point_is_proposed_once_and_then_none(space, optuna):
    declared = space(METHODS)
    known = searched(declared, 3, 99)

    assert {trial.point for trial in known} == set(declared.points())
    assert len(known) == len(declared.points())


def test_a_search_that_was_stopped_proposes_what_it_would_have(space, optuna):
    declared = space(METHODS)
    whole = [trial.point for trial in searched(declared, 3, 8)]
    stopped = [Known(point, values_at(point)) for point in whole[:5]]

    assert propose(declared, stopped, BUDGET, "accuracy", 3) == whole[5]
    assert [trial.point for trial in searched(declared, 4, 8)] != whole


def test_with_a_third_of_the_points_most_searches_come_within_two_percent_of_the_best(space, optuna):
    declared = space(METHODS.replace("[4, 1]", "[1, 2, 4, 8]").replace("[2, 5, 10]", "[1, 2, 4, 8, 16]"))
    points = declared.points()
    able = [values_at(point)["accuracy"] for point in points if BUDGET.excess(values_at(point)) == 0]
    near = sum(value >= 0.98 * max(able) for value in able)

    hits = 0
    for seed in range(6):
        found = [
            trial.values["accuracy"]
            for trial in searched(declared, seed, len(points) // 3)
            if BUDGET.excess(trial.values) == 0
        ]
        hits += max(found, default=0.0) >= 0.98 * max(able)

    assert near <= len(points) // 10  # the target is small
    assert hits >= 5


def test_a_point_without_values_is_known_and_not_sought(space, optuna):
    declared = space(METHODS)
    known = [Known(point, {}) for point in declared.points()[:6]]

    assert propose(declared, known, BUDGET, "accuracy", 0) not in declared.points()[:6]


def test_without_optuna_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(UsageError, match=r"^a search needs optuna: pip install 'tunebench\[search\]'$"):
        check_optuna()


def test_searches_over_a_grid_that_was_measured_come_within_two_percent_of_its_best_in_a_third_of_its_seconds(
    space, optuna
):
    recorded = json.loads((ROOT / "benchmarks" / "search_grid.json").read_text())
    grid = [Trial(**trial) for trial in recorded["grid"]]
    goal = Goal(parse_budget(search_grid.BUDGET), search_grid.AIM, recorded["grid_board_s"] / 3)
    declared = space(search_grid.SUITE)

    assert [dict(trial.point) for trial in grid] == [point.as_dict() for point in declared.points()]
    assert recorded["search_share"] <= 1 / 3
    assert recorded["search"]["within_2_percent"] is True
    assert sum(search_grid.replayed(declared, grid, goal, seed) for seed in range(4)) >= 3
