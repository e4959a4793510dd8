"""Hosts whose clock is wrong: their nights keep their place, and it is told."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from tests.reports.labs import quiet_lab
from tunebench.reports.history import clock, gating, index
from tunebench.reports.history.confirm import PAIRS
from tunebench.reports.history.decisions import Decision
from tunebench.reports.history.series import nights, opened

NIGHTS = 14
FIRST = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)
#: What the machine that judges says: the morning after the last night.
NOW = FIRST + timedelta(days=NIGHTS, hours=6)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def lab():
    return quiet_lab()


@pytest.fixture
def store(tmp_path, lab):
    for night in range(NIGHTS):
        written(lab.write_night(tmp_path, night), FIRST + timedelta(days=night))
    return tmp_path


def written(folder, moment):
    """Set when a run's files were written."""
    for file in folder.iterdir():
        os.utime(file, (moment.timestamp(), moment.timestamp()))
    return folder


def judged(store, folder, now=NOW, **kwargs):
    with opened(index.build(store).path) as database:
        return gating.judge(database, folder.name, now=now, **kwargs)


def confirmer_of(lab, slower):
    by_key = {series.key: series for series in lab.series}

    def confirmer(series, _metric):
        item = by_key[series.series_key]
        return gating.Pairs(lab.values(item, 1.0, PAIRS), lab.values(item, 1 + slower, PAIRS))

    return confirmer


def verdicts(judgement):
    return {finding.verdict for finding in judgement.findings}


def told(judgement):
    return "; ".join(finding.reason for finding in judgement.findings if finding.verdict == "CLOCK")


WRONG = [
    "1970-01-01T00:02:00",
    "1980-01-01T00:00:00",
    "2000-01-01T00:00:07",
    "2023-03-01T02:00:00",
    "2025-12-01T02:00:00",
    "2026-01-03T02:00:00",
    "2099-01-01T02:00:00",
    "2038-01-19T03:14:07",
]


@pytest.mark.parametrize("date", WRONG)
def test_a_slower_build_is_red_on_a_night_with_a_wrong_date(store, lab, date):
    slow = lab.series[1].key
    folder = lab.write_night(store, NIGHTS, slower={slow: 0.25}, started=at(date))
    judgement = judged(store, folder, confirmer=confirmer_of(lab, 0.25))
    assert judgement.exit_code == 1
    assert [finding.series_key for finding in judgement.findings if finding.verdict == "REGRESSION"] == [slow]
    assert judgement.learning == 0
    assert date[:10] in told(judgement)


@pytest.mark.parametrize("date", WRONG)
def test_such_a_night_is_green_where_nothing_is_slower(store, lab, date):
    folder = lab.write_night(store, NIGHTS, factors={s.key: 1.0 for s in lab.series}, started=at(date))
    judgement = judged(store, folder)
    assert (judgement.exit_code, verdicts(judgement), judgement.learning) == (0, {"CLOCK"}, 0)


@pytest.mark.parametrize("date", WRONG)
def test_a_slower_build_is_red_on_the_night_after_it(store, lab, date):
    lab.write_night(store, 90, factors={s.key: 1.0 for s in lab.series}, started=at(date))
    slow = lab.series[1].key
    folder = lab.write_night(store, NIGHTS, slower={slow: 0.25})
    judgement = judged(store, folder, confirmer=confirmer_of(lab, 0.25))
    assert judgement.exit_code == 1


@pytest.mark.parametrize("date", WRONG)
def test_a_wrong_clock_shifts_no_segment(store, lab, date):
    lab.write_night(store, NIGHTS, started=at(date))
    lab.write_night(store, NIGHTS + 1)
    with opened(index.build(store).path) as database:
        history = nights(database, lab.series[0].key)
    assert {night.segment for night in history} == {0}
    assert len(history) == NIGHTS + 2


