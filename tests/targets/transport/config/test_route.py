"""The ssh config as OpenSSH reads it: real files, a real server, and plain ssh with the same files as the oracle."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys

import pytest

from tunebench.targets.errors import SshConfigError
from tunebench.targets.transport.config import asked, parsed, route
from tunebench.targets.transport.config.host_config import make
from tunebench.targets.transport.endpoint import Endpoint
from tunebench.targets.transport.ssh import Ssh
from tunebench.targets.virtual.dropbear import nss_wrapper

pytestmark = pytest.mark.openssh

#: A ProxyCommand in Python's place of netcat, which not every machine has.
RELAY = """
import os, socket, sys, threading
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def back():
    while data := peer.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    peer.sendall(data)
peer.shutdown(socket.SHUT_WR)
threading.Event().wait()
"""


@pytest.fixture
def relay(lab) -> str:
    """The command of a relay, to be followed by a host and a port."""
    program = lab.folder / "relay.py"
    program.write_text(RELAY)
    return f"{sys.executable} -S {program}"


# -- one host -------------------------------------------------------------------------------------

TEXTS = {
    "a comment behind values": ("# head\n", {"Port": "{port} # the new one", "User": "{user} # me"}),
    "a comment that is not UTF-8": ("# caf\udce9\n", {}),
    "key=value, tabs and upper case": ("", {"Port": None, "PORT": "=\t{port}"}),
    "quotes": ("", {"HostName": '"127.0.0.1"', "User": '"{user}"'}),
    "Match all": ("Match all\n    ConnectTimeout 9\n", {}),
    "Match final all (Fedora, RHEL)": ("Match final all\n    GSSAPIAuthentication no\n", {}),
    "Match final host": ("Match final host 127.0.0.1\n    User {user}\n", {"User": None}),
    "Match host of another name": ("Match host elsewhere\n    User nobody-here\n", {}),
    "Match host by its real name": (
        "Host board\n    HostName 127.0.0.1\nMatch host 127.*\n    Port {port}\n", {"Port": None}
    ),
    "Match originalhost": ("Match originalhost board\n    Port {port}\n", {"Port": None}),
    "Match originalhost, negated": ("Match !originalhost board\n    Port 9\n", {}),
    "Match user": ("Match user nobody-here\n    Port 9\n", {}),
    "Match localuser": ("Match localuser {user}\n    Port {port}\n", {"Port": None}),
    "Match exec that succeeds": ('Match exec "test %n = board"\n    Port {port}\n', {"Port": None}),
    "Match exec that fails": ("Match exec false\n    Port 9\n", {}),
    "Match exec that reads its input": ("Match exec cat\n    Port {port}\n", {"Port": None}),
    "Host with a negation": ("Host * !board\n    Port 9\n", {}),
    "Host with several patterns": ("Host nothing b?ard\n    Port {port}\n", {"Port": None}),
    "a word that is to be ignored": ("IgnoreUnknown UseKeychain\nUseKeychain yes\n", {}),
    "ForwardAgent with a path": ("ForwardAgent /tmp/some.sock\n", {}),
    "ForwardAgent with a variable": ("ForwardAgent $SSH_AUTH_SOCK\n", {}),
    "tokens in IdentityFile": ("", {"IdentityFile": "{folder}/id_%h_%p"}),
    "a variable in IdentityFile": ("", {"IdentityFile": "${{TUNEBENCH_TEST}}/id_127.0.0.1_{port}"}),
    "%h in HostName": ("Host 127.0.0\n    HostName %h.1\n", {"HostName": "127.0.0.1"}),
    "ProxyCommand none before another": ("Host board\n    ProxyCommand none\nHost *\n    ProxyCommand false\n", {}),
    "ProxyJump none before another": ("Host board\n    ProxyJump none\nHost *\n    ProxyJump nowhere.invalid\n", {}),
    "SendEnv, SetEnv, a compression, a log level": (
        "SendEnv LANG LC_*\nSetEnv A=b\nCompression yes\nLogLevel QUIET\nServerAliveInterval 1\n", {}
    ),
    "algorithms with signs": ("HostKeyAlgorithms +ssh-rsa\nKexAlgorithms -diffie*\nCiphers ^aes256-ctr\n", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_a_config_is_read_as_ssh_reads_it(lab, agrees, monkeypatch, name):
    text, settings = TEXTS[name]
    words = {"port": lab.port, "user": lab.user, "folder": lab.folder}
    (lab.folder / f"id_127.0.0.1_{lab.port}").write_text(lab.client.read_text())
    (lab.folder / f"id_127.0.0.1_{lab.port}").chmod(0o600)
    monkeypatch.setenv("TUNEBENCH_TEST", str(lab.folder))
    chosen = {key: value.format(**words) if value else value for key, value in settings.items()}
    agrees(lab.config(text.format(**words), **chosen))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Match weekday monday\n    User nobody\n", "weekday"),
        ("NoSuchWord yes\n", "nosuchword"),
        ("Host board\n    Port 99999\n", "99999|[Bb]ad port"),
        ("Include\n", "argument|Include"),
    ],
)
def test_what_ssh_refuses_is_refused_in_its_words(lab, agrees, text, said):
    import re

    message = agrees(lab.config(text), works=False)
    assert message.startswith("SshConfigError")
    assert re.search(said, message, re.IGNORECASE)


@pytest.mark.parametrize("quote", ['"', ""])
def test_an_included_file_with_blanks_in_its_name_counts(lab, agrees, quote):
    name = "inner file" if quote else "inner"
    (lab.folder / name).write_text(f"Host board\n    Port {lab.port}\n")
    agrees(lab.config(f"Include {quote}{lab.folder}/{name}{quote}\n", Port=None))


def test_an_include_inside_a_block_counts_for_that_host_only(lab, agrees):
    (lab.folder / "inner").write_text("User nobody-here\nHost *\n    Port 9\n")
    agrees(lab.config(f"Host elsewhere\n    Include {lab.folder}/inner\n"))


def test_a_pattern_of_includes_and_a_nested_one_count(lab, agrees):
    (lab.folder / "deep").write_text(f"Host board\n    Port {lab.port}\n")
    (lab.folder / "10.conf").write_text(f"Include {lab.folder}/deep\n")
    (lab.folder / "20.conf").write_text("Host board\n    Port 9\n")
    agrees(lab.config(f"Include {lab.folder}/*.conf\n", Port=None))


def test_user_and_port_of_the_inventory_come_first(lab):
    config = lab.config(User="nobody-here", Port="9")
    chosen = lab.endpoint(config, user=lab.user, port=lab.port)
    assert lab.ours(chosen).works


@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
@pytest.mark.parametrize("host", ["{user}@board", "ssh://{user}@board:{port}", "ssh://board"])
def test_a_host_may_be_all_that_ssh_takes(lab, agrees, host, transport):
    agrees(lab.config(), host.format(user=lab.user, port=lab.port), transports=(transport,))


def test_a_host_cannot_pass_for_an_option(lab):
    outcome = lab.ours(lab.endpoint(lab.config(), "-oProxyCommand=touch /tmp/tunebench-must-not-be"))
    assert not outcome.works
    assert not os.path.exists("/tmp/tunebench-must-not-be")


# -- proxies --------------------------------------------------------------------------------------

COMMANDS = {
    "tokens": "{relay} %h %p",
    "only a redirection": "{relay} %h %p 2>/dev/null",
    "a condition": "{relay} %h %p || exit 1",
    "a subshell": 'sh -c \'{relay} "$0" "$1"\' %h %p',
    "a percent sign": "{relay} %h $(printf '%%d' %p)",
    "user and alias": "sh -c 'test $0 = {user}@board && {relay} $1 $2' %r@%n %h %p",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_proxy_command_is_run_by_the_shell(lab, agrees, relay, name):
    command = COMMANDS[name].format(relay=relay, user=lab.user)
    agrees(lab.config(ProxyCommand=command))


def test_a_proxy_command_may_hand_over_a_socket(lab, agrees):
    program = lab.folder / "hand-over.py"
    program.write_text(
        "import socket, sys\n"
        "far = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "socket.send_fds(socket.socket(fileno=1), [b'x'], [far.fileno()])\n"
    )
    command = f"{sys.executable} -S {program} %h %p"
    agrees(lab.config(ProxyCommand=command, ProxyUseFdpass="yes"))
    agrees(lab.config(ProxyCommand="true", ProxyUseFdpass="yes"), works=False)


def test_a_proxy_command_gets_the_inventorys_port(lab, relay):
    config = lab.config(Port="9", ProxyCommand=f"{relay} %h %p")
    for transport in ("paramiko", "openssh"):
        assert lab.ours(lab.endpoint(config, port=lab.port, transport=transport)).works


def test_a_proxy_command_serves_user_at_alias(lab, agrees, relay):
    agrees(lab.config(User=None, ProxyCommand=f"{relay} %h %p"), f"{lab.user}@board")


def test_a_proxy_command_that_fails_is_told_with_its_words(lab, agrees):
    said = agrees(lab.config(ProxyCommand="sh -c 'echo no route to the lab >&2; exit 3'"), works=False)
    assert "no route to the lab" in said
    assert "exit status 3" in said


def test_nothing_of_a_proxy_command_is_left_after_closing(lab, relay):
    with Ssh(lab.endpoint(lab.config(ProxyCommand=f"{relay} %h %p"))) as ssh:
        process = ssh._proxy._process
        assert process.poll() is None
        assert ssh.run(["echo", "ok"]).stdout == b"ok\n"
    assert process.returncode is not None


# -- jump hosts -----------------------------------------------------------------------------------


def jumps(lab, **hosts: str) -> str:
    """Write Host blocks: name -> further lines; all are this machine, with the key and the known hosts."""
    return "".join(
        f"Host {name}\n    HostName 127.0.0.1\n    Port {lab.port}\n    User {lab.user}\n    IdentityAgent none\n"
        f'    IdentityFile "{lab.client}"\n    UserKnownHostsFile "{lab.known_hosts}"\n    {lines}\n'
        for name, lines in hosts.items()
    )


def hops_of(lab, config, host="board", **fields) -> int:
    with Ssh(lab.endpoint(config, host, **fields)) as ssh:
        assert ssh.run(["echo", "ok"]).stdout == b"ok\n"
        assert ssh.route.asked == len(ssh.route.hops) == len(ssh._connections)
        return len(ssh.route.hops)


@pytest.mark.parametrize(
    ("jump", "inner", "hops"),
    [
        ("bastion", "", 2),
        ("ssh://{user}@bastion:{port}", "", 2),
        ("{user}@localhost:{port}", "", 2),
        ("first,bastion", "", 3),
        ("bastion", "ProxyJump first", 3),
        ("bastion", "ProxyCommand {relay} %h %p", 2),
        ("first,bastion", "ProxyJump elsewhere.invalid", 3),
    ],
)
def test_jump_hosts_are_gone_through_with_their_own_configuration(lab, agrees, relay, jump, inner, hops):
    words = {"user": lab.user, "port": lab.port, "relay": relay}
    text = jumps(lab, first="", bastion=inner.format(**words))
    text += jumps(lab, localhost="")
    config = lab.config(text, ProxyJump=jump.format(**words))
    agrees(config)
    assert hops_of(lab, config) == hops


def test_a_jump_host_with_an_address_in_brackets(lab, agrees):
    if not has_ipv6():
        pytest.skip("no IPv6 on this machine's loopback interface")
    inner = lab.serve("ListenAddress ::1\nAddressFamily any\n")
    known = f"[::1]:{inner.port} {inner.public()}\n{lab.known_hosts.read_text()}"
    lab.known_hosts.write_text(known)
    text = f'Host ::1\n    IdentityFile "{inner.client}"\n    UserKnownHostsFile "{lab.known_hosts}"\n'
    jump = f"{lab.user}@[::1]:{inner.port}"
    agrees(lab.config(text, ProxyJump=jump))
    config = lab.config(text)
    for name in (jump, f"ssh://{jump}"):
        for transport in ("paramiko", "openssh"):
            assert lab.ours(lab.endpoint(config, proxy_jump=name, transport=transport)).works


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("jump", ["bastion", "first, bastion", "ssh://bastion"])
def test_jump_hosts_of_the_inventory_come_before_those_of_the_config(lab, jump):
    config = lab.config(jumps(lab, first="", bastion=""), ProxyJump="nowhere.invalid")
    for transport in ("paramiko", "openssh"):
        assert lab.ours(lab.endpoint(config, proxy_jump=jump, transport=transport)).works


def test_jump_hosts_that_lead_back_to_one_another_are_refused(lab):
    config = lab.config(jumps(lab, first="ProxyJump second", second="ProxyJump first"), ProxyJump="first")
    with pytest.raises(SshConfigError, match="lead back"):
        route.route_to(lab.endpoint(config))


def test_a_jump_host_that_cannot_reach_the_board_says_so(lab, agrees):
    said = agrees(lab.config(jumps(lab, bastion=""), Port="9", ProxyJump="bastion"), works=False)
    assert "UnreachableError" in said
    assert "127.0.0.1:9" in said


# -- asked once -----------------------------------------------------------------------------------


def test_ssh_is_asked_once_a_hop_however_often_the_link_breaks(lab, payload, monkeypatch, tmp_path):
    from tunebench.targets.client.board import Board
    from tunebench.targets.client.connection import BoardSpec

    asked_for: list[str] = []
    original = asked.ask
    monkeypatch.setattr(asked, "ask", lambda host, **more: asked_for.append(host) or original(host, **more))
    config = lab.config(jumps(lab, bastion=""), ProxyJump="bastion")
    spec = BoardSpec(
        "b", host="board", ssh_config=str(config), workdir=str(tmp_path / "w"), python=sys.executable
    )
    with Board(spec) as board:
        board.sync([payload])
        board.reconnect()
        board.sync([payload])
        with board.beside(lambda *where: socket.create_connection(where[:2], where[2])) as other:
            other.sync([payload])
    assert asked_for == ["board", "bastion"]


def test_without_a_config_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(asked, "ask", lambda *_, **__: pytest.fail("ssh was asked"))
    way = route.route_to(Endpoint("me@board", ssh_config=""))
    assert (way.board.user, way.board.hostname, way.board.port, way.asked) == ("me", "board", 22, 0)


# -- without ssh ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in TEXTS if name != "algorithms with signs"])
def test_the_parser_reads_the_same_as_ssh(lab, monkeypatch, name):
    """For machines without ssh; what ssh -G prints is the oracle."""
    text, settings = TEXTS[name]
    words = {"port": lab.port, "user": lab.user, "folder": lab.folder}
    chosen = {key: value.format(**words) if value else value for key, value in settings.items()}
    config = lab.config(text.format(**words), **chosen)
    monkeypatch.setenv("TUNEBENCH_TEST", str(lab.folder))
    by_ssh = make("board", asked.ask("board", file=str(config)), None, None)
    ours = make("board", parsed.read("board", None, None, str(config)), None, None)
    assert ours == by_ssh


def test_a_board_is_reached_without_ssh(lab, monkeypatch):
    monkeypatch.setattr(asked, "find_ssh", lambda: None)
    config = lab.config(jumps(lab, bastion=""), ProxyJump="bastion")
    outcome = lab.ours(lab.endpoint(config))
    assert outcome.works, outcome.said


def test_an_account_without_a_name_goes_on_without_ssh(lab):
    """docker run --user 12345: ssh itself does nothing at all there ("No user exists for uid 12345")."""
    if nss_wrapper() is None:
        pytest.skip("no nss_wrapper on this machine: install libnss-wrapper")
    for name in ("passwd", "group"):
        (lab.folder / name).write_text("somebody:x:4242:4242::/:/bin/sh\n")
    nameless = {
        **os.environ,
        "LD_PRELOAD": nss_wrapper(),
        "NSS_WRAPPER_PASSWD": str(lab.folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(lab.folder / "group"),
    }
    config = lab.config()
    refused = subprocess.run(
        ["ssh", "-G", "-F", str(config), "board"], env=nameless, capture_output=True, check=False
    )
    assert b"No user exists for uid" in refused.stderr
    program = (
        "from tunebench.targets.transport.endpoint import Endpoint\n"
        "from tunebench.targets.transport.ssh import Ssh\n"
        f"with Ssh(Endpoint('board', ssh_config={str(config)!r})) as ssh:\n"
        "    print(ssh.route.asked, ssh.run(['echo', 'ok']).stdout)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=nameless, capture_output=True, text=True, check=False
    )
    assert done.stdout == "0 b'ok\\n'\n", done.stderr


def test_words_are_split_as_ssh_splits_them():
    assert list(parsed.words_of('a \'b c\' "d\\"e" f#g # comment')) == ["a", "b c", 'd"e', "f#g"]
    assert shlex.split("a 'b c'") == ["a", "b c"]
