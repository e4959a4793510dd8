"""A finished run looked through by somebody who trusts nobody: files, records, plan, protocol, verdicts."""

from tunebench.harness.verify.audit import Audited, audit, look_through
from tunebench.harness.verify.finding import Finding

__all__ = ["Audited", "Finding", "audit", "look_through"]
