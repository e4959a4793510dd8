"""The verdict on one repetition: every check of the table is asked, the worst level wins, all reasons are kept.

``invalid`` numbers are excluded from comparisons; ``degraded`` ones are shown with their reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.harness.record.validity.checks import CHECKS
from tunebench.harness.record.validity.evidence import Check, Evidence
from tunebench.reports.records import Reason, Verdict

__all__ = ["CHECKS", "Evidence", "judge"]


def judge(seen: Evidence, checks: Sequence[Check] = CHECKS) -> tuple[Verdict, list[Reason]]:
    """Run every check; the worst level is the verdict."""
    verdict: Verdict = "valid"
    reasons: list[Reason] = []
    for check in checks:
        for found in check.judge(seen):
            reasons.append(
                Reason(
                    code=found.code or check.code,
                    message=found.message,
                    level=found.level,
                    values=dict(found.values),
                )
            )
            if found.level == "invalid" or verdict == "valid":
                verdict = found.level
    return verdict, reasons
