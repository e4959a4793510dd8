"""Reaching a board: over our own SSH server, OpenSSH's, dropbear and TinySSH, by paramiko and by the system's ssh."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tunebench.targets.errors import (
    AuthError,
    BoardError,
    HostKeyError,
    InterpreterError,
    LinkError,
    ReplyError,
    TargetError,
    UnreachableError,
)
from tunebench.targets.transport.endpoint import Endpoint, Timeouts
from tunebench.targets.transport.openssh import OpenSsh
from tunebench.targets.transport.ssh import Ssh, Tunnel

pytestmark = pytest.mark.openssh_server


def link(endpoint: Endpoint) -> Ssh | OpenSsh:
    """A connection by the transport that the endpoint names, not yet open."""
    return OpenSsh(endpoint) if endpoint.transport == "openssh" else Ssh(endpoint)


def within(seconds: float):
    class Clock:
        def __enter__(self):
            self.start = time.monotonic()

        def __exit__(self, *_):
            assert time.monotonic() - self.start < seconds

    return Clock()


@pytest.mark.every_server
def test_a_command_gives_its_status_output_and_errors(endpoint):
    with link(endpoint) as ssh:
        done = ssh.run(["sh", "-c", "cat; echo oops >&2; exit 3"], stdin=b"in")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"in", b"oops\n")


@pytest.mark.every_server
def test_arguments_arrive_as_they_are(endpoint):
    nasty = ["a b", "it's", '"', "$HOME", "`id`", "*", "~", "", "line\nline", "\\", "ü", "; false"]
    with link(endpoint) as ssh:
        done = ssh.run(["printf", "%s\\0", *nasty])
    assert done.stdout.decode().split("\0")[:-1] == nasty


@pytest.mark.every_server
def test_megabytes_are_sent_while_their_echo_is_read(endpoint):
    data = os.urandom(3_000_000)
    with link(endpoint) as ssh:
        assert ssh.run(["cat"], stdin=data, max_output_b=4_000_000).stdout == data


def test_input_that_nobody_reads_does_not_hide_the_status(endpoint):
    with link(endpoint) as ssh:
        assert ssh.run(["sh", "-c", "exit 5"], stdin=bytes(5_000_000)).returncode == 5


def test_too_much_output_is_refused(endpoint):
    with link(endpoint) as ssh, pytest.raises(ReplyError, match="more than 1000 bytes"):
        ssh.run(["head", "-c", "100000", "/dev/zero"], max_output_b=1000)


def test_a_flood_of_errors_does_not_block_the_output(endpoint):
    with link(endpoint) as ssh:
        done = ssh.run(["sh", "-c", "head -c 5000000 /dev/zero >&2; echo end"])
    assert done.stdout == b"end\n"
    assert 0 < len(done.stderr) <= 65536


def test_a_signal_leaves_no_returncode(endpoint):
    with link(endpoint) as ssh:
        assert ssh.run(["sh", "-c", "exec sh -c 'kill -9 $$'"]).returncode in (None, 137)


def test_a_slow_command_is_given_up_in_time_and_the_connection_stays(endpoint):
    with link(endpoint) as ssh:
        with within(2), pytest.raises(LinkError, match=r"no answer within 0\.5 s"):
            ssh.run(["sleep", "4"], timeout_s=0.5)
        assert ssh.alive
        assert ssh.run(["echo", "still"]).stdout == b"still\n"
        assert ssh.channels_opened == 2


@pytest.mark.openssh
def test_the_systems_ssh_sends_nothing_while_nothing_is_asked(sshd):
    """No keep-alive, whatever the ssh config says: it would fall into measured windows."""
    from tests.conftest import Proxy

    config = Path(sshd.directory) / "keep-alive"
    config.write_text("ServerAliveInterval 1\n")
    with contextlib.closing(Proxy(sshd.port)) as proxy:
        known = Path(sshd.directory) / "known_through_proxy"
        known.write_text(
            (sshd.directory / "known_hosts").read_text().replace(f":{sshd.port} ", f":{proxy.port} ")
        )
        quiet = dataclasses.replace(
            sshd.endpoint,
            port=proxy.port,
            known_hosts=str(known),
            ssh_config=str(config),
            transport="openssh",
        )
        with OpenSsh(quiet) as ssh:
            assert ssh.run(["true"]).returncode == 0
            pipe = Path(f"/proc/{ssh._master.pid}/io")
            before = pipe.read_text()
            time.sleep(2.5)
            assert pipe.read_text() == before


def test_an_idle_connection_seldom_wakes_and_is_closed_at_once(loopback):
    """Its thread looks after itself once a second; closing does not wait for that."""
    with Ssh(loopback.endpoint) as ssh:
        thread = Path(f"/proc/self/task/{ssh._transport.native_id}/status")
        before = wakes(thread)
        time.sleep(3.0)
        assert wakes(thread) - before < 15
        began_s = time.monotonic()
        ssh.close()
        assert time.monotonic() - began_s < 0.5


def wakes(status: Path) -> int:
    """How often a thread has given its core up to wait."""
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["voluntary_ctxt_switches"])


@pytest.mark.every_server
def test_a_missing_program_is_an_interpreter_error(endpoint):
    with (
        link(endpoint) as ssh,
        ssh.open(["/no/such/python", "-c", "pass"]) as duplex,
        pytest.raises(InterpreterError, match="/no/such/python"),
    ):
        duplex.read_message(5)


@pytest.mark.every_server
def test_noise_around_messages_is_skipped(endpoint):
    program = "echo Welcome; echo '@tb1 {\"a\": 1}'; echo noise; printf '@tb1 {\"b\": 2}\\nraw'"
    with link(endpoint) as ssh, ssh.open(["sh", "-c", program]) as duplex:
        assert duplex.read_message(5) == {"a": 1}
        assert duplex.read_message(5) == {"b": 2}
        assert duplex.read_exact(3, 5) == b"raw"
        with pytest.raises(ReplyError, match="ended without an answer"):
            duplex.read_message(5)


@pytest.mark.parametrize("line", ["@tb1 not json", "@tb1 [1]", '@tb1 {"x": NaN}'])
def test_a_malformed_message_is_a_reply_error(loopback, line):
    with Ssh(loopback.endpoint) as ssh, ssh.open(["echo", line]) as duplex, pytest.raises(ReplyError):
        duplex.read_message(5)


def test_endless_noise_is_not_read_for_ever(loopback):
    with (
        Ssh(loopback.endpoint) as ssh,
        ssh.open(["yes"]) as duplex,
        within(10),
        pytest.raises(ReplyError, match="noise"),
    ):
        duplex.read_message(30)


# -- host keys ------------------------------------------------------------------------------------


def test_an_unknown_host_key_is_refused_and_not_learnt(endpoint, tmp_path):
    known_hosts = tmp_path / "known_hosts"
    unknown = dataclasses.replace(endpoint, known_hosts=str(known_hosts), host_keys="verify")
    with pytest.raises(HostKeyError, match=r"unknown host key.*accept-new"):
        link(unknown).connect()
    assert not known_hosts.exists()


def test_accept_new_learns_a_key_once_and_keeps_the_rest_of_the_file(endpoint, tmp_path):
    known_hosts = tmp_path / "ssh" / "known_hosts"
    known_hosts.parent.mkdir()
    # ssh itself appends to a last line that has no end
    known_hosts.write_text("# mine, without a newline" + ("\n" if endpoint.transport == "openssh" else ""))
    learning = dataclasses.replace(endpoint, known_hosts=str(known_hosts), host_keys="accept-new")
    for _ in range(2):
        with link(learning) as ssh:
            assert ssh.alive
    lines = known_hosts.read_text().splitlines()
    assert lines[0] == "# mine, without a newline"
    assert len(lines) == 2
    with link(dataclasses.replace(learning, host_keys="verify")) as ssh:
        assert ssh.alive


@pytest.mark.parametrize("policy", ["verify", "accept-new"])
def test_a_changed_host_key_is_always_refused(endpoint, other_host_key, policy):
    before = other_host_key.read_text()
    changed = dataclasses.replace(endpoint, known_hosts=str(other_host_key), host_keys=policy)
    with pytest.raises(HostKeyError, match="has changed"):
        link(changed).connect()
    assert other_host_key.read_text() == before


# -- who may come in ------------------------------------------------------------------------------


@pytest.mark.every_server
def test_another_key_is_refused(endpoint, tmp_path):
    import asyncssh

    key = tmp_path / "id"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(key)
    with pytest.raises(AuthError, match="does not accept"):
        link(dataclasses.replace(endpoint, key_file=str(key))).connect()


def test_another_user_is_refused_by_the_loopback_server(loopback):
    with pytest.raises(AuthError):
        Ssh(dataclasses.replace(loopback.endpoint, user="somebody-else")).connect()


def test_a_key_file_that_is_not_there_is_named(endpoint):
    with pytest.raises(AuthError, match="/no/such/key"):
        link(dataclasses.replace(endpoint, key_file="/no/such/key")).connect()


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_key_file_that_cannot_be_used_is_named(loopback, tmp_path, encrypted):
    import asyncssh

    path = tmp_path / "id"
    key = asyncssh.generate_private_key("ssh-ed25519")
    path.write_bytes(
        key.export_private_key(passphrase="secret", rounds=50) if encrypted else b"no key at all"
    )
    with pytest.raises(AuthError, match="is encrypted" if encrypted else "not a private key"):
        Ssh(dataclasses.replace(loopback.endpoint, key_file=str(path))).connect()


def test_without_any_key_the_error_says_what_to_do(loopback, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    config = tmp_path / "config"
    config.write_text("IdentityFile none\n")
    with pytest.raises(AuthError, match="no key to offer"):
        Ssh(dataclasses.replace(loopback.endpoint, key_file=None, ssh_config=str(config))).connect()


# -- links that fail ------------------------------------------------------------------------------


def test_a_refused_port_is_unreachable_at_once():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with within(1), pytest.raises(UnreachableError):
        Ssh(Endpoint("127.0.0.1", port=port, ssh_config="")).connect()
    assert issubclass(UnreachableError, BoardError)


def test_an_unknown_name_is_unreachable(monkeypatch):
    with pytest.raises(UnreachableError):
        Ssh(Endpoint("no-such-host.invalid", port=22, ssh_config="")).connect()


def test_a_listener_that_never_answers_is_a_link_error_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        quick = Timeouts(connect_s=1.0, banner_s=0.4)
        endpoint = Endpoint("127.0.0.1", port=silent.getsockname()[1], ssh_config="", timeouts=quick)
        with within(2), pytest.raises(LinkError):
            Ssh(endpoint).connect()


def test_a_server_that_speaks_no_ssh_is_a_link_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        quick = Timeouts(connect_s=1.0, banner_s=1.0)
        endpoint = Endpoint("127.0.0.1", port=listener.getsockname()[1], ssh_config="", timeouts=quick)
        ssh = Ssh(endpoint)
        import threading

        def answer():
            peer, _ = listener.accept()
            peer.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" * 10)
            peer.close()

        threading.Thread(target=answer, daemon=True).start()
        with within(4), pytest.raises(LinkError):
            ssh.connect()


def test_a_frozen_peer_ends_every_wait_in_time(proxied):
    proxy, endpoint = proxied
    quick = dataclasses.replace(endpoint, timeouts=Timeouts(channel_s=2.0, command_s=0.5))
    with link(quick) as ssh:
        assert ssh.run(["true"], timeout_s=20).returncode == 0
        with ssh.open(["cat"]) as duplex:
            proxy.freeze()
            duplex.send(b"hello\n")
            with within(3), pytest.raises(LinkError):
                duplex.read_message(0.3)
            # more than all buffers on the way take: the write itself blocks
            with within(5), pytest.raises(LinkError):
                duplex.send(bytes(50_000_000), 0.3)
        with within(6), pytest.raises(LinkError):
            ssh.run(["true"])


@pytest.mark.openssh
def test_a_stopped_sshd_is_a_link_error_in_time(sshd):
    quick = dataclasses.replace(sshd.endpoint, timeouts=Timeouts(channel_s=2.0, command_s=1.0))
    with link(quick) as ssh:
        assert ssh.run(["true"], timeout_s=20).returncode == 0
        stopped = sshd.session_pids()
        assert stopped
        try:
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            with within(6), pytest.raises(LinkError):
                ssh.run(["true"])
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)


@pytest.mark.every_server
def test_a_cut_link_is_a_link_error_and_one_can_reconnect(proxied):
    proxy, endpoint = proxied
    with link(endpoint) as ssh:
        with ssh.open(["cat"]) as duplex:
            proxy.cut()
            with within(3), pytest.raises(LinkError):
                duplex.read_message(10)
        with pytest.raises(LinkError):
            ssh.run(["true"])
        ssh.connect()
        assert ssh.run(["true"]).returncode == 0


def test_nothing_is_left_after_closing(endpoint):
    import threading

    before = set(threading.enumerate())
    ssh = link(endpoint)
    ssh.connect()
    ssh.run(["true"])
    ssh.close()
    ssh.close()
    deadline = time.monotonic() + 3
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(threading.enumerate()) <= before


# -- ssh config -----------------------------------------------------------------------------------


def write_config(tmp_path: Path, endpoint: Endpoint, extra: str = "") -> str:
    path = tmp_path / "config"
    path.write_text(
        f"""
