"""Find the engines of labs' packages on the host; a payload that carries some has a table of them in this place."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

GROUP = "tunebench.engines"


@cache
def points() -> dict[str, tuple[str, str]]:
    """Return name -> (``module:object``, name of the installed package)."""
    return {
        point.name: (point.value, point.dist.name if point.dist is not None else "unknown")
        for point in entry_points(group=GROUP)
    }


def travelling(engines: dict[str, str]) -> dict[str, bytes]:
    """Return the files that a payload carries for engines of labs' packages.

    Args:
        engines: name of an engine -> its top-level package.

    Returns:
        Name in the payload -> content: the packages' Python files, and the table in the place of this module.

    Raises:
        ModuleNotFoundError: there is no such package.
    """
    files: dict[str, bytes] = {}
    for package in sorted(set(engines.values())):
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(
                f"no package {package!r}: an engine's 'package' is a folder with __init__.py"
            )
        for root in map(Path, spec.submodule_search_locations):
            for path in sorted(root.rglob("*.py")):
                files[f"{package}/{path.relative_to(root).as_posix()}"] = path.read_bytes()
    table = {name: points()[name] for name in sorted(engines)}
    files["tunebench/workloads/engines/lab.py"] = f"def points():\n    return {table!r}\n".encode()
    return files
