"""The one way to reach a board: one SSH connection, reused; every wait bounded; every argument quoted.

fabric reads ``~/.ssh/config`` (alias, user, port, key, ProxyJump) and connects; channels are opened here,
because fabric's own ``open_session()`` waits up to 3600 s on a frozen peer (fabric #2197).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Any, Literal

import fabric
import paramiko

from tunebench.targets.errors import AuthError, HostKeyError, LinkError, TargetError, UnreachableError
from tunebench.targets.transport.channel import Duplex, Watchdog
from tunebench.targets.transport.host_keys import AcceptNew, RefuseUnknown, fingerprint

#: paramiko logs the tracebacks of what it also raises; who wants them configures logging.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

#: (host, port, timeout_s) -> a connected socket: how TCP connections are made
#: (:mod:`tunebench.targets.transport.traffic_shaping` has another way).
Dial = Callable[[str, int, float], socket.socket]

#: How often an idle connection's thread wakes up to look after itself; ten times a second, paramiko's way, is half of
#: what waiting for a board costs the host.
_LOOK_S = 1.0
_INCLUDE = re.compile(r"^\s*include\s*=?\s*(.+?)\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Timeouts:
    """Bounds in seconds of everything that waits for the peer.

    Attributes:
        connect_s: TCP connection, and key exchange.
        banner_s: the server's identification line.
        auth_s: authentication.
        channel_s: opening a channel and starting a command on it.
        command_s: default for one answer of a command.
    """

    connect_s: float = 10.0
    banner_s: float = 15.0
    auth_s: float = 20.0
    channel_s: float = 15.0
    command_s: float = 60.0


@dataclass(frozen=True)
class Endpoint:
    """Where a board is and how it proves who it is.

    Attributes:
        host: name, address or alias of the ssh config.
        user, port, key_file, proxy_jump: override the ssh config; ``proxy_jump`` as in ssh (``a,user@b:22``).
        known_hosts: default: the ssh config's first ``UserKnownHostsFile``, else ``~/.ssh/known_hosts``.
        host_keys: ``accept-new`` adds unknown keys to ``known_hosts``; a changed key is always refused.
        ssh_config: a file; ``None``: ``~/.ssh/config`` and ``/etc/ssh/ssh_config``; ``""``: none at all.
    """

    host: str
    user: str | None = None
    port: int | None = None
    key_file: str | None = None
    proxy_jump: str | None = None
    known_hosts: str | None = None
    host_keys: Literal["verify", "accept-new"] = "verify"
    ssh_config: str | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True)
class Completed:
    """A remote command that has ended; ``returncode`` is ``None`` if a signal ended it."""

    returncode: int | None
    stdout: bytes
    stderr: bytes


class Ssh:
    """One connection to one board.

    Attributes:
        channels_opened: channels opened so far; on a loopback OpenSSH one costs about 0.1 s.
    """

    def __init__(self, endpoint: Endpoint, dial: Dial | None = None) -> None:
        self.endpoint = endpoint
        self._dial = dial or tcp
        self.channels_opened = 0
        self._connection: Any = None
        self._socket: socket.socket | None = None
        self._transport: paramiko.Transport | None = None
        self._watchdog: Watchdog | None = None

    def __enter__(self) -> Ssh:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Tell whether the connection is believed to be up (a frozen peer is noticed only by asking)."""
        return self._transport is not None and bool(self._transport.is_active())

    def connect(self) -> None:
        """Connect and authenticate; does nothing if the connection is up.

        Raises:
            UnreachableError, AuthError, HostKeyError: see :mod:`tunebench.targets.errors`.
            LinkError: the peer accepted the TCP connection and then fell silent or talked nonsense.
        """
        if self.alive:
            return
        self.close()
        with translated(self.endpoint.host):
            self._connection = make_connection(self.endpoint)
        where = f"{self._connection.host}:{self._connection.port}"
        try:
            with translated(where, _known_hosts(self._connection, self.endpoint)):
                for hop in [*_gateways(self._connection), self._connection]:
                    if not hop.gateway:
                        self._socket = self._dial(hop.host, hop.port, self.endpoint.timeouts.connect_s)
                        hop.connect_kwargs["sock"] = self._socket
                    hop.open()
        except BaseException:
            self.close()
            raise
        self._transport = self._connection.client.get_transport()
        if self._socket is not None:
            self._socket.settimeout(_LOOK_S)
        self._watchdog = Watchdog(self._abort)

    def close(self) -> None:
        """Close the connection and those of its gateways; safe to call more than once."""
        self._abort()
        if self._watchdog is not None:
            self._watchdog.stop()
        self._watchdog = self._transport = self._connection = self._socket = None

    def _abort(self) -> None:
        connection = self._connection
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the transport, which looks only now and then
        if connection is not None:
            for hop in [connection, *_gateways(connection)]:
                # The client's own close; fabric's does nothing when connecting had failed half-way.
                with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                    hop.client.close()
        if self._socket is not None:
            self._socket.close()  # the transport's, unless connecting failed before there was one

    def open(self, argv: Sequence[str], timeout_s: float | None = None) -> Duplex:
        """Start a command and return its channel.

        Args:
            argv: the command; each argument is quoted for the board's POSIX shell.
            timeout_s: default bound of each wait on the channel.

        Raises:
            LinkError: not connected, connection lost, or no channel within ``channel_s``.
        """
        timeouts = self.endpoint.timeouts
        what = f"{self.endpoint.host}: {_short(argv)}"
        transport, watchdog = self._transport, self._watchdog
        if transport is None or watchdog is None or not self.alive:
            raise LinkError(f"{what}: not connected")
        try:
            with watchdog.guard(timeouts.channel_s + 1.0):
                channel = transport.open_session(timeout=timeouts.channel_s)
                self.channels_opened += 1
                channel.settimeout(timeouts.channel_s)
                # exec_command waits for the server's yes without looking at the timeout
                channel.exec_command(shlex.join(argv))
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise LinkError(f"{what}: no channel: {error or type(error).__name__}") from error
        return Duplex(channel, what, watchdog, timeout_s or timeouts.command_s)

    def run(
        self,
        argv: Sequence[str],
        stdin: bytes = b"",
        timeout_s: float | None = None,
        max_output_b: int = 4 * 1024 * 1024,
    ) -> Completed:
        """Run a command to its end.

        Raises:
            LinkError: it took longer than ``timeout_s`` or the connection was lost.
            ReplyError: it printed more than ``max_output_b``.
        """
        bound_s = self.endpoint.timeouts.command_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + bound_s
        with self.open(argv, bound_s) as duplex:
            # A command may end without reading its input; its status then says what happened.
            with contextlib.suppress(TargetError) if stdin else contextlib.nullcontext():
                duplex.send(stdin, bound_s)
            duplex.close_stdin()
            stdout = duplex.read_all(deadline, max_output_b, bound_s)
            return Completed(duplex.returncode(), stdout, duplex.stderr)


