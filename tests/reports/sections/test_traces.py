"""Traces: closed until somebody opens one, and without channels that never changed, which are named."""

import gzip
import json
import re

import pytest

from tunebench.reports.figures.plot import plot_data
from tunebench.reports.figures.traces import MAX_CHANNELS, choose, not_drawn
from tunebench.reports.render.html import render
from tunebench.reports.results import RunReader
from tunebench.reports.results.timeseries import read_trace


def trace_of(**columns):
    """A trace of ten rows; a name's values, or one value for all rows."""
    units = {"temp_c": "C", "swap_b": "B", "freq_hz": "Hz", "load_1m": "1"}
    head = {
        "schema": "tunebench.trace/1",
        "channels": [{"id": name, "unit": units.get(name, "W"), "kind": "power"} for name in columns],
        "window_ns": [0, 10**9],
        "events": [[0, "load"], [10**9, "end"]],
    }
    values = [column if isinstance(column, list) else [column] * 10 for column in columns.values()]
    rows = [[i * 10**8, *(column[i] for column in values)] for i in range(10)]
    return read_trace("\n".join(json.dumps(line) for line in [head, *rows]))


def test_a_channel_that_never_changed_is_named_with_its_value_and_not_drawn():
    trace = trace_of(power_w=[1.0, 2.0] * 5, swap_b=0.0, freq_hz=1.5e9, temp_c=45.0)
    assert [channel.id for channel, _ in choose(trace)] == ["power_w"]
    assert [column.name for column in plot_data(trace).channels] == ["power_w"]
    assert not_drawn(trace) == ["Constant, not drawn: swap_b 0 MiB; freq_hz 1500 MHz; temp_c 45.0 °C."]


def test_a_gap_is_no_change():
    assert choose(trace_of(temp_c=[45.0, None] * 5)) == []


def test_what_changed_once_is_drawn():
    assert len(choose(trace_of(temp_c=[45.0] * 9 + [46.0]))) == 1


def test_channels_beyond_the_most_that_are_drawn_are_named():
    trace = trace_of(**{f"rail{i}_w": [float(i), 1.0] * 5 for i in range(2, 2 + MAX_CHANNELS + 2)})
    assert len(choose(trace)) == MAX_CHANNELS
    assert not_drawn(trace) == [
        "Not drawn for want of room: rail8_w, rail9_w; the run's directory holds them."
    ]


def test_a_trace_in_which_nothing_changed_says_so_instead_of_being_empty(demo_run):
    reader = RunReader(demo_run, check=False)
    head = (
        '{"schema":"tunebench.trace/1","channels":[{"id":"swap_b","unit":"B","kind":"memory"}],"events":[]}'
    )
    for path in (demo_run / "trace").iterdir():
        path.write_bytes(gzip.compress(f"{head}\n[0,0]\n[1000,0]\n".encode()))
    html = render(reader)
    assert "No trace: Constant, not drawn: swap_b 0 MiB." in html


def test_every_trace_is_closed(lab):
    html = render(lab)
    openings = re.findall(r'<details class="trace"[^>]*>', html)
    assert len(openings) > 4
    assert not any(" open" in opening for opening in openings)


def test_the_page_names_constant_channels_in_a_line(demo):
    section = render(demo).split('<section id="traces">')[1].split("</section>")[0]
    assert "Constant, not drawn" not in section, "these traces have none"


@pytest.mark.parametrize("name", ["<b>", "x" * 500, "a\x1b[31m"])
def test_hostile_names_of_channels_stay_text(name):
    (sentence,) = not_drawn(trace_of(**{name: 1.0}))
    assert "\x1b" not in sentence
    assert len(sentence) < 200
