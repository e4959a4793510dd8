"""One SSH connection to a board, whoever speaks SSH: what both ways have in common."""

from __future__ import annotations

import contextlib
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

from tunebench.targets.errors import TargetError
from tunebench.targets.transport.channel import Duplex
from tunebench.targets.transport.config.route import Route, route_to
from tunebench.targets.transport.endpoint import Completed, Endpoint

#: A server with ``MaxSessions 1`` refuses a session until the one before it is quite gone: how soon it is asked again.
REFUSED_PAUSE_S = 0.05
#: dropbear closes a session that it has just opened when the command of another one ends at that moment (its
#: ``sesscheckclose`` takes "not started yet" for "ended"): how often it is asked in all. Nothing has run then.
CLOSED_TRIES = 5
#: A longer word with a bracket in it is no name and no path.
_LONGEST_WORD = 60


class SshLink(ABC):
    """One connection to one board, reused by all commands.

    Args:
        endpoint: where it is.
        route: the way there, if it is known already.

    Attributes:
        channels_opened: channels opened so far; on a loopback OpenSSH one costs about 0.1 s.
    """

    def __init__(self, endpoint: Endpoint, route: Route | None = None) -> None:
        self.endpoint = endpoint
        self.channels_opened = 0
        self._route = route

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Tell whether a command can be asked for, as far as is known (a frozen peer is noticed only by asking)."""

    @abstractmethod
    def connect(self) -> None:
        """Connect and authenticate; does nothing if the connection is up.

        Raises:
            BoardError: its classes of :mod:`tunebench.targets.errors`: the board or the configuration is at fault.
            LinkError: the peer accepted the TCP connection and then fell silent or talked nonsense.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection; safe to call more than once."""

    @abstractmethod
    def open(self, argv: Sequence[str], timeout_s: float | None = None) -> Duplex:
        """Start a command and return its channel.

        Args:
            argv: the command; each argument is quoted for the board's POSIX shell.
            timeout_s: default bound of each wait on the channel.

        Raises:
            LinkError: not connected, connection lost, or no channel within ``channel_s``.
        """

    @property
    def route(self) -> Route:
        """Return the way to the board; OpenSSH is asked for it once. ssh itself would follow circles of jump hosts.

        Raises:
            SshConfigError: the ssh config cannot be read or understood.
        """
        if self._route is None:
            self._route = route_to(self.endpoint)
        return self._route

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


def run_to_end(duplex: Duplex, stdin: bytes, deadline: float, bound_s: float, max_output_b: int) -> Completed:
    """Feed a command, take in what it says to its end, and close its channel.

    Args:
        deadline: monotonic; ``bound_s`` is what an error calls it.

    Raises:
        LinkError, ReplyError: as :meth:`SshLink.run`.
    """
    with duplex:
        # A command may end without reading its input; its status then says what happened.
        with contextlib.suppress(TargetError) if stdin else contextlib.nullcontext():
            duplex.send(stdin, bound_s)
        duplex.close_stdin()
        stdout = duplex.read_all(deadline, max_output_b, bound_s)
        return Completed(duplex.returncode(), stdout, duplex.stderr)


def short(argv: Sequence[str]) -> str:
    """Return a command in at most 100 letters, as errors name it; a program that is one of its words is left out."""
    text = shlex.join("..." if len(word) > _LONGEST_WORD and "(" in word else word for word in argv)
    return text if len(text) <= 100 else text[:97] + "..."
