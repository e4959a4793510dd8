"""Meters that are asked again and again: one thread, a steady pace, bounded waits."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from dataclasses import dataclass, field

from tunebench.targets.meters.base import Errors, Meter, MeterError, MeterTrace

#: How long ``stop`` waits for a read under way, and once more after it was aborted.
STOP_S = 3.0
#: The same value or error for ever would fill the memory of a forgotten meter: a day at 100 Hz.
MAX_READINGS = 9_000_000


@dataclass(frozen=True)
class Reading:
    """One answer of a meter: watts, and its counter where it has one."""

    power_w: float
    energy_j: float | None = None


class ReadError(Exception):
    """One reading failed; the next may not."""


@dataclass
class _Series:
    """What one start..stop has gathered; a thread that hangs keeps its own and cannot touch the next one's."""

    t_s: list[float] = field(default_factory=list)
    power_w: list[float | None] = field(default_factory=list)
    energy_j: list[float | None] = field(default_factory=list)
    errors: Errors = field(default_factory=Errors)
    slowest_s: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)
    reading_since_s: float | None = None


class PolledMeter(Meter):
    """A meter of which :meth:`read` is one question and one answer.

    Each reading is stamped with the middle of its question and answer, less :attr:`latency_s`.
    """

    #: Age of a value when it is read, where it is known.
    latency_s = 0.0

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self._series: _Series | None = None
        self._thread: threading.Thread | None = None

    @abstractmethod
    def read(self) -> Reading:
        """Ask once.

        Raises:
            ReadError: no value this time.
        """

    def abort(self) -> None:
        """Break a read that is under way (close its socket); does nothing where that cannot be done."""

    def start(self) -> None:
        """Read from now on, in a thread.

        Raises:
            MeterError: a read of the last repetition still hangs.
        """
        if self._thread is not None and self._thread.is_alive():
            raise MeterError(f"{self.info.source}: a read has not come back since the last repetition")
        self._series = _Series()
        self._thread = threading.Thread(
            target=self._run, args=(self._series,), name=f"meter-{self.info.kind}", daemon=True
        )
        self._thread.start()

    def stop(self) -> MeterTrace:
        """Return what was read since ``start``, within twice :data:`STOP_S` even if a read hangs."""
        series, thread = self._series, self._thread
        if series is None or thread is None:
            raise MeterError(f"{self.info.source}: stop() without start()")
        self._series = None
        series.stop.set()
        thread.join(STOP_S)
        if thread.is_alive():
            self.abort()
            thread.join(STOP_S)
        errors = series.errors.list()
        since_s = series.reading_since_s
        if thread.is_alive() and since_s is not None:
            errors.append(f"a read hangs since {time.monotonic() - since_s:.1f} s")
        n = min(len(series.t_s), len(series.power_w), len(series.energy_j))
        counter = series.energy_j[:n]
        return MeterTrace(
            self.info,
            series.t_s[:n],
            series.power_w[:n],
            counter if any(value is not None for value in counter) else None,
            errors,
            series.slowest_s / 2,
        )

    def close(self) -> None:
        """End a reading thread and let go of the device."""
        if self._series is not None:
            self._series.stop.set()
            self._series = None
        if self._thread is not None:
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                self.abort()
        self.release()

    def release(self) -> None:
        """Let go of the device; called once no read is under way, or when one cannot be ended."""

    def _run(self, series: _Series) -> None:
        due_s = time.monotonic()
        while not series.stop.is_set() and len(series.t_s) < MAX_READINGS:
            self._read_once(series)
            # A late reading is not made up for: two at once would say nothing new.
            due_s = max(due_s + self.period_s, time.monotonic())
            series.stop.wait(due_s - time.monotonic())
        if not series.stop.is_set():
            series.errors.add(f"stopped after {MAX_READINGS} readings")

    def _read_once(self, series: _Series) -> None:
        asked_s = time.monotonic()
        series.reading_since_s = asked_s
        power_w: float | None = None
        energy_j: float | None = None
        try:
            reading = self.read()
            power_w, energy_j = reading.power_w, reading.energy_j
        except ReadError as error:
            series.errors.add(str(error))
        answered_s = time.monotonic()
        series.reading_since_s = None
        if power_w is not None:
            series.slowest_s = max(series.slowest_s, answered_s - asked_s)
        series.t_s.append((asked_s + answered_s) / 2 - self.latency_s)
        series.power_w.append(power_w)
        series.energy_j.append(energy_j)
