"""Statistics on plain arrays: intervals, paired comparisons, corrections for many methods."""

from tunebench.reports.stats.paired import Comparison, compare

__all__ = ["Comparison", "compare"]
