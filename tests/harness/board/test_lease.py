"""How a campaign leaves a board whose SD card is read-only at that moment."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.faults.kinds.storage import no_read_only, set_read_only
from tunebench.harness.board import lease

pytestmark = pytest.mark.slow


@pytest.fixture
def freeze(tmp_path, monkeypatch):
    """Make the board's folder read-only; 1.5 s after the campaign has begun to leave, it can be written again."""
    reason = no_read_only()
    if reason is not None:
        pytest.skip(reason)
    work, thawing = tmp_path / "work-here", []
    leave = lease.BoardLease.leave

    def while_it_thaws(self, cause):
        if thaws[0]:
            thawing.append(threading.Timer(1.5, set_read_only, (work, False)))
            thawing[-1].start()
        leave(self, cause)

    thaws = [True]
    monkeypatch.setattr(lease.BoardLease, "leave", while_it_thaws)

    def now(*, for_good: bool = False) -> None:
        thaws[0] = not for_good
        set_read_only(work, True)

    yield now
    for timer in thawing:
        timer.join()
    set_read_only(work, False)


def left_on(work: Path) -> list[str]:
    parts = [path.name for path in work.rglob("*.part*")]
    return [
        *parts,
        *(path.name for path in work.glob("lease.json")),
        *(path.name for path in work.glob("jobs/*")),
    ]


def test_the_lease_is_given_back_once_a_card_can_be_written_again(
    campaign, lab, sleep_suite, monkeypatch, tmp_path, freeze
):
    hand_back = lease.BoardLease.hand_back

    def on_a_frozen_card(self):
        freeze()
        hand_back(self)

    monkeypatch.setattr(lease.BoardLease, "hand_back", on_a_frozen_card)
    ran = campaign(lab("here"), sleep_suite(["a"], blocks=1))
    assert [record.outcome for record in ran.reader.repetitions] == ["ok"]
    assert not ran.outcome.given_up
    assert left_on(tmp_path / "work-here") == []


def test_a_repetition_that_could_not_be_removed_is_removed_a_moment_later(
    campaign, lab, sleep_suite, monkeypatch, tmp_path, freeze
):
    clean_up = lease.clean_up

    def on_a_frozen_card(link, rep_id, hold_s):
        freeze()
        clean_up(link, rep_id, hold_s)

    monkeypatch.setattr(lease, "clean_up", on_a_frozen_card)
    ran = campaign(lab("here"), sleep_suite(["a"], blocks=1))
    assert [record.outcome for record in ran.reader.repetitions] == ["ok"]
    assert "work-here/jobs/" in ran.outcome.given_up["here"], "the board is out, with what it said"
    assert "cannot be removed" in ran.outcome.given_up["here"]
    assert left_on(tmp_path / "work-here") == []


def test_a_card_that_stays_read_only_is_told_with_what_remains(
    campaign, lab, sleep_suite, monkeypatch, tmp_path, freeze
):
    hand_back = lease.BoardLease.hand_back

    def on_a_dead_card(self):
        freeze(for_good=True)
        hand_back(self)

    monkeypatch.setattr(lease, "TIDY_PATIENCE_S", 1.5)
    monkeypatch.setattr(lease.BoardLease, "hand_back", on_a_dead_card)
    ran = campaign(lab("here"), sleep_suite(["a"], blocks=1))
    assert [record.outcome for record in ran.reader.repetitions] == ["ok"], "nothing measured is lost"
    assert any("the lease was not given back, it will expire" in note for note in ran.notes)
    assert left_on(tmp_path / "work-here") == ["lease.json"]
