"""What there is to see of a run, read again and again from its folder: only what was added is read.

Nothing is written, and no board and no process is asked: whoever watches can be killed at any time. All texts are one
line and printable, since boards and suites have a say in them.
"""

from __future__ import annotations

import json
import math
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from tunebench.harness.campaign.progress import describe
from tunebench.harness.planning.durations import durations_below
from tunebench.harness.planning.repetition import DurationKey, key_of
from tunebench.harness.planning.runs.status import ROOT_DEPTH, BoardStatus, is_open, left_s_of, words_of
from tunebench.harness.planning.runs.unfinished import continuing
from tunebench.reports.records import PLAN_SCHEMA, Repetition
from tunebench.reports.results import ResultsError, is_being_written
from tunebench.reports.results.layout import MANIFEST, PLAN, REPS, load_object, parse_line
from tunebench.reports.results.plan_view import PlanView
from tunebench.reports.results.reader import missing_boards
from tunebench.reports.results.state import Stored
from tunebench.reports.stats.signed_rank import hodges_lehmann
from tunebench.targets.sanitize import one_line

SCHEMA = "tunebench.watch/1"
#: So many of a board's newest records are shown.
LAST = 3
#: So many lines are handed on at once; a watcher that attaches to a long run is not told all of it.
MOST_LINES = 200
#: So many bytes before the last look are compared, so that records that were written anew are noticed.
_TAIL_B = 256


@dataclass(frozen=True, slots=True)
class BoardView(BoardStatus):
    """How far a board is, and how it does.

    Attributes:
        temp_c: at the end of its newest repetition that says so.
        temp_max_c: the highest of this run.
        invalid: records that are not valid measurements (verdict ``invalid``).
        last: its newest records, the newest first, each with its verdict.
    """

    temp_c: float | None = None
    temp_max_c: float | None = None
    invalid: int = 0
    last: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpeedUpView:
    """A speed-up as it forms: an estimate from the pairs so far, and no verdict.

    Attributes:
        factor: baseline / method, by the estimator of the report (Hodges-Lehmann of the logarithms of pairs).
        pairs: blocks in which both were measured.
    """

    board_id: str
    task: str
    label: str
    baseline: str
    factor: float
    pairs: int


