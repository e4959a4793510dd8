"""External meters, read on the host: ``open_meter(keys)`` and what every meter looks like.

Which kinds there are, and how to add one: :mod:`tunebench.targets.meters.registry`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tunebench.targets.host_lock import NO_WAIT, HostLock, Wait
from tunebench.targets.meters.base import SCOPES, Meter, MeterError, MeterInfo, MeterTrace
from tunebench.targets.meters.keys import MeterKeys

__all__ = [
    "NO_WAIT",
    "SCOPES",
    "Meter",
    "MeterError",
    "MeterInfo",
    "MeterKeys",
    "MeterTrace",
    "Wait",
    "make_meter",
    "open_meter",
    "turn_at",
]


def make_meter(spec: Mapping[str, Any] | MeterKeys) -> Meter:
    """Return the meter that ``spec`` (``[board.meter]`` of the inventory) describes, not yet open.

    Raises:
        MeterError: its kind is unknown (the message names the known ones), or a key is missing or wrong.
    """
    from tunebench.targets.meters.registry import (
        meter_kind,
        read_keys,
    )  # imports the kinds; they import this package

    keys = read_keys(spec)
    return meter_kind(keys.kind).make(keys)


@contextmanager
def turn_at(keys: MeterKeys, wait: Wait = NO_WAIT) -> Iterator[None]:
    """Hold a meter that no two commands of this host may use at once, from before it is opened until it is closed.

    Args:
        wait: how long to wait for another command, and who is told that we do.

    Raises:
        MeterError: another command has it for longer than we wait; says which, and since when.
    """
    name = keys.exclusive_name
    if name is None:
        yield
        return
    lock = HostLock(f"meter {name}")
    busy = lock.take(f"{keys.kind} meter", wait)
    if busy is not None:
        raise MeterError(busy)
    try:
        yield
    finally:
        lock.give()


def open_meter(spec: Mapping[str, Any] | MeterKeys) -> Meter:
    """Return the same, open; use it as a context manager or call ``close``.

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
