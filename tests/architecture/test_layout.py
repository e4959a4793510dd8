"""The layout of the source: no circle of imports, small folders, one namespace, and the page that describes it."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from tests.architecture import source

ROOT = source.ROOT
MOST = 13
#: Every entry is one kind of one thing, found by a registry; each new kind adds one.
KINDS = {
    "harness": "rooms",
    "harness/cli": "commands",
    "harness/config/suites": "suites",
    "reports/figures": "figures",
    "reports/sections": "sections of a report",
    "targets/agent/formats": "formats of outputs",
    "targets/agent/sensors": "sensors",
    "targets/meters": "meters",
    "workloads": "rooms",
    "workloads/datasets": "data sets",
}
BARE = set(source.FOLDERS)
OWN_CODE = ("benchmarks", "examples", "harness", "reports", "scripts", "targets", "tests", "workloads")
_DOTTED = re.compile(rf"(?<![\w./-])(?:{'|'.join(source.FOLDERS)})(?:\.[a-z_]\w*)+")
PYTHON = [path for folder in OWN_CODE for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.fixture(scope="module")
def known() -> dict[str, Path]:
    return source.modules()


def test_no_file_imports_another_that_leads_back_to_it(known):
    assert source.circles({name: source.imports(name, known) for name in known}) == []


def test_a_circle_would_be_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"f"}, "f": {"e"}}
    assert source.circles(graph) == [["a", "b", "c"], ["e", "f"]]


def test_imports_are_found_at_the_top_and_in_functions_absolute_and_relative(tmp_path):
    texts = {
        "p": "from p import a",
        "p.a": "def f():\n    from . import b\n    from .c import x\n    import p.d",
        "p.b": "from p import missing",
        "p.c": "",
        "p.d": "",
    }
    known = {}
    for name, text in texts.items():
        known[name] = tmp_path / ("__init__.py" if name == "p" else f"{name}.py")
        known[name].write_text(text)
    assert {name: source.imports(name, known) for name in known} == {
        "p": {"p.a"},
        "p.a": {"p.b", "p.c", "p.d"},
        "p.b": {"p"},
        "p.c": set(),
        "p.d": set(),
    }


def test_no_folder_is_too_large_to_be_read_at_a_glance_but_those_of_one_kind():
    folders = {path.parent for folder in source.FOLDERS for path in (ROOT / folder).rglob("*.py")}
    large = {}
    for folder in folders:
        entries = {entry.name for entry in folder.iterdir()} - {
            "__init__.py",
            "__main__.py",
            "__pycache__",
            "py.typed",
        }
        if len(entries) > MOST and str(folder.relative_to(ROOT)) not in KINDS:
            large[str(folder.relative_to(ROOT))] = sorted(entries)
    assert large == {}


def test_tests_lie_in_the_rooms_that_they_are_for():
    rooms = {path.parent for folder in source.FOLDERS for path in (ROOT / folder).rglob("__init__.py")}
    tests = {
        path.parent for folder in source.FOLDERS for path in (ROOT / "tests" / folder).rglob("test_*.py")
    }
    elsewhere = {folder.relative_to(ROOT / "tests") for folder in tests} - {
        room.relative_to(ROOT) for room in rooms
    }
    assert {str(folder) for folder in elsewhere} == {"reports/render/browser"}


def test_folders_of_one_kind_are_there():
    assert [folder for folder in KINDS if not (ROOT / folder).is_dir()] == []


def test_nothing_is_imported_or_named_without_its_namespace(known):
    """``import harness`` would work in a checkout alone, and take another project's package."""
    offences = [f"{path.relative_to(ROOT)}:{line}" for path in PYTHON for line in _bare(path, known)]
    assert offences == []


def _bare(path: Path, known: dict[str, Path]) -> list[int]:
    """Return the lines of a file that import one of the four packages, or name a module, without ``tunebench.``."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            named = _DOTTED.findall(node.value)
            names = [name for name in named if f"tunebench.{name}" in known]
        if any(name.partition(".")[0] in BARE for name in names):
            lines.append(node.lineno)
    return lines


def test_a_bare_name_would_be_found(tmp_path, known):
    path = tmp_path / "some.py"
    path.write_text(
        "import harness\nfrom reports import records\nfrom . import targets\nimport tunebench.harness\n"
        f"module = '{'workloads'}.marks'\nfile = 'reports.html'\nours = 'tunebench.workloads.marks'\n"
    )
    assert _bare(path, known) == [1, 2, 5]


def test_the_page_lists_every_package_with_its_modules():
    spec = importlib.util.spec_from_file_location(
        "architecture_page", ROOT / "scripts" / "architecture_page.py"
    )
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert writer.page(text) == text, "run: python scripts/architecture_page.py"
