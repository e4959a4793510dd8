"""What a board's run knows of itself when it goes on: where it began, and which methods failed their check."""

from __future__ import annotations

import pytest

from tests.reports.campaigns import make_rep
from tunebench.harness.campaign.board_state import BoardState
from tunebench.harness.config.suite import load_suite
from tunebench.reports.results.state import Stored


def check(passed, *, rep_id="r1", outcome="ok", board_id="host"):
    figures = None if passed is None else {"passed": passed}
    values = {"role": "check", "method": "skip2-lora", "check": figures, "outcome": outcome}
    return Stored.of(make_rep().model_copy(update={"rep_id": rep_id, "board_id": board_id, **values}))


@pytest.fixture
def workload():
    """The row whose cache is checked."""
    return next(row for row in load_suite("quick").workloads if row.label == "skip2-lora")


@pytest.mark.parametrize("records", [[check(False)], [check(None)], [check(True, outcome="failed")]])
def test_a_check_that_failed_before_is_not_forgotten(records, workload):
    sentence = BoardState.resumed(records, "host").check_failed(workload)
    assert sentence == "correctness gate failed on this board: it had failed before"


@pytest.mark.parametrize(
    "records",
    [
        [],
        [check(True)],
        [check(False, board_id="other")],
        [check(None, outcome="lost"), check(True, rep_id="r1.try2")],
    ],
)
def test_what_passed_or_was_another_boards_is_believed(records, workload):
    assert BoardState.resumed(records, "host").check_failed(workload) is None
