"""The summary: what it counts, compares and refuses to compare, and what it says one may not conclude."""

import json
import re
import statistics

import pytest

from tunebench.reports.analysis.row import ReasonCount
from tunebench.reports.records import Quality, Skip
from tunebench.reports.results import RunReader, RunWriter
from tunebench.reports.results.drift import Change
from tunebench.reports.summary import UnknownBaseline, as_json, summarise


def row_of(summary, label, board=None):
    return next(r for r in summary.rows if r.label == label and board in (None, r.board_id))


def codes(summary):
    return {caution.code for caution in summary.cautions}


def message(summary, code):
    return next(caution.message for caution in summary.cautions if caution.code == code)


@pytest.fixture
def store(tmp_path):
    """Writes records into a run and reads it back."""

    def write(reps, plan=None, **extra):
        run_id = "20261121T074500Z-a1b2"
        with RunWriter.create(tmp_path / "results", "lab1", run_id, plan or {}) as writer:
            for i, rep in enumerate(reps):
                writer.append(rep.model_copy(update={"rep_id": f"r{i}"}))
        return summarise(RunReader(writer.path), **extra)

    return write


def blocks(make_record, n, **fields):
    return [make_record(block=b, seed=b, **fields) for b in range(n)]


def test_it_is_json_with_a_schema_version(demo):
    summary = as_json(summarise(demo))
    assert summary["schema"] == "tunebench.summary/1"
    assert json.loads(json.dumps(summary, allow_nan=False)) == json.loads(json.dumps(summary))


def test_counts_put_every_repetition_in_one_class(lab):
    counts = summarise(lab).counts
    assert counts.planned == counts.recorded == 108
    assert tuple(counts.by_class[name] for name in ("valid", "invalid", "failed")) == (106, 1, 1)
    assert sum(counts.timed.values()) == 100


def test_conditions_of_the_plans_first_label_stand_first(store, make_record):
    reps = [make_record(label="mine", own=True, threads=4), make_record(label="other"), make_record()]
    plan = {"tasks": {"digits/mlp": {"baseline": "ft-all", "labels": ["ft-all", "mine", "other"]}}}
    assert [r.label for r in store(reps, plan).rows] == ["ft-all", "other", "mine"]


def test_tasks_keep_the_order_of_the_plan(store, make_record):
    tasks = {"z/mlp": {"labels": []}, "a/cnn": {"labels": []}}
    reps = [make_record(task="a/cnn"), make_record(task="z/mlp")]
    assert [r.task for r in store(reps, {"tasks": tasks}).rows] == ["z/mlp", "a/cnn"]


def test_rows_stand_in_plan_order_one_a_board_and_label(lab):
    keys = [(r.board_id, r.label) for r in summarise(lab).rows]
    labels = ["ft-all", "ft-all A/A", "lora-all", "lora-last", "skip2-lora"]
    assert keys == [(board, label) for board in ("pi5-01", "orin-02") for label in labels]


def test_medians_rest_on_usable_repetitions_of_that_board_only(lab):
    row = row_of(summarise(lab), "lora-all", "pi5-01")
    mine = [
        r for r in lab.repetitions if r.board_id == "pi5-01" and r.label == "lora-all" and r.role == "timed"
    ]
    good = [r.wall_s for r in mine if r.verdict == "valid"]
    assert row.n == len(good) == 9
    assert row.wall_s.median == statistics.median(good)
    assert row.wall_s.interval == "order-statistic"
    assert row.reasons == [ReasonCount("throttled", "throttled: 12 times", 1)]


def test_speed_ups_are_paired_with_the_baseline_of_the_same_board(lab):
    summary = summarise(lab)
    fast = row_of(summary, "skip2-lora", "orin-02").speed_up
    assert fast.verdict == "FASTER"
    assert 3.2 < fast.low < fast.factor < fast.high < 3.45
    assert fast.n == 9  # the baseline failed in one block
    assert row_of(summary, "ft-all", "orin-02").is_baseline


def test_another_baseline_can_be_chosen(lab):
    summary = summarise(lab, "skip2-lora")
    assert row_of(summary, "ft-all", "pi5-01").speed_up.verdict == "SLOWER"
    assert row_of(summary, "skip2-lora", "pi5-01").is_baseline


