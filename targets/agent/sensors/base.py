"""What every sensor looks like.

A sensor module has ``discover(root="/") -> Found``; ``root`` is where the file system starts, so that a
simulated tree can stand in for a board. What is not there is said in ``missing``, with what was looked for.
"""

import glob
import os
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence


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
    """Some channels that are read together; a failed read is ``None``, never the value before it."""

    def __init__(self, channels: Sequence[Channel], read: Callable[[], List[Optional[float]]]) -> None:
        self.channels = list(channels)
        self._read = read

    def read(self) -> List[Optional[float]]:
        """One value a channel."""
        return self._read()


class Found(NamedTuple):
    """What a module found, and why the rest is missing (quantity -> reason)."""

    sensors: List[Sensor]
    missing: Dict[str, str]


class File:
    """A small kernel file that is read again and again; its descriptor stays open where that works."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1

    def text(self) -> Optional[str]:
        """The content, or ``None`` if it cannot be read now."""
        for _ in range(2):
            try:
                if self._descriptor < 0:
                    self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                return os.pread(self._descriptor, 8192, 0).decode("ascii", "replace")
            except OSError:
                # A hot-unplugged CPU or a rebound driver leaves a dead descriptor: open once more.
                self.close()
        return None

    def number(self, scale: float = 1.0, base: int = 10) -> Optional[float]:
        """The content as a number times ``scale``, or ``None``."""
        text = self.text()
        try:
            return None if text is None else int(text, base) * scale
        except ValueError:
            return None

    def close(self) -> None:
        """Close the descriptor; the next read opens it anew."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self.close()


def find(root: str, pattern: str) -> List[str]:
    """Paths below ``root`` that match, sorted so that ``zone10`` comes after ``zone9``."""
    paths = glob.glob(os.path.join(root, pattern))
    return sorted(paths, key=lambda path: (len(path), path))


def text_of(path: str) -> Optional[str]:
    """The stripped content of a file, or ``None``."""
    file = File(path)
    text = file.text()
    file.close()
    return None if text is None else text.strip("\0 \n\t")
