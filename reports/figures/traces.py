"""Telemetry of one repetition with its phases: small charts on a shared time axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from tunebench.reports.figures.base.legend import swatches, swatches_height
from tunebench.reports.figures.base.model import NARROW, Figure, figure
from tunebench.reports.figures.base.svg import Canvas, Scale, plain, ticks
from tunebench.reports.figures.phases import phase_class
from tunebench.reports.figures.throttle import throttle_marks
from tunebench.reports.formatting.table import DataTable
from tunebench.reports.formatting.units import clean, seconds, significant
from tunebench.reports.results.timeseries import Channel, Trace

#: Points a channel keeps at most: two a bucket, its least and its greatest.
MAX_POINTS = 160
#: Channels shown at most, the most telling kinds first.
MAX_CHANNELS = 6
_KINDS = ("power", "temperature", "frequency", "memory", "load")
_CHART = 64
_GAP = 30
_LEFT, _RIGHT = 52, 12
_BANDS = 14

#: unit -> (factor, shown unit)
UNITS = {"1": (1.0, ""), "Hz": (1e-6, "MHz"), "B": (1 / (1 << 20), "MiB"), "C": (1.0, "°C")}

Point = tuple[float, float]


def trace_figure(ident: str, trace: Trace, *, title: str, heading: str) -> Figure | None:
    """Draw the informative channels of a trace; None if nothing was sampled."""
    shown = choose(trace)
    if not shown:
        return None
    start_ns, end_ns = span(trace)
    bands = [(a, b, phase) for a, b, phase in merge_steps(trace) if b > a]
    table = DataTable(
        caption=f"Telemetry: {title}",
        columns=("channel", "where", "unit", "samples", "not read", "least", "median", "greatest"),
        rows=[_table_row(channel, values) for channel, values in shown],
    )
    names = list(dict.fromkeys(phase for _, _, phase in bands))
    return figure(
        ident,
        f"Telemetry: {title}",
        f"{len(shown)} channels over {seconds((end_ns - start_ns) / 1e9)}; "
        f"phases: {', '.join(names) or 'not marked'}.",
        lambda width: _draw(width, trace, shown, bands, names),
        table=table,
        heading=heading,
        notes=not_drawn(trace),
    )


def choose(trace: Trace) -> list[tuple[Channel, list[float | None]]]:
    """Return the channels that changed, the most informative kinds first, ``MAX_CHANNELS`` at most.

    Where none changed but the board said that it was throttled, the first stands for all: something must carry the marks.
    """
    sampled = _sampled(trace)
    changing = [(channel, values) for channel, values in sampled if not _constant(values)]
    return changing[:MAX_CHANNELS] or (sampled[:1] if throttle_marks(trace, 0) else [])


def not_drawn(trace: Trace) -> list[str]:
    """Say which sampled channels are not drawn: those that never changed, with their value, and those beyond the most."""
    drawn = [channel for channel, _ in choose(trace)]
    left = [(channel, values) for channel, values in _sampled(trace) if channel not in drawn]
    constant = [
        f"{_name(channel)} {_amount(channel, values)}" for channel, values in left if _constant(values)
    ]
    further = [_name(channel) for channel, values in left if not _constant(values)]
    sentences = [f"Constant, not drawn: {'; '.join(constant)}."] if constant else []
    if further:
        sentences.append(f"Not drawn for want of room: {', '.join(further)}; the run's directory holds them.")
    return sentences


def _sampled(trace: Trace) -> list[tuple[Channel, list[float | None]]]:
    """Return the channels with at least two samples, the most informative kinds first."""
    pairs = ((c, v) for c, v in zip(trace.channels, trace.values, strict=True) if c.kind != "throttle")
    known = [(channel, values) for channel, values in pairs if sum(v is not None for v in values) > 1]
    rank = {kind: place for place, kind in enumerate(_KINDS)}
    return sorted(known, key=lambda pair: rank.get(pair[0].kind, len(rank)))


def _constant(values: Sequence[float | None]) -> bool:
    return len({value for value in values if value is not None}) == 1


def _amount(channel: Channel, values: Sequence[float | None]) -> str:
    scale, unit = UNITS.get(channel.unit, (1.0, channel.unit))
    value = next(value for value in values if value is not None)
    return f"{_label(value * scale)} {clean(unit, 20)}".rstrip()


def _name(channel: Channel) -> str:
    return clean(channel.id if not channel.scope else f"{channel.id} ({channel.scope})", 60)


def decimate(points: Sequence[Point], most: int = MAX_POINTS) -> list[Point]:
    """Return at most ``most`` points: the least and the greatest of each bucket, so that peaks stay.

    >>> decimate([(0.0, 1.0), (1.0, 9.0), (2.0, 1.0), (3.0, 1.0)], 2)
    [(0.0, 1.0), (1.0, 9.0)]
    """
    if len(points) <= most:
        return list(points)
    buckets = max(1, most // 2)
    extremes: list[Point] = []
    for index in range(buckets):
        bucket = points[index * len(points) // buckets : (index + 1) * len(points) // buckets]
        least, greatest = min(bucket, key=lambda p: p[1]), max(bucket, key=lambda p: p[1])
        extremes += sorted({least, greatest})
    return extremes


def merge_steps(trace: Trace) -> list[tuple[int, int, str]]:
    """Return phase bands (start ns, end ns, name) as drawn: many marks inside the window become one band."""
    bands = trace.phases()
    if trace.window_ns is None or len(bands) <= 60:
        return bands
    start, end = trace.window_ns
    outside = [band for band in bands if band[1] <= start or band[0] >= end]
    return sorted([*outside, (start, end, "finetune")])


def span(trace: Trace) -> tuple[int, int]:
    """Return first and last time of samples and marks, ns."""
    times = [*trace.t_ns, *(t for t, _ in trace.events)]
    return min(times), max(times)


def _draw(
    width: int,
    trace: Trace,
    shown: Sequence[tuple[Channel, list[float | None]]],
    bands: Sequence[tuple[int, int, str]],
    names: Sequence[str],
) -> Canvas:
    top = (swatches_height(names, width) + 6 if names else 0.0) + _BANDS
    canvas = Canvas(width, top + len(shown) * (_CHART + _GAP) + 40)
    start_ns, end_ns = span(trace)
    across = Scale(0, max((end_ns - start_ns) / 1e9, 1e-6), _LEFT, width - _RIGHT)
    bottom = top + len(shown) * (_CHART + _GAP)
    if names:
        swatches(canvas, [(name, phase_class(name, names)) for name in names])
    for begin, end, phase in bands:
        left, right = across((begin - start_ns) / 1e9), across((end - start_ns) / 1e9)
        hint = f"{phase}: {seconds((end - begin) / 1e9)}"
        canvas.rect(left, top - _BANDS, right - left, 8, f"bar {phase_class(phase, names)}", hint=hint)
    if trace.window_ns is not None:
        left, right = (across((t - start_ns) / 1e9) for t in trace.window_ns)
        canvas.rect(left, top, right - left, bottom - top - 6, "window", hint="the measured window")
    for begin_ns, until_ns, words in throttle_marks(trace, start_ns):
        left, right = across(begin_ns / 1e9), across(until_ns / 1e9)
        hint = f"{words}: {seconds((until_ns - begin_ns) / 1e9)}"
        canvas.rect(left, top - 5, max(2.0, right - left), 5, "throttle", hint=hint)
    for index, (channel, values) in enumerate(shown):
        points = [
            None if value is None else ((t - start_ns) / 1e9, value)
            for t, value in zip(trace.t_ns, values, strict=True)
        ]
        _chart(canvas, channel, points, across, top + index * (_CHART + _GAP))
    marks = ticks(0, (end_ns - start_ns) / 1e9, 4 if width <= NARROW else 8)
    for tick in marks:
        canvas.line(across(tick), bottom - 6, across(tick), bottom - 1, "rule")
    canvas.ticks_below(across, marks, bottom + 13, plain)
    canvas.text(width - _RIGHT, bottom + 31, "seconds since the first mark", "tick", anchor="end")
    return canvas


def _chart(
    canvas: Canvas, channel: Channel, points: Sequence[Point | None], across: Scale, top: float
) -> None:
    factor, unit = UNITS.get(channel.unit, (1.0, channel.unit))
    known = [value * factor for point in points if point is not None for value in (point[1],)]
    low, high = min(known), max(known)
    if high - low < max(abs(high) * 0.02, 1e-9):
        positive = low >= 0
        low, high = low - max(abs(low) * 0.05, 0.5), high + max(abs(high) * 0.05, 0.5)
        low = max(0.0, low) if positive else low
    up = Scale(low, high, top + 16 + _CHART, top + 20)
    name = _name(channel)
    canvas.text(
        _LEFT, top + 13, f"{name}, {unit}" if unit else name, "tick strong", width=canvas.width - _LEFT
    )
    for value in (low, high):
        canvas.line(_LEFT, up(value), canvas.width - _RIGHT, up(value), "grid")
        canvas.text(_LEFT - 8, up(value) + 4, _label(value), "tick", anchor="end")
    for run in _runs(points):
        points_drawn = decimate(run, max(2, MAX_POINTS * len(run) // max(1, len(points))))
        canvas.polyline([(across(t), up(value * factor)) for t, value in points_drawn], "series")


def reach(values: Sequence[object | None]) -> int:
    """Return the largest distance, in samples, at which two values of a channel still count as neighbours.

    A channel that is read at every sample has a gap wherever one is missing; one that is read every fifth (what
    changes slowly is read once a second) has one where half as many again are missing.

    >>> reach([1, 2, None, 3, 4]), reach([1, None, None, 2, None, None, 3])
    (1, 5)
    """
    known = [i for i, value in enumerate(values) if value is not None]
    steps = sorted(b - a for a, b in pairwise(known))
    usual = steps[(len(steps) - 1) // 2] if steps else 1
    return usual if usual == 1 else math.ceil(1.5 * usual)


def _runs(points: Sequence[Point | None]) -> list[list[Point]]:
    """Split points into unbroken stretches: a sample that was not read is drawn as a gap, not as a straight line."""
    far = reach(points)
    stretches: list[list[Point]] = []
    last = -far - 1
    for i, point in enumerate(points):
        if point is None:
            continue
        if i - last > far:
            stretches.append([])
        stretches[-1].append(point)
        last = i
    return [stretch for stretch in stretches if len(stretch) > 1]


def _label(value: float) -> str:
    return (f"{value:.0f}" if abs(value) >= 100 else significant(value)).replace("-", "−")


def _table_row(channel: Channel, values: Sequence[float | None]) -> list[str]:
    factor, unit = UNITS.get(channel.unit, (1.0, channel.unit))
    known = sorted(value * factor for value in values if value is not None)
    middle = known[len(known) // 2]
    figures = [_label(value) for value in (known[0], middle, known[-1])]
    where = ", ".join(part for part in (channel.site, channel.scope or "", channel.source or "") if part)
    return [channel.id, where, unit, str(len(known)), str(len(values) - len(known)), *figures]
