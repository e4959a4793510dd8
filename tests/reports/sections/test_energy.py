"""Net energy from the idle baselines before and after, and the table of joules with one column a scope."""

from __future__ import annotations

import json

import pytest

from tunebench.reports.analysis.energy import joules
from tunebench.reports.records import Energy, Reason, Repetition
from tunebench.reports.render.html import render
from tunebench.reports.render.text import table
from tunebench.reports.results.net_energy import NOT_BRACKETED, net, with_net
from tunebench.reports.results.reader import RunReader
from tunebench.reports.summary import as_json, summarise

#: J of one fine-tuning by label: k x J = 6 W x 12 s
K = {"ft-all": 4, "skip2-lora": 16}


def energy(watts=6.0, window_s=12.0, repeats=4, **more):
    defaults = {
        "gross_j": watts * window_s, "mean_w": watts, "window_s": window_s, "repeats": repeats, "scope": "module",
        "source": "ina3221", "std_w": 0.02, "n_samples": 120, "rate_hz": 10.0, "max_gap_s": 0.1, "error_j": 0.1,
        "quantum_w": 0.04, "j_per_finetuning": watts * window_s / repeats if repeats else None,
        "net_reason": "joined when read",
    }  # fmt: skip
    return Energy(**{**defaults, **more})


@pytest.fixture
def record(make_record):
    """Function (role, block, label, **fields) -> a record of that role."""

    def build(role, block=0, label="ft-all", **fields):
        name = f"idle-{block}" if role == "idle" else f"{role}-{label}-{block}"
        if role == "idle":
            fields.setdefault("energy", energy(2.0, 60.0, 0))
            idle = {"task": "idle", "label": "idle", "method": "idle", "engine": "none"}
            return make_record(role=role, block=block, rep_id=name, **{**idle, **fields})
        fields.setdefault("energy", energy(repeats=K[label]))
        k = fields["energy"].repeats if fields["energy"] else 4
        defaults = {
            "label": label,
            "method": label,
            "repeats": k,
            "repeats_s": [11.99 / k] * k,
            "wall_s": 12.0,
        }
        return make_record(role=role, block=block, rep_id=name, **{**defaults, **fields})

    return build


def joined(*reps: Repetition) -> dict[str, Repetition]:
    return {rep.rep_id: rep for rep in with_net(list(reps))}


def test_net_is_gross_less_the_mean_of_the_baselines_before_and_after(record):
    after = record("idle", 1, energy=energy(2.04, 60.0, 0))
    net_energy = joined(record("idle", 0), record("energy", 0), after)["energy-ft-all-0"].energy
    assert net_energy.net_j == pytest.approx(72.0 - 2.02 * 12.0)
    assert net_energy.net_j_per_finetuning == pytest.approx(net_energy.net_j / 4)
    assert (net_energy.idle_before_w, net_energy.idle_after_w, net_energy.net_reason) == (2.0, 2.04, None)
    assert net_energy.idle_source == "idle-0, idle-1"


def test_each_block_has_its_own_baselines_and_each_board_too(record):
    reps = [record("idle", b, energy=energy(2.0 + 0.05 * b, 60.0, 0)) for b in range(3)]
    records = joined(*reps, record("energy", 0), record("energy", 1))
    assert records["energy-ft-all-1"].energy.idle_before_w == pytest.approx(2.05)
    elsewhere = [rep.model_copy(update={"board_id": "other"}) for rep in reps]
    alone = joined(*elsewhere, record("energy", 0))["energy-ft-all-0"].energy
    assert alone.net_j is None
    assert "no idle baseline before it: it was not measured; no idle baseline after it" in alone.net_reason


def test_of_two_attempts_at_a_baseline_the_last_stands(record):
    old = record("idle", 0, energy=energy(5.0, 60.0, 0))
    rep = joined(old, record("energy", 0), record("idle", 0), record("idle", 1))["energy-ft-all-0"]
    assert rep.energy.idle_before_w == 2.0


def test_blocks_that_were_added_have_a_baseline_of_their_own_before_them(record):
    """The run ended at block 1; when blocks were added later the idle board drew more."""
    ended = record("idle", 1, energy=energy(2.0, 60.0, 0))
    began = record("idle", 1, energy=energy(2.06, 60.0, 0), slot=1).model_copy(update={"rep_id": "idle-1b"})
    last = record("idle", 2, energy=energy(2.06, 60.0, 0))
    reps = joined(record("idle", 0), record("energy", 0), ended, began, record("energy", 1), last)
    assert reps["energy-ft-all-0"].energy.idle_after_w == 2.0
    assert reps["energy-ft-all-1"].energy.idle_before_w == 2.06
    assert reps["energy-ft-all-1"].energy.idle_source == "idle-1b, idle-2"


