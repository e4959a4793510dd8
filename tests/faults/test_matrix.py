"""The fault matrix and the soak in their short forms: nothing lost, doubled or left behind, every campaign ends.

Minutes; ``python -m tests.faults`` is the long form. Marked ``faults``: .ci/run has a part for it (``make faults``).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Bounds for a hang, not aims: docs/reliability.md has what they take.
MATRIX_S = 2400.0
SOAK_S = 1200.0

pytestmark = [pytest.mark.slow, pytest.mark.faults]


def faults(*words: str, timeout_s: float) -> dict:
    """Run the command; its progress goes to stderr, which ``-s`` shows."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", *words, "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout
    return json.loads(done.stdout)


def test_every_fault_leaves_each_repetition_exactly_once_and_the_board_clean():
    report = faults("--short", "--repeat", "1", timeout_s=MATRIX_S)
    print(json.dumps(report, indent=1))
    for fault in report["faults"]:
        counts = {name: fault[name] for name in ("lost", "doubled", "left_behind", "unlogged")}
        assert not any(counts.values()), (fault["name"], counts, fault["findings"])
        assert fault["completed"] == fault["runs"] > 0, (fault["name"], fault["findings"])
    assert report["clean"] is True


def test_minutes_of_random_faults_on_four_boards_lose_and_double_nothing():
    report = faults("soak", "--minutes", "2", "--boards", "4", "--at-least", "10", timeout_s=SOAK_S)
    print(json.dumps(report, indent=1))
    assert (report["lost"], report["doubled"], report["left_behind"]) == (0, 0, 0), report["findings"]
    assert report["clean"] is True, report["findings"]
    assert sum(report["strikes"].values()) >= 10
