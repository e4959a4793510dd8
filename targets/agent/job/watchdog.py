"""Ends a workload before the board is harmed: looks at every temperature that is sampled.

The limit is the job's ``watchdog.max_temp_c``; without one, 5 C under the lowest critical or hot trip point
that the board declares (Documentation/driver-api/thermal/sysfs-api.rst); without any, 95 C, which is within
what a Raspberry Pi's and a Jetson's chip is specified for. ``watchdog: {"off": reason}`` turns it off.
"""

from typing import Any, Dict, List, Optional

from tunebench.targets.agent.job.sampler import Sampler
from tunebench.targets.agent.linux import cooling
from tunebench.targets.agent.sensors import thermal

DEFAULT_C = 95.0
MARGIN_C = 5.0
#: A trip point outside says something else (a board's skin, a value that nobody set).
_SANE_C = (60.0, 130.0)
#: One reading can be wrong; so many in a row are not.
_IN_A_ROW = 2


class Watchdog:
    """Watches the temperatures of one repetition.

    Args:
        wanted: the job's ``watchdog``: ``max_temp_c``, or ``off`` with the reason.
        sampler: which temperatures there are, and their last values.
        root: where the board's files begin.
    """

    def __init__(self, wanted: Dict[str, Any], sampler: Sampler, root: str = "/") -> None:
        self._sampler = sampler
        self._channels = [channel.id for channel in sampler.channels if channel.kind == "temperature"]
        self._above: Dict[str, int] = {}
        self._reads = dict.fromkeys(self._channels, 0)
        self.tripped_c: Optional[float] = None
        self.reason: Optional[str] = None
        self.limit_c, self.source = limit(wanted, root)
        passive = trip_points(root, ("passive",))
        self._passive_c = min(passive) if passive else None
        if wanted.get("off"):
            self._channels, self.reason = [], "off: %s" % wanted["off"]
        elif not self._channels:
            self.reason = "no temperature is readable"

    def look(self) -> Optional[str]:
        """Return why the workload must end now, or ``None``; call it after each sample."""
        for name in self._channels:
            if not self._is_new(name):
                continue  # a slow source was not due, or has not answered yet
            value = self._sampler.range(name).last
            if value is None or value <= self.limit_c:
                self._above[name] = 0
                continue
            self._above[name] = self._above.get(name, 0) + 1
            if self._above[name] >= _IN_A_ROW and self.tripped_c is None:
                self.tripped_c = value
                return "too hot: %s is %.1f C, the watchdog ends workloads above %.1f C (%s)" % (
                    name,
                    value,
                    self.limit_c,
                    self.source,
                )
        return None

    def _is_new(self, name: str) -> bool:
        """Tell whether the channel was read since the last look; a read that failed leaves the value before it."""
        counts = self._sampler.counts[name]
        reads = counts.n + counts.errors + counts.refused
        before, self._reads[name] = self._reads[name], reads
        return reads > before

    def entry(self) -> Dict[str, Any]:
        """Return the watchdog's entry in the exit record; ``reason`` says why it watches nothing.

        ``passive_trip_c`` is where the kernel begins to throttle, if the board says so: the lowest passive trip point to
        which a device that slows the board is bound.
        """
        return {
            "limit_c": self.limit_c,
            "source": self.source,
            "channels": self._channels,
            "tripped_c": self.tripped_c,
            "passive_trip_c": self._passive_c,
            "reason": self.reason,
        }


def limit(wanted: Dict[str, Any], root: str = "/") -> "tuple[float, str]":
    """Return the limit and where it comes from."""
    asked = wanted.get("max_temp_c")
    if isinstance(asked, (int, float)) and not isinstance(asked, bool):
        return float(asked), "max_temp_c"
    trips = trip_points(root, ("critical", "hot"))
    if trips:
        return min(trips) - MARGIN_C, "%g C under a trip point" % MARGIN_C
    return DEFAULT_C, "default"


def trip_points(root: str, kinds: "tuple[str, ...]") -> List[float]:
    """Return temperatures (C) of the trip points of some kinds, of all zones; those out of reason are left out.

    A passive one counts if a device that slows the board is bound to it, a hot one unless it only warns people.
    """
    temperatures_c = []
    for trip in cooling.trip_points(root):
        counts = trip.slows() if trip.kind == "passive" else trip.kind == "critical" or not trip.only_tells()
        celsius = thermal.degrees(trip.raw)[0]
        if trip.kind not in kinds or not counts or celsius is None or "pmic" in trip.zone.lower():
            continue
        if _SANE_C[0] <= celsius <= _SANE_C[1]:
            temperatures_c.append(celsius)
    return temperatures_c
