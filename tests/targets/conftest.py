"""Real SSH servers on loopback ports, boards on them, and a link that can be frozen and cut."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import asyncssh
import pytest

from tests.sshd import quick_server
from tunebench.targets.client.board import Board
from tunebench.targets.client.connection import BoardSpec
from tunebench.targets.payload import make_payload
from tunebench.targets.transport.endpoint import Endpoint, Timeouts
from tunebench.targets.virtual import dropbear, tinyssh
from tunebench.targets.virtual.loopback import LoopbackServer
from tunebench.targets.virtual.openssh import find_sshd

SHORT = Timeouts(connect_s=3.0, banner_s=3.0, auth_s=5.0, channel_s=3.0, command_s=10.0)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory):
    if find_sshd() is None:
        pytest.skip("no sshd on this machine: install openssh-server")
    with quick_server(tmp_path_factory.mktemp("sshd"), SHORT) as server:
        yield server


@pytest.fixture(scope="session")
def dropbear_server(tmp_path_factory):
    if (missing := dropbear.what_is_missing()) is not None:
        pytest.skip(missing)
    with dropbear.DropbearServer(tmp_path_factory.mktemp("dropbear"), SHORT) as server:
        yield server


@pytest.fixture(scope="session")
def tinyssh_server(tmp_path_factory):
    if (missing := tinyssh.what_is_missing()) is not None:
        pytest.skip(missing)
    with tinyssh.TinySshServer(tmp_path_factory.mktemp("tinyssh"), SHORT) as server:
        yield server


@pytest.fixture(scope="session")
def loopback():
    with LoopbackServer(SHORT) as server:
        yield server


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "openssh_server: runs over our own SSH server and OpenSSH's, by both transports",
    )
    config.addinivalue_line(
        "markers",
        "every_server: as openssh_server, and over dropbear and TinySSH, by each transport that speaks it",
    )


#: Server, and by which transport. TinySSH speaks nothing that paramiko speaks.
WAYS = {
    "loopback": ("loopback", "paramiko"),
    "openssh": ("sshd", "paramiko"),
    "openssh-by-ssh": ("sshd", "openssh"),
    "dropbear": ("dropbear_server", "paramiko"),
    "dropbear-by-ssh": ("dropbear_server", "openssh"),
    "tinyssh-by-ssh": ("tinyssh_server", "openssh"),
}


def pytest_generate_tests(metafunc):
    if "endpoint" in metafunc.fixturenames:
        marks = {mark.name for mark in metafunc.definition.iter_markers()}
        servers = {"loopback"}
        if marks & {"openssh_server", "every_server"}:
            servers.add("sshd")
        if "every_server" in marks:
            # Each costs seconds: one test for each kind of behaviour, not every test.
            servers |= {"dropbear_server", "tinyssh_server"}
        ways = [
            pytest.param(way, marks=() if server == "loopback" else pytest.mark.openssh)
            for way, (server, _) in WAYS.items()
            if server in servers
        ]
        metafunc.parametrize("endpoint", ways, indirect=True)


@pytest.fixture
def endpoint(request) -> Endpoint:
    """Where a real SSH server listens: ours, OpenSSH's, dropbear or TinySSH; and who speaks with it."""
    server, transport = WAYS[request.param]
    return dataclasses.replace(request.getfixturevalue(server).endpoint, transport=transport)


@pytest.fixture(scope="session")
def payload():
    return make_payload()


@pytest.fixture
def make_board(endpoint, tmp_path, payload):
    """A board on the server, with a working directory of its own and the payload on it."""
    with contextlib.ExitStack() as stack:

        def make(**overrides) -> Board:
            # -S like interpreters on a board: nothing of this environment
            spec = BoardSpec(
                id="bench",
                host=endpoint.host,
                user=endpoint.user,
                port=endpoint.port,
                key_file=endpoint.key_file,
                known_hosts=endpoint.known_hosts,
                host_keys=endpoint.host_keys,
                ssh_config="",
                transport=endpoint.transport,
                python=sys.executable,
                workdir=str(tmp_path / "work dir"),
                timeouts=SHORT,
            )
            board = stack.enter_context(Board(dataclasses.replace(spec, **overrides)))
            board.sync([payload])
            return board

        yield make


@pytest.fixture
def board(make_board) -> Board:
    return make_board()


@pytest.fixture
def make_job(payload):
    """A job that runs a Python program; all its fields can be overridden."""

    def make(rep_id: str = "rep-1", program: str = "print('hi')", **overrides) -> dict:
        job = {
            "schema": "tunebench.job/1",
            "rep_id": rep_id,
            "run_id": "run-1",
            "owner": {"user": "me", "host": "here", "pid": os.getpid(), "token": "mine"},
            "argv": [sys.executable, "-S", "-c", program],
            "env": {},
            "blobs": {"payload": payload.name},
            "unpack": {},
            "cwd": "out",
            "deadline_s": 20.0,
            "lease_s": 40.0,
            "sampling": {"period_s": 0.05},
            "gates": {"policy": "warn"},
            "workload": {"schema": "tunebench.workload/1"},
        }
        return {**job, **overrides}

    return make


@pytest.fixture
def proxied(endpoint, tmp_path, make_proxy):
    """(proxy, endpoint through it): a link to the server that can be frozen and cut."""
    proxy = make_proxy(endpoint.port)
    known = Path(endpoint.known_hosts).read_text().replace(f":{endpoint.port} ", f":{proxy.port} ")
    (tmp_path / "known_hosts").write_text(known)
    known_hosts = str(tmp_path / "known_hosts")
    return proxy, dataclasses.replace(endpoint, port=proxy.port, known_hosts=known_hosts)


@pytest.fixture
def other_host_key(endpoint, tmp_path) -> Path:
    """A known_hosts file in which the server has another key than it has."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    path = tmp_path / "other_known_hosts"
    path.write_text(f"[127.0.0.1]:{endpoint.port} {key.export_public_key().decode()}")
    return path


@pytest.fixture(scope="session")
def python36() -> str:
    """A real Python 3.6, as on JetPack 4."""
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [*sorted(map(str, home.glob("versions/3.6.*/bin/python3.6"))), shutil.which("python3.6")]
    for candidate in filter(None, candidates):
        if subprocess.run([candidate, "-c", "pass"], check=False, capture_output=True).returncode == 0:
            return candidate
    pytest.skip("no Python 3.6 that starts, on PATH or under pyenv")


def gone(pid: int, within_s: float = 3.0) -> bool:
    """Whether a process is gone (or a zombie nobody has reaped) within some time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def is_gone():
    return gone


@pytest.fixture
def run_job():
    """Function (board, job, timeout_s=15.0): start, wait, harvest, clean; the exit record and the files."""

    def run(board: Board, job: dict, timeout_s: float = 15.0) -> tuple[dict, dict[str, bytes]]:
        board.start(job)
        assert board.wait(job["rep_id"], timeout_s) == "done"
        files = board.harvest(job["rep_id"]).files
        board.clean(job["rep_id"])
        return json.loads(files["exit.json"]), files

    return run


@pytest.fixture
def eventually():
    """Function (condition, within_s=5.0): waits until it holds; returns what it gave."""

    def wait(condition, within_s: float = 5.0):
        deadline = time.monotonic() + within_s
        while not (value := condition()):
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.02)
        return value

    return wait
