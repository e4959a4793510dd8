"""Verdicts of a run: from records through the A/A control and Holm's procedure to words."""

import json

import numpy as np
import pytest

from tests.reports.campaigns import blocks
from tunebench.reports.analysis.row import NoTarget
from tunebench.reports.formatting.json_value import json_value
from tunebench.reports.records import Energy, Quality
from tunebench.reports.render.html import render
from tunebench.reports.render.text import table
from tunebench.reports.results import RunReader, RunWriter
from tunebench.reports.summary import summarise

TASK = "digits/mlp"


@pytest.fixture
def run(tmp_path, make_record):
    """Writes timed repetitions from ``label -> one value a block`` and further fields; returns a reader."""

    def write(methods, plan=None, preds=None, extra=(), **fields):
        run_id = "20261121T074500Z-a1b2"
        with RunWriter.create(tmp_path / "results", "lab1", run_id, plan or {}) as writer:
            for label, seconds in methods.items():
                for block, wall_s in enumerate(seconds):
                    rep = make_record(
                        rep_id=f"{label}-{block}".replace(" A/A", "-aa"),
                        label=label,
                        aa_control=label.endswith("A/A"),
                        method="ft-all" if label.startswith("ft-all") else label,
                        block=block,
                        wall_s=wall_s,
                        **{name: get(label, block) for name, get in fields.items()},
                    )
                    side = preds(label, block) if preds else None
                    writer.append(rep, preds=side)
            for rep in extra:
                writer.append(rep)
        return RunReader(writer.path)

    return write


def verdict_of(reader, label, quantity="time", board=None):
    rows = summarise(reader).rows
    return next(r for r in rows if r.label == label and board in (None, r.board_id)).verdicts[quantity]


def test_each_method_has_a_verdict_on_each_quantity(run):
    reader = run({"ft-all": blocks(1), "ft-all A/A": blocks(1, seed=2), "fast": blocks(0.5)})
    verdicts = {name: verdict_of(reader, "fast", name) for name in ("time", "energy", "memory", "accuracy")}
    assert (verdicts["time"].verdict, verdicts["time"].better) == ("FASTER", True)
    assert verdicts["time"].reason == "The interval lies wholly beyond ±2%."
    assert verdicts["memory"].verdict == "SAME"
    assert verdicts["accuracy"].verdict == "SAME"
    assert verdicts["energy"].verdict is None
    assert verdicts["energy"].missing == "no power sensor: looked for INA3221, PMIC and RAPL"
    assert json.loads(json.dumps(json_value(verdicts), allow_nan=False)) == json_value(verdicts)


def test_less_memory_is_less_not_faster(run):
    light = run(
        {"ft-all": blocks(1), "light": blocks(1, seed=2)},
        peak_rss_b=lambda label, block: (100 if label == "light" else 200) * 10**6 + block,
    )
    memory = verdict_of(light, "light", "memory")
    assert (memory.verdict, memory.better, memory.delta) == ("LESS", True, 0.01)
    assert memory.value == pytest.approx(0.5)


def test_seven_blocks_carry_one_method(run):
    reader = run({"ft-all": blocks(1, n=7), "m0": blocks(0.5, n=7)})
    assert verdict_of(reader, "m0").verdict == "FASTER"


def test_a_claim_that_does_not_survive_holm_says_so(run):
    methods = {f"m{i}": blocks(0.5, n=7, seed=i) for i in range(6)}
    reader = run({"ft-all": blocks(1, n=7), **methods})
    verdict = verdict_of(reader, "m0")
    assert (verdict.verdict, verdict.verdict_alone, verdict.methods) == ("UNCLEAR", "FASTER", 6)
    assert verdict.reason == (
        "FASTER on its own, but not after Holm's correction over 6 methods, which needs at least 8 blocks. "
        "About 1 more block would settle it."
    )
    assert "Holm's correction over 6 methods" in " ".join(table(summarise(reader)).split())
    assert "correction over 6 methods" in render(reader)


def test_the_control_is_no_candidate_of_holms(run):
    reader = run({"ft-all": blocks(1, n=6), "ft-all A/A": blocks(1, n=6, seed=2), "fast": blocks(0.5, n=6)})
    assert verdict_of(reader, "fast").methods == 1
    assert verdict_of(reader, "fast").verdict == "FASTER"


