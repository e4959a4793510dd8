"""A board's power channels -> the energy of the marked window with what it stands on, or the reason why there is none.

The integrators are pure: :func:`integrate` for power samples (:mod:`tunebench.harness.record.energy.trapezoid`),
:func:`integrate_counter` for cumulative counters (:mod:`tunebench.harness.record.energy.counter`). Net of the idle
baselines: :mod:`tunebench.reports.results.net_energy`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from tunebench.harness.record.energy.counter import integrate_counter
from tunebench.harness.record.energy.rules import Rules, rules_for
from tunebench.harness.record.energy.trapezoid import Integral, integrate
from tunebench.reports.records import Energy, Scope

__all__ = [
    "SCOPES",
    "Integral",
    "Rules",
    "as_energy",
    "energy_of_window",
    "integrate",
    "integrate_counter",
    "rules_for",
    "widest",
]

#: Widest first: a rail never stands for the board.
SCOPES: tuple[Scope, ...] = get_args(Scope)


def energy_of_window(
    channels: Sequence[Mapping[str, Any]],
    rows: Sequence[Sequence[float | None]],
    window_ns: tuple[int, int],
    *,
    repeats: int = 1,
) -> Energy | str:
    """The energy of the widest power source among a board's channels.

    Args:
        channels: descriptions in column order (``kind``, ``scope``, ``source``, ``quantum``, ``rate_hz``).
        rows: ``[t_ns, value, ...]``; ``None`` where a channel was not read. Held values do not occur.
        window_ns: the fine-tuning, on the board's CLOCK_MONOTONIC.
        repeats: fine-tunings in the window; 0: an idle baseline.

    Returns:
        The energy, or a sentence saying why it is not given.
    """
    column = widest(channels)
    if column is None:
        return "no power sensor on this board"
    channel = channels[column]
    source = str(channel.get("source") or channel.get("id"))
    quantum = _positive(channel.get("quantum"))
    rules = rules_for(channel["scope"], source, rate_hz=_positive(channel.get("rate_hz")), quantum=quantum)
    # Times from the window's start: a double keeps nanoseconds of hours, not of months.
    t_s = [(int(row[0] or 0) - window_ns[0]) / 1e9 for row in rows]
    values = [row[column + 1] for row in rows]
    window_s = (0.0, (window_ns[1] - window_ns[0]) / 1e9)
    found: Integral | str
    if channel.get("kind") == "energy":
        found = integrate_counter(t_s, values, window_s, rules=rules, wrap_j=_positive(channel.get("wrap_j")))
    else:
        found = integrate(t_s, values, window_s, rules=rules)
    if isinstance(found, str):
        return found
    return as_energy(
        found,
        scope=channel["scope"],
        source=source,
        rails=str(channel.get("site") or channel.get("id")).split("+"),
        quantum_w=quantum,
        corrected=channel.get("corrected") is True,
        repeats=repeats,
    )


def widest(channels: Sequence[Mapping[str, Any]]) -> int | None:
    """Column of the power source that covers most of the board; ``None`` without any."""
    kinds = ("power", "energy")
    found = [
        (SCOPES.index(channel["scope"]), column)
        for column, channel in enumerate(channels)
        if channel.get("kind") in kinds and channel.get("scope") in SCOPES
    ]
    return min(found)[1] if found else None


def as_energy(
    found: Integral,
    *,
    scope: Scope,
    source: str,
    rails: Sequence[str] = (),
    quantum_w: float | None = None,
    corrected: bool = False,
    clock_bound_s: float | None = None,
    repeats: int = 1,
) -> Energy:
    """A record's energy; :func:`~tunebench.reports.results.net_energy.with_net` adds net from idle baselines."""
    return Energy(
        gross_j=found.energy_j,
        net_reason=None if repeats == 0 else "the idle baselines around it are joined when results are read",
        scope=scope,
        source=source,
        rails=[rail[:64] for rail in rails][:32],
        method="counter" if found.counter else "trapezoid",
        mean_w=found.mean_w,
        std_w=found.std_w,
        window_s=found.window_s,
        n_samples=found.n_samples,
        rate_hz=found.rate_hz,
        max_gap_s=found.max_gap_s,
        coverage=found.coverage,
        error_j=found.error_j,
        quantum_w=quantum_w,
        corrected=corrected,
        clock_bound_s=clock_bound_s,
        repeats=repeats,
        j_per_finetuning=found.energy_j / repeats if repeats else None,
    )


def _positive(value: Any) -> float | None:
    """A number above 0 of what a board sent; ``None`` else."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and math.isfinite(value) and value > 0 else None
