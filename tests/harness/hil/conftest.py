"""What the plugin is tried with: tests that measure, cheap campaigns, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MEASURES = """
def test_it(remote, board, workload):
    result = remote()
    assert result.quality_after > {limit}
"""


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
