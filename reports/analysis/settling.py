"""How many further blocks would settle a verdict: one computation for every sentence that speaks of it."""

from __future__ import annotations

from dataclasses import dataclass

from tunebench.reports.analysis.row import SpeedUp, Verdict
from tunebench.reports.stats.paired import MAX_BLOCKS_NEEDED

_OPEN = ("UNCLEAR", "NO VERDICT")


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
