"""A comparison of two runs as a page, Markdown or plain text shows it: the same tables in all three."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tunebench.reports.analysis.two_runs.comparison import (
    Head,
    PointsRow,
    RatioRow,
    RunComparison,
    SeriesName,
)
from tunebench.reports.analysis.two_runs.differences import shared_reasons
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.markdown import lines, table
from tunebench.reports.formatting.privacy import Scrub, scrubbed
from tunebench.reports.formatting.table import (
    bullets,
    grid,
    paragraph,
    terminal_width,
    text_width,
    within_width,
)
from tunebench.reports.formatting.units import clean, joules, percent, seconds, signed_percent, size
from tunebench.reports.render.markdown import MAX_CHARS

COLUMNS = ("board", "task", "method", "quantity", "A", "B", "B against A", "interval", "in these runs", "n")
_ROWS = (
    "Median of A and of B, and how far B lies from A (Hodges-Lehmann; accuracy: means); 95% intervals of Mann and "
    "Whitney, not paired; accuracy paired by seed. * range seen, too few values for an interval"
)
#: (heading, table, words where there is none)
Section = tuple[str, DataTable | None, str]
#: heading -> how many first columns say what a row of its table is about
_KEYS = {"Series in both runs": 4, "What else differs": 2, "Series in one run only": 3}
#: What the records call it -> what it is.
_WHAT = {
    "tunebench": "version of tunebench",
    "engine_version": "version of the engine",
    "payload_sha256": "code that travelled (payload)",
    "env_sha256": "virtual environment",
    "workload_sha256": "workloads' code and settings",
    "data_sha256": "data",
}
_DIGEST = re.compile("[0-9a-f]{40,64}")
_SAY: dict[str, Callable[[float], str]] = {
    "time": seconds,
    "memory": size,
    "energy": joules,
    "accuracy": lambda value: percent(value, 2),
}


def tables(comparison: RunComparison) -> list[Section]:
    """Return the tables that stand below the heading of a comparison."""
    rows = [_cells(row) for row in comparison.rows]
    other = [
        [clean(item.where, 60), _WHAT.get(item.what, clean(item.what, 60)), *_both(item.a, item.b)]
        for item in comparison.environment
    ]
    lost = [
        [run, *(clean(name, 60) for name in (series.board_id, series.task, series.label))]
        for run, only in (("A", comparison.only_a), ("B", comparison.only_b))
        for series in only
    ]
    return [
        ("Series in both runs", _table(_ROWS, COLUMNS, rows), _no_series(comparison)),
        *_not_shared(comparison),
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


def _no_series(comparison: RunComparison) -> str:
    """Say that nothing can be compared, and where to look for the reason."""
    empty = [f"{name} ({clean(run.run_id, 60)})" for name, run, only in _sides(comparison) if not only]
    if len(empty) == 2:
        return "The runs share no series. Neither holds a repetition that may be used."
    if empty:
        return f"The runs share no series. {empty[0]} holds no repetition that may be used."
    return "The runs share no series. Below stands in what they differ."


def _sides(comparison: RunComparison) -> list[tuple[str, Head, Sequence[SeriesName]]]:
    return [("A", comparison.a, comparison.only_a), ("B", comparison.b, comparison.only_b)]


def _not_shared(comparison: RunComparison) -> list[Section]:
    """Return the table of what keeps series apart; none where A has no series of its own."""
    reasons = shared_reasons(comparison.not_shared)
    if not reasons:
        return []
    rows = [
        [clean(what, 60), *_both(a, b), _names(labels, len(comparison.only_a))]
        for what, a, b, labels in reasons
    ]
    caption = "Each series of A held against the series of B that is nearest to it: what makes them two"
    return [("Why series are not shared", DataTable(caption, ("what differs", "A", "B", "of"), rows), "")]


def _names(labels: Sequence[str], everyone: int) -> str:
    if len(labels) == everyone and everyone > 1:
        return "every series of A"
    names = [clean(label, 40) for label in dict.fromkeys(labels)]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


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
    said = "\n".join(f"- {lines(line, indent='  ')}" for line in heads(comparison))
    cautions = "\n".join(f"- {lines(caution, indent='  ')}" for caution in comparison.cautions)
    answer = [f"**{lines(comparison.answer, 600)}**"] if comparison.rows else []
    parts = ["## tunebench: two runs", *answer, said, f"### What you may not conclude\n\n{cautions}"]
    left = MAX_CHARS - sum(map(len, parts)) - 1000
    for heading, made, words in tables(comparison):
        keys = _KEYS.get(heading, 1)
        text = f"### {heading}\n\n" + (
            table(made.columns, made.rows, keys=min(keys, 3)) if made else lines(words)
        )
        if len(text) > left:
            full_lines = text[: max(left, 0)].splitlines()[:-1]
            text = (
                "\n".join(full_lines) + f"\n\n{heading}: the rest is left out; a comment holds no more text."
            )
        left -= len(text) + 2
        parts.append(text)
    return "\n\n".join(parts) + "\n"


def as_text(comparison: RunComparison, scrub: Scrub = str, width: int | None = None) -> str:
    """Return the comparison for a terminal or a log; ``width``: as :func:`tunebench.reports.render.text.table` has it."""
    with text_width(width or terminal_width()):
        return _text(scrubbed(comparison, scrub))


def _text(comparison: RunComparison) -> str:
    parts = ["\n".join(heads(comparison))]
    if comparison.rows:
        parts.insert(0, paragraph(comparison.answer))
    for heading, made, words in tables(comparison):
        laid_out = grid(made.columns, made.rows, keys=_KEYS.get(heading, 1)) if made else ""
        body = f"{laid_out}\n{paragraph(made.caption)}" if made else paragraph(words)
        parts.append(f"{heading}\n{body}")
    parts.append("What you may not conclude\n" + bullets(comparison.cautions))
    return within_width("\n\n".join(parts) + "\n")


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> DataTable | None:
    return DataTable(caption, columns, rows) if rows else None


def _cells(row: RatioRow | PointsRow) -> list[str]:
    say, star = _SAY[row.quantity], "*" if row.interval == "range" else ""
    what = row.quantity
    if isinstance(row, PointsRow):
        against = _points(row.points)
        known = row.low is not None and row.high is not None
        span = f"[{_points(row.low or 0.0)}, {_points(row.high or 0.0)}]{star}" if known else "–"
        if row.paired == 1:
            span = "one seed"
    else:
        against = signed_percent(row.ratio - 1)
        span = f"[{signed_percent(row.low - 1)}, {signed_percent(row.high - 1)}]{star}"
        if row.n_a == row.n_b == 1:
            # Once against once: a ratio, and nothing that an interval could be made from.
            span = "one value each"
        what += f", {row.scope} by {clean(str(row.source), 30)}" if row.scope else ""
    series = row.series
    names = [clean(name, 40) for name in (series.board_id, series.task, series.label)]
    return [*names, what, say(row.a), say(row.b), against, span, row.verdict, f"{row.n_a} / {row.n_b}"]


def _points(value: float) -> str:
    return f"{value:+.2f} points".replace("-", "−")


def _both(a: object, b: object) -> tuple[str, str]:
    """Return both values in words; of long lists only what is not in the other, hashes by their first digits."""
    # A run whose records tell none has an empty text.
    ours, theirs = (
        set(filter(None, value.split(", "))) if isinstance(value, str) else set() for value in (a, b)
    )
    if all(_DIGEST.fullmatch(item) for item in ours | theirs) and ours | theirs:
        return _digests(ours, theirs), _digests(theirs, ours)
    return _plain(a), _plain(b)


def _digests(own: set[str], other: set[str]) -> str:
    """Say how many hashes there are and how many of them both runs have; one alone is named by its first digits."""
    if len(own) == 1 and not own & other:
        return f"{next(iter(own))[:12]}…"
    return f"{len(own)}, {len(own & other)} of them in both" if own else "not known"


def _plain(value: object) -> str:
    return (
        "not known" if value in (None, "") else clean(value if isinstance(value, str) else repr(value), 120)
    )
