"""The way of a repetition on a board: sync, probe, start, wait, harvest, clean."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from targets.agent import protocol
from targets.board import Board
from targets.connection import BoardSpec
from targets.errors import (
    BlobError,
    ConditionError,
    InterpreterError,
    LinkError,
    ReplyError,
    TargetError,
    WorkdirError,
)
from targets.payload import Blob

SLEEPER = "import os, time; open('pid', 'w').write(str(os.getpid())); print('up'); time.sleep({})"


def run(board: Board, job: dict, timeout_s: float = 15.0) -> tuple[dict, dict[str, bytes]]:
    """Start, wait, harvest, clean; returns the exit record and the files."""
    board.start(job)
    assert board.wait(job["rep_id"], timeout_s) == "done"
    files = board.harvest(job["rep_id"]).files
    board.clean(job["rep_id"])
    return json.loads(files["exit.json"]), files


def workdir(board: Board) -> Path:
    return Path(board.spec.workdir)


def eventually(condition, within_s: float = 5.0):
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value


# -- the straight way -----------------------------------------------------------------------------


@pytest.mark.every_server
def test_a_job_runs_and_its_files_come_back_verified(board, make_job):
    program = "import os; print('out'); open('result.json', 'w').write('{}'); os.write(2, b'err')"
    record, files = run(board, make_job(program=program))
    assert record["outcome"] == "ok"
    assert (record["returncode"], record["signal"], record["reason"]) == (0, None, None)
    assert files["out/result.json"] == b"{}"
    assert files["log.txt"] == b"out\nerr"
    assert record["process_s"] == (record["t_end_ns"] - record["t_start_ns"]) / 1e9 > 0
    assert set(record["files"]) == set(files) - {"exit.json"}


@pytest.mark.every_server
def test_a_repetition_takes_four_channels(board, make_job):
    before = board.ssh.channels_opened
    run(board, make_job())
    assert board.ssh.channels_opened - before == 4


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.every_server
def test_the_host_adds_less_than_a_second(board, make_job):
    run(board, make_job("warm-up"))
    begin = time.monotonic()
    record, _ = run(board, make_job(program="import time; time.sleep(0.3)"))
    assert time.monotonic() - begin - record["process_s"] < 1.5


def test_the_job_finds_its_payload_its_folder_and_its_environment(board, make_job):
    program = "import json, os, sys; print(json.dumps([os.environ[n] for n in sys.argv[1:]] + [os.getcwd()]))"
    job = make_job(env={"OMP_NUM_THREADS": "1"})
    job["argv"] = [sys.executable, "-c", program, "PYTHONPATH", "TUNEBENCH_JOB", "OMP_NUM_THREADS"]
    _, files = run(board, job)
    path, job_dir, threads, cwd = json.loads(files["log.txt"])
    assert path.split(os.pathsep)[0].endswith(job["blobs"]["payload"])
    assert job_dir == str(workdir(board) / "jobs" / "rep-1")
    assert (threads, cwd) == ("1", job_dir + "/out")
    assert json.loads(files["job.json"])["paths"]["job"] == job_dir


def test_the_payload_can_be_imported_from_by_a_job(board, make_job):
    _, files = run(board, make_job(program="from targets.agent import protocol; print(protocol.SENTINEL)"))
    assert files["log.txt"].decode() == protocol.SENTINEL + "\n"


def test_own_files_are_unpacked_and_stay_on_the_board(board, make_job):
    from targets.payload import deterministic_zip

    own = Blob.of_bytes(
        deterministic_zip({"mine.py": b"print('my own')", "sub/data.txt": b"x"}), ".zip", "own"
    )
    board.sync([own])
    job = make_job(unpack={"own": "src"}, cwd="src", argv=[sys.executable, "mine.py"])
    job["blobs"]["own"] = own.name
    _, files = run(board, job)
    assert files["log.txt"] == b"my own\n"
    assert not [name for name in files if name.startswith("src")]


@pytest.mark.slow
def test_the_samples_follow_the_header_and_the_clock(board, make_job):
    record, files = run(board, make_job(program="x = bytearray(30_000_000); import time; time.sleep(0.5)"))
    header, *rows = [json.loads(line) for line in files["samples.jsonl"].decode().splitlines()]
    assert protocol.check_schema(header, protocol.SAMPLES_SCHEMA, "samples")["period_s"] == 0.05
    channels = [channel["id"] for channel in header["channels"]]
    assert {"rss_b", "load_1m", "mem_available_b"} <= set(channels)
    assert all(len(row) == 1 + len(channels) for row in rows)
    times = [row[0] for row in rows]
    assert times == sorted(times)
    assert record["t_start_ns"] <= times[0]
    assert times[-1] >= record["t_end_ns"] - 0.2e9
    assert record["sampler"]["n"] == len(rows) > 5
    assert 0 < record["sampler"]["cpu_s"] < record["process_s"]
    assert record["peak_rss_b"] > 30_000_000
    assert max(row[1 + channels.index("rss_b")] or 0 for row in rows) <= record["peak_rss_b"]


def test_what_cannot_be_read_is_null_with_what_was_looked_for(board, make_job):
    record, files = run(board, make_job())
    channels = {c["id"] for c in json.loads(files["samples.jsonl"].decode().splitlines()[0])["channels"]}
    kinds = {"cpu_temp_c": ("temp_c", "temp_max_c"), "cpu_freq_hz": ("freq_hz", "freq_max_hz")}
    for channel, (quantity, condition) in kinds.items():
        assert (record["conditions"][condition] is None) == (channel not in channels)
        assert ("looked for" in record["missing"].get(quantity, "")) == (channel not in channels)
    has_power = any(name.endswith("_w") for name in channels)
    assert bool(record["missing"].get("power")) != has_power


def test_the_journal_is_numbered_and_in_order(board, make_job):
    _, files = run(board, make_job())
    lines = [json.loads(line) for line in files["journal.jsonl"].decode().splitlines()]
    assert [line["seq"] for line in lines] == list(range(len(lines)))
    assert [line["event"] for line in lines] == ["supervised", "spawned", "ended", "done"]
    assert [line["t_ns"] for line in lines] == sorted(line["t_ns"] for line in lines)


def test_the_clocks_of_one_machine_agree_within_the_bound(board, make_job):
    reply = board.start(make_job())
    assert abs(reply.offset.offset_s) <= reply.offset.bound_s < 0.05


# -- sync -----------------------------------------------------------------------------------------


@pytest.mark.every_server
def test_a_second_sync_uploads_nothing(board, payload):
    data = Blob.of_bytes(os.urandom(2_000_000), ".tbx", "data")
    first = board.sync([payload, data])
    assert (first.uploaded_b, first.uploaded_names, first.present_names) == (
        2_000_000,
        (data.name,),
        (payload.name,),
    )
    second = board.sync([payload, data])
    assert (second.uploaded_b, second.uploaded_names) == (0, ())
    assert (workdir(board) / "blobs" / data.name).read_bytes() == data.data


@pytest.mark.every_server
def test_a_corrupted_blob_is_uploaded_again(board):
    data = Blob.of_bytes(b"precious" * 1000, ".tbx")
    board.sync([data])
    stored = workdir(board) / "blobs" / data.name
    stored.write_bytes(b"precioux" * 1000)
    assert board.sync([data]).uploaded_names == (data.name,)
    assert stored.read_bytes() == data.data


@pytest.mark.every_server
def test_an_upload_that_does_not_match_its_hash_is_refused(board):
    lie = Blob("a" * 64 + ".tbx", "a" * 64, data=b"something else")
    with pytest.raises(BlobError, match="arrived with SHA-256"):
        board.sync([lie])
    assert not list((workdir(board) / "blobs").glob("a*"))


def test_a_blob_from_a_file_arrives(board, tmp_path):
    path = tmp_path / "weights.tbx"
    path.write_bytes(b"w" * 5000)
    blob = Blob.of_file(path)
    assert board.sync([blob]).uploaded_b == 5000
    assert (workdir(board) / "blobs" / blob.name).read_bytes() == b"w" * 5000


def test_the_working_directory_is_private(board):
    assert workdir(board).stat().st_mode & 0o777 == 0o700


def test_an_unwritable_working_directory_is_a_workdir_error(make_board, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WorkdirError, match="file"):
        make_board(workdir=str(tmp_path / "file"))


def test_a_board_without_room_is_a_workdir_error(board):
    class Huge(Blob):
        size_b = 1 << 60

    with pytest.raises(WorkdirError, match=r"bytes free, \d+ needed"):
        board.sync([Huge("c" * 64 + ".tbx", "c" * 64, data=b"")])


@pytest.mark.every_server
@pytest.mark.parametrize(
    ("python", "said"), [("/no/such/python3", "no/such"), ("/bin/false", "does not run")]
)
def test_a_missing_python_is_an_interpreter_error(make_board, python, said):
    with pytest.raises(InterpreterError, match=said):
        make_board(python=python)


def test_an_agent_command_before_a_sync_is_our_own_fault(endpoint):
    spec = BoardSpec(
        id="b",
        host=endpoint.host,
        user=endpoint.user,
        port=endpoint.port,
        key_file=endpoint.key_file,
        known_hosts=endpoint.known_hosts,
        ssh_config="",
    )
    with Board(spec) as board, pytest.raises(TargetError, match="sync"):
        board.wait("rep-1", 1)


def test_a_job_without_its_blob_is_to_be_synced_again(board, make_job):
    job = make_job()
    job["blobs"]["data"] = "b" * 64 + ".tbx"
    with pytest.raises(BlobError, match="not on the board"):
        board.start(job)
    assert issubclass(BlobError, LinkError)


# -- probe ----------------------------------------------------------------------------------------


def test_a_probe_tells_what_the_board_is(board, make_job):
    board.start(make_job(program="pass"))
    board.wait("rep-1", 10)
    found = board.probe([[sys.executable, "-S"], ["/no/such/python3"], ["/bin/false"]], run_id="run-1")
    assert found["fingerprint"]["os"]["kernel"] == os.uname().release
    assert found["fingerprint"]["hardware"]["cores"] == os.cpu_count()
    assert found["mem_total_b"] > found["mem_available_b"] > 0
    this, absent, broken = found["interpreters"]
    assert (this["ok"], this["python"]) == (True, ".".join(map(str, sys.version_info[:3])))
    assert (this["torch"] is None) == bool(this["reason"])
    assert (absent["ok"], broken["ok"]) == (False, False)
    assert "cannot start /no/such/python3" in absent["reason"]
    assert "exit status 1" in broken["reason"]
    assert found["jobs"] == [{"rep_id": "rep-1", "run_id": "run-1", "state": "done"}]
    assert board.probe(run_id="another")["jobs"] == []


def test_an_interpreter_killed_by_sigill_says_so(board, tmp_path):
    fake = tmp_path / "python3"
    fake.write_text('#!/bin/sh\necho \'{"python": "3.9.2", "torch": null, "cuda": false}\'\nkill -ILL $$\n')
    fake.chmod(0o755)
    (answer,) = board.probe([[str(fake)]])["interpreters"]
    assert "SIGILL" in answer["reason"]
    assert answer["torch"] is None


# -- how a job can end ----------------------------------------------------------------------------


def test_a_failing_workload_is_an_outcome_with_its_last_words(board, make_job):
    record, files = run(board, make_job(program="raise ValueError('no such luck')"))
    assert (record["outcome"], record["returncode"]) == ("failed", 1)
    assert record["reason"] == "exit status 1: ValueError: no such luck"
    assert b"Traceback" in files["log.txt"]


def test_a_workload_that_cannot_start_is_an_outcome(board, make_job):
    record, _ = run(board, make_job(argv=["/no/such/python3"]))
    assert (record["outcome"], record["returncode"]) == ("failed", None)
    assert "/no/such/python3" in record["reason"]


@pytest.mark.every_server
def test_a_workload_killed_by_a_signal_is_an_outcome(board, make_job):
    record, _ = run(board, make_job(program="import os; os.kill(os.getpid(), 11)"))
    assert (record["outcome"], record["signal"], record["returncode"]) == ("killed", 11, None)
    assert "SIGSEGV" in record["reason"]


def test_running_out_of_memory_inside_is_an_outcome(board, make_job):
    record, _ = run(board, make_job(program="bytearray(1 << 60)"))
    assert record["outcome"] == "oom"


@pytest.mark.every_server
def test_the_board_enforces_the_deadline_and_leaves_no_process(board, make_job, is_gone):
    # ignores SIGTERM, and has a child that left its group and session
    program = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(99)'],"
        " start_new_session=True)\n"
        "open('pids', 'w').write('%d %d' % (os.getpid(), child.pid))\n"
        "time.sleep(99)\n"
    )
    record, files = run(board, make_job(program=program, deadline_s=0.5))
    assert record["outcome"] == "deadline"
    assert "0.5 s" in record["reason"]
    assert 0.5 <= record["process_s"] < 5
    assert all(is_gone(int(pid)) for pid in files["out/pids"].split())


def test_what_a_workload_leaves_running_is_ended_with_it(board, make_job, is_gone):
    program = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; "
        "time.sleep(99)']); open('pid', 'w').write(str(child.pid))"
    )
    record, files = run(board, make_job(program=program))
    assert record["outcome"] == "ok"
    assert is_gone(int(files["out/pid"]))


@pytest.mark.every_server
def test_the_log_is_capped_and_keeps_both_ends(board, make_job):
    program = "print('first')\nfor _ in range(4000): print('x' * 999)\nprint('last')"
    record, files = run(board, make_job(program=program))
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
    assert {each["name"] for each in harvest.left_out} == {"out/huge"}
    assert "out/huge" not in harvest.files
    assert "file-left-out" in [w["code"] for w in json.loads(harvest.files["exit.json"])["warnings"]]


def test_a_link_in_the_output_is_not_followed(board, make_job):
    _, files = run(board, make_job(program="import os; os.symlink('/etc/passwd', 'link')"))
    assert "out/link" not in files


# -- once and only once ---------------------------------------------------------------------------


@pytest.mark.every_server
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


def test_wait_tells_what_it_finds(board, make_job):
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
@pytest.mark.every_server
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


@pytest.mark.every_server
def test_a_job_outlives_its_host(make_board, make_job):
    board = make_board()
    board.start(make_job(program="import time; time.sleep(0.5); print('finished')"))
    board.close()
    again = make_board()
    assert again.wait("rep-1", 10) == "done"
    assert again.harvest("rep-1").files["log.txt"] == b"finished\n"


@pytest.mark.every_server
def test_a_job_whose_supervisor_died_is_lost_and_ends_too(board, make_job, is_gone):
    board.start(make_job(program=SLEEPER.format(60)))
    job_dir = workdir(board) / "jobs" / "rep-1"
    workload = int(eventually(lambda: (job_dir / "out/pid").exists() and (job_dir / "out/pid").read_text()))
    eventually(lambda: (job_dir / "log.txt").exists() and (job_dir / "log.txt").read_bytes())
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


def test_a_start_that_was_cut_off_before_the_workload_is_made_good(board, make_job):
    job_dir = workdir(board) / "jobs" / "rep-1"
    (job_dir / "out").mkdir(parents=True)
    assert board.start(make_job()).state == "running"
    assert board.wait("rep-1", 10) == "done"


def test_clean_ends_a_running_job_and_can_be_repeated(board, make_job, is_gone):
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


@pytest.mark.every_server
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
        for each in ("hers", "mine"):
            board.clean(each)


def test_two_jobs_never_run_at_once_even_of_one_owner(board, make_job):
    board.start(make_job("first", program="import time; time.sleep(30)"))
    with pytest.raises(ConditionError) as refusal:
        board.start(make_job("second"))
    assert refusal.value.kind == "lease"
    board.clean("first")


def test_gates_warn_or_refuse_by_policy(board, make_job):
    gates = {"policy": "warn", "max_load_1m": -1.0, "min_disk_b": 1 << 60, "max_temp_c": None}
    warnings = board.start(make_job("warned", gates=gates)).warnings
    assert [warning["code"] for warning in warnings] == ["load", "disk"]
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
    from targets.agent import jobs
    from targets.agent.workdir import AgentError

    with pytest.raises(AgentError, match=r"job|repetition") as refusal:
        jobs.check({**make_job(), field: value})
    assert refusal.value.kind == "job"


# -- a board that lies ----------------------------------------------------------------------------


@pytest.mark.every_server
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


# -- old Pythons, loopback boards -----------------------------------------------------------------


@pytest.mark.every_server
def test_the_agent_runs_under_python_3_6(make_board, make_job, python36):
    board = make_board(python=python36)
    assert board.probe([[python36]])["interpreters"][0]["python"].startswith("3.6.")
    program = "from targets.agent import protocol; import sys; print(sys.version_info[:2])"
    record, files = run(board, make_job(argv=[python36, "-c", program]))
    assert (record["outcome"], files["log.txt"]) == ("ok", b"(3, 6)\n")
    board.start(make_job("late", argv=[python36, "-c", "import time; time.sleep(9)"], deadline_s=0.3))
    assert board.wait("late", 10) == "done"
    assert json.loads(board.harvest("late").files["exit.json"])["outcome"] == "deadline"


def test_a_loopback_board_starts_its_own_server(tmp_path, payload, make_job):
    spec = BoardSpec(id="here", kind="loopback", python=sys.executable, workdir=str(tmp_path / "w"))
    with Board(spec) as board:
        assert board.sync([payload]).uploaded_b == payload.size_b
        record, _ = run(board, make_job())
        assert record["outcome"] == "ok"
        board.reconnect()
        assert board.wait("rep-1", 1) == "unknown"


def test_two_loopback_boards_of_one_machine_do_not_share_a_working_directory(payload, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = BoardSpec(id="one", kind="loopback", python=sys.executable)
    with Board(spec) as one, Board(dataclasses.replace(spec, id="two")) as two:
        assert one.sync([payload]).uploaded_b > 0
        assert two.sync([payload]).uploaded_b > 0
