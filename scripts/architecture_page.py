"""Write the listing of packages in docs/architecture.md from the source itself: ``python scripts/architecture_page.py``.

Each package stands with its layers (the contracts in pyproject.toml) and its modules with the first lines of their
docstrings. A test holds the page to the source.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
#: In the order of a reader's walk: what commands do, how a board is reached, what runs there, what is made of it.
FOLDERS = ("harness", "targets", "workloads", "reports")
_BEGIN, _END = "<!-- listing: written by scripts/architecture_page.py -->", "<!-- end of listing -->"


def page(text: str) -> str:
    """Return the page with its listing written anew.

    Raises:
        SystemExit: the page lacks the marks between which the listing stands.
    """
    head, begin, rest = text.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: the marks of the listing are missing")
    return f"{head}{begin}\n{listing()}\n{end}{tail}"


def listing() -> str:
    """Return the packages of all four folders, each with its layers and its modules, as Markdown."""
    layers = _layers()
    lines = []
    for folder in FOLDERS:
        packages = sorted(path.parent for path in (ROOT / folder).rglob("__init__.py"))
        for package in packages:
            lines += _package(package, layers)
    return "\n".join(lines)


def _package(package: Path, layers: dict[str, list[str]]) -> list[str]:
    where = package.relative_to(ROOT)
    lines = ["", f"### [`{where}`](../{where})", "", _first_line(package / "__init__.py"), ""]
    if (order := layers.get(".".join(where.parts))) is not None:
        lines += [
            f"Layers, each may know those to its right: {' → '.join(f'`{layer}`' for layer in order)}.",
            "",
        ]
    modules = [path for path in sorted(package.glob("*.py")) if path.name != "__init__.py"]
    if modules:
        lines += ["| module | what it is |", "|---|---|"]
        lines += [
            f"| [`{path.stem}`](../{where}/{path.name}) | {_cell(_first_line(path))} |" for path in modules
        ]
    return lines


def _first_line(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def _layers() -> dict[str, list[str]]:
    """Return the layers of each package that has a contract, the highest first, by its name below ``tunebench``."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    return {
        container.removeprefix("tunebench."): contract["layers"]
        for contract in contracts
        if contract["type"] == "layers"
        for container in contract["containers"]
    }


def main() -> None:
    """Write the page anew."""
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
