"""The telemetry trace of one repetition, as stored in ``trace/<rep_id>.jsonl.gz``.

A header line, then one row a sample::

    {"schema": "tunebench.trace/1", "period_s": 0.2, "channels": [{"id", "kind", "unit", ...}],
     "window_ns": [start, end], "events": [[t_ns, phase], ...]}
    [t_ns, value of channel 1, value of channel 2, ...]

All times are ns on the board's CLOCK_MONOTONIC. ``null``: the sensor was not read; it is never zero.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tunebench.reports.series import header, number

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
