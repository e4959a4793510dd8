"""A pytest session of its own, in a folder of its own: the plugin is tried through the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.sessions import PYTEST

MEASURES = """
def test_it(remote, board, workload):
    result = remote()
    assert result.quality_after > {limit}
"""


@pytest.fixture
def run_pytest(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run pytest in a process of its own; ``cwd`` below the test's folder, ``python`` another interpreter.

    ``cold``: its interpreter starts as a user's does, for a test of what it imports.
    """

    def run(
        *arguments: str,
        cwd: str = ".",
        python: str = sys.executable,
        env: dict[str, str] | None = None,
        cold: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        if not any((tmp_path / name).exists() for name in ("pytest.ini", "pyproject.toml")):
            (tmp_path / "pytest.ini").write_text("[pytest]\n")
        start = subprocess.run if cold else warm.run
        return start(
            [python, *PYTEST, *arguments],
            cwd=tmp_path / cwd,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
                "HOME": str(tmp_path),
                **(env or {}),
            },
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    return run


@pytest.fixture
def records(tmp_path: Path) -> Callable[[], dict[str, dict[str, Any]]]:
    """Return the records of the one run below the test's folder, by id."""

    def read() -> dict[str, dict[str, Any]]:
        (path,) = tmp_path.glob("**/reps.jsonl")
        return {record["rep_id"]: record for record in map(json.loads, path.read_text().splitlines())}

    return read


@pytest.fixture
def measuring(tmp_path: Path) -> Path:
    """Write a test that measures and passes."""
    path = tmp_path / "test_own.py"
    path.write_text(MEASURES.format(limit=0.5))
    return path


@pytest.fixture
def quick(lab: Callable[..., Path], sleep_suite: Callable[..., Path]) -> list[str]:
    """Return the options of the cheapest campaign there is: one board, one workload, one block."""
    return [
        "--tunebench-inventory",
        str(lab("one")),
        "--tunebench-campaign",
        str(sleep_suite(["a"], blocks=1)),
    ]


@pytest.fixture
def nothing_measured(tmp_path: Path) -> Callable[[], bool]:
    """Tell whether no run was begun."""
    return lambda: not list(tmp_path.glob("**/plan.json"))
