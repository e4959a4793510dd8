"""Times as loggers write them, worked out by hand: 2026-03-01 08:00:00 UTC is 1772352000 s after 1970."""

from __future__ import annotations

import time

import pytest

from tunebench.targets.meters.logger.times import Moment, advice, is_compact, read_moment

EIGHT_S = 1_772_352_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20260301T080000.250000Z", 0.25),
        ("20260301T080000Z", 0.0),
        ("20260301080000", 0.0),
        ("2026-03-01T08:00:00Z", 0.0),
        ("2026-03-01 08:00:00.200000", 0.2),
        ("2026-03-01 08:00:00", 0.0),  # Python leaves out a fraction of 0
        ("2026-03-01 08:00:00,125", 0.125),
        ("2026-03-01 08:00:00:125", 0.125),
        ("2026-03-01T08:00:00.123456789Z", 0.123456789),
        ("2026-03-01T09:30:00+01:30", 0.0),
        ("2026-03-01T03:00:00-0500", 0.0),
        ("2026-03-01 08:00:00 UTC", 0.0),
        ("2026/3/1 8:00:01", 1.0),
        ("2026/03/01 08:00:00 AM", 0.0),
        ("2026-03-01 08:00:00 PM", 12 * 3600.0),
        ("2026-03-01 12:00:00 AM", -8 * 3600.0),
        ("01.03.2026 08:00:00,5", 0.5),
        ("1.3.26 08:00:00", 0.0),
        ("2026-03-01, 08:00:00.5", 0.5),
    ],
)
def test_dates_that_can_be_read_in_one_way(text, seconds):
    moment = read_moment(text, None, is_local=False)
    assert moment.form == "date"
    assert moment.seconds - EIGHT_S == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("08:00:01.5", 28801.5),
        ("0:00:00", 0.0),
        ("23:59:59,999", 86399.999),
        ("08:00:00:250", 28800.25),
        ("1:00:00 PM", 46800.0),
        ("100:00:01", 360001.0),  # time that has passed
    ],
)
def test_times_of_day_are_seconds_from_midnight(text, seconds):
    assert read_moment(text, None, is_local=False) == Moment("clock", pytest.approx(seconds))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "03/01/2026 08:00:00",  # March or January?
        "1-3-2026 08:00:00",
        "2026-13-01 08:00:00",
        "2026-02-30 08:00:00",
        "2026-03-01",
        "2026-03-01 08:00",  # minutes are no times of readings
        "2026-03-01 25:00:00",
        "2026-03-01 08:61:00",
        "2026-03-01 13:00:00 PM",
        "08:00",
        "2026-03-01 08:00:00 CET",
        "2026-03-01T08:00:00+99:00",
        "2026-03-01 08:00:00 x",
        "٢٠٢٦-03-01 08:00:00",
    ],
)
def test_what_tells_no_time_or_more_than_one_is_none(text):
    assert read_moment(text, None, is_local=False) is None
    assert "give 'time_format'" in advice(text)


def test_a_format_reads_what_could_be_read_in_two_ways_with_or_without_a_fraction():
    day_first = "%d/%m/%Y %H:%M:%S.%f"
    for text, seconds in (("01/03/2026 08:00:00.25", 0.25), ("01/03/2026 08:00:01", 1.0)):
        assert read_moment(text, day_first, is_local=False).seconds - EIGHT_S == pytest.approx(seconds)
    assert read_moment("03/25/2026 08:00:00", day_first, is_local=False) is None
    zoned = read_moment("2026-03-01 09:00 +0100", "%Y-%m-%d %H:%M %z", is_local=True)
    assert zoned.seconds == EIGHT_S
    assert "day and month may stand either way" in advice("03/01/2026 08:00:00")


def test_a_date_without_a_zone_is_this_hosts_time_where_its_clock_is_meant(monkeypatch):
    try:
        monkeypatch.setenv("TZ", "Etc/GMT-2")  # two hours east of Greenwich
        time.tzset()
        for text, time_format in (
            ("2026-03-01 10:00:00.5", None),
            ("1/3/2026 10:00:00.5", "%d/%m/%Y %H:%M:%S.%f"),
        ):
            assert read_moment(text, time_format, is_local=True).seconds == EIGHT_S + 0.5
            assert read_moment(text, time_format, is_local=False).seconds == EIGHT_S + 7200.5
        assert read_moment("2026-03-01T08:00:00Z", None, is_local=True).seconds == EIGHT_S
    finally:
        monkeypatch.undo()
        time.tzset()


def test_digits_alone_are_a_date_only_where_they_can_be_one():
    assert is_compact("20260301080000")
    assert not is_compact("20261301080000")
    assert not is_compact("1772352000")
    assert not is_compact("1772352000250")
    assert not is_compact("1772352000250123")
