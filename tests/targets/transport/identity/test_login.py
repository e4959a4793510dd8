"""Logging in: real keys, agents and certificates; what is refused is told, once. Plain ssh is the oracle."""

from __future__ import annotations

import os
import socket
import subprocess
import threading

import pytest

from tests.targets.transport.conftest import add, keygen
from tunebench.targets.client.board import Board
from tunebench.targets.client.connection import BoardSpec
from tunebench.targets.errors import AuthError, BoardError, IncompatibleError, LinkError
from tunebench.targets.transport.identity import key_file
from tunebench.targets.transport.identity.agent import Agent, AgentError
from tunebench.targets.transport.ssh import Ssh

pytestmark = pytest.mark.openssh


def new_key(lab, name: str, *words: str, authorised: bool = False):
    """Make a key; tell the server of the lab that it is ours if ``authorised``."""
    path = lab.folder / name
    keygen(*(words or ("-t", "ed25519")), *(() if "-N" in words else ("-N", "")), "-f", path)
    if authorised:
        permit(lab, path)
    return path


def permit(lab, path) -> None:
    with (lab.server.directory / "client.pub").open("a") as file:
        file.write(path.with_name(path.name + ".pub").read_text())


@pytest.fixture
def own(lab):
    """A server of the test's own: its list of keys may be changed."""
    return lab.serve()


def refusals(lab) -> int:
    """How many logins the server has refused."""
    return (lab.server.directory / "log").read_text().count("Connection closed by authenticating user") + (
        lab.server.directory / "log"
    ).read_text().count("Connection reset by authenticating user")


# -- keys of files --------------------------------------------------------------------------------

