"""How long a soak lasts; what it finds is counted by its real run (``make faults``)."""

from __future__ import annotations

import pytest

from tests.faults import soak


@pytest.fixture
def campaigns(monkeypatch):
    """Function (seconds and faults of each campaign, minutes, at_least) -> how many a soak ran, on a clock of its own."""

    def run(seconds, faults, *, minutes=2.0, at_least=0):
        clock, ends = [1000.0], []
        monkeypatch.setattr(soak.time, "monotonic", lambda: clock[0])
        monkeypatch.setattr(soak, "tell", lambda _: None)

        def campaign(tally, _, until_s):
            assert until_s > clock[0], "faults have time to strike"
            clock[0] += seconds
            ends.append(clock[0] - 1000.0)
            tally.strikes["link-cut-1s"] += faults

        monkeypatch.setattr(soak, "_campaign", campaign)
        soak.soak(minutes, 4, 1, at_least)
        return ends

    return run


def test_it_ends_with_the_first_campaign_behind_its_time(campaigns):
    assert campaigns(50, 7) == [50, 100, 150]
    assert campaigns(50, 7, at_least=10) == [50, 100, 150]


def test_it_goes_on_where_faults_are_wanting_and_not_for_ever(campaigns):
    assert campaigns(60, 3, at_least=10) == [60, 120, 180, 240]
    assert campaigns(100, 0, at_least=10)[-1] == 400  # begun before three times two minutes were over
