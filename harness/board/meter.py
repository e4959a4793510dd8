"""Read a board's external meter in a campaign: opened once a board, started and stopped around each repetition.

A meter never stops a campaign: what it could not do becomes the reason why a record has no energy. Where a board has
a meter, the record's primary energy is the meter's; the board's own sensor stands beside it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tunebench.harness.record.energy.meter import Metered
from tunebench.targets.meters import (
    NO_WAIT,
    Meter,
    MeterError,
    MeterInfo,
    MeterKeys,
    Wait,
    open_meter,
    turn_at,
)


class BoardMeter:
    """The external meter of one board during a campaign; without an entry it does nothing.

    Args:
        entry: ``[board.meter]``, or None.
        note: tells the user what goes wrong.
        wait: for another command of this host that uses the meter; only when the context is entered.
    """

    def __init__(
        self,
        entry: MeterKeys | None,
        note: Callable[[str], None] = lambda _: None,
        wait: Wait = NO_WAIT,
    ) -> None:
        self._entry = entry
        self._note = note
        self._wait = wait
        self._turn = contextlib.ExitStack()
        self._meter: Meter | None = None
        self._reason: str | None = None
        self._running = False

    def __enter__(self) -> BoardMeter:
        self._open(self._wait)
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        if self._meter is not None:
            self._meter.close()
            self._meter = None
        self._turn.close()

    @property
    def present(self) -> bool:
        """Tell whether the inventory gives this board a meter."""
        return self._entry is not None

    @property
    def pulse_chip_s(self) -> float | None:
        """Return the seconds of a load pulse's chip; None where the meter needs no pulses to be aligned."""
        if self._entry is None or self._meter is None or self._meter.info.clock != "own":
            return None
        return self._entry.pulse_chip_s

    def start(self) -> None:
        """Begin to read; a meter that could not be opened before is opened now if it can be."""
        if self._entry is None or self._running:
            return
        if self._meter is None:
            self._open()
        if self._meter is None:
            return
        try:
            self._meter.start()
            self._running = True
            self._reason = None
        except MeterError as error:
            self._failed(error)

    def stop(self) -> Metered | None:
        """Return what was read since ``start``, or why nothing was; None on a board without a meter."""
        if self._entry is None:
            return None
        if self._meter is None or not self._running:
            return Metered(None, self._reason or "the meter was not started")
        self._running = False
        try:
            trace = self._meter.stop()
            return Metered(replace(trace, errors=[self._public(error) for error in trace.errors]))
        except MeterError as error:
            self._failed(error)
            return Metered(None, self._reason)

    def cancel(self) -> None:
        """Throw away what is being read."""
        if self._running:
            self.stop()

    def _open(self, wait: Wait = NO_WAIT) -> None:
        if self._entry is None:
            return
        self._turn.close()
        try:
            self._turn.enter_context(turn_at(self._entry, wait))
            self._meter = open_meter(self._entry)
            self._note(f"meter: {meter_text(self._meter.info)}")
        except MeterError as error:
            self._failed(error)

    def _failed(self, error: MeterError) -> None:
        message = f"the meter failed: {error}"
        reason = self._public(message)
        if reason != self._reason:
            self._note(message)
        self._reason = reason

    def _public(self, text: str) -> str:
        """Return a sentence as it may stand in results: without what the inventory says of connections."""
        for key in self._entry.private if self._entry is not None else ():
            value = getattr(self._entry, key, None)
            if value:
                text = text.replace(str(value), f"<{key}>")
        return text


def meter_text(info: MeterInfo) -> str:
    """Return a meter in words, for notes and tables."""
    rate = f", {info.rate_hz:g} Hz" if info.rate_hz else ""
    quantum = f", steps of {info.quantum_w:.2g} W" if info.quantum_w else ""
    return f"{info.kind} {info.id}, scope {info.scope}{rate}{quantum}"


@dataclass(frozen=True)
class Description:
    """A meter as ``doctor`` and ``boards`` show it: what it is, or what is wrong with it."""

    ok: bool
    text: str
    info: MeterInfo | None = None
    power_w: float | None = None


def describe(entry: MeterKeys | None, *, read: bool = True) -> Description | None:
    """Open a board's meter, read it for a moment and close it; None for a board without a meter.

    Args:
        entry: ``[board.meter]``, or None.
        read: also take a reading, so that the power now is known (about a second).
    """
    if entry is None:
        return None
    try:
        with turn_at(entry), open_meter(entry) as meter:
            info = meter.info
            if not read or info.clock == "own":
                return Description(True, meter_text(info), info)
            meter.start()
            _moment(info)
            trace = meter.stop()
    except MeterError as error:
        return Description(False, str(error))
    values = [value for value in trace.power_w if value is not None]
    if not values:
        return Description(
            False, f"{meter_text(info)}: no reading: {'; '.join(trace.errors[:2]) or 'nothing came'}", info
        )
    return Description(True, f"{meter_text(info)}; now {values[-1]:.2f} W", info, values[-1])


def _moment(info: MeterInfo) -> None:
    time.sleep(max(0.2, min(2.0, 2 / info.rate_hz if info.rate_hz else 1.0)))
