"""The one spelling of a value as JSON: what is hashed to name a workload, a board or a job."""

from __future__ import annotations

import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Return a value as JSON of one fixed spelling, so that equal values have equal hashes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
