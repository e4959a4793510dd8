"""Many boards in one campaign, over real SSH: what they cost the host, and that nothing is left open."""

from __future__ import annotations

import pytest

from benchmarks.load import measure

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_eight_boards_and_a_hundred_repetitions_leave_no_thread_and_no_descriptor_behind():
    found = measure(8, 13, 0.0)
    assert found.ok == found.repetitions == 104
    assert found.threads[2] <= found.threads[0]
    assert found.descriptors[2] <= found.descriptors[0]
    # On the way: what the boards at work need, and no more of it the longer it goes on.
    third = len(found.samples) // 3
    early, late = found.samples[third : 2 * third], found.samples[2 * third :]
    assert max(one[1] for one in late) <= max(one[1] for one in early) + 1
    assert max(one[2] for one in late) <= max(one[2] for one in early) + 1
    assert found.peak_mib < 400
