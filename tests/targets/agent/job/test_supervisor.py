"""How a job can end on a board, and what is kept of what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunebench.targets.agent import protocol
from tunebench.targets.agent.linux import perf_events
from tunebench.targets.client.board import Board
from tunebench.targets.errors import ReplyError


def workdir(board: Board) -> Path:
    return Path(board.spec.workdir)


def test_a_failing_workload_is_an_outcome_with_its_last_words(board, make_job, run_job):
    record, files = run_job(board, make_job(program="raise ValueError('no such luck')"))
    assert (record["outcome"], record["returncode"]) == ("failed", 1)
    assert record["reason"] == "exit status 1: ValueError: no such luck"
    assert b"Traceback" in files["log.txt"]


def test_a_workload_that_cannot_start_is_an_outcome(board, make_job, run_job):
    record, _ = run_job(board, make_job(argv=["/no/such/python3"]))
    assert (record["outcome"], record["returncode"]) == ("failed", None)
    assert "/no/such/python3" in record["reason"]


@pytest.mark.openssh_server
def test_a_workload_killed_by_a_signal_is_an_outcome(board, make_job, run_job):
    record, _ = run_job(board, make_job(program="import os; os.kill(os.getpid(), 11)"))
    assert (record["outcome"], record["signal"], record["returncode"]) == ("killed", 11, None)
    assert "SIGSEGV" in record["reason"]


def test_running_out_of_memory_inside_is_an_outcome(board, make_job, run_job):
    record, _ = run_job(board, make_job(program="bytearray(1 << 60)"))
    assert record["outcome"] == "oom"


@pytest.mark.openssh_server
def test_the_board_enforces_the_deadline_and_leaves_no_process(board, make_job, is_gone, run_job):
    # ignores SIGTERM, and has a child that left its group and session
    program = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(99)'],"
        " start_new_session=True)\n"
        "open('pids', 'w').write('%d %d' % (os.getpid(), child.pid))\n"
        "time.sleep(99)\n"
    )
    record, files = run_job(board, make_job(program=program, deadline_s=0.5))
    assert record["outcome"] == "deadline"
    assert "0.5 s" in record["reason"]
    assert 0.5 <= record["process_s"] < 5
    assert all(is_gone(int(pid)) for pid in files["out/pids"].split())


def test_what_a_workload_leaves_running_is_ended_with_it(board, make_job, is_gone, run_job):
    program = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; "
        "time.sleep(99)']); open('pid', 'w').write(str(child.pid))"
    )
    record, files = run_job(board, make_job(program=program))
    assert record["outcome"] == "ok"
    assert is_gone(int(files["out/pid"]))


@pytest.mark.openssh_server
def test_the_log_is_capped_and_keeps_both_ends(board, make_job, run_job):
    program = "print('first')\nfor _ in range(4000): print('x' * 999)\nprint('last')"
    record, files = run_job(board, make_job(program=program))
    log = files["log.txt"]
    assert len(log) <= protocol.MAX_LOG_B
    assert log.startswith(b"first\n")
    assert log.endswith(b"last\n")
    assert b"bytes left out" in log
    assert [warning["code"] for warning in record["warnings"]] == ["log-truncated"]


def test_a_file_that_is_too_large_stays_and_is_named(board, make_job):
    program = f"open('huge', 'wb').truncate({protocol.MAX_FILE_B + 1}); import os; os.symlink('/etc', 'link')"
    board.start(make_job(program=program))
    board.wait("rep-1", 10)
    harvest = board.harvest("rep-1")
    assert {file.name for file in harvest.left_out} == {"out/huge"}
    assert "out/huge" not in harvest.files
    assert "file-left-out" in [w["code"] for w in json.loads(harvest.files["exit.json"])["warnings"]]


def test_a_link_in_the_output_is_not_followed(board, make_job, run_job):
    _, files = run_job(board, make_job(program="import os; os.symlink('/etc/passwd', 'link')"))
    assert "out/link" not in files


# -- a board that lies ----------------------------------------------------------------------------


@pytest.mark.openssh_server
def test_files_changed_after_the_end_are_noticed(board, make_job):
    board.start(make_job(program="open('result.json', 'w').write('{}')"))
    board.wait("rep-1", 10)
    (workdir(board) / "jobs/rep-1/out/result.json").write_text('{"accuracy": 1.0}')
    with pytest.raises(ReplyError, match=r"out/result\.json.*hash"):
        board.harvest("rep-1")


def test_a_file_gone_after_the_end_is_noticed(board, make_job):
    board.start(make_job(program="open('result.json', 'w').write('{}')"))
    board.wait("rep-1", 10)
    (workdir(board) / "jobs/rep-1/out/result.json").unlink()
    with pytest.raises(ReplyError, match=r"out/result\.json.*did not come"):
        board.harvest("rep-1")


def test_a_workload_has_counters_or_its_record_says_why_not(board, make_job, run_job):
    """What the agent finds when it tries is what the workload is given."""
    program = (
        "import json, os, sys\n"
        "told = json.loads(os.environ.get('TUNEBENCH_PMU', '{\"files\": []}'))\n"
        "print('PMU', json.dumps([[name, os.readlink('/proc/self/fd/%d' % file)] for name, file in told['files']]))\n"
    )
    record, files = run_job(board, make_job(program=program))
    line = next(line for line in files["log.txt"].decode().splitlines() if line.startswith("PMU "))
    able, missing = perf_events.tried()
    given = json.loads(line[4:])
    assert [name for name, _ in given] == [event.name for event in able]
    assert all("perf_event" in target for _, target in given)
    told = {name: record["missing"][name] for name in missing}
    assert told == missing
