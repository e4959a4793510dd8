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
    told = faults("--short", "--repeat", "2", timeout_s=MATRIX_S)
    print(json.dumps(told, indent=1))
    for one in told["faults"]:
        counts = {name: one[name] for name in ("lost", "doubled", "left_behind", "unlogged")}
        assert not any(counts.values()), (one["name"], counts, one["findings"])
        assert one["completed"] == one["runs"] > 0, (one["name"], one["findings"])
    assert told["clean"] is True


def test_minutes_of_random_faults_on_four_boards_lose_and_double_nothing():
    told = faults("soak", "--minutes", "3", "--boards", "4", timeout_s=SOAK_S)
    print(json.dumps(told, indent=1))
    assert (told["lost"], told["doubled"], told["left_behind"]) == (0, 0, 0), told["findings"]
    assert told["clean"] is True, told["findings"]
    assert sum(told["strikes"].values()) >= 10
