"""Write down what a person decided about a lab's results."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Callable
from pathlib import Path

from tunebench.harness.errors import UsageError
from tunebench.harness.hints import command
from tunebench.reports.history import clock, decisions
from tunebench.reports.history.gating import Judgement, NightFinding
from tunebench.reports.stores.address import Address

#: Findings that a person may say yes to, and those that say that a board is not fit.
_ACCEPTED = ("REGRESSION", "UNCLEAR", "IMPROVED", "MISSING", "RENAMED")
_AWAY = ("OFFLINE", "BOARD", "INVALID")
#: So much of a key's SHA-256 names a series.
_KEY = re.compile(r"([0-9a-f]{16})[0-9a-f]{48}")
_DEFAULT_STORE = Path("results")


def decide(
    store: Path | Address,
    kind: decisions.Kind,
    reason: str,
    *,
    board_id: str | None = None,
    series_key: str | None = None,
) -> Path | Address:
    """Append a decision of the current user; return the file that holds it, or the store.

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


def decisions_on(judgement: Judgement, store: Path | Address) -> Callable[[NightFinding], str | None]:
    """Return a function that gives the command by which a person decides on a finding of a judgement."""
    return lambda finding: decision_command(finding, judgement.run_id, store)


def decision_command(finding: NightFinding, run_id: str, store: Path | Address) -> str | None:
    """Return the command by which a person decides on a finding; None where there is nothing to decide.

    A change of a series is accepted, a board that is away or sick is put in quarantine. The reason that it gives says
    what was seen; who knows better writes that.
    """
    where = ["--store", str(store)] if store != _DEFAULT_STORE else []
    if finding.verdict in _ACCEPTED and finding.series_key is not None:
        change = finding.screening.change if finding.screening is not None else None
        size = (
            "" if change is None else f" {change:+.1%}" if finding.metric != "accuracy" else f" {change:+.3f}"
        )
        reason = f"{finding.verdict} of {run_id} is meant: {finding.metric or 'series'}{size}"
        return command("accept", _KEY.sub(r"\1", finding.series_key), "--reason", reason, *where)
    if finding.verdict in _AWAY and finding.board_id:
        reason = f"{finding.verdict} in {run_id}"
        return command("quarantine", finding.board_id, "--reason", reason, *where)
    if finding.verdict == "QUARANTINED":
        return command("quarantine", finding.board_id, "--release", "--reason", "fit again", *where)
    return None


def _user() -> str:
    """Return the user's name, or the number where the machine knows no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
