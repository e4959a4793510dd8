"""Servers with narrow limits and slow answers: every command works with them, not only ``run``."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from tunebench.harness.artifacts.gather import build_payload
from tunebench.harness.cli.release import end_lease
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.lab.doctor import diagnose
from tunebench.harness.lab.survey import look_at
from tunebench.targets.client.board import Board
from tunebench.targets.client.connection import BoardSpec
from tunebench.targets.errors import LinkError
from tunebench.targets.transport.endpoint import Timeouts
from tunebench.targets.transport.openssh import OpenSsh
from tunebench.targets.transport.ssh import Ssh

pytestmark = pytest.mark.openssh
TRANSPORTS = pytest.mark.parametrize("transport", ["paramiko", "openssh"])


def link(endpoint):
    return OpenSsh(endpoint) if endpoint.transport == "openssh" else Ssh(endpoint)


def inventory_entry(lab, tmp_path, transport, port=None, more=""):
    """A board of an inventory that goes through the lab's ssh config (by -F only tests can): all in its keys."""
    path = tmp_path / "lab.toml"
    known = tmp_path / "known"
    known.write_text(lab.known_hosts.read_text().replace(f":{lab.port} ", f":{port or lab.port} "))
    path.write_text(
        f'[[board]]\nid = "b"\nkind = "linux"\nhost = "127.0.0.1"\nport = {port or lab.port}\nuser = "{lab.user}"\n'
        f'key = "{lab.client}"\nknown_hosts = "{known}"\ntransport = "{transport}"\npython = "{sys.executable}"\n'
        f'interpreter = ["{sys.executable}", "-S"]\nworkdir = "{tmp_path}/work"\n{more}'
    )
    return load_inventory(path).boards[0]


class Silent:
    """A console that prints nothing."""

    is_terminal = False

    def print(self, *_: object, **__: object) -> None:
        pass


COMMANDS = {
    "boards": lambda entry: look_at([entry], Silent())[1][0].reason is None,
    "doctor": lambda entry: diagnose(entry, build_payload()).measurable,
    "release": lambda entry: end_lease(entry.spec(), force=False)[1] == 0,
}


@TRANSPORTS
def test_one_session_at_a_time_is_enough(lab, transport):
    """A channel that is still closing, and one whose command we gave up, make the next wait; it is not refused."""
    here = lab.serve("MaxSessions 1\n")
    with link(here.endpoint(here.config(), transport=transport)) as ssh:
        for n in range(8):
            assert ssh.run(["echo", str(n)]).stdout == f"{n}\n".encode()
        ssh.open(["sleep", "0.7"]).close()  # sshd lets a session go when its command has ended
        assert ssh.run(["echo", "after"]).stdout == b"after\n"
        assert ssh.channels_opened == 10


def test_a_session_that_never_becomes_free_is_told_as_that(lab):
    here = lab.serve("MaxSessions 1\n")
    timeouts = Timeouts(channel_s=1.0)
    with link(here.endpoint(here.config(), timeouts=timeouts)) as ssh:
        held = ssh.open(["sleep", "30"])
        with pytest.raises(LinkError, match=r"(?i)session"):
            ssh.open(["true"])
        held.close()


def test_a_server_without_any_session_is_told_as_that(lab):
    """Connections of their own do not help: there is an end to them."""
    here = lab.serve("MaxSessions 0\n")
    with (
        link(here.endpoint(here.config(), transport="openssh", timeouts=Timeouts(channel_s=0.5))) as ssh,
        pytest.raises(LinkError, match=r"open failed|refused"),
    ):
        ssh.open(["true"])


# -- servers of one session, by the system's ssh ------------------------------------------------------


@pytest.fixture(params=["TinySSH", "MaxSessions 1"])
def one_session(request, lab):
    """Where a server listens that serves one session at a time; TinySSH hangs up after it."""
    if request.param == "TinySSH":
        return dataclasses.replace(request.getfixturevalue("tinyssh_server").endpoint, transport="openssh")
    here = lab.serve("MaxSessions 1\n")
    return here.endpoint(here.config(), transport="openssh")


def test_a_server_that_hangs_up_after_each_session_is_connected_to_anew(tinyssh_server):
    with link(dataclasses.replace(tinyssh_server.endpoint, transport="openssh")) as ssh:
        for n in range(3):
            assert ssh.run(["echo", str(n)]).stdout == f"{n}\n".encode()
            assert ssh.alive
        with ssh.open(["sh", "-c", "echo '@tb1 {\"a\": 1}'; sleep 0.05"]) as duplex:
            assert duplex.read_message(5) == {"a": 1}
        assert ssh.run(["sh", "-c", "exit 7"]).returncode == 7  # the last one was not at its end yet
        assert ssh.channels_opened == 5


def test_a_second_session_beside_a_long_one_gets_a_connection_of_its_own(one_session):
    with link(one_session) as ssh:
        with ssh.open(["sh", "-c", 'read line; echo "@tb1 {\\"a\\": $line}"']) as long:
            for n in range(2):
                assert ssh.run(["echo", str(n)]).stdout == f"{n}\n".encode()
            long.send(b"5\n")
            assert long.read_message(5) == {"a": 5}
        assert ssh.run(["echo", "after"]).stdout == b"after\n"
        assert ssh.channels_opened == 4


