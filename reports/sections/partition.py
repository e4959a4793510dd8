"""The section on partition: the best cut between board and host over each link, measured beside predicted."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.analysis.energy import SCOPE_NAMES
from tunebench.reports.analysis.row import (
    CallNumbers,
    CutNumbers,
    LinkNumbers,
    Median,
    MethodResult,
    PartitionNumbers,
)
from tunebench.reports.analysis.within.served import NONE, in_seconds, keys_of, with_interval
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.markdown import escaped
from tunebench.reports.formatting.units import clean, joules, seconds, signed_percent, size
from tunebench.reports.sections.base.section import TablesSection, partial
from tunebench.reports.summary import Summary

BEST = (
    "Partition: the network runs on the board up to a layer, the host runs the rest and sends the outputs back. The best "
    "cut over each link by its measured total, beside the one that was predicted from both parts alone, a round trip and "
    "bytes over rates. The link is what is measured here, behind the repetition's window. Shaped links: the same SSH to "
    "the same board through a proxy on the host that limits rate and delays; no other network was measured."
)
CALLS = (
    "Calls over each link, from the sample on the board to the outputs there: medians over repetitions with the total's "
    "95% interval (range: fewer than six). Transfer is the total less both parts: there and back, SSH included."
)
CUTS = (
    "Cuts: what crosses for one sample, and what each part takes alone. Equal: outputs are those of the whole network "
    "on the board within the tolerance; a cut whose outputs differ is no best. Energy: of the board's part alone, gross; "
    "waiting for the host is not in it."
)
_BEST = (
    "board", "task", "chain", "link", "up / down", "round trip", "n", "predicted best", "measured best", "total",
    "all on the board", "predicted costs",
)  # fmt: skip
_CALLS = (
    "board", "task", "chain", "link", "cut behind", "crosses", "device", "transfer", "remote", "total", "predicted",
    "calls",
)  # fmt: skip
_CUTS = (
    "board", "task", "chain", "cut behind", "shape", "crosses", "device alone", "host alone", "energy",
    "largest difference", "equal",
)  # fmt: skip


class PartitionSection(TablesSection):
    """The section on partition; left out of runs in which no network was cut."""

    ident = "partition"
    nav = "Partition"
    text_place = 46

    def template(self) -> str:
        """Return the section's partial."""
        return partial("partition")

    def tables(self, summary: Summary) -> Sequence[DataTable]:
        """Return the best cuts, the calls, and the cuts alone."""
        return _tables(summary.rows)

    def markdown(self, summary: Summary, limit: int) -> str:
        """Return the best cut over each link, a line each."""
        lines = ["Partition, best cut by link (predicted):"]
        for row, numbers in _cut_rows(summary.rows):
            for link in numbers.links:
                total = _total(link, link.measured_best)
                if total is not None:
                    lines.append(
                        f"- {escaped(clean(row.task, 60))} {escaped(clean(row.label, 40))}, {_link_name(link)}: "
                        f"{escaped(_where(link.measured_best, numbers))} {seconds(total.median)} "
                        f"({escaped(_where(link.predicted_best, numbers))})"
                    )
        text = "\n".join(lines)
        return text if len(lines) > 1 and len(text) <= limit else ""


def _cut_rows(rows: Sequence[MethodResult]) -> list[tuple[MethodResult, PartitionNumbers]]:
    return [(row, row.partition) for row in rows if row.partition is not None]


def _tables(rows: Sequence[MethodResult]) -> list[DataTable]:
    known = _cut_rows(rows)
    if not known:
        return []
    best = [[*keys_of(row), *_best(link, numbers)] for row, numbers in known for link in numbers.links]
    calls = [
        [*keys_of(row), *_called(link, call, numbers)]
        for row, numbers in known
        for link in numbers.links
        for call in link.calls
    ]
    cuts = [[*keys_of(row), *_cut(cut, numbers)] for row, numbers in known for cut in numbers.cuts]
    tables = [DataTable(BEST, _BEST, best), DataTable(CALLS, _CALLS, calls), DataTable(CUTS, _CUTS, cuts)]
    return [table for table in tables if table.rows]


def _best(link: LinkNumbers, numbers: PartitionNumbers) -> list[str]:
    uncut = _total(link, numbers.cuts[-1].cut)
    total = _total(link, link.measured_best)
    return [
        _link_name(link),
        f"{_rate(link.up_bit_s)} / {_rate(link.down_bit_s)}",
        seconds(link.rtt_s) if link.rtt_s is not None else NONE,
        str(numbers.n),
        _where(link.predicted_best, numbers),
        _where(link.measured_best, numbers)
        if link.missing is None
        else clean(f"not measured: {link.missing}", 80),
        seconds(total.median) if total else NONE,
        seconds(uncut.median) if uncut else NONE,
        signed_percent(link.excess) if link.excess else "nothing" if link.excess == 0 else NONE,
    ]


def _called(link: LinkNumbers, call: CallNumbers, numbers: PartitionNumbers) -> list[str]:
    cut = next(cut for cut in numbers.cuts if cut.cut == call.cut)
    return [
        _link_name(link),
        _where(call.cut, numbers),
        size(cut.size_b) if cut.size_b else "nothing",
        in_seconds(call.device_s),
        in_seconds(call.transfer_s) if cut.size_b else NONE,
        in_seconds(call.remote_s) if cut.size_b else NONE,
        with_interval(call.total_s)
        if call.total_s
        else clean(f"not called: {call.missing or 'no reason told'}", 90),
        in_seconds(call.predicted_s),
        str(call.calls),
    ]


def _cut(cut: CutNumbers, numbers: PartitionNumbers) -> list[str]:
    energy = NONE
    if cut.device_j is not None:
        energy = (
            f"{joules(cut.device_j.median)} ({SCOPE_NAMES.get(cut.device_j_scope or '', cut.device_j_scope)})"
        )
    return [
        _where(cut.cut, numbers),
        "x".join(map(str, cut.shape)),
        f"{size(cut.size_b)} {cut.dtype}" if cut.size_b else "nothing",
        seconds(cut.device_s.median),
        in_seconds(cut.remote_s) if cut.size_b else NONE,
        energy,
        f"{cut.max_difference:.2g}" if cut.max_difference is not None else NONE,
        {True: "yes", False: "no", None: NONE}[cut.equal],
    ]


def _where(cut: str | None, numbers: PartitionNumbers) -> str:
    """Return a cut in words: the first and the last are no cut at all."""
    if cut is None:
        return NONE
    if cut == numbers.cuts[-1].cut:
        return "all on the board"
    return "all on the host" if cut == "input" else clean(cut, 40)


def _total(link: LinkNumbers, cut: str | None) -> Median | None:
    return next((call.total_s for call in link.calls if call.cut == cut), None)


def _link_name(link: LinkNumbers) -> str:
    return "own" if link.how == "measured" else f"{clean(link.link, 32)} (shaped)"


def _rate(bit_s: float | None) -> str:
    if bit_s is None:
        return NONE
    value, unit = (bit_s / 1e6, "Mbit/s") if bit_s >= 1e6 else (bit_s / 1e3, "kbit/s")
    return f"{value:.3g} {unit}"


SECTION = PartitionSection()
