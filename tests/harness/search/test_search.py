"""The loop of a search: what is kept, when it ends, how it goes on. Values are made up: no board stands behind them here.

:mod:`tests.harness.search.test_on_a_board` has a real one.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.harness.search.conftest import METHODS
from tests.harness.search.test_sampler import BUDGET, values_at
from tunebench.harness.errors import UsageError
from tunebench.harness.search.search import Goal, run_search
from tunebench.harness.search.trial import Interrupted
from tunebench.reports.studies.search.budget import parse_budget
from tunebench.reports.studies.search.model import Trial

pytest.importorskip("optuna")


class MadeUpBench:
    """Stands for a board: keeps its trials in memory as a real one keeps them in folders."""

    board = SimpleNamespace(id="here")

    def __init__(self, values=values_at, board_s=1.0):
        self.values, self.board_s = values, board_s
        self.measured = []
        self.complete = {}
        self.interrupt_at = None

    def measure(self, number, point, suite, root):
        if root not in self.complete:
            self.measured.append((number, point.label))
            if number == self.interrupt_at:
                raise Interrupted
            values = self.values(point)
            missing = {} if values else {"time": "no clock", "accuracy": "no clock"}
            self.complete[root] = Trial(
                number, point.label, point.as_dict(), "run", values, missing, self.board_s
            )
        return self.complete[root]


GOAL = Goal(BUDGET, "accuracy", 6.0)


def run(space, bench, folder, goal=GOAL):
    return run_search(space, goal, bench, folder, lambda _: None)


def test_no_trial_begins_that_would_exceed_the_board_seconds(space, tmp_path):
    bench = MadeUpBench(board_s=2.5)
    search = run(space(METHODS), bench, tmp_path / "s")

    assert [trial.number for trial in search.trials] == [1, 2]
    assert search.board_s == 5.0


def test_a_search_ends_when_all_points_are_known(space, tmp_path):
    search = run(space(METHODS), MadeUpBench(board_s=0.01), tmp_path / "s")

    assert len(search.trials) == search.points == 15
    top = max(
        (trial for trial in search.trials if BUDGET.excess(trial.values) == 0),
        key=lambda trial: (trial.values["accuracy"], -trial.values["time"]),
    )
    assert search.chosen == top.number


def test_stopped_within_a_trial_it_goes_on_with_that_point_and_loses_or_doubles_none(space, tmp_path):
    declared = space(METHODS)
    whole = run(declared, MadeUpBench(), tmp_path / "whole")
    bench = MadeUpBench()
    bench.interrupt_at = 4
    with pytest.raises(Interrupted):
        run(declared, bench, tmp_path / "s")
    bench.interrupt_at = None
    bench.measured.clear()

    search = run(declared, bench, tmp_path / "s")

    assert [trial.point for trial in search.trials] == [trial.point for trial in whole.trials]
    assert [number for number, _ in bench.measured] == [4, 5, 6]


def test_more_board_seconds_go_on_with_the_trials_that_are_there(space, tmp_path):
    declared, bench = space(METHODS), MadeUpBench()
    run(declared, bench, tmp_path / "s", Goal(BUDGET, "accuracy", 3.0))
    search = run(declared, bench, tmp_path / "s")

    assert len(bench.measured) == len(search.trials) == 6


def test_another_suite_is_refused_in_the_same_folder(space, tmp_path):
    run(space(METHODS), MadeUpBench(), tmp_path / "s")

    with pytest.raises(UsageError, match=r"holds a search that differs in: the suite, but for \[search\]"):
        run(space(METHODS.replace("ft-all", "ft-last")), MadeUpBench(), tmp_path / "s")


def test_another_space_goes_on_with_the_same_trials(space, tmp_path):
    bench = MadeUpBench()
    run(space(METHODS), bench, tmp_path / "s", Goal(BUDGET, "accuracy", 3.0))
    search = run(space(METHODS.replace("[2, 5, 10]", "[2, 5, 10, 20]")), bench, tmp_path / "s")

    assert len(search.trials) == 6


def test_a_board_that_does_not_tell_what_is_bounded_ends_the_search(space, tmp_path):
    with pytest.raises(UsageError, match="here: no accuracy is measured: no clock"):
        run(space(METHODS), MadeUpBench(values=lambda _: {}), tmp_path / "s")


def test_nothing_is_chosen_where_nothing_is_within_the_budget(space, tmp_path):
    goal = Goal(parse_budget("accuracy>=0.99"), "accuracy", 4.0)

    assert run(space(METHODS), MadeUpBench(), tmp_path / "s", goal).chosen is None


def test_two_processes_do_not_measure_the_same_search(space, tmp_path):
    declared = space(METHODS)

    def again(_):
        with pytest.raises(UsageError, match="another process is at this search"):
            run(declared, MadeUpBench(), tmp_path / "s")

    run_search(declared, Goal(BUDGET, "accuracy", 1.0), MadeUpBench(), tmp_path / "s", again)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema": "other/1"}'])
def test_a_folder_that_holds_something_else_is_left_alone(space, tmp_path, content):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "search.json").write_text(content)

    with pytest.raises(UsageError, match="--keep"):
        run(space(METHODS), MadeUpBench(), tmp_path / "s")
    assert (tmp_path / "s" / "search.json").read_text() == content
