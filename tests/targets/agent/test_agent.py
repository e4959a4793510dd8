"""Parts of the agent, here without a link."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import zipfile

import pytest

from tunebench.targets.agent import lease, workdir
from tunebench.targets.agent.environment import probe
from tunebench.targets.agent.health import gates
from tunebench.targets.agent.job import log as job_log
from tunebench.targets.agent.linux import processes
from tunebench.targets.agent.protocol import MAX_LOG_B
from tunebench.targets.agent.transfer import unzip
from tunebench.targets.agent.workdir import AgentError, Workdir
from tunebench.targets.errors import ReplyError
from tunebench.targets.transport.clock_offset import exchange


@pytest.fixture
def place(tmp_path):
    for name in ("blobs", "jobs"):
        (tmp_path / name).mkdir()
    return Workdir(str(tmp_path))


def test_a_lease_is_kept_renewed_by_its_owner_and_released(place):
    mine, hers = {"token": "mine"}, {"token": "hers", "user": "eve", "host": "there"}
    lease.take(place, hers, "rep-1", 30)
    with pytest.raises(AgentError, match="eve@there"):
        lease.take(place, mine, "rep-2", 30)
    lease.take(place, hers, "rep-3", 60)
    lease.ended(place, "rep-1")  # not the lease of this repetition any more
    assert lease.holder(place)["rep_id"] == "rep-3"
    lease.ended(place, "rep-3")
    assert lease.holder(place) is None
    lease.take(place, mine, "rep-2", 30)


def test_a_torn_lease_does_not_lock_the_board_for_ever(place):
    with open(place.lease, "w") as file:
        file.write('{"owner": ')
    assert lease.holder(place) is None


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = str(tmp_path / "x.json")
    workdir.write_json(path, {"a": 1}, durable=True)
    with pytest.raises(ValueError, match="JSON"):
        workdir.write_json(path, {"a": float("nan")})
    assert workdir.read_json(path) == {"a": 1}


def test_a_disk_without_room_is_not_littered_with_halves(tmp_path):
    """The limit on a file's size stands for a full disk: a write fails in the middle of the file."""
    code = (
        "import resource, signal, sys; from tunebench.targets.agent import workdir\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "workdir.write_json(sys.argv[1], {'long': 'x' * 10000})\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(workdir.__file__)))
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file.json")],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "OSError" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_half_removed_job_of_a_run_is_found_by_its_name(place, tmp_path):
    """Whoever removed it was killed when its job.json was gone already."""
    for name in ("run-1.here.0001", "run-10.here.0001", "other"):
        (tmp_path / "jobs" / name / "out").mkdir(parents=True)
    found = probe.known_jobs(place, "run-1")
    assert [(one["rep_id"], one["run_id"], one["state"]) for one in found] == [
        ("run-1.here.0001", "run-1", "lost")
    ]
    assert len(probe.known_jobs(place, None)) == 3


@pytest.mark.parametrize("size", [0, 10, MAX_LOG_B - 1, MAX_LOG_B + 1, 3 * MAX_LOG_B])
def test_captured_output_keeps_its_head_and_tail(tmp_path, size):
    reader, writer = os.pipe()
    path = tmp_path / "log.txt"
    log = job_log.Capture(str(path), reader)
    data = os.urandom(size)
    for start in range(0, size, 4096):
        os.write(writer, data[start : start + 4096])
        assert log.drain()
    os.close(writer)
    assert not log.drain()
    log.close()
    kept = path.read_bytes()
    assert len(kept) <= MAX_LOG_B
    if log.dropped_b == 0:
        assert kept == data
    else:
        assert kept[:1000] == data[:1000]
        assert kept[-job_log.TAIL_B :] == data[-job_log.TAIL_B :]
        assert f"{log.dropped_b} bytes left out".encode() in kept


def archive(tmp_path, *members) -> str:
    path = tmp_path / "own.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, b"x")
    return str(path)


def test_own_files_keep_their_folders_and_the_right_to_run(tmp_path):
    source = archive(tmp_path, ("train.py", 0o100644), ("sub/run.sh", 0o100755))
    folder = tmp_path / "src"
    folder.mkdir()
    unzip.extract(source, str(folder))
    assert os.access(folder / "sub/run.sh", os.X_OK)
    assert not (folder / "train.py").stat().st_mode & 0o111


