"""What a network that is cut between board and host takes over each link, over a cell's repetitions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tunebench.reports.analysis.row import CallNumbers, CutNumbers, LinkNumbers, PartitionNumbers
from tunebench.reports.analysis.within.spreads import known_spread, spread
from tunebench.reports.records import Partition, PartitionCall, PartitionCut, PartitionLink, Repetition


def partitioned(reps: Sequence[Repetition], used: Sequence[Repetition]) -> PartitionNumbers | None:
    """Return medians over a cell's repetitions; None of a cell whose network is not cut.

    Args:
        reps: all of the cell: energy stands in energy repetitions.
        used: those that stand in the times.
    """
    known = [rep.partition for rep in used if rep.partition is not None]
    if not known:
        return None
    with_energy = [
        rep.partition for rep in reps if rep.role == "energy" and rep.outcome == "ok" and rep.partition
    ]
    first = known[0]
    cuts = [_cut(cut.cut, known, with_energy) for cut in first.cuts]
    able = {cut.cut for cut in cuts if cut.equal}
    return PartitionNumbers(
        n=len(known),
        answer_b=first.answer_b,
        tolerance=first.tolerance,
        host_runtime=first.host_runtime,
        host_threads=first.host_threads,
        cuts=cuts,
        links=[_link(name, known, able) for name in _names(known)],
    )


def _names(known: Sequence[Partition]) -> list[str]:
    return list(dict.fromkeys(link.link for partition in known for link in partition.links))


def _cut(name: str, known: Sequence[Partition], with_energy: Sequence[Partition]) -> CutNumbers:
    rows = _cuts_named(name, known)
    energies = [row for row in _cuts_named(name, with_energy) if row.device_j is not None]
    compared = [row.equal for row in rows if row.equal is not None]
    return CutNumbers(
        cut=name,
        shape=list(rows[0].shape),
        dtype=rows[0].dtype,
        size_b=rows[0].size_b,
        device_s=known_spread([row.device_s for row in rows]),
        remote_s=spread(row.remote_s for row in rows),
        device_j=spread(row.device_j for row in energies),
        device_j_scope=energies[0].device_j_scope if energies else None,
        max_difference=max(
            (row.max_difference for row in rows if row.max_difference is not None), default=None
        ),
        equal=all(compared) if compared else None,
    )


def _cuts_named(name: str, known: Iterable[Partition]) -> list[PartitionCut]:
    return [cut for partition in known for cut in partition.cuts if cut.cut == name]


def _link(name: str, known: Sequence[Partition], able: set[str]) -> LinkNumbers:
    links = [link for partition in known for link in partition.links if link.link == name]
    calls = [_call(cut, links) for cut in dict.fromkeys(call.cut for link in links for call in link.calls)]
    totals = {call.cut: call.total_s.median for call in calls if call.total_s and call.cut in able}
    foretold = {call.cut: call.predicted_s.median for call in calls if call.predicted_s and call.cut in able}
    best = min(totals, key=totals.__getitem__, default=None)
    predicted = min(foretold, key=foretold.__getitem__, default=None)
    rates = [spread(getattr(link, key) for link in links) for key in ("up_bit_s", "down_bit_s", "rtt_s")]
    up_bit_s, down_bit_s, rtt_s = (rate.median if rate else None for rate in rates)
    excess = totals[predicted] / totals[best] - 1 if predicted in totals and best and totals[best] else None
    return LinkNumbers(
        link=name,
        how=links[0].how,
        up_bit_s=up_bit_s,
        down_bit_s=down_bit_s,
        rtt_s=rtt_s,
        predicted_best=predicted,
        measured_best=best,
        excess=excess,
        calls=calls,
        missing=next((link.reason for link in links if link.reason), None) if best is None else None,
    )


def _call(cut: str, links: Sequence[PartitionLink]) -> CallNumbers:
    calls: list[PartitionCall] = [call for link in links for call in link.calls if call.cut == cut]
    total_s = spread(call.total_s for call in calls)
    return CallNumbers(
        cut=cut,
        calls=sum(call.n for call in calls),
        device_s=spread(call.device_s for call in calls),
        transfer_s=spread(call.transfer_s for call in calls),
        remote_s=spread(call.remote_s for call in calls),
        total_s=total_s,
        predicted_s=spread(call.predicted_s for call in calls),
        missing=None if total_s else next((call.reason for call in calls if call.reason), None),
    )
