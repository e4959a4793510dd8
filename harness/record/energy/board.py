"""Turn a board's power channels into the energy of the marked window, or say why there is none.

The integrators are pure: :func:`integrate` for power samples (:mod:`tunebench.harness.record.energy.trapezoid`),
:func:`integrate_counter` for cumulative counters (:mod:`tunebench.harness.record.energy.counter`). Net of the idle
baselines: :mod:`tunebench.reports.results.net_energy`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast, get_args

from tunebench.harness.record.energy.counter import integrate_counter
from tunebench.harness.record.energy.rules import rules_for
from tunebench.harness.record.energy.trapezoid import Integral, integrate
from tunebench.harness.record.harvest import Samples
from tunebench.reports.records import Energy, Scope

#: Widest first: a rail never stands for the board.
SCOPES: tuple[Scope, ...] = get_args(Scope)


def energy_of_window(
    samples: Samples,
    window_ns: tuple[int, int],
    *,
    repeats: int = 1,
) -> Energy | str:
    """Return the energy of the window by the power source that covers most of the board.

    Args:
        samples: of the whole repetition. Held values do not occur.
        window_ns: the fine-tuning, on the board's CLOCK_MONOTONIC.
        repeats: fine-tunings in the window; 0: an idle baseline.

    Returns:
        The energy, or a sentence saying why it is not given.
    """
    column = widest(samples.channels)
    if column is None:
        return "no power sensor on this board"
    channel = samples.channels[column]
    scope = cast(Scope, channel.scope)
    source = str(channel.source or channel.id)
    rules = rules_for(scope, source, rate_hz=channel.rate_hz, quantum=channel.quantum)
    # Times from the window's start: a double keeps nanoseconds of hours, not of months.
    t_s = [(int(row[0] or 0) - window_ns[0]) / 1e9 for row in samples.rows]
    values = [row[column + 1] for row in samples.rows]
    window_s = (0.0, (window_ns[1] - window_ns[0]) / 1e9)
    integral: Integral | str
    if channel.kind == "energy":
        integral = integrate_counter(t_s, values, window_s, rules=rules, wrap_j=channel.wrap_j)
    else:
        integral = integrate(t_s, values, window_s, rules=rules)
    if isinstance(integral, str):
        return integral
    return as_energy(
        integral,
        scope=scope,
        source=source,
        rails=str(channel.site or channel.id).split("+"),
        quantum_w=channel.quantum,
        corrected=channel.corrected,
        repeats=repeats,
    )


class Described(Protocol):
    """A channel as far as it tells what it measures."""

    @property
    def kind(self) -> str | None:
        """Return the quantity: ``power``, ``energy``, ..."""

    @property
    def scope(self) -> str | None:
        """Return what part of the board a power covers."""


def widest(channels: Sequence[Described]) -> int | None:
    """Return the column of the power source that covers most of the board; ``None`` without any."""
    kinds = ("power", "energy")
    scopes: Sequence[str | None] = SCOPES
    ranked = [
        (scopes.index(channel.scope), column)
        for column, channel in enumerate(channels)
        if channel.kind in kinds and channel.scope in scopes
    ]
    return min(ranked)[1] if ranked else None


def as_energy(
    integral: Integral,
    *,
    scope: Scope,
    source: str,
    rails: Sequence[str] = (),
    quantum_w: float | None = None,
    corrected: bool = False,
    clock_bound_s: float | None = None,
    repeats: int = 1,
) -> Energy:
    """Return a record's energy; :func:`~tunebench.reports.results.net_energy.with_net` adds net from idle baselines.

    Args:
        integral: of the power over the window.
        scope: what the source covers.
        source: the sensor or the meter.
        rails: names of the rails that were added up.
        quantum_w: the source's smallest step.
        corrected: whether the sensor's known errors were taken out.
        clock_bound_s: how well a meter's times are known on the board's clock; None: same clock.
        repeats: fine-tunings in the window; 0: an idle baseline.
    """
    return Energy(
        gross_j=integral.energy_j,
        net_reason=None if repeats == 0 else "the idle baselines around it are joined when results are read",
        scope=scope,
        source=source,
        rails=[rail[:64] for rail in rails][:32],
        method="counter" if integral.counter else "trapezoid",
        mean_w=integral.mean_w,
        std_w=integral.std_w,
        window_s=integral.window_s,
        n_samples=integral.n_samples,
        rate_hz=integral.rate_hz,
        max_gap_s=integral.max_gap_s,
        coverage=integral.coverage,
        error_j=integral.error_j,
        quantum_w=quantum_w,
        corrected=corrected,
        clock_bound_s=clock_bound_s,
        repeats=repeats,
        j_per_finetuning=integral.energy_j / repeats if repeats else None,
    )
