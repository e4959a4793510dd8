"""The trace of an external meter, as stored in ``meter/<rep_id>.jsonl.gz``.

A header line, then one row a reading::

    {"schema": "tunebench.meter/1", "meter": {"id", "kind", "scope", "source", "quantum_w", "rate_hz", "clock"},
     "columns": ["t_s", "power_w", "energy_j", "gpio"], "alignment": {"method", "bound_s", "drift_ppm", "window_s"},
     "errors": [...], ...}
    [t_s, power_w, energy_j, gpio]

``t_s`` is on the host's CLOCK_MONOTONIC, or the meter's own clock; ``alignment.window_s`` is the measured window on it.
``null``: the reading failed; it is never zero.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tunebench.reports.series import header, number

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
    rows = [row for line in lines[1:] if (row := _row(line)) is not None]
    meter, alignment, errors = (head.get(key) for key in ("meter", "alignment", "errors"))
    return MeterSeries(
        meter=dict(meter) if isinstance(meter, dict) else {},
        alignment=dict(alignment) if isinstance(alignment, dict) else None,
        errors=[str(one) for one in errors] if isinstance(errors, list) else [],
        t_s=[row[0] for row in rows],
        power_w=[row[1] for row in rows],
        energy_j=[row[2] for row in rows],
    )


def _row(line: str) -> tuple[float, float | None, float | None] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, list) or len(row) < 3:
        return None
    t_s = number(row[0])
    return None if t_s is None else (t_s, number(row[1]), number(row[2]))
