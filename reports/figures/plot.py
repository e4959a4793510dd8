"""What the browser needs to draw a trace that can be zoomed: columns of numbers, phase bands, throttle marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tunebench.reports.figures.phases import phase_class
from tunebench.reports.figures.throttle import throttle_marks
from tunebench.reports.figures.traces import UNITS, choose, merge_steps, reach, span
from tunebench.reports.formatting.units import clean
from tunebench.reports.results.timeseries import Channel, Trace

#: Rows kept at most: of each stretch the rows with every channel's least and greatest value.
MAX_ROWS = 1200


@dataclass(frozen=True, slots=True)
class PlotColumn:
    """One channel's values in the rows kept; None is a gap, ``BETWEEN`` a row in which it was not due."""

    name: str
    unit: str
    y: list[float | str | None]


@dataclass(frozen=True, slots=True)
class PlotData:
    """The data that the page's script reads, all times in seconds since the first mark.

    Attributes:
        t: of each row.
        bands: (begin, end, phase, its colour class).
        window: begin and end of the measured window.
        marks: (begin, end, words) where the board said that it was throttled.
    """

    end: float
    t: list[float]
    channels: list[PlotColumn]
    bands: list[tuple[float, float, str, str]]
    window: list[float] | None
    marks: list[tuple[float, float, str]]


def plot_data(trace: Trace) -> PlotData | None:
    """Return the columns of the plot; None if no channel has two samples."""
    shown = choose(trace)
    if not shown:
        return None
    start_ns, end_ns = span(trace)
    positions = kept_rows([values for _, values in shown], len(trace.t_ns))
    bands = merge_steps(trace)
    names = list(dict.fromkeys(phase for _, _, phase in bands))
    window = trace.window_ns
    return PlotData(
        end=_s(end_ns - start_ns),
        t=[_s(trace.t_ns[i] - start_ns) for i in positions],
        channels=[_column(channel, values, positions) for channel, values in shown],
        bands=[
            (_s(a - start_ns), _s(b - start_ns), clean(phase, 40), phase_class(phase, names))
            for a, b, phase in bands
            if b > a
        ],
        window=[_s(t - start_ns) for t in window] if window else None,
        marks=[(_s(int(a)), _s(int(b)), words) for a, b, words in throttle_marks(trace, start_ns)],
    )


def kept_rows(columns: Sequence[Sequence[float | None]], n: int, most: int = MAX_ROWS) -> list[int]:
    """Return the indices of the rows to keep: all, or in each stretch the least, the greatest and a gap of every column.

    >>> kept_rows([[1, 9, 1, 1]], 4, most=2)
    [0, 1]
    """
    if n <= most:
        return list(range(n))
    stretches = max(1, most // (2 * max(1, len(columns))))
    edges = [n * i // stretches for i in range(stretches + 1)]
    positions: set[int] = set()
    for begin, end in pairwise(edges):
        for column in columns:
            known = [(value, i) for i in range(begin, end) if (value := column[i]) is not None]
            if known:
                positions |= {min(known)[1], max(known)[1]}
            gap = next((i for i in range(begin, end) if column[i] is None), None)
            if gap is not None:
                positions.add(gap)
    return sorted(positions)


#: Between two values of a slow channel: the line goes on, there is just no value.
BETWEEN = ""


def _column(channel: Channel, values: Sequence[float | None], positions: Sequence[int]) -> PlotColumn:
    factor, unit = UNITS.get(channel.unit, (1.0, channel.unit))
    name = channel.id if not channel.scope else f"{channel.id} ({channel.scope})"
    inside = _between(values)
    return PlotColumn(
        name=clean(name, 60),
        unit=clean(unit, 20),
        y=[
            float(f"{value * factor:.6g}")
            if (value := values[i]) is not None
            else BETWEEN
            if i in inside
            else None
            for i in positions
        ],
    )


def _between(values: Sequence[float | None]) -> set[int]:
    """Return the samples at which a slow channel was not due: between two values at their usual distance."""
    far = reach(values)
    known = [i for i, value in enumerate(values) if value is not None]
    return {i for a, b in pairwise(known) if 1 < b - a <= far for i in range(a + 1, b)}


def _s(ns: int) -> float:
    return round(ns / 1e9, 4)
