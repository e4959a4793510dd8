"""Quality at a budget: the best of recorded curves within what the methods of a task share. Made-up numbers."""

from __future__ import annotations

import pytest

from tunebench.reports.analysis.overall.budgets import best_within
from tunebench.reports.records import Energy, Quality
from tunebench.reports.sections.language import SECTION
from tunebench.reports.summary import as_json, summarise

MIB = 2**20
BEFORE = 0.80
#: label -> (seconds of an epoch, peak, joules of a fine-tuning, qualities after each of three epochs, by block)
METHODS = {
    "lora-all": (30.0, 1100 * MIB, 400.0, ([0.82, 0.90, 0.93], [0.83, 0.91, 0.92], [0.81, 0.92, 0.91])),
    "skip2-lora": (3.0, 700 * MIB, 40.0, ([0.85, 0.88, 0.87], [0.84, 0.87, 0.89], [0.86, 0.87, 0.88])),
}


def energy(joules):
    return Energy(
        gross_j=joules, scope="wall_ac", source="plug", mean_w=4.0, n_samples=90, rate_hz=1.0, max_gap_s=1.1
    )


@pytest.fixture
def summary(make_record, store_reps):
    """Function (labels without a curve, with joules, the suite's budgets) -> summary of three blocks of both methods."""

    def make(without_curve=(), joules=True, budgets=None):
        reps = []
        for label, (epoch_s, peak_b, total_j, qualities) in METHODS.items():
            for block in range(3):
                same = {
                    "label": label, "method": label, "block": block, "task": "spam-mail/minilm",
                    "metrics": {"tokens_per_s": 250.0, "train_tokens": 9e4},
                }  # fmt: skip
                reps.append(
                    make_record(
                        **same, wall_s=3 * epoch_s, peak_rss_b=peak_b - block,
                        energy=energy(total_j) if joules else None,
                        quality=Quality(before=BEFORE, after=qualities[block][-1]),
                    )
                )  # fmt: skip
                curve = [(at + 1, (at + 1) * epoch_s, share) for at, share in enumerate(qualities[block])]
                reps.append(
                    make_record(
                        **same, role="instrumented", wall_s=3 * epoch_s, energy=None,
                        quality=Quality(before=BEFORE, curve=[] if label in without_curve else curve),
                    )
                )  # fmt: skip
        return summarise(store_reps(reps, {"suite": {"budgets": budgets}}))

    return make


def best(summary, label):
    """Return what a method reached: quantity -> budget -> (median, low, high), or why it did not."""
    (row,) = [row for row in summary.rows if row.label == label]
    reached = {}
    for each in row.at_budget.within:
        own = each.quality
        reached.setdefault(each.quantity, {})[each.budget] = (
            own and (own.median, own.low, own.high)
        ) or each.missing
    return reached


def test_both_methods_share_budgets_that_are_just_enough_for_one_of_them(summary):
    whole = summary()
    assert list(best(whole, "lora-all")["time"]) == list(best(whole, "skip2-lora")["time"]) == [10.0, 100.0]
    assert list(best(whole, "lora-all")["memory"]) == [1024.0 * MIB, 2048.0 * MIB]
    assert list(best(whole, "lora-all")["energy"]) == [50.0, 500.0]


def test_the_best_point_within_the_budget_counts_and_before_the_first_one_what_it_began_with(summary):
    whole = summary()
    dear, cheap = best(whole, "lora-all"), best(whole, "skip2-lora")
    assert dear["time"] == {10.0: (BEFORE, BEFORE, BEFORE), 100.0: (0.92, 0.92, 0.93)}
    assert cheap["time"] == {10.0: (0.88, 0.88, 0.89), 100.0: (0.88, 0.88, 0.89)}


def test_memory_that_does_not_fit_is_no_quality_and_joules_are_spent_evenly_over_the_training(summary):
    dear = best(summary(), "lora-all")
    assert dear["memory"] == {1024.0 * MIB: "does not fit", 2048.0 * MIB: (0.92, 0.92, 0.93)}
    # 400 J over 90 s: 50 J end within the first epoch of 30 s.
    assert dear["energy"] == {50.0: (BEFORE, BEFORE, BEFORE), 500.0: (0.92, 0.92, 0.93)}


def test_without_a_meter_there_is_no_budget_of_joules(summary):
    assert set(best(summary(joules=False), "lora-all")) == {"time", "memory"}


def test_budgets_of_the_suite_take_the_place_of_rounded_ones_kind_by_kind(summary):
    asked = summary(budgets={"wall_s": [6.0, 61.0], "peak_rss_b": [10**9]})
    assert best(asked, "lora-all") == {
        "time": {6.0: (BEFORE, BEFORE, BEFORE), 61.0: (0.91, 0.90, 0.92)},
        "memory": {1e9: "does not fit"},
        "energy": {50.0: (BEFORE, BEFORE, BEFORE), 500.0: (0.92, 0.92, 0.93)},
    }
    assert best(asked, "skip2-lora")["time"][6.0] == (0.87, 0.87, 0.88)


def test_joules_that_a_suite_asks_for_and_nobody_measured_are_absent_with_that_reason(summary):
    asked = summary(joules=False, budgets={"energy_j": [100]})
    assert best(asked, "lora-all")["energy"] == {100.0: "joules were not measured"}


def test_without_a_curve_it_is_refused_with_the_reason_and_the_others_stand(summary):
    whole = summary(without_curve=("lora-all",))
    refused = whole.rows[0]
    assert refused.at_budget.within == [] and "tells its quality on the way" in refused.at_budget.missing
    assert list(best(whole, "skip2-lora")["time"]) == [10.0]
    assert "Quality at a budget of lora-all: refused, no instrumented repetition" in SECTION.text(whole)[-1]


def test_the_table_has_a_column_a_budget_with_its_interval(summary):
    whole = summary()
    (text,) = [block for block in SECTION.text(whole) if block.startswith("Quality at a budget")]
    assert "within 100 s" in text and "within 2.00 GiB" in text and "within 500 J" in text
    assert "does not fit" in text and "range of 3" in text
    assert "| within 1.00 GiB |" in SECTION.markdown(whole, 8_000)
    assert as_json(whole)["rows"][0]["at_budget"]["within"][0]["quality"]["interval"] == "range"


def test_values_that_fall_along_a_curve_are_refused():
    with pytest.raises(ValueError, match="must not fall"):
        best_within([2.0, 1.0], [0.8, 0.9], 3.0)
