"""Find the sensors of labs' packages on the host, and put their files into the payload."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from tunebench.harness.errors import UsageError
from tunebench.targets.agent.sensors.discover import MODULES
from tunebench.targets.agent.sensors.plugins import TABLE, named

GROUP = "tunebench.sensors"


def travelling() -> dict[str, bytes]:
    """Return the files that a payload carries for the sensors of installed packages; none where there are none.

    A name of tunebench's own sensors cannot be taken. Nothing is imported: whether a sensor works, its board says.

    Returns:
        Name in the payload -> content: the packages' Python files, and a table of sensors that the agent reads.

    Raises:
        UsageError: a package or the named module is not there, or a file of it is not Python; names the entry point.
    """
    points = {point.name: point for point in entry_points(group=GROUP) if point.name not in MODULES}
    if not points:
        return {}
    files: dict[str, bytes] = {}
    table: dict[str, tuple[str, str]] = {}
    for name in sorted(points):
        files.update(_files_of(points[name]))
        table[name] = _row(points[name])
    files[f"{TABLE.replace('.', '/')}.py"] = f"def points():\n    return {table!r}\n".encode()
    return files


def _row(point: EntryPoint) -> tuple[str, str]:
    return point.value, point.dist.name if point.dist is not None else "unknown"


def _files_of(point: EntryPoint) -> dict[str, bytes]:
    """Return the Python files of the package that an entry point names."""
    name, module = named(point.name, _row(point)), point.value.partition(":")[0].strip()
    package = module.partition(".")[0]
    if package == "tunebench":
        raise UsageError(f"{name}: a package called tunebench cannot travel beside ours")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"{name}: no package {package!r}: a sensor's package is a folder with __init__.py")
    files = {}
    for root in map(Path, spec.submodule_search_locations):
        for path in sorted(root.rglob("*.py")):
            files[f"{package}/{path.relative_to(root).as_posix()}"] = path.read_bytes()
    place = module.replace(".", "/")
    if not files.keys() & {f"{place}.py", f"{place}/__init__.py"}:
        raise UsageError(f"{name}: no module {module!r} in package {package!r}")
    check_python(name, files)
    return files


def check_python(name: str, files: Mapping[str, bytes]) -> None:
    """Check that a package's files are Python.

    Args:
        name: what of a lab's package they are for, as its errors name it.
        files: name in the payload -> content.

    Raises:
        UsageError: names the first file that is not.
    """
    for path, source in files.items():
        try:
            ast.parse(source)
        except (SyntaxError, ValueError) as error:
            raise UsageError(f"{name}: {path} is not Python: {error}") from None
