"""Read series of nights and their segments from the index.

A *night* is one run's valid repetitions of one series, reduced to their median. A new *segment* begins where
the board's hardware or firmware, or the meaning of our own numbers (``bench_version``), changed, and where a
person accepted a change; nights of different segments are never compared. A change of the operating system or of
Python packages opens none: finding what it does to the numbers is what the history is for; it is marked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import duckdb

from tunebench.reports.history.decisions import Decision, quarantined
from tunebench.reports.history.index import INDEX_VERSION
from tunebench.reports.results.layout import ResultsError

Metric = Literal["time", "energy", "memory", "accuracy"]
#: Metric -> column of the index.
METRICS: dict[Metric, str] = {
    "time": "wall_s",
    "energy": "energy_j",
    "memory": "peak_rss_b",
    "accuracy": "accuracy",
}
#: A night with fewer valid repetitions says nothing.
MIN_VALID = 3


@dataclass(frozen=True)
class Series:
    """The identity of a series, as its newest record states it."""

    series_key: str
    lab: str
    board_id: str
    task: str
    label: str
    method: str
    engine: str
    device: str
    threads: int
    role: str

    @property
    def name(self) -> str:
        """Return ``board / task / label``, the name that people use; only the key is always unique."""
        return f"{self.board_id} / {self.task} / {self.label}"


@dataclass(frozen=True)
class Night:
    """The value of one series in one run.

    Attributes:
        value: median of the valid repetitions, in the metric's unit; None with fewer than ``MIN_VALID``.
        low: smallest of them.
        high: largest.
        n: valid repetitions.
        n_all: repetitions of any outcome and verdict.
        segment: counts up from 0.
        opened_by: why a new segment begins here, or None.
        marks: changes that open no segment (operating system, Python packages), in words.
        excluded: why the night counts for nothing (quarantine), or None.
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


@contextmanager
def opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an index, read-only.

    Raises:
        ResultsError: there is none, it cannot be read, or it is of another version; the message says what to do.
    """
    if not path.is_file():
        raise ResultsError(f"{path}: no index; build one with `tunebench index {path.parent}`")
    try:
        database = duckdb.connect(str(path), read_only=True)
        row = database.execute("SELECT version FROM meta").fetchone()
    except duckdb.Error as error:
        raise ResultsError(
            f"{path}: not readable as an index ({error}); delete it and build it anew"
        ) from None
    try:
        if row is None or row[0] != INDEX_VERSION:
            raise ResultsError(f"{path}: an index of another version; build it anew")
        yield database
    finally:
        database.close()


def all_series(database: duckdb.DuckDBPyConnection, *, role: str = "timed") -> list[Series]:
    """Return every series of one role, by board, task and label."""
    rows = database.execute(
        "SELECT series_key, arg_max(lab, t), arg_max(board_id, t), arg_max(task, t), arg_max(label, t),"
        " arg_max(method, t), arg_max(engine, t), arg_max(device, t), arg_max(threads, t), arg_max(role, t)"
        " FROM (SELECT *, coalesce(t_start_utc, '') AS t FROM repetitions WHERE role = ?)"
        " GROUP BY series_key ORDER BY 3, 4, 5, 1",
        [role],
    ).fetchall()
    return [Series(*row) for row in rows]


def nights(
    database: duckdb.DuckDBPyConnection,
    series_key: str,
    metric: Metric = "time",
    decisions: Sequence[Decision] = (),
) -> list[Night]:
    """Return the nights of one series, oldest first; empty if there is none."""
    return nights_of(database, [series_key], metric, decisions).get(series_key, [])


def nights_of(
    database: duckdb.DuckDBPyConnection,
    series_keys: Sequence[str],
    metric: Metric = "time",
    decisions: Sequence[Decision] = (),
) -> dict[str, list[Night]]:
    """Return the nights of several series, each oldest first."""
    column = METRICS[metric]
    rows = database.execute(
        f"""
        SELECT r.series_key, r.run_id, coalesce(any_value(u.started_utc), min(r.t_start_utc), ''),
               median({column}) FILTER (ok), min({column}) FILTER (ok), max({column}) FILTER (ok),
               count({column}) FILTER (ok), count(*), any_value(r.board_id), max(r.bench_version),
               any_value(b.hardware), any_value(b.firmware), any_value(b.os), any_value(b.python)
        FROM (SELECT *, outcome = 'ok' AND verdict <> 'invalid' AS ok FROM repetitions
              WHERE list_contains(?, series_key)) r
        LEFT JOIN runs u USING (run_id)
        LEFT JOIN boards b ON b.run_id = r.run_id AND b.board_id = r.board_id
        GROUP BY r.series_key, r.run_id ORDER BY 1, 3, 2
        """,
        [list(series_keys)],
    ).fetchall()
    grouped: dict[str, list[_Row]] = {}
    for key, *row in rows:
        grouped.setdefault(key, []).append(_Row(*row))
    return {key: _segmented(key, group, decisions) for key, group in grouped.items()}


#: Names of the tiers of :class:`_Row`.
_TIERS = ("bench version", "hardware", "firmware", "operating system", "Python packages")
#: A change of one of these opens a segment; a change of the others is only marked.
_OPENING = _TIERS[:3]

_TierValues = Sequence[int | str | None]


class _Row(NamedTuple):
    """One run's row of one series in the index; of each tier a number or a hash, None where it was not probed."""

    run_id: str
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


