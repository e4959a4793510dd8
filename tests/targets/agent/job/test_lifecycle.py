"""A job runs exactly once, one at a time, for the owner of the lease."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tunebench.targets.client.board import Board
from tunebench.targets.errors import ConditionError, LinkError

SLEEPER = "import os, time; open('pid', 'w').write(str(os.getpid())); print('up'); time.sleep({})"


def workdir(board: Board) -> Path:
    return Path(board.spec.workdir)


@pytest.mark.openssh_server
def test_start_is_idempotent(board, make_job):
    job = make_job(
        program="import os, time; open('runs', 'a').write('x')\nwhile not os.path.exists('go'): time.sleep(0.02)"
    )
    assert board.start(job).state == "running"
    assert board.start(job).state == "running"
    (workdir(board) / "jobs" / "rep-1" / "out" / "go").touch()
    assert board.wait("rep-1", 10) == "done"
    assert board.start(job).state == "done"
    assert board.harvest("rep-1").files["out/runs"] == b"x"


def test_wait_tells_whether_a_job_is_unknown_running_or_done(board, make_job):
    assert board.wait("never-seen", 1) == "unknown"
    board.start(make_job(program="import time; time.sleep(0.5)"))
    assert board.wait("rep-1", 0.1) == "running"
    begin = time.monotonic()
    assert board.wait("rep-1", 10) == "done"
    assert time.monotonic() - begin < 3


def test_wait_notices_the_end_at_once(board, make_job):
    board.start(make_job(program="import time; time.sleep(0.5)"))
    assert board.wait("rep-1", 10) == "done"
    returned_ns = time.monotonic_ns()  # one machine, one clock
    ended_ns = json.loads(board.harvest("rep-1").files["exit.json"])["t_end_ns"]
    assert (returned_ns - ended_ns) / 1e9 < 0.5


@pytest.mark.slow
@pytest.mark.openssh_server
def test_a_job_outlives_its_link_and_is_harvested_over_a_new_one(proxied, make_board, make_job):
    proxy, endpoint = proxied
    board = make_board(port=endpoint.port, known_hosts=endpoint.known_hosts)
    board.start(make_job(program="import time; time.sleep(0.5); print('finished')"))
    proxy.cut()
    with pytest.raises(LinkError):
        board.wait("rep-1", 10)
    board.reconnect()
    assert board.start(make_job()).state in ("running", "done")
    assert board.wait("rep-1", 10) == "done"
    assert board.harvest("rep-1").files["log.txt"] == b"finished\n"


@pytest.mark.openssh_server
def test_a_job_outlives_its_host(make_board, make_job):
    board = make_board()
    board.start(make_job(program="import time; time.sleep(0.5); print('finished')"))
    board.close()
    again = make_board()
    assert again.wait("rep-1", 10) == "done"
    assert again.harvest("rep-1").files["log.txt"] == b"finished\n"


@pytest.mark.openssh_server
def test_a_job_whose_supervisor_died_is_lost_and_ends_too(board, make_job, is_gone, eventually):
    board.start(make_job(program=SLEEPER.format(60)))
    job_dir = workdir(board) / "jobs" / "rep-1"
    workload = int(eventually(lambda: (job_dir / "out/pid").exists() and (job_dir / "out/pid").read_text()))
    eventually(lambda: (job_dir / "log.txt").exists() and (job_dir / "log.txt").read_bytes() == b"up\n")
    supervisor = json.loads((job_dir / "supervisor.json").read_text())["pid"]
    os.kill(supervisor, signal.SIGKILL)
    assert board.wait("rep-1", 10) == "lost"
    assert is_gone(workload)
    assert board.start(make_job()).state == "lost"  # never run twice
    files = board.harvest("rep-1").files
    assert "exit.json" not in files
    assert files["log.txt"] == b"up\n"
    board.clean("rep-1")
    assert board.wait("rep-1", 1) == "unknown"


def test_a_start_that_was_cut_off_before_the_workload_can_be_repeated(board, make_job):
    job_dir = workdir(board) / "jobs" / "rep-1"
    (job_dir / "out").mkdir(parents=True)
    assert board.start(make_job()).state == "running"
    assert board.wait("rep-1", 10) == "done"


def test_clean_ends_a_running_job_and_can_be_repeated(board, make_job, is_gone, eventually):
    board.start(make_job(program=SLEEPER.format(60)))
    pid = workdir(board) / "jobs/rep-1/out/pid"
    workload = int(eventually(lambda: pid.exists() and pid.read_text()))
    board.clean("rep-1")
    assert is_gone(workload)
    assert not (workdir(board) / "jobs" / "rep-1").exists()
    assert not (workdir(board) / "lease.json").exists()
    board.clean("rep-1")


def test_a_running_job_is_not_harvested(board, make_job):
    board.start(make_job(program="import time; time.sleep(1)"))
    with pytest.raises(ConditionError, match="still runs"):
        board.harvest("rep-1")
    board.clean("rep-1")


# -- lease and gates ------------------------------------------------------------------------------

OTHER = {"user": "eve", "host": "there", "pid": 1, "token": "hers"}


@pytest.mark.openssh_server
def test_a_board_leased_to_another_is_refused_with_the_owner(board, make_job):
    run_on = make_job("hers", owner=OTHER, program="pass")
    board.start(run_on)
    board.wait("hers", 10)
    with pytest.raises(ConditionError, match="eve@there") as refusal:
        board.start(make_job("mine"))
    assert refusal.value.kind == "lease"
    board.clean("hers")
    assert board.start(make_job("mine")).state == "running"


@pytest.mark.slow
def test_an_expired_lease_and_one_of_another_boot_do_not_count(board, make_job):
    lease = workdir(board) / "lease.json"
    for change in ({"expires_boottime_s": 1.0}, {"boot_id": "an earlier boot"}):
        board.start(make_job("hers", owner=OTHER, program="pass"))
        board.wait("hers", 10)
        lease.write_text(json.dumps({**json.loads(lease.read_text()), **change}))
        assert board.start(make_job("mine", program="pass")).state == "running"
        board.wait("mine", 10)
        for rep_id in ("hers", "mine"):
            board.clean(rep_id)


def test_two_jobs_never_run_at_once_even_of_one_owner(board, make_job):
    board.start(make_job("first", program="import time; time.sleep(30)"))
    with pytest.raises(ConditionError) as refusal:
        board.start(make_job("second"))
    assert refusal.value.kind == "lease"
    board.clean("first")


def test_gates_warn_or_refuse_by_policy(board, make_job):
    gates = {"policy": "warn", "max_load_1m": -1.0, "min_disk_b": 1 << 60, "max_temp_c": None}
    warnings = board.start(make_job("warned", gates=gates)).warnings
    assert [warning.code for warning in warnings] == ["load", "disk"]
    board.wait("warned", 10)
    board.clean("warned")
    with pytest.raises(ConditionError, match="max_load_1m") as refusal:
        board.start(make_job("refused", gates={**gates, "policy": "enforce"}))
    assert refusal.value.kind == "condition"
    assert board.wait("refused", 1) == "unknown"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("argv", []),
        ("argv", "true"),
        ("deadline_s", 0),
        ("rep_id", "../up"),
        ("schema", "tunebench.job/2"),
        ("blobs", {"payload": "../../etc/passwd"}),
        ("cwd", "/"),
        ("env", {"A": 1}),
        ("unpack", {"own": "/tmp"}),
        ("sampling", {"period_s": 0}),
    ],
)
def test_a_malformed_job_is_refused_by_name(make_job, field, value):
    from tunebench.targets.agent.job import lifecycle
    from tunebench.targets.agent.workdir import AgentError

    with pytest.raises(AgentError, match=r"job|repetition") as refusal:
        lifecycle.check({**make_job(), field: value})
    assert refusal.value.kind == "job"
