"""Put the engines and sensors of labs' packages into the payload: their Python files, and a table that boards read.

On a board there are no entry points: the table stands for them. Nothing is imported here; whether a package works, its
board says.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

from tunebench.harness.errors import UsageError
from tunebench.targets.agent.sensors import plugins as sensor_plugins
from tunebench.targets.agent.sensors.discover import MODULES
from tunebench.targets.payload import package_files
from tunebench.workloads.engines import lab

#: Name of an entry point -> (what it names, the installed package it is of).
Table = dict[str, tuple[str, str]]

SENSORS = "tunebench.sensors"
_ENGINES = "tunebench.workloads.engines.lab"


def sensor_files() -> dict[str, bytes]:
    """Return what a payload carries for the sensors of installed packages: name -> content; nothing without any.

    A name of tunebench's own sensors cannot be taken.

    Raises:
        UsageError: a package or its module is not there, or a file of it is not Python; names the entry point.
    """
    table: Table = {}
    files: dict[str, bytes] = {}
    for point in sorted(entry_points(group=SENSORS), key=lambda point: point.name):
        if point.name in MODULES:
            continue
        table[point.name] = (point.value, _package(point))
        label = sensor_plugins.named(point.name, table[point.name])
        module = point.value.partition(":")[0].strip()
        top = module.partition(".")[0]
        if top == "tunebench":
            raise UsageError(f"{label}: a package called tunebench cannot travel beside ours")
        own = _files_of(top, label, "a sensor's package")
        place = module.replace(".", "/")
        if not own.keys() & {f"{place}.py", f"{place}/__init__.py"}:
            raise UsageError(f"{label}: no module {module!r} in package {top!r}")
        files.update(own)
    return {**files, **_written(sensor_plugins.TABLE, table)}


def engine_files(engines: Mapping[str, str]) -> dict[str, bytes]:
    """Return what a payload carries for engines of labs' packages: name -> content; nothing without any.

    Args:
        engines: name of an engine -> the top-level package that travels.

    Raises:
        UsageError: there is no such package, or a file of it is not Python; names the entry point.
    """
    table: Table = {name: lab.points()[name] for name in sorted(engines)}
    files: dict[str, bytes] = {}
    for name, (reference, package) in table.items():
        label = f"engine {name!r} of package {package} ({reference})"
        files.update(_files_of(engines[name], label, "an engine's 'package'"))
    return {**files, **_written(_ENGINES, table)}


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "unknown"


def _files_of(package: str, label: str, what: str) -> dict[str, bytes]:
    """Return the Python files of an installed package, checked; ``label`` and ``what`` are for the error."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"{label}: no package {package!r}: {what} is a folder with __init__.py")
    files: dict[str, bytes] = {}
    for root in spec.submodule_search_locations:
        files.update(package_files(Path(root), package))
    for path, source in files.items():
        try:
            ast.parse(source)
        except (SyntaxError, ValueError) as error:
            raise UsageError(f"{label}: {path} is not Python: {error}") from None
    return files


def _written(module: str, table: Table) -> dict[str, bytes]:
    """Return the module that tells a board what a table holds; no file for an empty table."""
    if not table:
        return {}
    return {f"{module.replace('.', '/')}.py": f"def points():\n    return {table!r}\n".encode()}
