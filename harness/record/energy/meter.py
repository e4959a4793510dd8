"""Measure the energy of a repetition by a board's external meter."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from tunebench.harness.record.energy.board import as_energy
from tunebench.harness.record.energy.rules import Rules, rules_for
from tunebench.harness.record.energy.trapezoid import Integral, NoIntegral, check_window, integrate
from tunebench.harness.record.harvest import Harvested, Pulses
from tunebench.reports.records import Energy, Scope
from tunebench.targets.meters import MeterTrace
from tunebench.targets.meters.alignment import Alignment, Pattern, by_clock, by_pulses
from tunebench.targets.transport.clock_offset import Offset

METER_SCHEMA = "tunebench.meter/1"
#: Makes the rules that an energy must keep; see :func:`tunebench.harness.record.energy.rules.rules_for`.
MakeRules = Callable[..., Rules]


@dataclass(frozen=True)
class Metered:
    """What a meter has of one repetition: a trace, or the reason why not."""

    trace: MeterTrace | None
    reason: str | None = None


@dataclass(frozen=True)
class MeterEnergy:
    """The energy of a window by an external meter, or the reason why there is none; how the trace was aligned."""

    energy: Energy | None
    reason: str | None
    alignment: Alignment | None = None


def measure(
    metered: Metered,
    window_ns: tuple[int, int],
    exchanges: tuple[Offset, Offset] | None,
    pulses: Pulses | None = None,
    *,
    repeats: int = 1,
    rules: MakeRules = rules_for,
) -> MeterEnergy:
    """Return the energy of the board's window by its meter.

    The window is trimmed at both ends by a guard (clock bound + one period of the meter). The mean power of the rest
    times the exact duration on the board's clock is the energy, so that an edge known to some milliseconds costs nothing.

    Args:
        metered: what the meter has.
        window_ns: the fine-tuning, on the board's CLOCK_MONOTONIC.
        exchanges: clock exchanges before and after.
        pulses: ``before`` and ``after`` as the board emitted them, for meters with a clock of their own.
        repeats: fine-tunings in the window; 0: an idle baseline.
        rules: for tests of other rules than a scope's own.
    """
    trace = metered.trace
    if trace is None:
        return MeterEnergy(None, metered.reason)
    if not trace.n:
        errors = "; ".join(trace.errors[:2]) or "nothing came"
        return MeterEnergy(None, f"the meter gave no reading: {errors}")
    alignment = align(trace, window_ns, exchanges, pulses)
    if isinstance(alignment, str):
        return MeterEnergy(None, alignment + _hint(trace))
    integral = _integrated(trace, alignment, window_ns, rules)
    if isinstance(integral, str):
        return MeterEnergy(None, integral + _hint(trace), alignment)
    energy = as_energy(
        integral,
        scope=cast(Scope, trace.info.scope),
        source=f"{trace.info.source} ({trace.info.id})",
        quantum_w=trace.info.quantum_w,
        clock_bound_s=alignment.bound_s + trace.t_bound_s,
        repeats=repeats,
    )
    return MeterEnergy(energy, None, alignment)


def _hint(trace: MeterTrace) -> str:
    """Return the first error of a meter, as the end of a sentence."""
    return f" (the meter said: {trace.errors[0]})" if trace.errors else ""


def align(
    trace: MeterTrace,
    window_ns: tuple[int, int],
    exchanges: tuple[Offset, Offset] | None,
    pulses: Pulses | None,
) -> Alignment | str:
    """Lay a trace over the board's clock, in the way that its meter allows; return a sentence where that fails."""
    if trace.info.clock == "host":
        if exchanges is None or None in (exchanges[0].host_s, exchanges[1].host_s):
            return "the clocks of host and board were not compared before and after"
        return by_clock(*exchanges, window_ns)
    try:
        emitted = pulses or Pulses()
        before, after = (Pattern.from_record(account or {}) for account in (emitted.before, emitted.after))
    except ValueError as error:
        return str(error) if pulses else "the board emitted no load pulses to align the meter's own clock by"
    return by_pulses(trace.t_s, trace.power_w, before, after, window_ns)


