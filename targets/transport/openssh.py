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
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tunebench.targets.errors import (
    AuthError,
    HostKeyError,
    IncompatibleError,
    LinkError,
    SshConfigError,
    TargetError,
    UnreachableError,
)
from tunebench.targets.transport.channel import Duplex, Watchdog
from tunebench.targets.transport.config.asked import find_ssh, options
from tunebench.targets.transport.config.host_config import home
from tunebench.targets.transport.config.route import Route, route_to
from tunebench.targets.transport.endpoint import Completed, Dial, Endpoint
from tunebench.targets.transport.identity import key_file
from tunebench.targets.transport.ssh import run_to_end, short

_LOOK_S = 0.02
_END_S = 3.0
_SAID_B = 4000
#: A socket's path has at most 107 bytes, and ssh appends 17 letters while it makes it.
_MAX_SOCKET_PATH = 85
#: The client of a channel says this before the command's own output: so a refused session is noticed, and asked for anew.
_OPENED = b"@tunebench-session\n"
_MAX_BEFORE_B = 64 * 1024
_REFUSED = re.compile(r"session request failed|Session open refused|open failed")
_REFUSED_PAUSE_S = 0.05
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
#: dropbear closes a session that it has just opened when the command of another one ends at that moment (its
#: ``sesscheckclose`` takes "not started yet" for "ended"): how often it is asked again.
_CLOSED_TRIES = 5
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


