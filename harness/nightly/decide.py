"""Write down what a person decided about a lab's results."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from tunebench.harness.errors import UsageError
from tunebench.reports.history import clock, decisions


def decide(
    store: Path,
    kind: decisions.Kind,
    reason: str,
    *,
    board_id: str | None = None,
    series_key: str | None = None,
) -> Path:
    """Append a decision of the current user; return the file that holds it.

    Args:
        store: root of the results.
        reason: why; shown in reports.
        board_id: the board that it is about.
        series_key: the series that it is about; None: every series of the board.

    Raises:
        UsageError: the reason is empty, or the clock here cannot be right: what a decision holds for goes by its date.
    """
    if not reason.strip():
        raise UsageError("--reason: say why; it is kept and shown in reports")
    now = decisions.now_utc()
    if now < clock.stamp(clock.EARLIEST):
        raise UsageError(
            f"this host's clock says {now}; a decision holds for the nights after its date: set the clock, then try again"
        )
    decision = decisions.Decision(
        t_utc=now,
        who=_user(),
        kind=kind,
        reason=reason.strip(),
        board_id=board_id,
        series_key=series_key,
    )
    return decisions.append(store, decision)


def _user() -> str:
    """Return the user's name, or the number where the machine knows no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
