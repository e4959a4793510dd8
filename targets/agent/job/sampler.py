"""Reads all sensors at a steady pace, into memory; written after the window, or rarely.

The reading is done by another thread (:mod:`tunebench.targets.agent.job.reader`): a source that hangs costs its own
values and nothing else. What cannot be read is null and counted with its reason; no value is ever repeated.
"""

import json
from typing import Any, Dict, List, Optional, Sequence

from tunebench.targets.agent.job.reader import NOT_DUE, ReadEnd, Reader, age_s
from tunebench.targets.agent.protocol import SAMPLES_SCHEMA, monotonic_ns
from tunebench.targets.agent.sensors.base import Channel, Sensor

#: Rows are written (without fsync) when so much time has passed: a long run must not fill the memory.
FLUSH_S = 30.0
#: So long a sample is waited for (the slowest sane chip, an INA3221 with three rails, takes 40 ms); what takes
#: longer is collected with the next sample.
PATIENCE_S = 0.05
#: What hung before is waited for so long only.
_ALONE_PATIENCE_S = 0.01
#: A source that takes longer than so many periods (and than so many seconds) hangs.
STUCK_PERIODS = 3.0
MIN_STUCK_S = 0.3
#: A source that hung so often is not asked again.
MAX_HANGS = 3
_MAX_REASONS = 8


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
        self._first_ns: Optional[int] = None
        self._last_ns: Optional[int] = None
        self._rows: List[List[Optional[float]]] = []
        self._kept = {channel.id: _Range() for channel in self.channels}
        self.counts = {channel.id: Counts() for channel in self.channels}
        self._stuck_s = max(STUCK_PERIODS * period_s, MIN_STUCK_S)
        self._hangs: Dict[Sensor, int] = {}
        self._reader = Reader(self._sensors)
        self._alone: Dict[Sensor, Reader] = {}
        self._pending_ns: Optional[int] = None
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
        self._collect(0.0)
        if self._pending_ns is None:
            self._pending_ns = now_ns
            for sensor, reader in self._alone.items():
                if reader.wait(0.0) and self._hangs[sensor] < MAX_HANGS:
                    reader.ask(now_ns)
            self._reader.ask(now_ns)
            self._collect(PATIENCE_S)
        if now_ns - self._written_ns > FLUSH_S * 1e9:
            self.flush()
        return now_ns + self.period_ns

    def _collect(self, patience_s: float) -> None:
        """Keep the row if it is finished; if a sensor hangs, keep it without that sensor's values."""
        if self._pending_ns is None:
            return
        if not self._reader.wait(patience_s):
            if age_s(self._reader) < self._stuck_s:
                return
            self._part_with(self._reader.hangs_on)
        self._keep(self._pending_ns)
        self._pending_ns = None
        for sensor, reader in self._alone.items():
            if self._hangs[sensor] < MAX_HANGS and age_s(reader) > self._stuck_s:
                self._hung(sensor)
                reader.asked_ns = monotonic_ns()

    def _part_with(self, sensor: Sensor) -> None:
        """Leave a sensor that hangs to the thread that hangs in it, and give the others a new thread."""
        self._hung(sensor)
        self._reader.leave_with(sensor)
        self._alone[sensor], old = self._reader, self._reader
        self._reader = Reader([source for source in self._sensors if source not in self._alone])
        self._reader.outcomes = [old.outcomes[old.sensors.index(source)] for source in self._reader.sensors]
        old.asked_ns = monotonic_ns()

    def _hung(self, sensor: Sensor) -> None:
        self._hangs[sensor] = self._hangs.get(sensor, 0) + 1

    def _keep(self, now_ns: int) -> None:
        outcomes = dict(zip(self._reader.sensors, self._reader.outcomes))  # noqa: B905 - Python 3.6
        row: List[Any] = [now_ns]
        for sensor in self._sensors:
            outcome = self._outcome_alone(sensor) if sensor in self._alone else outcomes.get(sensor)
            if outcome is None:
                outcome = ReadEnd(
                    [None] * len(sensor.channels), "the sample was given up before its turn", False
                )
            for channel, value in zip(sensor.channels, outcome.values):  # noqa: B905 - Python 3.6
                self.counts[channel.id].add(value, outcome)
                row.append(None if value is NOT_DUE else value)
        for channel, value in zip(self.channels, row[1:]):  # noqa: B905 - Python 3.6
            self._kept[channel.id].add(value)
        self._rows.append(row)
        if self._last_ns is not None:
            self.max_gap_ns = max(self.max_gap_ns, now_ns - self._last_ns)
        self._first_ns = now_ns if self._first_ns is None else self._first_ns
        self._last_ns = now_ns
        self.n += 1

    def _outcome_alone(self, sensor: Sensor) -> ReadEnd:
        """Return what a source that hung before gave for this sample; an answer that comes later is not this sample's."""
        reader = self._alone[sensor]
        if reader.asked_ns == self._pending_ns and reader.wait(_ALONE_PATIENCE_S):
            outcome = reader.outcomes[reader.sensors.index(sensor)]
            if outcome is not None:
                return outcome
        reason = "no answer within %.1f s" % self._stuck_s
        if self._hangs[sensor] >= MAX_HANGS:
            reason += ", %d times: given up" % MAX_HANGS
        return ReadEnd([None] * len(sensor.channels), reason, False)

    def flush(self) -> None:
        """Write the rows held in memory."""
        for row in self._rows:
            self._write(row)
        self._rows.clear()
        self._file.flush()
        self._written_ns = monotonic_ns()

    def close(self) -> None:
        """Wait for the last row (not for what hangs), write what is left and close the file."""
        self._collect(self._stuck_s)
        for reader in [self._reader] + list(self._alone.values()):
            reader.stop()
        for sensor in self._sensors:
            if sensor not in self._alone:
                sensor.close()
        self.flush()
        self._file.close()

    @property
    def rate_hz(self) -> Optional[float]:
        """Return the rows per second, from the first row to the last."""
        if self._first_ns is None or self._last_ns is None or self._last_ns == self._first_ns:
            return None
        return (self.n - 1) / ((self._last_ns - self._first_ns) / 1e9)

    def range(self, channel_id: str) -> "_Range":
        """Return first, last, smallest and largest value of a channel; all ``None`` if it was never read."""
        return self._kept.get(channel_id) or _Range()

    def silent(self) -> Dict[str, str]:
        """Return the channels that never gave a value although they were asked, and why."""
        return {
            name: counts.reason or "never read"
            for name, counts in self.counts.items()
            if counts.n == 0 and counts.errors + counts.refused + counts.asleep > 0
        }

    def _write(self, value: Any) -> None:
        self._file.write(json.dumps(value, allow_nan=False, separators=(",", ":")) + "\n")


