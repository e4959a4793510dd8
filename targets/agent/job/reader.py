"""Reads sensors in a thread of its own, so that a driver that hangs holds up nobody else.

A read that hangs inside the kernel cannot be interrupted; its thread is left with that one sensor and everything
else is read by another. Threads wait on plain locks: a sample costs two wake-ups.
"""

import threading
from typing import Any, List, Optional, Sequence

from tunebench.targets.agent.protocol import monotonic_ns
from tunebench.targets.agent.sensors.base import Sensor


class NotDue:
    """Stands for a value that was not asked for (``Sensor.every_s``): no error, and no value."""


NOT_DUE = NotDue()


class ReadEnd:
    """What one read of one sensor gave."""

    def __init__(self, values: List[Any], reason: Optional[str], refused: bool, asleep: bool = False) -> None:
        self.values = values
        self.reason = reason
        self.refused = refused
        self.asleep = asleep


def read(sensor: Sensor) -> ReadEnd:
    """Read a sensor; an exception becomes the reason for the missing values."""
    sensor.reason, sensor.refused, sensor.asleep = None, False, False
    try:
        values = sensor.read()
    except Exception as error:  # noqa: BLE001 - one odd driver must not end the sampling
        return ReadEnd([None] * len(sensor.channels), "%s: %s" % (type(error).__name__, error), False)
    return ReadEnd(values, sensor.reason, sensor.refused, sensor.asleep)


class Reader:
    """One thread that reads some sensors, in their order, whenever it is asked.

    Args:
        sensors: those that it reads; the order of its outcomes.
    """

    def __init__(self, sensors: Sequence[Sensor]) -> None:
        self.sensors = list(sensors)
        self.outcomes: List[Optional[ReadEnd]] = [None] * len(self.sensors)
        self.busy = False
        self.asked_ns = 0
        self._due_ns = [0] * len(self.sensors)
        self._at = 0
        self._only: Optional[int] = None
        self._stop = False
        self._go, self._done = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._done.acquire()
        threading.Thread(target=self._work, daemon=True).start()

    def ask(self, now_ns: int) -> None:
        """Let the thread read its sensors once; to be called only while it is not busy."""
        self.outcomes = [None] * len(self.sensors)
        self.busy, self.asked_ns = True, now_ns
        self._go.release()

    def wait(self, timeout_s: float) -> bool:
        """Wait at most ``timeout_s`` for the thread to finish; tell whether it has."""
        if self.busy:
            finished = self._done.acquire(timeout=timeout_s) if timeout_s > 0 else self._done.acquire(False)
            self.busy = not finished
        return not self.busy

    @property
    def hangs_on(self) -> Sensor:
        """Return the sensor that the thread is reading now."""
        return self.sensors[self._at]

    def leave_with(self, sensor: Sensor) -> None:
        """Read only that sensor from now on; another reader takes the others."""
        self._only = self.sensors.index(sensor)

    def stop(self) -> None:
        """End the thread as soon as its present read has returned."""
        self._stop = True
        if not self.busy:
            self._go.release()

    def _work(self) -> None:
        while True:
            self._go.acquire()
            if self._stop:
                return
            now_ns, outcomes = self.asked_ns, self.outcomes
            for index, sensor in enumerate(self.sensors):
                if self._only is not None and index != self._only:
                    continue
                if now_ns < self._due_ns[index]:
                    outcomes[index] = ReadEnd([NOT_DUE] * len(sensor.channels), None, False)
                    continue
                self._at = index
                self._due_ns[index] = now_ns + int(sensor.every_s * 1e9)
                outcomes[index] = read(sensor)
            self._done.release()
            if self._stop:
                return


def age_s(reader: Reader) -> float:
    """Return for how long a reader has been busy (s); 0 if it is not."""
    return (monotonic_ns() - reader.asked_ns) / 1e9 if reader.busy else 0.0
