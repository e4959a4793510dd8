"""The errors that end a command, and the exit codes of all endings.

::

    HarnessError            one clear sentence for the user, no traceback
    `-- UsageError     2    a mistake in what was asked: inventory, suite, option, path

A campaign that ran to its end gives its code without an error (:func:`tunebench.harness.campaign.session.exit_code`):
0 ok, 1 a measured failure, 3 some boards skipped or repetitions invalid, 4 nothing could be measured. Where several
apply, the precedence is 2, 1, 4, 3, 0. Ctrl-C ends with 130 and leaves a resumable run.
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
