"""One exec channel to a board: bytes out, protocol messages and raw bytes in, every wait bounded."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import paramiko

from tunebench.targets.agent import protocol
from tunebench.targets.errors import InterpreterError, LinkError, NoAnswerError, ReplyError, TargetError
from tunebench.targets.sanitize import cleaned, without_blobs

_CHUNK_B = 64 * 1024
_TAIL_B = 2000
#: How much a shell or interpreter may chatter (banners, motd) before its first message.
MAX_NOISE_B = 1024 * 1024
#: Raw bytes that trickle in more slowly are not waited for; the slowest link we serve does about 0.2 MB/s.
SLOWEST_B_PER_S = 20e3
#: How often a wait for output looks at standard error: at first, and at least.
_SLICE_S, _LONGEST_SLICE_S = 0.25, 2.0
#: How long after its last channel a connection that is lost may take to end.
_LINK_END_S = 0.5


class Status(Protocol):
    """The event that a command has ended."""

    def wait(self, timeout: float, /) -> bool:
        """Return whether it has ended, after at most ``timeout`` seconds."""


class Stream(Protocol):
    """The bytes of a running command: a paramiko channel, or the pipes of a client process that speaks for us."""

    @property
    def status_event(self) -> Status:
        """Return the event of its end."""

    @property
    def exit_status(self) -> int:
        """Return its exit status; negative: a signal ended it, or nobody told."""

    def settimeout(self, timeout: float, /) -> None:
        """Bound each of the following calls; they raise TimeoutError."""

    def send(self, data: bytes, /) -> int:
        """Send some of ``data``; return how many bytes, 0 if the other end is closed."""

    def recv(self, nbytes: int, /) -> bytes:
        """Return some output; empty at its end."""

    def recv_ready(self) -> bool:
        """Tell whether output is there."""

    def recv_stderr(self, nbytes: int, /) -> bytes:
        """Return some of standard error."""

    def recv_stderr_ready(self) -> bool:
        """Tell whether some of standard error is there."""

    def shutdown_write(self) -> None:
        """Close the command's standard input."""

    def close(self) -> None:
        """Close everything."""


