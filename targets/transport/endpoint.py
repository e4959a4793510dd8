"""Where a board is and how it proves who it is, how long its answers may take, and what a command on it gave."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

#: (host, port, timeout_s) -> a connected socket: how TCP connections are made
#: (:mod:`tunebench.targets.transport.traffic_shaping` has another way).
Dial = Callable[[str, int, float], socket.socket]

#: ``paramiko``: in this process, through fabric; ``openssh``: the system's ``ssh``, as a control master.
Transport = Literal["paramiko", "openssh"]


@dataclass(frozen=True)
class Timeouts:
    """Bounds in seconds of everything that waits for the peer.

    Attributes:
        connect_s: TCP connection, and key exchange.
        banner_s: the server's identification line; sshd that asks a dead resolver (``UseDNS``) or has its
            ``MaxStartups`` in use takes its time.
        auth_s: authentication; sshd itself gives it 120 s (``LoginGraceTime``).
        channel_s: opening a channel and starting a command on it.
        command_s: default for one answer of a command.
    """

    connect_s: float = 10.0
    banner_s: float = 60.0
    auth_s: float = 60.0
    channel_s: float = 15.0
    command_s: float = 60.0


@dataclass(frozen=True)
class Endpoint:
    """Where a board is and how it proves who it is.

    Attributes:
        host: name, address or alias of the ssh config, also ``user@host`` and ``ssh://user@host:port``.
        user, port, key_file, proxy_jump: override the ssh config; ``proxy_jump`` as in ssh (``a,user@b:22``).
        known_hosts: default: the ssh config's ``UserKnownHostsFile`` and ``GlobalKnownHostsFile``.
        host_keys: ``accept-new`` adds unknown keys to ``known_hosts``; ``None``: as the ssh config's
            ``StrictHostKeyChecking`` says, where ``no`` is taken for ``accept-new``, and all else for ``verify``. A
            changed key is always refused.
        ssh_config: a file; ``None``: ``~/.ssh/config`` and ``/etc/ssh/ssh_config``; ``""``: none at all.
        transport: who speaks SSH.
    """

    host: str
    user: str | None = None
    port: int | None = None
    key_file: str | None = None
    proxy_jump: str | None = None
    known_hosts: str | None = None
    host_keys: Literal["verify", "accept-new"] | None = None
    ssh_config: str | None = None
    transport: Transport = "paramiko"
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True)
class Completed:
    """A remote command that has ended; ``returncode`` is ``None`` if a signal ended it."""

    returncode: int | None
    stdout: bytes
    stderr: bytes