def test_a_failed_control_withholds_the_verdicts_of_its_quantity_only(run):
    reader = run({"ft-all": blocks(1), "ft-all A/A": blocks(1.1), "fast": blocks(0.5)})
    verdict, summary = verdict_of(reader, "fast"), summarise(reader)
    assert (verdict.verdict, verdict.verdict_alone, verdict.withheld) == ("NO VERDICT", "FASTER", True)
    assert verdict.reason.startswith("Withheld: the A/A control shows a difference (ft-all against itself: +")
    assert verdict.value == pytest.approx(0.5, rel=0.01)
    assert verdict_of(reader, "fast", "memory").verdict == "SAME"
    row = next(r for r in summary.rows if r.label == "fast")
    assert (row.speed_up.verdict, row.speed_up.withheld) == ("NO VERDICT", True)
    assert summary.aa[0].result == "failed"
    codes = {caution.code for caution in summary.cautions}
    assert "aa-failed" in codes
    assert "few-blocks" not in codes
    assert "No answer: the A/A control failed" in render(reader)


def test_a_control_that_fails_in_memory_is_told(run):
    reader = run(
        {"ft-all": blocks(1), "ft-all A/A": blocks(1, seed=2), "fast": blocks(0.5)},
        peak_rss_b=lambda label, block: (300 if label.endswith("A/A") else 200) * 10**6 + block,
    )
    summary = summarise(reader)
    assert summary.aa[0].result == "passed"
    assert summary.aa[0].quantities["memory"].result == "failed"
    assert verdict_of(reader, "fast", "memory").withheld
    assert any("A/A control failed in memory" in caution.message for caution in summary.cautions)
    assert "memory failed" in table(summary, 150)
    assert "<b>failed</b>" in render(reader).split('id="aa"')[1][:400]


def energy_record(make_record, label, block, joules, scope="module", source="ina3221", **fields):
    energy = Energy(
        gross_j=joules * 4, scope=scope, source=source, mean_w=5.0, n_samples=100, rate_hz=5.0, max_gap_s=0.2,
        repeats=4, j_per_finetuning=joules,
    )  # fmt: skip
    return make_record(
        rep_id=f"e-{label}-{block}",
        role="energy",
        label=label,
        method=label,
        block=block,
        energy=energy,
        **fields,
    )


def test_joules_come_from_energy_repetitions_per_fine_tuning(run, make_record):
    extra = [
        energy_record(make_record, label, block, joules + 0.001 * block)
        for label, joules in (("ft-all", 20.0), ("frugal", 10.0))
        for block in range(6)
    ]
    reader = run({"ft-all": blocks(1, 6), "frugal": blocks(1, 6, seed=2)}, extra=extra)
    energy = verdict_of(reader, "frugal", "energy")
    assert (energy.verdict, energy.kind, energy.origin.repeated) == ("LESS", "module by ina3221", True)
    assert energy.value == pytest.approx(0.5, rel=0.01)
    row = next(r for r in summarise(reader).rows if r.label == "frugal")
    assert row.energy_ratio.verdict == "LESS"


def test_joules_of_different_scopes_are_never_compared(run, make_record):
    extra = [
        energy_record(make_record, label, block, 10.0, scope=scope)
        for label, scope in (("ft-all", "module"), ("other", "wall_ac"))
        for block in range(6)
    ]
    energy = verdict_of(run({"ft-all": blocks(1, 6), "other": blocks(1, 6)}, extra=extra), "other", "energy")
    assert energy.verdict is None
    assert energy.missing == "measured in another scope or by another source than ft-all"


def test_joules_missing_at_the_baseline_say_whose_they_are(run, make_record):
    extra = [energy_record(make_record, "other", block, 10.0) for block in range(6)]
    energy = verdict_of(run({"ft-all": blocks(1, 6), "other": blocks(1, 6)}, extra=extra), "other", "energy")
    assert energy.missing.startswith("ft-all: no power sensor")


def test_blocks_that_never_meet_in_energy_say_so(run, make_record):
    extra = [energy_record(make_record, "ft-all", b, 10.0) for b in range(3)]
    extra += [energy_record(make_record, "other", b, 10.0) for b in range(3, 6)]
    energy = verdict_of(run({"ft-all": blocks(1, 6), "other": blocks(1, 6)}, extra=extra), "other", "energy")
    assert energy.missing == "no block in which both this and ft-all were measured"


ITEMS = 400


def right(label, block):
    """Return which items are right; the better method has 5 more of 100."""
    rng = np.random.default_rng(block)
    base = rng.random(ITEMS) < 0.8
    return base | (np.arange(ITEMS) % 20 < 2) if label == "better" else base


def predictions(label, block):
    rows = [[i, 1, 0, int(ok)] for i, ok in enumerate(right(label, block))]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def quality(label, block):
    return Quality(before=0.5, after=float(right(label, block).mean()), n_items=ITEMS)


