"""The section on runtimes: what each costs and takes to run a network, what a chain promised and what it gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.row import Median, MethodResult, Served
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.markdown import escaped
from tunebench.reports.formatting.table import grid, paragraph
from tunebench.reports.formatting.units import clean, factor, number, percent, seconds, size
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.stats.paired import compare
from tunebench.reports.summary import Summary

LADDER = (
    "Runtimes: what each takes to run one sample, float in and float out, in a process of its own a repetition. p50 is "
    "the median over repetitions of the median of their calls, with its 95% interval (range: fewer than six of them). "
    "Runtimes stand side by side; none is judged against another."
)
PROMISE = (
    "Promise against measurement: what the chain saves by count (multiply-adds, parameters, bytes) beside the speed-up "
    "over the baseline in the same runtime, threads and board. Simulated: compressed in name only, which "
    "bars it from claims of speed: raw bytes at least 0.9 of the uncompressed network's, or under half of the kernels' "
    "time in the type that is claimed."
)
PAIRS = (
    "Float and its 8 or 16 bit twin: the same chain without and with its last step, paired by block. Above 1 the twin "
    "is faster. Agreement: share of items with the class of the float parent, computed on the board."
)
_LADDER = (
    "board", "task", "chain", "runtime", "n", "p50 of a call", "CPU", "p90", "p99", "first call", "import", "load",
    "memory of the runtime", "peak memory", "installed", "threads",
)  # fmt: skip
_PROMISE = (
    "board", "task", "chain", "parameters", "multiply-adds", "bytes", "packed", "speed-up", "accuracy", "claimed type",
    "simulated",
)  # fmt: skip
_PAIRS = ("board", "task", "float", "twin", "n", "speed-up", "accuracy", "agreement", "largest difference")
_NONE = "–"


@dataclass(frozen=True)
class _View:
    tables: Sequence[DataTable]


class RuntimesSection(Section):
    """The section on runtimes; left out of runs in which none ran."""

    ident = "runtimes"
    nav = "Runtimes"
    text_place = 45

    def template(self) -> str:
        """Return the section's partial."""
        return partial("runtimes")

    def view(self, page: Page) -> _View | None:
        """Return the three tables."""
        tables = _tables(page.summary.rows)
        return _View(tables) if tables else None

    def text(self, summary: Summary) -> Sequence[str]:
        """Return the three tables."""
        return [
            f"{paragraph(table.caption)}\n{grid(table.columns, table.rows, keys=3)}"
            for table in _tables(summary.rows)
        ]

    def markdown(self, summary: Summary, limit: int) -> str:
        """Return the medians of calls, a line a chain."""
        lines = ["Runtimes, one sample a call:"]
        for row, served in _served(summary.rows):
            mark = " (simulated)" if served.simulated else ""
            lines.append(
                f"- {escaped(clean(row.task, 60))} {escaped(clean(row.label, 40))}: "
                f"{seconds(served.p50_s.median)}{mark}"
            )
        text = "\n".join(lines)
        return text if len(lines) > 1 and len(text) <= limit else ""


def _served(rows: Sequence[MethodResult]) -> list[tuple[MethodResult, Served]]:
    return [(row, row.inference) for row in rows if row.inference is not None]


def _tables(rows: Sequence[MethodResult]) -> list[DataTable]:
    served = _served(rows)
    if not served:
        return []
    chosen = [(row, numbers) for row, numbers in served if not row.aa_control]
    tables = [
        DataTable(LADDER, _LADDER, [_ladder(row, numbers) for row, numbers in served]),
        DataTable(PROMISE, _PROMISE, [_promise(row, numbers) for row, numbers in chosen]),
    ]
    pairs = _pairs(chosen)
    return [*tables, DataTable(PAIRS, _PAIRS, pairs)] if pairs else tables


def _keys(row: MethodResult) -> list[str]:
    return [clean(row.board_id, 40), clean(row.task, 60), clean(row.label, 40)]


