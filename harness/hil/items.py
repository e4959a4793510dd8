"""What a collected test asks for: whether it measures, and on which board which workload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

#: Whoever has this fixture among its own measures; a project's own ``remote`` does not bring it.
REMOTE = "tunebench_remote"


def measures(item: pytest.Item) -> bool:
    """Tell whether a test asks for our ``remote``."""
    return REMOTE in getattr(item, "fixturenames", ())


def parameter(item: Any, name: str) -> str | None:
    """Return a test's ``board`` or ``workload``, as it stands in its parameters; None if it has none."""
    parameters: Mapping[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    value = parameters.get(f"tunebench_{name}", parameters.get(name))
    return value if isinstance(value, str) else None
