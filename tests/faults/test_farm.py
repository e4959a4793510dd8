"""Two hosts share a farm while faults strike, in the short form of ``python -m tests.faults farm``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.farm import network, soak

ROOT = Path(__file__).parents[2]
#: A bound for a hang, not an aim.
HANG_S = 600.0


@pytest.mark.slow
@pytest.mark.openssh
def test_two_hosts_that_share_a_farm_measure_every_repetition_exactly_once_whatever_strikes():
    if reason := soak.why_not() or network.why_not():
        pytest.skip(reason)
    words = ["farm", "--minutes", "0.15", "--boards", "2", "--blocks", "2", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    tally = json.loads(done.stdout)
    assert (done.returncode, tally["clean"]) == (0, True), tally["findings"]
    assert tally["strikes"] and tally["measured"] > 0
    assert all(counts for counts in tally["by_host"].values()), "both hosts measured"
