"""Which cooling devices take speed from a board, and at which temperatures they begin to.

The kernel binds cooling devices to trip points: ``cdev<N>`` of a zone is a link to the device, ``cdev<N>_trip_point`` the
number of the trip point. A passive trip point is one of throttling only if something that slows the board is
bound to it: an Orin has one of 70 C, of passive type, to which nothing is bound but ``hot-surface-alert``, a warning to
people. Under the power allocator the first passive trip point only switches the governor on; nothing is bound to it, and
the governor may slow from there on.

Sources: Documentation/driver-api/thermal/sysfs-api.rst (2, sysfs attributes), .../power_allocator.rst;
Documentation/ABI/testing/sysfs-class-thermal.
"""

import os
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from tunebench.targets.agent.linux.sysfs import find, text_of

#: Devices that take no speed away: fans and pumps, radios, displays, lamps, chargers, an offset of the sensor.
_HARMLESS = re.compile(
    r"fan|pump|tcc|powerclamp|wifi|wlan|iwl|phy\d|modem|lcd|backlight|display|mwifiex|ath\d|charg|batter|(?:^|[-_:])leds?\b",
    re.IGNORECASE,
)
#: They tell somebody something. NVIDIA's ``cpu-throttle-alert`` tells that the chip is being throttled: that one counts.
_NOTICE = re.compile(r"alert|warn|notif|notice", re.IGNORECASE)
_THROTTLE = re.compile(r"thrott", re.IGNORECASE)
_POWER_ALLOCATOR = "power_allocator"


class TripPoint(NamedTuple):
    """A temperature of a zone at which the kernel does something.

    Attributes:
        zone: the zone's type.
        raw: as the kernel gives it.
        bound: types of the devices that are bound to it; ``None`` where this board shows no bindings at all.
        policy: the zone's governor.
    """

    zone: str
    kind: str
    raw: int
    bound: Optional[Tuple[str, ...]]
    policy: str

    def slows(self) -> bool:
        """Tell whether the board may be slowed from this temperature on; where no bindings are shown, it may be."""
        if self.bound is None:
            return True
        if not self.bound:
            return self.policy == _POWER_ALLOCATOR
        return any(slows(kind) for kind in self.bound)

    def only_tells(self) -> bool:
        """Tell whether nothing is bound to it but warnings to people."""
        return bool(self.bound) and all(tells(kind) for kind in self.bound or ())


def slows(kind: str) -> bool:
    """Tell whether a cooling device of this type takes speed from the board.

    >>> slows("cpufreq-cpu0"), slows("gpu-throttle-alert"), slows("hot-surface-alert"), slows("pwm-fan")
    (True, True, False, False)
    """
    return not _HARMLESS.search(kind) and not tells(kind)


def tells(kind: str) -> bool:
    """Tell whether a cooling device of this type only warns somebody."""
    return bool(_NOTICE.search(kind)) and not _THROTTLE.search(kind)


def states(root: str = "/") -> List[Tuple[str, str]]:
    """Return (type, path of ``cur_state``) of every cooling device that slows the board."""
    devices = []
    for path in find(root, "sys/class/thermal/cooling_device*/cur_state"):
        kind = text_of(os.path.join(os.path.dirname(path), "type")) or "unknown"
        if slows(kind):
            devices.append((kind, path))
    return devices


def trip_points(root: str = "/") -> List[TripPoint]:
    """Return all trip points of all zones; those whose temperature cannot be read are left out."""
    bindings = {zone: _bindings(zone) for zone in find(root, "sys/class/thermal/thermal_zone*")}
    any_shown = any(bindings.values())
    trips = []
    for zone, bound in bindings.items():
        kind, policy = text_of(os.path.join(zone, "type")) or "", text_of(os.path.join(zone, "policy")) or ""
        for path in find(zone, "trip_point_*_temp"):
            number = os.path.basename(path)[len("trip_point_") : -len("_temp")]
            try:
                raw = int(text_of(path) or "")
            except ValueError:
                continue
            its_kind = text_of(path[: -len("temp")] + "type") or ""
            trips.append(
                TripPoint(kind, its_kind, raw, tuple(bound.get(number, ())) if any_shown else None, policy)
            )
    return trips


def _bindings(zone: str) -> Dict[str, List[str]]:
    """Return number of a trip point -> types of the devices bound to it; one without a readable type is ``unknown``."""
    bound: Dict[str, List[str]] = {}
    for path in find(zone, "cdev*_trip_point"):
        device = path[: -len("_trip_point")]
        number = text_of(path)
        if number is not None:
            bound.setdefault(number, []).append(text_of(os.path.join(device, "type")) or "unknown")
    return bound
