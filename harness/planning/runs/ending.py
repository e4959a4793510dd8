"""Say how a campaign ended that is not complete: which boards are missing, and the command that goes on from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tunebench.harness.hints import anew
from tunebench.harness.hints import command as hint
from tunebench.harness.planning.runs.unfinished import continuing

#: So many missing boards are named one by one.
_MOST_NAMED = 10
_MOST_CHARACTERS = 300


def closing_lines(
    missing: Mapping[str, str],
    *,
    interrupted: bool,
    recorded: int,
    planned: int,
    complete: bool,
    command: Sequence[str],
) -> list[str]:
    """Return the last lines of a campaign that is not complete, or from which boards are missing; else none.

    Args:
        missing: board id -> why the rest of its queue was left out.
        interrupted: whether the user asked to stop.
        recorded: how many repetitions are on disk.
        planned: how many were planned.
        complete: whether the run was closed.
        command: the command line that began it.
    """
    if complete and not missing:
        return []
    lines = _missing(missing)
    if complete:
        return [*lines, f"The run is complete without {_names(missing)}."]
    if missing and not recorded and not interrupted:
        lines.append("Nothing was measured: no board could be used.")
    if missing and not interrupted:
        lines.append(f"To see what is wrong: {hint('doctor', next(iter(missing)), inventory=True)}")
    lines.append(
        f"The run is not complete ({recorded} of {planned} repetitions are recorded). {_next(command)}"
    )
    return lines


def _missing(given_up: Mapping[str, str]) -> list[str]:
    lines = [
        f"Missing: {_reason(board_id, reason)}" for board_id, reason in list(given_up.items())[:_MOST_NAMED]
    ]
    more = len(given_up) - len(lines)
    return [*lines, f"Missing: {more} more boards"] if more > 0 else lines


def _reason(board_id: str, reason: str) -> str:
    """Return a reason in one line that begins with the board's name, once."""
    line = " ".join(reason.split())
    line = line if line.startswith(f"{board_id}:") else f"{board_id}: {line}"
    return line if len(line) <= _MOST_CHARACTERS else f"{line[:_MOST_CHARACTERS]}..."


def _names(given_up: Mapping[str, str]) -> str:
    return ", ".join(list(given_up)[:_MOST_NAMED]) + (", ..." if len(given_up) > _MOST_NAMED else "")


def _next(command: Sequence[str]) -> str:
    continued = continuing(command)
    if continued is not None:
        return f"To continue it: {continued}"
    if list(command[:1]) == ["tunebench.run"]:
        return "To continue it: tunebench.run(..., resume=True)"
    return f"A new one begins with: {anew(command)}"