def _integrated(
    trace: MeterTrace, alignment: Alignment, window_ns: tuple[int, int], make_rules: MakeRules
) -> Integral | str:
    """Integrate the trimmed window; its mean power times the exact duration is the energy."""
    length_s = (window_ns[1] - window_ns[0]) / 1e9
    bound_s = alignment.bound_s + trace.t_bound_s
    rate_hz = trace.rate_hz or trace.info.rate_hz
    rules = make_rules(
        trace.info.scope,
        trace.info.source,
        rate_hz=trace.info.rate_hz or rate_hz,
        clock_bound_s=bound_s,
        quantum=trace.info.quantum_w,
    )
    try:
        check_window(0.0, length_s, rules)  # the rules are for the whole window
    except NoIntegral as reason:
        return str(reason)
    start_s, end_s = alignment.window(window_ns)
    guard_s = alignment.rate * bound_s + (1 / rate_hz if rate_hz else 0.0)
    if end_s - start_s <= 4 * guard_s:
        return f"the window of {length_s:.2f} s is too short for a guard of {guard_s:.2f} s at both ends"
    inner = replace(rules, min_window_s=0.0, clock_bound_s=0.0)
    t_s = [t - start_s for t in trace.t_s]  # small numbers keep their digits
    integral = integrate(t_s, trace.power_w, (guard_s, end_s - start_s - guard_s), rules=inner)
    if isinstance(integral, str):
        return integral
    share = length_s / integral.window_s
    return replace(
        integral, energy_j=integral.energy_j * share, window_s=length_s, error_j=integral.error_j * share
    )


def of_repetition(
    metered: Metered | None, harvested: Harvested, exchanges: tuple[Offset, Offset], *, repeats: int = 1
) -> MeterEnergy | None:
    """Return the energy of a repetition by the board's meter; None on a board without a meter."""
    if metered is None:
        return None
    if harvested.marks is None:
        return MeterEnergy(None, "no measured window")
    pulses = harvested.exit_record.pulses if harvested.exit_record else None
    return measure(metered, harvested.marks.window_ns, exchanges, pulses, repeats=repeats)


def meter_bytes(metered: Metered, by_meter: MeterEnergy, harvested: Harvested) -> bytes | None:
    """Return what is stored beside the record: a header with the alignment, then a row for each reading."""
    trace = metered.trace
    if trace is None:
        return None
    info, alignment = trace.info, by_meter.alignment
    window_ns = harvested.marks.window_ns if harvested.marks else None
    header = {
        "schema": METER_SCHEMA,
        "meter": {
            "id": info.id,
            "kind": info.kind,
            "scope": info.scope,
            "source": info.source,
            "quantum_w": info.quantum_w,
            "rate_hz": info.rate_hz,
            "clock": info.clock,
        },
        "columns": ["t_s", "power_w", "energy_j", "gpio"],
        "n": trace.n,
        "rate_hz": trace.rate_hz,
        "max_gap_s": trace.max_gap_s,
        "t_bound_s": trace.t_bound_s,
        "errors": trace.errors,
        "reason": by_meter.reason,
        "alignment": None
        if alignment is None
        else {
            "method": alignment.method,
            "bound_s": alignment.bound_s,
            "drift_ppm": alignment.drift_ppm,
            "drift_bound_ppm": alignment.drift_bound_ppm,
            "window_s": None if window_ns is None else list(alignment.window(window_ns)),
        },
    }
    energy_j = trace.energy_j or [None] * len(trace.t_s)
    gpio = trace.gpio or [None] * len(trace.t_s)
    rows = zip((round(t, 6) for t in trace.t_s), trace.power_w, energy_j, gpio, strict=True)
    lines = [json.dumps(header, sort_keys=True, allow_nan=False)]
    lines += [json.dumps(row, separators=(",", ":"), allow_nan=False) for row in rows]
    return ("\n".join(lines) + "\n").encode()
