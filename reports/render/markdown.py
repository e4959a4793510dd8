"""The report as Markdown, short enough for a comment on a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.reports.formatting.markdown import escaped
from tunebench.reports.formatting.markdown import lines as folded
from tunebench.reports.formatting.privacy import Scrub, scrubbed
from tunebench.reports.formatting.units import clean, factor
from tunebench.reports.sections.base.groups import counted
from tunebench.reports.sections.registry import sections
from tunebench.reports.summary import Summary

#: GitHub takes 65,536 characters in a comment.
MAX_CHARS = 64_000
#: Answers and cautions at most, each.
_MOST = 24
#: Characters of either list at most: escaped, a hostile name is four times as long as it is.
_LIST_CHARS = 20_000


def markdown(summary: Summary, scrub: Scrub = str) -> str:
    """Return the report as Markdown: banner, answers, sections and cautions; at most ``MAX_CHARS`` characters.

    Foreign text is escaped: no markup, no mention, no link can come out of a name.
    """
    summary = scrubbed(summary, scrub)
    head = "\n\n".join([_head(summary), _answers(summary), _controls(summary)])
    end = _cautions(summary)
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
    return (
        f"## tunebench: {escaped(run.suite or 'run', 60)}\n\n"
        f"`{clean(run.run_id, 40).replace('`', '')}`{state}: {counts.recorded} repetitions, {counted(counts.by_class)}."
    )


def _answers(summary: Summary) -> str:
    lines = _fitting([answer.line for answer in summary.answers], 600)
    return "### What to use\n\n" + ("\n".join(lines) or "- No answer: nothing was recorded.")


def _controls(summary: Summary) -> str:
    lines = []
    for control in summary.aa[:16]:
        times = control.speed_up
        result = f"{control.result}, {factor(times.factor)}" if times else control.result
        where = f"{clean(control.board_id, 60)}, {clean(control.task, 60)}"
        lines.append(f"- {folded(f'A/A control on {where}: {result}', indent='  ')}")
    return "\n".join(lines) or "- No A/A control was run."


def _cautions(summary: Summary) -> str:
    lines = _fitting([caution.message for caution in summary.cautions], 400)
    return "### What you may not conclude\n\n" + (
        "\n".join(lines) or "- Nothing beyond the boards named above."
    )


def _fitting(sentences: Sequence[str], limit: int) -> list[str]:
    """Return sentences as a list, as many as fit into ``_LIST_CHARS``, and a line on how many do not."""
    lines: list[str] = []
    left = _LIST_CHARS
    for sentence in sentences[:_MOST]:
        line = f"- {folded(sentence, limit, indent='  ')}"
        left -= len(line)
        if left < 0:
            break
        lines.append(line)
    more = len(sentences) - len(lines)
    return [*lines, f"- and {more} more in the report"] if more > 0 else lines
