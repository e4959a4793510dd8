"""Memory: the peak, and what of it the fine-tuning adds to an idle interpreter; null with the reason where not known."""

import re

import pytest

from tunebench.reports.render.html import render
from tunebench.reports.summary import as_json, summarise

MIB = 1 << 20


@pytest.fixture
def row_of(store_reps, make_record):
    """Function (fields of each repetition) -> the row of a run."""

    def make(*fields, **shared):
        reps = [make_record(block=b, seed=b, **{**shared, **each}) for b, each in enumerate(fields)]
        return summarise(store_reps(reps)).rows[0]

    return make


def of(peak_mib, idle_mib=None):
    metrics = {} if idle_mib is None else {"idle_rss_b": idle_mib * MIB}
    return {"peak_rss_b": peak_mib * MIB, "metrics": metrics}


def test_the_increment_is_taken_repetition_by_repetition(row_of):
    row = row_of(of(240, 225), of(250, 238), of(243, 230))
    assert row.idle_rss_b.median == 230 * MIB
    assert row.over_idle_b.median == 13 * MIB, "12, 13 and 15: not the difference of the medians"
    assert (row.over_idle_b.low, row.over_idle_b.high) == (12 * MIB, 15 * MIB)
    assert row.over_idle_missing is None


def test_without_a_record_of_it_there_is_no_increment_but_a_reason(row_of):
    row = row_of(of(240), of(250))
    assert (row.idle_rss_b, row.over_idle_b) == (None, None)
    assert "was not recorded" in row.over_idle_missing


def test_an_idle_interpreter_larger_than_the_peak_is_not_believed(row_of):
    row = row_of(of(200, 230))
    assert row.over_idle_b is None
    assert "not believed" in row.over_idle_missing


@pytest.mark.parametrize("idle", [0.0, -5.0])
def test_no_memory_at_all_is_no_measurement(row_of, idle):
    assert row_of({"peak_rss_b": 10, "metrics": {"idle_rss_b": idle}}).over_idle_b is None


def test_a_module_of_ones_own_may_call_a_number_so_and_it_is_not_taken(row_of):
    row = row_of(of(240, 225), own=True, method="own", label="mine")
    assert row.over_idle_b is None
    assert "loads its engine itself" in row.over_idle_missing


def test_the_page_shows_it_beside_the_total_and_says_what_idle_means(store_reps, make_record):
    reps = [make_record(block=b, seed=b, **of(240, 226)) for b in range(6)]
    html = render(store_reps(reps))
    assert "240 MiB, idle + 14.0 MiB" in html
    assert "idle + 14.0 MiB</span>" in html, "in the comparison, too"
    assert "idle interpreter: 226 MiB" not in html, "one row has nothing in common with others"
    assert re.search(r"<th scope=\"col\">over idle</th>", html)
    assert "when its engine was loaded" in html
    assert "Over an idle interpreter: not known" not in html


def test_an_earlier_versions_run_says_that_it_is_not_known(demo):
    html = render(demo)
    assert (
        html.count("Over an idle interpreter: not known, the memory of the idle interpreter was not recorded")
        == 1
    )
    assert "idle +" not in html


def test_the_json_holds_it(store_reps, make_record):
    value = as_json(summarise(store_reps([make_record(**of(240, 226))])))["rows"][0]
    assert value["over_idle_b"]["median"] == 14 * MIB
    assert value["idle_rss_b"]["median"] == 226 * MIB
    assert value["over_idle_missing"] is None
