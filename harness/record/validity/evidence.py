"""Define what a verdict is made from, and what a check is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tunebench.harness.planning import limits
from tunebench.harness.record.harvest import ExitRecord
from tunebench.reports.records import ClockOffset, Repetition, Seen, Stressed

Level = Literal["degraded", "invalid"]


@dataclass(frozen=True)
class Evidence:
    """One repetition as board and host saw it: all that a verdict is made from.

    Attributes:
        window_s: the measured window on the board's clock; None where there is none.
        policy: the suite's: ``cold`` or ``sustained``.
        root: where the board's sensors begin; another folder than ``/`` is a simulated tree.
        exit_record: the board's, validated; None where the board had none.
        offset: the tighter of the clock exchanges.
        exchanges: (host's monotonic seconds, offset) before and after.
        freq_median_hz: CPU clock over the measured window, as the kernel believes it.
        clock_median_hz: the same as the board's firmware measured it (Raspberry Pi); None where nothing does.
        settled: policy ``sustained``: whether the last third no longer changes.
        check_failed: why no speed of this method is believed on this board.
        window_missing: why there is no window, where that is known.
        tuning_faults: why the board is not as ``[board.tuning]`` asks for it, or as an earlier run found it.
        contested: who else had the board's place in its farm by the end of the repetition.
        stressor: what the suite put around it; None where it was measured quietly.
    """

    board_kind: str
    emulated: bool
    outcome: str
    outcome_reason: str | None
    window_s: float | None
    threads: int = 1
    role: str = "timed"
    policy: Literal["cold", "sustained"] = "cold"
    root: str = "/"
    exit_record: ExitRecord | None = None
    offset: ClockOffset | None = None
    exchanges: Sequence[tuple[float, ClockOffset]] = ()
    freq_median_hz: float | None = None
    clock_median_hz: float | None = None
    settled: bool | None = None
    check_failed: str | None = None
    window_missing: str | None = None
    tuning_faults: Sequence[str] = ()
    contested: str | None = None
    stressor: Stressed | None = None

    @property
    def own_machine(self) -> bool:
        """Tell whether the board is the host's own machine: that it is shared stands for all disturbance."""
        return not limits.is_quiet(self.board_kind, self.root)

    def counter(self, when: Literal["before", "during", "after"], name: str) -> int | None:
        """Return a number that the agent read around the repetition; ``None`` if it could not."""
        value = self._tables.get(when, {}).get(name)
        return value if isinstance(value, int) else None

    def counters(self, prefix: str) -> dict[str, tuple[int | None, int | None]]:
        """Return (before, after) of all counters whose name begins with ``prefix``; the names without it."""
        names = {name for when in ("before", "after") for name in self._tables.get(when, {})}
        return {
            name.removeprefix(prefix): (self.counter("before", name), self.counter("after", name))
            for name in sorted(names)
            if name.startswith(prefix)
        }

    def grown(self, name: str) -> int | None:
        """Return by how much a counter rose; ``None`` if it is not known."""
        before, after = self.counter("before", name), self.counter("after", name)
        return None if before is None or after is None else after - before

    def number(self, part: Literal["conditions", "sampler", "watchdog"], name: str) -> float | None:
        """Return a number of a part of the exit record; ``None`` if it is not there."""
        value = getattr(getattr(self.exit_record, part, None), name, None)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    @property
    def _tables(self) -> Mapping[str, Mapping[str, int | None]]:
        return self.exit_record.counters if self.exit_record else {}


def evidence_of(
    record: Repetition,
    seen: Seen,
    exit_record: ExitRecord | None,
    freq_median_hz: float | None,
    clock_median_hz: float | None = None,
) -> Evidence:
    """Return all that a repetition's verdict is made from; judging and ``verify`` both ask here.

    Args:
        record: the repetition; its verdict is not looked at.
        seen: what only the host saw.
        exit_record: the board's, validated; None where it had none.
        freq_median_hz: CPU clock over the measured window, from the trace.
        clock_median_hz: the same, as the firmware measured it.
    """
    return Evidence(
        board_kind=record.board_kind,
        emulated=record.emulated,
        outcome=record.outcome,
        outcome_reason=record.outcome_reason,
        window_s=seen.window_s,
        threads=record.threads,
        role=record.role,
        policy=record.policy,
        root="simulated" if seen.simulated else "/",
        exit_record=exit_record,
        offset=record.clock_offset,
        exchanges=seen.exchanges,
        freq_median_hz=freq_median_hz,
        clock_median_hz=clock_median_hz,
        settled=record.sustained.settled if record.sustained else None,
        check_failed=seen.check_failed,
        window_missing=seen.window_missing,
        tuning_faults=seen.tuning_faults,
        contested=seen.contested,
        stressor=record.stressor,
    )


@dataclass(frozen=True)
class Objection:
    """What a check objects to.

    Attributes:
        level: how bad it is.
        message: what is wrong, as a sentence.
        values: the figures behind it.
        code: the reason's code, if it is not the check's own.
    """

    level: Level
    message: str
    values: Mapping[str, float | str | None] = field(default_factory=dict)
    code: str | None = None


@dataclass(frozen=True)
class Check:
    """One row of the table.

    Attributes:
        code: the reason's code in records.
        what: what is looked at.
        level: the worst level that it can give.
        threshold: the limit, in words.
        why: why this limit, and its source.
        judge: evidence -> objections; none if all is well or nothing is known.
    """

    code: str
    what: str
    level: Level
    threshold: str
    why: str
    judge: Callable[[Evidence], list[Objection]]
