"""A comparison of two runs as a page, Markdown or plain text shows it: the same tables in all three."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

from tunebench.reports.analysis.run_comparison import PointsRow, RatioRow, RunComparison
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.markdown import escaped, table
from tunebench.reports.formatting.privacy import Scrub, scrubbed
from tunebench.reports.formatting.table import grid
from tunebench.reports.formatting.units import clean, percent, seconds, signed_percent, significant, size
from tunebench.reports.render.markdown import MAX_CHARS

COLUMNS = ("board", "task", "method", "quantity", "A", "B", "B against A", "interval", "in these runs", "n")
_ROWS = (
    "Median of A and of B, and how far B lies from A (Hodges-Lehmann; accuracy: means); 95% intervals of Mann and "
    "Whitney, not paired; accuracy paired by seed. * range seen, too few values for an interval"
)
#: (heading, table, words where there is none)
Section = tuple[str, DataTable | None, str]
_SAY: dict[str, Callable[[float], str]] = {
    "time": seconds,
    "memory": size,
    "energy": lambda value: f"{significant(value)} J",
    "accuracy": lambda value: percent(value, 2),
}


def tables(comparison: RunComparison) -> list[Section]:
    """Return the tables that stand below the heading of a comparison."""
    rows = [_cells(row) for row in comparison.rows]
    other = [
        [clean(item.where, 60), clean(item.what, 60), _plain(item.a), _plain(item.b)]
        for item in comparison.environment
    ]
    lost = [
        [run, *(clean(name, 60) for name in (series.board_id, series.task, series.label))]
        for run, only in (("A", comparison.only_a), ("B", comparison.only_b))
        for series in only
    ]
    return [
        ("Series in both runs", _table(_ROWS, COLUMNS, rows), "The runs share no series."),
        (
            "What else differs",
            _table("Environment and builds of A and of B", ("where", "what", "A", "B"), other),
            "Nothing that the records tell.",
        ),
        (
            "Series in one run only",
            _table("Not compared", ("run", "board", "task", "method"), lost),
            "None: both runs hold the same series.",
        ),
    ]


def heads(comparison: RunComparison) -> list[str]:
    """Return one line for each run: its id, its time, and whether it is complete."""
    lines = []
    for name, run in (("A", comparison.a), ("B", comparison.b)):
        parts = [
            f"{name}: {clean(run.run_id, 60)}",
            f"suite {clean(run.suite, 40)}" if run.suite else "",
            clean(run.started_utc, 30) if run.started_utc else "",
            "" if run.complete else "NOT COMPLETE",
        ]
        lines.append(", ".join(part for part in parts if part))
    return lines


def as_markdown(comparison: RunComparison, scrub: Scrub = str) -> str:
    """Return the comparison for a pull request, at most ``MAX_CHARS`` characters."""
    comparison = scrubbed(comparison, scrub)
    parts = ["## tunebench: two runs", "\n".join(f"- {escaped(line)}" for line in heads(comparison))]
    parts.append(
        "### What you may not conclude\n\n" + "\n".join(f"- {caution}" for caution in comparison.cautions)
    )
    left = MAX_CHARS - sum(map(len, parts)) - 1000
    for heading, made, words in tables(comparison):
        text = f"### {heading}\n\n" + (table(made.columns, made.rows) if made else words)
        if len(text) > left:
            lines = text[: max(left, 0)].splitlines()[:-1]
            text = "\n".join(lines) + f"\n\n{heading}: the rest is left out; a comment holds no more text."
        left -= len(text) + 2
        parts.append(text)
    return "\n\n".join(parts) + "\n"


def as_text(comparison: RunComparison, scrub: Scrub = str) -> str:
    """Return the comparison for a terminal or a log."""
    comparison = scrubbed(comparison, scrub)
    parts = ["\n".join(heads(comparison))]
    for heading, made, words in tables(comparison):
        body = f"{grid(made.columns, made.rows)}\n{textwrap.fill(made.caption, 110)}" if made else words
        parts.append(f"{heading}\n{body}")
    cautions = [textwrap.fill(f"- {caution}", 110, subsequent_indent="  ") for caution in comparison.cautions]
    parts.append("What you may not conclude\n" + "\n".join(cautions))
    return "\n\n".join(parts) + "\n"


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> DataTable | None:
    return DataTable(caption, columns, rows) if rows else None


def _cells(row: RatioRow | PointsRow) -> list[str]:
    say, star = _SAY[row.quantity], "*" if row.interval == "range" else ""
    what = row.quantity
    if isinstance(row, PointsRow):
        against = _points(row.points)
        known = row.low is not None and row.high is not None
        span = f"[{_points(row.low or 0.0)}, {_points(row.high or 0.0)}]{star}" if known else "–"
    else:
        against = signed_percent(row.ratio - 1)
        span = f"[{signed_percent(row.low - 1)}, {signed_percent(row.high - 1)}]{star}"
        what += f", {row.scope} by {clean(str(row.source), 30)}" if row.scope else ""
    series = row.series
    names = [clean(name, 40) for name in (series.board_id, series.task, series.label)]
    return [*names, what, say(row.a), say(row.b), against, span, row.verdict, f"{row.n_a} / {row.n_b}"]


def _points(value: float) -> str:
    return f"{value:+.2f} points".replace("-", "−")


def _plain(value: object) -> str:
    return "not known" if value is None else clean(value if isinstance(value, str) else repr(value), 120)
