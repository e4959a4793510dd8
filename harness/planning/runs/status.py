"""Tell how far a run is from its files alone: from another terminal, while it is written, or long after.

Nothing is asked of a board or of the process that measures. Whether one does is told by the lock on the records; which
repetition runs on a board follows from the plan, since a queue is worked off in order.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Literal

from tunebench.harness.planning import attempts
from tunebench.harness.planning.durations import durations_below
from tunebench.harness.planning.repetition import duration_key
from tunebench.harness.planning.runs.unfinished import continuing
from tunebench.reports.records import PLAN_SCHEMA, RUN_SCHEMA
from tunebench.reports.results import ResultsError, is_being_written
from tunebench.reports.results.layout import MANIFEST, PLAN, REPS, load_object
from tunebench.reports.results.plan_view import PlanView
from tunebench.reports.results.reader import missing_boards
from tunebench.reports.results.state import Stored, scan

State = Literal["running", "complete", "not complete"]
#: A run lies so many folders below a results root: lab, year, month, day, run.
ROOT_DEPTH = 5


@dataclass(frozen=True, slots=True)
class BoardStatus:
    """How far one board is.

    Attributes:
        done: planned repetitions that need nothing more.
        now: what runs on it, by the plan; None: nothing is left, nobody measures, or the board is missing.
        left_s: predicted seconds of the rest of its queue; None: nothing is left, or there is no history.
        missing: why its queue was left open; None: it was not.
    """

    board_id: str
    done: int
    planned: int
    now: str | None = None
    left_s: float | None = None
    missing: str | None = None

    @property
    def progress(self) -> list[str]:
        """Return how much is done, then what runs now, or why nothing does."""
        count = f"{self.done} of {self.planned}"
        if self.missing is not None:
            return [count, f"missing: {self.missing}"]
        return [count] if self.now is None else [count, f"now {self.now}"]


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is.

    Attributes:
        path: its directory.
        recorded: records on disk, second attempts included.
        planned: repetitions in its plan; None where the plan does not list them.
        ended_utc: None until it is complete.
        quiet_s: seconds since something was recorded; None where nothing was.
        boards: one for each board; empty in a list of runs.
        continuing: the command that continues it; None where it is complete or running, or no command line does.
    """

    path: Path
    run_id: str
    suite: str | None
    state: State
    recorded: int
    planned: int | None
    board_ids: tuple[str, ...]
    started_utc: str | None
    ended_utc: str | None
    quiet_s: float | None = None
    boards: tuple[BoardStatus, ...] = field(default=())
    continuing: str | None = None

    @property
    def lasted_s(self) -> float | None:
        """Return the seconds from its begin to its end; None until it is complete."""
        try:
            began, ended = (datetime.fromisoformat(str(utc)) for utc in (self.started_utc, self.ended_utc))
            return (ended - began).total_seconds()
        except (ValueError, TypeError):
            return None

    @property
    def left_s(self) -> float | None:
        """Return the predicted seconds until the slowest board is done; None where one that is at work has no history."""
        working = [board.left_s for board in self.boards if board.now is not None]
        known = [left_s for left_s in working if left_s is not None]
        return max(known) if known and len(known) == len(working) else None


def run_folders(root: Path) -> list[Path]:
    """Return the directories of the runs below a results root, or the directory itself; the newest first."""
    plans = [plan for depth in range(ROOT_DEPTH + 1) for plan in root.glob("*/" * depth + PLAN)]
    return sorted((plan.parent for plan in plans), key=lambda path: path.name, reverse=True)


def in_short(path: Path) -> RunStatus:
    """Return how far a run is, without its boards; what cannot be read is None or 0.

    Raises:
        ResultsError: its plan cannot be read.
    """
    return _of_plan(path, PlanView.of(load_object(path / PLAN, PLAN_SCHEMA)))