def tcp(host: str, port: int, timeout_s: float) -> socket.socket:
    """Open a TCP connection without Nagle's algorithm, which paramiko leaves on: 40 ms a round trip."""
    sock = socket.create_connection((host, port), timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def make_connection(endpoint: Endpoint) -> Any:
    """Return a fabric connection (not yet open) with our policies on it and on each of its gateways."""
    config = fabric.Config(ssh_config=load_ssh_config(endpoint.ssh_config))
    known = config.base_ssh_config.lookup(endpoint.host)
    gateway: Any = _gateway(endpoint.proxy_jump or known.get("proxyjump"), endpoint, config)
    if gateway is None:
        gateway = known.get("proxycommand") or False
    # fabric takes ConnectTimeout as whole seconds and refuses it next to our own: ours wins.
    connection = fabric.Connection(
        endpoint.host,
        user=endpoint.user,
        port=endpoint.port,
        config=config,
        gateway=gateway,
        connect_timeout=1,
    )
    return _prepare(connection, endpoint, endpoint.key_file)


def _gateway(hops: str | None, endpoint: Endpoint, config: Any) -> Any:
    """Return the last of a chain of jump hosts (``a,user@b:22``), each reached through the one before it."""
    if not hops or hops.lower() == "none":
        return None
    last: Any = None
    for hop in hops.split(","):
        connection = fabric.Connection(hop.strip(), config=config, gateway=last or False, connect_timeout=1)
        last = _prepare(connection, endpoint, endpoint.key_file)
    return last


def _gateways(connection: Any) -> list[Any]:
    """Return the jump hosts of a connection, the first to be opened first."""
    gateways: list[Any] = []
    gateway = connection.gateway
    while gateway and not isinstance(gateway, str):
        gateways.insert(0, gateway)
        gateway = gateway.gateway
    return gateways


def _prepare(connection: Any, endpoint: Endpoint, key_file: str | None) -> Any:
    timeouts = endpoint.timeouts
    connection.connect_timeout = None
    keys = [str(Path(key_file).expanduser())] if key_file else connection.ssh_config.get("identityfile", [])
    if key_file:
        _check_key(endpoint.host, keys[0])
    keys = [key for key in keys if Path(key).is_file()]
    connection.connect_kwargs = {
        "timeout": timeouts.connect_s,
        "banner_timeout": timeouts.banner_s,
        "auth_timeout": timeouts.auth_s,
        "channel_timeout": timeouts.channel_s,
        "key_filename": keys,
        "look_for_keys": not keys,
        "allow_agent": not key_file and _agent_answers(),
    }
    known_hosts = _known_hosts(connection, endpoint)
    policy = AcceptNew if endpoint.host_keys == "accept-new" else RefuseUnknown
    client = connection.client
    client.set_missing_host_key_policy(policy(known_hosts))
    shared = [] if endpoint.known_hosts else [Path("/etc/ssh/ssh_known_hosts")]
    for file in [known_hosts, *shared]:
        if file.is_file():
            client.load_system_host_keys(str(file))
    return connection


def _check_key(host: str, key: str) -> None:
    """Say what is wrong with a key file here: paramiko's word comes late and looks like a broken link."""
    if not Path(key).is_file():
        raise AuthError(f"{host}: key_file {key} does not exist")
    try:
        paramiko.PKey.from_path(key)
    except TypeError as error:
        raise AuthError(
            f"{host}: key_file {key} is encrypted; add it to ssh-agent and leave key_file out"
        ) from error
    except (ValueError, OSError, paramiko.SSHException, paramiko.pkey.UnknownKeyType) as error:
        raise AuthError(f"{host}: key_file {key} is not a private key: {error}") from error


def _known_hosts(connection: Any, endpoint: Endpoint) -> Path:
    configured = connection.ssh_config.get("userknownhostsfile", "").split()
    chosen = endpoint.known_hosts or (configured[0] if configured else "~/.ssh/known_hosts")
    return Path(chosen).expanduser()


def _agent_answers(timeout_s: float = 2.0) -> bool:
    """Tell whether an ssh-agent is there and answers: paramiko waits for a hung one without bound (#2147)."""
    path = os.environ.get("SSH_AUTH_SOCK")
    if not path:
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.settimeout(timeout_s)
            agent.connect(path)
            agent.sendall(b"\0\0\0\1\x0b")  # SSH_AGENTC_REQUEST_IDENTITIES
            return bool(agent.recv(4))
    except OSError:
        return False


def load_ssh_config(path: str | None) -> paramiko.SSHConfig:
    """Read ssh config files; ``Include`` is expanded, which paramiko does not do.

    Raises:
        TargetError: a file was named and cannot be read or parsed.
    """
    if path is None:
        candidates = [Path("~/.ssh/config").expanduser(), Path("/etc/ssh/ssh_config")]
        files = [candidate for candidate in candidates if candidate.is_file()]
    else:
        files = [Path(path).expanduser()] if path else []
    try:
        text = "".join(line + "\n" for file in files for line in _config_lines(file, depth=0))
        return paramiko.SSHConfig.from_text(text)
    except (OSError, UnicodeDecodeError, paramiko.ConfigParseError) as error:
        raise TargetError(f"ssh config {', '.join(map(str, files))}: {error}") from error


def _config_lines(file: Path, depth: int) -> Iterator[str]:
    # An Include at the top must not swallow what follows it into its last Host block.
    yield "Host *"
    block = "Host *"
    for line in file.read_text(encoding="utf-8").splitlines():
        include = _INCLUDE.match(line)
        if include is None:
            if re.match(r"\s*(host|match)[\s=]", line, re.IGNORECASE):
                block = line
            yield line
            continue
        for pattern in include.group(1).split():
            rooted = str(Path("~/.ssh") / Path(pattern)) if not pattern.startswith(("/", "~")) else pattern
            for name in sorted(glob(str(Path(rooted).expanduser()))):  # noqa: PTH207 - absolute patterns
                if depth < 8 and Path(name).is_file():
                    yield from _config_lines(Path(name), depth + 1)
        yield block


def _short(argv: Sequence[str]) -> str:
    text = shlex.join(argv)
    return text if len(text) <= 100 else text[:97] + "..."


@contextlib.contextmanager
def translated(where: str, known_hosts: Path | None = None) -> Iterator[None]:
    """Turn what paramiko and the socket raise while connecting into our errors; the retry is decided here."""
    try:
        yield
    except TargetError:
        raise
    except paramiko.BadHostKeyException as error:
        raise HostKeyError(
            f"{where}: the host key has changed: got {error.key.get_name()} {fingerprint(error.key)}, known "
            f"is {error.expected_key.get_name()} {fingerprint(error.expected_key)}. Another machine, or "
            f"someone in between? If the board was set up anew, remove its line from {known_hosts}"
        ) from error
    except paramiko.AuthenticationException as error:
        if "timeout" in str(error).lower():
            raise LinkError(f"{where}: authentication took too long") from error
        raise AuthError(f"{where}: the board does not accept our key or user: {error}") from error
    except paramiko.ChannelException as error:
        raise UnreachableError(f"{where}: the jump host could not connect to it: {error}") from error
    except (paramiko.ssh_exception.NoValidConnectionsError, socket.gaierror, ConnectionRefusedError) as error:
        raise UnreachableError(f"{where}: {error}") from error
    except TimeoutError as error:
        raise UnreachableError(f"{where}: no TCP connection in time") from error
    except (paramiko.SSHException, EOFError, ConnectionError) as error:
        if "No authentication methods" in str(error):
            raise AuthError(f"{where}: no key to offer: set key_file, or start ssh-agent") from error
        raise LinkError(
            f"{where}: the connection could not be set up: {error or 'closed by the peer'}"
        ) from error
    except (OSError, ValueError) as error:
        raise UnreachableError(f"{where}: {error}") from error
