"""Nights that may be compared: machines that take turns are each held against their own nights."""

from __future__ import annotations

import random

import pytest

from tunebench.reports.history.decisions import Decision
from tunebench.reports.history.segments import Night, Row, learning_nights, segmented, usable

KEY = "series"


def row(night, *, value=1.0, version=1, hardware="a", firmware="1", system="6.1", python="3.11", n=5):
    stamp = f"2026-{1 + night // 28:02}-{1 + night % 28:02}T02:00:00Z"
    return Row(
        run_id=f"run-{night:03}", order_utc=stamp, t_utc=stamp, value=value, low=value, high=value, n=n, n_all=5,
        board_id="board", bench_version=version, hardware=hardware, firmware=firmware, system=system, python=python,
    )  # fmt: skip


def accepted(before_night):
    return Decision(
        t_utc=row(before_night).t_utc.replace("T02", "T01"),
        who="ann",
        kind="accept",
        reason="x",
        series_key=KEY,
    )


def test_machines_that_take_turns_have_a_segment_each():
    history = segmented(KEY, [row(i, hardware="ab"[i % 2]) for i in range(6)], [])
    assert [night.segment for night in history] == [0, 1, 0, 1, 0, 1]
    assert [night.opened_by for night in history] == [
        None,
        "hardware changed",
        "hardware changed: back to segment 1",
        "hardware changed: back to segment 2",
        "hardware changed: back to segment 1",
        "hardware changed: back to segment 2",
    ]


