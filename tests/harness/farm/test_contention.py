"""Orchestrators that compete for places, in the short form of ``python -m benchmarks.farm_contention``."""

from __future__ import annotations

import pytest


@pytest.mark.slow
def test_two_orchestrators_share_a_farm_without_ever_having_one_place_both(tmp_path):
    pytest.importorskip("labgrid", reason="labgrid is not installed: pip install 'tunebench[labgrid]'")
    from benchmarks.farm_contention import contend

    came = contend(tmp_path, places=5, jobs=20, orchestrators=2, hold_s=0.05)
    assert came.well, came
    assert came.jobs == [20, 20] and came.wait_s[1] > 0.05, "they did compete"
