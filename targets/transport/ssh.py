"""The usual way to reach a board: one SSH connection, reused; every wait bounded; every argument quoted.

OpenSSH is asked what its configuration says (alias, user, port, keys, jump hosts); fabric and paramiko connect.
Channels are opened here, because fabric's own ``open_session()`` waits up to 3600 s on a frozen peer (fabric #2197).
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fabric
import paramiko

from tunebench.targets.errors import IncompatibleError, LinkError, TargetError, UnreachableError
from tunebench.targets.transport.channel import Duplex, Watchdog
from tunebench.targets.transport.client import Client
from tunebench.targets.transport.config.host_config import HostConfig
from tunebench.targets.transport.config.route import Route
from tunebench.targets.transport.endpoint import Dial, Endpoint
from tunebench.targets.transport.link import CLOSED_TRIES, REFUSED_PAUSE_S, SshLink, short
from tunebench.targets.transport.proxy import ProxyCommand

#: paramiko logs the tracebacks of what it also raises; who wants them configures logging.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

#: How often an idle connection's thread wakes up to look after itself; ten times a second, paramiko's way, is half of
#: what waiting for a board costs the host.
_LOOK_S = 1.0


class _NoConfig(paramiko.SSHConfig):
    """Says nothing of any host; paramiko's own asks for this account's name to do so, which it may not have."""

    def lookup(self, hostname: str) -> paramiko.SSHConfigDict:
        """Return the name alone."""
        return paramiko.SSHConfigDict(hostname=hostname)


class Ssh(SshLink):
    """One connection to one board, by paramiko.

    Args:
        endpoint: where it is.
        dial: opens the TCP connection.
        route: the way there, if it is known already.
    """

    def __init__(self, endpoint: Endpoint, dial: Dial | None = None, route: Route | None = None) -> None:
        super().__init__(endpoint, route)
        self._dial = dial or tcp
        self._connections: list[Any] = []
        self._proxy: ProxyCommand | None = None
        self._socket: socket.socket | None = None
        self._transport: paramiko.Transport | None = None
        self._watchdog: Watchdog | None = None

    @property
    def alive(self) -> bool:
        """Tell whether the connection is believed to be up (a frozen peer is noticed only by asking)."""
        return self._transport is not None and bool(self._transport.is_active())

    def connect(self) -> None:
        """Connect and authenticate; does nothing if the connection is up."""
        if self.alive:
            return
        self.close()
        try:
            for hop in self.route.hops:
                self._open_hop(hop)
        except BaseException:
            self.close()
            raise
        self._transport = self._connections[-1].client.get_transport()
        if self._socket is not None:
            self._socket.settimeout(_LOOK_S)
        self._watchdog = Watchdog(self._abort)

    def _open_hop(self, hop: HostConfig) -> None:
        """Connect to the next host, through the one before it."""
        is_board = hop is self.route.board
        key = self.endpoint.key_file
        demanded = Path(key).expanduser() if is_board and key is not None else None
        with translated(hop, self):
            sock = self._through() if self._connections else self._first(hop)
            # Nothing of fabric's own files: what the user's ssh does is the measure.
            config = fabric.Config(ssh_config=_NoConfig(), lazy=True)
            connection = fabric.Connection(hop.hostname, user=hop.user, port=hop.port, config=config)
            connection.client = Client(hop, self.endpoint.timeouts, demanded)
            connection.connect_kwargs = {"sock": sock}
            self._connections.append(connection)
            connection.open()

    def _first(self, hop: HostConfig) -> socket.socket:
        if hop.proxy_command is not None:
            handed_over = self.endpoint.timeouts.connect_s if hop.proxy_passes_socket else None
            self._proxy = ProxyCommand(hop.proxy_command, handed_over)
            self._socket = self._proxy.socket
        else:
            self._socket = self._dial(hop.hostname, hop.port, self.endpoint.timeouts.connect_s)
        return self._socket

    def _through(self) -> Tunnel:
        """Return a connection from the last host reached to the next one."""
        hop = self.route.hops[len(self._connections)]
        transport = self._connections[-1].client.get_transport()
        return Tunnel(
            transport.open_channel(
                "direct-tcpip", (hop.hostname, hop.port), ("", 0), timeout=self.endpoint.timeouts.connect_s
            )
        )

    def proxy_ended(self) -> str | None:
        """Return how the ProxyCommand ended; ``None`` if it runs, or there is none."""
        return self._proxy.ended() if self._proxy is not None and self._proxy.carries else None

    def close(self) -> None:
        """Close the connection and those of its gateways; safe to call more than once."""
        self._abort()
        if self._watchdog is not None:
            self._watchdog.stop()
        self._watchdog = self._transport = self._socket = self._proxy = None
        self._connections = []

    def _abort(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes the transport, which looks only now and then
        for connection in reversed(self._connections):
            # The client's own close; fabric's does nothing when connecting had failed half-way.
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                connection.client.close()
        if self._socket is not None:
            self._socket.close()  # the transport's, unless connecting failed before there was one
        if self._proxy is not None:
            self._proxy.close()

    def open(self, argv: Sequence[str], timeout_s: float | None = None) -> Duplex:
        """Start a command and return its channel."""
        timeouts = self.endpoint.timeouts
        what = f"{self.endpoint.host}: {short(argv)}"
        transport, watchdog = self._transport, self._watchdog
        if transport is None or watchdog is None or not self.alive:
            raise LinkError(f"{what}: not connected")
        give_up_s = time.monotonic() + timeouts.channel_s
        try:
            with watchdog.guard(timeouts.channel_s + 1.0):
                channel = _started(transport, shlex.join(argv), timeouts.channel_s, give_up_s)
                self.channels_opened += 1
        except paramiko.ChannelException as error:
            raise LinkError(
                f"{what}: the board refuses a session for {timeouts.channel_s:g} s: {error} (MaxSessions?)"
            ) from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise LinkError(f"{what}: no channel: {error or type(error).__name__}") from error
        bound_s = timeout_s or timeouts.command_s
        return Duplex(channel, what, watchdog, bound_s, lambda wait_s: _has_ended(transport, wait_s))


class Tunnel:
    """A channel of a jump host as the socket of the next connection.

    Where the jump host is gone first, closing paramiko's own channel raises in a thread, and Python prints that.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel

    @property
    def closed(self) -> bool:
        """Tell whether it is closed."""
        return bool(self._channel.closed)

    _closed = closed  # the name by which paramiko asks sockets

    def settimeout(self, timeout: float) -> None:
        """Bound each of the following calls."""
        self._channel.settimeout(timeout)

    def send(self, data: bytes) -> int:
        """Send some of ``data``; return how many bytes."""
        return self._channel.send(data)

    def recv(self, nbytes: int) -> bytes:
        """Return some of what came; empty at the end."""
        return self._channel.recv(nbytes)

    def close(self) -> None:
        """Close the channel, whatever has become of its connection."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()


def _has_ended(transport: paramiko.Transport, wait_s: float) -> bool:
    """Wait at most ``wait_s`` for the end of a connection; tell whether it has ended."""
    if transport.is_active():
        transport.join(wait_s)
    return not transport.is_active()


def _started(
    transport: paramiko.Transport, command: str, channel_s: float, give_up_s: float
) -> paramiko.Channel:
    """Open a session and start a command in it; what the server closes before it has said yes is asked for again.

    Raises:
        paramiko.SSHException: it was refused until ``give_up_s`` (monotonic), or closed too often.
    """
    for tries_left in reversed(range(CLOSED_TRIES)):
        try:
            channel = _session(transport, give_up_s)
            channel.settimeout(channel_s)
            # exec_command waits for the server's yes without looking at the timeout
            channel.exec_command(command)
        except paramiko.ChannelException:
            raise
        except paramiko.SSHException:
            if not tries_left or not transport.is_active() or time.monotonic() + REFUSED_PAUSE_S > give_up_s:
                raise
        else:
            return channel
        time.sleep(REFUSED_PAUSE_S)
    raise AssertionError


def _session(transport: paramiko.Transport, give_up_s: float) -> paramiko.Channel:
    """Open a session; where the server allows few, wait for the one before to be quite gone.

    Raises:
        paramiko.ChannelException: it was refused until ``give_up_s`` (monotonic).
    """
    pause_s = REFUSED_PAUSE_S
    while True:
        left_s = give_up_s - time.monotonic()
        try:
            return transport.open_session(timeout=max(0.1, left_s))
        except paramiko.ChannelException:
            if left_s < pause_s:
                raise
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 1.0)


def tcp(host: str, port: int, timeout_s: float) -> socket.socket:
    """Open a TCP connection without Nagle's algorithm, which paramiko leaves on: 40 ms a round trip."""
    sock = socket.create_connection((host, port), timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


@contextlib.contextmanager
def translated(hop: HostConfig, ssh: Ssh) -> Iterator[None]:
    """Turn what paramiko and the socket raise while connecting into our errors; the retry is decided here."""
    where = hop.where
    try:
        yield
    except LinkError as error:
        _check_proxy(where, ssh, error)
        raise
    except TargetError:
        raise
    except paramiko.ChannelException as error:
        raise UnreachableError(f"{where}: the jump host could not connect to it: {error}") from error
    except (paramiko.ssh_exception.NoValidConnectionsError, socket.gaierror, ConnectionRefusedError) as error:
        raise UnreachableError(f"{where}: {error}") from error
    except TimeoutError as error:
        raise UnreachableError(f"{where}: no TCP connection in time") from error
    except paramiko.ssh_exception.IncompatiblePeer as error:
        raise IncompatibleError(f"{where}: {error}") from error
    except (paramiko.SSHException, EOFError, ConnectionError) as error:
        _check_proxy(where, ssh, error)
        raise LinkError(
            f"{where}: the connection could not be set up: {error or 'closed by the peer'}"
        ) from error
    except (OSError, ValueError) as error:
        raise UnreachableError(f"{where}: {error}") from error


def _check_proxy(where: str, ssh: Ssh, error: Exception) -> None:
    """Say what a ProxyCommand said that ended by itself: all else is a consequence."""
    if (ended := ssh.proxy_ended()) is not None:
        raise UnreachableError(f"{where}: the ProxyCommand ended ({ended})") from error