Host bench
    HostName {endpoint.host}
    Port {endpoint.port}
    User {endpoint.user}
    IdentityFile {endpoint.key_file}
    UserKnownHostsFile {endpoint.known_hosts}
    ConnectTimeout 7
{extra}
"""
    )
    return str(path)


def test_an_alias_gives_host_user_port_and_key(endpoint, tmp_path):
    config = write_config(tmp_path, endpoint)
    with link(Endpoint("bench", ssh_config=config, transport=endpoint.transport)) as ssh:
        assert ssh.run(["echo", "there"]).stdout == b"there\n"


def test_an_included_file_counts(endpoint, tmp_path):
    included = write_config(tmp_path, endpoint)
    outer = tmp_path / "outer"
    outer.write_text(f"Include {included}\nHost other\n    HostName 192.0.2.1\n")
    with link(Endpoint("bench", ssh_config=str(outer), transport=endpoint.transport)) as ssh:
        assert ssh.alive


def test_what_the_inventory_says_beats_the_alias(endpoint, tmp_path):
    config = write_config(tmp_path, dataclasses.replace(endpoint, user="nobody-here", port=9))
    chosen = Endpoint(
        "bench", user=endpoint.user, port=endpoint.port, ssh_config=config, transport=endpoint.transport
    )
    with link(chosen) as ssh:
        assert ssh.alive


def test_an_ssh_config_that_is_not_there_is_named():
    with pytest.raises(TargetError, match="/no/such/config"):
        Ssh(Endpoint("bench", ssh_config="/no/such/config")).connect()


@pytest.mark.openssh
@pytest.mark.parametrize("where", ["inventory", "ssh config"])
def test_a_jump_host_is_gone_through(sshd, tmp_path, where):
    direct = sshd.endpoint
    target = (
        "\nHost target\n    HostName 127.0.0.1\n    Port %d\n    UserKnownHostsFile %s\n    IdentityFile %s\n"
    )
    target = target % (direct.port, direct.known_hosts, direct.key_file)
    if where == "ssh config":
        target += "    ProxyJump bench\n"
    config = write_config(tmp_path, direct, target)
    jump = "bench" if where == "inventory" else None
    with Ssh(Endpoint("target", proxy_jump=jump, ssh_config=config)) as ssh:
        # through the jump host the connection comes from sshd itself, from another port than ours
        assert ssh.run(["echo", "far"]).stdout == b"far\n"
        assert isinstance(ssh._transport.sock, Tunnel)


@pytest.mark.openssh
def test_a_jump_hosts_key_is_verified_too(sshd, tmp_path):
    direct = dataclasses.replace(sshd.endpoint, known_hosts=str(tmp_path / "empty"))
    target = f"\nHost target\n    HostName 127.0.0.1\n    Port {direct.port}\n"
    config = write_config(tmp_path, direct, target)
    with pytest.raises(HostKeyError, match="unknown host key"):
        Ssh(Endpoint("target", proxy_jump="bench", ssh_config=config)).connect()