FORMS = {
    "RSA": ("-t", "rsa", "-b", "2048"),
    "RSA as PEM": ("-t", "rsa", "-b", "2048", "-m", "PEM"),
    "RSA as PKCS#8": ("-t", "rsa", "-b", "2048", "-m", "PKCS8"),
    "ECDSA 256": ("-t", "ecdsa", "-b", "256"),
    "ECDSA 384": ("-t", "ecdsa", "-b", "384"),
    "ECDSA 521 as PEM": ("-t", "ecdsa", "-b", "521", "-m", "PEM"),
    "ECDSA as PKCS#8": ("-t", "ecdsa", "-m", "PKCS8"),
    "Ed25519": ("-t", "ed25519"),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_key_of_every_form_logs_in(own, agrees, name):
    path = new_key(own, "id", *FORMS[name], authorised=True)
    agrees(own.config(IdentityFile=str(path)), around=own)


def test_an_rsa_key_that_is_refused_is_told_as_that(own, agrees):
    path = new_key(own, "id", "-t", "rsa", "-b", "2048")
    said = agrees(own.config(IdentityFile=str(path)), works=False, around=own)
    assert said.startswith("AuthError")
    assert "does not accept our keys" in said
    assert "ssh-rsa SHA256:" in said
    assert "is not a private key" not in said


def test_the_keys_that_were_tried_are_named(own, agrees):
    paths = [new_key(own, name) for name in ("one", "two")]
    config = own.config(IdentityFile=f"{paths[0]}\n    IdentityFile {paths[1]}")
    said = agrees(config, works=False, around=own)
    for path in paths:
        shown = subprocess.run(
            ["ssh-keygen", "-lf", str(path)], capture_output=True, text=True, check=True
        ).stdout
        assert shown.split()[1] in said
        assert str(path) in said


def test_a_file_that_cannot_be_read_or_used_is_passed_over_and_told(own, agrees):
    folder = own.folder / "folder"
    folder.mkdir()
    (own.folder / "nonsense").write_text("no key at all")
    (own.folder / "nonsense").chmod(0o600)
    (own.folder / "putty.ppk").write_text("PuTTY-User-Key-File-3: ssh-ed25519\n")
    names = "\n    IdentityFile ".join(
        f'"{own.folder}/{name}"' for name in ("folder", "nonsense", "nowhere", "putty.ppk")
    )
    agrees(own.config(IdentityFile=f'{names}\n    IdentityFile "{own.client}"'), around=own)
    said = agrees(own.config(IdentityFile=names), works=False, around=own, transports=("paramiko",))
    assert "no key to offer" in said
    assert "nonsense is not a private key" in said
    assert "puttygen" in said
    assert "folder cannot be read: Is a directory" in said


def test_a_key_file_of_another_owner_is_passed_over(own, agrees):
    if os.getuid() == 0:
        pytest.skip("root can read every file: see the folder in its place above")
    path = new_key(own, "theirs")
    path.chmod(0)
    agrees(own.config(IdentityFile=f'{path}\n    IdentityFile "{own.client}"'), around=own)


def test_without_any_key_the_message_says_what_to_do(own, agrees):
    said = agrees(own.config(IdentityFile="none"), works=False, around=own)
    assert "no key to offer" in said
    assert "ssh-agent" in said


def test_the_command_of_the_message_can_be_pasted(own):
    config = own.config(IdentityFile="none")
    said = own.ours(own.endpoint(config)).said
    command = said[said.index("ssh -v") :]
    assert command == f"ssh -v -p {own.port} {own.user}@board true"


# -- the agent ------------------------------------------------------------------------------------


def test_an_encrypted_key_that_an_agent_of_nine_keys_holds(own, agrees):
    locked = new_key(own, "locked", "-t", "ed25519", "-N", "secret", authorised=True)
    agent = own.agent(*(new_key(own, f"other{n}") for n in range(8)))
    add(agent, locked, "secret")
    agrees(own.config(IdentityFile=str(locked), IdentitiesOnly="yes", IdentityAgent=str(agent)), around=own)
    # Also without IdentitiesOnly: what the config names comes first.
    agrees(own.config(IdentityFile=str(locked), IdentityAgent=str(agent)), around=own)
    # The inventory's key is that key too.
    config = own.config(IdentityFile=None, IdentityAgent=str(agent))
    for transport in ("paramiko", "openssh"):
        assert own.ours(own.endpoint(config, key_file=str(locked), transport=transport)).works


def test_an_encrypted_key_that_no_agent_holds_is_told_with_the_command(own):
    locked = new_key(own, "locked", "-t", "ed25519", "-N", "secret", authorised=True)
    said = own.ours(own.endpoint(own.config(), key_file=str(locked))).said
    assert f"is encrypted; unlock it in an agent: ssh-add {locked}" in said


def test_too_many_keys_of_an_agent_end_as_authentication_and_say_what_helps(own, agrees):
    agent = own.agent(*(new_key(own, f"other{n}") for n in range(9)))
    add(agent, own.client)
    said = agrees(own.config(IdentityFile="none", IdentityAgent=str(agent)), works=False, around=own)
    assert said.startswith("AuthError")
    assert "10 keys" in said
    assert "IdentitiesOnly" in said
    assert "Too many authentication failures" in said


@pytest.mark.parametrize("form", ["path", "variable", "SSH_AUTH_SOCK", "quoted"])
def test_the_agent_that_the_config_names_is_asked(own, agrees, form, monkeypatch):
    agent = own.agent(own.client)
    monkeypatch.setenv("TUNEBENCH_AGENT", str(agent))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    if form == "SSH_AUTH_SOCK":
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    value = {"path": str(agent), "variable": "$TUNEBENCH_AGENT", "quoted": f'"{agent}"'}.get(form, form)
    agrees(own.config(IdentityFile="none", IdentityAgent=value), around=own)


def test_the_agent_of_the_environment_is_asked_unless_the_config_says_none(own, agrees, monkeypatch):
    monkeypatch.setenv("SSH_AUTH_SOCK", str(own.agent(own.client)))
    agrees(own.config(IdentityFile="none", IdentityAgent=None), around=own)
    agrees(own.config(IdentityFile="none", IdentityAgent="none"), works=False, around=own)


def test_identities_only_leaves_the_agents_other_keys_alone(own, agrees):
    agent = own.agent(own.client)
    agrees(
        own.config(IdentityFile="none", IdentitiesOnly="yes", IdentityAgent=str(agent)),
        works=False,
        around=own,
    )


def test_a_public_file_names_the_key_in_the_agent(own, agrees):
    agent = own.agent(own.client)
    agrees(
        own.config(IdentityFile=f"{own.client}.pub", IdentitiesOnly="yes", IdentityAgent=str(agent)),
        around=own,
    )


def test_an_rsa_key_of_the_agent_signs_with_sha2(own, agrees):
    path = new_key(own, "id", "-t", "rsa", "-b", "2048", authorised=True)
    agent = own.agent(path)
    agrees(own.config(IdentityFile="none", IdentityAgent=str(agent)), around=own)


def test_a_hung_agent_is_left_out_in_time_and_told(own, tmp_path, monkeypatch):
    monkeypatch.setattr("tunebench.targets.transport.identity.agent._TIMEOUT_S", 0.3)
    path = tmp_path / "hung"
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(path))
        hung.listen()
        assert own.ours(own.endpoint(own.config(IdentityAgent=str(path)))).works
        said = own.ours(own.endpoint(own.config(IdentityFile="none", IdentityAgent=str(path)))).said
    assert f"the agent at {path} does not answer" in said


