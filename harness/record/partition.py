"""Turn calls of a cut network into its record: each cut alone, each link with its prediction beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from tunebench.harness.config.tables.partition import OWN
from tunebench.harness.record.energy.board import energy_of_window
from tunebench.harness.record.harvest import PartTime, Samples
from tunebench.reports.records import Energy, PartitionCall, PartitionCut, PartitionLink
from tunebench.workloads.deploy.device_parts import Crossing


class Call(Protocol):
    """One call of a cut network, in seconds."""

    @property
    def device_s(self) -> float:
        """Return what the board's part took."""

    @property
    def transfer_s(self) -> float:
        """Return what was neither the board's part nor the host's."""

    @property
    def remote_s(self) -> float:
        """Return what the host's part took."""

    @property
    def total_s(self) -> float:
        """Return all of it, by the board's clock."""


@dataclass(frozen=True)
class LinkFigures:
    """What is declared or known of a link.

    Attributes:
        up_bit_s: board -> host, bits a second.
        rtt_s: round trip of an empty link.
        answer_b: outputs that go back for each call.
    """

    name: str
    up_bit_s: float
    down_bit_s: float
    rtt_s: float
    answer_b: int

    def crossing_s(self, size_b: int) -> float:
        """Return what a call's bytes need, there and back, with nothing added by SSH."""
        return self.rtt_s + 8.0 * size_b / self.up_bit_s + 8.0 * self.answer_b / self.down_bit_s


def cut_records(
    crossings: Sequence[Crossing], parts: Sequence[PartTime], samples: Samples
) -> list[PartitionCut]:
    """Return what is known of each cut before anything crosses.

    Args:
        crossings: of the artefact that this host has made; nothing crosses at the last.
        parts: what the board measured, unchecked but for its form.
        samples: of the repetition's telemetry, for the energy of each part.

    Raises:
        ValueError: the board has not measured each of them.
    """
    by_cut = {part.cut: part for part in parts}
    missing = [row.cut for row in crossings if row.cut not in by_cut]
    if missing:
        raise ValueError(f"the board has not timed its part before {missing[0]!r}")
    return [_cut_record(row, by_cut[row.cut], samples, last=row is crossings[-1]) for row in crossings]


def _cut_record(crossing: Crossing, part: PartTime, samples: Samples, *, last: bool) -> PartitionCut:
    energy = energy_of_window(samples, part.window_ns, repeats=part.calls) if part.window_ns else None
    known = energy if isinstance(energy, Energy) else None
    return PartitionCut(
        cut=crossing.cut,
        shape=list(crossing.shape),
        dtype="uint8" if crossing.dtype == "uint8" else "float32",
        size_b=0 if last else crossing.size_b,
        device_s=part.device_s,
        device_calls=part.calls,
        device_j=known.j_per_finetuning if known else None,
        device_j_scope=known.scope if known else None,
        device_j_source=known.source if known else None,
    )


def predicted_s(cut: PartitionCut, figures: LinkFigures) -> float | None:
    """Return the predicted time of a call: both parts as they were alone, a round trip, bytes over the rates."""
    if not cut.size_b:
        return cut.device_s
    if cut.remote_s is None:
        return None
    return cut.device_s + figures.crossing_s(cut.size_b) + cut.remote_s


def link_record(
    figures: LinkFigures,
    cuts: Sequence[PartitionCut],
    called: Mapping[str, Sequence[Call]],
    reason: str | None = None,
) -> PartitionLink:
    """Return a link's record.

    Args:
        figures: of the link.
        cuts: with their parts' times.
        called: cut -> its calls; a cut that is left out takes longer to cross than it could ever win.
        reason: why nothing was measured.
    """
    calls = [_call_record(cut, figures, called.get(cut.cut), reason) for cut in cuts]
    able = {cut.cut for cut in cuts if cut.equal}
    return PartitionLink(
        link=figures.name,
        how="measured" if figures.name == OWN else "shaped",
        up_bit_s=figures.up_bit_s,
        down_bit_s=figures.down_bit_s,
        rtt_s=figures.rtt_s,
        predicted_best=_least({call.cut: call.predicted_s for call in calls if call.cut in able}),
        measured_best=_least({call.cut: call.total_s for call in calls if call.cut in able}),
        calls=calls,
        reason=reason,
    )


def _call_record(
    cut: PartitionCut, figures: LinkFigures, calls: Sequence[Call] | None, reason: str | None
) -> PartitionCall:
    prediction = predicted_s(cut, figures)
    if not calls:
        least_s = figures.crossing_s(cut.size_b)
        why = (
            reason
            or f"its bytes alone need {least_s:.3g} s, longer than the whole network on the board: it cannot win"
        )
        return PartitionCall(cut=cut.cut, n=0, predicted_s=prediction, reason=why)
    totals_s = [call.total_s for call in calls]
    return PartitionCall(
        cut=cut.cut,
        n=len(calls),
        device_s=median(call.device_s for call in calls),
        transfer_s=median(call.transfer_s for call in calls),
        remote_s=median(call.remote_s for call in calls),
        total_s=median(totals_s),
        total_min_s=min(totals_s),
        total_max_s=max(totals_s),
        predicted_s=prediction,
    )


def _least(seconds: Mapping[str, float | None]) -> str | None:
    """Return the name of the least number that is known; None of none."""
    known = {name: value for name, value in seconds.items() if value is not None}
    return min(known, key=known.__getitem__, default=None)
