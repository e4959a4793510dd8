"""Set the limits that a board must keep before and while it runs a repetition: those of gates and watchdog.

The checks themselves run on the board (:mod:`tunebench.targets.agent.health.gates`,
:mod:`tunebench.targets.agent.job.watchdog`); this module says which limits a job carries, and for how long the host
waits until a board keeps them.
"""

from __future__ import annotations

from typing import Any

from tunebench.harness.config.tables.stress import Stressor
from tunebench.targets.agent.health import background_load
from tunebench.targets.boards import kind_of

#: 5 C under the 80 C at which a Raspberry Pi's firmware begins to throttle.
MAX_TEMP_C = 75.0
#: A board whose load is higher is busy with something else. The workload's threads are added: the repetition before
#: this one is still in the average.
MAX_LOAD_1M = 1.0
#: CPU time of others, in cores: more than the first is noted; more than the second is waited for, since it will end.
NOTE_BACKGROUND_CORES = 0.03
MAX_BACKGROUND_CORES = 0.25
MIN_FREE_B = 64 << 20
#: MLPerf's power-dev refuses clocks that are known less well.
MAX_CLOCK_BOUND_S = 0.4
#: How long a repetition waits until the board is as cool as at the first one; without a bound it might wait for ever.
START_PATIENCE_S = 120.0
#: How long the board is kept between two repetitions, and while a campaign looks at it or tunes it.
GAP_S = 60.0
SETUP_S = 600.0

#: How long a stressor may take to apply and to remove: memory is filled at 50 MB/s on a slow board.
STRESS_S = 120.0
#: Memory that a stressor takes from others on the host's own machine, at most.
MAX_HELD_B = 1 << 30


def is_quiet(board_kind: str, root: str) -> bool:
    """Tell whether nothing but the measurement should run on the board: not so where the board is the host itself."""
    return not kind_of(board_kind).host_itself or root != "/"


def gates(
    *,
    policy: str,
    board_kind: str,
    root: str,
    threads: int,
    start_temp_c: float | None,
    start_window_c: float | None,
) -> dict[str, Any]:
    """Return ``job["gates"]``; limits that make no sense on the host's own machine are left out there."""
    limits: dict[str, Any] = {
        "policy": policy,
        "max_temp_c": MAX_TEMP_C,
        "min_disk_b": MIN_FREE_B,
        "min_mem_b": MIN_FREE_B,
        "max_clock_bound_s": MAX_CLOCK_BOUND_S,
    }
    if not is_quiet(board_kind, root):
        return limits
    return {
        **limits,
        "max_load_1m": MAX_LOAD_1M + threads if policy != "enforce" else None,
        "note_background_cores": NOTE_BACKGROUND_CORES,
        "max_background_cores": MAX_BACKGROUND_CORES,
        "idle_window_s": background_load.WINDOW_S,
        "others": True,
        "fixed_clock": True,
        "start_temp_c": start_temp_c,
        "start_window_c": start_window_c,
    }


def stressor(asked: Stressor | None, *, board_kind: str, root: str) -> dict[str, Any] | None:
    """Return ``job["stressor"]``, with the memory that may be taken from others; None: the board's agent applies none."""
    if asked is None or asked.on_host:
        return None
    return {**asked.as_dict(), "most_b": None if is_quiet(board_kind, root) else MAX_HELD_B}


def watchdog(*, board_kind: str, root: str, max_temp_c: float | None) -> dict[str, Any]:
    """Return ``job["watchdog"]``: the limit of the inventory, or the reason why there is no watchdog."""
    if max_temp_c is not None:
        return {"max_temp_c": max_temp_c}
    if not is_quiet(board_kind, root):
        return {"off": "the host's own machine looks after itself (max_temp_c in the inventory turns it on)"}
    return {}
