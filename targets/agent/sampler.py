"""Reads all sensors at a steady pace, into memory; written after the window, or rarely."""

import json
from typing import Any, Dict, List, Optional, Sequence

from targets.agent.protocol import SAMPLES_SCHEMA, monotonic_ns
from targets.agent.sensors.base import Channel, Sensor

#: Rows are written (without fsync) when so much time has passed: a long run must not fill the memory.
FLUSH_S = 30.0


class Sampler:
    """Rows of ``[t_ns, value...]``.

    Args:
        path: the samples file.
        sensors: what to read, in the order of the channels.
        period_s: the pace; a late sample is not made up for.
    """

    def __init__(self, path: str, sensors: Sequence[Sensor], period_s: float) -> None:
        self._sensors = list(sensors)
        self.channels: List[Channel] = [channel for sensor in sensors for channel in sensor.channels]
        self.period_ns = int(period_s * 1e9)
        self.n = 0
        self.max_gap_ns = 0
        self._last_ns: Optional[int] = None
        self._rows: List[List[Optional[float]]] = []
        self._kept = {channel.id: _Range() for channel in self.channels}
        self._file = open(path, "w", encoding="ascii")  # noqa: SIM115 - closed by close()
        self._written_ns = monotonic_ns()
        header = {
            "schema": SAMPLES_SCHEMA,
            "clock": "CLOCK_MONOTONIC",
            "period_s": period_s,
            "channels": [dict(channel._asdict()) for channel in self.channels],
        }
        self._write(header)

    def sample(self) -> int:
        """Take one row; returns when the next is due (ns)."""
        now_ns = monotonic_ns()
        row: List[Any] = [now_ns]
        for sensor in self._sensors:
            row += sensor.read()
        for channel, value in zip(self.channels, row[1:]):  # noqa: B905 - Python 3.6
            self._kept[channel.id].add(value)
        self._rows.append(row)
        if self._last_ns is not None:
            self.max_gap_ns = max(self.max_gap_ns, now_ns - self._last_ns)
        self._last_ns = now_ns
        self.n += 1
        if now_ns - self._written_ns > FLUSH_S * 1e9:
            self.flush()
        return now_ns + self.period_ns

    def flush(self) -> None:
        """Write the rows held in memory."""
        for row in self._rows:
            self._write(row)
        self._rows.clear()
        self._file.flush()
        self._written_ns = monotonic_ns()

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        self._file.close()

    def range(self, channel_id: str) -> "_Range":
        """First, last, smallest and largest value of a channel; all ``None`` if it was never read."""
        return self._kept.get(channel_id) or _Range()

    def _write(self, value: Any) -> None:
        self._file.write(json.dumps(value, allow_nan=False, separators=(",", ":")) + "\n")


class _Range:
    """First, last, smallest and largest of the values that were read, and the union of their bits."""

    def __init__(self) -> None:
        self.first: Optional[float] = None
        self.last: Optional[float] = None
        self.low: Optional[float] = None
        self.high: Optional[float] = None
        self.bits = 0

    def add(self, value: Optional[float]) -> None:
        if value is None:
            return
        if self.first is None:
            self.first = self.low = self.high = value
        self.last = value
        self.bits |= int(value)
        self.low = min(self.low, value)  # type: ignore[type-var]
        self.high = max(self.high, value)  # type: ignore[type-var]

    def delta(self) -> Optional[float]:
        """Last less first."""
        return None if self.first is None or self.last is None else self.last - self.first


def summary(sampler: Sampler, cpu_s: float) -> Dict[str, Any]:
    """The exit record's word on the sampler: pace, count, largest gap, its own CPU time."""
    return {
        "period_s": sampler.period_ns / 1e9,
        "n": sampler.n,
        "max_gap_s": sampler.max_gap_ns / 1e9 if sampler.n > 1 else None,
        "cpu_s": cpu_s,
    }