def test_an_unknown_baseline_names_the_known_ones(demo):
    with pytest.raises(
        UnknownBaseline, match="'nope': not in this run; it holds ft-all, ft-all A/A, lora-all"
    ):
        summarise(demo, "nope")


def test_the_aa_control_is_judged_on_every_board(lab):
    assert [(control.board_id, control.twin, control.result) for control in summarise(lab).aa] == [
        ("pi5-01", "ft-all", "passed"),
        ("orin-02", "ft-all", "passed"),
    ]


def test_a_failed_aa_control_comes_first_among_the_cautions(store, make_record):
    reps = blocks(make_record, 8) + blocks(make_record, 8, label="twin", aa_control=True, wall_s=5.0)
    summary = store(reps)
    assert summary.aa[0].result == "failed"
    assert "differs by +" in message(summary, "aa-failed")


def test_an_open_aa_control_shows_how_far_a_method_differs_from_itself(demo):
    control = summarise(demo).aa[0]
    assert control.result == "no verdict"
    assert "may be noise" in message(summarise(demo), "aa-open")


def test_an_aa_control_without_its_twin_has_no_verdict(store, make_record):
    summary = store(blocks(make_record, 8, label="twin", aa_control=True))
    assert summary.aa[0].result == "no verdict"
    assert summary.aa[0].missing == "its twin was not measured"


@pytest.mark.parametrize(
    ("name", "value"), [("threads", 4), ("device", "cuda"), ("dtype", "float16"), ("engine_build", "v3")]
)
def test_rows_under_different_conditions_are_never_compared(store, make_record, name, value):
    reps = blocks(make_record, 6) + blocks(make_record, 6, label="fast", wall_s=1.0, **{name: value})
    summary = store(reps)
    row = row_of(summary, "fast")
    assert getattr(row, name) == value
    assert row.speed_up is None
    assert "same engine build, device, threads and dtype" in row.speed_up_missing
    assert "conditions" in codes(summary)


def test_blocks_that_never_meet_give_no_comparison(store, make_record):
    fast = [make_record(block=b, label="fast") for b in range(6, 12)]
    row = row_of(store(blocks(make_record, 6) + fast), "fast")
    assert row.speed_up is None
    assert row.speed_up_missing == "no block in which both this and ft-all were measured"


def test_a_task_without_baseline_says_so(store, make_record):
    row = row_of(store(blocks(make_record, 2, label="mine", own=True)), "mine")
    assert row.speed_up_missing == "the task has no baseline"


def test_unequal_work_is_told(store, make_record):
    mine = blocks(make_record, 6, label="mine", params={"epochs": 5, "batch": 20})
    summary = store(blocks(make_record, 6) + mine)
    assert row_of(summary, "mine").unequal_params == ["epochs: 5 against 10"]
    assert "epochs: 5 against 10" in message(summary, "unequal-work")


def test_a_training_that_costs_more_is_unequal_work_and_one_that_does_not_is_none(store, make_record):
    plain = {"epochs": 10, "batch": 20}
    costly = {**plain, "optimizer": "adamw", "clip": 1.0, "schedule": "cosine", "alpha": 8.0}
    free = {**plain, "schedule": "cosine", "lora_plus": 4.0}
    runs = [("costly", costly, False), ("free", free, False), ("own", costly, True)]
    others = [
        rep
        for label, params, own in runs
        for rep in blocks(make_record, 6, label=label, params=params, own=own)
    ]
    summary = store(blocks(make_record, 6) + others)
    assert row_of(summary, "costly").unequal_params == [
        "optimizer: adamw against sgd",
        "clip: 1 against none",
    ]
    assert row_of(summary, "free").unequal_params == []
    assert row_of(summary, "own").unequal_params == []


def test_missing_energy_carries_its_reason(demo):
    row = row_of(summarise(demo), "ft-all")
    assert row.energy is None
    assert row.energy_missing == "no power sensor: looked for INA3221, PMIC and RAPL"


def test_missing_energy_falls_back_to_the_reason_for_power(store, make_record):
    assert row_of(store([make_record(missing={"power": "no rail"})]), "ft-all").energy_missing == "no rail"


def test_missing_energy_without_any_reason_is_told(store, make_record):
    row = row_of(store([make_record(missing={})]), "ft-all")
    assert row.energy_missing == "not measured; the record gives no reason"