@dataclass(frozen=True, slots=True)
class View:
    """A run as it is seen now.

    Attributes:
        state: ``running``, ``complete`` or ``not complete`` (nobody measures).
        recorded: records on disk, second attempts included.
        left_s: predicted seconds until the slowest board is done; None where one at work has no history.
        unreadable: lines of records that could not be read.
        continuing: the command that continues it, where it is not complete.
    """

    path: str
    run_id: str
    suite: str
    state: str
    recorded: int
    planned: int
    left_s: float | None
    boards: tuple[BoardView, ...]
    speed_ups: tuple[SpeedUpView, ...]
    unreadable: int = 0
    continuing: str | None = None

    def as_json(self) -> str:
        """Return the view as one line of JSON."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, allow_nan=False, sort_keys=True)


@dataclass
class _Board:
    """What is kept of one board between two looks."""

    queue: list[Mapping[str, object]]
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST))
    temp_c: float | None = None
    temp_max_c: float | None = None
    invalid: int = 0
    n_seen: int = -1
    left: list[Mapping[str, object]] = field(default_factory=list)


class Watch:
    """A run that is looked at again and again. Used from one thread.

    Args:
        path: the run's directory.

    Attributes:
        lines: what was recorded since the look before, a line each.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[str] = []
        self._plan_stamp: tuple[int, int] | None = None
        self._plan = PlanView()
        self._history: Mapping[DurationKey, float] | None = None
        self._forget()

    def look(self) -> View:
        """Read what is new, and return the run as it is now.

        Raises:
            ResultsError: its plan cannot be read.
        """
        self.lines = []
        self._read_plan()
        self._read_records()
        complete = (self.path / MANIFEST).exists()
        running = not complete and is_being_written(self.path)
        missing = {} if complete else {skip.board_id: skip.reason for skip in missing_boards(self.path)}
        boards = tuple(
            self._board(board_id, missing.get(board_id), running=running) for board_id in self._plan.boards
        )
        working = [board.left_s for board in boards if board.now is not None]
        known = [left_s for left_s in working if left_s is not None]
        return View(
            path=one_line(str(self.path)),
            run_id=one_line(self._plan.run_id or self.path.name),
            suite=one_line(self._plan.suite.name or "suite unknown"),
            state="complete" if complete else "running" if running else "not complete",
            recorded=len(self._stored),
            planned=len(self._plan.repetitions),
            left_s=max(known) if known and len(known) == len(working) else None,
            boards=boards,
            speed_ups=tuple(self._speed_ups()),
            unreadable=self._unreadable,
            continuing=None if complete or running else continuing(self._plan.command),
        )

    def _forget(self) -> None:
        self._offset_b = 0
        self._tail = b""
        self._unreadable = 0
        self._stored: dict[str, Stored] = {}
        self._n_of: dict[str, int] = {}
        self._hosts_s: dict[DurationKey, list[float]] = {}
        #: (board, task, label) -> block -> seconds of the window.
        self._walls_s: dict[tuple[str, str, str], dict[int, float]] = {}
        self._factors: dict[tuple[str, str, str], tuple[int, float]] = {}
        self._boards: dict[str, _Board] = {}

    def _read_plan(self) -> None:
        """Read the plan again if it was written anew: blocks are added to finished runs."""
        try:
            state = (self.path / PLAN).stat()
            stamp = (state.st_mtime_ns, state.st_size)
        except OSError:
            stamp = (0, 0)
        if stamp == self._plan_stamp:
            return
        self._plan = PlanView.of(load_object(self.path / PLAN, PLAN_SCHEMA))
        self._plan_stamp = stamp
        self._forget()

    def _read_records(self) -> None:
        try:
            file = (self.path / REPS).open("rb")
        except OSError:
            return
        with file:
            if not self._goes_on(file.fileno()):
                self._forget()
            file.seek(self._offset_b)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written
                self._offset_b += len(line)
                self._tail = (self._tail + line)[-_TAIL_B:]
                try:
                    self._keep(parse_line(line[:-1]))
                except ResultsError:
                    self._unreadable += 1

    def _goes_on(self, descriptor: int) -> bool:
        """Tell whether the file is the one that was read, only longer: a resumed run cuts a torn line off."""
        if os.fstat(descriptor).st_size < self._offset_b:
            return False
        return os.pread(descriptor, len(self._tail), self._offset_b - len(self._tail)) == self._tail

    def _keep(self, record: Repetition) -> None:
        stored = Stored.of(record)
        self._stored[record.rep_id] = stored
        self._n_of[record.board_id] = self._n_of.get(record.board_id, 0) + 1
        board = self._of(record.board_id)
        line = one_line(f"{describe(record)} [{record.verdict}]")
        board.last.appendleft(line)
        if len(self.lines) < MOST_LINES:
            self.lines.append(f"{one_line(record.board_id)}: {line}")
        conditions = record.conditions
        if conditions.temp_end_c is not None:
            board.temp_c = conditions.temp_end_c
        temps_c = [
            temp_c
            for temp_c in (board.temp_max_c, conditions.temp_max_c, conditions.temp_end_c)
            if temp_c is not None and math.isfinite(temp_c)
        ]
        board.temp_max_c = max(temps_c, default=None)
        board.invalid += record.verdict == "invalid"
        if record.host_s is not None and record.outcome == "ok":
            self._hosts_s.setdefault(key_of(record), []).append(record.host_s)
        counts = record.role == "timed" and record.outcome == "ok" and record.verdict != "invalid"
        if counts and record.wall_s is not None and record.wall_s > 0:
            key = (record.board_id, record.task, record.label)
            self._walls_s.setdefault(key, {})[record.block] = record.wall_s

    def _of(self, board_id: str) -> _Board:
        if board_id not in self._boards:
            queue = [planned for planned in self._plan.repetitions if planned.get("board_id") == board_id]
            self._boards[board_id] = _Board(queue)
        return self._boards[board_id]

    def _board(self, board_id: str, missing: str | None, *, running: bool) -> BoardView:
        board, n_seen = self._of(board_id), self._n_of.get(board_id, 0)
        if board.n_seen != n_seen:
            board.n_seen = n_seen
            board.left = [
                planned for planned in board.queue if is_open(str(planned.get("rep_id")), self._stored)
            ]
        at_work = running and missing is None and bool(board.left)
        return BoardView(
            board_id=one_line(board_id),
            done=len(board.queue) - len(board.left),
            planned=len(board.queue),
            now=one_line(words_of(board.left[0])) if at_work else None,
            left_s=left_s_of(board.left, self._durations()) if at_work else None,
            temp_c=board.temp_c,
            temp_max_c=board.temp_max_c,
            invalid=board.invalid,
            last=tuple(board.last),
            missing=one_line(missing) if missing is not None else None,
        )

    def _durations(self) -> Mapping[DurationKey, float]:
        """Return the median host seconds of each kind of repetition: of this run before those of earlier ones."""
        if self._history is None:
            self._history = {}
            if len(self.path.parents) >= ROOT_DEPTH:
                self._history = durations_below(self.path.parents[ROOT_DEPTH - 1], str(self._plan.lab))
        return {**self._history, **{key: median(values) for key, values in self._hosts_s.items()}}

    def _speed_ups(self) -> list[SpeedUpView]:
        views = []
        for (board_id, task, label), walls_s in self._walls_s.items():
            baseline = self._plan.tasks[task].baseline if task in self._plan.tasks else None
            base_s = self._walls_s.get((board_id, task, baseline or ""), {})
            blocks = sorted(walls_s.keys() & base_s.keys())
            if baseline is None or label == baseline or not blocks:
                continue
            key = (board_id, task, label)
            if self._factors.get(key, (0, 0.0))[0] != len(blocks):
                logs = [math.log(base_s[block] / walls_s[block]) for block in blocks]
                self._factors[key] = (len(blocks), math.exp(hodges_lehmann(logs)))
            views.append(
                SpeedUpView(
                    one_line(board_id),
                    one_line(task),
                    one_line(label),
                    one_line(baseline),
                    factor=self._factors[key][1],
                    pairs=len(blocks),
                )
            )
        return views
