"""Sensors of labs' own packages: the payload carries their files and a table; what they do is checked, not trusted.

A lab's package names a module with an entry point, see :mod:`tunebench.targets.agent.sensors.discover`. The module is
one as :class:`tunebench.targets.agent.sensors.base.SensorModule` describes it: nothing else is asked of it. Where it
fails, its quantity is missing with the reason, and every other sensor is read as if it were not there.
"""

import math
from importlib import import_module
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from tunebench.targets.agent.sensors.base import Channel, Device, Discovery, Sensor

#: In a payload that carries such sensors; its ``points()`` returns name -> (``module``, name of the package).
TABLE = "tunebench.targets.agent.sensors.lab"
_MAX_REASON = 300
_TEXTS = ("id", "site", "kind", "unit", "source")


class NotASensor(Exception):
    """What a package gave is not what the contract asks for; the message says what."""


def points() -> Dict[str, Tuple[str, str]]:
    """Return name -> (``module`` or ``module:object``, name of the package); empty where the payload carries none."""
    try:
        table = import_module(TABLE)
    except ImportError:
        return {}
    return dict(table.points())


def find(name: str, point: Tuple[str, str], root: str, taken: Iterable[str]) -> Discovery:
    """Ask a package's module for its sensors; it raises nothing, whatever the module does.

    Args:
        name: of the sensor; the quantity that is missing if the module fails.
        point: what :func:`points` says of it.
        root: where the file system starts.
        taken: identifiers of channels that are there already; they cannot be given twice.
    """
    try:
        return _checked(_module(point).discover(root), set(taken))
    except BaseException as error:  # noqa: BLE001 - a package of somebody else's may raise anything, SystemExit too
        return Discovery([], {name: _reason(name, point, error)})


def devices(name: str, point: Tuple[str, str]) -> List[Device]:
    """Return the files that a package's sensor needs; none where the package cannot be imported."""
    try:
        return [device for device in getattr(_module(point), "DEVICES", ()) if isinstance(device, Device)]
    except BaseException:  # noqa: BLE001 - its reason stands under `missing`
        return []


def named(name: str, point: Tuple[str, str]) -> str:
    """Return a sensor's name for people: with its package and its entry point."""
    reference, package = point
    return "sensor %r of package %s (%s)" % (name, package, reference)


def _reason(name: str, point: Tuple[str, str], error: BaseException) -> str:
    said = str(error) if isinstance(error, NotASensor) else "%s: %s" % (type(error).__name__, error)
    return ("%s: %s" % (named(name, point), said))[:_MAX_REASON]


def _module(point: Tuple[str, str]) -> Any:
    module, _, attribute = point[0].partition(":")
    loaded = import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


def _checked(discovery: Any, taken: Set[str]) -> Discovery:
    """Return the sensors, each behind a guard.

    Raises:
        NotASensor: says what is wrong.
    """
    if not isinstance(discovery, Discovery):
        raise NotASensor("discover() returned %s, not Discovery" % type(discovery).__name__)
    sensors: List[Sensor] = []
    for sensor in discovery.sensors:
        if not isinstance(sensor, Sensor):
            raise NotASensor("discover() found %s, not a Sensor" % type(sensor).__name__)
        for channel in sensor.channels:
            _check_channel(channel)
            if channel.id in taken:
                raise NotASensor("there is a channel %r already" % channel.id)
            taken.add(channel.id)
        sensors.append(GuardedSensor(sensor))
    return Discovery(sensors, {str(what): str(why)[:_MAX_REASON] for what, why in discovery.missing.items()})


def _check_channel(channel: Any) -> None:
    if not isinstance(channel, Channel):
        raise NotASensor("a channel is %s, not Channel" % type(channel).__name__)
    texts = [getattr(channel, field) for field in _TEXTS] + [channel.scope or ""]
    numbers = [channel.quantum, channel.rate_hz]
    if not channel.id or not all(isinstance(text, str) for text in texts):
        raise NotASensor("a field of channel %r is no text" % (channel.id,))
    if not all(number is None or _is_number(number) for number in numbers):
        raise NotASensor("quantum or rate_hz of channel %r is no number" % channel.id)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class GuardedSensor(Sensor):
    """A package's sensor: what it reads is one finite number or None for each channel, else there is no value."""

    def __init__(self, sensor: Sensor) -> None:
        super().__init__(sensor.channels, every_s=sensor.every_s)
        self._sensor = sensor

    def read(self) -> List[Optional[float]]:
        self._sensor.reason, self._sensor.refused, self._sensor.asleep = None, False, False
        values: Sequence[Any] = self._sensor.read()
        if len(values) != len(self.channels):
            self.reason = "%d values of %d channels" % (len(values), len(self.channels))
            return [None] * len(self.channels)
        numbers = [value if _is_number(value) else None for value in values]
        reason = self._sensor.reason
        self.reason = None if reason is None else str(reason)[:_MAX_REASON]
        self.refused = bool(self._sensor.refused)
        self.asleep = bool(self._sensor.asleep)
        for value, number in zip(values, numbers):  # noqa: B905 - Python 3.6
            if value is not None and number is None:
                self.reason = ("not a finite number: %r" % (value,))[:_MAX_REASON]
        return numbers

    def close(self) -> None:
        try:
            self._sensor.close()
        except Exception:  # noqa: BLE001, S110 - it has been read; nothing depends on how it ends
            pass
