"""Run a ProxyCommand as ssh does: by the user's shell, with ``exec`` before it (ssh_config(5)).

The command has one end of a pair of sockets as its input and output, so that a connection over it is one over a socket.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile

_SAID_B = 1000
_END_S = 2.0


class ProxyCommand:
    """A running ProxyCommand.

    Args:
        command: as it stands in the configuration, tokens expanded.
        timeout_s: for a command that hands over a socket (``ProxyUseFdpass``): until it does; ``None``: it carries.

    Attributes:
        socket: our end.
        carries: the connection goes through it, so that its end is the connection's.

    Raises:
        OSError: it cannot be started, or does not hand a socket over.
    """

    def __init__(self, command: str, timeout_s: float | None = None) -> None:
        self.carries = True
        self.socket, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the connection
        shell = os.environ.get("SHELL") or "/bin/sh"
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [shell, "-c", f"exec {command}"],
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=self._said,
                    start_new_session=True,
                )
        except OSError:
            self.socket.close()
            self._said.close()
            raise
        if timeout_s is not None:
            self._receive(timeout_s)

    def _receive(self, timeout_s: float) -> None:
        """Take the socket that the command hands over, as with sendmsg(2); it then ends."""
        self.socket.settimeout(timeout_s)
        try:
            _, descriptors, _, _ = socket.recv_fds(self.socket, 1, 1)
        except OSError:
            descriptors = []
        if not descriptors:
            ended = self.ended() or f"nothing within {timeout_s:g} s"
            self.close()
            raise ConnectionError(f"the ProxyCommand hands no socket over ({ended})")
        self.socket.close()
        self.socket = socket.socket(fileno=descriptors[0])
        self.carries = False

    def ended(self) -> str | None:
        """Return how the command ended and what it said last; ``None`` while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)  # it may be just about to
        if self._process.returncode is None:
            return None
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, self._said.tell() - _SAID_B))
        words = " ".join(self._said.read().decode("utf-8", "replace").split())
        return f"exit status {self._process.returncode}{': ' + words[-400:] if words else ''}"

    def close(self) -> None:
        """End the command, and reap it."""
        self.socket.close()
        for number in (signal.SIGHUP, signal.SIGKILL):
            if self._process.poll() is not None:
                break
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
        self._said.close()
