"""The way to a board: its configuration and that of every jump host before it, each asked for once.

ProxyJump as OpenSSH does it: of ``a,b`` the last is gone through last, and reached through the others; the first has
a ProxyJump or ProxyCommand of its own, if its configuration says so.
"""

from __future__ import annotations

import dataclasses
import re
import time
from dataclasses import dataclass
from pathlib import Path

from tunebench.targets.errors import SshConfigError
from tunebench.targets.transport.config import asked, parsed
from tunebench.targets.transport.config.host_config import HostConfig, make
from tunebench.targets.transport.endpoint import Endpoint

#: ssh itself would start itself without end where jump hosts lead back to one another.
_MAX_HOPS = 12
_URI = re.compile(r"\Assh://", re.IGNORECASE)
_HOP = re.compile(r"(?:(?P<user>.+)@)?(?P<host>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>\d+))?/?\Z")


@dataclass(frozen=True)
class Route:
    """The hosts to a board, the first to be opened first; the last one is the board.

    Attributes:
        asked: how often ``ssh -G`` was called.
        asked_s: how long that took.
    """

    hops: tuple[HostConfig, ...]
    asked: int = 0
    asked_s: float = 0.0

    @property
    def board(self) -> HostConfig:
        """Return the board's own configuration."""
        return self.hops[-1]


def route_to(endpoint: Endpoint) -> Route:
    """Return the way to a board, as OpenSSH would go.

    Raises:
        SshConfigError: the configuration cannot be read or understood, or its jump hosts form a circle.
    """
    began_s = time.monotonic()
    hops: list[HostConfig] = []
    host, user, port, jump = endpoint.host, endpoint.user, endpoint.port, endpoint.proxy_jump
    count = 0
    while True:
        config, by_ssh = _configuration(endpoint.ssh_config, host, user, port, jump)
        count += by_ssh
        hops.insert(0, _with_own(config, endpoint, is_board=not hops))
        if config.proxy_jump is None:
            return Route(tuple(hops), count, time.monotonic() - began_s)
        if len(hops) > _MAX_HOPS:
            chain = " <- ".join(hop.where for hop in hops[:4])
            raise SshConfigError(f"{endpoint.host}: its jump hosts lead back to one another: {chain} <- ...")
        before, _, last = config.proxy_jump.rpartition(",")
        user, host, port = parse_hop(last, endpoint.host)
        jump = before or None


def _configuration(
    file: str | None, host: str, user: str | None, port: int | None, jump: str | None
) -> tuple[HostConfig, int]:
    """Return a host's configuration, and how many times ssh was asked for it."""
    own_user, name, own_port = parse_destination(host)
    if file != "":
        try:
            values = asked.ask(host, user=user, port=port, jump=jump, file=file)
            return make(name, values, None, None), 1
        except asked.NoSshError:
            pass
    user, port = user or own_user, port or own_port
    values = parsed.read(name, user, port, file) if file != "" else {"hostname": [name]}
    if jump is not None:
        values = {**values, "proxyjump": [jump], "proxycommand": []}
    return make(name, values, user, port), 0


def _with_own(config: HostConfig, endpoint: Endpoint, *, is_board: bool) -> HostConfig:
    """Return a host's configuration with what the inventory sets in its place."""
    if endpoint.known_hosts is not None:
        own = (Path(endpoint.known_hosts).expanduser(),)
        config = dataclasses.replace(config, known_hosts=own, global_known_hosts=())
    if endpoint.host_keys is not None:
        accept_new = endpoint.host_keys == "accept-new"
        config = dataclasses.replace(config, accept_new=accept_new, trust_localhost=False)
    if endpoint.key_file is None:
        return config
    key = Path(endpoint.key_file).expanduser()
    if is_board:
        return dataclasses.replace(config, identity_files=(key,), identities_only=True)
    # The key is offered to jump hosts, too, beside their own.
    return dataclasses.replace(config, identity_files=(key, *config.identity_files))


def parse_hop(text: str, board: str) -> tuple[str | None, str, int | None]:
    """Return user, host and port of a jump host: ``[user@]host[:port]``, ``ssh://`` before it or not.

    Raises:
        SshConfigError: it is none.

    >>> parse_hop("ann@[::1]:2222", "board")
    ('ann', '::1', 2222)
    """
    match = _HOP.match(_URI.sub("", text.strip()))
    if match is None:
        raise SshConfigError(
            f"{board}: jump host {text!r}: expected user@host:port, [address]:port or ssh://host"
        )
    port = match["port"]
    return match["user"], match["host"].strip("[]"), int(port) if port else None


def parse_destination(text: str) -> tuple[str | None, str, int | None]:
    """Return user, host and port of what ssh is told to connect to; only a URI has a port.

    >>> parse_destination("ann@board"), parse_destination("fe80::1"), parse_destination("ssh://board:23")
    (('ann', 'board', None), (None, 'fe80::1', None), (None, 'board', 23))
    """
    if _URI.match(text):
        return parse_hop(text, text)
    user, _, host = text.rpartition("@")
    return user or None, host, None
