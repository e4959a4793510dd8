"""How a campaign ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tunebench.reports.records import Skip


@dataclass
class CampaignOutcome:
    """How a campaign ended; filled while it runs."""

    counts: Counter[str] = field(default_factory=Counter)
    skipped: list[Skip] = field(default_factory=list)
    quarantined: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
