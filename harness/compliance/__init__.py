"""A finished run looked through by somebody who trusts nobody: files, records, plan, protocol, verdicts."""

from harness.compliance.audit import audit
from harness.compliance.finding import Finding

__all__ = ["Finding", "audit"]
