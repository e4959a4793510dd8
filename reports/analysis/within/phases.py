"""The phases of a repetition: their order, and those that explain nothing."""

from __future__ import annotations

from collections.abc import Iterable

#: Phases that only say "inside the window": time under these names is not explained by any phase.
UNEXPLAINED = ("finetune", "window", "other")
#: Order in which phases are told.
PHASES = (
    "load",
    "warm-up",
    "warmup",
    "reestimate",
    "gather",
    "cache_fill",
    "forward",
    "backward",
    "update",
    "evaluate",
    "save",
)


def phase_order(names: Iterable[str]) -> list[str]:
    """Sort phases: those known in the order of a step, then the others by name."""
    return sorted(names, key=lambda name: (PHASES.index(name) if name in PHASES else len(PHASES), name))
