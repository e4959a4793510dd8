"""What a cell tells of training on texts: tokens a second, quality with its interval, memory by phase."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from tunebench.reports.analysis.row import Median, TextPhase, TextTraining
from tunebench.reports.analysis.within.spreads import spread
from tunebench.reports.records import Repetition
from tunebench.reports.stats.sample import median_interval

#: Phases in the order in which a board meets them.
PHASES = ("load", "first_step", "steady_step", "merge", "save", "reload")
_RATE = "tokens_per_s"
#: The reason of a phase that a method does not have; every other reason is a failure.
_NOTHING_TO_DO = "nothing to merge"


def text_training(reps: Sequence[Repetition], used: Sequence[Repetition]) -> TextTraining | None:
    """Return what a cell's repetitions tell of training on texts; None of a cell that counted no tokens.

    Args:
        reps: all of the cell, for its instrumented repetition.
        used: those that stand in its times.
    """
    rate = spread(rep.metrics.get(_RATE) for rep in used)
    if rate is None:
        return None
    tokens, padded = _middle(used, "train_tokens"), _middle(used, "padded_tokens")
    return TextTraining(
        tokens_per_s=rate,
        train_tokens=tokens,
        padding=1 - tokens / padded if tokens and padded else None,
        predicted_total_b=_middle(used, "predicted_total_b"),
        before=_interval(rep.quality.before for rep in used),
        after=_interval(rep.quality.after for rep in used),
        phases=_phases(reps),
    )


def _middle(reps: Iterable[Repetition], name: str) -> float | None:
    values = [rep.metrics[name] for rep in reps if name in rep.metrics]
    return median(values) if values else None


def _interval(values: Iterable[float | None]) -> Median | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    middle = median_interval(known)
    return Median(middle.n, middle.median, middle.low, middle.high, middle.kind, middle.confidence)


def _phases(reps: Sequence[Repetition]) -> dict[str, TextPhase]:
    """Return the phases of the first instrumented repetition that tells them; none without one."""
    wanted = (rep for rep in reps if rep.role == "instrumented" and "load_s" in rep.metrics)
    rep = next(wanted, None)
    return {phase: _phase(rep, phase) for phase in PHASES} if rep is not None else {}


def _phase(rep: Repetition, phase: str) -> TextPhase:
    took_s = rep.metrics.get(f"{phase}_s")
    if took_s is not None:
        return TextPhase(took_s, rep.metrics.get(f"{phase}_peak_b"))
    reason = rep.missing.get(phase) or None
    return TextPhase(None, None, reason, failed=reason is not None and _NOTHING_TO_DO not in reason)
