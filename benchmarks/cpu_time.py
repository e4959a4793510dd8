"""The CPU time that a benchmark has used: on a busy machine it says more than the clock."""

from __future__ import annotations

import resource


def cpu_s() -> float:
    """Return the CPU time of this process and of those that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
