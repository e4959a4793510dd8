"""Say a verdict in words: what was seen, how sure that is, and what would settle it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunebench.reports.formatting.units import clean, signed_percent
from tunebench.reports.stats.paired import MAX_BLOCKS_NEEDED, MIN_BLOCKS
from tunebench.reports.stats.signed_rank import min_values

#: verdict -> whether it is good news; the others are neither.
BETTER = {"FASTER": True, "SLOWER": False, "LESS": True, "MORE": False, "HIGHER": True, "LOWER": False}


def reason(told: Mapping[str, Any]) -> str:
    """One sentence on why a verdict is what it is."""
    verdict, alone = told["verdict"], told["verdict_alone"]
    band = _band(told)
    if verdict == "NO VERDICT":
        return f"{_blocks(told['n'])}: a verdict needs at least {MIN_BLOCKS}."
    if verdict == "SAME":
        return f"The interval lies wholly within {band}."
    if verdict != "UNCLEAR":
        return f"The interval lies wholly beyond {band}."
    if alone == "UNCLEAR":
        why = f"The interval crosses the edge of {band}"
    else:
        why = f"{alone} on its own, but not after Holm's correction over {told['methods']} methods"
        fewest = min_values(1 - told["level"])
        if told["adjusted_low"] is None:
            why += f", which needs at least {fewest} blocks"
    return f"{why}. {_more(told)}"


def _more(told: Mapping[str, Any]) -> str:
    if told["blocks_needed"] < MAX_BLOCKS_NEEDED:
        return f"About {told['blocks_needed']} more block{'s' if told['blocks_needed'] != 1 else ''} would settle it."
    if told["limited_by"] == "items":
        return f"More blocks will not settle it: the {told['items']} test items are too few."
    return "The difference lies so near the edge that no reasonable number of blocks would settle it."


def withheld_reason(control: Mapping[str, Any], baseline: str) -> str:
    """Why no verdict is given although there is an interval: the A/A control failed."""
    return (
        f"Withheld: the A/A control shows a difference ({clean(baseline, 40)} against itself: {effect(control)} "
        f"{span(control)})."
    )


def effect(told: Mapping[str, Any]) -> str:
    """The size of a difference: percent for ratios, points for accuracy.

    >>> effect({"unit": "ratio", "value": 0.5}), effect({"unit": "points", "value": -0.25})
    ('−50.0%', '−0.25 points')
    """
    if told["unit"] == "points":
        return f"{told['value']:+.2f} points".replace("-", "−")
    return signed_percent(told["value"] - 1)


def span(told: Mapping[str, Any]) -> str:
    """The interval of a difference.

    >>> span({"unit": "ratio", "low": 0.4, "high": 0.6, "interval": "wilcoxon"})
    '[−60.0%, −40.0%]'
    >>> span({"unit": "points", "low": -1.0, "high": 0.5, "interval": "range"})
    '[−1.00, +0.50]*'
    """
    star = "*" if told["interval"] == "range" else ""
    if told["unit"] == "points":
        return f"[{told['low']:+.2f}, {told['high']:+.2f}]{star}".replace("-", "−")
    return f"[{signed_percent(told['low'] - 1)}, {signed_percent(told['high'] - 1)}]{star}"


def _band(told: Mapping[str, Any]) -> str:
    return f"±{told['delta']:g} points" if told["unit"] == "points" else f"±{100 * told['delta']:g}%"


def _blocks(n: int) -> str:
    return f"{n} block{'s' if n != 1 else ''}"
