"""Tell a program how a night ended: its argv as it was given, no shell, the verdict as JSON on its standard input.

A hook that fails is told and changes nothing: the night's exit code is the night's.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tunebench.harness.errors import UsageError
from tunebench.reports.history import gate_text
from tunebench.reports.history.gating import Judgement

SCHEMA = "tunebench.night/1"
#: A hook that has not ended by then is ended, with all that it started: the next night must not wait for it.
PATIENCE_S = 60.0
_SAID_B = 300
#: Exit code -> the night in one word.
_WORDS = {
    0: "ok",
    1: "failed",
    2: "usage",
    3: "unclear",
    4: "infrastructure",
    130: "interrupted",
}


def hook_of(command: str) -> tuple[str, ...]:
    """Return the words of a hook's command line, split as a shell splits them; nothing in them is expanded.

    Raises:
        UsageError: a quote is not closed, or there is no such program. Better now than after the night.
    """
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"--notify {command!r}: {str(error).lower()}: quotes are missing") from None
    if not words:
        raise UsageError(f"--notify {command!r}: names no program")
    if shutil.which(words[0]) is None:
        raise UsageError(
            f"--notify: no program {words[0]!r} that can be started; give its path, or leave the option out."
            " The words are not run by a shell: for that, write sh -c '...'"
        )
    return words


def notice(
    code: int,
    run: Path | None,
    judgement: Judgement | None,
    report: Path | None,
    *,
    problem: str | None = None,
) -> dict[str, object]:
    """Return what a hook is told.

    Args:
        code: the night's exit code.
        run: the run's directory; None: nothing was recorded.
        judgement: the gate's; None: the night could not be judged.
        report: the page; None: it could not be written.
        problem: why there is no judgement.
    """
    return {
        "schema": SCHEMA,
        "exit_code": code,
        "ending": _WORDS.get(code, "unknown"),
        "headline": gate_text.headline(judgement)
        if judgement is not None
        else problem or "nothing was judged",
        "run": str(run.resolve()) if run is not None else None,
        "report": str(report.resolve()) if report is not None else None,
        "gate": gate_text.as_json_value(judgement) if judgement is not None else None,
    }


def tell(hook: Sequence[str], value: dict[str, object], *, patience_s: float = PATIENCE_S) -> str | None:
    """Start a hook, give it the night as JSON, wait for its end; return what went wrong, None if nothing did.

    What it prints is not shown, but for the end of its standard error where it fails: the output is the night's.
    """
    data = json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
    try:
        process = subprocess.Popen(
            list(hook),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return f"--notify: {hook[0]} cannot be started: {error.strerror or error}"
    try:
        _, said = process.communicate(data, timeout=patience_s)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"--notify: {hook[0]} had not ended after {patience_s:g} s and was stopped"
    except BaseException:
        _end(process)
        raise
    if process.returncode == 0:
        return None
    how = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
    last = " ".join(said.decode("utf-8", "replace").split())[-_SAID_B:]
    return f"--notify: {hook[0]} ended with {how}" + (f"; it said: {last}" if last else "")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a hook and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    for stream in (process.stdin, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
