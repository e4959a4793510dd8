"""The trend: this run's series over the nights of a store, and what changed since the run before."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tunebench.reports.figures import DataTable, Figure
from tunebench.reports.figures.trend import Band, Point, trend_figure
from tunebench.reports.formatting.privacy import Scrub
from tunebench.reports.formatting.units import clean, seconds, signed_percent
from tunebench.reports.history.clock import clock_view
from tunebench.reports.history.decisions import Decision
from tunebench.reports.history.series import Night, Series, all_series, nights_of, opened, usable
from tunebench.reports.results.reader import RunReader
from tunebench.reports.sections.base.changes import Since, since_the_run_before

#: Series drawn at most: those that moved most; all stand in the table.
MAX_FIGURES = 8
#: Nights shown, and nights that say what is usual.
MAX_NIGHTS, USUAL = 60, 30
#: Fewer nights of a segment say nothing about what is usual.
MIN_USUAL = 5
_ROBUST = 2.5 * 1.4826

ONE_RUN = "No store was given: a single run has one night."
NO_STORE = (
    "No store was given, so the run before is not known. With --store DIR, tunebench report names it, and shows how "
    "these series went over the nights stored there."
)


@dataclass(frozen=True)
class Trend:
    """The nights that the page shows; ``why`` says why there are none."""

    why: str | None = None
    figures: Sequence[Figure] = ()
    table: DataTable | None = None
    left: int = 0
    note: str = ""
    since: Since = field(default_factory=lambda: Since(why=NO_STORE))


@dataclass(frozen=True)
class _Line:
    series: Series
    nights: list[Night]
    band: Band | None
    change: float | None
    notes: list[list[tuple[str, str]]] = field(default_factory=list)


def no_trend(why: str = ONE_RUN) -> Trend:
    """Return the trend of a report without a store."""
    return Trend(why=why)


def trend_of(reader: RunReader, index: Path, decisions: Sequence[Decision], scrub: Scrub) -> Trend:
    """Return the nights of every timed series of a run, up to that run.

    Args:
        index: a DuckDB index of the store that the run lies in.
        decisions: of the store.

    Raises:
        ResultsError: no index, or not one that this version reads.
    """
    run_id = reader.plan_view.run_id or reader.path.name
    own = {rep.series_key for rep in reader.repetitions if rep.role == "timed"}
    with opened(index) as database:
        series = [member for member in all_series(database) if member.series_key in own]
        newest = run_id if clock_view(database, run_id).last else None
        keys = [member.series_key for member in series]
        nights_by_key = nights_of(database, keys, "time", decisions, newest=newest)
        paths = database.execute(
            "SELECT run_id, path FROM runs ORDER BY run_id IS NOT DISTINCT FROM ?, order_utc, run_id",
            [newest],
        ).fetchall()
    since = since_the_run_before(reader, index.parent, paths, run_id, scrub)
    if run_id not in {name for name, _ in paths}:
        return Trend(why="This run does not lie in the store that was given.", since=since)
    lines = []
    for member in series:
        nights = nights_by_key.get(member.series_key, [])
        last = next((i for i, night in enumerate(nights) if night.run_id == run_id), None)
        if last is not None:
            lines.append(_line(member, nights[: last + 1], decisions, scrub))
    longest = max((len(line.nights) for line in lines), default=0)
    if longest < 2:
        why = "The store holds one night of these series: there is no trend yet."
        return Trend(why=why, since=since)
    lines.sort(key=lambda line: -abs(line.change or 0.0))
    figures = [_figure(i, line) for i, line in enumerate(lines[:MAX_FIGURES])]
    left = max(0, len(lines) - MAX_FIGURES)
    note = f"Drawn are the {MAX_FIGURES} of {len(lines)} series that moved most; the table holds all."
    return Trend(figures=figures, table=_table(lines), left=left, note=note, since=since)


@dataclass(frozen=True)
class SeriesView:
    """One series of a store as a page shows it: all its nights, and where the newest stands.

    Attributes:
        cells: the row of a table under :data:`TREND_COLUMNS`, without the series' name.
        notes: (night, words) of every change and decision.
    """

    figure: Figure
    cells: Sequence[str]
    notes: Sequence[tuple[str, str]]


#: Columns of a table of series, behind the series itself.
TREND_COLUMNS = ("nights", "segment", "usual", "newest", "change", "in the band")


def series_view(
    series: Series, nights: Sequence[Night], decisions: Sequence[Decision], scrub: Scrub
) -> SeriesView:
    """Return a series over all the nights of a store; there is at least one."""
    line = _line(series, list(nights), decisions, scrub, most=len(nights))
    notes_by_night = [
        (night.t_utc, words)
        for night, notes in zip(line.nights, line.notes, strict=True)
        for _, words in notes
    ]
    return SeriesView(_figure(0, line), _cells(line), notes_by_night)


def _line(
    series: Series,
    nights: list[Night],
    decisions: Sequence[Decision],
    scrub: Scrub,
    *,
    most: int = MAX_NIGHTS,
) -> _Line:
    comparable = usable(nights, before_run=nights[-1].run_id, last=USUAL)
    band = usual([night.value for night in comparable if night.value is not None])
    tonight = nights[-1].value
    change = tonight / band.middle - 1 if band and band.middle and tonight is not None else None
    shown = nights[-most:]
    return _Line(series, shown, band, change, _notes(series, shown, decisions, scrub))


def usual(past: Sequence[float]) -> Band | None:
    """Return the usual range: median and 2.5 robust standard deviations; None with too few nights.

    >>> usual([1.0, 1.0, 1.1, 0.9, 1.0]).middle
    1.0
    """
    if len(past) < MIN_USUAL:
        return None
    middle = statistics.median(past)
    reach = _ROBUST * max(statistics.median(abs(value - middle) for value in past), 0.002 * middle)
    return Band(middle, middle - reach, middle + reach, len(past))


def _notes(
    series: Series, nights: Sequence[Night], decisions: Sequence[Decision], scrub: Scrub
) -> list[list[tuple[str, str]]]:
    """Say what changed or was decided between a night and the one before it."""
    notes: list[list[tuple[str, str]]] = []
    before = ""
    for night in nights:
        here = [("segment", night.opened_by)] if night.opened_by else []
        here += [("mark", words) for words in night.marks]
        for made in decisions:
            about = made.series_key in (None, series.series_key) and made.board_id in (None, series.board_id)
            if about and (made.series_key or made.board_id) and before < made.t_utc <= night.t_utc:
                here.append(("decision", f"{made.kind}: {scrub(clean(made.reason, 200))}"))
        notes.append(here if before else [])
        before = night.t_utc
    return notes


def _figure(index: int, line: _Line) -> Figure:
    points = [
        Point(
            day=night.t_utc,
            value=night.value,
            low=night.low,
            high=night.high,
            n=night.n,
            segment=night.segment,
            why_not=night.excluded or ("" if night.value is not None else "too few valid repetitions"),
            notes=notes,
        )
        for night, notes in zip(line.nights, line.notes, strict=True)
    ]
    figure = trend_figure(f"trend-{index}", _name(line.series), points, line.band)
    return Figure(
        figure.title, figure.drawings, figure.table, figure.heading, clean(line.series.board_id, 60)
    )


def _name(series: Series) -> str:
    return " · ".join(clean(part, 40) for part in (series.board_id, series.task, series.label))


def _table(lines: Sequence[_Line]) -> DataTable:
    rows = [[_name(line.series), *_cells(line)] for line in lines]
    return DataTable(
        caption="Every series of this run, those that moved most first",
        columns=("series", "nights", "segment", "usual", "this run", "change", "in the band"),
        rows=rows,
    )


def _cells(line: _Line) -> list[str]:
    last, band = line.nights[-1], line.band
    return [
        str(len(line.nights)),
        str(last.segment + 1),
        seconds(band.middle) if band else f"fewer than {MIN_USUAL} nights",
        seconds(last.value) if last.value is not None else "–",
        signed_percent(line.change) if line.change is not None else "–",
        _within(line),
    ]


def _within(line: _Line) -> str:
    last, band = line.nights[-1].value, line.band
    if band is None or last is None:
        return "not known"
    return "yes" if band.low <= last <= band.high else "above" if last > band.high else "below"
