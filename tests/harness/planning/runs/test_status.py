"""How far a run is, from its files: while it is written by another process, and long after."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.reports.campaigns import ORIN, PI5, make_rep
from tests.reports.campaigns import Campaign as Stored
from tunebench.harness.cli.app import app
from tunebench.harness.errors import ending_of
from tunebench.harness.planning.runs.status import in_full, in_short, run_folders
from tunebench.reports.results import ResultsError, RunWriter, is_being_written

#: Holds a run open until its standard input ends.
HOLD = """
import sys
from pathlib import Path
from tunebench.reports.results import RunWriter
writer = RunWriter.open(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""
ROW = {"block": 0, "slot": 0, "role": "timed", "seed": 0, "task": "digits/mlp", "label": "ft-all"}


def plan_of(*boards: str, n: int = 2) -> dict:
    """Return a plan of so many repetitions a board, as a campaign writes it."""
    return {
        "suite": {"name": "mine", "blocks": n},
        "boards": [{"id": board} for board in boards],
        "command": ["tunebench", "run", "-s", "mine.toml"],
        "started_utc": "2026-11-29T21:14:05Z",
        "repetitions": [
            {**ROW, "rep_id": f"run.{board}.{index:04d}", "board_id": board, "block": index}
            for board in boards
            for index in range(n)
        ],
    }


@pytest.fixture
def held():
    """Function (run) -> a process that writes it, ended with the test."""
    processes = []

    def hold(run: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout.readline() == "open\n"

    yield hold
    for process in processes:
        process.communicate()


@pytest.fixture
def make_record():
    """Function (**fields) -> a record."""
    return lambda **fields: make_rep().model_copy(update=fields)


def called(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_complete_run_is_told_with_how_long_it_took(tmp_path):
    run = in_short(Stored().write(tmp_path))
    assert (run.state, run.suite, run.board_ids) == ("complete", "demo", ("host",))
    assert run.lasted_s == 430.0
    assert run.continuing is None


def test_another_process_that_writes_makes_a_run_running_and_is_not_disturbed(tmp_path, held, make_record):
    with RunWriter.create(tmp_path, "lab1", "run", plan_of("one", "two")) as writer:
        writer.append(make_record(rep_id="run.one.0000", run_id="run", board_id="one"))
        writer.note_missing("two", "no route to it")
        path = writer.path
    assert in_short(path).state == "not complete"
    held(path)
    assert is_being_written(path)
    run = in_full(path)
    assert (run.state, run.recorded, run.planned) == ("running", 1, 4)
    first, two = run.boards
    assert (first.done, first.planned, first.now) == (1, 2, "digits/mlp ft-all block 1")
    assert two.now == "digits/mlp ft-all block 0", "who opened it looks for the missing board anew"
    with pytest.raises(ResultsError, match="another process is writing"):
        RunWriter.open(path)


def test_a_run_that_nobody_writes_says_what_is_missing_and_how_to_go_on(tmp_path, make_record):
    with RunWriter.create(tmp_path, "lab1", "run", plan_of("one", "two")) as writer:
        for number, board in enumerate(["one", "one"]):
            writer.append(make_record(rep_id=f"run.{board}.{number:04d}", run_id="run", board_id=board))
        writer.note_missing("two", "no route to it")
        path = writer.path
    text = called("status", "-o", tmp_path)
    assert "mine: not complete, 2 of 4 repetitions on 2 boards, begun 2026-11-29 21:14 UTC" in text
    assert "one  2 of 2\n" in text
    assert "two  0 of 2; missing: no route to it" in text
    assert f"results: {path}" in text
    assert text.rstrip().endswith("run -s mine.toml --resume")


def test_a_lost_repetition_is_not_done_until_its_second_attempt(tmp_path, make_record):
    with RunWriter.create(tmp_path, "lab1", "run", plan_of("one", n=1)) as writer:
        lost = make_record(
            rep_id="run.one.0000", run_id="run", board_id="one", outcome="lost", verdict="invalid"
        )
        writer.append(lost)
        assert in_full(writer.path).boards[0].done == 0
        assert in_full(writer.path).boards[0].now is not None, "this very process writes it"
        again = {"rep_id": "run.one.0000.try2", "attempt": 2}
        writer.append(lost.model_copy(update=again))
        assert in_full(writer.path).boards[0].done == 1


def test_what_is_left_is_predicted_from_this_run_and_earlier_ones(tmp_path, make_record):
    with RunWriter.create(tmp_path, "lab1", "run", plan_of("one", n=3)) as writer:
        assert in_full(writer.path).left_s is None, "nothing is claimed without any history"
        writer.append(make_record(rep_id="run.one.0000", run_id="run", board_id="one", host_s=7.0))
        assert in_full(writer.path).left_s == 14.0


def test_runs_lists_the_newest_first_and_says_how_many_more(tmp_path):
    Stored(boards=[PI5, ORIN], run_id="20261121T074500Z-a1b2").write(tmp_path)
    Stored(finish=False, run_id="20261122T074500Z-a1b2").write(tmp_path)
    lines = called("runs", "-o", tmp_path).splitlines()
    assert lines[0].startswith("20261122T074500Z-a1b2  demo: not complete, ")
    assert lines[2].startswith("20261121T074500Z-a1b2  demo: complete, ")
    assert "took 7:10" in lines[2]
    assert "1 more; --most 2 shows them" in called("runs", "-o", tmp_path, "-n", "1")
    values = json.loads(called("runs", "-o", tmp_path, "--json"))
    assert [value["state"] for value in values] == ["not complete", "complete"]
    assert values[0]["recorded"] > 0


def test_without_runs_the_folder_is_named(tmp_path):
    for command in ("runs", "status"):
        done = CliRunner().invoke(app, [command, "-o", str(tmp_path / "none")])
        assert ending_of(done.exception).code == 2
        assert "holds no run" in str(done.exception)


def test_a_damaged_plan_is_told_and_the_others_are_listed(tmp_path):
    Stored().write(tmp_path)
    damaged = Stored(run_id="20261122T074500Z-a1b2").write(tmp_path)
    (damaged / "plan.json").write_text("{")
    done = CliRunner().invoke(app, ["runs", "-o", str(tmp_path)])
    assert done.exit_code == 0
    assert "complete" in done.stdout
    assert "not readable as JSON" in done.stderr


def test_status_of_several_running_runs_shows_them_all(tmp_path, held):
    paths = []
    for name in ("a", "b"):
        with RunWriter.create(tmp_path, "lab1", name, plan_of("one")) as writer:
            paths.append(writer.path)
    held(paths[0])
    held(paths[1])
    text = called("status", "-o", tmp_path)
    assert text.count(": running, ") == 2
    assert json.loads(called("status", paths[0], "--json"))[0]["run_id"] == "a"
    assert run_folders(tmp_path) == paths[::-1]


def test_a_lock_that_is_looked_at_for_a_moment_does_not_stop_a_writer(tmp_path):
    """Somebody looks all the time, from another process."""
    with RunWriter.create(tmp_path, "lab1", "run", plan_of("one")) as writer:
        path = writer.path
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom tunebench.reports.results import is_being_written\n"
        "print(1, flush=True)\nwhile not Path(sys.argv[2]).exists():\n"
        "    is_being_written(Path(sys.argv[1]))\n    time.sleep(0.002)\n"
    )
    stop = tmp_path / "stop"
    process = subprocess.Popen([sys.executable, "-c", code, str(path), str(stop)], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        for _ in range(50):
            RunWriter.open(path).close()
    finally:
        stop.touch()
        process.wait(20)
