"""External meters in a campaign: opened once a board, started around each repetition, laid over the board's clock.

A meter never stops a campaign: what it could not do becomes the reason why a record has no energy. Where a board has
a meter, the record's primary energy is the meter's; the board's own sensor stands beside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from tunebench.harness.energy import as_energy
from tunebench.harness.harvested import Harvested
from tunebench.harness.integral import Integral, Refused, Rules, check_window, integrate, rules_for
from tunebench.reports.records import Energy, Scope
from tunebench.targets.meters import Meter, MeterError, MeterInfo, MeterTrace, open_meter
from tunebench.targets.meters.alignment import Alignment, Pattern, by_clock, by_pulses
from tunebench.targets.meters.keys import CsvReplayMeter, MeterEntry
from tunebench.targets.transport.clock_offset import Offset

METER_SCHEMA = "tunebench.meter/1"
#: Makes the rules that an energy must keep; see :func:`tunebench.harness.integral.rules_for`.
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


class BoardMeter:
    """The meter of one board during a campaign; without an entry it does nothing.

    Args:
        entry: ``[board.meter]``, or None.
        note: told what goes wrong.
    """

    def __init__(self, entry: MeterEntry | None, note: Callable[[str], None] = lambda _: None) -> None:
        self._entry = entry
        self._note = note
        self._meter: Meter | None = None
        self._reason: str | None = None
        self._running = False

    def __enter__(self) -> BoardMeter:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        if self._meter is not None:
            self._meter.close()
            self._meter = None

    @property
    def present(self) -> bool:
        """Whether the inventory gives this board a meter."""
        return self._entry is not None

    @property
    def pulse_chip_s(self) -> float | None:
        """Length of a load pulse's chip, where the meter needs pulses to be aligned by."""
        if self._meter is None or self._meter.info.clock != "own":
            return None
        return self._entry.chip_s if isinstance(self._entry, CsvReplayMeter) else 0.5

    def start(self) -> None:
        """Begin to read; a meter that was not there is looked for again."""
        if self._entry is None or self._running:
            return
        if self._meter is None:
            self._open()
        if self._meter is None:
            return
        try:
            self._meter.start()
            self._running = True
            self._reason = None
        except MeterError as error:
            self._failed(error)

    def stop(self) -> Metered | None:
        """What was read since ``start``; None on a board without a meter."""
        if self._entry is None:
            return None
        if self._meter is None or not self._running:
            return Metered(None, self._reason or "the meter was not started")
        self._running = False
        try:
            trace = self._meter.stop()
            return Metered(replace(trace, errors=[self._public(error) for error in trace.errors]))
        except MeterError as error:
            self._failed(error)
            return Metered(None, self._reason)

    def cancel(self) -> None:
        """Throw away what is being read."""
        if self._running:
            self.stop()

    def _open(self) -> None:
        if self._entry is None:
            return
        try:
            self._meter = open_meter(self._entry.spec())
            self._note(f"meter: {told(self._meter.info)}")
        except MeterError as error:
            self._failed(error)

    def _failed(self, error: MeterError) -> None:
        told = f"the meter failed: {error}"
        reason = self._public(told)
        if reason != self._reason:
            self._note(told)
        self._reason = reason

    def _public(self, text: str) -> str:
        """A sentence as it may stand in results: without what the inventory says of connections."""
        for key in ("host", "port", "path", "serial"):
            value = getattr(self._entry, key, None)
            if value:
                text = text.replace(str(value), f"<{key}>")
        return text


def told(info: MeterInfo) -> str:
    """A meter in words, for notes and tables."""
    rate = f", {info.rate_hz:g} Hz" if info.rate_hz else ""
    quantum = f", steps of {info.quantum_w:.2g} W" if info.quantum_w else ""
    return f"{info.kind} {info.id}, scope {info.scope}{rate}{quantum}"


@dataclass(frozen=True)
class Description:
    """A meter as ``doctor`` and ``boards`` show it: what it is, or what is wrong with it."""

    ok: bool
    text: str
    info: MeterInfo | None = None
    power_w: float | None = None


def describe(entry: MeterEntry | None, *, read: bool = True) -> Description | None:
    """Open a board's meter, read it for a moment, close it; None for a board without one.

    Args:
        read: also take a reading, so that the power now is known (about a second).
    """
    if entry is None:
        return None
    try:
        with open_meter(entry.spec()) as meter:
            info = meter.info
            if not read or info.clock == "own":
                return Description(True, told(info), info)
            meter.start()
            _moment(info)
            trace = meter.stop()
    except MeterError as error:
        return Description(False, str(error))
    values = [value for value in trace.power_w if value is not None]
    if not values:
        return Description(
            False, f"{told(info)}: no reading: {'; '.join(trace.errors[:2]) or 'nothing came'}", info
        )
    return Description(True, f"{told(info)}; now {values[-1]:.2f} W", info, values[-1])