def _segmented(series_key: str, rows: Sequence[_Row], decisions: Sequence[Decision]) -> list[Night]:
    """Turn the rows of one series into nights, with their segments."""
    accepted = sorted(
        decision.t_utc
        for decision in decisions
        if decision.kind == "accept" and decision.series_key == series_key
    )
    history: list[Night] = []
    segment = 0
    known: _TierValues | None = None
    for row in rows:
        opened_by, marks = _changes(known, row.tiers)
        if history and any(history[-1].t_utc < t_utc <= row.t_utc for t_utc in accepted):
            opened_by = "the change was accepted"
        segment += bool(opened_by)
        quarantine = quarantined(decisions, row.board_id, row.t_utc)
        history.append(
            Night(
                run_id=row.run_id,
                t_utc=row.t_utc,
                value=row.value if row.n >= MIN_VALID else None,
                low=row.low,
                high=row.high,
                n=row.n,
                n_all=row.n_all,
                segment=segment,
                opened_by=opened_by,
                marks=marks,
                excluded=f"board in quarantine: {quarantine.reason}" if quarantine else None,
            )
        )
        known = [
            new if new is not None else old for old, new in zip(known or row.tiers, row.tiers, strict=True)
        ]
    return history


def _changes(before: _TierValues | None, now: _TierValues) -> tuple[str | None, tuple[str, ...]]:
    """Return the change that opens a segment, and the changes that are only marked; a tier not probed is no change."""
    if before is None:
        return None, ()
    changed = [
        name
        for name, old, new in zip(_TIERS, before, now, strict=True)
        if old is not None and new is not None and old != new
    ]
    opening = [name for name in changed if name in _OPENING]
    marks = tuple(f"{name} changed" for name in changed if name not in _OPENING)
    return (f"{' and '.join(opening)} changed" if opening else None), marks


def usable(history: Sequence[Night], *, before_run: str | None = None, last: int = 30) -> list[Night]:
    """Return the last nights of the newest segment that have a value and are not excluded.

    Args:
        history: the nights of one series, as :func:`nights` gives them.
        before_run: only nights before this run, in its segment.
        last: at most so many.
    """
    end = next((i for i, night in enumerate(history) if night.run_id == before_run), len(history))
    newest = history[min(end, len(history) - 1)].segment if history else 0
    kept = [
        night
        for night in history[:end]
        if night.segment == newest and night.value is not None and not night.excluded
    ]
    return kept[-last:]
