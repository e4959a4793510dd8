"""Orchestrators that compete for places, as ``python -m benchmarks.farm_contention`` does."""

from __future__ import annotations

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    ("places", "jobs", "hold_s"), [(5, 20, 0.05), (20, 200, 0.1)], ids=["in short", "20 threads each"]
)
def test_two_orchestrators_share_a_farm_without_ever_having_one_place_both(tmp_path, places, jobs, hold_s):
    pytest.importorskip("labgrid", reason="labgrid is not installed: pip install 'tunebench[labgrid]'")
    from benchmarks.farm_contention import contend

    came = contend(tmp_path, places=places, jobs=jobs, orchestrators=2, hold_s=hold_s)
    assert came.well, came
    assert came.jobs == [jobs, jobs] and came.wait_s[1] > 0.05, "they did compete"