def _moment(info: MeterInfo) -> None:
    time.sleep(max(0.2, min(2.0, 2 / info.rate_hz if info.rate_hz else 1.0)))


def measure(
    metered: Metered,
    window_ns: tuple[int, int],
    exchanges: tuple[Offset, Offset] | None,
    pulses: Mapping[str, Any] | None = None,
    *,
    repeats: int = 1,
    rules: MakeRules = rules_for,
) -> MeterEnergy:
    """The energy of the board's window by its meter.

    The window is trimmed at both ends by a guard (clock bound + one period of the meter): its mean power times the
    exact duration on the board's clock is the energy, so that an edge that is known to some milliseconds costs nothing.

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
        said = "; ".join(trace.errors[:2]) or "nothing came"
        return MeterEnergy(None, f"the meter gave no reading: {said}")
    alignment = align(trace, window_ns, exchanges, pulses)
    if isinstance(alignment, str):
        return MeterEnergy(None, alignment + _hint(trace))
    found = _integrated(trace, alignment, window_ns, rules)
    if isinstance(found, str):
        return MeterEnergy(None, found + _hint(trace), alignment)
    energy = as_energy(
        found,
        scope=cast(Scope, trace.info.scope),
        source=f"{trace.info.source} ({trace.info.id})",
        quantum_w=trace.info.quantum_w,
        clock_bound_s=alignment.bound_s + trace.t_bound_s,
        repeats=repeats,
    )
    return MeterEnergy(energy, None, alignment)


def _hint(trace: MeterTrace) -> str:
    return f" (the meter said: {trace.errors[0]})" if trace.errors else ""


def align(
    trace: MeterTrace,
    window_ns: tuple[int, int],
    exchanges: tuple[Offset, Offset] | None,
    pulses: Mapping[str, Any] | None,
) -> Alignment | str:
    """Lay a trace over the board's clock, in the way that its meter allows; a sentence where that fails."""
    if trace.info.clock == "host":
        if exchanges is None or None in (exchanges[0].host_s, exchanges[1].host_s):
            return "the clocks of host and board were not compared before and after"
        return by_clock(*exchanges, window_ns)
    try:
        before, after = (Pattern.from_record((pulses or {}).get(when) or {}) for when in ("before", "after"))
    except ValueError as error:
        return str(error) if pulses else "the board emitted no load pulses to align the meter's own clock by"
    return by_pulses(trace.t_s, trace.power_w, before, after, window_ns)


def _integrated(
    trace: MeterTrace, alignment: Alignment, window_ns: tuple[int, int], make_rules: MakeRules
) -> Integral | str:
    """Mean power of the trimmed window times the exact duration."""
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
    except Refused as reason:
        return str(reason)
    start_s, end_s = alignment.window(window_ns)
    guard_s = alignment.rate * bound_s + (1 / rate_hz if rate_hz else 0.0)
    if end_s - start_s <= 4 * guard_s:
        return f"the window of {length_s:.2f} s is too short for a guard of {guard_s:.2f} s at both ends"
    inner = replace(rules, min_window_s=0.0, clock_bound_s=0.0)
    t_s = [t - start_s for t in trace.t_s]  # small numbers keep their digits
    found = integrate(t_s, trace.power_w, (guard_s, end_s - start_s - guard_s), rules=inner)
    if isinstance(found, str):
        return found
    share = length_s / found.window_s
    return replace(found, energy_j=found.energy_j * share, window_s=length_s, error_j=found.error_j * share)


def of_repetition(
    metered: Metered | None, got: Harvested, exchanges: tuple[Offset, Offset], *, repeats: int = 1
) -> MeterEnergy | None:
    """The energy of what came back from a board; None on a board without a meter."""
    if metered is None:
        return None
    if got.marks is None:
        return MeterEnergy(None, "no measured window")
    pulses = got.exit_record.pulses if got.exit_record else None
    return measure(metered, got.marks.window_ns, exchanges, pulses, repeats=repeats)


def meter_bytes(metered: Metered, found: MeterEnergy, got: Harvested) -> bytes | None:
    """What is stored beside the record: a header with the alignment, then one row a reading."""
    trace = metered.trace
    if trace is None:
        return None
    info, alignment = trace.info, found.alignment
    window_ns = got.marks.window_ns if got.marks else None
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
        "reason": found.reason,
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
