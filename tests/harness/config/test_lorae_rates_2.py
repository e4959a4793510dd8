"""The suites of the LoRAE study by protocol 2 hold what the protocol chooses from the kept scores of the search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunebench.harness.cli.completion import suite_file
from tunebench.harness.config.suite import load_suite
from tunebench.harness.study import protocol
from tunebench.reports.stats.non_inferiority import judge_non_inferiority, points_apart

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
KEPT = json.loads((BENCHMARKS / "lorae_rates_2.json").read_text(encoding="utf-8"))
COMPARED = ("ft-all", "lorae-r4")


def scores(task, label):
    """Return the kept scores of a method on the main track: epochs -> rate -> cell -> score."""
    kept: dict[int, dict[float, dict[int, float | None]]] = {}
    for key, cells in KEPT["scores"].items():
        of_task, track, of_label, epochs, rate = key.split(" | ")
        if (of_task, track, of_label) == (task, "main", label):
            kept.setdefault(int(epochs), {})[float(rate)] = dict(enumerate(cells))
    return kept


@pytest.mark.parametrize("task", sorted({key.split(" | ")[0] for key in KEPT["scores"]}))
def test_rates_and_steps_of_a_suite_are_those_that_the_protocol_chooses(task):
    rows = {row.label: row for row in load_suite(f"lorae-study-2-{task}").workloads}
    means, searched = {}, set()
    for label in COMPARED:
        kept = scores(task, label)
        at_suite, *doubled = sorted(
            kept
        )  # epochs on half of the pool for the steps that the search began with, and doublings
        chosen = protocol.choose(kept[at_suite])
        assert chosen.stands
        assert rows[label].params["lr"] == pytest.approx(chosen.rate)
        assert all(list(kept[epochs]) == [chosen.rate] for epochs in doubled), (
            "steps are doubled at the chosen rate"
        )
        searched.add(tuple(sorted(kept[at_suite])))
        if not doubled:
            continue  # of a suite that says that its steps were not searched
        means[label] = {epochs: protocol.choose(kept[epochs]).mean for epochs in doubled} | {
            at_suite: chosen.mean
        }
    assert len(searched) == 1, "both were searched at the same rates"
    # Folds leave half of the pool, so twice the epochs make the suite's steps.
    if means:
        assert protocol.steps_for_all(means) == 2 * rows["ft-all"].params["epochs"]
    else:
        assert "more steps" in suite_file(f"lorae-study-2-{task}").read_text(encoding="utf-8")


def scores_by_label(name):
    """Return the kept scores on a suite's test set: label -> block -> score."""
    file = BENCHMARKS / "lorae_study_2" / f"{name}.json"
    by_label: dict[str, dict[int, float]] = {}
    for key, (_, after, _) in json.loads(file.read_text("utf-8")).items():
        _, label, block = key.split(" | ")
        by_label.setdefault(label, {})[int(block)] = after
    return by_label


@pytest.mark.parametrize(
    ("name", "told", "verdict"),
    [
        ("classify", (0.40, 0.00, 0.83), "NOT INFERIOR"),
        ("classify-confirm", (0.57, 0.33, 0.77), "NOT INFERIOR"),
        ("detect", (0.22, -0.58, 0.90), "NOT INFERIOR"),
        ("segment", (-0.27, -0.81, 0.39), "NOT INFERIOR"),
        ("segment-confirm", (-0.15, -1.15, 0.77), "OPEN"),
        ("turned", (-2.20, -3.27, -1.17), "INFERIOR"),
        ("turned-confirm", (-1.90, -2.40, -1.10), "INFERIOR"),
    ],
)
def test_what_the_page_claims_follows_from_the_kept_scores_at_the_suites_margin(name, told, verdict):
    header = load_suite(f"lorae-study-2-{name}").header
    by_label = scores_by_label(name)
    theirs, mine = by_label[header.baseline], by_label[header.candidate]
    assert len(theirs) == len(mine) == header.bases
    apart = points_apart(theirs, mine)
    assert (apart.shift, apart.low, apart.high) == pytest.approx(told, abs=0.006)
    assert judge_non_inferiority(theirs, mine, header.margin).verdict == verdict


def test_with_four_times_the_steps_the_gap_on_turned_digits_is_within_a_point():
    suite, by_label = load_suite("lorae-turned-steps"), scores_by_label("turned-steps")
    for label, told in (("lorae-r4", (-0.47, -0.80, -0.03)), ("lorae-r16", (-0.73, -1.10, -0.23))):
        apart = points_apart(by_label["ft-all"], by_label[label])
        assert (apart.shift, apart.low, apart.high) == pytest.approx(told, abs=0.006)
    verdict = judge_non_inferiority(by_label["ft-all"], by_label["lorae-r4"], suite.header.margin).verdict
    assert verdict == "NOT INFERIOR" and len(by_label["ft-all"]) == suite.header.bases


def test_rates_for_four_times_the_steps_are_those_that_the_protocol_chooses():
    searched = json.loads((BENCHMARKS / "turned_steps_rates.json").read_text(encoding="utf-8"))["scores"]
    rows = {row.label: row for row in load_suite("lorae-turned-steps").workloads}
    kept: dict[str, dict[float, dict[int, float]]] = {}
    for key, cells in searched.items():
        _, _, label, epochs, rate = key.split(" | ")
        if int(epochs) == 24:  # on half of the pool: the suite's twelve, with which the search began
            kept.setdefault(label, {})[float(rate)] = dict(enumerate(cells))
    assert set(kept) == {"ft-all", "lorae-r4", "lorae-r16", "lorae-r32"}
    for label in set(kept) & set(rows):
        assert rows[label].params["lr"] == pytest.approx(protocol.choose(kept[label]).rate)


@pytest.mark.parametrize(
    ("rank", "to_full", "to_rank_4"),
    [
        (8, (-2.30, -3.00, -1.17), (0.13, -0.77, 0.97)),
        (16, (-2.27, -3.33, -1.20), (0.00, -0.93, 0.80)),
        (32, (-2.53, -3.43, -1.53), (-0.30, -0.93, 0.47)),
    ],
)
def test_no_rank_closes_the_gap_on_turned_digits_at_the_shared_step_size(rank, to_full, to_rank_4):
    by_label = scores_by_label("turned")
    for label, told in (("ft-all", to_full), ("lorae-r4", to_rank_4)):
        apart = points_apart(by_label[label], by_label[f"lorae-r{rank}"])
        assert (apart.shift, apart.low, apart.high) == pytest.approx(told, abs=0.006)
