"""Peak memory of a stretch of a process, by the kernel's own high-water mark of resident memory.

Writing 5 to ``/proc/self/clear_refs`` sets VmHWM back to what is resident now (Linux 4.0 and later,
Documentation/filesystems/proc.rst). What an earlier stretch has freed is given back to the kernel before, or its
leftovers would hide what the next one takes. Both cost milliseconds: this is for instrumented runs, not for timed ones.
"""

import ctypes
from typing import Dict, Optional


class Watch:
    """A watch over a process's peak memory in several stretches of its work.

    Attributes:
        before_b: resident at the beginning of the first one, bytes; None where the kernel does not say.
        peak_b: most that was resident in any of them.
        hidden_b: the process's high-water mark that was set back, since nobody else will see it any more.
    """

    def __init__(self) -> None:
        self.before_b: Optional[int] = None
        self.peak_b: Optional[int] = None
        self.hidden_b = 0
        self._armed = False

    def begin(self) -> None:
        """Begin a stretch."""
        self.hidden_b = max(self.hidden_b, status_b("VmHWM") or 0)
        _give_back()
        self._armed = _reset()
        if self._armed and self.before_b is None:
            self.before_b = status_b("VmRSS")

    def end(self) -> None:
        """End the stretch; what follows does not count."""
        peak_b = status_b("VmHWM") if self._armed else None
        if peak_b is not None:
            self.peak_b = max(peak_b, self.peak_b or 0)
        self._armed = False

    def metrics(self) -> Dict[str, float]:
        """Return ``train_rss_before_b`` and ``train_rss_peak_b``; empty where the kernel does not say."""
        if self.before_b is None or self.peak_b is None:
            return {}
        return {"train_rss_before_b": float(self.before_b), "train_rss_peak_b": float(self.peak_b)}


#: mallopt(3): from how many bytes on a block is mapped by itself, and given back as soon as it is freed.
_M_MMAP_THRESHOLD, _MAPPED_FROM_B = -3, 65536


def map_large_blocks() -> bool:
    """Let the C library map every larger tensor by itself from now on; False if it cannot.

    By default GNU's raises that bound with every block that is freed, up to 32 MiB, so that tensors come from one heap
    with holes in it: quicker, and here it takes half as much memory again or more.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM_B))
    except (OSError, AttributeError):  # another C library than GNU's
        return False


def _give_back() -> None:
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library than GNU's
        pass


def _reset() -> bool:
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return True
    except OSError:
        return False


def status_b(name: str) -> Optional[int]:
    """Return a size of this process by its name in ``/proc/self/status`` (``VmRSS``), in bytes; None if missing."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith(name + ":"):
                    return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None


def resident_b() -> Optional[int]:
    """Return what this process holds now, VmRSS + VmSwap, bytes; None where /proc does not say.

    It is what :func:`tunebench.workloads.marks.peak_rss_b` is the peak of.
    """
    resident = status_b("VmRSS")
    return None if resident is None else resident + (status_b("VmSwap") or 0)
