"""The report as Markdown, short enough for a comment on a pull request."""

from __future__ import annotations

from tunebench.reports.formatting.markdown import escaped, lines
from tunebench.reports.formatting.privacy import Scrub, scrubbed
from tunebench.reports.formatting.units import clean, factor
from tunebench.reports.sections.base.findings import findings
from tunebench.reports.sections.base.groups import counted, groups_of
from tunebench.reports.sections.registry import sections
from tunebench.reports.summary import Summary

#: GitHub takes 65,536 characters in a comment.
MAX_CHARS = 64_000
#: Findings and cautions at most, each.
_MOST = 24


def markdown(summary: Summary, scrub: Scrub = str) -> str:
    """Return the report as Markdown: banner, sections and cautions; at most ``MAX_CHARS`` characters.

    Foreign text is escaped: no markup, no mention, no link can come out of a name.
    """
    summary = scrubbed(summary, scrub)
    head, end = f"{_head(summary)}\n\n{_seen(summary)}", _cautions(summary)
    left = MAX_CHARS - len(head) - len(end) - 200
    parts = []
    for section in sections():
        part = section.markdown(summary, left)
        if part:
            parts.append(part)
            left -= len(part) + 2
    return "\n\n".join([head, *parts, end]) + "\n"


def _head(summary: Summary) -> str:
    run, counts = summary.run, summary.counts
    state = "" if run.complete else ", **not complete**"
    heads = [
        f"## tunebench: {escaped(run.suite or 'run', 60)}",
        f"`{clean(run.run_id, 40).replace('`', '')}`{state}: {counts.recorded} repetitions, {counted(counts.by_class)}.",
    ]
    for control in summary.aa[:16]:
        times = control.speed_up
        result = f"{control.result}, {factor(times.factor)}" if times else control.result
        where = f"{clean(control.board_id, 60)}, {clean(control.task, 60)}"
        heads.append(f"- {lines(f'A/A control on {where}: {result}', indent='  ')}")
    if not summary.aa:
        heads.append("- No A/A control was run.")
    return heads[0] + "\n\n" + heads[1] + "\n\n" + "\n".join(heads[2:])


def _seen(summary: Summary) -> str:
    sentences = findings(groups_of(summary.rows))[:_MOST] or ["No method could be compared with a baseline."]
    return "### What was seen\n\n" + "\n".join(
        f"- {lines(sentence, 400, indent='  ')}" for sentence in sentences
    )


def _cautions(summary: Summary) -> str:
    cautions = [f"- {lines(caution.message, 400, indent='  ')}" for caution in summary.cautions[:_MOST]]
    more = len(summary.cautions) - _MOST
    if more > 0:
        cautions.append(f"- and {more} more in the report")
    return "### What you may not conclude\n\n" + (
        "\n".join(cautions) or "- Nothing beyond the boards named above."
    )
