"""Read series and their nights from the index.

A *night* is one run's valid repetitions of one series, reduced to their median. Nights of different *segments*
(:mod:`tunebench.reports.history.segments`) are never compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import duckdb

from tunebench.reports.history.clock import LAST_UTC
from tunebench.reports.history.decisions import Decision
from tunebench.reports.history.index import INDEX_VERSION
from tunebench.reports.history.segments import Night, Row, segmented, usable
from tunebench.reports.results.layout import ResultsError

__all__ = [
    "INSTRUCTIONS", "METRICS", "Metric", "Night", "Series", "Turns", "all_series", "nights", "nights_of", "opened",
    "turns", "usable",
]  # fmt: skip

Metric = Literal["time", "energy", "memory", "accuracy"]
#: Metric -> column of the index.
METRICS: dict[Metric, str] = {
    "time": "wall_s",
    "energy": "energy_j",
    "memory": "peak_rss_b",
    "accuracy": "accuracy",
}
#: No metric that is judged, but what a metric's change is held against: instructions of one fine-tuning.
INSTRUCTIONS: Literal["instructions"] = "instructions"


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
    metric: Metric | Literal["instructions"] = "time",
    decisions: Sequence[Decision] = (),
    *,
    newest: str | None = None,
) -> dict[str, list[Night]]:
    """Return the nights of several series, each oldest first.

    Args:
        newest: the run that was measured last, whatever its date says; None: dates say which it is.
    """
    column = INSTRUCTIONS if metric == INSTRUCTIONS else METRICS[metric]
    rows = database.execute(
        f"""
        SELECT r.series_key, r.run_id,
               CASE WHEN r.run_id = ? THEN ? ELSE coalesce(any_value(u.order_utc), min(r.t_start_utc), '') END,
               coalesce(any_value(u.started_utc), min(r.t_start_utc), ''),
               median({column}) FILTER (ok), min({column}) FILTER (ok), max({column}) FILTER (ok),
               count({column}) FILTER (ok), count(*), any_value(r.board_id), max(r.bench_version),
               any_value(b.hardware), any_value(b.firmware), any_value(b.os), any_value(b.python)
        FROM (SELECT *, outcome = 'ok' AND verdict <> 'invalid' AS ok FROM repetitions
              WHERE list_contains(?, series_key)) r
        LEFT JOIN runs u USING (run_id)
        LEFT JOIN boards b ON b.run_id = r.run_id AND b.board_id = r.board_id
        GROUP BY r.series_key, r.run_id ORDER BY 1, 3, 2
        """,
        [newest or "", LAST_UTC, list(series_keys)],
    ).fetchall()
    grouped: dict[str, list[Row]] = {}
    for key, *row in rows:
        grouped.setdefault(key, []).append(Row(*row))
    return {key: segmented(key, group, decisions) for key, group in grouped.items()}


class Turns(NamedTuple):
    """A board whose fingerprint went to and fro.

    Attributes:
        tier: what did.
        kinds: how many of these there were.
        nights: among its last so many.
    """

    board_id: str
    tier: str
    kinds: int
    nights: int


#: Nights of a board that are looked through for a change to and fro.
_TURNS = 14
#: Tier -> so many changes tell that something takes turns. Hardware that comes back was another machine meanwhile;
#: a firmware or kernel that comes back once was taken back.
_CHANGES = {"hardware": 2, "firmware": 3, "operating system": 3, "Python packages": 3}


def turns(database: duckdb.DuckDBPyConnection, run_id: str, *, newest: bool = False) -> list[Turns]:
    """Return the boards of a run whose hardware, firmware, system or packages changed and came back, by their ids.

    Args:
        newest: the run was measured last, whatever its date says.
    """
    rows = database.execute(
        "SELECT b.board_id, b.hardware, b.firmware, b.os, b.python FROM boards b JOIN runs u USING (run_id), runs t"
        " WHERE t.run_id = ? AND u.lab IS NOT DISTINCT FROM t.lab"
        " AND b.board_id IN (SELECT board_id FROM boards WHERE run_id = t.run_id)"
        " AND (? OR (u.order_utc, u.run_id) <= (t.order_utc, t.run_id))"
        " ORDER BY b.board_id, u.run_id = t.run_id, u.order_utc, u.run_id",
        [run_id, newest],
    ).fetchall()
    boards: dict[str, list[tuple[str | None, ...]]] = {}
    for board_id, *tiers in rows:
        boards.setdefault(board_id, []).append(tuple(tiers))
    taken = []
    for board_id, nights_of_board in boards.items():
        shown = nights_of_board[-_TURNS:]
        for place, (tier, changes) in enumerate(_CHANGES.items()):
            known = [tiers[place] for tiers in shown if tiers[place] is not None]
            runs = [value for value, before in zip(known, [None, *known], strict=False) if value != before]
            if len(runs) > changes and len(set(runs)) < len(runs):
                taken.append(Turns(board_id, tier, len(set(runs)), len(shown)))
                break
    return taken
