"""The telemetry trace of one repetition, as stored in ``trace/<rep_id>.jsonl.gz``.

A header line, then one row a sample::

    {"schema": "tunebench.trace/1", "period_s": 0.2, "channels": [{"id", "kind", "unit", ...}],
     "window_ns": [start, end], "events": [[t_ns, phase], ...]}
    [t_ns, value of channel 1, value of channel 2, ...]

All times are ns on the board's CLOCK_MONOTONIC. ``null``: the sensor was not read; it is never zero.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

TRACE_SCHEMA = "tunebench.trace/1"


@dataclass(frozen=True)
class Channel:
    """One telemetry series: site, kind and unit."""

    id: str
    kind: str = ""
    unit: str = ""
    site: str = ""
    scope: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Trace:
    """A parsed trace.

    Attributes:
        period_s: the nominal sampling period.
        channels: one per value column.
        window_ns: start and end of the fine-tuning.
        events: (t_ns, phase): each opens its phase and closes the one before it.
        t_ns: time of each sample.
        values: one list per channel, as long as ``t_ns``; None where not read.
    """

    period_s: float | None
    channels: list[Channel]
    window_ns: tuple[int, int] | None
    events: list[tuple[int, str]]
    t_ns: list[int]
    values: list[list[float | None]]

    def phases(self) -> list[tuple[int, int, str]]:
        """(start_ns, end_ns, phase), neighbours of the same phase joined."""
        bands: list[tuple[int, int, str]] = []
        for (start, phase), (end, _) in zip(self.events, self.events[1:], strict=False):
            if bands and bands[-1][2] == phase and bands[-1][1] == start:
                bands[-1] = (bands[-1][0], end, phase)
            elif end > start:
                bands.append((start, end, phase))
        return bands


def read_trace(text: str) -> Trace:
    """Parse a trace; rows that are torn or malformed are left out.

    Raises:
        ValueError: the header is missing or of another schema.
    """
    lines = text.split("\n")
    head = header(lines[0], TRACE_SCHEMA, "trace")
    channels = [_channel(item) for item in _list(head.get("channels"))]
    t_ns: list[int] = []
    values: list[list[float | None]] = [[] for _ in channels]
    for line in lines[1:]:
        row = _row(line, len(channels))
        if row is None:
            continue
        t_ns.append(row[0])
        for column, value in zip(values, row[1], strict=True):
            column.append(value)
    return Trace(
        period_s=number(head.get("period_s")),
        channels=channels,
        window_ns=_window(head.get("window_ns")),
        events=[event for item in _list(head.get("events")) if (event := _event(item)) is not None],
        t_ns=t_ns,
        values=values,
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _channel(item: object) -> Channel:
    if not isinstance(item, dict):
        return Channel(id="?")
    text = {key: str(item.get(key) or "") for key in ("id", "kind", "unit", "site")}
    scope, source = item.get("scope"), item.get("source")
    return Channel(**text, scope=str(scope) if scope else None, source=str(source) if source else None)


def _event(item: object) -> tuple[int, str] | None:
    if isinstance(item, list) and len(item) == 2 and type(item[0]) is int and isinstance(item[1], str):
        return item[0], item[1]
    return None


def _window(item: object) -> tuple[int, int] | None:
    if isinstance(item, list) and len(item) == 2 and all(type(value) is int for value in item):
        return item[0], item[1]
    return None


def _row(line: str, width: int) -> tuple[int, list[float | None]] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, list) or len(row) != width + 1 or type(row[0]) is not int:
        return None
    return row[0], [number(value) for value in row[1:]]


METER_SCHEMA = "tunebench.meter/1"


@dataclass(frozen=True)
class MeterSeries:
    """A parsed trace of a meter.

    Attributes:
        meter: what it is (``id``, ``kind``, ``scope``, ``source``, ``quantum_w``, ``rate_hz``, ``clock``).
        alignment: how it lies over the board's clock; None where it could not be aligned.
        errors: what the meter could not do.
        t_s: time of each reading.
        power_w: None where a reading failed.
        energy_j: the meter's own counter; None where it has none.
    """

    meter: dict[str, Any]
    alignment: dict[str, Any] | None
    errors: list[str]
    t_s: list[float]
    power_w: list[float | None]
    energy_j: list[float | None]


def read_meter(text: str) -> MeterSeries:
    """Parse a meter's trace; rows that are torn or malformed are left out.

    Raises:
        ValueError: the header is missing or of another schema.
    """
    lines = text.split("\n")
    head = header(lines[0], METER_SCHEMA, "meter")
    rows = [row for line in lines[1:] if (row := _meter_row(line)) is not None]
    meter, alignment, errors = (head.get(key) for key in ("meter", "alignment", "errors"))
    return MeterSeries(
        meter=dict(meter) if isinstance(meter, dict) else {},
        alignment=dict(alignment) if isinstance(alignment, dict) else None,
        errors=[str(one) for one in errors] if isinstance(errors, list) else [],
        t_s=[row[0] for row in rows],
        power_w=[row[1] for row in rows],
        energy_j=[row[2] for row in rows],
    )


def _meter_row(line: str) -> tuple[float, float | None, float | None] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, list) or len(row) < 3:
        return None
    t_s = number(row[0])
    return None if t_s is None else (t_s, number(row[1]), number(row[2]))


def header(line: str, schema: str, what: str) -> dict[str, Any]:
    """The header of a series.

    Args:
        line: the first line.
        schema: the schema that this package reads; its minor versions are read too.
        what: the series, for the message.

    Raises:
        ValueError: it is missing or of another schema.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what}: the first line is not a JSON header: {error}") from None
    named = found.get("schema") if isinstance(found, dict) else None
    if not isinstance(named, str) or (named != schema and not named.startswith(schema + ".")):
        raise ValueError(f"{what}: schema {named!r}, expected {schema!r}")
    return dict(found)


def number(value: object) -> float | None:
    """A finite number, or None for anything else, also for an integer beyond what a float holds."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
