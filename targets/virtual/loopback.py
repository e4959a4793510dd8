"""This machine as a board: a real SSH server on 127.0.0.1, inside this process.

For those without a board, and for tests. Keys are made for the occasion and live in a private temporary
directory; only the one client key and only this user are accepted; nothing but commands is served (no
terminal, no forwarding, no files). Commands run as under sshd: ``/bin/sh -c`` in a new session, in the home
directory, with a clean environment. What a command detaches outlives the server, as on a real board.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

import asyncssh

from tunebench.targets.errors import TargetError
from tunebench.targets.transport.endpoint import Endpoint, Timeouts

_PASSED_ON = ("HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "LC_ALL", "TMPDIR", "TZ")
_START_S = 10.0
_STOP_S = 10.0
_CHUNK_B = 256 * 1024


class _OneKey(asyncssh.SSHServer):
    """Accepts one user with one key; keeps the server's set of connections up to date."""

    def __init__(
        self, user: str, key: asyncssh.SSHKey, connections: set[asyncssh.SSHServerConnection]
    ) -> None:
        self._user = user
        self._key = key
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == self._user and key.public_data == self._key.public_data


class LoopbackServer:
    """An SSH server on an unprivileged port of 127.0.0.1, as a context manager.

    Args:
        timeouts: of the endpoint it offers.
        shell: the account's login shell; it is given ``-c COMMAND``, as sshd does.

    >>> with LoopbackServer() as server:
    ...     server.endpoint.host
    '127.0.0.1'
    """

    def __init__(self, timeouts: Timeouts | None = None, shell: str = "/bin/sh") -> None:
        self._timeouts = timeouts or Timeouts()
        self._shell = shell
        self._directory: Path | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._port = 0
        self._user = getpass.getuser()
        self._children: set[int] = set()
        self._handlers: set[asyncio.Task[Any]] = set()
        self._connections: set[asyncssh.SSHServerConnection] = set()

    def __enter__(self) -> LoopbackServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def running(self) -> bool:
        """Tell whether the server accepts connections."""
        return self._thread is not None and self._thread.is_alive() and self._ready.is_set()

    @property
    def endpoint(self) -> Endpoint:
        """Return how to reach the running server; the user's own ssh config is not read."""
        if self._directory is None:
            raise TargetError("the loopback server is not running")
        return Endpoint(
            host="127.0.0.1",
            user=self._user,
            port=self._port,
            key_file=str(self._directory / "id_client"),
            known_hosts=str(self._directory / "known_hosts"),
            ssh_config="",
            timeouts=self._timeouts,
        )

    def start(self) -> None:
        """Start the server; returns when it listens.

        Raises:
            TargetError: it could not be started.
        """
        if self.running:
            return
        self._directory = Path(tempfile.mkdtemp(prefix="tunebench-loopback-"))  # mode 0700
        self._ready.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._serve, name="tunebench-loopback", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_S) or self._failure is not None:
            failure = self._failure
            self.close()
            raise TargetError(f"the loopback SSH server did not start: {failure or 'no answer'}")

    def close(self) -> None:
        """Stop the server: connections closed, commands killed, thread ended, keys removed."""
        loop, stop, thread = self._loop, self._stop, self._thread
        if loop is not None and stop is not None and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # the loop ended by itself meanwhile
                loop.call_soon_threadsafe(stop.set)
        if thread is not None:
            thread.join(_STOP_S)
        self._loop = self._stop = self._thread = None
        self._ready.clear()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except (OSError, asyncssh.Error, RuntimeError) as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        assert self._directory is not None  # noqa: S101 - set by start()
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        host_key = asyncssh.generate_private_key("ssh-ed25519")
        client_key = asyncssh.generate_private_key("ssh-ed25519")
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _OneKey(self._user, client_key, self._connections),
            server_host_keys=[host_key],
            process_factory=self._accept,
            encoding=None,
            allow_pty=False,
            agent_forwarding=False,
            x11_forwarding=False,
            compression_algs=None,
            gss_host=None,
            login_timeout=20,
        )
        self._port = server.get_port()
        _write_private(self._directory / "id_client", client_key.export_private_key())
        public = host_key.export_public_key().decode().strip()
        _write_private(self._directory / "known_hosts", f"[127.0.0.1]:{self._port} {public}\n".encode())
        self._ready.set()
        await self._stop.wait()
        server.close()
        await self._wind_up([server, *self._connections])

    async def _wind_up(self, closing: list[Any]) -> None:
        """End connections and commands; what a command has detached lives on."""
        for connection in list(self._connections):
            connection.abort()
        for child in list(self._children):
            _kill_group(child)
        handlers = set(self._handlers)
        if handlers:
            # Not cancelled at once: a cancelled create_subprocess_exec never returns (CPython 3.11).
            _, stuck = await asyncio.wait(handlers, timeout=0.5)
            for handler in stuck:
                handler.cancel()  # a detached process holds its pipes
            await asyncio.gather(*stuck, return_exceptions=True)
        ends = asyncio.gather(*(resource.wait_closed() for resource in closing), return_exceptions=True)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(ends, _STOP_S / 2)
        await asyncio.sleep(0)  # one more turn of the loop, in which the sockets are closed

    def _accept(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        task = asyncio.get_running_loop().create_task(self._handle(process))
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    async def _handle(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command
        if command is None:
            process.stderr.write(b"tunebench loopback: only commands are served here\n")
            process.exit(1)
            return
        child = await asyncio.create_subprocess_exec(
            self._shell,
            "-c",
            command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=_home(),
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            start_new_session=True,
        )
        self._children.add(child.pid)
        if self._stop is not None and self._stop.is_set():
            _kill_group(child.pid)
        feeder = asyncio.get_running_loop().create_task(_feed(process, child))
        try:
            await asyncio.gather(
                _copy(child.stdout, process.stdout),
                _copy(child.stderr, process.stderr),
                return_exceptions=False,
            )
            status = await child.wait()
            if status < 0:
                process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
            else:
                process.exit(status)
        except (OSError, asyncssh.Error):
            pass  # the connection broke; nobody is left to tell
        finally:
            feeder.cancel()
            self._children.discard(child.pid)
            if child.returncode is None:
                _kill_group(child.pid)  # still our own child: its id cannot have been reused
            for _ in range(200):
                if child.returncode is not None:
                    break
                await asyncio.sleep(0.01)
            # wait() would also wait for the pipes, which unread output or a detached process keeps open.
            child._transport.close()  # type: ignore[attr-defined]


def _home() -> Path:
    """Return the account's home, or ``/`` where it has none or it is not there, as sshd does."""
    try:
        home = Path.home()
    except RuntimeError:
        return Path("/")
    return home if os.access(home, os.X_OK) and home.is_dir() else Path("/")


async def _copy(source: asyncio.StreamReader | None, sink: asyncssh.SSHWriter[bytes]) -> None:
    assert source is not None  # noqa: S101 - a pipe was asked for
    while data := await source.read(_CHUNK_B):
        sink.write(data)
        await sink.drain()


async def _feed(process: asyncssh.SSHServerProcess[bytes], child: asyncio.subprocess.Process) -> None:
    """Pass standard input on; a command may leave it unread."""
    assert child.stdin is not None  # noqa: S101 - a pipe was asked for
    with contextlib.suppress(OSError, asyncssh.Error, asyncssh.BreakReceived, asyncssh.SignalReceived):
        while data := await process.stdin.read(_CHUNK_B):
            child.stdin.write(data)
            await child.stdin.drain()
    child.stdin.close()
    # Whoever does not read must not stop the sender: the rest is thrown away.
    with contextlib.suppress(OSError, asyncssh.Error, asyncssh.BreakReceived, asyncssh.SignalReceived):
        while await process.stdin.read(_CHUNK_B):
            pass


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
