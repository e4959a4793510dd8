"""Robustness in the summary, the text, the Markdown and the page. Made-up numbers: input of tests, not claims."""

from __future__ import annotations

import pytest

from tunebench.reports.records import Energy, Stressed
from tunebench.reports.render.html import render
from tunebench.reports.sections.operating_points import SECTION as POINTS
from tunebench.reports.sections.robustness import SECTION
from tunebench.reports.summary import summarise

BLOCKS = range(7)


def stressed(**more) -> Stressed:
    fields = {
        "id": "tight", "kind": "low-memory", "params": {"free_mib": 128}, "quiet_task": "digits/mlp", "held": True,
        "applied": {"held_b": 700e6, "available_b": 134e6}, "verified": {"held_b": 700e6, "available_b": 80e6},
    }  # fmt: skip
    return Stressed(**{**fields, **more})


def under(make_record, block: int, **more):
    fields = {"task": "digits/mlp under tight", "stressor": stressed(), "wall_s": 3.0 + block / 100}
    return make_record(block=block, **{**fields, **more})


def of_task(reader, task: str):
    """Return how the one row of a task fares under its stressor."""
    (row,) = (row for row in summarise(reader).rows if row.task == task)
    return row.under_stress


@pytest.fixture
def quiet(make_record):
    return [make_record(task="digits/mlp", block=block, wall_s=2.0 + block / 100) for block in BLOCKS]


def test_a_row_under_a_stressor_is_paired_with_its_quiet_row_by_block(make_record, store_reps, quiet):
    reader = store_reps([*quiet, *(under(make_record, block) for block in BLOCKS)])
    found = of_task(reader, "digits/mlp under tight")
    assert of_task(reader, "digits/mlp") is None
    assert found.time.ratio == pytest.approx(1.4926, abs=0.001)  # the middle block's 3.03 / 2.03
    assert found.time.low < found.time.ratio < found.time.high and found.time.interval == "wilcoxon"
    assert (found.time.n, found.memory.ratio, found.missing) == (7, 1.0, None)
    assert (found.n_held, found.outcomes, found.quiet_wall_s) == (7, {"ok": 7}, 2.03)
    assert found.figures == {"held_b": 700e6, "available_b": 80e6}
    (text,) = SECTION.text(summarise(reader))
    assert "x1.49" in text and "668 MiB held" in text and "7 ok" in text
    assert "x1.49" in SECTION.markdown(summarise(reader), 4000)
    html = render(reader)
    assert '<section id="robustness">' in html and "x1.49" in html


def test_what_ends_badly_or_does_not_hold_is_told_and_stands_in_no_ratio(make_record, store_reps, quiet):
    killed = under(make_record, 0, outcome="oom", verdict="invalid", wall_s=None)
    loose = under(
        make_record, 1, verdict="invalid", wall_s=9.0, stressor=stressed(held=False, reason="swapped out")
    )
    reader = store_reps([*quiet, killed, loose, *(under(make_record, block) for block in (2, 3))])
    found = of_task(reader, "digits/mlp under tight")
    assert (found.outcomes, found.n_held, found.time.n) == ({"oom": 1, "ok": 3}, 3, 2)
    assert found.time.high < 2
    (text,) = SECTION.text(summarise(reader))
    assert "1 oom, 3 ok; held in 3 of 4" in " ".join(text.split())


def test_without_a_quiet_row_there_is_a_reason_and_no_ratio(make_record, store_reps):
    reader = store_reps([under(make_record, block) for block in BLOCKS])
    (row,) = summarise(reader).rows
    assert (row.under_stress.time, row.under_stress.quiet_wall_s) == (None, None)
    assert "its quiet row was not measured on this board" in SECTION.text(summarise(reader))[-1]


def test_a_run_without_stressors_has_no_such_section(store_reps, quiet):
    summary = summarise(store_reps(quiet))
    assert (SECTION.text(summary), SECTION.markdown(summary, 4000)) == ([], "")


def test_operating_points_have_seconds_and_joules_in_a_section_of_their_own(make_record, store_reps):
    energy = Energy(
        gross_j=12.0, scope="module", source="ina3221", mean_w=6.0, n_samples=300, rate_hz=5.0, max_gap_s=0.3
    )

    def at(mode: str, wall_s: float, **more):
        point = stressed(id=mode, kind="power-mode", params={"mode": mode}, applied=None, verified=None)
        return [
            make_record(
                task=f"digits/mlp at {mode}",
                power_mode=mode,
                stressor=point,
                block=block,
                wall_s=wall_s,
                **more,
            )
            for block in range(6)
        ]

    unmeasured = {"missing": {"energy": "no power sensor: looked for INA3221"}, "energy": None}
    reader = store_reps([*at("15W", 2.0, energy=energy), *at("MAXN", 1.0, **unmeasured)])
    summary = summarise(reader)
    assert SECTION.text(summary) == []
    table, notes = POINTS.text(summary)
    assert "15W" in table and "12.0 J [12.0 J, 12.0 J]" in table and "6.00 W" in table
    assert "No joules of ft-all on host: no power sensor: looked for INA3221." in " ".join(notes.split())
    html = render(reader)
    assert '<section id="operating-points">' in html and '<section id="robustness">' not in html
    assert "ft-all at 15W: 12.0 J in 2.00 s</title>" in html
    assert "Least energy: ft-all at 15W, 12.0 J. Least time: ft-all at 15W, 2.00 s." in html
    assert "ft-all at MAXN:" not in html, "without joules there is no point"
