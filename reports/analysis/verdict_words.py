"""Say a verdict in words: what was seen, how sure that is, and what would settle it."""

from __future__ import annotations

from dataclasses import dataclass

from tunebench.reports.analysis.row import SpeedUp, Verdict
from tunebench.reports.formatting.units import clean, factor, signed_percent, significant
from tunebench.reports.stats.attainable import ALPHA
from tunebench.reports.stats.paired import MAX_BLOCKS_NEEDED, MIN_BLOCKS
from tunebench.reports.stats.signed_rank import min_values

_OPEN = ("UNCLEAR", "NO VERDICT")
#: verdict -> whether it is good news; the others are neither.
BETTER = {"FASTER": True, "SLOWER": False, "LESS": True, "MORE": False, "HIGHER": True, "LOWER": False}

#: Stands where an interval would: a single pair has none, and its value twice is no range.
ONE_BLOCK = "one block"


@dataclass(frozen=True, slots=True)
class Settling:
    """What would settle a verdict that is open.

    Attributes:
        blocks: about how many further blocks; None if no reasonable number of blocks would.
        items: the number of test items, where these and not the blocks are too few; else None.
        least: whether ``blocks`` is the least that a verdict of any kind needs, not an estimate.
    """

    blocks: int | None
    items: int | None = None
    least: bool = False

    @property
    def words(self) -> str:
        """Return what would settle it, without the end of the sentence.

        >>> Settling(1).words, Settling(4, least=True).words
        ('about 1 more block would settle it', 'at least 4 more blocks are needed')
        >>> Settling(None, items=97).words
        'more blocks will not settle it: the 97 test items are too few'
        """
        if self.blocks is None:
            if self.items is not None:
                return f"more blocks will not settle it: the {self.items} test items are too few"
            return "the difference lies so near the edge that no reasonable number of blocks would settle it"
        more = f"{self.blocks} more block{'s' if self.blocks != 1 else ''}"
        if self.least:
            return f"at least {more} {'are' if self.blocks != 1 else 'is'} needed"
        return f"about {more} would settle it"


def settling(judged: Verdict | SpeedUp) -> Settling | None:
    """Return what would settle a verdict; None if it is settled, or withheld because the A/A control failed."""
    if judged.withheld or judged.verdict not in _OPEN:
        return None
    if judged.verdict == "NO VERDICT":
        return Settling(max(1, judged.blocks_needed), least=True)
    if judged.blocks_needed < MAX_BLOCKS_NEEDED:
        return Settling(max(1, judged.blocks_needed))
    pairs = judged.pairs if isinstance(judged, Verdict) and judged.limited_by == "items" else None
    return Settling(None, items=pairs.items if pairs else None)


def reason(verdict: Verdict) -> str:
    """Say in one sentence why a verdict is what it is."""
    alone, band = verdict.verdict_alone, _band(verdict)
    if verdict.verdict == "NO VERDICT":
        return f"{_blocks(verdict.n)}: a verdict needs {fewest_words(verdict)}."
    if verdict.verdict == "SAME":
        return f"The interval lies wholly within {band}."
    if verdict.verdict != "UNCLEAR":
        return f"The interval lies wholly beyond {band}."
    if alone == "UNCLEAR":
        why = f"The interval crosses the edge of {band}"
    else:
        why = f"{alone} on its own, but not {_level_words(verdict)}"
        # An unclear verdict was tested, so it has a level.
        fewest = min_values(1 - (verdict.level or 0.0))
        if verdict.adjusted_low is None:
            why += f", which needs at least {fewest} blocks"
    return f"{why}. {_more(verdict)}"


def fewest_words(verdict: Verdict) -> str:
    """Say how many blocks the first verdict of these methods asks for, and why more than six.

    Only for a verdict that is missing for want of blocks.
    """
    fewest = verdict.n + verdict.blocks_needed
    because = " (Holm's correction for several methods)"
    if verdict.alpha < ALPHA:
        because = f" (at this look's level of {100 * verdict.alpha:.2g}%)"
    return f"at least {fewest}{because if fewest > MIN_BLOCKS else ''}"


def _level_words(verdict: Verdict) -> str:
    if verdict.alpha < ALPHA:
        return f"at this look's level of {100 * verdict.alpha:.2g}% over {_methods(verdict.methods)}"
    return f"after Holm's correction over {_methods(verdict.methods)}"


def _methods(count: int) -> str:
    return f"{count} method{'s' if count != 1 else ''}"


def _more(verdict: Verdict) -> str:
    needed = settling(verdict)
    return f"{needed.words[:1].upper()}{needed.words[1:]}." if needed else ""


def withheld_reason(control: Verdict, baseline: str) -> str:
    """Say that no verdict is given, although there is an interval, because the A/A control failed."""
    return (
        f"Withheld: the A/A control shows a difference ({clean(baseline, 40)} against itself: {effect(control)} "
        f"{span(control)})."
    )


def effect(verdict: Verdict) -> str:
    """Return the size of a difference in words: percent for ratios, points for accuracy."""
    return size_words(verdict.unit, verdict.value)


def size_words(unit: str, value: float) -> str:
    """Return a difference in words; ``unit`` is ``ratio`` or ``points``.

    >>> size_words("ratio", 0.5), size_words("points", -0.25)
    ('−50.0%', '−0.25 points')
    """
    if unit == "points":
        return f"{value:+.2f} points".replace("-", "−")
    return signed_percent(value - 1)


def span(verdict: Verdict) -> str:
    """Return the interval of a difference in words; one block has none."""
    if verdict.n == 1:
        return ONE_BLOCK
    return span_words(verdict.unit, verdict.low, verdict.high, verdict.interval)


def span_words(unit: str, low: float, high: float, interval: str) -> str:
    """Return an interval in words; a star marks a range.

    >>> span_words("ratio", 0.4, 0.6, "wilcoxon")
    '[−60.0%, −40.0%]'
    >>> span_words("points", -1.0, 0.5, "range")
    '[−1.00, +0.50]*'
    """
    star = "*" if interval == "range" else ""
    if unit == "points":
        return f"[{low:+.2f}, {high:+.2f}]{star}".replace("-", "−")
    return f"[{signed_percent(low - 1)}, {signed_percent(high - 1)}]{star}"


def beside(verdict: Verdict) -> str:
    """Return a difference in the one unit of the table of verdicts: how many times better, or points.

    The factor is the baseline's over this one's, as in a speed-up: above 1 is better in time, energy and memory.
    """
    if verdict.unit == "points":
        return f"{verdict.value:+.2f} points".replace("-", "−")
    return factor(1 / verdict.value)


def beside_span(verdict: Verdict) -> str:
    """Return the interval of :func:`beside`; a star marks a range; one block has none."""
    if verdict.n == 1:
        return "(one block)"
    if verdict.unit == "points":
        return span(verdict)
    star = "*" if verdict.interval == "range" else ""
    return f"[{significant(1 / verdict.high)}, {significant(1 / verdict.low)}]{star}"


def _band(verdict: Verdict) -> str:
    return f"±{verdict.delta:g} points" if verdict.unit == "points" else f"±{100 * verdict.delta:g}%"


def _blocks(n: int) -> str:
    return f"{n} block{'s' if n != 1 else ''}"
