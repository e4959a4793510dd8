"""The errors that end a command, each with its exit code.

::

    HarnessError            one clear sentence for the user, no traceback
    |-- UsageError     2    a mistake in what was asked: inventory, suite, option, path
    |-- MeasuredError  1    the boards worked, and what they measured is a failure
    |-- PartialError   3    some boards were skipped, or some repetitions are invalid
    `-- InfraError     4    nothing could be measured: link, board, host key, disk

Where several apply, the precedence is 2, 1, 4, 3, 0. Ctrl-C ends with 130 and leaves a resumable run.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_MEASURED = 1
EXIT_USAGE = 2
EXIT_PARTIAL = 3
EXIT_INFRA = 4
EXIT_INTERRUPTED = 130


class HarnessError(Exception):
    """Ends a command with one clear message."""

    exit_code = EXIT_INFRA


class UsageError(HarnessError):
    """The user can mend this: it names what was wrong, where, and what would be right."""

    exit_code = EXIT_USAGE


class InfraError(HarnessError):
    """Nothing could be measured."""

    exit_code = EXIT_INFRA
