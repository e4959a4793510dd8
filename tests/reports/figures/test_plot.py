"""What the browser zooms: no extreme is lost, no gap is closed, and throttling is marked where the board said so."""

from __future__ import annotations

import json

from tunebench.reports.figures.plot import MAX_ROWS, kept_rows, plot_data
from tunebench.reports.figures.traces import trace_figure
from tunebench.reports.results.timeseries import read_trace


def trace_of(rows, *, channels=("power",), extra=()):
    shown = [{"id": f"{kind}-{i}", "kind": kind, "unit": "W"} for i, kind in enumerate(channels)]
    header = {
        "schema": "tunebench.trace/1",
        "period_s": 0.1,
        "channels": [*shown, *extra],
        "events": [[0, "load"], [int(1e8), "finetune"], [int(len(rows) * 1e8), "end"]],
        "window_ns": [int(1e8), int(len(rows) * 1e8)],
    }
    lines = [header, *([int(i * 1e8), *row] for i, row in enumerate(rows))]
    return read_trace("".join(json.dumps(line) + "\n" for line in lines))


def test_a_long_trace_keeps_every_extreme_and_gap():
    values = [5.0 + i % 3 for i in range(20_000)]
    values[7_777], values[12_345], values[15_000] = 99.0, -99.0, None
    kept = kept_rows([values], len(values))
    assert len(kept) <= 2 * MAX_ROWS
    assert {7_777, 12_345, 15_000} <= set(kept)
    assert kept == sorted(kept)
    data = plot_data(trace_of([[value] for value in values]))
    assert max(value for value in data.channels[0].y if value is not None) == 99.0
    assert None in data.channels[0].y


def test_a_short_trace_is_kept_whole():
    data = plot_data(trace_of([[1.0], [2.0], [None], [3.0]]))
    assert data.t == [0.0, 0.1, 0.2, 0.3]
    assert data.channels[0].y == [1.0, 2.0, None, 3.0]
    assert [band[2] for band in data.bands] == ["load", "finetune"]


def test_a_stretch_that_was_never_read_stays_a_gap():
    values = [None] * 5000 + [1.0] * 5000
    kept = kept_rows([values], len(values))
    assert any(values[i] is None for i in kept)


def test_throttling_is_marked_where_the_board_said_so():
    """Flags of a Pi: bit 0 under-voltage, bit 2 throttled; bits from 16 on only remember."""
    flags = {"id": "throttled", "kind": "throttle", "unit": "bits"}
    readings = [0, 5, 5, 4, 0x50000, None]
    data = plot_data(trace_of([[1.0, flag] for flag in readings], extra=[flags]))
    assert data.marks == [(0.1, 0.3, "under-voltage, throttled"), (0.3, 0.4, "throttled")]
    alarm = {"id": "oc-alarm", "kind": "throttle", "unit": "count"}
    data = plot_data(trace_of([[1.0, value] for value in (0, 1, 3)], extra=[alarm]))
    assert [mark[2] for mark in data.marks] == ["oc-alarm", "oc-alarm 3.00"]


def test_a_channel_that_is_read_once_a_second_is_a_line_and_its_missed_reading_a_gap():
    slow = [value for i in range(8) for value in (1.0 + i % 2, None, None, None, None)]
    slow[20] = None  # one reading was missed
    data = plot_data(trace_of([[1.0 + i, value] for i, value in enumerate(slow)], channels=("power", "load")))
    y = data.channels[1].y
    assert y[:6] == [1.0, "", "", "", "", 2.0]
    assert y[16:25] == [None] * 9
    title = "slow"
    figure = trace_figure(
        "x", trace_of([[value] for value in slow], channels=("load",)), title=title, heading=""
    )
    assert figure.drawings[0][1].count("<polyline") == 2