def test_a_host_that_never_has_the_time_is_judged_all_the_same(tmp_path, lab):
    """Every night begins in 1970, and so say the files."""
    for night in range(NIGHTS):
        began = at("1970-01-01T00:02:00") + timedelta(seconds=night % 3)
        written(lab.write_night(tmp_path, night, started=began), began)
    slow = lab.series[1].key
    began = at("1970-01-01T00:02:00")
    folder = written(lab.write_night(tmp_path, NIGHTS, slower={slow: 0.25}, started=began), began)
    judgement = judged(tmp_path, folder, now=began, confirmer=confirmer_of(lab, 0.25))
    assert judgement.exit_code == 1
    assert "dated 1970-01-01" in told(judgement)


@pytest.mark.parametrize("behind", [timedelta(days=400), timedelta(days=40), timedelta(days=-400)])
def test_two_hosts_with_different_clocks_share_a_history(tmp_path, lab, behind):
    """They measure by turns; each of them sees the slower build, and has all nights to compare it with."""
    for night in range(20):
        moment = FIRST + timedelta(days=night)
        written(lab.write_night(tmp_path, night, started=moment - behind * (night % 2)), moment)
    slow = lab.series[1].key
    for night in (20, 21):
        moment = FIRST + timedelta(days=night)
        folder = lab.write_night(tmp_path, night, slower={slow: 0.25}, started=moment - behind * (night % 2))
        judgement = judged(
            written(folder, moment).parents[4], folder, now=moment, confirmer=confirmer_of(lab, 0.25)
        )
        assert judgement.exit_code == 1
        assert judgement.findings[0].screening.n == 20 + (night - 20)


def test_a_board_that_is_missing_on_a_night_with_a_wrong_date_is_offline(store, lab):
    gone = [series.key for series in lab.series if series.board_id == "board-00"]
    folder = lab.write_night(store, NIGHTS, left_out=gone, started=at("1970-01-01T00:02:00"))
    assert "OFFLINE" in verdicts(judged(store, folder))


def test_what_was_accepted_and_quarantined_holds_on_a_night_with_a_wrong_date(store, lab):
    slow = lab.series[1].key
    folder = lab.write_night(store, NIGHTS, slower={slow: 0.25}, started=at("1970-01-01T00:02:00"))
    accept = Decision(t_utc="2026-01-14T12:00:00Z", who="ann", kind="accept", reason="x", series_key=slow)
    assert verdicts(judged(store, folder, decisions=[accept])) == {"CLOCK"}
    sick = Decision(
        t_utc="2026-01-10T00:00:00Z", who="ann", kind="quarantine", reason="x", board_id="board-00"
    )
    assert verdicts(judged(store, folder, decisions=[sick])) == {"CLOCK", "QUARANTINED"}


def test_an_old_run_that_is_judged_again_keeps_its_place(store, lab):
    folders = sorted(store.glob("*/*/*/*/*"))
    for n, folder in enumerate(folders):
        judgement = judged(store, folder)
        assert told(judgement) == ""
        assert judgement.learning == (judgement.screened if n < 10 else 0)


def test_it_keeps_it_beside_a_night_of_the_year_2099(store, lab):
    written(lab.write_night(store, 90, started=at("2099-01-01T02:00:00")), NOW)
    judgement = judged(store, sorted(store.glob("*/*/*/*/*"))[4])
    assert judgement.learning == judgement.screened > 0


def test_a_campaign_that_ends_days_after_it_began_is_judged_as_the_newest(store, lab):
    """It was resumed, or its host got the time meanwhile: it began before the last nights, and ended after them."""
    slow = lab.series[1].key
    began = FIRST + timedelta(days=NIGHTS - 6, hours=1)
    folder = lab.write_night(store, NIGHTS, started=began, slower={slow: 0.25})
    manifest = json.loads((folder / "run.json").read_text())
    manifest["ended_utc"] = clock.stamp(NOW)
    (folder / "run.json").write_text(json.dumps(manifest))
    judgement = judged(store, folder, confirmer=confirmer_of(lab, 0.25))
    assert judgement.exit_code == 1
    assert judgement.findings[0].screening.n == NIGHTS
    assert "it was resumed, or its clock was set meanwhile" in told(judgement)


