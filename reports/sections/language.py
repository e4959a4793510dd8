"""The section on language models: tokens a second, joules a token, memory, every phase, quality at a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.row import AtBudget, Median, MethodResult, TextPhase, TextTraining
from tunebench.reports.analysis.within.language import PHASES
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting import markdown
from tunebench.reports.formatting.table import bullets, grid, paragraph
from tunebench.reports.formatting.units import clean, joules, percent, seconds, significant, size
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.summary import Summary

CAPTION = (
    "Of one fine-tuning; medians over the repetitions that stand in the times. Tokens are those of the texts that were "
    "trained on: padding is left out, and passes that read a cache count theirs, too. Memory is the highest that was "
    "resident, and what of it came on top of the idle interpreter, beside what the graph foretold of that. Quality: "
    "median over the seeds with its 95% interval, below six seeds with their range."
)
HEADINGS = (
    "board", "task", "method", "n", "tokens/s", "padding", "J/token", "peak memory", "over idle", "foretold",
    "quality", "before", "after",
)  # fmt: skip
PHASES_CAPTION = (
    "From the instrumented repetition: seconds of each phase, and the highest resident memory in it (interpreter and "
    "packages are in it). Steady step: the median of the last epoch, whose peak it is. Reload: a new process loads what "
    "was saved and runs one text."
)
BUDGET_CAPTION = (
    "Quality at a budget: the best point of the recorded curve within so many seconds of training, so much peak memory, "
    "so many joules; median over the instrumented repetitions with its interval, below six of them their range. Before "
    "the first point stands what it began with. Chosen by the test items themselves, so no promise for new ones; joules "
    "are the unmarked fine-tuning's, spread evenly over it. Budgets are the suite's (key budgets), else rounded up from "
    "what the methods take."
)
#: what others have published, by a secondary source: not measured here, on other devices
PUBLISHED = (
    "QVAC, Qwen3-1.7B, LoRA on Q8 weights: 6.1 tokens/s on an Adreno GPU",
    "MobileFineTuner, Qwen-0.5B, LoRA, 128 tokens: 2,887 MB",
    "MobileFineTuner, Gemma-270M, LoRA, 128 tokens: 4,014 MB",
)
SECONDARY = "published (secondary source)"
_BUDGET: Mapping[str, Callable[[float], str]] = {"time": seconds, "memory": size, "energy": joules}
#: So many characters of Markdown at most: a comment holds the other sections, too.
_MOST_MARKDOWN = 8_000
#: Columns that Markdown shows: what a reader of a comment decides by.
_IN_MARKDOWN = (0, 1, 2, 4, 6, 7, 11, 12)


@dataclass(frozen=True)
class _View:
    tables: Sequence[DataTable]
    notes: Sequence[str]
    published: Sequence[str]


class LanguageSection(Section):
    """The section on language models; left out where no text was trained on."""

    ident = "language"
    nav = "Language models"
    text_place = 46

    def template(self) -> str:
        """Return the section's partial."""
        return partial("language")

    def view(self, page: Page) -> _View | None:
        """Return a row a method that counted its tokens, and the phases of its instrumented repetition."""
        return _view(page.summary.rows)

    def text(self, summary: Summary) -> Sequence[str]:
        """Return the tables of the page, one below the other, with its notes."""
        view = _view(summary.rows)
        if view is None:
            return []
        blocks = [
            f"{paragraph(table.caption)}\n{grid(table.columns, table.rows, keys=3)}" for table in view.tables
        ]
        return ["Language models\n" + blocks[0], *blocks[1:], bullets([*view.notes, *view.published])]

    def markdown(self, summary: Summary, limit: int) -> str:
        """Return tokens, joules, memory and quality of each method, also at budgets, and the phases that failed."""
        view = _view(summary.rows)
        if view is None:
            return ""
        first = view.tables[0]
        rows = [[row[i] for i in _IN_MARKDOWN] for row in first.rows]
        blocks = [
            f"### {self.nav}",
            markdown.table([first.columns[i] for i in _IN_MARKDOWN], rows, keys=3),
            *(
                f"Quality at a budget:\n\n{markdown.table(table.columns, table.rows, keys=3)}"
                for table in view.tables
                if table.caption == BUDGET_CAPTION
            ),
            "\n".join(f"- {markdown.lines(note, indent='  ')}" for note in view.notes),
        ]
        text = "\n\n".join(block for block in blocks if block)
        if len(text) <= min(limit, _MOST_MARKDOWN):
            return text
        short = f"### {self.nav}\n\nToo long for a comment: see the page."
        return short if len(short) <= limit else ""


