"""The report as Markdown, short enough for a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.formatting.privacy import Scrub, scrubbed
from tunebench.reports.formatting.units import clean, factor, percent, seconds, significant, size
from tunebench.reports.sections.findings import findings
from tunebench.reports.sections.groups import conditions, counted, engines, grouped, groups_of
from tunebench.reports.studies.lorae.constants import TITLE as LORAE
from tunebench.reports.studies.lorae.tables import headline as lorae_headline
from tunebench.reports.summary import Summary

#: GitHub takes 65,536 characters in a comment.
MAX_CHARS = 64_000
_SPECIAL = {ord(c): f"\\{c}" for c in "\\`*_[]|~"} | {
    ord("<"): "&lt;", ord(">"): "&gt;", ord("&"): "&amp;", ord("\n"): " ",
}  # fmt: skip
#: What hosts of Markdown turn into links even where it is escaped: a space without width keeps it text.
_LINKING = re.compile(r"(@|#|:/|www)(?=[\w/.])", re.I)
_NO_WIDTH = "\u200b"
#: Findings and cautions at most, each.
_MOST = 24
#: Characters of a study's table at most.
_MOST_STUDY = 8_000
_HEADINGS = (
    "method",
    "speed-up",
    "verdict",
    "time, median",
    "peak memory",
    "energy",
    "accuracy",
    "n",
    "validity",
)


def markdown(summary: Summary, scrub: Scrub = str) -> str:
    """Banner, one table a board and task, and what may not be concluded; at most ``MAX_CHARS`` characters.

    Foreign text is escaped: no markup, no mention, no link can come out of a name.
    """
    summary = scrubbed(summary, scrub)
    head, groups, end = f"{_head(summary)}\n\n{_seen(summary)}{_lorae(summary)}", [], _cautions(summary)
    left = MAX_CHARS - len(head) - len(end) - 200
    members = list(grouped(summary.rows).values())
    for done, rows in enumerate(members):
        part = _group(rows)
        if len(part) > left:
            groups.append(f"{len(members) - done} more tables are left out: a comment holds no more text.")
            break
        groups.append(part)
        left -= len(part) + 2
    return "\n\n".join([head, *groups, end]) + "\n"


def escaped(text: str, limit: int = 200) -> str:
    """Foreign text as Markdown that shows it and does nothing else.

    >>> escaped("<b>*x*</b> | a_b")
    '&lt;b&gt;\\\\*x\\\\*&lt;/b&gt; \\\\| a\\\\_b'
    >>> escaped("@team #1 http://a.b www.a.b").replace(_NO_WIDTH, "|")
    '@|team #|1 http:/|/a.b www|.a.b'
    """
    return _LINKING.sub(rf"\1{_NO_WIDTH}", clean(text, limit).translate(_SPECIAL))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; every cell is escaped."""
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(escaped(cell) or " " for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _head(summary: Summary) -> str:
    run, counts = summary.run, summary.counts
    state = "" if run.complete else ", **not complete**"
    lines = [
        f"## tunebench: {escaped(run.suite or 'run', 60)}",
        f"`{clean(run.run_id, 80).replace('`', '')}`{state}: {counts.recorded} repetitions, {counted(counts.by_class)}.",
    ]
    for control in summary.aa[:16]:
        times = control.speed_up
        result = f"{control.result}, {factor(times.factor)}" if times else control.result
        where = f"{escaped(control.board_id, 60)}, {escaped(control.task, 60)}"
        lines.append(f"- A/A control on {where}: {result}")
    if not summary.aa:
        lines.append("- No A/A control was run.")
    return lines[0] + "\n\n" + lines[1] + "\n\n" + "\n".join(lines[2:])


def _seen(summary: Summary) -> str:
    sentences = findings(groups_of(summary.rows))[:_MOST] or ["No method could be compared with a baseline."]
    return "### What was seen\n\n" + "\n".join(f"- {escaped(sentence, 400)}" for sentence in sentences)


def _lorae(summary: Summary) -> str:
    """What the LoRAE study comes to; nothing for other runs."""
    if summary.lorae is None:
        return ""
    lines = lorae_headline(summary.lorae)
    text = f"\n\n### {LORAE}\n\n{escaped(lines.caption)}\n\n{table(lines.columns, lines.rows)}"
    return text if len(text) < _MOST_STUDY else f"\n\n### {LORAE}\n\nToo long for a comment: see the page."


def _group(rows: Sequence[MethodResult]) -> str:
    first = rows[0]
    baseline = escaped(str(first.baseline), 40)
    under = f"{escaped(engines(rows), 60)} on {escaped(conditions(first), 80)}, baseline {baseline}"
    title = f"### {escaped(first.board_id, 60)} · {escaped(first.task, 60)}"
    return f"{title}\n\n{under}\n\n{table(_HEADINGS, [_row(row) for row in rows])}"


def _row(row: MethodResult) -> list[str]:
    speed, wall, energy, accuracy = row.speed_up, row.wall_s, row.energy, row.accuracy
    against = "baseline" if row.is_baseline else "–"
    if speed:
        star = "\u2217" if speed.interval == "range" else ""
        against = f"{factor(speed.factor)} ({significant(speed.low)}–{significant(speed.high)}){star}"
    return [
        clean(row.label, 40),
        against,
        speed.verdict.lower() if speed else "",
        seconds(wall.median) if wall else "–",
        (size(row.peak_rss_b.median) if row.peak_rss_b else "–") + _judged(row, "memory"),
        (f"{significant(energy.gross_j.median)} J {energy.scope}" if energy else "–")
        + _judged(row, "energy"),
        (percent(accuracy.after_mean) if accuracy else "–") + _judged(row, "accuracy"),
        str(row.n),
        row.verdict + (f": {clean(row.reasons[0].code, 30)}" if row.reasons else ""),
    ]


def _judged(row: MethodResult, quantity: str) -> str:
    """The verdict on a quantity other than time, where there is one."""
    judged = row.judged(quantity)
    return f", {judged.verdict.lower()}" if judged and judged.verdict != "NO VERDICT" else ""


def _cautions(summary: Summary) -> str:
    lines = [f"- {escaped(caution.message, 400)}" for caution in summary.cautions[:_MOST]]
    more = len(summary.cautions) - _MOST
    if more > 0:
        lines.append(f"- and {more} more in the report")
    return "### What you may not conclude\n\n" + (
        "\n".join(lines) or "- Nothing beyond the boards named above."
    )