def _of_plan(path: Path, plan: PlanView) -> RunStatus:
    manifest = _manifest(path)
    state: State = "complete"
    if manifest is None:
        state = "running" if is_being_written(path) else "not complete"
    began_utc = (manifest or {}).get("started_utc") or plan.started_utc
    ended_utc = (manifest or {}).get("ended_utc")
    return RunStatus(
        path=path,
        run_id=plan.run_id or path.name,
        suite=plan.suite.name,
        state=state,
        recorded=_count_lines(path / REPS),
        planned=plan.planned,
        board_ids=plan.boards,
        started_utc=str(began_utc) if began_utc is not None else None,
        ended_utc=str(ended_utc) if ended_utc is not None else None,
        quiet_s=_quiet_s(path / REPS),
        continuing=continuing(plan.command) if state == "not complete" else None,
    )


def in_full(path: Path) -> RunStatus:
    """Return how far a run is, board by board.

    Raises:
        ResultsError: its plan cannot be read.
    """
    plan = PlanView.of(load_object(path / PLAN, PLAN_SCHEMA))
    run = _of_plan(path, plan)
    stored = scan(path / REPS).stored if (path / REPS).is_file() else {}
    missing = {skip.board_id: skip.reason for skip in missing_boards(path)} if run.state != "complete" else {}
    history: Mapping[tuple[str, str, str, str], float] = {}
    if run.state == "running" and len(path.parents) >= ROOT_DEPTH:
        history = durations_below(path.parents[ROOT_DEPTH - 1], str(plan.lab))
    boards = [
        _board(
            board_id, plan.repetitions, stored, history, missing.get(board_id), running=run.state == "running"
        )
        for board_id in plan.boards
    ]
    return replace(run, boards=tuple(boards))


def _board(
    board_id: str,
    planned: Sequence[Mapping[str, object]],
    stored: Mapping[str, Stored],
    history: Mapping[tuple[str, str, str, str], float],
    missing: str | None,
    *,
    running: bool,
) -> BoardStatus:
    queue = [repetition for repetition in planned if repetition.get("board_id") == board_id]
    left = [repetition for repetition in queue if is_open(str(repetition.get("rep_id")), stored)]
    at_work = running and missing is None and bool(left)
    return BoardStatus(
        board_id,
        done=len(queue) - len(left),
        planned=len(queue),
        now=words_of(left[0]) if at_work else None,
        left_s=left_s_of(left, history) if at_work else None,
        missing=missing,
    )


def is_open(rep_id: str, stored: Mapping[str, Stored]) -> bool:
    """Tell whether a slot has no final record: none at all, or a loss that is to be measured once more."""
    for attempt in range(1, attempts.MAX_ATTEMPTS + 1):
        record = stored.get(rep_id if attempt == 1 else f"{rep_id}.try{attempt}")
        if record is None:
            return True
        if not attempts.to_be_repeated(record):
            return False
    return False


def words_of(repetition: Mapping[str, object]) -> str:
    """Return a planned repetition in words."""
    role = "" if repetition.get("role") == "timed" else f" ({repetition.get('role')})"
    return f"{repetition.get('task')} {repetition.get('label')} block {repetition.get('block')}{role}"


def left_s_of(
    left: Iterable[Mapping[str, object]], history: Mapping[tuple[str, str, str, str], float]
) -> float | None:
    """Return the predicted seconds of a queue, what is unknown at the mean of what is known; None without history."""
    keys = [
        duration_key(*(str(repetition.get(name)) for name in ("board_id", "task", "label", "role")))
        for repetition in left
    ]
    known_s = [history[key] for key in keys if key in history]
    return fmean(known_s) * len(keys) if known_s else None


def _manifest(path: Path) -> Mapping[str, object] | None:
    if not (path / MANIFEST).exists():
        return None
    try:
        return load_object(path / MANIFEST, RUN_SCHEMA)
    except ResultsError:
        return {}


def _count_lines(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return sum(line.endswith(b"\n") for line in file)
    except OSError:
        return 0


def _quiet_s(path: Path) -> float | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return max(0.0, time.time() - info.st_mtime) if info.st_size else None
