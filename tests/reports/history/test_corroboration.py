"""Instructions beside a slow-down: they say where to look and change no verdict. Numbers are made up."""

from __future__ import annotations

import json

import pytest

from tests.reports.labs import quiet_lab
from tunebench.reports.history import gating, index
from tunebench.reports.history.confirm import PAIRS
from tunebench.reports.history.corroboration import change_of, change_of_pairs, words
from tunebench.reports.history.gate_text import as_json_value, judgement_of, plain_text
from tunebench.reports.history.series import opened

NIGHTS = 14


def count(folder, count_of):
    """Add counts to the records of a night, as a board with a PMU gives them."""
    path = folder / "reps.jsonl"
    lines = []
    for number, line in enumerate(path.read_text().splitlines()):
        rep = json.loads(line)
        value = count_of(rep["series_key"]) * (1 + 1e-4 * (number % 3))
        rep["pmu"] = {
            "instructions": round(2 * value), "running": 1.0, "repeats": 2, "instructions_per_finetuning": value,
        }  # fmt: skip
        lines.append(json.dumps(rep))
    path.write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def lab():
    return quiet_lab(cells=2, repetitions=5)


@pytest.fixture
def store(tmp_path, lab):
    for night in range(NIGHTS):
        count(lab.write_night(tmp_path, night), lambda _: 1e9)
    return tmp_path


def judged(store, folder, **how):
    with opened(index.build(store).path) as database:
        return gating.judge(database, folder.name, **how)


def slow_night(store, lab, instructions):
    slow = lab.series[0]
    factors = {series.key: 1.0 for series in lab.series}
    folder = lab.write_night(store, NIGHTS, factors=factors, slower={slow.key: 0.10})
    return slow, count(folder, lambda key: 1e9 * (instructions if key == slow.key else 1.0))


def confirming(lab, tonight, counts=()):
    by_key = {series.key: series for series in lab.series}

    def confirmer(series, _metric):
        item = by_key[series.series_key]
        return gating.Pairs(
            lab.values(item, 1.0, PAIRS), lab.values(item, tonight, PAIRS), instructions=counts
        )

    return confirmer


def time_finding(judgement, slow):
    return next(f for f in judgement.findings if f.series_key == slow.key and f.metric == "time")


@pytest.mark.parametrize(
    ("instructions", "said"),
    [
        (1.0, "same instructions (+0.0%), more time: look at clock, heat, memory"),
        (1.1, "more instructions, too (+10.0%): the work itself has grown"),
        (1.02, "more instructions (+2.0%), but less than the time has grown"),
        (0.9, "fewer instructions (-10.0%) in more time"),
    ],
)
def test_a_slower_night_says_what_became_of_its_instructions(store, lab, instructions, said):
    slow, folder = slow_night(store, lab, instructions)
    judgement = judged(store, folder)
    finding = time_finding(judgement, slow)
    assert finding.verdict == "UNCLEAR"
    assert said in finding.reason
    assert said in plain_text(judgement)


@pytest.mark.parametrize(("tonight", "verdict"), [(1.1, "REGRESSION"), (1.0, "TRANSIENT")])
@pytest.mark.parametrize("instructions", [0.5, 1.0, 1.1, 3.0])
def test_no_verdict_depends_on_instructions(store, lab, tonight, verdict, instructions):
    slow, folder = slow_night(store, lab, instructions)
    counts = [(1e9, 1e9 * instructions)] * PAIRS
    judgement = judged(store, folder, confirmer=confirming(lab, tonight, counts))
    assert time_finding(judgement, slow).verdict == verdict
    assert judgement.exit_code == (1 if verdict == "REGRESSION" else 0)


def test_a_regression_is_explained_by_the_pairs_of_tonight(store, lab):
    """The nights say the same, but the builds that were held against each other differ."""
    slow, folder = slow_night(store, lab, 1.0)
    judgement = judged(store, folder, confirmer=confirming(lab, 1.1, [(1e9, 1.1e9)] * PAIRS))
    assert "more instructions, too (+10.0%)" in time_finding(judgement, slow).reason


def test_a_lab_without_counters_says_nothing_of_them(tmp_path, lab):
    for night in range(NIGHTS):
        lab.write_night(tmp_path, night)
    slow = lab.series[0]
    folder = lab.write_night(
        tmp_path, NIGHTS, factors={series.key: 1.0 for series in lab.series}, slower={slow.key: 0.10}
    )
    finding = time_finding(judged(tmp_path, folder), slow)
    assert finding.instructions is None
    assert "instructions" not in finding.reason


def test_the_change_goes_through_json_and_an_older_judgement_is_read(store, lab):
    _, folder = slow_night(store, lab, 1.1)
    value = json.loads(json.dumps(as_json_value(judged(store, folder))))
    assert judgement_of(value).findings[0].instructions == pytest.approx(0.1, abs=1e-3)
    for finding in value["findings"]:
        del finding["instructions"]
    assert judgement_of(value).findings[0].instructions is None


def test_what_is_faster_or_was_not_counted_has_no_words():
    assert words(0.0, -0.1) == words(None, 0.1) == words(0.0, None) == ""
    assert "wait for each other" in words(0.1, 0.1, threads=4)
    assert change_of([1.0, 1.0], 1.0) is None
    assert change_of([1.0] * 5, None) is None
    assert change_of_pairs([], []) is None
    assert change_of_pairs([0.0, 1.0, 1.0, 1.0], [1.0, 2.0, 2.0, 2.0]) == 1.0
