"""What can go wrong between the host and a board, and what to do about it.

The retry is decided once, here, by the class an error is translated into::

    TargetError                  our own fault unless it is one of these: stop
    +-- LinkError                the link failed or fell silent: reconnect, ask again
    |   +-- BlobError            a blob has gone from the board: sync again, ask again
    +-- BoardError               this board is out: quarantine it, skip the rest of its queue
    |   +-- UnreachableError     no TCP connection: refused, no route, timed out, unknown name
    |   +-- AuthError            the board does not accept our keys, or wants more than a key
    |   +-- HostKeyError         unknown, changed or revoked host key, or a certificate that does not hold
    |   +-- SshConfigError       the ssh config cannot be read or understood for this board
    |   +-- IncompatibleError    both sides have no cipher, MAC, key exchange or key type in common
    |   +-- InterpreterError     the board's Python is not there or does not start
    |   +-- WorkdirError         the working directory cannot be made, written, or is full
    |   +-- UndoError            its list of what to put back cannot be understood
    |   +-- ReplyError           the board's answer is not what was agreed (or hostile)
    |       +-- NoAnswerError    a command ended without an answer
    |       +-- TornError        a repetition's files are not what its exit record says: it counts as lost
    +-- ConditionError           not now: too hot, too busy, leased to another; wait, ask again

What goes wrong *inside* a workload (deadline, out of memory, divergence) is no error but an outcome.
"""

from __future__ import annotations

from collections.abc import Mapping

from tunebench.targets.sanitize import printable


class TargetError(Exception):
    """Base of all errors of this package; raised itself only for what is our own fault.

    Messages quote boards, and are printed: what a terminal would obey is written out.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


class LinkError(TargetError):
    """The link failed or the peer fell silent; the same request may be repeated."""


class BlobError(LinkError):
    """A blob that was synced is no longer on the board; sync, then repeat."""


class BoardError(TargetError):
    """This board cannot be used; nothing else that is asked of it will work either."""


class UnreachableError(BoardError):
    """No TCP connection to the board: refused, no route, timed out, or its name is unknown."""


class AuthError(BoardError):
    """The board did not accept any of our keys."""


class HostKeyError(BoardError):
    """The board's host key is unknown, revoked, or not the one we know."""


class SshConfigError(BoardError):
    """The ssh config cannot be read or understood, or makes no sense for this board."""


class IncompatibleError(BoardError):
    """The board's SSH server and our client have no algorithm of some kind in common."""


class InterpreterError(BoardError):
    """The Python that should run the agent is not on the board, or does not start."""


class WorkdirError(BoardError):
    """The working directory on the board cannot be created or written, or is full."""


class UndoError(BoardError):
    """The board's undo list is there but makes no sense; only a person can put its state right."""


class ReplyError(BoardError):
    """The board answered something that is not of the agreed form, size or content."""


class NoAnswerError(ReplyError):
    """A command on the board ended without an answer; the message holds what it said instead.

    Attributes:
        killed: it has no exit status: a signal ended it.
    """

    def __init__(self, message: object = "", *, killed: bool = False) -> None:
        super().__init__(message)
        self.killed = killed


class TornError(ReplyError):
    """A repetition's files are not what its exit record vouches for: a power cut or a bad card has torn them.

    Attributes:
        files: what came, by name.
    """

    def __init__(self, message: str, files: Mapping[str, bytes]) -> None:
        super().__init__(message)
        self.files = dict(files)


class ConditionError(TargetError):
    """The board is fine but not ready now (hot, busy, leased).

    Attributes:
        kind: ``condition`` (hot, busy, little disk or memory) or ``lease`` (another owner has it).
        code: of a condition: the gate's code (``hot``, ``busy``, ``start-temp``, ...).
        holder: of a lease: the process that holds it, as the board says; None where it does not.
    """

    def __init__(
        self,
        message: str,
        kind: str = "condition",
        code: str | None = None,
        holder: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code
        self.holder = holder
