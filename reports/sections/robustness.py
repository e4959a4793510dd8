"""The section on robustness: each method under stressors beside its quiet row."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tunebench.reports.analysis.row import MethodResult, PairedRatio, UnderStress
from tunebench.reports.formatting import markdown
from tunebench.reports.formatting.noted_table import NotedTable, left_out, noted_table
from tunebench.reports.formatting.units import clean, seconds, significant, size
from tunebench.reports.records import OPERATING_POINTS
from tunebench.reports.sections.base.section import NotedSection, partial
from tunebench.reports.summary import Summary

CAPTION = (
    "Under a stressor over quiet: ratios are paired by block, of the repetitions that ended well, each with its 95% "
    "interval alone (* below six blocks: the smallest and largest). Host: all that a repetition took, seen by the host. "
    "Held: what was read back from the board while it lasted."
)
HEADINGS = (
    "board", "task", "method", "stressor", "ended", "quiet", "under it", "time", "quiet memory", "memory", "host", "held",
)  # fmt: skip
#: Figure read back -> how it is said.
_FIGURES: Mapping[str, Callable[[float], str]] = {
    "load_cores": lambda value: f"{significant(value)} cores busy",
    "held_b": lambda value: f"{size(value)} held",
    "available_b": lambda value: f"{size(value)} available at the end",
    "max_freq_hz": lambda value: f"{significant(value / 1e6, 4)} MHz at most",
    "link_up_bit_s": lambda value: f"{significant(value / 1e3)} kbit/s up",
    "link_down_bit_s": lambda value: f"{significant(value / 1e3)} kbit/s down",
    "link_rtt_s": lambda value: f"round trip {seconds(value)}",
}
#: Why a row is left out begins so, where its stressor cannot be had.
_SKIPPED = "stressor "


class RobustnessSection(NotedSection):
    """The section on robustness; left out where nothing was measured under a stressor."""

    ident = "robustness"
    nav = "Robustness"
    text_place = 42
    caption = CAPTION

    def template(self) -> str:
        """Return the section's partial."""
        return partial("robustness")

    def noted(self, summary: Summary) -> NotedTable | None:
        """Return a row a method and stressor, and why others are missing."""
        return _noted(summary)

    def markdown(self, summary: Summary, limit: int) -> str:
        """Return the table without memory and what was held, and the notes."""
        view = self.noted(summary)
        if view is None:
            return ""
        blocks = [f"### {self.nav}"]
        if view.table is not None:
            shown = (0, 1, 2, 3, 4, 5, 6, 7)
            rows = [[row[i] for i in shown] for row in view.table.rows]
            blocks.append(markdown.table([HEADINGS[i] for i in shown], rows, keys=4))
        blocks.append("\n".join(f"- {markdown.lines(note, indent='  ')}" for note in view.notes))
        text = "\n\n".join(block for block in blocks if block)
        return text if len(text) <= limit else ""


def _noted(summary: Summary) -> NotedTable | None:
    stressed = [
        (row, under)
        for row in summary.rows
        if (under := row.under_stress) is not None
        and under.kind not in OPERATING_POINTS
        and not row.aa_control
    ]
    notes = [
        f"{clean(row.label, 32)}, {clean(under.id, 40)}: {under.missing}."
        for row, under in stressed
        if under.missing is not None
    ]
    notes += left_out(summary.skipped, _SKIPPED)
    return noted_table(CAPTION, HEADINGS, [_row(row, under) for row, under in stressed], notes)


def _row(row: MethodResult, under: UnderStress) -> list[str]:
    return [
        clean(row.board_id, 40),
        clean(under.quiet_task, 40),
        clean(row.label, 32),
        clean(under.id, 40),
        _ended(under),
        seconds(under.quiet_wall_s) if under.quiet_wall_s is not None else "-",
        seconds(row.wall_s.median) if row.wall_s is not None else "-",
        _words(under.time),
        size(under.quiet_peak_rss_b) if under.quiet_peak_rss_b is not None else "-",
        _words(under.memory),
        _words(under.host),
        "; ".join(words(under.figures[name]) for name, words in _FIGURES.items() if name in under.figures)
        or "-",
    ]


def _ended(under: UnderStress) -> str:
    """Say how the repetitions ended, and in how many the stressor did not hold."""
    n = sum(under.outcomes.values())
    ended = ", ".join(f"{times} {outcome}" for outcome, times in under.outcomes.items()) or "none"
    return ended if under.n_held == n else f"{ended}; held in {under.n_held} of {n}"


def _words(ratio: PairedRatio | None) -> str:
    if ratio is None:
        return "-"
    star = "*" if ratio.interval == "range" else ""
    return f"x{significant(ratio.ratio)} [{significant(ratio.low)}, {significant(ratio.high)}]{star}"


SECTION = RobustnessSection()
