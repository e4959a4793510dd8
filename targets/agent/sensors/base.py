"""What every sensor looks like.

A sensor module has ``discover(root="/") -> Found``; ``root`` is where the file system starts, so that a
simulated tree can stand in for a board. What is not there is said in ``missing``, with what was looked for.
"""

import errno
import glob
import os
import threading
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

#: A first read that takes longer belongs to a driver that hangs.
FIRST_READ_S = 1.0
_WORDS = {
    errno.EAGAIN: "no answer: the read would block",
    errno.ESPIPE: "no answer: the read would block",
    errno.ETIMEDOUT: "the driver timed out (ETIMEDOUT)",
    errno.EIO: "the driver could not read its chip (EIO)",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOENT: "no such file",
}
#: A descriptor that a rebound driver or an unplugged CPU has left dead.
_DEAD = (errno.ENODEV, errno.ENXIO, errno.EBADF, errno.ENOENT, errno.ESTALE)


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
        self._read = read

    def read(self) -> List[Optional[float]]:
        """One value a channel."""
        return [None] * len(self.channels) if self._read is None else self._read()

    def close(self) -> None:
        """Give back what it holds (a child process); it is not read again."""


class Found(NamedTuple):
    """What a module found, and why the rest is missing (quantity -> reason)."""

    sensors: List[Sensor]
    missing: Dict[str, str]


class File:
    """A small kernel file that is read again and again; its descriptor stays open where that works.

    Attributes:
        error: why the last read gave nothing.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.error: Optional[str] = None
        self._descriptor = -1
        self._owner = 0

    def text(self) -> Optional[str]:
        """The content, or ``None`` if it cannot be read now."""
        was_open = self._descriptor >= 0
        for again in (was_open, False):
            try:
                if self._descriptor < 0:
                    # Without O_NONBLOCK a FIFO in a simulated tree would wait for ever; sysfs ignores it.
                    self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                    self._owner = os.getpid()
                text = os.pread(self._descriptor, 8192, 0).decode("ascii", "replace")
            except OSError as error:
                self.close()
                self.error = _WORDS.get(error.errno or 0, os.strerror(error.errno or 0))
                # A driver that gives up after its time would only be waited for twice.
                if not (again and error.errno in _DEAD):
                    return None
            else:
                self.error = None
                return text
        return None

    def number(self, scale: float = 1.0, base: int = 10) -> Optional[float]:
        """The content as a number times ``scale``, or ``None``."""
        text = self.text()
        if text is None:
            return None
        try:
            return int(text, base) * scale
        except ValueError:
            self.error = "not a number: %r" % text.strip()[:40] if text.strip() else "the file is empty"
            return None

    def close(self) -> None:
        """Close the descriptor; the next read opens it anew.

        A forked child that closed all descriptors must not close the number again: it may be another's by now.
        """
        if self._descriptor >= 0 and self._owner == os.getpid():
            os.close(self._descriptor)
        self._descriptor = -1

    def __del__(self) -> None:
        self.close()


class FileSensor(Sensor):
    """One channel that is one file."""

    def __init__(
        self, channel: Channel, file: File, scale: float = 1.0, *, base: int = 10, every_s: float = 0.0
    ) -> None:
        super().__init__([channel], every_s=every_s)
        self._file, self._scale, self._base = file, scale, base

    def read(self) -> List[Optional[float]]:
        value = self._file.number(self._scale, self._base)
        self.reason = self._file.error
        return [value]


def bounded(call: Callable[[], Any], timeout_s: float, default: Any = None) -> Any:
    """The result of ``call``, or ``default`` if it takes longer; then its thread is left behind.

    For what may hang inside the kernel, where nothing can interrupt it.
    """
    got: List[Any] = []
    thread = threading.Thread(target=lambda: got.append(call()), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return got[0] if got else default


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
