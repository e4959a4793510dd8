"""Show how a campaign goes while it runs: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tunebench.harness.planning.plan import Plan
from tunebench.harness.planning.repetition import Planned
from tunebench.reports.formatting.units import seconds
from tunebench.reports.records import Repetition


class Forgiving:
    """A text stream whose failures are nobody's: progress that cannot be shown is no reason to stop measuring.

    A closed pipe, a full disk, a closed file and a character that the encoding lacks; the stream is otherwise itself.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write what can be written; characters that the encoding lacks as their escapes."""
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            plain = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(plain)
        except (OSError, ValueError):
            pass
        return len(text)

    def flush(self) -> None:
        """Flush if the stream still can."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def console() -> Console:
    """Return a console on standard error that never fails."""
    if sys.stderr is None:
        return Console(quiet=True)
    return Console(file=cast(TextIO, Forgiving(sys.stderr)))


class Observer(Protocol):
    """Whoever wants to know how a campaign goes; called from the boards' threads."""

    def note(self, board_id: str, message: str) -> None:
        """Show a message about a board."""

    def left_out(self, board_id: str, count: int) -> None:
        """Note that so many planned repetitions will not run: the probed board cannot run them."""

    def joined(self, board_id: str, queue: Sequence[Planned]) -> None:
        """Note that a board has come into the run, with its queue: it takes the place of one that is lost."""

    def started(self, planned: Planned, left_s: float | None) -> None:
        """Note that a repetition starts; ``left_s`` predicts the rest of this board's queue (None: no history)."""

    def finished(self, planned: Planned, record: Repetition) -> None:
        """Note that a repetition's record is on disk."""

    def ended(self, board_id: str, message: str) -> None:
        """Note that a board's queue is over."""


class Silent:
    """Show nothing."""

    def note(self, board_id: str, message: str) -> None: ...

    def left_out(self, board_id: str, count: int) -> None: ...

    def joined(self, board_id: str, queue: Sequence[Planned]) -> None: ...

    def started(self, planned: Planned, left_s: float | None) -> None: ...

    def finished(self, planned: Planned, record: Repetition) -> None: ...

    def ended(self, board_id: str, message: str) -> None: ...


class PlainLines:
    """Print one line for each event: for logs and CI."""

    def __init__(self, console: Console, plan: Plan, done: int = 0) -> None:
        self._console = console
        self._total = len(plan.repetitions)
        self._done = done
        self._lock = threading.Lock()

    def note(self, board_id: str, message: str) -> None:
        self._print(f"{board_id}: {message}")

    def left_out(self, board_id: str, count: int) -> None:
        with self._lock:
            self._total -= count

    def joined(self, board_id: str, queue: Sequence[Planned]) -> None:
        with self._lock:
            self._total += len(queue)

    def started(self, planned: Planned, left_s: float | None) -> None:
        """Print nothing: a log has one line a repetition."""

    def finished(self, planned: Planned, record: Repetition) -> None:
        with self._lock:
            self._done += record.attempt == 1
            done = self._done
        self._print(f"[{done}/{self._total}] {planned.board_id}: {describe(record)}")

    def ended(self, board_id: str, message: str) -> None:
        self._print(f"{board_id}: {message}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class LiveProgress:
    """Draw a bar for each board with what runs now and when it will end."""

    def __init__(self, console: Console, plan: Plan, done_rep_ids: frozenset[str] = frozenset()) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.fields[board]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[eta]}"),
            TextColumn("{task.fields[now]}", markup=False),  # quotes boards
            console=console,
            # Its times are in whole seconds. Ten times a second, rich's default, drawing 64 boards takes 7% of a core.
            refresh_per_second=1,
        )
        self._tasks: dict[str, TaskID] = {}
        for board in plan.boards:
            queue = plan.of_board(board.id)
            self._add(board.id, len(queue), sum(planned.rep_id in done_rep_ids for planned in queue))

    def _add(self, board_id: str, total: int, done: int = 0) -> None:
        self._tasks[board_id] = self._progress.add_task(
            "", total=total, completed=done, board=board_id, eta="", now="connecting"
        )

    def __enter__(self) -> LiveProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def note(self, board_id: str, message: str) -> None:
        self._progress.console.print(f"{board_id}: {message}", markup=False, highlight=False)

    def left_out(self, board_id: str, count: int) -> None:
        task_id = self._tasks[board_id]
        planned = next(task.total for task in self._progress.tasks if task.id == task_id) or 0
        self._progress.update(task_id, total=planned - count)

    def joined(self, board_id: str, queue: Sequence[Planned]) -> None:
        self._add(board_id, len(queue))

    def started(self, planned: Planned, left_s: float | None) -> None:
        eta = f"ETA {clock(left_s)}" if left_s is not None else "ETA after the first"
        now = f"{planned.workload.task} {planned.workload.label}" + (
            "" if planned.role == "timed" else f" ({planned.role})"
        )
        self._progress.update(self._tasks[planned.board_id], eta=eta, now=now)

    def finished(self, planned: Planned, record: Repetition) -> None:
        self._progress.advance(self._tasks[planned.board_id], 1 if record.attempt == 1 else 0)
        if record.outcome != "ok":
            self.note(planned.board_id, describe(record))

    def ended(self, board_id: str, message: str) -> None:
        self._progress.update(self._tasks[board_id], now=message, eta="")


def describe(record: Repetition) -> str:
    """Return a record in one line."""
    name = f"{record.task} {record.label} block {record.block}"
    if record.role != "timed":
        name += f" ({record.role})"
    if record.attempt > 1:
        name += f" (attempt {record.attempt})"
    if record.outcome != "ok":
        return f"{name}: {record.outcome}: {record.outcome_reason}"
    parts = [f"{record.wall_s:.3f} s"] if record.wall_s is not None and record.role == "timed" else []
    if parts and record.inference is not None and record.wall_s is not None:
        parts = [f"{seconds(record.wall_s)} a call"]
    if record.role in ("energy", "idle"):
        return f"{name}: {_energy_text(record)}"
    quality = record.quality
    if quality.before is not None and quality.after is not None:
        parts.append(f"{quality.metric} {quality.before:.3f} -> {quality.after:.3f}")
    if record.role == "check" and record.check is not None:
        parts.append("passed" if record.check.get("passed") is True else "FAILED")
    return f"{name}: {', '.join(parts) or 'done'}"


def _energy_text(record: Repetition) -> str:
    """Return the figures of an energy repetition or of an idle baseline, or why it has none."""
    energy = record.energy
    if energy is None:
        return f"no energy: {record.missing.get('energy', 'no reason given')}"
    if energy.j_per_finetuning is None:
        return f"{energy.mean_w:.3g} W {energy.scope}"
    return f"{energy.j_per_finetuning:.4g} J each, {energy.repeats} fine-tunings at {energy.mean_w:.3g} W {energy.scope}"


def clock(seconds: float) -> str:
    """Return seconds as ``1:05`` or ``2:03:04``."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


class StageLines:
    """Print how the making of artefacts goes: a line at each quarter of each stage."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[str, int] | None = None

    def __call__(self, stage: str, share: float) -> None:
        step = (stage, int(4 * share))
        if step != self._last:
            self._last = step
            self._console.print(f"{stage}: {25 * step[1]}%", markup=False, highlight=False)