@pytest.mark.parametrize(
    ("before", "after", "load", "reason"),
    [
        (energy(2.0, 60, 0), energy(2.2, 60, 0), energy(), "drew 2 W before and 2.2 W after: 0.08 W"),
        (energy(10.0, 60, 0), energy(10.4, 60, 0), energy(16), "0.31 W of difference is allowed"),
        (energy(2.0, 60, 0), energy(2.0, 60, 0), energy(2.07), "less than 0.08 W"),
        (energy(2.0, 60, 0, std_w=0.5), energy(2.0, 60, 0), energy(3.0), "less than 1.5 W"),
        (energy(2.0, 60, 0), energy(2.0, 60, 0), energy(1.9), "the load adds -0.1 W"),
        (energy(2.0, 60, 0, scope="dc_input"), energy(2.0, 60, 0), energy(), "another source than module"),
        (energy(2.0, 60, 0, source="pmic"), energy(2.0, 60, 0), energy(), "by ina3221"),
        (None, energy(2.0, 60, 0), energy(), "before it: no power sensor"),
    ],
)
def test_net_that_would_mean_nothing_is_refused_with_the_reason(record, before, after, load, reason):
    idle = [
        record("idle", b, energy=baseline, missing={} if baseline else {"energy": "no power sensor"})
        for b, baseline in enumerate((before, after))
    ]
    net_energy = net(load, *idle)
    assert (net_energy.net_j, net_energy.net_j_per_finetuning) == (None, None)
    assert reason in net_energy.net_reason
    assert net_energy.gross_j == load.gross_j


def test_small_drift_within_two_quanta_is_allowed(record):
    idle = [record("idle", b, energy=energy(w, 60, 0)) for b, w in enumerate((1.0, 1.07))]
    assert net(energy(), *idle).net_j == pytest.approx(72 - 1.035 * 12)


def test_an_invalid_baseline_is_none(record):
    reasons = [Reason(code="throttled", message="throttled: 3 times")]
    bad = record("idle", 0, verdict="invalid", reasons=reasons)
    assert "before it: throttled: 3 times" in net(energy(), bad, record("idle", 1)).net_reason


def test_a_timed_window_has_gross_only_and_says_why(record):
    timed_energy = joined(record("timed", 0), record("idle", 0), record("idle", 1))["timed-ft-all-0"].energy
    assert (timed_energy.net_j, timed_energy.net_reason) == (None, NOT_BRACKETED)


def test_a_meter_beside_the_boards_own_sensor_has_baselines_of_its_own(record):
    meter = energy(9.0, scope="dc_input", source="ina228")
    idle = [
        record("idle", b, energy=energy(4.0, 60, 0, scope="dc_input", source="ina228"),
               energy_other=[energy(2.0, 60, 0)])
        for b in (0, 1)
    ]  # fmt: skip
    rep = joined(*idle, record("energy", 0, energy=meter, energy_other=[energy()]))["energy-ft-all-0"]
    assert rep.energy.net_j == pytest.approx(60.0)
    assert rep.energy_other[0].net_j == pytest.approx(48.0)


# the table -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(record, tmp_path):
    """Function (reps) -> reader of a run of them."""
    from tunebench.reports.results.writer import RunWriter

    def write(reps):
        tasks = {"digits/mlp": {"baseline": "ft-all", "labels": ["ft-all", "skip2-lora"]}}
        plan = {"suite": {"name": "s"}, "boards": ["host"], "tasks": tasks, "repetitions": []}
        with RunWriter.create(tmp_path, "lab1", reps[0].run_id, plan) as writer:
            for rep in reps:
                writer.append(rep)
        return RunReader(writer.path)

    return write


def blocks(record, n=6, **fields):
    reps = [record("idle", n)]
    for block in range(n):
        for label in K:
            reps += [record("timed", block, label, energy=None, wall_s=0.5)]
            reps += [record("energy", block, label, **fields)]
        reps.append(record("idle", block))
    return reps


def row_of(summary, label):
    return next(row for row in summary.rows if row.label == label)


