"""The errors that end a command, and the exit codes of all endings.

::

    HarnessError            one clear sentence for the user, no traceback
    `-- UsageError     2    a mistake in what was asked: inventory, suite, option, path

A campaign that ran to its end gives its code without an error (:func:`tunebench.harness.campaign.session.exit_code`):
0 ok, 1 a measured failure, 3 some boards skipped or repetitions invalid, 4 nothing could be measured. Where several
apply, the precedence is 2, 1, 4, 3, 0. Ctrl-C ends with 130 and leaves a resumable run.

What nobody foresaw ends a command with 4 and one sentence, too (:func:`ending_of`): whatever a library raises, it is no
measured failure, and a traceback is only for who asks for it.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

EXIT_OK = 0
EXIT_MEASURED = 1
EXIT_USAGE = 2
EXIT_PARTIAL = 3
EXIT_INFRA = 4
#: Only of ``collect``: it still runs. EX_TEMPFAIL of sysexits.h: ask again later.
EXIT_NOT_YET = 75
EXIT_INTERRUPTED = 130

_ROOMS = ("harness", "reports", "targets", "workloads")


class HarnessError(Exception):
    """Ends a command with one clear message."""

    exit_code = EXIT_INFRA


class UsageError(HarnessError):
    """The user can mend this: it names what was wrong, where, and what would be right."""

    exit_code = EXIT_USAGE


@dataclass(frozen=True)
class Ending:
    """How an error ends a command.

    Attributes:
        message: one sentence, or several lines where a file has several mistakes.
        code: exit code.
        foreseen: whether this package raised it on purpose, or the system refused something by name.
    """

    message: str
    code: int
    foreseen: bool = True


def ending_of(error: BaseException) -> Ending:
    """Return how any error ends a command."""
    from tunebench.reports.formatting.output import OutputError
    from tunebench.reports.results import ResultsError
    from tunebench.reports.stores.errors import StoreLost
    from tunebench.targets.errors import TargetError

    if isinstance(error, HarnessError):
        return Ending(_noted(error, str(error)), error.exit_code)
    if isinstance(error, ResultsError):
        return Ending(_noted(error, str(error)), EXIT_USAGE)
    if isinstance(error, OutputError):
        return Ending(_noted(error, str(error)), EXIT_INFRA if error.disk else EXIT_USAGE)
    if isinstance(error, KeyboardInterrupt):
        return Ending("interrupted", EXIT_INTERRUPTED)
    if isinstance(error, TargetError | StoreLost) or (isinstance(error, OSError) and error.strerror):
        return Ending(_noted(error, _one_line(str(error))), EXIT_INFRA)
    return Ending(_noted(error, _unforeseen(error)), EXIT_INFRA, foreseen=False)


def _unforeseen(error: BaseException) -> str:
    """Return kind, words and place of an error that nobody foresaw, in one line."""
    words = _one_line(str(error))
    return f"unexpected {type(error).__name__}{f': {words}' if words else ''}{_place(error)}"


def _place(error: BaseException) -> str:
    """Return the last line of our rooms that an error passed through."""
    package = Path(__file__).resolve().parent.parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        if path.is_relative_to(package) and path.relative_to(package).parts[0] in _ROOMS:
            return f" (in {path.relative_to(package)}, line {frame.lineno})"
    return ""


def _noted(error: BaseException, message: str) -> str:
    """Put what was noted on an error on its way up, such as the board, before its message."""
    return ": ".join([*reversed(getattr(error, "__notes__", [])), message])


def _one_line(text: str, most: int = 500) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}..."
