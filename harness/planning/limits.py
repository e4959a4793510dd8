"""What a board is held to before and while it runs a repetition: limits of its gates and of its watchdog.

The checks themselves run on the board (:mod:`tunebench.targets.agent.health.gates`,
:mod:`tunebench.targets.agent.job.watchdog`); this module says which limits a job carries, and what its waiting is
worth.
"""

from __future__ import annotations

from typing import Any

from tunebench.targets.agent.health import background_load

#: 5 C under the 80 C at which a Raspberry Pi's firmware begins to throttle.
MAX_TEMP_C = 75.0
#: A board whose load is higher is busy with something else; the repetition before this one left its threads' worth.
MAX_LOAD_1M = 1.0
#: Of one core: more is noted; much more is work that will end, and is waited for.
NOTE_BACKGROUND_CORES = 0.03
MAX_BACKGROUND_CORES = 0.25
MIN_FREE_B = 64 << 20
#: MLPerf's power-dev refuses clocks that are known less well.
MAX_CLOCK_BOUND_S = 0.4
#: How long a repetition waits to begin as warm as the first one did; a board cools for ever, a campaign does not.
START_PATIENCE_S = 120.0
#: How long the board is kept between two repetitions, and while a campaign looks at it or tunes it.
GAP_S = 60.0
SETUP_S = 600.0

START_TEMP_C = "start_temp_c"


def is_quiet(board_kind: str, root: str) -> bool:
    """Whether nothing but the measurement should run on the board: not so where the board is the host itself."""
    return board_kind != "loopback" or root != "/"


def gates(
    *,
    policy: str,
    board_kind: str,
    root: str,
    threads: int,
    start_temp_c: float | None,
    start_window_c: float | None,
) -> dict[str, Any]:
    """``job["gates"]``; what does not apply to the host's own machine is left null there."""
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


def watchdog(*, board_kind: str, root: str, max_temp_c: float | None) -> dict[str, Any]:
    """``job["watchdog"]``."""
    if max_temp_c is not None:
        return {"max_temp_c": max_temp_c}
    if not is_quiet(board_kind, root):
        return {"off": "the host's own machine looks after itself (max_temp_c in the inventory turns it on)"}
    return {}
