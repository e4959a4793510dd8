"""What a comparison of two runs comes to, in one sentence: what is worse, then what is better, then what is open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tunebench.reports.analysis.verdict_words import BETTER


@dataclass(frozen=True, slots=True)
class Moved:
    """One quantity of one series in both runs.

    Attributes:
        name: the series as people read it, clean.
        quantity: ``time``, ``energy``, ``memory`` or ``accuracy``.
        verdict: on B against A.
        size: how far B lies from A, in words; ``far`` orders by it, larger is farther.
    """

    name: str
    quantity: str
    verdict: str
    size: str
    far: float


def comparison_answer(moved: Sequence[Moved]) -> str:
    """Return the sentence.

    >>> slow = Moved("pi · digits/mlp · ft-all", "time", "SLOWER", "+34.8%", 0.348)
    >>> same = Moved("pi · digits/mlp · ft-all", "memory", "SAME", "+0.1%", 0.001)
    >>> comparison_answer([same, slow])
    'B is worse than A in 1 of 2 comparisons: time +34.8% (pi · digits/mlp · ft-all); 1 is the same.'
    >>> comparison_answer([same])
    'B is not shown to differ from A in the one comparison; 1 is the same.'
    """
    if not moved:
        return "The runs share no series."
    worse = _farthest_first(item for item in moved if BETTER.get(item.verdict) is False)
    better = _farthest_first(item for item in moved if BETTER.get(item.verdict) is True)
    rest = [
        (sum(item.verdict == word for item in moved), words)
        for word, words in (("SAME", "the same"), ("UNCLEAR", "open"), ("NO VERDICT", "without a verdict"))
    ]
    parts = []
    if worse:
        parts.append(f"B is worse than A in {len(worse)} of {len(moved)} comparisons: {_most(worse)}")
    if better:
        subject = "better" if worse else "B is better than A"
        of = "" if worse else f" of {len(moved)} comparisons"
        parts.append(f"{subject} in {len(better)}{of}: {_most(better)}")
    if not parts:
        where = "the one comparison" if len(moved) == 1 else f"any of {len(moved)} comparisons"
        parts.append(f"B is not shown to differ from A in {where}")
    parts += [f"{number} {'is' if number == 1 else 'are'} {words}" for number, words in rest if number]
    return "; ".join(parts) + "."


def _farthest_first(items: Iterable[Moved]) -> list[Moved]:
    return sorted(items, key=lambda item: -item.far)


def _most(items: Sequence[Moved]) -> str:
    shown = ", ".join(f"{item.quantity} {item.size} ({item.name})" for item in items[:2])
    return shown + (f" and {len(items) - 2} more" if len(items) > 2 else "")