@pytest.mark.parametrize(
    ("name", "mode"), [("/abs", 0o100644), ("../up", 0o100644), ("a/../../up", 0o100644), ("link", 0o120777)]
)
def test_own_files_that_lead_out_are_refused(tmp_path, name, mode):
    folder = tmp_path / "src"
    folder.mkdir()
    with pytest.raises(AgentError, match="plain relative"):
        unzip.extract(archive(tmp_path, (name, mode)), str(folder))
    assert list(folder.iterdir()) == []


def test_what_is_no_zip_is_refused(tmp_path):
    (tmp_path / "own.zip").write_bytes(b"no zip")
    with pytest.raises(AgentError) as refusal:
        unzip.extract(str(tmp_path / "own.zip"), str(tmp_path))
    assert refusal.value.kind == "blob"


def test_processes_are_found_by_their_job_and_by_nothing_else(tmp_path):
    import subprocess

    sleep = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    ours = subprocess.Popen(sleep, env={processes.JOB_VARIABLE: str(tmp_path)}, start_new_session=True)
    other = subprocess.Popen(sleep, env={processes.JOB_VARIABLE: str(tmp_path) + "-2"})
    try:
        deadline = time.monotonic() + 5
        while processes.of_job(str(tmp_path)) != [ours.pid] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert processes.of_job(str(tmp_path)) == [ours.pid]
        processes.kill_all(str(tmp_path), 0.2)
        assert ours.wait(5) == -9
        assert other.poll() is None
    finally:
        for child in (ours, other):
            child.kill()
            child.wait()


def test_a_gate_on_what_cannot_be_read_is_a_warning(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/loadavg").write_text("3.5 0 0 1/1 1\n")
    limits = {"policy": "enforce", "max_temp_c": 60.0, "max_load_1m": 4.0}
    conditions, warnings = gates.look(str(tmp_path), limits, root=str(tmp_path))
    assert (conditions["load_1m"], conditions["temp_c"]) == (3.5, None)
    assert [warning["code"] for warning in warnings] == ["unjudged"]
    with pytest.raises(AgentError, match=r"load: load_1m is 3\.5"):
        gates.look(str(tmp_path), {**limits, "max_load_1m": 3.0}, root=str(tmp_path))


class SimulatedBoard:
    """Answers pings from a clock that is ``ahead_s`` ahead, after the given delays."""

    def __init__(self, ahead_s: float, delays_s: list[tuple[float, float]]) -> None:
        self._ahead_ns = int(ahead_s * 1e9)
        self._delays_s = delays_s
        self._reply: dict = {}

    def send_message(self, message: dict) -> None:
        there_s, self._back_s = self._delays_s[message["ping"]]
        time.sleep(there_s)
        self._reply = {"pong": message["ping"], "t_ns": time.monotonic_ns() + self._ahead_ns}

    def read_message(self, timeout_s: float) -> dict:
        time.sleep(self._back_s)
        return self._reply


def test_the_exchange_with_the_shortest_round_trip_bounds_the_offset():
    board = SimulatedBoard(100.0, [(0.05, 0.001), (0.002, 0.002), (0.001, 0.06)])
    offset = exchange(board, 3)
    assert abs(offset.offset_s + 100.0) <= offset.bound_s
    assert offset.bound_s < 0.02


def test_a_pong_to_another_ping_is_refused():
    class Confused(SimulatedBoard):
        def read_message(self, timeout_s: float) -> dict:
            return {"pong": 7, "t_ns": 1}

    with pytest.raises(ReplyError, match="pong"):
        exchange(Confused(0, [(0, 0)]), 1)


def test_requests_are_answered_line_by_line(monkeypatch):
    from tunebench.targets.agent import cli

    class Stream:
        def __init__(self, data: bytes = b"") -> None:
            self.buffer = io.BytesIO(data)

    monkeypatch.setattr(sys, "stdin", Stream(b'@tb1 {"ping": 3}\n{"harvest": true}\n{"odd": 1}\n'))
    monkeypatch.setattr(sys, "stdout", Stream())
    assert cli._request("harvest") is True
    assert b'"pong": 3' in sys.stdout.buffer.getvalue()
    with pytest.raises(AgentError, match="expected a ping or 'job'"):
        cli._request("job")
    with pytest.raises(AgentError, match="ended"):
        cli._request("job")
