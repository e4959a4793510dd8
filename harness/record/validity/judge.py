"""Judge a repetition: every check of the table is asked, the worst level wins, all reasons are kept.

``invalid`` numbers are excluded from comparisons; ``degraded`` ones are shown with their reason.
"""

from __future__ import annotations

from collections.abc import Sequence

from tunebench.harness.record.validity.checks import CHECKS
from tunebench.harness.record.validity.evidence import Check, Evidence
from tunebench.reports.records import Reason, Verdict
from tunebench.targets.agent.tuning.stressors.table import KINDS, find_kind


def judge(evidence: Evidence, checks: Sequence[Check] = CHECKS) -> tuple[Verdict, list[Reason]]:
    """Run every check; return the worst level as the verdict, and all reasons."""
    verdict: Verdict = "valid"
    reasons: list[Reason] = []
    effects = _effects(evidence)
    for check in checks:
        for objection in check.judge(evidence):
            level = "degraded" if check.code in effects else objection.level
            reasons.append(
                Reason(
                    code=objection.code or check.code,
                    message=objection.message,
                    level=level,
                    values=dict(objection.values),
                )
            )
            if level == "invalid" or verdict == "valid":
                verdict = level
    return verdict, reasons


def _effects(evidence: Evidence) -> Sequence[str]:
    """Return codes of checks whose objection is what a stressor is meant to bring about: data, which excludes nothing."""
    stressor = evidence.stressor
    return find_kind(stressor.kind).is_data if stressor is not None and stressor.kind in KINDS else ()