@pytest.mark.parametrize("tier", ["hardware", "firmware", "version"])
@pytest.mark.parametrize("machines", [2, 3])
@pytest.mark.parametrize("stay", [1, 7])
def test_each_of_them_is_held_against_its_own_nights(tier, machines, stay):
    """Taking turns night by night or week by week, two or three, told apart by any of what opens a segment."""
    rows = [row(i, value=float(i // stay % machines), **{tier: i // stay % machines}) for i in range(84)]
    history = segmented(KEY, rows, [])
    for i, night in enumerate(history):
        past = usable(history, before_run=night.run_id, last=100)
        assert [other.run_id for other in past] == [
            other.run_id
            for other, old in zip(history[:i], rows[:i], strict=True)
            if old.value == rows[i].value
        ]


def test_a_change_that_a_person_accepted_closes_the_segments_of_all_machines():
    history = segmented(KEY, [row(i, hardware="ab"[i % 2]) for i in range(8)], [accepted(4)])
    assert [night.segment for night in history] == [0, 1, 0, 1, 2, 3, 2, 3]
    assert history[4].opened_by == "the change was accepted"


def test_a_night_that_was_not_probed_stays_with_the_machine_before_it():
    rows = [row(0), row(1, hardware="b", firmware="2"), row(2, hardware=None, firmware=None), row(3)]
    assert [night.segment for night in segmented(KEY, rows, [])] == [0, 1, 1, 0]


def test_a_segment_learns_what_was_not_probed_at_first():
    rows = [row(0, hardware=None), row(1, hardware="a"), row(2, hardware="b"), row(3, hardware="a")]
    assert [night.segment for night in segmented(KEY, rows, [])] == [0, 0, 1, 0]


def test_marks_tell_what_changed_on_the_same_machine():
    rows = [row(0), row(1, hardware="b", system="6.6"), row(2), row(3, hardware="b", system="6.7")]
    assert [night.marks for night in segmented(KEY, rows, [])] == [
        (),
        ("operating system changed",),
        (),
        ("operating system changed",),
    ]


# -- two cards in one board -------------------------------------------------------------------


def test_systems_that_take_turns_are_held_against_their_own_nights_as_soon_as_there_are_enough():
    history = segmented(KEY, [row(i, system=("6.1", "6.6")[i % 2]) for i in range(24)], [])
    assert {night.segment for night in history} == {0}
    assert len(usable(history, before_run="run-019")) == 19, "nine nights of its own are too few"
    assert [night.system for night in usable(history, before_run="run-021")] == [1] * 10


@pytest.mark.parametrize("tier", ["system", "python"])
def test_an_update_that_stays_is_held_against_the_nights_before_it(tier):
    """What a new kernel or torch does to the numbers is what the history is for."""
    rows = [row(i, **{tier: "old" if i < 15 else "new"}) for i in range(40)]
    history = segmented(KEY, rows, [])
    assert len(usable(history, before_run="run-026", last=100)) == 26
    assert len(usable(history, last=100)) == 40


def test_an_update_that_was_taken_back_is_held_against_the_nights_before_the_update():
    rows = [row(i, system="new" if i in (20, 21) else "old") for i in range(23)]
    assert len(usable(segmented(KEY, rows, []), before_run="run-022")) == 20


# -- as before where nothing comes back -------------------------------------------------------


def linear(rows, decisions):
    """Segments as they were before they could be returned to: a new one at every change."""
    accepts = [decision.t_utc for decision in decisions]
    known, segment, before, numbers = None, 0, None, []
    for each in rows:
        opening = (each.bench_version, each.hardware, each.firmware)
        changed = known is not None and any(
            old is not None and new is not None and old != new
            for old, new in zip(known, opening, strict=True)
        )
        changed |= before is not None and any(before < t_utc <= each.t_utc for t_utc in accepts)
        segment += changed
        numbers.append(segment)
        known = [new if new is not None else old for old, new in zip(known or opening, opening, strict=True)]
        before = each.t_utc
    return numbers


@pytest.mark.parametrize("seed", range(40))
def test_a_history_in_which_nothing_comes_back_has_the_segments_that_it_always_had(seed):
    rng = random.Random(seed)
    version = hardware = firmware = system = 0
    rows = []
    for night in range(60):
        version += rng.random() < 0.03
        hardware += rng.random() < 0.05
        firmware += rng.random() < 0.05
        system += rng.random() < 0.1
        rows.append(
            row(night, version=version, hardware=f"h{hardware}", firmware=f"f{firmware}", system=f"s{system}")
        )
    decisions = [accepted(night) for night in rng.sample(range(60), 2)]
    history = segmented(KEY, rows, decisions)
    assert [night.segment for night in history] == linear(rows, decisions)
    for i, night in enumerate(history):
        same = [other for other in history[:i] if other.segment == night.segment]
        assert usable(history, before_run=night.run_id) == same[-30:]


# -- learning ---------------------------------------------------------------------------------


def learning(rows):
    history = segmented(KEY, rows, [])
    return len(learning_nights(history, history[-1].run_id))


def test_nights_count_as_learning_until_one_has_ten_before_it():
    assert [learning([row(i) for i in range(n)]) for n in (1, 10, 11, 12)] == [1, 10, 0, 0]


def test_machines_that_take_turns_learn_twice_as_long_and_then_leave_it():
    rows = [row(i, hardware="ab"[i % 2]) for i in range(22)]
    assert [learning(rows[:n]) for n in (14, 20, 21, 22)] == [14, 20, 0, 0]


def test_a_board_that_is_another_every_night_learns_for_ever():
    assert learning([row(i, hardware=str(i)) for i in range(50)]) == 50


def test_a_new_segment_of_an_old_series_learns_from_its_own_first_night():
    assert learning([row(i, firmware="1" if i < 20 else "2") for i in range(25)]) == 5


def test_nights_without_a_value_do_not_count_as_learning():
    assert learning([row(i, hardware=str(i), n=5 if i % 2 else 2) for i in range(20)]) == 10


def test_no_nights_are_no_yardstick():
    assert usable([]) == []
    assert learning_nights([], "run") == []


def test_a_night_made_by_hand_needs_no_system():
    night = Night("r", "", 1.0, 1.0, 1.0, 5, 5, 0, None, (), None)
    assert usable([night]) == [night]
