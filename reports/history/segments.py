"""Divide the nights of one series into segments of nights that may be compared.

A segment is known by what it was measured on: the board's hardware and firmware, and the meaning of our own numbers
(``bench_version``). A night under other conditions belongs to the segment that has these, and opens one only if none
has: where two machines take turns under one board id, each is held against its own nights. What a person accepted
closes all segments before it. A change of the operating system or of Python packages opens none, since finding what it
does to the numbers is what the history is for; it is marked. Only where such a change goes to and fro, as with two
cards in one board, are nights under the same system and packages preferred (:func:`usable`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tunebench.reports.history.decisions import Decision, quarantined
from tunebench.reports.history.screen import Rule

#: A night with fewer valid repetitions says nothing.
MIN_VALID = 3
#: Names of the tiers of :class:`Row`.
_TIERS = ("bench version", "hardware", "firmware", "operating system", "Python packages")
#: A change of one of the first so many opens a segment; a change of the others is only marked.
_OPENING = 3

_TierValues = Sequence[int | str | None]


@dataclass(frozen=True)
class Night:
    """The value of one series in one run.

    Attributes:
        value: median of the valid repetitions, in the metric's unit; None with fewer than ``MIN_VALID``.
        low: smallest of them.
        high: largest.
        n: valid repetitions.
        n_all: repetitions of any outcome and verdict.
        segment: counts up from 0; nights of one segment need not follow one another.
        opened_by: why the night belongs to another segment than the night before it, or None.
        marks: changes within the segment that open none (operating system, Python packages), in words.
        excluded: why the night counts for nothing (quarantine), or None.
        system: numbers the pairs of operating system and Python packages in this segment, from 0.
    """

    run_id: str
    t_utc: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    n_all: int
    segment: int
    opened_by: str | None
    marks: tuple[str, ...]
    excluded: str | None
    system: int = 0


class Row(NamedTuple):
    """One run's row of one series in the index; of each tier a number or a hash, None where it was not probed.

    Attributes:
        order_utc: when it was, as far as that is known; :mod:`tunebench.reports.history.clock`.
        t_utc: when it was by its own date.
    """

    run_id: str
    order_utc: str
    t_utc: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    n_all: int
    board_id: str
    bench_version: int | None
    hardware: str | None
    firmware: str | None
    system: str | None
    python: str | None

    @property
    def tiers(self) -> _TierValues:
        """Return the versions and hashes that the night was measured with, in the order of ``_TIERS``."""
        return (self.bench_version, self.hardware, self.firmware, self.system, self.python)


@dataclass
class _Segment:
    """What is known of a segment while its nights are read.

    Attributes:
        accepted: how many accepted changes lie before it.
        tiers: of its newest night; what was not probed then, of the night before.
        systems: its pairs of operating system and packages, in the order in which they were met.
    """

    number: int
    accepted: int
    tiers: _TierValues
    systems: list[_TierValues] = field(default_factory=list)

    def holds(self, accepted: int, tiers: _TierValues) -> bool:
        """Tell whether a night belongs here; a tier that was not probed is no difference."""
        return self.accepted == accepted and not _different(self.tiers[:_OPENING], tiers[:_OPENING])

    def take(self, tiers: _TierValues) -> int:
        """Take a night in; return the number of its system."""
        self.tiers = [new if new is not None else old for old, new in zip(self.tiers, tiers, strict=True)]
        system = self.tiers[_OPENING:]
        known = next((i for i, earlier in enumerate(self.systems) if not _different(earlier, system)), None)
        if known is None:
            self.systems.append(system)
            known = len(self.systems) - 1
        self.systems[known] = system
        return known


def _different(before: _TierValues, now: _TierValues) -> list[int]:
    """Return the places of the values that differ, among those that are known on both sides."""
    pairs = enumerate(zip(before, now, strict=True))
    return [i for i, (old, new) in pairs if old is not None and new is not None and old != new]


def segmented(series_key: str, rows: Sequence[Row], decisions: Sequence[Decision]) -> list[Night]:
    """Turn the rows of one series, oldest first, into nights with their segments."""
    accepts = [
        decision.t_utc
        for decision in decisions
        if decision.kind == "accept" and decision.series_key == series_key
    ]
    history: list[Night] = []
    # The one that was used last stands last.
    segments: list[_Segment] = []
    for row in rows:
        accepted = sum(t_utc <= row.order_utc for t_utc in accepts)
        segment, opened_by, marks = _segment_of(row, accepted, segments)
        quarantine = quarantined(decisions, row.board_id, row.order_utc)
        history.append(
            Night(
                run_id=row.run_id,
                t_utc=row.t_utc,
                value=row.value if row.n >= MIN_VALID else None,
                low=row.low,
                high=row.high,
                n=row.n,
                n_all=row.n_all,
                segment=segment.number,
                opened_by=opened_by,
                marks=marks,
                excluded=f"board in quarantine: {quarantine.reason}" if quarantine else None,
                system=segment.take(row.tiers),
            )
        )
    return history


def _segment_of(
    row: Row, accepted: int, segments: list[_Segment]
) -> tuple[_Segment, str | None, tuple[str, ...]]:
    """Return the segment of a night, why it is another than that of the night before, and what changed within it.

    The segment is moved to the end of the list.
    """
    before = segments[-1] if segments else None
    known = next((each for each in reversed(segments) if each.holds(accepted, row.tiers)), None)
    segment = known or _Segment(len(segments), accepted, row.tiers)
    if known is not None:
        segments.remove(known)
    segments.append(segment)
    # A new segment's marks tell what came with it; those of one returned to, what changed since it was left.
    marked = _different((known or before or segment).tiers, row.tiers)
    marks = tuple(f"{_TIERS[i]} changed" for i in marked if i >= _OPENING)
    if before is None or before is segment:
        return segment, None, marks
    if before.accepted != accepted:
        return segment, "the change was accepted", marks
    names = [_TIERS[i] for i in _different(before.tiers[:_OPENING], row.tiers[:_OPENING])]
    back = f": back to segment {segment.number + 1}" if known else ""
    return segment, f"{' and '.join(names)} changed{back}", marks


def usable(history: Sequence[Night], *, before_run: str | None = None, last: int = 30) -> list[Night]:
    """Return the last nights of the newest night's segment that have a value and are not excluded.

    Where operating system or packages went to and fro within the segment, only the nights under those of the newest
    night, if these are enough to be compared with.

    Args:
        history: the nights of one series, as :func:`tunebench.reports.history.series.nights` gives them.
        before_run: only nights before this run, in its segment.
        last: at most so many.
    """
    if not history:
        return []
    end = next((i for i, night in enumerate(history) if night.run_id == before_run), len(history))
    newest = history[min(end, len(history) - 1)]
    comparable = [
        night
        for night in history[:end]
        if night.segment == newest.segment and night.value is not None and not night.excluded
    ]
    alike = [night for night in comparable if night.system == newest.system]
    if len(alike) >= Rule().min_nights and _to_and_fro(comparable, newest):
        comparable = alike
    return comparable[-last:]


def _to_and_fro(nights: Sequence[Night], newest: Night) -> bool:
    """Tell whether nights under the newest night's system are followed by nights under another one."""
    first = next((i for i, night in enumerate(nights) if night.system == newest.system), len(nights))
    return any(night.system != newest.system for night in nights[first:])


def learning_nights(history: Sequence[Night], run_id: str) -> list[Night]:
    """Return the newest nights up to a run, oldest first, none of which had enough nights to be compared with.

    Nights without a value, or left out, do not count.
    """
    end = next((i for i, night in enumerate(history) if night.run_id == run_id), len(history) - 1)
    before: dict[int, int] = {}
    learning: list[Night] = []
    for night in history[: end + 1]:
        if night.value is None or night.excluded:
            continue
        learning = [*learning, night] if before.get(night.segment, 0) < Rule().min_nights else []
        before[night.segment] = before.get(night.segment, 0) + 1
    return learning
