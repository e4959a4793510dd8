"""External meters, read on the host: ``open_meter(spec)`` and what every meter looks like.

Modules are imported when their kind is asked for, so that an optional driver is needed only by who uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from tunebench.targets.meters.base import SCOPES, Meter, MeterError, MeterInfo, MeterTrace

__all__ = ["KINDS", "SCOPES", "Meter", "MeterError", "MeterInfo", "MeterTrace", "make_meter", "open_meter"]

#: Kind in the inventory -> the module that has ``make(spec) -> Meter``.
KINDS: Mapping[str, str] = {
    "hwmon": "hwmon",
    "serial-csv": "serial_csv",
    "csv-replay": "csv_replay",
    "shelly": "shelly",
    "joulescope": "joulescope",
}


def make_meter(spec: Mapping[str, Any]) -> Meter:
    """The meter that ``spec`` (``[board.meter]`` of the inventory) describes, not yet open.

    Raises:
        MeterError: its kind is unknown (the message names the known ones), or a key is missing or wrong.
    """
    kind = spec.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise MeterError(f"meter kind {kind!r} is unknown; known: {', '.join(KINDS)}")
    make: Callable[[Mapping[str, Any]], Meter] = import_module(f"tunebench.targets.meters.{KINDS[kind]}").make
    return make(spec)


def open_meter(spec: Mapping[str, Any]) -> Meter:
    """The same, open; use as a context manager or call ``close``.

    Raises:
        MeterError: as :func:`make_meter`, or it is not there, or not as described.
    """
    meter = make_meter(spec)
    try:
        meter.open()
    except BaseException:
        meter.close()
        raise
    return meter