def test_a_command_that_was_given_up_does_not_hold_the_next_one_up(one_session):
    with link(one_session) as ssh:
        ssh.open(["sleep", "20"]).close()
        assert ssh.run(["echo", "next"]).stdout == b"next\n"


def test_a_connection_that_ends_under_its_only_command_is_lost(tinyssh_server, make_proxy, tmp_path):
    """Whether the command ran nobody knows, so it is no matter of course to go on."""
    proxy = make_proxy(tinyssh_server.port)
    known = tmp_path / "known"
    known.write_text(
        Path(tinyssh_server.endpoint.known_hosts)
        .read_text()
        .replace(f":{tinyssh_server.port} ", f":{proxy.port} ")
    )
    endpoint = dataclasses.replace(
        tinyssh_server.endpoint, transport="openssh", port=proxy.port, known_hosts=str(known)
    )
    with link(endpoint) as ssh:
        with ssh.open(["cat"]) as duplex:
            proxy.cut()
            with pytest.raises(LinkError):
                duplex.read_message(5)
        assert not ssh.alive
        with pytest.raises(LinkError):
            ssh.run(["true"])


@TRANSPORTS
def test_a_session_that_dropbear_closes_at_once_is_asked_for_again(dropbear_server, transport):
    """It does so when another session's command ends between the opening and the command: about one time in twenty."""
    with link(dataclasses.replace(dropbear_server.endpoint, transport=transport)) as ssh:
        for n in range(30):
            with ssh.open(["sh", "-c", f"echo '@tb1 {{\"a\": {n}}}'; sleep 0.0{n % 5}"]) as duplex:
                assert duplex.read_message(5) == {"a": n}


@TRANSPORTS
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_work_with_one_session(lab, tmp_path, transport, command):
    here = lab.serve("MaxSessions 1\n")
    assert COMMANDS[command](inventory_entry(here, tmp_path, transport))


@TRANSPORTS
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_work_while_somebody_else_is_logging_in(lab, tmp_path, transport, command):
    """MaxStartups 1: sshd drops every connection while another one has not logged in yet."""
    here = lab.serve("MaxStartups 1:100:1\nLoginGraceTime 60\n")
    entry = inventory_entry(here, tmp_path, transport)
    with socket.create_connection(("127.0.0.1", here.port)) as other:
        other.recv(100)
        threading.Timer(1.5, other.close).start()
        assert COMMANDS[command](entry)


@TRANSPORTS
def test_boards_behind_one_narrow_jump_host_are_all_reached(lab, tmp_path, transport):
    here = lab.serve("MaxStartups 2:80:4\n")
    config = here.config(
        f'Host bastion\n    HostName 127.0.0.1\n    Port {here.port}\n    IdentityFile "{here.client}"\n'
        f'    IdentityAgent none\n    UserKnownHostsFile "{here.known_hosts}"\n',
        ProxyJump="bastion",
    )
    answers = []

    def reach(n: int) -> None:
        spec = BoardSpec(f"b{n}", host="board", ssh_config=str(config), transport=transport)
        with Board(spec) as board:
            answers.append(board.ssh.run(["echo", "ok"]).stdout)

    threads = [threading.Thread(target=reach, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [b"ok\n"] * 4


class SlowDoor:
    """A relay to a server that holds what the server says first back for some seconds, as a dead resolver does."""

    def __init__(self, port: int, delay_s: float) -> None:
        self._target, self._delay_s = port, delay_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._copy, args=(near, far, 0.0), daemon=True).start()
                threading.Thread(target=self._copy, args=(far, near, self._delay_s), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket, delay_s: float) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(delay_s)
                delay_s = 0.0
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.close()


@pytest.mark.slow
@pytest.mark.parametrize(("command", "transport"), [("boards", "openssh"), ("doctor", "paramiko")])
def test_commands_wait_for_a_banner_of_twelve_seconds(lab, tmp_path, transport, command):
    with contextlib.closing(SlowDoor(lab.port, 12.0)) as door:
        assert COMMANDS[command](inventory_entry(lab, tmp_path, transport, door.port))


@TRANSPORTS
def test_a_banner_that_never_comes_ends_in_time(lab, transport):
    with contextlib.closing(SlowDoor(lab.port, 60.0)) as door:
        lab.known_hosts.write_text(lab.known_hosts.read_text().replace(str(lab.port), str(door.port)))
        quick = Timeouts(connect_s=0.5, banner_s=0.5, auth_s=0.5)
        began_s = time.monotonic()
        with pytest.raises(LinkError):
            link(lab.endpoint(lab.config(Port=str(door.port)), transport=transport, timeouts=quick)).connect()
        assert time.monotonic() - began_s < 6.0


@TRANSPORTS
def test_a_port_where_nobody_listens_and_a_name_that_nobody_knows_are_unreachable_at_once(lab, transport):
    from tunebench.targets.errors import UnreachableError

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for config in (lab.config(Port=str(port)), lab.config(HostName="no-such-host.invalid")):
        with pytest.raises(UnreachableError):
            link(lab.endpoint(config, transport=transport)).connect()


def test_the_systems_ssh_that_is_not_there_is_told(lab, monkeypatch):
    monkeypatch.setattr("tunebench.targets.transport.openssh.connection.find_ssh", lambda: None)
    outcome = lab.ours(lab.endpoint(lab.config(), transport="openssh"))
    assert "openssh-client" in outcome.said