class OpenSsh:
    """One connection to one board, by the system's ``ssh``.

    Args:
        endpoint: where it is.
        dial: not used: this connection is OpenSSH's own.
        route: the way there, if it is known already.

    Attributes:
        channels_opened: channels opened so far.
    """

    def __init__(self, endpoint: Endpoint, dial: Dial | None = None, route: Route | None = None) -> None:
        self.endpoint = endpoint
        self.dial = dial
        self._route = route
        self.channels_opened = 0
        self._program = ""
        self._folder: Path | None = None
        self._master: subprocess.Popen[bytes] | None = None
        self._watchdog: Watchdog | None = None
        #: Of the present master: sessions that it has opened, those that are open, and whether one of them broke.
        self._served = 0
        self._running: set[_Client] = set()
        self._broke = False
        #: Another connection, for sessions that this one's server refuses; and how many there are before this one.
        self._beside: OpenSsh | None = None
        self._before = 0

    def __enter__(self) -> OpenSsh:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
    def route(self) -> Route:
        """Return the way to the board; OpenSSH is asked for it once. ssh itself would follow circles of jump hosts.

        Raises:
            SshConfigError: the ssh config cannot be read or understood.
        """
        if self._route is None:
            self._route = route_to(self.endpoint)
        return self._route

    @property
    def _socket(self) -> Path:
        if self._folder is None:
            raise LinkError(f"{self.endpoint.host}: not connected")
        return self._folder / "s"

    def connect(self) -> None:
        """Connect and authenticate; does nothing if the connection is up.

        Raises:
            BoardError: its classes of :mod:`tunebench.targets.errors`: the board or the configuration is at fault.
            LinkError: the peer accepted the TCP connection and then fell silent or talked nonsense.
        """
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
                env=_environment(),
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
            _end(self._master)

    def open(self, argv: Sequence[str], timeout_s: float | None = None) -> Duplex:
        """Start a command and return its channel.

        Args:
            argv: the command; each argument is quoted for the board's POSIX shell.
            timeout_s: default bound of each wait on the channel.

        Raises:
            LinkError: not connected, connection lost, or no channel within ``channel_s``.
        """
        what = f"{self.endpoint.host}: {short(argv)}"
        if not self.alive:
            raise LinkError(f"{what}: not connected")
        bound_s = self.endpoint.timeouts.channel_s
        give_up_s = time.monotonic() + bound_s
        patience_s = time.monotonic() + min(_REFUSED_PATIENCE_S, bound_s / 2)
        pause_s = _REFUSED_PAUSE_S
        closed = 0
        renewed = False
        while True:
            if self._is_used_up and not renewed:
                self._renew(what)
                renewed = True
                give_up_s = time.monotonic() + bound_s
            client = _Client(self._client(f"echo {_OPENED.decode().strip()}; {shlex.join(argv)}"))
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
            again = refused or (closed_at_once and closed < _CLOSED_TRIES)
            if not again or time.monotonic() + pause_s > give_up_s:
                raise LinkError(f"{what}: no channel within {bound_s:g} s: {said or 'no answer'}")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 1.0)

    def _opened(self, client: _Client, what: str, timeout_s: float | None) -> Duplex:
        master, watchdog = self._master, self._watchdog
        if master is None or watchdog is None:
            client.close()
            raise LinkError(f"{what}: not connected")
        self.channels_opened += 1
        self._served += 1
        self._running.add(client)
        client.at_close = self._ended
        bound_s = timeout_s or self.endpoint.timeouts.command_s
        return Duplex(client, what, watchdog, bound_s, lambda: master.poll() is None)

    def _ended(self, client: _Client) -> None:
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
        if self._master is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._master.wait(_HANG_UP_S)
        return not self._is_up

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
            self._beside = OpenSsh(self.endpoint, self.dial, self._route)
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

    def _client(self, command: str) -> subprocess.Popen[bytes]:
        # Without its master it must not connect by itself: no configuration, and a proxy that ends at once.
        alone = [
            "-F",
            "/dev/null",
            "-o",
            "ControlMaster=no",
            "-o",
            "ProxyCommand=false",
            "-o",
            "BatchMode=yes",
        ]
        return subprocess.Popen(
            [self._program, "-T", "-S", str(self._socket), *alone, "--", "board", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
            env=_environment(),
        )

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
        return run_to_end(self.open(argv, bound_s), stdin, deadline, bound_s, max_output_b)


class _Client:
    """The client process of one channel, as :class:`tunebench.targets.transport.channel.Stream`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        #: Called when it is closed.
        self.at_close: Callable[[_Client], None] = lambda _: None
        self._timeout_s = 1.0
        assert process.stdin and process.stdout and process.stderr  # noqa: S101 - pipes were asked for
        self._in, self._out, self._err = (
            process.stdin.fileno(),
            process.stdout.fileno(),
            process.stderr.fileno(),
        )
        self._held = b""
        self._ended: set[int] = set()
        for pipe in (self._in, self._out, self._err):
            os.set_blocking(pipe, False)

    def await_opened(self, give_up_s: float) -> str | None:
        """Wait until the command runs; return what the client said if it does not, ``None`` if it does."""
        before = b""
        while len(before) < _MAX_BEFORE_B:
            if not _ready(self._out, select.POLLIN, give_up_s - time.monotonic()):
                return self._last_words() or "no answer"
            data = os.read(self._out, 65536)
            before += data
            head, marker, rest = before.partition(_OPENED)
            if marker:
                # What shells print when they start (a motd, an rc file) comes before it, and stays noise.
                self._held = head + rest
                return None
            if not data:
                return self._last_words()
        return "too much output before the command began"

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        said = b""
        while self.recv_stderr_ready() and len(said) < _SAID_B:
            said += self.recv_stderr(_SAID_B)
        return " ".join(said.decode("utf-8", "replace").split())

    @property
    def ended_by_itself(self) -> bool:
        """Tell whether the client has ended, and not because we ended it."""
        return self._process.poll() is not None

    # -- as a channel -----------------------------------------------------------------------------

    @property
    def status_event(self) -> _Client:
        """Return itself: :meth:`wait` waits for the end."""
        return self

    def wait(self, timeout: float) -> bool:
        """Return whether the command has ended, after at most ``timeout`` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self._process.returncode is not None

    @property
    def exit_status(self) -> int:
        """Return its exit status; -1 where ssh says 255: a signal ended it, or the link broke (ssh(1), EXIT STATUS)."""
        status = self._process.returncode
        return -1 if status is None or status < 0 or status == 255 else status

    def settimeout(self, timeout: float) -> None:
        """Bound each of the following calls."""
        self._timeout_s = timeout

    def send(self, data: bytes) -> int:
        """Send some of ``data``; return how many bytes, 0 if nobody reads any more."""
        if not _ready(self._in, select.POLLOUT, self._timeout_s):
            raise TimeoutError
        try:
            return os.write(self._in, data)
        except BlockingIOError:
            raise TimeoutError from None
        except BrokenPipeError:
            return 0

    def recv(self, nbytes: int) -> bytes:
        """Return some output; empty at its end.

        Raises:
            TimeoutError: none came in time, or errors did: a pipe holds 64 KiB, and whoever floods it waits for a reader.
        """
        if self._held:
            data, self._held = self._held[:nbytes], self._held[nbytes:]
            return data
        pipes = {self._out, self._err} - self._ended
        if self._out not in _ready_of(pipes | {self._out}, select.POLLIN, self._timeout_s):
            raise TimeoutError
        data = os.read(self._out, nbytes)
        if not data:
            self._ended.add(self._out)
        return data

    def recv_ready(self) -> bool:
        """Tell whether output is there."""
        return bool(self._held) or (self._out not in self._ended and _ready(self._out, select.POLLIN, 0.0))

    def recv_stderr(self, nbytes: int) -> bytes:
        """Return some of standard error; empty at its end."""
        data = os.read(self._err, nbytes)
        if not data:
            self._ended.add(self._err)
        return data

    def recv_stderr_ready(self) -> bool:
        """Tell whether some of standard error is there."""
        return self._err not in self._ended and _ready(self._err, select.POLLIN, 0.0)

    def shutdown_write(self) -> None:
        """Close the command's standard input."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def close(self) -> None:
        """End the client; the master then closes its channel."""
        self.at_close(self)
        _end(self._process)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def _ready(pipe: int, event: int, timeout_s: float) -> bool:
    return bool(_ready_of({pipe}, event, timeout_s))


def _ready_of(pipes: set[int], event: int, timeout_s: float) -> set[int]:
    """Return which pipes are ready, or at their end; none after the time."""
    poller = select.poll()
    for pipe in pipes:
        poller.register(pipe, event)
    return {pipe for pipe, _ in poller.poll(max(0, math.ceil(timeout_s * 1000)))}


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_END_S)


def _environment() -> dict[str, str]:
    """Return our environment without what Debian's ssh_config sends on: a board's messages are to be its own."""
    return {
        name: value for name, value in os.environ.items() if name != "LANG" and not name.startswith("LC_")
    }


def _quoted(path: str) -> str:
    """Return a path as ssh_config(5) takes one with blanks; its tokens are not ours to use."""
    expanded = str(Path(path).expanduser()).replace("%", "%%")
    return f'"{expanded}"'


#: What ssh says last -> the error it is; the first that is found counts.
_WORDS: tuple[tuple[str, type[TargetError]], ...] = (
    (r"REMOTE HOST IDENTIFICATION HAS CHANGED", HostKeyError),
    (r"revoked|Host key verification failed|host key is known|Certificate invalid", HostKeyError),
    (r"no matching .* found|Unable to negotiate", IncompatibleError),
    (r"Permission denied|Too many authentication failures|No more authentication methods", AuthError),
    (
        r"Could not resolve hostname|Connection refused|No route to host|Network is unreachable",
        UnreachableError,
    ),
    (r"connect to host .*(timed out|Connection timed out)|stdio forwarding failed", UnreachableError),
    (r"Bad configuration|Bad owner or permissions|bad configuration options|jumphost loop", SshConfigError),
    (r"Can't open user config file|Invalid|unknown user|No user exists|keyword .* argument", SshConfigError),
)
_MEANINGS: dict[type[TargetError], str] = {
    HostKeyError: "the host key is not accepted",
    AuthError: "the board does not accept our keys",
    IncompatibleError: "no algorithm in common",
    SshConfigError: "ssh config",
}
_FRAME = re.compile(r"^@+$|^\s*$")


def translated(host: str, said: str) -> TargetError:
    """Return what ssh said when it did not connect as one of our errors; the retry is decided here."""
    lines = [line.strip(" @") for line in said.splitlines() if not _FRAME.match(line.strip())]
    words = "; ".join(line for line in lines if line)[-900:] or "it said nothing"
    for pattern, error in _WORDS:
        if re.search(pattern, said, re.IGNORECASE):
            meaning = _MEANINGS.get(error, "not reachable")
            if error is HostKeyError and "HAS CHANGED" in said:
                meaning = "the host key has changed"
            elif error is HostKeyError and "host key is known" in said:
                command = shlex.join(["ssh", "--", host])
                meaning = f"unknown host key; check it, then connect once, `{command}`, or set host_keys = 'accept-new'"
            return error(f"{host}: {meaning}: {words}")
    return LinkError(f"{host}: the connection could not be set up: {words}")
