"""What was trained on texts, and the phases on the way to a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tunebench.reports.analysis.row.medians import Median, Spread


@dataclass(frozen=True, slots=True)
class TextPhase:
    """One phase of the way to a result that can be used, in an instrumented repetition.

    Attributes:
        took_s: None where the phase did not end; ``missing`` says why.
        peak_b: highest resident memory in it, interpreter and packages included.
        failed: whether it was tried and did not end; False where a method has no such phase.
    """

    took_s: float | None
    peak_b: float | None
    missing: str | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class TextTraining:
    """What was trained on texts, over the repetitions that stand in the times.

    Attributes:
        train_tokens: of one fine-tuning, without padding; passes that read a cache count theirs, too.
        padding: share of the tokens of all batches.
        predicted_total_b: memory that the graph foretold, on top of the idle interpreter.
        before: the task's metric, a share.
        after: of it after training; None where quality says nothing (random weights).
        phases: by name, in the order in which a board meets them; empty without an instrumented repetition.
    """

    tokens_per_s: Spread
    train_tokens: float | None
    padding: float | None
    predicted_total_b: float | None
    before: Median | None
    after: Median | None
    phases: Mapping[str, TextPhase]
