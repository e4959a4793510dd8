"""Find the engines of labs' packages on the host; a payload that carries some has a table of them in this place."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

GROUP = "tunebench.engines"


@cache
def points() -> dict[str, tuple[str, str]]:
    """Return name -> (``module:object``, name of the installed package)."""
    return {
        point.name: (point.value, point.dist.name if point.dist is not None else "unknown")
        for point in entry_points(group=GROUP)
    }
