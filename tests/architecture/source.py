"""The source tree as data: its modules, what each imports, and which of them stand in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: The folders of the top level that hold the package's code.
FOLDERS = ("harness", "reports", "targets", "workloads")


def modules() -> dict[str, Path]:
    """Return each module of the package by its import name; a package stands for its ``__init__``."""
    files = {f"tunebench.{path.stem}": path for path in (ROOT / "tunebench").glob("*.py")}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            files[".".join(("tunebench", *parts))] = path
    return {name.removesuffix(".__init__"): path for name, path in sorted(files.items())}


def imports(name: str, known: dict[str, Path]) -> set[str]:
    """Return the modules of the package that one of them imports, at its top or within a function."""
    imported_modules: set[str] = set()
    for node in ast.walk(ast.parse(known[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported_modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = _origin(node, name, known)
            imported_modules |= {
                f"{origin}.{alias.name}" if f"{origin}.{alias.name}" in known else origin
                for alias in node.names
            }
    return (imported_modules & known.keys()) - {name}


def _origin(node: ast.ImportFrom, name: str, known: dict[str, Path]) -> str:
    """Return the absolute name of the module that ``from ... import`` names."""
    if not node.level:
        return node.module or ""
    package = name.split(".") if known[name].name == "__init__.py" else name.split(".")[:-1]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *([node.module] if node.module else [])])


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that reach one another (strongly connected components of two or more)."""
    reached = {name: _reached(name, graph) for name in graph}
    groups = {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in graph
        if name in reached[name]
    }
    return sorted(sorted(group) for group in groups)


def _reached(name: str, graph: dict[str, set[str]]) -> set[str]:
    """Return every module that one leads to, over any number of imports."""
    seen: set[str] = set()
    ahead = list(graph[name])
    while ahead:
        other = ahead.pop()
        if other not in seen:
            seen.add(other)
            ahead += graph[other]
    return seen
