"""Many boards in one campaign, over real SSH: what they cost the host, and that nothing is left open."""

from __future__ import annotations

import pytest

from benchmarks.load import measure

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_eight_boards_and_a_hundred_repetitions_leave_no_thread_and_no_descriptor_behind():
    load = measure(8, 13, 0.0)
    assert load.ok == load.repetitions == 104
    assert load.threads[2] <= load.threads[0]
    assert load.descriptors[2] <= load.descriptors[0]
    # While it runs, the boards at work need threads and descriptors, and their number does not grow with time.
    third = len(load.samples) // 3
    early, late = load.samples[third : 2 * third], load.samples[2 * third :]
    assert max(sample[1] for sample in late) <= max(sample[1] for sample in early) + 1
    assert max(sample[2] for sample in late) <= max(sample[2] for sample in early) + 1
    assert load.peak_mib < 400
