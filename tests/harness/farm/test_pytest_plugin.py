"""The pytest plugin on boards of which a run takes only some: a real coordinator, real sessions of pytest."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.farm.lab import add_pair, ask, until
from tests.harness.farm.test_labgrid import seen
from tunebench.harness.farm.provider import Patience
from tunebench.reports.results import RunReader

pytestmark = pytest.mark.slow

MEASURES = """
import os

def test_it(remote, board, workload):
    if "STOP" in os.environ:
        raise KeyboardInterrupt
    assert remote().seconds
"""


def the_run(folder: Path) -> RunReader:
    (plan,) = folder.glob("results/**/plan.json")
    return RunReader(plan.parent)


@pytest.fixture
def session(
    run_pytest, farm_inventory, sleep_suite, tmp_path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Function (words of the command line, ``blocks=``): a session that measures on any one board of the farm."""
    (tmp_path / "test_own.py").write_text(MEASURES)

    def run(
        *words: str, blocks: int = 1, sleep_s: float = 0.05, **env: str
    ) -> subprocess.CompletedProcess[str]:
        inventory = farm_inventory(count=1, patience_s=3, workdir=f"{tmp_path}/work")
        suite = sleep_suite(["a"], blocks=blocks, sleep_s=sleep_s)
        return run_pytest(
            "--tunebench-inventory", str(inventory), "--tunebench-campaign", str(suite), *words, env=env
        )

    return run


def test_a_session_draws_once_it_measures_and_not_before_and_one_that_is_resumed_keeps_its_board(
    lab, farms, session, tmp_path
):
    rival = farms()
    add_pair(rival)
    tickets = [rival.take(name, Patience(5.0)) for name in ("pi-a", "pi-b")]
    # Nothing is to be had, so whatever draws fails.
    listed = session("--collect-only")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assert "test_it[sleep:a-pi-a]" in listed.stdout and "test_it[sleep:a-pi-b]" in listed.stdout
    assert "tunebench: of pi-a, pi-b any 1 are drawn when tests run" in listed.stdout
    assert session("--help").returncode == 0
    spread = session("-n", "2")
    assert spread.returncode == 4 and "-n (pytest-xdist) does not go with boards" in spread.stderr
    refused = session()
    assert refused.returncode == 4 and "waited 3 s" in refused.stdout + refused.stderr
    assert "tunebench: waiting, at most 3 s: none of 2 places" in refused.stdout, "it says so while it waits"
    # One is to be had; the session is stopped before it is measured.
    rival.give(tickets.pop())
    stopped = session("-q", STOP="1")
    assert stopped.returncode == 2, stopped.stdout + stopped.stderr
    assert the_run(tmp_path).plan_view.boards == ("pi-b",) and seen(rival, "pi-b").owner is None
    # Now the other one is to be had, too; but a run that was begun has its boards.
    rival.give(tickets.pop())
    done = session("--tunebench-resume", "--benchmark-json", "out.json", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed, 1 deselected" in done.stdout and "test_it[sleep:a-pi-b] PASSED" in done.stdout
    assert json.loads((tmp_path / "out.json").read_text())["tunebench"]["boards"] == ["pi-b"]
    assert the_run(tmp_path).manifest.boards == ["pi-b"]
    # A test that is named narrows what may be drawn.
    chosen = session("test_own.py::test_it[sleep:a-pi-a]", "-v", "--tunebench-out", "other")
    assert chosen.returncode == 0 and "pi-a: place pi-a of" in chosen.stdout, chosen.stdout
    assert all(board.owner is None for board in rival.boards())


def test_tests_of_the_board_that_takes_a_lost_ones_place_are_run_behind_the_others(
    lab, farms, session, tmp_path
):
    rival = farms()
    add_pair(rival)
    lost: list[str] = []

    def take_away() -> None:
        until(lambda: [path for path in tmp_path.glob("results/**/reps.jsonl") if path.stat().st_size])
        lost.extend(board.name for board in rival.boards() if board.owner is not None)
        ask(rival, "ReleasePlace", placename=lost[0])
        ask(rival, "AcquirePlace", placename=lost[0])

    taker = threading.Thread(target=take_away)
    taker.start()
    done = session("-v", blocks=4, sleep_s=1.0)
    taker.join(60)
    (other,) = {"pi-a", "pi-b"} - set(lost)
    reader = the_run(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"{lost[0]}\] PASSED.*{other}\] PASSED", done.stdout, re.DOTALL), done.stdout
    assert f"{lost[0]}: contested: place {lost[0]} of" in done.stdout
    assert [rep.block for rep in reader.repetitions if rep.board_id == other] == [0, 1, 2, 3]
    assert reader.manifest.boards == ["pi-a", "pi-b"] and seen(rival, other).owner is None
