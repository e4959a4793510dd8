"""A verdict as a symbol, a word and a colour; the symbol's shape tells it without the colour."""

from __future__ import annotations

from dataclasses import dataclass

from tunebench.reports.analysis.row import SpeedUp, Verdict
from tunebench.reports.analysis.verdict_words import BETTER

_OTHERS = {"SAME": ("■", "v-same"), "UNCLEAR": ("○", "v-unclear"), "NO VERDICT": ("◇", "v-none")}


@dataclass(frozen=True, slots=True)
class Mark:
    """A verdict as it is shown: the symbols are the markers of the figures."""

    symbol: str
    word: str
    css: str


def mark_of(word: str | None, *, withheld: bool = False) -> Mark:
    """Return the mark of a verdict's word; None: nothing was compared.

    >>> mark_of("FASTER"), mark_of("LOWER").symbol, mark_of(None).word
    (Mark(symbol='▶', word='faster', css='v-faster'), '◀', 'not compared')
    """
    if word is None:
        return Mark("–", "not compared", "v-none")
    better = BETTER.get(word)
    if better is not None:
        return Mark("▶" if better else "◀", word.lower(), "v-faster" if better else "v-slower")
    symbol, css = _OTHERS[word]
    return Mark(symbol, "withheld" if withheld else word.lower(), css)


def mark(judged: Verdict | SpeedUp | None) -> Mark:
    """Return the mark of a verdict; None: nothing was compared."""
    return mark_of(None) if judged is None else mark_of(judged.verdict, withheld=judged.withheld)