def test_a_clock_that_is_hours_off_is_not_worth_a_word(store, lab):
    folder = lab.write_night(store, NIGHTS, started=FIRST + timedelta(days=NIGHTS - 1, hours=-11))
    assert told(judged(store, folder)) == ""


def test_a_machine_that_judges_with_a_wrong_clock_does_not_blame_the_store(store, lab):
    folder = lab.write_night(store, NIGHTS)
    assert told(judged(store, folder, now=at("2019-01-01T00:00:00"))) == ""


@pytest.mark.parametrize("stated", [None, "", "yesterday", 1970, "9999-99-99"])
def test_a_run_without_a_date_stands_where_its_id_says(store, lab, stated):
    folder = lab.write_night(store, NIGHTS, factors={s.key: 1.0 for s in lab.series})
    for name in ("plan.json", "run.json"):
        value = json.loads((folder / name).read_text()) | {"started_utc": stated}
        (folder / name).write_text(json.dumps(value))
    judgement = judged(store, folder)
    assert (judgement.exit_code, judgement.learning) == (0, 0)


def test_the_index_names_runs_whose_date_cannot_be_right(store, lab):
    lab.write_night(store, NIGHTS, started=at("1970-01-01T00:02:00"))
    moved = lab.write_night(store, NIGHTS + 1)
    plan = json.loads((moved / "run.json").read_text()) | {"started_utc": "2025-06-01T02:00:00Z"}
    (moved / "run.json").write_text(json.dumps(plan))
    warnings = index.build(store).warnings
    assert len(warnings) == 2
    assert "it is dated 1970-01-01T00:02:00Z" in warnings[0]
    assert "its id says 2026-01-16" in warnings[1]


def test_the_index_names_runs_of_days_that_are_still_to_come(store, lab):
    for night in range(5):
        lab.write_night(store, night, started=datetime(2099, 1, 1 + night, tzinfo=UTC))
    (warning,) = index.build(store).warnings
    assert "5 runs are dated after the clock here" in warning
    assert "2099-01-03" in warning and "and 2 more" in warning


def test_a_clock_that_is_behind_most_of_the_store_says_nothing_of_it(store):
    orders = {"a": "2026-01-01T00:00:00Z", "b": "2026-01-02T00:00:00Z"}
    assert clock.told_of_days_to_come(orders, at("2019-01-01T00:00:00")) is None


def test_later_nights_tell_of_a_run_that_stands_in_no_order(store, lab):
    old = at("1970-01-01T00:02:00")
    written(lab.write_night(store, 90, started=old), old)
    folder = lab.write_night(store, NIGHTS, factors={s.key: 1.0 for s in lab.series})
    judgement = judged(store, folder)
    assert judgement.exit_code == 0
    assert "one run before it cannot be put in order by date" in told(judgement)


@pytest.mark.parametrize(
    ("stated", "files", "order"),
    [
        ("2026-01-01T00:00:00Z", None, "2026-01-01T00:00:00Z"),
        ("2026-01-01T02:00:00+02:00", None, "2026-01-01T00:00:00Z"),
        ("2026-01-01", None, "2026-01-01T00:00:00Z"),
        ("1970-01-01T00:00:00Z", None, ""),
        ("1970-01-01T00:00:00Z", 100.0, ""),
        ("1970-01-01T00:00:00Z", 1e18, ""),
        ("1970-01-01T00:00:00Z", -5.0, ""),
        ("1970-01-01T00:00:00Z", 1767225600.0, "2026-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", None, ""),
        ("2099-01-01T00:00:00Z", None, "2099-01-01T00:00:00Z"),
    ],
)
def test_a_place_is_the_runs_own_date_or_that_of_its_files(stated, files, order):
    assert clock.place("run", stated, files).order_utc == order
