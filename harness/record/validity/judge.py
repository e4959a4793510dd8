"""Judge a repetition: every check of the table is asked, the worst level wins, all reasons are kept.

``invalid`` numbers are excluded from comparisons; ``degraded`` ones are shown with their reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.harness.record.validity.checks import CHECKS
from tunebench.harness.record.validity.evidence import Check, Evidence
from tunebench.reports.records import Reason, Verdict


def judge(evidence: Evidence, checks: Sequence[Check] = CHECKS) -> tuple[Verdict, list[Reason]]:
    """Run every check; return the worst level as the verdict, and all reasons."""
    verdict: Verdict = "valid"
    reasons: list[Reason] = []
    for check in checks:
        for objection in check.judge(evidence):
            reasons.append(
                Reason(
                    code=objection.code or check.code,
                    message=objection.message,
                    level=objection.level,
                    values=dict(objection.values),
                )
            )
            if objection.level == "invalid" or verdict == "valid":
                verdict = objection.level
    return verdict, reasons
