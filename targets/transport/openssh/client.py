"""The client process of one session: ``ssh -S`` speaks with the master, and its pipes are the command's streams."""

from __future__ import annotations

import contextlib
import math
import os
import select
import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

#: How long a process may take to end before it is killed.
_END_S = 3.0
_LAST_WORDS_B = 4000
#: The client says this before the command's own output: so a refused session is noticed, and asked for anew.
_OPENED = b"@tunebench-session\n"
_MAX_BEFORE_B = 64 * 1024
#: Without its master a client must not connect by itself: no configuration, and a proxy that ends at once.
_ONLY_BY_MASTER = (
    *("-F", "/dev/null"),
    *("-o", "ControlMaster=no"),
    *("-o", "ProxyCommand=false"),
    *("-o", "BatchMode=yes"),
)


def start_client(program: str, socket: Path, argv: Sequence[str]) -> Client:
    """Ask the master behind a socket for a session with a command; :meth:`Client.await_opened` says if it came."""
    command = f"echo {_OPENED.decode().strip()}; {shlex.join(argv)}"
    return Client(
        subprocess.Popen(
            [program, "-T", "-S", str(socket), *_ONLY_BY_MASTER, "--", "board", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
            env=environment(),
        )
    )


class Client:
    """The client process of one channel, as :class:`tunebench.targets.transport.channel.Stream`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        #: Called when it is closed.
        self.at_close: Callable[[Client], None] = lambda _: None
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
        while self.recv_stderr_ready() and len(said) < _LAST_WORDS_B:
            said += self.recv_stderr(_LAST_WORDS_B)
        return " ".join(said.decode("utf-8", "replace").split())

    @property
    def ended_by_itself(self) -> bool:
        """Tell whether the client has ended, and not because we ended it."""
        return self._process.poll() is not None

    # -- as a channel -----------------------------------------------------------------------------

    @property
    def status_event(self) -> Client:
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
        end_process(self._process)
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


def end_process(process: subprocess.Popen[bytes]) -> None:
    """End a process; kill it where it does not end."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_END_S)


def environment() -> dict[str, str]:
    """Return our environment without what Debian's ssh_config sends on: a board's messages are to be its own."""
    return {
        name: value for name, value in os.environ.items() if name != "LANG" and not name.startswith("LC_")
    }
