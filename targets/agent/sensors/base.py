"""What every sensor looks like; a new one's line stands in :mod:`tunebench.targets.agent.sensors.discover`."""

from typing import TYPE_CHECKING, Callable, Dict, List, NamedTuple, Optional, Sequence

from tunebench.targets.agent.linux.sysfs import NO_ANSWER, File

#: A first read that takes longer belongs to a driver that hangs.
FIRST_READ_S = 1.0


class Channel(NamedTuple):
    """One telemetry series.

    Attributes:
        id: unique on the board, with the unit at its end (``cpu_temp_c``, ``vdd_in_w``).
        site: where it is measured (``cpu``, ``VDD_IN``).
        kind: temperature, frequency, load, memory, power, throttle.
        unit: C, Hz, B, W, 1, bits.
        scope: of a power: ``board_input``, ``module``, ``rails_sum``, ``soc_rail``; else ``None``.
        source: driver and file that it is read from.
        quantum: smallest step of the sensor in the unit, where it is known.
        rate_hz: how often the source can sensibly be read, where it is known.
    """

    id: str
    site: str
    kind: str
    unit: str
    scope: Optional[str]
    source: str
    quantum: Optional[float]
    rate_hz: Optional[float] = None


class Sensor:
    """Some channels that are read together; a failed read is ``None``, never the value before it.

    A subclass overrides :meth:`read`; a bound method handed to ``__init__`` would tie the object to itself, and
    its descriptors would live until the garbage is collected.

    Attributes:
        every_s: it is read no more often than that (what changes slowly, or costs much); 0: every time.
        reason: why the last read lacks a value.
        refused: the last read gave values, but they contradict one another.
        asleep: the last read gave nothing because what is measured is switched off: no fault of the sensor.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        read: Optional[Callable[[], List[Optional[float]]]] = None,
        every_s: float = 0.0,
    ) -> None:
        self.channels = list(channels)
        self.every_s = every_s
        self.reason: Optional[str] = None
        self.refused = False
        self.asleep = False
        self._read = read

    def read(self) -> List[Optional[float]]:
        """Return one value for each channel."""
        return [None] * len(self.channels) if self._read is None else self._read()

    def close(self) -> None:
        """Release what the sensor holds (a child process); it is not read again."""


class Discovery(NamedTuple):
    """What a module found, and why the rest is missing (quantity -> reason)."""

    sensors: List[Sensor]
    missing: Dict[str, str]


class Device(NamedTuple):
    """A file that a sensor needs and an account may lack: the doctor says what would open it.

    Attributes:
        pattern: below the root.
        what: that it gives.
        group: that it belongs to by custom.
        udev: the rule that gives it to that group.
        write: it must be writable too.
    """

    pattern: str
    what: str
    group: Optional[str]
    udev: str
    write: bool


if TYPE_CHECKING:
    from typing import Protocol  # novm

    class SensorModule(Protocol):
        """What a module of this package has; ``DEVICES`` may be left out."""

        DEVICES: Sequence[Device]

        def discover(self, root: str = "/") -> Discovery:
            """Return the sensors that are there, each read once, and why others are missing; raise nothing.

            Args:
                root: where the file system starts, so that a simulated tree can stand in for a board.
            """


class FileSensor(Sensor):
    """One channel that is one file."""

    def __init__(
        self,
        channel: Channel,
        file: File,
        scale: float = 1.0,
        *,
        base: int = 10,
        every_s: float = 0.0,
        may_sleep: bool = False,
    ) -> None:
        super().__init__([channel], every_s=every_s)
        self._file, self._scale, self._base, self._may_sleep = file, scale, base, may_sleep

    def read(self) -> List[Optional[float]]:
        value = self._file.number(self._scale, self._base)
        self.reason = self._file.error
        self.asleep = self._may_sleep and self._file.error in NO_ANSWER
        return [value]
