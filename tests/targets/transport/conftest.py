"""A lab of real programs: sshd with settings of its own, ssh-agent, ssh-keygen; and plain ``ssh`` as the oracle."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sshd import quick_server
from tunebench.targets.errors import TargetError
from tunebench.targets.transport.endpoint import Endpoint, Timeouts
from tunebench.targets.transport.openssh import OpenSsh
from tunebench.targets.transport.ssh import Ssh
from tunebench.targets.virtual.openssh import OpenSshServer, find_sshd

SHORT = Timeouts(connect_s=5.0, banner_s=5.0, auth_s=10.0, channel_s=5.0, command_s=10.0)


def keygen(*words: str | Path) -> None:
    """Call ssh-keygen."""
    subprocess.run(["ssh-keygen", "-q", *map(str, words)], check=True, stdin=subprocess.DEVNULL)


@dataclasses.dataclass
class Outcome:
    """How a connection went."""

    works: bool
    said: str


class SshLab:
    """Files for ssh in a folder, a server to reach with them, and the ways to try both."""

    def __init__(self, folder: Path, server: OpenSshServer, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self.server = server
        self._stack = stack
        self.port = server.port
        self.user = getpass.getuser()
        self.client = server.directory / "client"
        self.known_hosts = folder / "known hosts"
        self.known_hosts.write_text((server.directory / "known_hosts").read_text())

    def serve(self, settings: str = "", key_types: tuple[str, ...] = ("ed25519",)) -> SshLab:
        """Start another server with settings of its own, and return the lab around it."""
        folder = self.folder / f"server-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        server = self._stack.enter_context(quick_server(folder, SHORT, settings, key_types))
        inner = self.folder / f"{folder.name}-files"
        inner.mkdir()
        return SshLab(inner, server, self._stack)

    def public(self, name: str = "host") -> str:
        """Return type and base64 of one of the server's public keys."""
        return " ".join((self.server.directory / f"{name}.pub").read_text().split()[:2])

    @property
    def name(self) -> str:
        """Return the server's name as known_hosts has it."""
        return f"[127.0.0.1]:{self.port}"

    def config(self, text: str = "", alias: str = "board", **settings: str | None) -> Path:
        """Write an ssh config: ``text``, then a Host block for the server; ``settings`` replace or remove its lines."""
        lines: dict[str, str | None] = {
            "HostName": "127.0.0.1",
            "Port": str(self.port),
            "User": self.user,
            "IdentityFile": f'"{self.client}"',
            "IdentityAgent": "none",
            "UserKnownHostsFile": f'"{self.known_hosts}"',
            "GlobalKnownHostsFile": "none",
            **settings,
        }
        block = "".join(f"    {key} {value}\n" for key, value in lines.items() if value is not None)
        path = self.folder / "config"
        path.write_bytes(f"{text}\nHost {alias}\n{block}".encode("utf-8", "surrogateescape"))
        return path

    def oracle(
        self, config: Path, host: str = "board", *words: str, env: dict[str, str] | None = None
    ) -> Outcome:
        """Try plain ssh with the same files."""
        done = subprocess.run(
            [
                "ssh",
                "-T",
                "-F",
                str(config),
                "-o",
                "BatchMode=yes",
                "-o",
                "ConnectTimeout=10",
                *words,
                host,
                "echo ok",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, **(env or {})},
        )
        return Outcome(done.stdout == b"ok\n", done.stderr.decode("utf-8", "replace"))

    def endpoint(self, config: Path, host: str = "board", **fields: object) -> Endpoint:
        """Return the endpoint of a board with these files."""
        return dataclasses.replace(Endpoint(host, ssh_config=str(config), timeouts=SHORT), **fields)

    def ours(self, endpoint: Endpoint) -> Outcome:
        """Try tunebench with the same files."""
        ssh = OpenSsh(endpoint) if endpoint.transport == "openssh" else Ssh(endpoint)
        try:
            with ssh:
                return Outcome(ssh.run(["echo", "ok"]).stdout == b"ok\n", "")
        except TargetError as error:
            return Outcome(False, f"{type(error).__name__}: {error}")

    def logins(self) -> int:
        """Count the connections that the server has seen fail or go, by its log."""
        return (self.server.directory / "log").read_text().count("Connection closed by") + (
            self.server.directory / "log"
        ).read_text().count("Disconnecting")

    def agent(self, *keys: Path) -> Path:
        """Start an ssh-agent with keys; return its socket."""
        path = self.folder / f"agent-{len(list(self.folder.iterdir()))}"
        process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
        self._stack.callback(lambda: (process.send_signal(signal.SIGTERM), process.wait(10)))
        deadline = time.monotonic() + 10
        # The socket is there before the agent listens at it.
        with socket.socket(socket.AF_UNIX) as probe:
            while probe.connect_ex(str(path)) != 0:
                assert time.monotonic() < deadline, "ssh-agent does not listen"
                time.sleep(0.01)
        for key in keys:
            add(path, key)
        return path


def add(agent: Path, key: Path, passphrase: str | None = None) -> None:
    """Add a key to an agent; its passphrase comes from a program, as ssh-add asks for one."""
    env = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
    if passphrase is not None:
        ask = agent.parent / f"ask-{key.name}"
        ask.write_text(f"#!/bin/sh\necho {passphrase}\n")
        ask.chmod(0o700)
        env |= {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
    subprocess.run(
        ["ssh-add", "-q", str(key)], check=True, env=env, stdin=subprocess.DEVNULL, start_new_session=True
    )


@pytest.fixture(scope="module")
def plain_server(tmp_path_factory) -> Iterator[OpenSshServer]:
    """A server that the tests of a module share."""
    if find_sshd() is None or shutil.which("ssh") is None:
        pytest.skip("no sshd or ssh on this machine: install openssh-server and openssh-client")
    with quick_server(
        tmp_path_factory.mktemp("plain"), SHORT, key_types=("ed25519", "ecdsa", "rsa")
    ) as server:
        yield server


@pytest.fixture
def lab(tmp_path, plain_server) -> Iterator[SshLab]:
    """A lab around the module's server; its files are the test's own."""
    with contextlib.ExitStack() as stack:
        yield SshLab(tmp_path, plain_server, stack)


@pytest.fixture
def agrees(lab) -> Callable[..., str]:
    """Function (config, host, works, ...): ssh and both transports all connect, or all refuse; returns what ours said."""

    def check(
        config: Path,
        host: str = "board",
        *,
        works: bool = True,
        words: tuple[str, ...] = (),
        around: SshLab | None = None,
        transports: tuple[str, ...] = ("paramiko", "openssh"),
        **fields: object,
    ) -> str:
        here = around or lab
        known = here.known_hosts.read_bytes() if here.known_hosts.exists() else None
        oracle = here.oracle(config, host, *words)
        assert oracle.works is works, f"plain ssh: {oracle.said}"
        said = ""
        for transport in reversed(transports):
            if known is not None:
                here.known_hosts.write_bytes(known)  # each begins as ssh began
            outcome = here.ours(here.endpoint(config, host, transport=transport, **fields))
            assert outcome.works is works, f"{transport}: {outcome.said}"
            said = outcome.said
        return said

    return check
