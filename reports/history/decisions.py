"""Store and read what people decided about results: ``decisions.jsonl`` at the root of the results, append-only.

A decision is never edited or removed; a later one supersedes it. Every line is fsynced before the command that
wrote it returns.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from tunebench.reports.records import Record
from tunebench.reports.results.files import sync_folder
from tunebench.reports.results.layout import first_fault
from tunebench.reports.stores.address import Address
from tunebench.reports.stores.store import opened

DECISIONS = "decisions.jsonl"
DECISION_SCHEMA = "tunebench.decision/1"

Kind = Literal["accept", "quarantine", "release", "note"]


class Decision(Record):
    """One line of ``decisions.jsonl``.

    ``accept`` opens a new segment of a series: the change is wanted, older nights are no yardstick any more.
    ``quarantine`` leaves a board's nights out of every comparison until ``release``. ``note`` only remarks.
    """

    schema_: str = Field(default=DECISION_SCHEMA, alias="schema")
    t_utc: str
    who: str
    kind: Kind
    reason: str = Field(min_length=1, max_length=2000)
    series_key: str | None = Field(default=None, description="None: every series of the board")
    board_id: str | None = None
    run_id: str | None = Field(default=None, description="the run that led to it, where there is one")


def append(root: Path | Address, decision: Decision) -> Path | Address:
    """Add a decision; it is on disk when this returns. Returns the file's path; of a store, its address.

    Writers exclude one another by a lock on the file. A line torn by a crash is closed first, so that it cannot
    swallow the new one.
    """
    if isinstance(root, Address):
        with opened(root) as store:
            store.prepare()
            store.push_decisions([decision.to_line().rstrip("\n")])
        return root
    path = Path(root) / DECISIONS
    with path.open("ab+") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            torn = file.read(1) != b"\n"
        else:
            torn = False
        file.write((b"\n" if torn else b"") + decision.to_line().encode())
        file.flush()
        os.fsync(file.fileno())
    # Always: whoever made the file may have been killed before its name was safe.
    sync_folder(path.parent)
    return path


def read(root: Path | Address) -> tuple[list[Decision], list[str]]:
    """Return all decisions, the oldest first, and a warning for each line that is not a decision."""
    if isinstance(root, Address):
        with opened(root) as store:
            return _parsed([line.encode() for line in store.decisions()], str(root))
    path = Path(root) / DECISIONS
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], []
    return _parsed(lines, str(path))


def _parsed(lines: Sequence[bytes], path: str) -> tuple[list[Decision], list[str]]:
    made: list[Decision] = []
    warnings: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            if not isinstance(value, dict) or not str(value.get("schema", "")).startswith(DECISION_SCHEMA):
                raise ValueError(f"not of schema {DECISION_SCHEMA}")
            made.append(Decision.model_validate(value))
        except ValidationError as error:
            warnings.append(f"{path}: line {number} was left out: {first_fault(error)}")
        except (ValueError, RecursionError) as error:
            warnings.append(f"{path}: line {number} was left out: {error}")
    return made, warnings


def quarantined(decisions: Sequence[Decision], board_id: str, t_utc: str) -> Decision | None:
    """Return the quarantine of a board that was in force at a time, or None.

    >>> when = "2026-11-01T00:00:00Z"
    >>> sick = Decision(t_utc=when, who="ann", kind="quarantine", reason="fan", board_id="pi5-01")
    >>> quarantined([sick], "pi5-01", "2026-11-02T00:00:00Z").reason
    'fan'
    >>> quarantined([sick], "pi5-01", "2026-10-31T00:00:00Z") is None
    True
    """
    last = None
    for decision in decisions:
        of_board = decision.board_id == board_id and decision.kind in ("quarantine", "release")
        if of_board and decision.t_utc <= t_utc:
            last = decision
    return last if last is not None and last.kind == "quarantine" else None


def now_utc() -> str:
    """Return the time now as ``2026-11-21T07:45:00Z``; use it only to put decisions in order."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
