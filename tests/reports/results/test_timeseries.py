"""Traces come off boards: torn, odd and partly empty ones are read as far as they go."""

import json

import pytest

from tunebench.reports.results.timeseries import read_trace


def text(header, *rows):
    return "\n".join(json.dumps(row) if not isinstance(row, str) else row for row in [header, *rows])


HEADER = {
    "schema": "tunebench.trace/1",
    "period_s": 0.2,
    "channels": [{"id": "a", "unit": "W", "kind": "power", "scope": "module", "source": "ina3221"}],
    "window_ns": [10, 20],
    "events": [[0, "load"], [10, "finetune"], [15, "finetune"], [20, "save"], [20, "end"]],
}


def test_phases_join_neighbours_and_drop_empty_ones():
    assert read_trace(text(HEADER)).phases() == [(0, 10, "load"), (10, 20, "finetune")]


def test_odd_rows_are_left_out_and_odd_values_are_not_read():
    trace = read_trace(
        text(HEADER, [1, 2.5], [2, None], [3, "x"], [4, True], [5], {"a": 1}, ["t", 1], "{torn", [6, 3])
    )
    assert trace.t_ns == [1, 2, 3, 4, 6]
    assert trace.values == [[2.5, None, None, None, 3.0]]


def test_a_number_beyond_all_floats_is_none():
    trace = read_trace(text({**HEADER, "period_s": 10**400}, [1, 10**400], [2, 1.5]))
    assert trace.period_s is None
    assert trace.values == [[None, 1.5]]


def test_what_the_header_lacks_is_not_known():
    trace = read_trace(text({"schema": "tunebench.trace/1.3", "channels": ["?"], "events": [["x"]]}))
    assert (trace.period_s, trace.window_ns, trace.events) == (None, None, [])
    assert trace.channels[0].id == "?"


@pytest.mark.parametrize("bad", ["", "nonsense", "[]", '{"schema": "tunebench.trace/2"}', "[" * 100_000])
def test_a_foreign_header_is_refused(bad):
    with pytest.raises(ValueError, match="trace:"):
        read_trace(bad)
