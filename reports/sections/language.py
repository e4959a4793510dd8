"""The section on language models: tokens a second and joules a token, memory beside its prediction, every phase."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from tunebench.reports.analysis.row import MethodResult
from tunebench.reports.figures import DataTable
from tunebench.reports.formatting.units import clean, percent, seconds, significant, size
from tunebench.reports.records import Repetition
from tunebench.reports.sections.base.section import Page, Section, partial
from tunebench.reports.stats.sample import median_interval

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
#: phases in the order in which a board meets them
PHASES = ("load", "first_step", "steady_step", "merge", "save", "reload")
#: what others have published, by a secondary source: not measured here, on other devices
PUBLISHED = (
    "QVAC, Qwen3-1.7B, LoRA on Q8 weights: 6.1 tokens/s on an Adreno GPU",
    "MobileFineTuner, Qwen-0.5B, LoRA, 128 tokens: 2,887 MB",
    "MobileFineTuner, Gemma-270M, LoRA, 128 tokens: 4,014 MB",
)
SECONDARY = "published (secondary source)"
_TOKENS = "tokens_per_s"


@dataclass(frozen=True)
class _View:
    table: DataTable
    phases: DataTable | None
    notes: Sequence[str]
    published: Sequence[str]


class LanguageSection(Section):
    """The section on language models; left out where no text was trained on."""

    ident = "language"
    nav = "Language models"

    def template(self) -> str:
        """Return the section's partial."""
        return partial("language")

    def view(self, page: Page) -> _View | None:
        """Return a row a method that counted its tokens, and the phases of its instrumented repetition."""
        by_id = {rep.rep_id: rep for rep in page.reader.repetitions}
        cells: list[list[str]] = []
        phases: list[list[str]] = []
        notes: list[str] = []
        for row in page.summary.rows:
            reps = [by_id[name] for name in row.rep_ids if name in by_id]
            if not any(_TOKENS in rep.metrics for rep in reps):
                continue
            cells.append(_row(row, reps))
            instrumented = _instrumented(row, page.reader.repetitions)
            if instrumented is not None:
                phases.append(_phases(row, instrumented))
                notes += _reasons(row, instrumented, page)
        if not cells:
            return None
        headings = ("board", "task", "method", *(phase.replace("_", " ") for phase in PHASES))
        return _View(
            DataTable(CAPTION, HEADINGS, cells),
            DataTable(PHASES_CAPTION, headings, phases) if phases else None,
            list(dict.fromkeys(notes)),
            [f"{SECONDARY}: {words}." for words in PUBLISHED],
        )


def _names(row: MethodResult) -> list[str]:
    dtype = "" if row.dtype == "float32" else f" ({row.dtype})"
    return [clean(row.board_id, 40), clean(row.task, 40), clean(row.label, 32) + dtype]


def _row(row: MethodResult, reps: Sequence[Repetition]) -> list[str]:
    tokens = _median(reps, "train_tokens")
    padded, foretold = _median(reps, "padded_tokens"), _median(reps, "predicted_total_b")
    rate = _median(reps, _TOKENS)
    joules = row.energy.gross_j.median if row.energy is not None else None
    return [
        *_names(row),
        str(row.n),
        significant(rate) if rate is not None else "-",
        percent(1 - tokens / padded) if tokens and padded else "-",
        f"{significant(joules / tokens)} J" if joules is not None and tokens else "-",
        size(row.peak_rss_b.median) if row.peak_rss_b is not None else "-",
        size(row.over_idle_b.median) if row.over_idle_b is not None else "-",
        size(foretold) if foretold is not None else "-",
        clean(row.accuracy.metric, 30) if row.accuracy is not None else "-",
        _quality(rep.quality.before for rep in reps),
        _quality(rep.quality.after for rep in reps),
    ]


def _quality(values: Iterable[float | None]) -> str:
    """Return the median with its interval, or a dash."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    interval = median_interval(known)
    if interval.n == 1:
        return percent(interval.median)
    what = "" if interval.kind == "order-statistic" else f", range of {interval.n}"
    return f"{percent(interval.median)} ({percent(interval.low)} to {percent(interval.high)}{what})"


def _median(reps: Iterable[Repetition], name: str) -> float | None:
    values = [rep.metrics[name] for rep in reps if name in rep.metrics]
    return median(values) if values else None


def _instrumented(row: MethodResult, repetitions: Iterable[Repetition]) -> Repetition | None:
    """Return the instrumented repetition of a row's workload that tells its phases; None without one."""
    wanted = (
        row.board_id,
        row.task,
        row.label,
        row.engine,
        row.device,
        row.threads,
        row.dtype,
        row.power_mode,
    )
    for rep in repetitions:
        own = (
            rep.board_id,
            rep.task,
            rep.label,
            rep.engine,
            rep.device,
            rep.threads,
            rep.dtype,
            rep.power_mode,
        )
        if rep.role == "instrumented" and own == wanted and "load_s" in rep.metrics:
            return rep
    return None


def _phases(row: MethodResult, rep: Repetition) -> list[str]:
    return [*_names(row), *(_phase(rep, phase) for phase in PHASES)]


def _phase(rep: Repetition, phase: str) -> str:
    took_s, peak_b = rep.metrics.get(f"{phase}_s"), rep.metrics.get(f"{phase}_peak_b")
    if took_s is None:
        return "failed" if _failed(rep.missing.get(phase, "")) else "-"
    return seconds(took_s) + ("" if peak_b is None else f", {size(peak_b)}")


def _failed(reason: str) -> bool:
    return bool(reason) and "nothing to merge" not in reason


def _reasons(row: MethodResult, rep: Repetition, page: Page) -> list[str]:
    """Say why phases are missing, each failure with its method."""
    label = clean(row.label, 32)
    return [
        f"{phase.replace('_', ' ').capitalize()} of {label}: {clean(page.scrub(reason), 300)}."
        for phase in PHASES
        if (reason := rep.missing.get(phase, "")) and f"{phase}_s" not in rep.metrics
    ]


SECTION = LanguageSection()
