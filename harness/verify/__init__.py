"""A finished run looked through by somebody who trusts nobody: files, records, plan, protocol, verdicts."""

from tunebench.harness.verify.audit import Audited, audit, look_through
from tunebench.harness.verify.discrepancy import Discrepancy

__all__ = ["Audited", "Discrepancy", "audit", "look_through"]