def test_accuracy_is_compared_item_by_item_where_predictions_were_stored(run):
    methods = {"ft-all": blocks(1, 8), "ft-all A/A": blocks(1, 8), "better": blocks(1, 8, seed=3)}
    reader = run(methods, preds=predictions, quality=quality)
    accuracy = verdict_of(reader, "better", "accuracy")
    assert (accuracy.verdict, accuracy.pairs.items, accuracy.interval) == ("HIGHER", ITEMS, "bootstrap")
    assert 1 < accuracy.value < 3
    assert accuracy.kind == "400 test items, paired by seed and item"
    assert verdict_of(reader, "ft-all A/A", "accuracy").verdict == "SAME"


def test_predictions_that_are_not_the_records_are_not_used(run):
    wrong = Quality(before=0.5, after=0.9, n_items=ITEMS)
    reader = run(
        {"ft-all": blocks(1, 8), "better": blocks(1, 8)}, preds=predictions, quality=lambda *_: wrong
    )
    accuracy = verdict_of(reader, "better", "accuracy")
    assert accuracy.pairs.items is None
    assert "no predictions that fit the records" in accuracy.kind


@pytest.mark.parametrize("broken", [b"{torn", b""])
def test_unreadable_or_empty_predictions_fall_back_to_accuracies(run, broken):
    reader = run({"ft-all": blocks(1, 8), "better": blocks(1, 8)}, preds=lambda *_: broken, quality=quality)
    accuracy = verdict_of(reader, "better", "accuracy")
    assert (accuracy.pairs.items, accuracy.interval) == (None, "wilcoxon")


def test_other_metrics_than_accuracy_are_compared_by_seed(run):
    f1 = lambda label, block: quality(label, block).model_copy(update={"metric": "f1"})  # noqa: E731
    reader = run({"ft-all": blocks(1, 8), "better": blocks(1, 8)}, preds=predictions, quality=f1)
    assert verdict_of(reader, "better", "accuracy").pairs.items is None


def test_without_any_accuracy_there_is_none_to_compare(run):
    reader = run({"ft-all": blocks(1), "other": blocks(1)}, quality=lambda *_: Quality())
    assert (
        verdict_of(reader, "other", "accuracy").missing == "no block in which the accuracy of both is known"
    )


def test_too_few_test_items_are_told_apart_from_too_few_blocks(run):
    def noisy(label, block):
        flip = np.arange(ITEMS) % 40 == (0 if label == "other" else 7)
        return (np.random.default_rng(3).random(ITEMS) < 0.8) ^ flip

    def preds(label, block):
        return "".join(
            json.dumps([i, 1, 0, int(ok)]) + "\n" for i, ok in enumerate(noisy(label, block))
        ).encode()

    reader = run(
        {"ft-all": blocks(1), "other": blocks(1)},
        preds=preds,
        quality=lambda label, block: Quality(after=float(noisy(label, block).mean()), n_items=ITEMS),
    )
    accuracy = verdict_of(reader, "other", "accuracy")
    assert (accuracy.verdict, accuracy.limited_by) == ("UNCLEAR", "items")
    assert accuracy.reason.endswith("More blocks will not settle it: the 400 test items are too few.")


def test_accuracies_too_are_judged_together(run):
    """Seven blocks: HIGHER alone, but Holm over six methods asks for an interval that seven blocks do not have."""
    methods = {"ft-all": blocks(1, 7), **{f"m{i}": blocks(1, 7) for i in range(6)}}
    after = lambda label, block: Quality(after=(0.80 if label == "ft-all" else 0.85) + block / 1000)  # noqa: E731
    accuracy = verdict_of(run(methods, quality=after), "m1", "accuracy")
    assert (accuracy.verdict, accuracy.verdict_alone, accuracy.adjusted_low) == ("UNCLEAR", "HIGHER", None)
    assert accuracy.blocks_needed >= 1


def test_deltas_are_the_suites_and_a_tasks_own_beats_them(run):
    plan = {
        "suite": {"delta": {"time": 0.5, "memory": 0.2}},
        "tasks": {TASK: {"baseline": "ft-all", "delta": {"memory": 0.3}}},
    }
    reader = run({"ft-all": blocks(1), "other": blocks(1.2)}, plan)
    assert [verdict_of(reader, "other", q).delta for q in ("time", "memory", "accuracy")] == [0.5, 0.3, 0.5]
    assert verdict_of(reader, "other").verdict == "SAME"


def test_below_six_blocks_the_reason_is_the_number_of_blocks(run):
    verdict = verdict_of(run({"ft-all": blocks(1, 3), "fast": blocks(0.5, 3)}), "fast")
    assert (verdict.verdict, verdict.blocks_needed) == ("NO VERDICT", 3)
    assert verdict.reason == "3 blocks: a verdict needs at least 6."