def test_the_summary_tells_joules_of_one_fine_tuning_gross_and_net(run, record):
    summary = summarise(run(blocks(record)))
    (scope_energy,) = row_of(summary, "skip2-lora").joules
    assert (scope_energy.scope, scope_energy.source, scope_energy.n, scope_energy.k) == (
        "module",
        "ina3221",
        6,
        16,
    )
    assert scope_energy.j.median == pytest.approx(72 / 16)
    assert scope_energy.net_j.median == pytest.approx(48 / 16)
    assert (scope_energy.idle_w, scope_energy.mean_w) == (2.0, 6.0)
    assert scope_energy.restart_share == pytest.approx(1 - 11.99 / 12)
    ratio = row_of(summary, "skip2-lora").energy_ratio
    assert ratio.ratio == pytest.approx(0.25)
    assert (ratio.verdict, ratio.scope, ratio.n) == ("LESS", "module", 6)
    json.dumps(as_json(summary), allow_nan=False)


def test_energy_and_idle_repetitions_stand_in_no_time_and_idle_in_no_row(run, record):
    summary = summarise(run(blocks(record)))
    assert [row.label for row in summary.rows] == ["ft-all", "skip2-lora"]
    for row in summary.rows:
        assert (row.n, row.wall_s.median, row.wall_s.max) == (6, 0.5, 0.5)
    assert summary.counts.timed["skipped"] == 0


def test_scopes_have_columns_of_their_own_and_never_meet(run, record):
    reps = []
    for rep in blocks(record, 1):
        if rep.role == "energy" and rep.label == "ft-all":
            meter = energy(9.0, repeats=4, scope="dc_input", source="ina228")
            reps.append(rep.model_copy(update={"energy": meter, "energy_other": [rep.energy]}))
        else:
            reps.append(rep)
    summary = summarise(run(reps))
    columns = [column.scope for column in row_of(summary, "ft-all").joules]
    assert columns == ["dc_input", "module"]
    text = table(summary)
    assert "gross J (DC input)" in text
    assert "gross J (module only)" in text
    assert row_of(summary, "skip2-lora").energy is None
    assert "this column holds DC input" in row_of(summary, "skip2-lora").energy_missing
    assert row_of(summary, "skip2-lora").energy_ratio.scope == "module"


def test_what_a_scope_misses_and_why_net_is_missing_is_told(run, record):
    reps = [rep for rep in blocks(record, 1) if rep.role != "idle" or rep.block == 0]
    text = " ".join(table(summarise(run(reps))).split())
    assert "'module only' leaves out the carrier board" in text
    assert (
        "No net energy (module only): no idle baseline after it: it was not measured (ft-all, skip2-lora)"
        in text
    )


def test_energy_of_a_refused_window_is_missing_with_its_reason(run, record):
    reason = "the window of 9.00 s is shorter than the 10 s a meter needs"
    summary = summarise(run(blocks(record, 1, energy=None, missing={"energy": reason})))
    assert row_of(summary, "ft-all").joules == []
    assert row_of(summary, "ft-all").joules_missing == reason
    assert row_of(summary, "ft-all").energy_missing == reason
    assert "Energy of one fine-tuning" not in table(summary)


def test_the_page_has_a_section_of_energy_with_its_columns(run, record):
    page = render(run(blocks(record)))
    assert 'id="energy"' in page
    assert "gross J (module only)" in page
    assert "leaves out the carrier board" in page


def test_a_page_without_energy_repetitions_has_no_such_section(run, record):
    assert 'id="energy"' not in render(run([rep for rep in blocks(record, 1) if rep.role == "timed"]))


def test_a_failed_energy_repetition_is_left_out(record):
    reps = [record("energy", 0), record("energy", 1, outcome="deadline", verdict="invalid", energy=None)]
    assert joules(reps)[0][0].n == 1
    only = joules([record("energy", 1, outcome="deadline", outcome_reason="too slow", verdict="invalid")])
    assert only == ([], "too slow")
    assert joules([record("timed", 0)])[1] == "no energy repetition was run"


def test_a_scope_that_is_not_the_whole_board_is_a_caution(run, record):
    cautions = {caution.code: caution.message for caution in summarise(run(blocks(record, 1))).cautions}
    assert cautions["energy-partial"].startswith(
        "Energy on host is not the whole board's: module only leaves"
    )


def test_a_window_too_short_points_to_energy_repetitions(run, record):
    missing = {"energy": "the window of 0.50 s is shorter than the 10 s a meter needs"}
    summary = summarise(run([record("timed", 0, energy=None, missing=missing)]))
    assert "a suite with energy = true repeats" in row_of(summary, "ft-all").energy_missing
