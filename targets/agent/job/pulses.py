"""A load pattern that an external meter can see, so that its trace can be laid over the board's clock.

A chip is a stretch of time with all cores busy (1) or asleep (0); thirteen of them in Barker's order, whose
autocorrelation has one peak (R. H. Barker 1953), with quiet chips before and after. Needs no wire and no root.
"""

import os
import select
import signal
import struct
import time
from typing import Any, Callable, Dict, List, Optional

from tunebench.targets.agent.protocol import monotonic_ns

BARKER_13 = "1111100110101"
#: Sleep before and after, so that the pattern stands out from what comes next to it.
QUIET_CHIPS = 3
#: Children get this long to start before the first chip, and to end after the last.
_LEAD_NS = 100000000
_GRACE_S = 2.0


def length_s(chip_s: float) -> float:
    """Return how long one pattern takes, seconds."""
    return (2 * QUIET_CHIPS + len(BARKER_13)) * chip_s + 2 * _LEAD_NS / 1e9


def edges_ns(start_ns: int, chip_ns: int, code: str = BARKER_13) -> List[int]:
    """Return when the load goes up and down in turn, from the first chip's start; ns."""
    levels = "0" + code + "0"
    return [
        start_ns + index * chip_ns for index in range(len(code) + 1) if levels[index] != levels[index + 1]
    ]


def emit(chip_s: float, stopped: Callable[[], bool] = lambda: False) -> Dict[str, Any]:
    """Run the pattern once on all cores that this process may use; blocks until it is over.

    Args:
        chip_s: length of a chip, seconds.
        stopped: asked now and then; true ends the pattern at once.

    Returns:
        ``start_ns`` (first chip, CLOCK_MONOTONIC), ``chip_ns``, ``code``, ``quiet_chips``, ``cores``, and ``late_ns``:
        the largest distance of an edge on any core from its planned time (None: a core did not report).
    """
    chip_ns = int(chip_s * 1e9)
    start_ns = monotonic_ns() + _LEAD_NS + QUIET_CHIPS * chip_ns
    cores = sorted(os.sched_getaffinity(0))
    reader, writer = os.pipe()
    children = [_fork(core, start_ns, chip_ns, reader, writer) for core in cores]
    os.close(writer)
    late = _reports(reader, start_ns + len(BARKER_13) * chip_ns, stopped)
    os.close(reader)
    for child in children:
        _end(child)
    _sleep_until(start_ns + (len(BARKER_13) + QUIET_CHIPS) * chip_ns, stopped)
    return {
        "start_ns": start_ns,
        "chip_ns": chip_ns,
        "code": BARKER_13,
        "quiet_chips": QUIET_CHIPS,
        "cores": len(cores),
        "late_ns": max(late) if len(late) == len(cores) else None,
    }


def _fork(core: int, start_ns: int, chip_ns: int, reader: int, writer: int) -> int:
    child = os.fork()
    if child:
        return child
    try:
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, signal.SIG_DFL)
        os.close(reader)
        try:
            os.sched_setaffinity(0, {core})
        except OSError:
            pass  # the scheduler spreads them well enough
        os.write(writer, struct.pack("=q", _run(start_ns, chip_ns)))
    finally:
        os._exit(0)


def _run(start_ns: int, chip_ns: int) -> int:
    """Run one core's part; return the largest lateness of an edge, ns."""
    worst_ns = 0
    for index, level in enumerate(BARKER_13):
        begin_ns, end_ns = start_ns + index * chip_ns, start_ns + (index + 1) * chip_ns
        if level == "0":
            _sleep_until(end_ns)
            continue
        if monotonic_ns() < begin_ns:
            _sleep_until(begin_ns)
        worst_ns = max(worst_ns, monotonic_ns() - begin_ns)
        while monotonic_ns() < end_ns:
            sum(range(500))
        worst_ns = max(worst_ns, monotonic_ns() - end_ns)
    return worst_ns


def _sleep_until(t_ns: int, stopped: Callable[[], bool] = lambda: False) -> None:
    while not stopped():
        left_s = (t_ns - monotonic_ns()) / 1e9
        if left_s <= 0:
            return
        time.sleep(min(left_s, 0.2))


def _reports(reader: int, end_ns: int, stopped: Callable[[], bool]) -> List[int]:
    """Collect what the cores say of their lateness, until all have, or too long after the pattern's end."""
    late: List[int] = []
    give_up_ns = end_ns + int(_GRACE_S * 1e9)
    while not stopped() and monotonic_ns() < give_up_ns:
        if select.select([reader], [], [], 0.2)[0]:
            data = os.read(reader, 8)  # a write of 8 bytes to a pipe is whole
            if not data:
                break
            late.append(struct.unpack("=q", data)[0])
    return late


def _end(child: int) -> Optional[int]:
    """End the children: none outlives its pattern."""
    try:
        os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]
    except OSError:
        return None