class Watchdog:
    """Calls ``expire`` when a guarded section lasts longer than it may.

    paramiko's writes to the socket have no timeout of their own: against a frozen peer with full
    buffers only closing the transport from another thread ends them. One idle thread a connection; a
    section costs two assignments.
    """

    def __init__(self, expire: Callable[[], None]) -> None:
        self._expire = expire
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._wake_at: float | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._watch, name="tunebench-ssh-watchdog", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def guard(self, seconds: float) -> Iterator[None]:
        """Bound the body to ``seconds``; sections do not nest."""
        deadline = time.monotonic() + seconds
        with self._changed:
            self._deadline = deadline
            if self._wake_at is None or deadline < self._wake_at:
                self._changed.notify()
        try:
            yield
        finally:
            self._deadline = None

    def stop(self) -> None:
        """End the thread; safe to call from it and more than once."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def _watch(self) -> None:
        with self._changed:
            while not self._stopped:
                deadline, now = self._deadline, time.monotonic()
                if deadline is not None and now >= deadline:
                    self._deadline = None
                    self._expire()
                    continue
                self._wake_at = deadline
                self._changed.wait(None if deadline is None else deadline - now)


class Duplex:
    """A running remote command.

    Args:
        channel: an exec channel on which the command was already requested.
        what: names the board and command in errors.
        watchdog: bounds writes to the socket.
        timeout_s: default bound of each wait.
        link_ended: waits at most so many seconds for the end of the connection that carries the channel; tells whether
            it has ended.
    """

    def __init__(
        self,
        channel: Stream,
        what: str,
        watchdog: Watchdog,
        timeout_s: float = 60.0,
        link_ended: Callable[[float], bool] = lambda wait_s: False,
    ) -> None:
        self._channel = channel
        self._link_ended = link_ended
        self._what = what
        self._watchdog = watchdog
        self._timeout_s = timeout_s
        self._buffer = bytearray()
        self._noise = bytearray()
        self._noise_b = 0
        self._stderr = bytearray()
        self._eof = False
        self._slice_s = _SLICE_S

    def __enter__(self) -> Duplex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- out --------------------------------------------------------------------------------------

    def send_message(self, message: dict[str, Any]) -> None:
        """Send one protocol line."""
        self.send(protocol.encode_line(message).encode())

    def send(self, data: bytes, timeout_s: float | None = None) -> None:
        """Send ``data``, taking in what arrives meanwhile (a peer that cannot write stops reading).

        Raises:
            LinkError: not all was accepted in time, or the peer closed its end.
        """
        bound_s = self._timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + bound_s
        view = memoryview(data)
        while view:
            self._take_ready()
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise LinkError(
                    f"{self._what}: {len(view)} of {len(data)} bytes not accepted in {bound_s:g} s"
                )
            self._channel.settimeout(min(0.02, left_s))
            try:
                with self._watchdog.guard(left_s + 1.0):
                    sent = self._channel.send(bytes(view[:_CHUNK_B]))
            except TimeoutError:
                continue
            except (OSError, EOFError, paramiko.SSHException) as error:
                raise self._gone(f"cannot send: {error}") from error
            if sent == 0:
                raise self._gone("it closed its standard input")
            view = view[sent:]

    def close_stdin(self) -> None:
        """Tell the command that nothing more comes."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException), self._watchdog.guard(5.0):
            self._channel.shutdown_write()

    # -- in ---------------------------------------------------------------------------------------

    def read_message(self, timeout_s: float | None = None) -> dict[str, Any]:
        """Read the next protocol message; other lines are noise and are skipped.

        Raises:
            LinkError: none within ``timeout_s``, or the connection died.
            InterpreterError: the command was not found.
            ReplyError: the command ended without one, or it is malformed or oversized.
        """
        bound_s = self._timeout_s if timeout_s is None else timeout_s
        deadline = time.monotonic() + bound_s
        while True:
            end = self._buffer.find(b"\n")
            if end < 0:
                if len(self._buffer) > protocol.MAX_LINE_B:
                    raise ReplyError(f"{self._what}: a line of more than {protocol.MAX_LINE_B} bytes")
                if not self._fill(deadline):
                    raise self._ended()
                self._check_time(deadline, bound_s)
                continue
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            try:
                message = protocol.decode_line(line.decode("utf-8", "replace"))
            except protocol.ProtocolError as error:
                raise ReplyError(f"{self._what}: {error}") from error
            if message is not None:
                return dict(cleaned(message))
            self._noise = (self._noise + line + b"\n")[-_TAIL_B:]
            self._noise_b += len(line) + 1
            if self._noise_b > MAX_NOISE_B:
                raise ReplyError(f"{self._what}: more than {MAX_NOISE_B} bytes of noise and no message")

    def read_exact(self, n: int, timeout_s: float | None = None) -> bytes:
        """Read exactly ``n`` raw bytes; ``timeout_s`` bounds the silence between two arrivals.

        A peer that never falls silent and never gets done is given up as well: see ``SLOWEST_B_PER_S``.
        """
        bound_s = self._timeout_s if timeout_s is None else timeout_s
        total_s = bound_s + n / SLOWEST_B_PER_S
        give_up = time.monotonic() + total_s
        while len(self._buffer) < n:
            before = len(self._buffer)
            if time.monotonic() > give_up:
                raise LinkError(f"{self._what}: {before} of {n} bytes within {total_s:.0f} s")
            deadline = time.monotonic() + bound_s
            if not self._fill(deadline):
                raise LinkError(f"{self._what}: the stream ended after {before} of {n} bytes")
            if len(self._buffer) == before:
                self._check_time(deadline, bound_s)
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    def read_all(self, deadline: float, max_b: int, bound_s: float) -> bytes:
        """Read to the end of the stream, at most ``max_b`` bytes, until ``deadline`` (monotonic).

        ``bound_s`` is what the error calls the time that was given.
        """
        while self._fill(deadline):
            if len(self._buffer) > max_b:
                raise ReplyError(f"{self._what}: more than {max_b} bytes of output")
            self._check_time(deadline, bound_s)
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def returncode(self, timeout_s: float = 10.0) -> int | None:
        """Return the exit status once the output has ended; ``None`` if a signal ended the command.

        Raises:
            LinkError: the connection died, or no status came in time.
        """
        if not self._channel.status_event.wait(timeout_s):
            raise LinkError(f"{self._what}: no exit status within {timeout_s:g} s")
        status = int(self._channel.exit_status)
        if status < 0 and self._link_ended(_LINK_END_S):
            raise LinkError(f"{self._what}: the connection broke before the command ended")
        return status if status >= 0 else None

    @property
    def stderr(self) -> bytes:
        """Return the tail of standard error so far."""
        return bytes(self._stderr)

    def close(self) -> None:
        """Close the channel; never blocks for long."""
        with self._watchdog.guard(5.0), contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.close()

    # -- inside -----------------------------------------------------------------------------------

    def _fill(self, deadline: float) -> bool:
        """Wait for output until ``deadline``; False at the end of the stream."""
        self._take_stderr()
        if self._eof:
            return False
        # Short slices only matter to a command that floods stderr while stdout is silent; a wait costs the host least
        # where it looks seldom.
        self._channel.settimeout(max(0.001, min(self._slice_s, deadline - time.monotonic())))
        try:
            data = self._channel.recv(_CHUNK_B)
        except TimeoutError:
            self._slice_s = (
                _SLICE_S if self._channel.recv_stderr_ready() else min(2 * self._slice_s, _LONGEST_SLICE_S)
            )
            return True
        if data:
            self._buffer += data
            return True
        self._eof = True
        self._take_stderr()
        return False

    def _take_ready(self) -> None:
        while self._channel.recv_ready():
            data = self._channel.recv(_CHUNK_B)
            if len(self._buffer) + len(data) > protocol.MAX_HARVEST_B:
                raise ReplyError(f"{self._what}: more than {protocol.MAX_HARVEST_B} bytes of output unasked")
            self._buffer += data
        self._take_stderr()

    def _take_stderr(self) -> None:
        while self._channel.recv_stderr_ready():
            self._stderr += self._channel.recv_stderr(_CHUNK_B)
            del self._stderr[:-_CHUNK_B]

    def _check_time(self, deadline: float, bound_s: float) -> None:
        if time.monotonic() >= deadline:
            raise LinkError(f"{self._what}: no answer within {bound_s:g} s")

    def _gone(self, why: str) -> TargetError:
        return self._ended(f" ({why})")

    def _ended(self, why: str = "") -> TargetError:
        """Return the error for a command whose output ended where a message was due.

        A status counts also where the link is down: servers hang up after their only command (TinySSH).
        """
        wait_s = 1.0 if self._link_ended(0.0) else 5.0
        status = self._channel.exit_status if self._channel.status_event.wait(wait_s) else -1
        if status < 0 and self._link_ended(_LINK_END_S):
            return LinkError(f"{self._what}: connection lost{why}")
        self._take_stderr()
        heard = (bytes(self._stderr) or bytes(self._noise)).decode("utf-8", "replace")
        said = without_blobs(heard)[-_TAIL_B:].strip()
        if status in (126, 127):
            return InterpreterError(f"{self._what}: cannot run it (exit status {status}): {said}")
        how = f"exit status {status}" if status >= 0 else "no exit status"
        return NoAnswerError(
            f"{self._what}: ended without an answer ({how}); it said: {said or 'nothing'}", killed=status < 0
        )
