"""How the A/A control ended, in words."""

from __future__ import annotations

from collections.abc import Mapping

from tunebench.reports.analysis.measured import ControlQuantity
from tunebench.reports.analysis.row import Verdict


def control_words(quantities: Mapping[str, ControlQuantity]) -> str:
    """Say how the A/A control ended in quantities other than time; those not measured are left out."""
    known = [
        f"{name} {quantity.result}"
        for name, quantity in quantities.items()
        if isinstance(quantity.verdict, Verdict) and name != "time"
    ]
    return f"; {', '.join(known)}" if known else ""
