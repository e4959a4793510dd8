"""Another way to reach a board: the system's ``ssh`` as a control master, behind the same interface.

For what paramiko does not speak: TinySSH, chacha20-poly1305 only, sntrup761 only, FIDO keys, Kerberos. One process holds
the connection (ssh(1), -M); each channel is a small client of it (-S). OpenSSH reads its own configuration, verifies
host keys and logs in by itself; nobody is asked anything (BatchMode).

A server may serve one session in a connection (TinySSH), or one at a time (``MaxSessions 1``). Where it hangs up after
the first, the next command gets a new connection; where it refuses a second one, that gets a connection beside the first.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tunebench.targets.errors import AuthError, LinkError, SshConfigError, TargetError
from tunebench.targets.transport.channel import Duplex, Watchdog
from tunebench.targets.transport.config.asked import find_ssh, options
from tunebench.targets.transport.config.host_config import home
from tunebench.targets.transport.config.route import Route
from tunebench.targets.transport.endpoint import Endpoint
from tunebench.targets.transport.identity import key_file
from tunebench.targets.transport.link import CLOSED_TRIES, REFUSED_PAUSE_S, SshLink, short
from tunebench.targets.transport.openssh.client import Client, end_process, environment, start_client
from tunebench.targets.transport.openssh.errors import translated

_LOOK_S = 0.02
_SAID_B = 4000
#: A socket's path has at most 107 bytes, and ssh appends 17 letters while it makes it.
_MAX_SOCKET_PATH = 85
_REFUSED = re.compile(r"session request failed|Session open refused|open failed")
#: A session that we have given up may keep the server busy: how long the next one waits for its end before it gets a
#: connection of its own.
_REFUSED_PATIENCE_S = 1.0
#: How many connections beside each other serve one board at most.
_MAX_BESIDE = 4
#: What a client says whose session was never opened: the command cannot have run (mux.c, sshconnect.c). The last two: the
#: master was gone already, and the client tried to connect by itself.
_NEVER_OPENED = re.compile(
    r"mux_client_(hello_exchange|request_alive|request_session)|Control socket|kex_exchange_identification|UNKNOWN port"
)
#: How long after the last word of a client its master may take to end, where the connection is gone.
_HANG_UP_S = 0.5
#: What ssh must not do here, whatever its configuration says. Nothing may cross the link unasked: a keep-alive would
#: fall into measured windows.
_NEVER = {
    "BatchMode": "yes",
    "ClearAllForwardings": "yes",
    "ControlPersist": "no",
    "EscapeChar": "none",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "LogLevel": "ERROR",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "ServerAliveInterval": "0",
    "Tunnel": "no",
    "UpdateHostKeys": "no",
}


class OpenSsh(SshLink):
    """One connection to one board, by the system's ``ssh``; it dials by itself."""

    def __init__(self, endpoint: Endpoint, route: Route | None = None) -> None:
        super().__init__(endpoint, route)
        self._program = ""
        self._folder: Path | None = None
        self._master: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None
        #: Of the present master: sessions that it has opened, those that are open, and whether one of them broke.
        self._served = 0
        self._running: set[Client] = set()
        self._broke = False
        #: Another connection, for sessions that this one's server refuses; and how many there are before this one.
        self._beside: OpenSsh | None = None
        self._before = 0

    @property
    def alive(self) -> bool:
        """Tell whether a command can be asked for, as far as is known (a frozen peer is noticed only by asking)."""
        return self._is_up or self._is_used_up

    @property
    def _is_up(self) -> bool:
        return self._master is not None and self._master.poll() is None

    @property
    def _is_used_up(self) -> bool:
        """Tell whether the server hung up after the only session that it serves in a connection.

        A connection that has served several was lost, and so was one that ended under a command.
        """
        if self._master is None or self._master.poll() is None:
            return False
        ended = all(client.ended_by_itself and client.exit_status >= 0 for client in self._running)
        return self._served == 1 and ended and not self._broke

    @property
    def _socket(self) -> Path:
        if self._folder is None:
            raise LinkError(f"{self.endpoint.host}: not connected")
        return self._folder / "s"

    def connect(self) -> None:
        """Connect and authenticate; does nothing if the connection is up."""
        if self.alive:
            return
        self.close()
        program = find_ssh()
        if program is None:
            raise SshConfigError(
                f'{self.endpoint.host}: transport = "openssh" needs the program ssh: install openssh-client'
            )
        self._program = program
        self._log_in()

    def _log_in(self) -> None:
        try:
            self._start()
        except BaseException:
            self._drop()
            raise
        self._watchdog = Watchdog(self._expire)

    def _start(self) -> None:
        """Start the master, and wait until it has logged in: then its socket is there."""
        end, timeouts = self.endpoint, self.endpoint.timeouts
        folder = tempfile.mkdtemp(prefix="tb-")
        if len(folder) + 2 > _MAX_SOCKET_PATH:
            os.rmdir(folder)  # noqa: PTH106 - just made
            folder = tempfile.mkdtemp(prefix="tb-", dir="/tmp")
        self._folder = Path(folder)
        bound_s = timeouts.connect_s + timeouts.banner_s + timeouts.auth_s
        with (self._folder / "said").open("wb") as said:
            self._master = subprocess.Popen(
                [
                    self._program,
                    "-M",
                    "-N",
                    "-T",
                    "-S",
                    str(self._socket),
                    *self._options(),
                    *self._target(self._folder),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
                env=environment(),
            )
        give_up_s = time.monotonic() + bound_s
        while not self._socket.exists():
            if self._master.poll() is not None:
                raise translated(end.host, self._said())
            if time.monotonic() > give_up_s:
                raise LinkError(
                    f"{end.host}: ssh is not connected within {bound_s:g} s; it said: {self._said()[-300:]}"
                )
            time.sleep(_LOOK_S)

    def _options(self) -> list[str]:
        end = self.endpoint
        chosen = dict(_NEVER)
        if self.route.board.accept_new:
            # Also where the configuration says "no": a key that has changed is refused here in any case.
            chosen["StrictHostKeyChecking"] = "accept-new"
        # ssh counts the server's banner in, which may be slow where the connection is not.
        chosen["ConnectTimeout"] = str(math.ceil(end.timeouts.connect_s + end.timeouts.banner_s))
        if end.key_file is not None:
            file = key_file.read(Path(end.key_file).expanduser())
            # An encrypted key may be in the agent, and ssh speaks more kinds of keys than we read.
            if file.private is None and file.public is None and not file.encrypted:
                raise AuthError(f"{end.host}: key_file {end.key_file} {file.fault}")
            chosen["IdentitiesOnly"] = "yes"
        return [word for name, value in chosen.items() for word in ("-o", f"{name}={value}")]

    def _target(self, folder: Path) -> list[str]:
        """Return where to, and by which configuration.

        What the inventory sets for all hosts on the way stands in a file before the user's own: ssh gives no option on to
        the ssh that it starts for a jump host, but the file.
        """
        end = self.endpoint
        lines = []
        if end.host_keys is not None:
            lines.append(f"StrictHostKeyChecking {'accept-new' if end.host_keys == 'accept-new' else 'yes'}")
        if end.known_hosts is not None:
            lines += [f"UserKnownHostsFile {_quoted(end.known_hosts)}", "GlobalKnownHostsFile /dev/null"]
        if end.key_file is not None:
            lines.append(f"IdentityFile {_quoted(end.key_file)}")
        if not lines:
            return options(end.host, end.user, end.port, end.proxy_jump, end.ssh_config)
        if end.ssh_config is None:
            files = [
                path for path in (home() / ".ssh" / "config", Path("/etc/ssh/ssh_config")) if path.is_file()
            ]
        else:
            files = [Path(end.ssh_config).expanduser()] if end.ssh_config else []
        if end.ssh_config and not files[0].is_file():
            raise SshConfigError(f"{end.host}: ssh config {files[0]}: No such file or directory")
        lines += [f"Include {_quoted(str(path))}" for path in files]
        own = folder / "config"
        own.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")
        return options(end.host, end.user, end.port, end.proxy_jump, str(own))

    def _said(self) -> str:
        """Return what ssh has said last."""
        if self._folder is None:
            return ""
        with contextlib.suppress(OSError):
            return (self._folder / "said").read_bytes()[-_SAID_B:].decode("utf-8", "replace").strip()
        return ""

    def close(self) -> None:
        """Close the connection; safe to call more than once."""
        if self._beside is not None:
            self._beside.close()
        self._beside = None
        self._drop()

    def _drop(self) -> None:
        """Close the connection, but none beside it."""
        self._abort()
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._watchdog = self._master = self._folder = None
        self._served, self._running, self._broke = 0, set(), False

    def _expire(self) -> None:
        self._broke = True
        self._abort()

    def _abort(self) -> None:
        if self._master is not None:
            end_process(self._master)

    def open(self, argv: Sequence[str], timeout_s: float | None = None) -> Duplex:
        """Start a command and return its channel."""
        what = f"{self.endpoint.host}: {short(argv)}"
        if not self.alive:
            raise LinkError(f"{what}: not connected")
        bound_s = self.endpoint.timeouts.channel_s
        give_up_s = time.monotonic() + bound_s
        patience_s = time.monotonic() + min(_REFUSED_PATIENCE_S, bound_s / 2)
        pause_s = REFUSED_PAUSE_S
        closed = 0
        renewed = False
        while True:
            if self._is_used_up and not renewed:
                self._renew(what)
                renewed = True
                give_up_s = time.monotonic() + bound_s
            client = start_client(self._program, self._socket, argv)
            said = client.await_opened(give_up_s)
            if said is None:
                return self._opened(client, what, timeout_s)
            # What did not open does not count.
            closed_at_once = client.ended_by_itself and client.exit_status < 0 and not said
            client.close()
            refused = _REFUSED.search(said) is not None
            turned_away = not refused and _NEVER_OPENED.search(said) is not None
            if not self._is_up or (turned_away and self._has_hung_up()):
                if self._is_used_up and not renewed and (refused or turned_away):
                    continue
                raise LinkError(f"{what}: connection lost: {self._said()[-300:]}")
            impatient = self._is_busy or time.monotonic() > patience_s
            if refused and impatient and self._before + 1 < _MAX_BESIDE:
                return self._open_beside(argv, timeout_s)
            # The session before is not quite gone.
            closed += closed_at_once
            again = refused or (closed_at_once and closed < CLOSED_TRIES)
            if not again or time.monotonic() + pause_s > give_up_s:
                raise LinkError(f"{what}: no channel within {bound_s:g} s: {said or 'no answer'}")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 1.0)

    def _opened(self, client: Client, what: str, timeout_s: float | None) -> Duplex:
        master, watchdog = self._master, self._watchdog
        if master is None or watchdog is None:
            client.close()
            raise LinkError(f"{what}: not connected")
        self.channels_opened += 1
        self._served += 1
        self._running.add(client)
        client.at_close = self._ended
        bound_s = timeout_s or self.endpoint.timeouts.command_s
        return Duplex(client, what, watchdog, bound_s, lambda wait_s: _has_ended(master, wait_s))

    def _ended(self, client: Client) -> None:
        """Take note that a session is over. Of a former master's nothing is known any more."""
        if client not in self._running:
            return
        self._running.discard(client)
        over = client.ended_by_itself or (not self._is_up and client.wait(_HANG_UP_S))
        if over or not self._is_up:
            self._broke = self._broke or client.exit_status < 0

    @property
    def _is_busy(self) -> bool:
        return any(not client.ended_by_itself for client in self._running)

    def _has_hung_up(self) -> bool:
        """Wait a moment for the end of a master whose client was turned away."""
        return self._master is None or _has_ended(self._master, _HANG_UP_S)

    def _renew(self, what: str) -> None:
        """Connect anew: the server hung up when the only session that it serves was over."""
        self._drop()
        try:
            self._log_in()
        except TargetError as error:
            raise LinkError(f"{what}: the server hung up, and: {error}") from error

    def _open_beside(self, argv: Sequence[str], timeout_s: float | None) -> Duplex:
        """Open a session in a connection of its own."""
        if self._beside is None:
            self._beside = OpenSsh(self.endpoint, self._route)
            self._beside._before = self._before + 1
        beside, before = self._beside, self._beside.channels_opened
        try:
            beside.connect()
        except LinkError:
            raise
        except TargetError as error:
            raise LinkError(
                f"{self.endpoint.host}: the board refuses a second session, and: {error}"
            ) from error
        duplex = beside.open(argv, timeout_s)
        self.channels_opened += beside.channels_opened - before
        return duplex


def _has_ended(process: subprocess.Popen[bytes], wait_s: float) -> bool:
    """Wait at most ``wait_s`` for the end of a process; tell whether it has ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(wait_s)
    return process.poll() is not None


def _quoted(path: str) -> str:
    """Return a path as ssh_config(5) takes one with blanks; its tokens are not ours to use."""
    expanded = str(Path(path).expanduser()).replace("%", "%%")
    return f'"{expanded}"'
