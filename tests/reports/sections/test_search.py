"""The section on a search: its sentence, its front, its choice measured again; values are made up."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from tunebench.reports.analysis.row import Accuracy
from tunebench.reports.records import Quality
from tunebench.reports.results.plan_view import PlanView
from tunebench.reports.sections.search import SECTION, search_lines, sentence
from tunebench.reports.studies.search.budget import parse_budget
from tunebench.reports.studies.search.facts import facts_of, search_facts
from tunebench.reports.studies.search.front import best
from tunebench.reports.studies.search.measured import board_s, values_in
from tunebench.reports.studies.search.model import Search, Trial

TRIALS = (
    Trial(1, "float, epochs 4", {"chain": "float", "epochs": 4}, "run-1", {"time": 4e-4, "accuracy": 0.95}, {}, 3.0),
    Trial(2, "pruned, ratio 0.5", {"chain": "pruned", "ratio": 0.5}, "run-2", {"time": 2e-4, "accuracy": 0.93}, {}, 2.0),
    Trial(3, "pruned, ratio 0.3", {"chain": "pruned", "ratio": 0.3}, "run-3", {"time": 5e-4, "accuracy": 0.94}, {}, 2.0),
    Trial(4, "fp16", {"chain": "fp16"}, "run-4", {"accuracy": 0.99}, {"time": "simulated: no speed"}, 2.0),
)  # fmt: skip


def search(budget="ms=0.3,accuracy>=0.9"):
    bounds = parse_budget(budget)
    chosen = best(TRIALS, bounds, "accuracy")
    return Search("task", "here", bounds, "accuracy", 20, 60.0, TRIALS, chosen.number if chosen else None)


def words(blocks):
    return " ".join("\n".join(blocks).split())


def test_the_section_tells_what_was_sought_spent_and_chosen_and_which_trials_nothing_beats():
    facts = facts_of(search())

    assert (facts.front, facts.within, facts.holds) == ([1, 2], [2], None)
    text = words(search_lines(facts))
    assert "best accuracy with time at most 300 µs, accuracy at least 90.0%" in text
    assert "4 of 20 points measured in 9.00 s of the board's time (limit 60.0 s)" in text
    assert "Chosen: trial 2, pruned, ratio 0.5 (time 200 µs, accuracy 93.0%)." in text
    assert "– (simulated: no speed)" in text


@pytest.mark.parametrize(
    ("accuracy", "holds", "said"), [(0.91, True, "it is within"), (0.85, False, "it MISSES")]
)
def test_a_choice_that_does_not_hold_when_measured_again_is_told(make_record, accuracy, holds, said):
    rows = _rows(make_record, accuracy)
    facts = facts_of(search(), rows)

    assert facts.holds is holds
    assert said in sentence(facts)
    assert "accuracy accuracy at least 90.0% 93.0%" in words(search_lines(facts))


def test_where_nothing_is_within_the_budget_the_nearest_is_named_with_what_it_misses():
    facts = facts_of(search("ms=0.1,accuracy>=0.9"))

    assert "No trial is within the budget. Nearest: trial 2, pruned, ratio 0.5; it misses: time" in sentence(
        facts
    )
    assert "No trial has all values that the budget bounds" in sentence(facts_of(search("mb=1")))


def test_a_plan_tells_the_search_and_other_plans_tell_none():
    stored = json.loads(json.dumps(search().as_dict()))

    assert search_facts(PlanView.of({"suite": {"search": stored}}).suite.search, []).search == search()
    assert search_facts(PlanView.of({"suite": {"search": 3}}).suite.search, []) is None
    assert search_facts(PlanView.of({}).suite.search, []) is None


def test_markdown_is_as_long_as_it_may_be_and_other_runs_have_none():
    summary = SimpleNamespace(search=facts_of(search()))

    assert "| 2 |" in SECTION.markdown(summary, 8000)
    assert len(SECTION.markdown(summary, 600)) <= 600
    assert SECTION.markdown(summary, 10) == ""
    assert SECTION.markdown(SimpleNamespace(search=None), 8000) == ""
    assert SECTION.text(SimpleNamespace(search=None)) == []


def test_a_point_has_the_mean_of_its_halves_and_none_where_one_half_has_none(make_record):
    halves = [
        make_record(rep_id=f"r{half}", task=f"half {half}", wall_s=half, quality=Quality(after=half / 4))
        for half in (1.0, 2.0)
    ]  # fmt: skip
    measured = values_in(halves)

    assert measured.values["time"] == 1.5
    assert measured.values["accuracy"] == 0.375
    assert "energy" in measured.missing
    lost = make_record(rep_id="r3", task="half 2", outcome="failed", verdict="invalid", wall_s=None)
    assert "time" not in values_in([halves[0], lost]).values
    assert board_s(halves) == sum(rep.host_s or rep.process_s or 0 for rep in halves)


def _rows(make_record, accuracy):
    from tunebench.reports.analysis.cells import cells, numbers

    rep = make_record(board_id="here", task="task", wall_s=2e-4, quality=Quality(after=accuracy))
    rows = [numbers(cell) for cell in cells([rep])]
    assert isinstance(rows[0].accuracy, Accuracy)
    return rows
