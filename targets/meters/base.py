"""What every external meter looks like to the harness.

A meter is opened once, started before a repetition and stopped after it::

    with open_meter({"kind": "hwmon", "scope": "dc_input", "chip": "ina226"}) as meter:
        meter.start()
        ...                      # the repetition
        trace = meter.stop()     # never raises for what the meter did meanwhile: that stands in trace.errors

A failed reading is a gap (``None``), never the value before it. Times are host ``time.monotonic()`` seconds
where ``info.clock`` is ``host``; else the meter's own, to be aligned (:mod:`tunebench.targets.meters.alignment`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Literal, Self, get_args

from tunebench.targets.errors import TargetError
from tunebench.targets.meters.keys import Scope

#: From the wall socket down to one rail.
SCOPES: tuple[Scope, ...] = get_args(Scope)
#: More errors than this are counted, not kept.
MAX_ERRORS = 50


class MeterError(TargetError):
    """The meter cannot be used; says which one, what is wrong and what would be right."""


@dataclass(frozen=True)
class MeterInfo:
    """What a meter is.

    Attributes:
        id: which device and channel it is, for the record: never a host, a port or a serial number.
        kind: as in the inventory.
        scope: what its power covers, one of :data:`SCOPES`.
        source: driver, chip and channel that are read.
        quantum_w: smallest step of its power, where it is known.
        rate_hz: how often it is read, or gives values.
        clock: whose clock the times of a trace are on.
    """

    id: str
    kind: str
    scope: str
    source: str
    quantum_w: float | None
    rate_hz: float | None
    clock: Literal["host", "own"]


@dataclass(frozen=True)
class MeterTrace:
    """What a meter saw between ``start`` and ``stop``.

    Attributes:
        t_s: time of each reading, increasing; see :attr:`MeterInfo.clock`.
        power_w: None where a reading failed.
        energy_j: the meter's own cumulative counter at each reading, where it has one.
        errors: what went wrong, at most :data:`MAX_ERRORS` sentences and one with the count of the rest.
        t_bound_s: the truth lies within this of each ``t_s`` (half of the slowest read, or the fit's residual).
        gpio: level of an input pin at each reading, where the meter has one.
    """

    info: MeterInfo
    t_s: list[float]
    power_w: list[float | None]
    energy_j: list[float | None] | None = None
    errors: list[str] = field(default_factory=list)
    t_bound_s: float = 0.0
    gpio: list[int | None] | None = None

    @property
    def n(self) -> int:
        """Return how many readings succeeded."""
        return sum(value is not None for value in self.power_w)

    @property
    def rate_hz(self) -> float | None:
        """Return the measured rate of successful readings per second; None below two."""
        good = self._good_s()
        return (len(good) - 1) / (good[-1] - good[0]) if len(good) > 1 and good[-1] > good[0] else None

    @property
    def max_gap_s(self) -> float | None:
        """Return the longest time from one successful reading to the next; None below two."""
        good = self._good_s()
        return max(b - a for a, b in pairwise(good)) if len(good) > 1 else None

    def _good_s(self) -> list[float]:
        return [t for t, value in zip(self.t_s, self.power_w, strict=True) if value is not None]


class Errors:
    """Sentences, the first of them kept and the rest counted."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._more = 0

    def add(self, message: str) -> None:
        """Keep a sentence, or only count it once enough are kept."""
        if len(self._kept) < MAX_ERRORS:
            self._kept.append(message)
        else:
            self._more += 1

    def __len__(self) -> int:
        return len(self._kept) + self._more

    def list(self) -> list[str]:
        """Return the sentences that were kept, then how many more there were."""
        return self._kept + ([f"and {self._more} more"] if self._more else [])


class Meter(ABC):
    """One external meter. Used from one thread; reads in its own between ``start`` and ``stop``."""

    def __enter__(self) -> Self:
        return self  # open_meter() has opened it

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    @abstractmethod
    def info(self) -> MeterInfo:
        """Return what the meter is; complete once it is open."""

    @abstractmethod
    def open(self) -> None:
        """Find the meter and check it.

        Raises:
            MeterError: it is not there, or not as the inventory says.
        """

    @abstractmethod
    def start(self) -> None:
        """Begin to keep readings."""

    @abstractmethod
    def stop(self) -> MeterTrace:
        """Stop reading, and return what was read since ``start``; bounded in time."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the device; closing twice is harmless."""

    def power_cycle(self, off_s: float = 5.0) -> None:
        """Cut the board's power and give it back, verified.

        Raises:
            MeterError: this kind of meter has no switch, or the switch did not obey.
        """
        raise MeterError(f"a {self.info.kind} meter cannot switch power; a shelly can")