class Counts:
    """How the reads of a channel ended.

    Attributes:
        n: values.
        errors: reads that gave none.
        asleep: reads of something that is switched off: no errors, and no values.
        refused: reads whose values contradicted one another.
        reasons: how often each reason came, the first few kinds.
    """

    def __init__(self) -> None:
        self.n = self.errors = self.refused = self.asleep = 0
        self.reasons: Dict[str, int] = {}

    def add(self, value: Any, outcome: ReadEnd) -> None:
        if value is NOT_DUE:
            return
        if value is not None:
            self.n += 1
            return
        if outcome.asleep:
            self.asleep += 1
        elif outcome.refused:
            self.refused += 1
        else:
            self.errors += 1
        reason = (outcome.reason or "no value")[:200]
        if reason in self.reasons or len(self.reasons) < _MAX_REASONS:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1

    @property
    def reason(self) -> Optional[str]:
        """Return the most frequent reason."""
        return max(self.reasons, key=lambda reason: self.reasons[reason]) if self.reasons else None


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
        """Return the last value less the first."""
        return None if self.first is None or self.last is None else self.last - self.first


def summary(sampler: Sampler, cpu_s: float) -> Dict[str, Any]:
    """Return the exit record's entry on the sampler: pace, count, largest gap, its CPU time, each channel's counts."""
    return {
        "period_s": sampler.period_ns / 1e9,
        "rate_hz": sampler.rate_hz,
        "n": sampler.n,
        "max_gap_s": sampler.max_gap_ns / 1e9 if sampler.n > 1 else None,
        "cpu_s": cpu_s,
        "channels": {
            name: {
                "n": counts.n,
                "errors": counts.errors,
                "refused": counts.refused,
                "reasons": counts.reasons,
            }
            for name, counts in sampler.counts.items()
        },
    }
