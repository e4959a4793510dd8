"""NVIDIA's tegrastats, where a Jetson's rails cannot be read directly: our own child, our own timestamps.

Its averages are since its start and its clock has a resolution of 1 s: neither is used. A line counts once; no new
line is no value. See :mod:`tunebench.targets.agent.formats.tegrastats`.
"""

import os
import threading
from typing import Any, Dict, List, Optional

from tunebench.targets.agent import formats
from tunebench.targets.agent.formats.reading import Reading
from tunebench.targets.agent.linux import programs
from tunebench.targets.agent.linux.sysfs import bounded
from tunebench.targets.agent.sensors.base import Channel, Discovery, Sensor

#: Twice as fast as the default sampling, so that there is a new line for each sample.
INTERVAL_MS = 100
_ARGV = ["tegrastats", "--interval", str(INTERVAL_MS)]
#: The first line comes after one interval; a loaded board takes its time to start the program.
_FIRST_LINE_S = 3.0


def discover(root: str = "/") -> Discovery:
    """Look for ``<rail>_w`` as tegrastats prints them; only for a Jetson (``/etc/nv_tegra_release``)."""
    if not os.path.exists(os.path.join(root, "etc/nv_tegra_release")):
        return Discovery([], {})
    with programs.stream(root, _ARGV, INTERVAL_MS / 1e3) as stream:
        if stream.reason is not None:
            return Discovery([], {"power": "tegrastats: " + stream.reason})
        line = bounded(lambda: next(stream.lines(), ""), _FIRST_LINE_S, "")
    reading = formats.read("tegrastats", line)
    if not _powers(reading):
        return Discovery([], {"power": "tegrastats: " + str(reading.reason)})
    return Discovery([Tegrastats(root, reading)], {})


def _powers(reading: Reading) -> Dict[str, Any]:
    return {channel["site"]: channel for channel in reading.channels if channel["kind"] == "power"}


class Tegrastats(Sensor):
    """Rails, the total first; the child is started by the first read and ended by ``close``."""

    def __init__(self, root: str, first: Reading) -> None:
        self._root = root
        self._stream: Optional[programs.Stream] = None
        self._line: Optional[str] = None
        powers = _powers(first)
        parts = first.details.get("total_of") or []
        self._sites = sorted(powers, key=lambda site: site not in parts)
        rate_hz = 1e3 / INTERVAL_MS
        channels = [
            Channel(
                site.lower() + "_w",
                site,
                "power",
                "W",
                powers[site]["scope"] if parts else None,
                "tegrastats %s" % site,
                None,
                rate_hz,
            )
            for site in self._sites
        ]
        self._has_sum = first.total_scope == "rails_sum"
        if self._has_sum:
            names = "+".join(parts)
            source = "tegrastats: sum of " + names
            channels.insert(
                0, Channel("rails_sum_w", names, "power", "W", "rails_sum", source, None, rate_hz)
            )
        super().__init__(channels)

    def read(self) -> List[Optional[float]]:
        if self._stream is None:
            self._stream = programs.stream(self._root, _ARGV, INTERVAL_MS / 1e3)
            threading.Thread(target=self._listen, args=(self._stream,), daemon=True).start()
        line, self._line = self._line, None
        if line is None:
            self.reason = "no new line of tegrastats since the last sample"
            return [None] * len(self.channels)
        reading = formats.read("tegrastats", line)
        if reading.total_w is None:
            self.reason, self.refused = reading.reason, "above the total" in (reading.reason or "")
            if self.refused:
                return [None] * len(self.channels)
        powers = {site: channel["value"] for site, channel in _powers(reading).items()}
        return ([reading.total_w] if self._has_sum else []) + [powers.get(site) for site in self._sites]

    def _listen(self, stream: programs.Stream) -> None:
        for line in stream.lines():
            self._line = line

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
