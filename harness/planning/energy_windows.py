"""Say which energy repetitions and idle baselines a suite asks for on a board, and how long they take. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tunebench.harness.config.inventory import BoardEntry
from tunebench.harness.config.suite import Suite, Workload
from tunebench.harness.config.tables.schema import Header

#: The window rule of on-board sensors and direct-current meters (10 s) and a margin.
WINDOW_S = 12.0
#: The window rule of a wall plug (60 s) and a margin.
WALL_WINDOW_S = 65.0
#: Load before the window (telemetry rule V2: >= 3 s of warm-up) and behind it, so that its edges see no step.
LEAD_S = 3.0
TAIL_S = 1.0
#: From the start of an idle repetition until its window: what ran before has ended, its memory is freed.
SETTLE_S = 5.0
#: Sampling period of energy and idle repetitions: 100 samples in 10 s need 10 Hz. Timed ones are sampled less often.
SAMPLING_S = 0.1
#: An interpreter's start on a slow board; bounds an idle repetition.
_START_S = 60.0

ENERGY, IDLE = "energy", "idle"
ROLES = (ENERGY, IDLE)

#: What an idle repetition has in place of a method.
IDLE_WORKLOAD = Workload(
    task="idle",
    label="idle",
    method="idle",
    dataset=None,
    model=None,
    engine="none",
    device="cpu",
    threads=1,
    dtype="none",
    params={},
    own_params={},
    deadline_s=_START_S,
)

#: (workload, block, slot, role, seconds of the window)
Row = tuple[Workload, int, int, str, float]
Shuffle = Callable[[Sequence[Workload], int], Sequence[Workload]]


def window_s(header: Header, board: BoardEntry) -> float:
    """Return for how many seconds an energy repetition repeats at least: the board's slowest source decides."""
    if header.energy_s is not None:
        return header.energy_s
    wall = board.meter is not None and board.meter.scope == "wall_ac"
    return WALL_WINDOW_S if wall else WINDOW_S


def not_repeated(workload: Workload) -> str | None:
    """Return why a workload has no energy repetition; ``None`` if it has one."""
    if workload.command is not None:
        return (
            "no energy repetition: a command of your own runs once and is not repeated inside one window "
            "(a module is); it has energy if its own window lasts long enough"
        )
    return None


def rows(
    suite: Suite, board: BoardEntry, workloads: Sequence[Workload], shuffle: Shuffle, blocks: range
) -> Iterator[Row]:
    """Yield an idle baseline and the energy repetitions, in random order, of each block; at the end an idle baseline.

    They stand together, after the timed blocks: so the idle baselines lie directly before and behind them, and the
    long loads warm nothing that is timed. Blocks that are added to a run begin with a baseline of their own, in slot 1:
    that with which the run had ended is old by then.
    """
    repeated = [workload for workload in workloads if not_repeated(workload) is None]
    if not suite.header.energy or not repeated:
        return
    lasts_s, rests_s = window_s(suite.header, board), suite.header.idle_s
    for block in blocks:
        yield IDLE_WORKLOAD, block, int(block == blocks.start > 0), IDLE, rests_s
        for slot, workload in enumerate(shuffle(repeated, block)):
            yield workload, block, 1 + slot, ENERGY, lasts_s
    yield IDLE_WORKLOAD, blocks.stop, 0, IDLE, rests_s


def least_s(role: str, window_s: float) -> float:
    """Return the seconds that an energy or idle repetition takes at least; 0 for other roles."""
    return {ENERGY: LEAD_S + window_s + TAIL_S, IDLE: SETTLE_S + window_s + TAIL_S}.get(role, 0.0)


def deadline_s(role: str, window_s: float, workload_s: float) -> float:
    """Return the seconds after which the board ends an energy or idle repetition.

    An energy repetition loads and fine-tunes once before its window, and its last fine-tuning ends behind it.

    Args:
        role: ``energy`` or ``idle``.
        window_s: how long the window lasts at least.
        workload_s: the deadline of the workload when it runs once.
    """
    if role == ENERGY:
        return 2 * workload_s + least_s(role, window_s)
    return workload_s + least_s(role, window_s)