def test_energy_carries_scope_and_source(lab):
    energy = row_of(summarise(lab), "ft-all", "pi5-01").energy
    assert (energy.scope, energy.source, energy.gross_j.n) == ("rails_sum", "ina3221", 10)
    assert "energy-scopes" in codes(summarise(lab))


def test_energies_of_different_scope_are_never_pooled(store, make_record, lab):
    energy = next(rep.energy for rep in lab.repetitions if rep.energy)
    other = energy.model_copy(update={"scope": "wall_ac"})
    row = row_of(store([make_record(energy=energy), make_record(block=1, energy=other)]), "ft-all")
    assert row.energy is None
    assert row.energy_missing.startswith("repetitions differ in scope or source")


def test_accuracy_is_a_mean_over_seeds(demo):
    summary = summarise(demo)
    accuracy = row_of(summary, "ft-all").accuracy
    after = [r.quality.after for r in demo.repetitions if r.label == "ft-all" and r.role == "timed"]
    assert accuracy.after_mean == pytest.approx(statistics.mean(after))
    assert accuracy.after_sd == pytest.approx(statistics.stdev(after))
    assert accuracy.before_mean == pytest.approx(0.781)
    assert "One test item of 360" in message(summary, "few-seeds")


def test_phases_of_a_step_come_from_instrumented_repetitions_and_add_up(demo):
    row = row_of(summarise(demo), "skip2-lora")
    phases = row.phases
    assert list(phases.by_phase_s) == ["gather", "cache_fill", "forward", "backward", "update"]
    assert sum(phases.by_phase_s.values()) + phases.unaccounted_s == pytest.approx(phases.step_s)
    assert phases.unaccounted_s > 0
    assert phases.evaluate_s == pytest.approx(0.2)
    assert 0 < row.instrumentation_overhead < 0.06
    assert row.curve[0][0] == 0


def test_time_under_the_windows_own_name_is_unaccounted(store, make_record):
    marks = make_record(role="instrumented", wall_s=2.0, window_phases_s={"finetune": 0.5, "forward": 1.5})
    phases = row_of(store([marks]), "ft-all").phases
    assert list(phases.by_phase_s) == ["forward"]
    assert phases.unaccounted_s * phases.steps == pytest.approx(0.5)


def test_a_cell_without_marks_has_no_phases(store, make_record):
    row = row_of(store([make_record()]), "ft-all")
    assert (row.phases, row.instrumentation_overhead, row.curve) == (None, None, [])


def test_a_cell_whose_repetitions_all_failed_says_why(store, make_record):
    dead = blocks(
        make_record, 3, outcome="oom", outcome_reason="out of memory", wall_s=None, verdict="invalid"
    )
    summary = store([rep.model_copy(update={"reasons": []}) for rep in dead])
    row = row_of(summary, "ft-all")
    assert (row.n, row.wall_s, row.wall_missing) == (0, None, "out of memory")
    assert row.verdict == "invalid"
    assert row.reasons == [ReasonCount("oom", "out of memory", 3)]
    assert row.peak_rss_missing == "no repetition that may be used"
    assert "its median flatters it" in message(summary, "left-out")


def test_only_instrumented_repetitions_give_no_time(store, make_record):
    assert row_of(store([make_record(role="instrumented")]), "ft-all").wall_missing == (
        "no timed repetition was recorded"
    )


def test_counts_that_differ_give_the_middle_one_and_texts_are_listed(store, make_record):
    reps = blocks(make_record, 3)
    reps[2] = reps[2].model_copy(
        update={"update_b": 9, "prov": reps[2].prov.model_copy(update={"engine_version": "x"})}
    )
    row = row_of(store(reps), "ft-all")
    assert row.update_b == 70_400
    assert row.engine_version == "torch 2.13.0+cpu, x"


def test_checks_stand_apart_and_a_failed_one_voids_the_speed(store, make_record):
    check = make_record(role="check", label="skip2-lora", check={"passed": False, "max_loss_diff": 0.2})
    summary = store([make_record(), check])
    assert [r.label for r in summary.rows] == ["ft-all"]
    assert summary.checks[0].passed is False
    assert "its speed means nothing" in message(summary, "incorrect")