def _view(rows: Sequence[MethodResult]) -> _View | None:
    trained = [(row, row.texts) for row in rows if row.texts is not None]
    if not trained:
        return None
    tables = [DataTable(CAPTION, HEADINGS, [_row(row, texts) for row, texts in trained])]
    phased = [(row, texts.phases) for row, texts in trained if texts.phases]
    if phased:
        headings = ("board", "task", "method", *(phase.replace("_", " ") for phase in PHASES))
        cells = [[*_names(row), *(_phase(phases[phase]) for phase in PHASES)] for row, phases in phased]
        tables.append(DataTable(PHASES_CAPTION, headings, cells))
    tables += _budget_tables([row for row, _ in trained])
    notes = [note for row, texts in trained for note in _reasons(row, texts)]
    notes += [
        f"Quality at a budget of {clean(row.label, 32)}: refused, {clean(row.at_budget.missing, 300)}."
        for row, _ in trained
        if row.at_budget is not None and row.at_budget.missing
    ]
    published = [f"{SECONDARY}: {words}." for words in PUBLISHED]
    return _View(tables, list(dict.fromkeys(notes)), published)


def _budget_tables(rows: Sequence[MethodResult]) -> list[DataTable]:
    """Return a table a board and task, whose methods share their budgets; none where no method has a curve."""
    tables = []
    for board, task in dict.fromkeys((row.board_id, row.task) for row in rows):
        members = [
            (row, row.at_budget.within)
            for row in rows
            if (row.board_id, row.task) == (board, task)
            and row.at_budget is not None
            and row.at_budget.within
        ]
        if members:
            headings = [f"within {_BUDGET[each.quantity](each.budget)}" for each in members[0][1]]
            cells = [[*_names(row), *map(_at_budget, within)] for row, within in members]
            tables.append(DataTable(BUDGET_CAPTION, ("board", "task", "method", *headings), cells))
    return tables


def _at_budget(each: AtBudget) -> str:
    return _quality(each.quality) if each.quality is not None else str(each.missing)


def _names(row: MethodResult) -> list[str]:
    base = row.params.get("quantized_base")
    formats = [row.dtype] * (row.dtype != "float32") + [f"base {clean(str(base), 16)}"] * (base is not None)
    numbers = f" ({', '.join(formats)})" if formats else ""
    return [clean(row.board_id, 40), clean(row.task, 40), clean(row.label, 32) + numbers]


def _row(row: MethodResult, texts: TextTraining) -> list[str]:
    spent_j, tokens = row.energy.gross_j.median if row.energy is not None else None, texts.train_tokens
    return [
        *_names(row),
        str(row.n),
        significant(texts.tokens_per_s.median),
        percent(texts.padding) if texts.padding is not None else "-",
        f"{significant(spent_j / tokens)} J" if spent_j is not None and tokens else "-",
        size(row.peak_rss_b.median) if row.peak_rss_b is not None else "-",
        size(row.over_idle_b.median) if row.over_idle_b is not None else "-",
        size(texts.predicted_total_b) if texts.predicted_total_b is not None else "-",
        clean(row.accuracy.metric, 30) if row.accuracy is not None else "-",
        _quality(texts.before),
        _quality(texts.after),
    ]


def _quality(share: Median | None) -> str:
    """Return the median with its interval, or a dash."""
    if share is None:
        return "-"
    if share.n == 1:
        return percent(share.median)
    what = "" if share.interval == "order-statistic" else f", range of {share.n}"
    return f"{percent(share.median)} ({percent(share.low)} to {percent(share.high)}{what})"


def _phase(phase: TextPhase) -> str:
    if phase.took_s is None:
        return "failed" if phase.failed else "-"
    return seconds(phase.took_s) + ("" if phase.peak_b is None else f", {size(phase.peak_b)}")


def _reasons(row: MethodResult, texts: TextTraining) -> list[str]:
    """Say why phases are missing, each failure with its method."""
    label = clean(row.label, 32)
    return [
        f"{name.replace('_', ' ').capitalize()} of {label}: {clean(phase.missing, 300)}."
        for name, phase in texts.phases.items()
        if phase.missing
    ]


SECTION = LanguageSection()
