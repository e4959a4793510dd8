"""A writer killed before each of its system calls, and the power cut at each change: nothing acknowledged is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def crash_states(*args, code=0):
    # Not under coverage: its own files would be system calls of the writer.
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash_states", "--json", *args],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)["scenarios"]


def test_no_decision_is_lost_at_any_kill_or_power_cut():
    for scenario in crash_states("--only", "decisions"):
        assert scenario["kills"] == scenario["system_calls"]
        assert scenario["cuts"] > 100
        assert scenario["lost"] == 0


def test_a_writer_that_never_syncs_is_found_out():
    assert all(scenario["lost"] > 0 for scenario in crash_states("--only", "decisions", "--careless", code=1))


@pytest.mark.slow
def test_no_state_of_thousands_is_unreadable_or_lacks_what_was_acknowledged():
    scenarios = crash_states()
    states = sum(scenario["kills"] + scenario["cuts"] for scenario in scenarios)
    print(f"{states} states, {sum(scenario['lost'] for scenario in scenarios)} with a loss")
    assert states > 2000
    assert [scenario["examples"] for scenario in scenarios if scenario["lost"]] == []
