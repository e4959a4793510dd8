"""The steps of a repetition on a board: probe, start, wait, harvest, clean; old Pythons and loopback boards."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import pytest

from tunebench.targets.agent import protocol
from tunebench.targets.agent.environment import probe
from tunebench.targets.agent.workdir import Workdir
from tunebench.targets.client.board import Board
from tunebench.targets.client.connection import BoardSpec
from tunebench.targets.client.replies import read_probe
from tunebench.targets.payload import Blob


def workdir(board: Board) -> Path:
    return Path(board.spec.workdir)


# -- the straight way -----------------------------------------------------------------------------


@pytest.mark.every_server
def test_a_job_runs_and_its_files_come_back_verified(board, make_job, run_job):
    program = "import os; print('out'); open('result.json', 'w').write('{}'); os.write(2, b'err')"
    record, files = run_job(board, make_job(program=program))
    assert record["outcome"] == "ok"
    assert (record["returncode"], record["signal"], record["reason"]) == (0, None, None)
    assert files["out/result.json"] == b"{}"
    assert files["log.txt"] == b"out\nerr"
    assert record["process_s"] == (record["t_end_ns"] - record["t_start_ns"]) / 1e9 > 0
    assert set(record["files"]) == set(files) - {"exit.json"}


@pytest.mark.every_server
def test_a_repetition_takes_four_channels(board, make_job, run_job):
    before = board.ssh.channels_opened
    run_job(board, make_job())
    assert board.ssh.channels_opened - before == 4


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.openssh_server
def test_the_host_adds_less_than_a_second(board, make_job, run_job):
    run_job(board, make_job("warm-up"))
    begin = time.monotonic()
    record, _ = run_job(board, make_job(program="import time; time.sleep(0.3)"))
    assert time.monotonic() - begin - record["process_s"] < 1.5


def test_the_job_finds_its_payload_its_folder_and_its_environment(board, make_job, run_job):
    program = "import json, os, sys; print(json.dumps([os.environ[n] for n in sys.argv[1:]] + [os.getcwd()]))"
    job = make_job(env={"OMP_NUM_THREADS": "1"})
    job["argv"] = [sys.executable, "-c", program, "PYTHONPATH", "TUNEBENCH_JOB", "OMP_NUM_THREADS"]
    _, files = run_job(board, job)
    path, job_dir, threads, cwd = json.loads(files["log.txt"])
    assert path.split(os.pathsep)[0].endswith(job["blobs"]["payload"])
    assert job_dir == str(workdir(board) / "jobs" / "rep-1")
    assert (threads, cwd) == ("1", job_dir + "/out")
    assert json.loads(files["job.json"])["paths"]["job"] == job_dir


def test_the_payload_can_be_imported_from_by_a_job(board, make_job, run_job):
    _, files = run_job(
        board, make_job(program="from tunebench.targets.agent import protocol; print(protocol.SENTINEL)")
    )
    assert files["log.txt"].decode() == protocol.SENTINEL + "\n"


def test_own_files_are_unpacked_and_stay_on_the_board(board, make_job, run_job):
    from tunebench.targets.payload import deterministic_zip

    own = Blob.of_bytes(
        deterministic_zip({"mine.py": b"print('my own')", "sub/data.txt": b"x"}), ".zip", "own"
    )
    board.sync([own])
    job = make_job(unpack={"own": "src"}, cwd="src", argv=[sys.executable, "mine.py"])
    job["blobs"]["own"] = own.name
    _, files = run_job(board, job)
    assert files["log.txt"] == b"my own\n"
    assert not [name for name in files if name.startswith("src")]


@pytest.mark.slow
def test_the_samples_follow_the_header_and_the_clock(board, make_job, run_job):
    record, files = run_job(
        board, make_job(program="x = bytearray(30_000_000); import time; time.sleep(0.5)")
    )
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


def test_what_cannot_be_read_is_null_with_what_was_looked_for(board, make_job, run_job):
    record, files = run_job(board, make_job())
    channels = {c["id"] for c in json.loads(files["samples.jsonl"].decode().splitlines()[0])["channels"]}
    kinds = {"cpu_temp_c": ("temp_c", "temp_max_c"), "cpu_freq_hz": ("freq_hz", "freq_max_hz")}
    for channel, (quantity, condition) in kinds.items():
        assert (record["conditions"][condition] is None) == (channel not in channels)
        assert ("looked for" in record["missing"].get(quantity, "")) == (channel not in channels)
    has_power = any(name.endswith("_w") for name in channels)
    assert bool(record["missing"].get("power")) != has_power


def test_the_journal_is_numbered_and_in_order(board, make_job, run_job):
    _, files = run_job(board, make_job())
    lines = [json.loads(line) for line in files["journal.jsonl"].decode().splitlines()]
    assert [line["seq"] for line in lines] == list(range(len(lines)))
    assert [line["event"] for line in lines] == ["supervised", "spawned", "ended", "done"]
    assert [line["t_ns"] for line in lines] == sorted(line["t_ns"] for line in lines)


def test_the_clocks_of_one_machine_agree_within_the_bound(board, make_job):
    reply = board.start(make_job())
    assert abs(reply.offset.offset_s) <= reply.offset.bound_s < 0.05


# -- probe ----------------------------------------------------------------------------------------


def test_a_probe_tells_what_the_board_is(board, make_job):
    board.start(make_job(program="pass"))
    board.wait("rep-1", 10)
    reply = board.probe([[sys.executable, "-S"], ["/no/such/python3"], ["/bin/false"]], run_id="run-1")
    assert reply.fingerprint["os"]["kernel"] == os.uname().release
    assert reply.hardware["cores"] == os.cpu_count()
    assert reply.mem_total_b > reply.mem_available_b > 0
    this, absent, broken = reply.interpreters
    assert (this.ok, this.python) == (True, ".".join(map(str, sys.version_info[:3])))
    assert (this.torch is None) == bool(this.reason)
    assert (absent.ok, broken.ok) == (False, False)
    assert "cannot start /no/such/python3" in absent.reason
    assert "exit status 1" in broken.reason
    assert [job.stored() for job in reply.jobs] == [{"rep_id": "rep-1", "run_id": "run-1", "state": "done"}]
    assert board.probe(run_id="another").jobs == []


def test_a_probe_gives_back_what_the_agent_sent_in_its_order(tmp_path):
    """What is stored of a probe is the same, byte for byte, as if it had never been turned into objects."""
    place = Workdir(str(tmp_path))
    sent = json.loads(json.dumps(probe.probe(place, {"interpreters": [[sys.executable, "-S"]]})))
    read = read_probe(sent, 1)
    stored = read.stored()
    assert set(stored) <= set(sent)
    for name in (
        "fingerprint",
        "fingerprint_sha256",
        "missing",
        "interpreters",
        "channels",
        "swaps",
        "lease",
        "jobs",
    ):
        assert json.dumps(stored[name]) == json.dumps(sent[name]), name


def test_an_interpreter_killed_by_sigill_says_so(board, tmp_path):
    fake = tmp_path / "python3"
    fake.write_text('#!/bin/sh\necho \'{"python": "3.9.2", "torch": null, "cuda": false}\'\nkill -ILL $$\n')
    fake.chmod(0o755)
    (interpreter,) = board.probe([[str(fake)]]).interpreters
    assert "SIGILL" in interpreter.reason
    assert interpreter.torch is None


# -- old Pythons, loopback boards -----------------------------------------------------------------


@pytest.mark.openssh_server
def test_the_agent_runs_under_python_3_6(make_board, make_job, python36, run_job):
    board = make_board(python=python36)
    assert board.probe([[python36]]).interpreters[0].python.startswith("3.6.")
    program = "from tunebench.targets.agent import protocol; import sys; print(sys.version_info[:2])"
    record, files = run_job(board, make_job(argv=[python36, "-c", program]))
    assert (record["outcome"], files["log.txt"]) == ("ok", b"(3, 6)\n")
    board.start(make_job("late", argv=[python36, "-c", "import time; time.sleep(9)"], deadline_s=0.3))
    assert board.wait("late", 10) == "done"
    assert json.loads(board.harvest("late").files["exit.json"])["outcome"] == "deadline"


def test_a_loopback_board_starts_its_own_server(tmp_path, payload, make_job, run_job):
    spec = BoardSpec(id="here", kind="loopback", python=sys.executable, workdir=str(tmp_path / "w"))
    with Board(spec) as board:
        assert board.sync([payload]).uploaded_b == payload.size_b
        record, _ = run_job(board, make_job())
        assert record["outcome"] == "ok"
        board.reconnect()
        assert board.wait("rep-1", 1) == "unknown"


def test_two_loopback_boards_of_one_machine_do_not_share_a_working_directory(payload, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = BoardSpec(id="one", kind="loopback", python=sys.executable)
    with Board(spec) as first, Board(dataclasses.replace(spec, id="two")) as second:
        assert first.sync([payload]).uploaded_b > 0
        assert second.sync([payload]).uploaded_b > 0


def test_files_in_the_home_folder_that_are_called_like_pythons_own_do_not_matter(
    tmp_path, monkeypatch, make_board, make_job, run_job
):
    """random.py, json.py, ...: commands start in the home folder, where Python looks first unless told not to."""
    home = tmp_path / "home"
    home.mkdir()
    for name in (
        "random",
        "queue",
        "json",
        "types",
        "struct",
        "hashlib",
        "zlib",
        "encodings",
        "typing",
        "ctypes",
    ):
        (home / f"{name}.py").write_text("raise RuntimeError('a file of the user was imported')\n")
    monkeypatch.setenv("HOME", str(home))
    board = make_board()
    assert board.ssh.run(["pwd"]).stdout.decode().strip() == str(home)
    probe = board.probe([[sys.executable]])
    assert probe.interpreters[0].ok, probe.interpreters[0].reason
    assert board.venv_facts([sys.executable], "cpu").python.venv
    record, _ = run_job(board, make_job(program="import json, random, queue; print('fine')"))
    assert record["outcome"] == "ok", record["reason"]
