"""Read the series of one repetition: the board's telemetry, and the trace of an external meter.

Telemetry, ``trace/<rep_id>.jsonl.gz``: a header line, then one row a sample::

    {"schema": "tunebench.trace/1", "period_s": 0.2, "channels": [{"id", "kind", "unit", ...}],
     "window_ns": [start, end], "events": [[t_ns, phase], ...]}
    [t_ns, value of channel 1, value of channel 2, ...]

All times are ns on the board's CLOCK_MONOTONIC. ``null``: the sensor was not read; it is never zero.

A meter's trace, ``meter/<rep_id>.jsonl.gz``: a header line, then one row a reading, in seconds of the meter's clock::

    {"schema": "tunebench.meter/1", "meter": {"id", "scope", ...}, "alignment": {"method", ...}, "errors": [...]}
    [t_s, power_w, energy_j, gpio]
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

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
        """Return the phases (start_ns, end_ns, phase); neighbours of the same phase are joined."""
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


def _list(value: object) -> list[object]:
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
class MeterFacts:
    """An external meter, as the header of its trace describes it; empty or None: the header does not say.

    Attributes:
        source: the meter's own name of what it measures.
        quantum_w: its smallest step.
        clock: ``host`` or ``meter``: whose seconds its times are.
    """

    id: str = ""
    kind: str = ""
    scope: str = ""
    source: str = ""
    quantum_w: float | None = None
    rate_hz: float | None = None
    clock: str = ""


@dataclass(frozen=True)
class StoredAlignment:
    """The alignment of a meter's trace with the board's clock.

    Attributes:
        bound_s: the meter's times lie within +-this of the board's.
        drift_ppm: of the meter's clock against the board's, with its bound; None: one clock.
        window_s: start and end of the fine-tuning on the meter's clock.
    """

    method: str
    bound_s: float | None = None
    drift_ppm: float | None = None
    drift_bound_ppm: float | None = None
    window_s: tuple[float, float] | None = None


@dataclass(frozen=True)
class MeterSeries:
    """A parsed trace of a meter.

    Attributes:
        alignment: None where it could not be aligned.
        errors: what the meter could not do.
        t_s: time of each reading.
        power_w: None where a reading failed.
        energy_j: the meter's own counter; None where it has none.
    """

    meter: MeterFacts
    alignment: StoredAlignment | None
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
    return MeterSeries(
        meter=_meter(head.get("meter")),
        alignment=_alignment(head.get("alignment")),
        errors=[str(message) for message in _list(head.get("errors"))],
        t_s=[row[0] for row in rows],
        power_w=[row[1] for row in rows],
        energy_j=[row[2] for row in rows],
    )


def _meter(item: object) -> MeterFacts:
    if not isinstance(item, dict):
        return MeterFacts()
    text = {key: str(item.get(key) or "") for key in ("id", "kind", "scope", "source", "clock")}
    return MeterFacts(**text, quantum_w=number(item.get("quantum_w")), rate_hz=number(item.get("rate_hz")))


def _alignment(item: object) -> StoredAlignment | None:
    if not isinstance(item, dict):
        return None
    edges = [number(edge) for edge in _list(item.get("window_s"))]
    start_s, end_s = edges if len(edges) == 2 else (None, None)
    return StoredAlignment(
        method=str(item.get("method") or ""),
        bound_s=number(item.get("bound_s")),
        drift_ppm=number(item.get("drift_ppm")),
        drift_bound_ppm=number(item.get("drift_bound_ppm")),
        window_s=None if start_s is None or end_s is None else (start_s, end_s),
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


def header(line: str, schema: str, what: str) -> dict[str, object]:
    """Return the header of a series.

    Args:
        line: the first line.
        schema: the schema that this package reads; its minor versions are read too.
        what: the series, for the message.

    Raises:
        ValueError: it is missing or of another schema.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what}: the first line is not a JSON header: {error}") from None
    name = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(name, str) or (name != schema and not name.startswith(schema + ".")):
        raise ValueError(f"{what}: schema {name!r}, expected {schema!r}")
    return dict(value)


def number(value: object) -> float | None:
    """Return a finite number as a float, and None for anything else, also for an integer too large for a float."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        converted = float(value)
    except OverflowError:
        return None
    return converted if math.isfinite(converted) else None
