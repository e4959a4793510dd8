"""Count instructions, cycles and cache misses of the measured window, in user space, with all threads and children.

The counters (perf_event_open(2)) were opened by the agent before this process began, and are handed on as open files;
here they are switched on and off and read, which needs no rights. The first of them leads the group: one ioctl
switches all. Where there are none, nothing is done; the agent's exit record says why.
"""

import fcntl
import json
import os
import struct
from typing import Any, Dict, List, Optional, Tuple

VARIABLE = "TUNEBENCH_PMU"
_ENABLE, _DISABLE = 0x2400, 0x2401  # PERF_EVENT_IOC_ENABLE, _DISABLE: _IO('$', 0), _IO('$', 1)
#: count, nanoseconds switched on, nanoseconds of these in which a counter was to be had; over all threads together.
_READ = struct.Struct("=QQQ")
_LOST = (
    "the counters' open files did not reach the process that marks the window: a program between closed them"
    " (docker exec; Python's subprocess, unless told close_fds=False)"
)


class Counters:
    """The counters of one window; without any, every call does nothing.

    Args:
        variable: the value of :data:`VARIABLE`, in which the supervisor names the counters that it opened; None: none.
    """

    def __init__(self, variable: Optional[str]) -> None:
        self._files: List[Tuple[str, int]] = []
        self._core_pmus = 0
        self.result: Optional[Dict[str, Any]] = None
        if not variable:
            return
        try:
            value = json.loads(variable)
            files = [(str(name), int(file)) for name, file in value["files"]]
            self._core_pmus = int(value["core_pmus"])
        except (ValueError, KeyError, TypeError):
            self.result = {"reason": "%s is not of the agreed form" % VARIABLE}
            return
        self._files = [(name, file) for name, file in files if _is_counter(file)]
        if not self._files:
            self.result = {"reason": _LOST}

    def start(self) -> None:
        """Switch the counters on; call it right before the clock is read."""
        self._switch(_ENABLE)

    def stop(self) -> None:
        """Switch the counters off and read them; call it right after the clock was read."""
        self._switch(_DISABLE)
        if not self._files:
            return
        counts: Dict[str, List[int]] = {}
        try:
            for name, file in self._files:
                counts[name] = list(_READ.unpack(os.read(file, _READ.size)))
        except (OSError, struct.error) as error:
            self._give_up("the counters could not be read: %s" % error)
            return
        self.result = {"counts": counts, "core_pmus": self._core_pmus, "reason": None}
        self._close()

    def _switch(self, request: int) -> None:
        if not self._files:
            return
        try:
            fcntl.ioctl(self._files[0][1], request, 0)
        except OSError as error:
            self._give_up("the counters could not be switched: %s" % error)

    def _give_up(self, reason: str) -> None:
        self.result = {"reason": reason}
        self._close()

    def _close(self) -> None:
        """Let go of the counters: nothing after the window pays for them."""
        for _, file in self._files:
            try:
                os.close(file)
            except OSError:
                pass
        self._files = []


def of_this_process() -> Counters:
    """Return the counters that the agent handed to this process."""
    return Counters(os.environ.get(VARIABLE))


def _is_counter(file: int) -> bool:
    try:
        return "perf_event" in os.readlink("/proc/self/fd/%d" % file)
    except OSError:
        return False
