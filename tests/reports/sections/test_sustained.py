"""The sustained policy in the summary, the text table and the page."""

from __future__ import annotations

import pytest

from tunebench.reports.records import Sustained
from tunebench.reports.render.html import render
from tunebench.reports.render.text import table
from tunebench.reports.summary import summarise


def warm(first_s: float, steady_s: float, **more) -> Sustained:
    fields = {"duration_s": 600.0, "n": 400, "settled": True, "time_to_steady_s": 120.0, "temp_end_c": 81.0}
    return Sustained(first_s=first_s, steady_s=steady_s, decline=steady_s / first_s - 1, **{**fields, **more})


@pytest.fixture
def reader(make_record, store_reps):
    reps = [
        make_record(policy="sustained", block=block, wall_s=sustained.steady_s, sustained=sustained)
        for block, sustained in enumerate(
            [
                warm(1.0, 1.3),
                warm(1.0, 1.32, temp_end_c=83.0),
                warm(1.1, 1.5, settled=False, time_to_steady_s=None),
            ]
        )
    ]
    return store_reps(reps)


def test_the_summary_tells_medians_and_how_many_settled(reader):
    (row,) = summarise(reader).rows
    assert row.policy == "sustained"
    sustained = row.sustained
    assert (sustained.n, sustained.n_settled, sustained.temp_end_max_c) == (3, 2, 83.0)
    assert (sustained.first_s, sustained.steady_s, sustained.time_to_steady_s) == (1.0, 1.32, 120.0)
    assert sustained.decline == pytest.approx(0.32)
    assert row.wall_s.median == 1.32, "what stands in comparisons is the steady state"


def test_the_text_table_and_the_page_show_steady_state_and_decline(reader):
    text = table(summarise(reader), 150)
    (line,) = [line for line in text.splitlines() if "2 of 3" in line]
    assert "+32" in line and "83 °C" in line
    page = render(reader)
    assert 'id="sustained"' in page
    assert "2 of 3" in page


def test_a_cold_run_says_nothing_of_it(demo):
    summary = summarise(demo)
    assert all(row.sustained is None and row.policy == "cold" for row in summary.rows)
    assert "Sustained" not in table(summary)
    assert 'id="sustained"' not in render(demo)