def _ladder(row: MethodResult, served: Served) -> list[str]:
    threads = (
        f"{served.threads}"
        if served.os_threads is None
        else f"{served.threads} asked, {served.os_threads} ran"
    )
    return [
        *_keys(row),
        clean(f"{served.runtime} {served.version}", 60),
        str(served.n),
        _with_interval(served.p50_s),
        _seconds(served.cpu_p50_s),
        seconds(served.p90_s.median),
        seconds(served.p99_s.median),
        seconds(served.cold_s.median),
        seconds(served.import_s.median),
        seconds(served.load_s.median),
        _size(served.runtime_rss_b),
        _size(served.peak_rss_b),
        size(served.installed_b) if served.installed_b is not None else _NONE,
        threads,
    ]


def _promise(row: MethodResult, served: Served) -> list[str]:
    return [
        *_keys(row),
        _saved(served.dense_params, served.params),
        _saved(served.dense_madds, served.madds),
        _bytes(served.dense_b, served.model_b),
        size(served.model_zlib_b) if served.model_zlib_b is not None else _NONE,
        _speed_up(row),
        f"{percent(row.accuracy.after_mean)}" if row.accuracy is not None else _NONE,
        _claimed(served),
        _simulated(served),
    ]


def _speed_up(row: MethodResult) -> str:
    if row.is_baseline:
        return "baseline"
    if row.speed_up is None:
        return clean(row.speed_up_missing or "not compared", 120)
    up = row.speed_up
    return f"{factor(up.factor)} ({factor(up.low)} to {factor(up.high)}), {up.verdict}"


def _simulated(served: Served) -> str:
    if served.simulated is None:
        return clean(f"not known: {served.simulated_reason or 'nothing tells'}", 120)
    return clean(f"yes: {served.simulated_reason}", 120) if served.simulated else "no"


def _claimed(served: Served) -> str:
    if served.claimed is None:
        return _NONE
    if served.time_share is None:
        return served.claimed
    nodes = "" if served.node_share is None else f", {percent(served.node_share, 0)} of the nodes"
    return f"{served.claimed}: {percent(served.time_share, 0)} of the time{nodes}"


def _pairs(served: Sequence[tuple[MethodResult, Served]]) -> list[list[str]]:
    """Return a row for each network whose chain is another's and one step more, which claims a type."""
    rows = []
    for row, twin in served:
        if twin.claimed is None:
            continue
        for other, plain in served:
            same = (other.board_id, other.task, other.threads) == (row.board_id, row.task, row.threads)
            if same and plain.claimed is None and plain.chain == twin.chain[:-1]:
                rows.append(_pair(other, plain, row, twin))
                break
    return rows


def _pair(float_row: MethodResult, plain: Served, row: MethodResult, twin: Served) -> list[str]:
    blocks = sorted(set(plain.own_p50_s) & set(twin.own_p50_s))
    speed = _NONE
    if twin.simulated:
        speed = "simulated: no claim"
    elif blocks:
        # The twin stands as the baseline, so that above 1 it is the faster of the two.
        made = compare([twin.own_p50_s[b] for b in blocks], [plain.own_p50_s[b] for b in blocks], delta=0.02)
        speed = f"{factor(made.ratio)} ({factor(made.low)} to {factor(made.high)})"
    points = _NONE
    if row.accuracy is not None and float_row.accuracy is not None:
        points = f"{100 * (row.accuracy.after_mean - float_row.accuracy.after_mean):+.1f} points".replace(
            "-", "−"
        )
    return [
        clean(row.board_id, 40),
        clean(row.task, 60),
        clean(float_row.label, 40),
        clean(row.label, 40),
        str(len(blocks)),
        speed,
        points,
        percent(twin.agreement) if twin.agreement is not None else _NONE,
        f"{twin.max_difference:.3g}" if twin.max_difference is not None else _NONE,
    ]


def _with_interval(value: Median) -> str:
    words = "" if value.interval != "range" else " range"
    return f"{seconds(value.median)} ({seconds(value.low)} to {seconds(value.high)}{words})"


def _seconds(value: Median | None) -> str:
    return seconds(value.median) if value is not None else _NONE


def _size(value: Median | None) -> str:
    return size(value.median) if value is not None else _NONE


def _saved(before: int | None, after: int | None) -> str:
    """Return a count, and how many times less it is than before."""
    if before is None or not after:
        return _NONE
    return f"{number(after)} ({factor(before / after)} less)" if after < before else number(after)


def _bytes(before: int | None, after: int | None) -> str:
    if before is None or not after:
        return _NONE
    return f"{size(after)} ({factor(before / after)} less)" if after < before else size(after)


SECTION = RuntimesSection()
