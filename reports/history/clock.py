"""Put a store's runs in order, and say whose date cannot be right.

A run is dated by the clock of the host that made it. Small hosts have none that lasts: without a network they begin in
1970, or where they were shut down last; another is set wrong by years. What such a night measured is as good as ever, so
it keeps its place in its segment, and what is wrong with its date is told.

A date is compared with four things: the release of the oldest Python that a host can have, the clock of the machine that
judges, the dates of other runs, and when files were written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb

#: Python 3.11, which a host needs at least, was released on that day (PEP 664): no run is older.
EARLIEST = datetime(2022, 10, 24, tzinfo=UTC)
#: Two clocks may lie apart by this and nothing is said: a time zone, a campaign that began before midnight.
TOLERANCE = timedelta(days=1)
#: Where a run stands that was measured last, whatever its date says: behind every date.
LAST_UTC = "9999-12-31T23:59:59Z"
_LAST_S = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_MOST_NAMED = 3


class Place(NamedTuple):
    """The place of a run among the others.

    Attributes:
        order_utc: to sort by; empty where nothing tells when it was: such runs stand first.
        doubt: why the run's own date is not believed; None if it is.
    """

    order_utc: str
    doubt: str | None


@dataclass(frozen=True)
class ClockView:
    """What the clocks say of the run that is judged.

    Attributes:
        last: it counts as the newest, whatever its date says.
        words: what is wrong, a sentence for each thing; empty if nothing is.
    """

    last: bool
    words: tuple[str, ...]


def stamp(moment: datetime) -> str:
    """Return a time as ``2026-11-21T07:45:00Z``."""
    # Not strftime: it writes the year 999 with three digits.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def parsed(text: object) -> datetime | None:
    """Return an ISO time, one without a zone as UTC; None for anything else.

    >>> parsed("2026-11-21T07:45:00Z").hour, parsed("2026-11-21").day, parsed("a"), parsed(1970)
    (7, 21, None, None)
    """
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def place(run_id: str, stated: object, written_s: float | None) -> Place:
    """Return where a run stands: by its own date, else by its id, else by when its files were written.

    Args:
        run_id: begins with the time at which the run was made (UTC).
        stated: when it began, as its files say.
        written_s: when its newest file was written, in seconds since 1970.

    >>> place("r", "2026-11-21T07:45:00Z", None)
    Place(order_utc='2026-11-21T07:45:00Z', doubt=None)
    >>> place("19700101T000211Z-ab", "1970-01-01T00:02:11Z", 1798761600.0)
    Place(order_utc='2027-01-01T00:00:00Z', doubt='it is dated 1970-01-01T00:02:11Z, which cannot be right')
    """
    began, made = parsed(stated), _time_of_id(run_id)
    if began is not None and began >= EARLIEST:
        return Place(stamp(began), None)
    doubt = None if stated is None else "its date is not readable"
    if began is not None:
        doubt = f"it is dated {stamp(began)}, which cannot be right"
    if made is not None and made >= EARLIEST:
        return Place(stamp(made), doubt)
    return Place(_stamp_of_files(written_s), doubt or "it has no date")


def disagreement(run_id: str, stated: object) -> str | None:
    """Say that a run's date and its id, which begins with a time, lie apart; None if they do not, or either is unknown.

    >>> disagreement("20260104T020000Z-ab", "2025-06-01T02:00:00Z")
    'it is dated 2025-06-01T02:00:00Z, and its id says 2026-01-04T02:00:00Z'
    """
    began, made = parsed(stated), _time_of_id(run_id)
    if began is None or made is None or abs(began - made) <= TOLERANCE:
        return None
    return f"it is dated {stamp(began)}, and its id says {stamp(made)}"


def _time_of_id(run_id: str) -> datetime | None:
    try:
        return datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _stamp_of_files(written_s: float | None) -> str:
    """Return when files were written; empty if that is as wrong as the date, since the same clock said it."""
    if written_s is None or not EARLIEST.timestamp() <= written_s < _LAST_S:
        return ""
    return stamp(datetime.fromtimestamp(written_s, UTC))


def newest_written_s(files: Sequence[Path]) -> float | None:
    """Return when the newest of some files was written, in seconds since 1970; None if there is none of them."""
    times = []
    for file in files:
        try:
            times.append(file.stat().st_mtime)
        except OSError:
            continue
    return max(times, default=None)


class _Dated(NamedTuple):
    """One run of a lab: its place, and what else tells when it was."""

    run_id: str
    order_utc: str
    ended_utc: object
    doubt: str | None
    disagrees: str | None
    written_s: float | None

    @property
    def at(self) -> datetime:
        """Return the time of its place; of a run that has none, a time before all others."""
        return parsed(self.order_utc) or datetime.min.replace(tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """Return when it ended: a run that is resumed may end days after it began."""
        return max(self.at, parsed(self.ended_utc) or self.at)


def clock_view(database: duckdb.DuckDBPyConnection, run_id: str, now: datetime | None = None) -> ClockView:
    """Compare the date of one run with those of the other runs of its lab, and with a clock.

    A run that others are dated after is the newest all the same if each of them either is still to come by this clock,
    or was written before it. If not, it is an old run that is judged again, and keeps its place.

    Args:
        database: an open index that holds the run.
        now: of the machine that judges; default: its clock.
    """
    now = now or datetime.now(UTC)
    rows = database.execute(
        "SELECT o.run_id, o.order_utc, o.ended_utc, o.doubt, o.disagrees, o.written_s FROM runs o, runs t"
        " WHERE t.run_id = ? AND o.lab IS NOT DISTINCT FROM t.lab ORDER BY o.order_utc, o.run_id",
        [run_id],
    ).fetchall()
    runs = [_Dated(*row) for row in rows]
    tonight = next((run for run in runs if run.run_id == run_id), None)
    if tonight is None:
        return ClockView(last=False, words=())
    others = [run for run in runs if run.run_id != run_id]
    later = [run for run in others if run.at > tonight.at + TOLERANCE]
    here = [run for run in later if run.at <= now + TOLERANCE]
    newest = bool(later) and all(_written_before(run, tonight) for run in here)
    words = [what for what in (tonight.doubt, tonight.disagrees) if what]
    if newest and tonight.order_utc and later[-1].at <= tonight.end + TOLERANCE:
        words.append(
            f"it began at {tonight.order_utc} and ended at {stamp(tonight.end)}, after {_runs(len(later))} of the store"
            " that began later: it was resumed, or its clock was set meanwhile. The night is judged as the newest"
        )
    elif newest and tonight.order_utc:
        words.append(
            f"it stands at {tonight.order_utc}, and {_runs(len(later))} of the store later, the last at"
            f" {later[-1].order_utc} ({later[-1].run_id}); the clock here says {stamp(now)}. One of the clocks is wrong:"
            " the night is judged as the newest"
        )
    elif tonight.at > now + TOLERANCE and 2 * sum(run.at > now + TOLERANCE for run in runs) <= len(runs):
        words.append(f"it is dated {tonight.order_utc}, and the clock here says {stamp(now)}")
    doubted = [run for run in others if run.doubt]
    if doubted:
        named = ", ".join(f"{run.run_id}: {run.doubt}" for run in doubted[:_MOST_NAMED])
        more = f" and {len(doubted) - _MOST_NAMED} more" if len(doubted) > _MOST_NAMED else ""
        words.append(f"{_runs(len(doubted))} before it cannot be put in order by date ({named}{more})")
    return ClockView(newest or not tonight.order_utc, tuple(words))


def _written_before(run: _Dated, other: _Dated) -> bool:
    return run.written_s is not None and other.written_s is not None and run.written_s < other.written_s


def _runs(number: int) -> str:
    return "one run" if number == 1 else f"{number} runs"


def told_of_days_to_come(orders: Mapping[str, str], now: datetime | None = None) -> str | None:
    """Say which runs are dated after the clock here; None if none is, or if most are: then it is the clock here.

    Args:
        orders: run -> its place, as :func:`place` gives it.

    >>> told_of_days_to_come({"a": "2026-01-01T00:00:00Z", "b": "2099-01-01T00:00:00Z"}, parsed("2026-01-02"))
    'one run is dated after the clock here, which says 2026-01-02T00:00:00Z (b: 2099-01-01T00:00:00Z)'
    """
    now = now or datetime.now(UTC)
    ahead = [name for name, order in orders.items() if order > stamp(now + TOLERANCE)]
    if not ahead or 2 * len(ahead) > len(orders):
        return None
    named = ", ".join(f"{name}: {orders[name]}" for name in ahead[:_MOST_NAMED])
    more = f" and {len(ahead) - _MOST_NAMED} more" if len(ahead) > _MOST_NAMED else ""
    verb = "is" if len(ahead) == 1 else "are"
    return f"{_runs(len(ahead))} {verb} dated after the clock here, which says {stamp(now)} ({named}{more})"


def to_come(folder: Path, now: datetime | None = None) -> bool:
    """Tell whether a run lies in the folder of a day still to come: for ever the newest, since a clock was wrong."""
    day = folder.parts[-4:-1]
    latest = stamp((now or datetime.now(UTC)) + TOLERANCE)[:10].split("-")
    return all(part.isdecimal() for part in day) and list(day) > latest