def test_loopback_boards_are_told_to_say_nothing_about_boards(demo):
    text = message(summarise(demo), "shared-machine")
    assert "shared with the host" in text
    assert "degraded" in text
    assert all(r.verdict == "degraded" for r in summarise(demo).rows)


def test_emulated_boards_times_are_not_a_boards(store, make_record):
    summary = store([make_record(board_kind="linux", emulated=True)])
    assert "the emulator's, not a board's" in message(summary, "emulated")


def test_few_blocks_are_told(demo, lab):
    assert "3 blocks: too few for a verdict" in message(summarise(demo), "few-blocks")
    assert "few-blocks" not in codes(summarise(lab))


def test_a_caution_names_the_tables_that_it_is_about_unless_it_is_about_all(store, make_record):
    cells = (("digits/mlp", 8), ("digits/cnn", 3))
    summary = store(
        [
            make_record(label=label, task=task, block=block, seed=block)
            for task, blocks in cells
            for label in ("ft-all", "lora-all")
            for block in range(blocks)
        ]
    )
    few = message(summary, "few-blocks")
    assert re.match(r"3 blocks in digits/cnn on \S+: too few for a verdict", few)
    assert "rests on 3 seeds in digits/cnn on " in message(summary, "few-seeds")


def test_holms_correction_is_no_caution(lab):
    assert "many-comparisons" not in codes(summarise(lab))  # Holm's correction makes it so


def test_an_unclear_result_says_how_many_more_blocks(store, make_record):
    ratios = [1.0, 1.05, 0.99, 1.04, 1.0, 1.05, 1.01, 1.04]
    other = [make_record(block=b, label="other", wall_s=4.0 * r) for b, r in enumerate(ratios)]
    summary = store([make_record(block=b, wall_s=4.0) for b in range(8)] + other)
    speed_up = row_of(summary, "other").speed_up
    assert speed_up.verdict == "UNCLEAR"
    assert f"about {speed_up.blocks_needed} more blocks would settle it" in message(summary, "unclear")


def test_an_incomplete_run_says_how_far_it_got(campaign, tmp_path):
    campaign.finish = False
    path = campaign.write(tmp_path)
    with (path / "reps.jsonl").open("a") as file:
        file.write("{torn")
    summary = summarise(RunReader(path))
    assert "19 of 19 planned" in message(summary, "incomplete")
    assert "torn" in message(summary, "unreadable")
    assert summary.run.suite == "demo"
    assert summary.run.command[0] == "tunebench"


def test_an_empty_run_concludes_nothing(store):
    summary = store([])
    assert summary.rows == []
    assert {"empty", "incomplete"} <= codes(summary)


def test_no_aa_control_is_told(store, make_record):
    assert "no-aa" in codes(store([make_record()]))


def test_skips_are_kept_with_their_reasons(lab, store, make_record):
    assert summarise(lab).skipped[0]["reason"] == "unreachable: no route to host"
    assert "all methods on nano-03" in message(summarise(lab), "skipped")
    skip = Skip(board_id="host", label="lorae", reason="no torch").model_dump()
    assert store([make_record()], {"skipped": [skip]}).skipped[0]["label"] == "lorae"


def test_short_windows_of_other_roles_are_not_told(store, make_record):
    marks = make_record(role="instrumented", wall_s=0.01)
    assert "short-window" not in codes(store([make_record(wall_s=1.0), marks]))


def test_timed_windows_that_are_short_are_told(store, make_record):
    assert "short-window" in codes(store([make_record(wall_s=0.01)]))


def test_changes_of_the_environment_are_told(campaign, tmp_path):
    campaign.finish = False
    path = campaign.write(tmp_path)
    after = path / "env" / "host.after.json"
    after.write_text(after.read_text().replace("6.12.40", "6.12.41"))
    summary = summarise(RunReader(path))
    assert summary.environment[0].changed == [
        Change(tier="os", key="kernel", before="6.12.40", after="6.12.41")
    ]
    assert "os.kernel" in message(summary, "environment-changed")


def test_a_damaged_environment_does_not_hide_the_numbers(campaign, tmp_path):
    campaign.finish = False
    path = campaign.write(tmp_path)
    (path / "env" / "host.before.json").write_text("{")
    summary = summarise(RunReader(path))
    assert "host.before.json" in summary.environment[0].problem
    assert len(summary.rows) == 5