@pytest.mark.parametrize(
    "answer", [b"\0\0\0\1\5", b"\0\0\0\5\x0c\0\0\0\1", b"\xff\xff\xff\xff", b"", b"\0\0\0\6\x0c\0\0\0\0x"]
)
def test_an_agent_that_answers_nonsense_is_an_agent_error(tmp_path, answer):
    path = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve():
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        with Agent(path, 2.0) as agent:
            try:
                assert agent.keys() == []
            except AgentError as error:
                assert str(path) in str(error)


def test_a_locked_agent_is_told_and_files_are_tried(own, agrees):
    locked = new_key(own, "locked")
    agent = own.agent(locked)
    ask = own.folder / "ask"
    ask.write_text("#!/bin/sh\necho word\n")
    ask.chmod(0o700)
    env = {**os.environ, "SSH_AUTH_SOCK": str(agent), "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-x"], check=True, env=env, stdin=subprocess.DEVNULL, capture_output=True)
    agrees(own.config(IdentityAgent=str(agent)), around=own)


# -- certificates ---------------------------------------------------------------------------------


@pytest.fixture
def certified(lab):
    """A server that trusts an authority and no key; the authority."""
    ca = lab.folder / "user-ca"
    keygen("-t", "ed25519", "-N", "", "-f", ca)
    here = lab.serve(f"TrustedUserCAKeys {ca}.pub\nAuthorizedKeysFile none\n")
    return here, ca


@pytest.mark.parametrize("key_type", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("place", ["beside", "named", "in the agent", "named, key in the agent"])
def test_a_user_certificate_logs_in(certified, agrees, key_type, place):
    here, ca = certified
    path = new_key(here, "id", "-t", key_type)
    keygen("-s", ca, "-I", "me", "-n", here.user, f"{path}.pub")
    beside = here.folder / "id-cert.pub"
    settings = {"IdentityFile": str(path)}
    if place.startswith("named"):
        settings["CertificateFile"] = str(beside.rename(here.folder / "elsewhere"))
    if place.endswith("agent"):
        settings["IdentityAgent"] = str(here.agent(path))
        if place == "in the agent":
            settings["IdentityFile"] = "none"
    agrees(here.config(**settings), around=here)


def test_the_plain_key_is_offered_after_a_certificate_that_has_expired(own, agrees):
    ca = new_key(own, "ca")
    path = new_key(own, "id", authorised=True)
    keygen("-s", ca, "-I", "me", "-n", own.user, "-V", "20200101:20210101", f"{path}.pub")
    agrees(own.config(IdentityFile=str(path)), around=own)


# -- more than a key ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            "AuthenticationMethods publickey,password\nPasswordAuthentication yes\n",
            "wants a password as well",
        ),
        (
            "AuthenticationMethods publickey,keyboard-interactive\nKbdInteractiveAuthentication yes\nUsePAM yes\n",
            "second factor",
        ),
        ("PubkeyAuthentication no\nPasswordAuthentication yes\n", "takes no key"),
    ],
)
def test_what_is_wanted_beside_a_key_is_told(lab, agrees, settings, said):
    here = lab.serve(settings)
    failures = agrees(here.config(), works=False, around=here, transports=("paramiko",))
    assert failures.startswith("AuthError")
    assert said in failures
    assert here.ours(here.endpoint(here.config(), transport="openssh")).said.startswith("AuthError")


