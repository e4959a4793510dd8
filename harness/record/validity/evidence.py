"""What a verdict is made from, and what a check is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tunebench.harness.planning import limits
from tunebench.reports.records import ClockOffset

Level = Literal["degraded", "invalid"]


@dataclass(frozen=True)
class Evidence:
    """One repetition, as everybody concerned saw it.

    Attributes:
        policy: the suite's: ``cold`` or ``sustained``.
        root: where the board's sensors begin; another folder than ``/`` is a simulated tree.
        exit_record: the board's, validated.
        offset: the tighter of the clock exchanges.
        exchanges: (host's monotonic seconds, offset) before and after.
        freq_median_hz: CPU clock over the measured window.
        settled: policy ``sustained``: whether the last third no longer changes.
        tuning_faults: why the board is not as ``[board.tuning]`` asks for it, or as an earlier run found it.
    """

    board_kind: str
    emulated: bool
    outcome: str
    outcome_reason: str | None
    wall_s: float | None
    threads: int = 1
    role: str = "timed"
    policy: Literal["cold", "sustained"] = "cold"
    root: str = "/"
    exit_record: Mapping[str, Any] = field(default_factory=dict)
    offset: ClockOffset | None = None
    exchanges: Sequence[tuple[float, ClockOffset]] = ()
    freq_median_hz: float | None = None
    settled: bool | None = None
    check_failed: str | None = None
    wall_missing: str | None = None
    tuning_faults: Sequence[str] = ()

    @property
    def own_machine(self) -> bool:
        """The host's own machine: that it is shared is the one reason that stands for all disturbance."""
        return not limits.is_quiet(self.board_kind, self.root)

    def counter(self, when: Literal["before", "during", "after"], name: str) -> int | None:
        """One of the numbers that the agent read around the repetition; ``None`` if it could not."""
        table = (self.exit_record.get("counters") or {}).get(when) or {}
        value = table.get(name)
        return value if isinstance(value, int) else None

    def counters(self, prefix: str) -> dict[str, tuple[int | None, int | None]]:
        """(before, after) of all counters whose name begins with ``prefix``, without it."""
        tables = self.exit_record.get("counters") or {}
        names = {name for when in ("before", "after") for name in tables.get(when) or {}}
        return {
            name.removeprefix(prefix): (self.counter("before", name), self.counter("after", name))
            for name in sorted(names)
            if name.startswith(prefix)
        }

    def grown(self, name: str) -> int | None:
        """By how much a counter rose; ``None`` if it is not known."""
        before, after = self.counter("before", name), self.counter("after", name)
        return None if before is None or after is None else after - before

    def number(self, part: str, name: str) -> float | None:
        """A number of a part of the exit record (``conditions``, ``sampler``, ``watchdog``)."""
        value = (self.exit_record.get(part) or {}).get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Objection:
    """What a check objects to.

    Attributes:
        code: if it differs from the check's own.
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
        judge: evidence -> findings; none if all is well or nothing is known.
    """

    code: str
    what: str
    level: Level
    threshold: str
    why: str
    judge: Callable[[Evidence], list[Objection]]