def test_a_plan_of_odd_shape_does_not_stop_the_summary(store, make_record):
    plan = {"boards": [{"id": "host"}], "tasks": "none", "suite": "x", "repetitions": None, "skipped": "no"}
    summary = store([make_record()], plan)
    assert summary.counts.planned is None
    assert summary.delta == {"time": 0.02, "energy": 0.03, "memory": 0.01, "accuracy": 0.5}


def test_steps_that_differ_under_equal_parameters_are_unequal_work(store, make_record):
    mine = blocks(make_record, 6, label="mine", own=True, steps=4000)
    summary = store(blocks(make_record, 6, steps=200) + mine)
    assert row_of(summary, "mine").unequal_params == ["steps: 4000 against 200"]
    assert "steps: 4000 against 200" in message(summary, "unequal-work")
    assert "once an epoch" not in message(summary, "unequal-work")


def test_epochs_times_too_many_steps_of_a_module_are_explained(store, make_record):
    """What a method does that gives all epochs' batches from each call of batches."""
    params = {"epochs": 20, "batch": 20}
    mine = blocks(make_record, 6, label="mine", own=True, steps=20 * 460, params=params)
    summary = store(blocks(make_record, 6, steps=460, params=params) + mine)
    assert "20 times as many steps in 20 epochs: batches(spec) is called once an epoch" in message(
        summary, "unequal-work"
    )


@pytest.mark.parametrize(
    ("params", "steps", "cautions"),
    [
        ({"epochs": 10, "batch": 20}, 200, []),
        ({"epochs": 5, "batch": 20}, 100, ["epochs: 5 against 10"]),
        ({"epochs": 5, "batch": 20}, 200, ["epochs: 5 against 10"]),
        ({"epochs": 10, "batch": 20}, None, []),
        ({"epochs": 10, "batch": 20}, 199, ["steps: 199 against 200"]),
    ],
)
def test_steps_that_the_epochs_explain_are_not_told_twice(store, make_record, params, steps, cautions):
    base = blocks(make_record, 6, steps=200, params={"epochs": 10, "batch": 20})
    summary = store(base + blocks(make_record, 6, label="mine", own=True, steps=steps, params=params))
    assert row_of(summary, "mine").unequal_params == cautions


def starting(before, **fields):
    return Quality(before=before, after=0.9, n_items=fields.pop("n_items", 100), **fields)


@pytest.mark.parametrize(
    ("before", "n_items", "cautions"),
    [
        (0.5, 100, False),
        (0.51, 100, False),
        (0.52, 100, True),
        (0.1, 100, True),
        (0.501, None, False),
        (0.6, None, True),
    ],
)
def test_methods_that_start_elsewhere_than_their_baseline_are_told(
    store, make_record, before, n_items, cautions
):
    base = blocks(make_record, 6, quality=starting(0.5))
    mine = blocks(make_record, 6, label="mine", own=True, quality=starting(before, n_items=n_items))
    summary = store(
        [rep.model_copy(update={"quality": starting(0.5, n_items=n_items)}) for rep in base] + mine
    )
    assert ("unequal-start" in codes(summary)) == cautions
    if cautions:
        assert "mine starts at accuracy" in message(summary, "unequal-start")
        assert "its baseline ft-all at 50.0%" in message(summary, "unequal-start")


@pytest.mark.parametrize("quality", [starting(None), starting(0.1, metric="mIoU")])
def test_a_start_that_is_not_told_or_is_of_another_kind_is_not_compared(store, make_record, quality):
    mine = blocks(make_record, 6, label="mine", own=True, quality=quality)
    assert "unequal-start" not in codes(store(blocks(make_record, 6, quality=starting(0.5)) + mine))


def test_an_open_runs_missing_boards_stand_among_what_was_not_measured(tmp_path, make_record):
    with RunWriter.create(tmp_path / "results", "lab1", "r", {}) as writer:
        writer.append(make_record(run_id="r"))
        writer.note_missing("late", "late: no route")
    summary = summarise(RunReader(writer.path))
    assert "all methods on late" in message(summary, "skipped")
    assert "not complete" in message(summary, "incomplete")