def test_what_at_least_means_takes_holm_into_account(run):
    methods = {f"m{i}": blocks(0.5, n=3, seed=i) for i in range(3)}
    reader = run({"ft-all": blocks(1, n=3), **methods})
    verdict = verdict_of(reader, "m0")
    assert (verdict.verdict, verdict.blocks_needed) == ("NO VERDICT", 4)
    assert verdict.reason == "3 blocks: a verdict needs at least 7 (Holm's correction for several methods)."
    (few,) = [caution.message for caution in summarise(reader).cautions if caution.code == "few-blocks"]
    assert "needs at least 7 with so many methods" in few


def test_an_accuracy_without_predictions_asks_for_as_many_blocks_as_a_time(run):
    accuracy = verdict_of(
        run({"ft-all": blocks(1, n=3), "a": blocks(1, n=3), "b": blocks(1, n=3), "c": blocks(1, n=3)}),
        "a",
        "accuracy",
    )
    assert (accuracy.verdict, accuracy.n + accuracy.blocks_needed) == ("NO VERDICT", 7)


def test_a_control_of_another_baseline_still_shows_its_speed_up(run):
    reader = run({"ft-all": blocks(1), "ft-all A/A": blocks(1, seed=2), "fast": blocks(0.5)})
    summary = summarise(reader, "fast")
    row = next(r for r in summary.rows if r.aa_control)
    assert row.speed_up.factor == pytest.approx(0.5, rel=0.01)
    assert row.verdicts["time"].verdict == "SAME"


def test_boards_meet_as_boards_and_emulated_ones_do_not(lab, fake_board, campaign, tmp_path):
    across = summarise(lab).across
    assert {ratio.label for ratio in across} == {"lora-all", "lora-last", "skip2-lora"}
    skip2_time = next(o for o in across if o.label == "skip2-lora" and o.quantity == "time")
    by_board = [verdict_of(lab, "skip2-lora", board=b.board_id).value for b in skip2_time.boards]
    assert skip2_time.ratio == pytest.approx(np.sqrt(np.prod(by_board)))
    assert (skip2_time.interval, skip2_time.left_out) == ("range", {})
    campaign.boards = [fake_board(), fake_board("b2"), fake_board("qemu", "linux", emulated=True)]
    reader = RunReader(campaign.write(tmp_path / "three"))
    three = summarise(reader).across[0]
    assert [b.board_id for b in three.boards] == ["host", "b2"]
    assert three.left_out == {"qemu": "emulated"}
    assert "qemu (emulated)" in table(summarise(reader))


def test_a_board_that_ran_two_builds_has_no_one_ratio(run, make_record):
    extra = [
        make_record(rep_id=f"{board}-{build}-{label}-{b}", board_id=board, engine_build=build, label=label,
                    method=label, block=b, wall_s=4.0)
        for board, builds in (("two", ("v2", "v3")), ("one", ("v3",)))
        for build in builds for label in ("ft-all", "fast") for b in range(2)
    ]  # fmt: skip
    across = summarise(run({"ft-all": blocks(1, 2), "fast": blocks(0.5, 2)}, extra=extra)).across
    time = next(ratio for ratio in across if ratio.quantity == "time")
    assert "two" in time.left_out
    assert {b.board_id for b in time.boards} == {"host", "one"}


def test_time_and_energy_to_the_baselines_quality(lab):
    rows = {r.label: r.to_quality for r in summarise(lab).rows if r.board_id == "pi5-01"}
    base, never = rows["ft-all"], rows["lora-last"]
    assert base.target_source == "where ft-all ends, less 0.5 points"
    assert (base.time_s.reached, base.against_baseline) == (1, None)
    assert 0 < base.time_s.median < 8
    assert 0 < base.energy_j.median < 40
    assert (never.time_s.reached, never.time_s.median, never.energy_j.median) == (
        0,
        None,
        None,
    )
    assert never.against_baseline.verdict == "NO VERDICT"
    assert "never" in table(summarise(lab))


def test_a_suites_target_beats_the_baselines_end(run, make_record):
    curve = [(0, 0.0, 0.5), (1, 1.0, 0.75), (2, 2.0, 0.8)]
    marks = make_record(
        rep_id="marks", role="instrumented", label="ft-all", quality=Quality(curve=curve), steps=46
    )
    reader = run({"ft-all": blocks(1)}, {"suite": {"quality_target": 0.7}}, extra=[marks])
    to_quality = summarise(reader).rows[0].to_quality
    assert (to_quality.target, to_quality.target_source, to_quality.time_s.median) == (
        0.7,
        "the suite's target",
        1.0,
    )
    assert to_quality.steps.median == 23  # one epoch of two
    assert to_quality.energy_j is None
    assert to_quality.energy_missing.startswith("no power sensor")


def test_without_curves_there_is_no_time_to_quality(run):
    to_quality = summarise(run({"ft-all": blocks(1)})).rows[0].to_quality
    assert to_quality == NoTarget(missing="no instrumented repetition tells its quality on the way")
