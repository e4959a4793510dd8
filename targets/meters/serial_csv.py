"""A microcontroller on a serial port that prints ``t_us,mV,mA[,gpio]``, one line a sample.

Any board with a current sensor can do that (INA226 + RP2040 or ESP32). ``t_us`` is the device's own microsecond
counter; 32-bit ones wrap after 71.6 minutes. Its times are laid over the host's by when the lines arrive
(:mod:`tunebench.targets.meters.arrival`). Lines carry no checksum, so what does not fit its neighbours is dropped.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import Field

from tunebench.targets.meters.arrival import to_host
from tunebench.targets.meters.base import Errors, Meter, MeterError, MeterInfo, MeterTrace
from tunebench.targets.meters.keys import MeterKeys

_LINE = re.compile(
    rb"\s*(\d{1,19})\s*,\s*(-?\d{1,6}(?:\.\d{1,6})?)\s*,\s*(-?\d{1,6}(?:\.\d{1,6})?)\s*(?:,\s*(\d))?\s*\Z"
)
_MAX_LINE_B = 200
_WRAP_US = 1 << 32
#: The device's clock and ours may differ by this share, and lines may be held back for this long.
_CLOCK_SHARE = 0.05
_HELD_BACK_S = 1.0
#: Opening waits so long for a line that can be read.
FIRST_LINE_S = 3.0
_REOPEN_S = 0.5
_STOP_S = 3.0
#: A current below zero by more than noise says that the sensor is the wrong way round.
_REVERSED_MA = -20.0


@dataclass(frozen=True)
class Sample:
    """One line: microseconds of the device, when it arrived, watts, level of the pin."""

    t_us: int
    arrived_s: float
    power_w: float
    gpio: int | None


def parse_line(line: bytes, arrived_s: float) -> Sample | str:
    """Return a line as a sample, or what is wrong with it."""
    match = _LINE.match(line)
    if match is None:
        return f"not a line t_us,mV,mA[,gpio]: {line[:40]!r}"
    millivolts, milliamperes = float(match[2]), float(match[3])
    if millivolts < 0 or milliamperes < _REVERSED_MA:
        return f"negative voltage or current: the sensor is the wrong way round: {line[:40]!r}"
    gpio = None if match[4] is None else int(match[4])
    return Sample(int(match[1]), arrived_s, millivolts * milliamperes * 1e-6, gpio)


class Unwrapper:
    """Device times that never fall: wraps are added, restarts begin a new segment, torn digits are refused."""

    def __init__(self) -> None:
        self.segments: list[list[tuple[float, Sample]]] = []
        self._added_us = 0
        self._held: Sample | None = None

    def add(self, sample: Sample) -> str | None:
        """Add a sample; return why it was refused or that the device restarted, or ``None``."""
        last = self.segments[-1][-1] if self.segments else None
        if last is None:
            self.segments.append([(sample.t_us / 1e6, sample)])
            return None
        for added_us in (self._added_us, self._added_us + _WRAP_US):
            own_s = (sample.t_us + added_us) / 1e6
            if _plausible(own_s - last[0], sample.arrived_s - last[1].arrived_s):
                self._added_us, self._held = added_us, None
                self.segments[-1].append((own_s, sample))
                return None
        return self._restart(sample)

    def _restart(self, sample: Sample) -> str | None:
        """Begin anew after two lines that fit each other but not what was before: the device restarted."""
        held, self._held = self._held, sample
        step_s = 0.0 if held is None else (sample.t_us - held.t_us) / 1e6
        if held is None or not _plausible(step_s, sample.arrived_s - held.arrived_s):
            return f"its time {sample.t_us} us does not follow the line before"
        self.segments.append([(held.t_us / 1e6, held), (sample.t_us / 1e6, sample)])
        self._added_us, self._held = 0, None
        return "the device's clock began anew: it restarted"


def _plausible(own_s: float, host_s: float) -> bool:
    return own_s > 0 and abs(own_s - host_s) <= _HELD_BACK_S + _CLOCK_SHARE * host_s


class Keys(MeterKeys):
    """A microcontroller that prints ``t_us,mV,mA[,gpio]``."""

    kind: Literal["serial-csv"]
    port: str = Field(min_length=1, description="e.g. /dev/serial/by-id/usb-...")
    baud: int = Field(default=115200, gt=0)
    quantum_w: float | None = Field(default=None, gt=0)
    latency_s: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="at most so long from a sample to the host, beyond the wire's time",
    )

    @property
    def exclusive_name(self) -> str:
        """Return the port itself, by whichever link it is named."""
        return f"{self.kind} {Path(self.port).resolve()}"


def make(keys: Keys) -> SerialCsvMeter:
    """Return the meter that the keys describe."""
    return SerialCsvMeter(keys)


@dataclass
class _Run:
    """What one start..stop has gathered."""

    unwrapper: Unwrapper = field(default_factory=Unwrapper)
    errors: Errors = field(default_factory=Errors)
    gaps_s: list[float] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


class SerialCsvMeter(Meter):
    """One microcontroller on a serial port; the module's text says what it prints."""

    def __init__(self, keys: Keys) -> None:
        self._port = keys.port
        self._scope = keys.scope
        self._baud = keys.baud
        self._latency_s = keys.latency_s
        self._quantum_w = keys.quantum_w
        self._rate_hz: float | None = None
        self._descriptor = -1
        self._run: _Run | None = None
        self._thread: threading.Thread | None = None

    @property
    def info(self) -> MeterInfo:
        """Return what the meter is; its rate is the one that was measured when it was opened."""
        return MeterInfo(
            id=f"{self._baud} baud",
            kind="serial-csv",
            scope=self._scope,
            source="serial t_us,mV,mA",
            quantum_w=self._quantum_w,
            rate_hz=self._rate_hz,
            clock="host",
        )

    def open(self) -> None:
        """Open the port and wait for lines that can be read.

        Raises:
            MeterError: no such port, not a serial one, an impossible baud rate, or no line in time.
        """
        self._connect()
        samples: list[Sample] = []
        seen = b""
        give_up_s = time.monotonic() + FIRST_LINE_S
        lines = self._lines(lambda: time.monotonic() < give_up_s and len(samples) < 12)
        try:
            for line, arrived_s in lines:
                seen = line
                sample = parse_line(line, arrived_s)
                if isinstance(sample, Sample):
                    samples.append(sample)
        except OSError as error:
            raise MeterError(f"{self._named}: {error.strerror}") from None
        steps_us = sorted(b.t_us - a.t_us for a, b in pairwise(samples))
        if not steps_us or steps_us[len(steps_us) // 2] <= 0:
            said = f"the last line was {seen[:60]!r}" if seen else "nothing came"
            raise MeterError(
                f"{self._named}: no lines t_us,mV,mA within {FIRST_LINE_S:g} s at {self._baud} baud; {said}"
            )
        self._rate_hz = round(1e6 / steps_us[len(steps_us) // 2], 3)

    def start(self) -> None:
        """Keep lines from now on; what lies in the port's buffer is thrown away."""
        if self._thread is not None and self._thread.is_alive():
            raise MeterError(f"{self._named}: the last reading has not ended")
        if self._descriptor >= 0:
            try:
                termios.tcflush(self._descriptor, termios.TCIFLUSH)
            except (OSError, termios.error):
                pass  # unplugged: the thread says so and waits for it
        self._run = _Run()
        self._thread = threading.Thread(
            target=self._read, args=(self._run,), name="meter-serial", daemon=True
        )
        self._thread.start()

    def stop(self) -> MeterTrace:
        """Return the samples since ``start``, on the host's clock."""
        run, self._run = self._run, None
        if run is None or self._thread is None:
            raise MeterError(f"{self._named}: stop() without start()")
        run.stop.set()
        self._thread.join(_STOP_S)
        return self._trace(run)

    def close(self) -> None:
        """End the thread and close the port."""
        if self._run is not None:
            self._run.stop.set()
            self._run = None
        if self._thread is not None:
            self._thread.join(_STOP_S)
        self._disconnect()

    # -- inside -----------------------------------------------------------------------------------

    @property
    def _named(self) -> str:
        return f"serial-csv meter {self._port}"

    def _trace(self, run: _Run) -> MeterTrace:
        line_s = 10 * 24 / self._baud  # a line of some 24 characters on the wire
        rows: list[tuple[float, float | None, int | None]] = [(gap_s, None, None) for gap_s in run.gaps_s]
        bound_s = 0.0
        for segment in run.unwrapper.segments:
            own_s = [own for own, _ in segment]
            arrived_s = [sample.arrived_s for _, sample in segment]
            host_s, segment_bound_s = to_host(own_s, arrived_s, self._latency_s + line_s)
            bound_s = max(bound_s, segment_bound_s)
            rows += [(t, sample.power_w, sample.gpio) for t, (_, sample) in zip(host_s, segment, strict=True)]
        rows.sort(key=lambda row: row[0])
        gpio = [row[2] for row in rows]
        return MeterTrace(
            self.info,
            [row[0] for row in rows],
            [row[1] for row in rows],
            None,
            run.errors.list(),
            bound_s,
            gpio if any(level is not None for level in gpio) else None,
        )

    def _read(self, run: _Run) -> None:
        """Turn lines into samples, in a thread; an unplugged device is waited for."""
        while not run.stop.is_set():
            try:
                if self._descriptor < 0:
                    self._connect()
                for line, arrived_s in self._lines(lambda: not run.stop.is_set()):
                    sample = parse_line(line, arrived_s)
                    problem = run.unwrapper.add(sample) if isinstance(sample, Sample) else sample
                    if problem is not None:
                        run.errors.add(problem)
                        run.gaps_s.append(arrived_s)
            except (OSError, MeterError) as error:
                run.errors.add(f"unplugged: {error}")
                run.gaps_s.append(time.monotonic())
                self._disconnect()
                run.stop.wait(_REOPEN_S)

    def _lines(self, go_on: Callable[[], bool]) -> Iterator[tuple[bytes, float]]:
        """Yield whole lines and when they came; the first is dropped, since it may be torn.

        Raises:
            OSError: the device is gone.
        """
        buffer, torn = b"", True
        while go_on():
            if not select.select([self._descriptor], [], [], 0.2)[0]:
                continue
            data = os.read(self._descriptor, 4096)
            arrived_s = time.monotonic()
            if not data:
                raise OSError(0, "the port was closed")
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                if not torn and line.strip():
                    yield line, arrived_s
                torn = False
            if len(buffer) > _MAX_LINE_B:
                yield buffer, arrived_s
                buffer, torn = b"", True

    def _connect(self) -> None:
        speed = getattr(termios, f"B{self._baud}", None)
        if speed is None:
            raise MeterError(
                f"{self._named}: key 'baud' is {self._baud}, which is no baud rate of a serial port"
            )
        try:
            descriptor = os.open(self._port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise MeterError(f"{self._named}: {error.strerror}") from None
        try:
            _raw(descriptor, speed)
        except (OSError, termios.error):
            os.close(descriptor)
            raise MeterError(f"{self._named}: not a serial port") from None
        self._descriptor = descriptor

    def _disconnect(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _raw(descriptor: int, speed: int) -> None:
    """Set the port: 8N1, no echo, no translation, no flow control; nobody else opens it meanwhile."""
    mode = termios.tcgetattr(descriptor)
    mode[0] = mode[1] = mode[3] = 0
    mode[2] = termios.CS8 | termios.CREAD | termios.CLOCAL
    mode[4] = mode[5] = speed
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 0, 0
    termios.tcsetattr(descriptor, termios.TCSANOW, mode)
    termios.tcflush(descriptor, termios.TCIFLUSH)
    fcntl.ioctl(descriptor, termios.TIOCEXCL)