def test_two_keys_where_two_are_wanted(lab, agrees):
    here = lab.serve("AuthenticationMethods publickey,publickey\n")
    second = new_key(here, "second", authorised=True)
    agrees(here.config(IdentityFile=f'{second}\n    IdentityFile "{here.client}"'), around=here)
    said = agrees(here.config(), works=False, around=here, transports=("paramiko",))
    assert "wants a key as well" in said


def test_an_unknown_user_is_told_as_authentication(own, agrees):
    said = agrees(own.config(User="nobody-here"), works=False, around=own)
    assert said.startswith("AuthError")
    assert "nobody-here" in said


# -- never again ----------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["paramiko", "openssh"])
@pytest.mark.parametrize("settings", ["", "MaxAuthTries 1\n"])
def test_a_refused_login_is_not_tried_again(lab, tmp_path, transport, settings):
    """Five failed logins in a few seconds are what fail2ban locks a host out for."""
    here = lab.serve(f"LogLevel VERBOSE\n{settings}")
    keys = [new_key(here, name) for name in ("one", "two", "three")]
    config = here.config(IdentityFile="\n    IdentityFile ".join(map(str, keys)))
    spec = BoardSpec(
        "b", host="board", ssh_config=str(config), transport=transport, workdir=str(tmp_path / "w")
    )
    with pytest.raises(AuthError), Board(spec):
        pass
    assert issubclass(AuthError, BoardError)
    assert not issubclass(AuthError, LinkError)
    log = (here.server.directory / "log").read_text()
    assert log.count("Connection from 127.0.0.1") == 2  # the first one looked whether the server listens


ALGORITHMS = {
    "cipher": "Ciphers chacha20-poly1305@openssh.com\n",
    "MAC": "Ciphers aes256-ctr\nMACs umac-128-etm@openssh.com\n",
    "key exchange": "KexAlgorithms sntrup761x25519-sha512@openssh.com\n",
}


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_an_algorithm_that_we_do_not_speak_is_told_once_and_openssh_speaks_it(lab, tmp_path, kind):
    here = lab.serve(f"LogLevel VERBOSE\n{ALGORITHMS[kind]}")
    config = here.config()
    spec = BoardSpec("b", host="board", ssh_config=str(config), workdir=str(tmp_path / "w"))
    with pytest.raises(IncompatibleError, match=f'no {kind} in common.*transport = "openssh"'), Board(spec):
        pass
    assert (here.server.directory / "log").read_text().count("Connection from 127.0.0.1") == 2
    assert here.oracle(config).works
    outcome = here.ours(here.endpoint(config, transport="openssh"))
    assert outcome.works, outcome.said


# -- reading files --------------------------------------------------------------------------------


def test_the_public_half_of_an_encrypted_key_is_known(lab):
    path = new_key(lab, "id", "-t", "ed25519", "-N", "secret")
    public = key_file.certificate(lab.folder / "id.pub")
    (lab.folder / "id.pub").unlink()
    file = key_file.read(path)
    assert (file.private, file.public, file.encrypted) == (None, public, True)


@pytest.mark.parametrize("form", ["PEM", "PKCS8"])
def test_an_encrypted_key_of_an_old_form_is_told_as_encrypted(lab, form):
    path = new_key(lab, "id", "-t", "rsa", "-b", "2048", "-m", form, "-N", "secret")
    file = key_file.read(path)
    assert file.encrypted
    assert "ssh-add" in file.fault


def test_a_key_is_read_once(lab, monkeypatch):
    read = []
    original = key_file._paramiko_key
    monkeypatch.setattr(key_file, "_paramiko_key", lambda data: read.append(data) or original(data))
    with Ssh(lab.endpoint(lab.config())) as ssh:
        assert ssh.alive
    assert len(read) == 1
