"""What holds for all tests."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_DATA = ("TUNEBENCH_DATA", "TUNEBENCH_CAPTURES")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where the real data are promised, a test that skips for want of them has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        promised = [name for name in _DATA if os.environ.get(name)]
        reason = str(report.longrepr)
        if promised and (item.get_closest_marker("data") or any(name in reason for name in _DATA)):
            report.outcome = "failed"
            report.longrepr = f"{', '.join(promised)} is set, yet this test was skipped: {reason}"
    return report


@pytest.fixture(scope="session")
def trees() -> ModuleType:
    """tests/targets/trees.py: boards we do not have, as trees of files."""
    if "trees" not in sys.modules:
        path = Path(__file__).parent / "targets" / "trees.py"
        spec = importlib.util.spec_from_file_location("trees", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["trees"] = module  # dataclasses look their module up by name
        spec.loader.exec_module(module)
    return sys.modules["trees"]


@pytest.fixture
def simulated(trees: ModuleType, tmp_path: Path) -> Callable[..., Any]:
    """``simulated("pi-5")`` writes that board's tree and returns it; options as in tests/targets/trees.py."""

    def make(board: str, name: str = "", **options: Any) -> Any:
        return trees.BOARDS[board](tmp_path / (name or board), **options)

    return make
