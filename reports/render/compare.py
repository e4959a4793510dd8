"""A comparison of two runs as a page, Markdown or plain text shows it: the same tables in all three."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.privacy import Scrub, scrubbed
from tunebench.reports.formatting.table import grid
from tunebench.reports.formatting.units import clean, percent, seconds, signed_percent, significant, size
from tunebench.reports.render.markdown import MAX_CHARS, escaped, table

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


def shown(found: Mapping[str, Any], scrub: Scrub = str) -> Mapping[str, Any]:
    """The comparison without text that names a person or a machine."""
    cleaned: Mapping[str, Any] = scrubbed(found, scrub)
    return cleaned


def sections(found: Mapping[str, Any]) -> list[Section]:
    """What stands below the heading of a comparison."""
    rows = [_cells(row) for row in found["rows"]]
    other = [
        [clean(one["where"], 60), clean(one["what"], 60), _plain(one["a"]), _plain(one["b"])]
        for one in found["environment"]
    ]
    lost = [
        [run, *(clean(one[key], 60) for key in ("board_id", "task", "label"))]
        for run, name in (("A", "only_a"), ("B", "only_b"))
        for one in found[name]
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


def heads(found: Mapping[str, Any]) -> list[str]:
    """A line a run: which it is, when, and whether it is whole."""
    lines = []
    for name in ("a", "b"):
        run = found[name]
        parts = [
            f"{name.upper()}: {clean(run['run_id'], 60)}",
            f"suite {clean(run['suite'], 40)}" if run["suite"] else "",
            clean(run["started_utc"], 30) if run["started_utc"] else "",
            "" if run["complete"] else "NOT COMPLETE",
        ]
        lines.append(", ".join(part for part in parts if part))
    return lines


def as_markdown(found: Mapping[str, Any], scrub: Scrub = str) -> str:
    """The comparison for a pull request, at most ``MAX_CHARS`` characters."""
    found = shown(found, scrub)
    parts = ["## tunebench: two runs", "\n".join(f"- {escaped(line)}" for line in heads(found))]
    parts.append("### What you may not conclude\n\n" + "\n".join(f"- {one}" for one in found["cautions"]))
    left = MAX_CHARS - sum(map(len, parts)) - 1000
    for heading, made, words in sections(found):
        text = f"### {heading}\n\n" + (table(made.columns, made.rows) if made else words)
        if len(text) > left:
            lines = text[: max(left, 0)].splitlines()[:-1]
            text = "\n".join(lines) + f"\n\n{heading}: the rest is left out; a comment holds no more text."
        left -= len(text) + 2
        parts.append(text)
    return "\n\n".join(parts) + "\n"


def as_text(found: Mapping[str, Any], scrub: Scrub = str) -> str:
    """The comparison for a terminal or a log."""
    found = shown(found, scrub)
    parts = ["\n".join(heads(found))]
    for heading, made, words in sections(found):
        body = f"{grid(made.columns, made.rows)}\n{textwrap.fill(made.caption, 110)}" if made else words
        parts.append(f"{heading}\n{body}")
    told = [textwrap.fill(f"- {one}", 110, subsequent_indent="  ") for one in found["cautions"]]
    parts.append("What you may not conclude\n" + "\n".join(told))
    return "\n\n".join(parts) + "\n"


def _table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> DataTable | None:
    return DataTable(caption, columns, rows) if rows else None


def _cells(row: Mapping[str, Any]) -> list[str]:
    say, star = _SAY[row["quantity"]], "*" if row["interval"] == "range" else ""
    if row["quantity"] == "accuracy":
        against = _points(row["points"])
        span = "–" if row["low"] is None else f"[{_points(row['low'])}, {_points(row['high'])}]{star}"
    else:
        against = signed_percent(row["ratio"] - 1)
        span = f"[{signed_percent(row['low'] - 1)}, {signed_percent(row['high'] - 1)}]{star}"
    what = row["quantity"] + (f", {row['scope']} by {clean(row['source'], 30)}" if row.get("scope") else "")
    names = [clean(row[key], 40) for key in ("board_id", "task", "label")]
    n = f"{row['n_a']} / {row['n_b']}"
    return [*names, what, say(row["a"]), say(row["b"]), against, span, row["verdict"], n]


def _points(value: float) -> str:
    return f"{value:+.2f} points".replace("-", "−")


def _plain(value: object) -> str:
    return "not known" if value is None else clean(value if isinstance(value, str) else repr(value), 120)
