"""The section on runtimes: what each costs, and what it takes to run a network."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.analysis.row import Median, MethodResult, Served
from tunebench.reports.analysis.within.served import NONE, in_seconds, keys_of, served_rows, with_interval
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.markdown import escaped
from tunebench.reports.formatting.units import clean, seconds, size
from tunebench.reports.sections.base.section import TablesSection, partial
from tunebench.reports.summary import Summary

LADDER = (
    "Runtimes: what each takes to run one sample, float in and float out, in a process of its own a repetition. p50 is "
    "the median over repetitions of the median of their calls, with its 95% interval (range: fewer than six of them). "
    "Runtimes stand side by side; none is judged against another."
)
_LADDER = (
    "board", "task", "chain", "runtime", "n", "p50 of a call", "CPU", "p90", "p99", "first call", "import", "load",
    "memory of the runtime", "peak memory", "installed", "threads",
)  # fmt: skip


class RuntimesSection(TablesSection):
    """The section on runtimes; left out of runs in which none ran."""

    ident = "runtimes"
    nav = "Runtimes"
    text_place = 45

    def template(self) -> str:
        """Return the section's partial."""
        return partial("runtimes")

    def tables(self, summary: Summary) -> Sequence[DataTable]:
        """Return the ladder."""
        return _tables(summary.rows)

    def markdown(self, summary: Summary, limit: int) -> str:
        """Return the medians of calls, a line a chain."""
        lines = ["Runtimes, one sample a call:"]
        for row, served in served_rows(summary.rows):
            mark = " (simulated)" if served.simulated else ""
            lines.append(
                f"- {escaped(clean(row.task, 60))} {escaped(clean(row.label, 40))}: "
                f"{seconds(served.p50_s.median)}{mark}"
            )
        text = "\n".join(lines)
        return text if len(lines) > 1 and len(text) <= limit else ""


def _tables(rows: Sequence[MethodResult]) -> list[DataTable]:
    served = served_rows(rows)
    return [DataTable(LADDER, _LADDER, [_ladder(row, numbers) for row, numbers in served])] if served else []


def _ladder(row: MethodResult, served: Served) -> list[str]:
    threads = (
        f"{served.threads}"
        if served.os_threads is None
        else f"{served.threads} asked, {served.os_threads} ran"
    )
    return [
        *keys_of(row),
        clean(f"{served.runtime} {served.version}", 60),
        str(served.n),
        with_interval(served.p50_s),
        in_seconds(served.cpu_p50_s),
        seconds(served.p90_s.median),
        seconds(served.p99_s.median),
        seconds(served.cold_s.median),
        seconds(served.import_s.median),
        seconds(served.load_s.median),
        _size(served.runtime_rss_b),
        _size(served.peak_rss_b),
        size(served.installed_b) if served.installed_b is not None else NONE,
        threads,
    ]


def _size(value: Median | None) -> str:
    return size(value.median) if value is not None else NONE


SECTION = RuntimesSection()
