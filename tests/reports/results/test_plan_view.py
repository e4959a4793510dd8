"""A stored plan as typed values, whoever wrote it."""

from __future__ import annotations

import json

import pytest

from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import load_suite
from tunebench.harness.planning.plan import make_plan
from tunebench.reports.results.plan_view import PlanView, SuiteView, TaskView


@pytest.fixture
def plan():
    """The plan of a built-in suite on one board, as it is read back from disk."""
    board = BoardEntry(id="pi5-01", kind="loopback")
    made = make_plan(load_suite("smoke"), [board], run_id="r1", lab="lab1", command=["tunebench", "run"])
    return json.loads(json.dumps(made.as_dict()))


def test_what_a_campaign_plans_is_read_back(plan):
    view = PlanView.of({**plan, "started_utc": "2026-01-01T00:00:00Z", "cargo": {"payload": "aa"}})
    assert (view.run_id, view.lab, view.sha256) == ("r1", "lab1", plan["sha256"])
    assert view.started_utc == "2026-01-01T00:00:00Z"
    assert view.boards == ("pi5-01",)
    assert view.planned == len(view.repetitions) == len(plan["repetitions"]) > 0
    assert view.suite.name == "smoke"
    assert view.suite.blocks == plan["suite"]["blocks"]
    assert view.suite.delta == plan["suite"]["delta"]
    assert [workload["label"] for workload in view.suite.workloads] == [
        workload["label"] for workload in plan["suite"]["cells"]
    ]
    assert list(view.tasks) == list(plan["tasks"])
    for name, task in plan["tasks"].items():
        assert view.tasks[name].baseline == task["baseline"]
        assert view.tasks[name].labels == tuple(task["labels"])
    assert view.command == ("tunebench", "run")
    assert view.artifacts == {"payload": "aa"}


def test_boards_may_be_ids_or_objects():
    assert PlanView.of({"boards": ["a", {"id": "b"}, {"board_id": "c"}]}).boards == ("a", "b", "c")


@pytest.mark.parametrize("value", [None, 3, "text", [], [1, None], {}, {"a": None}, True])
def test_foreign_values_are_no_error(value):
    names = ["suite", "tasks", "boards", "repetitions", "skipped", "command", "cargo"]
    view = PlanView.of(dict.fromkeys(names, value))
    assert view.run_id is None
    assert isinstance(view.suite, SuiteView)
    assert all(isinstance(task, TaskView) for task in view.tasks.values())
    assert PlanView.of({"suite": {"delta": value, "cells": value, "blocks": None}}).suite.delta == {}


def test_a_difference_that_does_not_matter_is_a_positive_number():
    suite = {"delta": {"time": 0.02, "energy": 0, "memory": -1, "accuracy": "0.5"}}
    assert PlanView.of({"suite": suite}).suite.delta == {"time": 0.02}


def test_a_reader_has_the_view(demo):
    assert demo.plan_view == PlanView.of(demo.plan)
    assert demo.plan_view.run_id == demo.plan["run_id"]
