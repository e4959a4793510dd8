"""A quiet session tells now and then how far the boards are; one that tells all, or nothing, does not."""

from __future__ import annotations

import pytest

from tests.reports.campaigns import make_rep
from tunebench.harness.config.suite import load_suite
from tunebench.harness.hil import progress
from tunebench.harness.hil.progress import Progress
from tunebench.harness.planning.repetition import Planned


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lines():
    return []


@pytest.fixture
def campaign(clock, lines):
    return Progress(lines.append, 12, 3, clock)


WORKLOAD = load_suite("smoke").workloads[0]


def planned(board: str) -> Planned:
    return Planned("r", board, 0, 0, "timed", 0, WORKLOAD)


def test_a_line_comes_after_the_first_seconds_and_then_seldom(campaign, clock, lines):
    campaign.started(planned("one"), None)
    campaign.tick()
    assert lines == []
    clock.now_s += progress.FIRST_S
    campaign.tick()
    campaign.tick()
    assert lines == ["3 of 12 repetitions, one: digits/mlp ft-all"]
    campaign.finished(make_rep())
    clock.now_s += progress.EVERY_S
    campaign.finished(make_rep())
    assert lines[1:] == ["5 of 12 repetitions, one: digits/mlp ft-all"]


def test_the_slowest_board_tells_the_time_left_if_all_are_known(campaign, clock, lines):
    campaign.started(planned("one"), 100.0)
    campaign.started(planned("two"), 200.0)
    clock.now_s += 15.0
    campaign.tick()
    assert "about 3:05 left" in lines[0]
    campaign.started(planned("three"), None)
    clock.now_s += progress.EVERY_S
    campaign.tick()
    assert "left" not in lines[1], "of one board nothing is known: nothing is claimed"


def test_many_boards_are_counted_and_boards_that_ended_are_not_named(campaign, clock, lines):
    for number in range(5):
        campaign.started(planned(f"b{number}"), None)
    campaign.left_out(2)
    campaign.ended("b0")
    clock.now_s += progress.FIRST_S
    campaign.tick()
    assert lines[0].startswith("3 of 10 repetitions, b1: ")
    assert lines[0].endswith("; and 1 more boards")


def test_a_second_attempt_is_not_counted_again_and_after_the_end_nothing_is_told(campaign, clock, lines):
    campaign.started(planned("one"), None)
    campaign.finished(make_rep().model_copy(update={"attempt": 2}))
    campaign.ended("one")
    clock.now_s += 1000
    campaign.tick()
    assert lines == []


SOON = "import tunebench.harness.hil.progress as progress\nprogress.FIRST_S = progress.EVERY_S = 0.0\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "shown"), [((), True), (("-q",), True), (("-qq",), False), (("-v",), False)]
)
def test_a_quiet_session_shows_its_progress(run_pytest, tmp_path, lab, sleep_suite, measuring, option, shown):
    (tmp_path / "conftest.py").write_text(SOON)
    suite = str(sleep_suite(["a"], blocks=2, sleep_s=0.6))
    done = run_pytest("--inventory", str(lab("one")), "--campaign", suite, *option)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("tunebench: 0 of 2 repetitions, one: sleep a" in done.stdout) == shown
    assert "Traceback" not in done.stdout


@pytest.mark.slow
def test_resuming_where_there_is_nothing_is_said_and_measures(run_pytest, quick, measuring):
    done = run_pytest(*quick, "--tunebench-resume", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "there was no run of suite 'sleep' to resume: a new one begins" in done.stdout


@pytest.mark.parametrize(("name", "reason"), [("-", "standard output is pytest's own"), (".", "is a folder")])
def test_a_report_that_can_be_no_file_is_refused(
    run_pytest, quick, measuring, nothing_measured, name, reason
):
    done = run_pytest(*quick, "--tunebench-report", name)
    assert done.returncode == 4
    assert reason in done.stdout + done.stderr
    assert nothing_measured()
