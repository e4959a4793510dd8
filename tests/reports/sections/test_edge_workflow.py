"""The section on the edge workflow: steps upon one another, promise, pairs, fronts, energy. All numbers are made up."""

from __future__ import annotations

import pytest

from tests.reports.sections.test_runtimes import ROWS, inference
from tunebench.reports.records import Energy, Quality
from tunebench.reports.render.html import render
from tunebench.reports.sections.edge_workflow import ENERGY, SECTION, STEPS, _tables
from tunebench.reports.summary import summarise

TASK = "digits/cnn [onnxruntime x1]"
CHAINS = {
    **ROWS,
    "six": (
        ["prune50", "svd", "tune", "int8"], 0.9e-4,
        {"claimed": "int8", "model_b": 100, "params": 10, "madds": 20, "claimed_time_share": 0.8},
    ),
}  # fmt: skip
#: label -> accuracy; joules of a call, and of the fine-tuning on the board
GOOD = {"float": 0.95, "float (A/A)": 0.95, "int8": 0.94, "half": 0.95, "pruned": 0.90, "six": 0.85}
JOULES = {"float": 2e-3, "float (A/A)": 2e-3, "int8": 1e-3, "half": 1e-3, "pruned": 2.5e-3, "six": 1e-3}


@pytest.fixture
def run(make_record, store_reps):
    """Function (energy=False) -> a run of chains and of a fine-tuning on the same board."""

    def make(*, energy: bool = False):
        reps = []
        for block in range(8):
            noise = 1 + 0.001 * block
            for at, (label, (chain, p50_s, more)) in enumerate(CHAINS.items()):
                rep = make_record(
                    rep_id=f"r{block}{at}", block=block, slot=at, task=TASK, label=label, method=label,
                    aa_control="A/A" in label, engine="onnxruntime", wall_s=p50_s * noise,
                    quality=Quality(before=None, after=GOOD[label]),
                    inference=inference(chain, p50_s * noise, **more),
                )  # fmt: skip
                reps.append(_with_joules(rep, JOULES[label] * noise if energy else None))
            tuning = make_record(
                rep_id=f"t{block}",
                block=block,
                slot=9,
                task="digits/cnn [torch x1]",
                label="ft-all",
                wall_s=5.0,
            )
            reps.append(_with_joules(tuning, 40.0 * noise if energy else None))
        return summarise(store_reps(reps), "float")

    def _with_joules(rep, joules):
        measured = None if joules is None else Energy(
            gross_j=joules, net_j=joules, scope="board_input", source="ina3221", mean_w=5.4, n_samples=50, rate_hz=5.0,
            max_gap_s=0.21, quantum_w=0.04,
        )  # fmt: skip
        return rep.model_copy(update={"energy": measured})

    return make


def cells(summary, caption: str) -> dict[str, list[str]]:
    """Return the rows of a table by their chain."""
    (table,) = [table for table in _tables(summary.rows) if table.caption == caption]
    return {row[2]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def test_steps_stand_upon_one_another_up_to_the_longest_chain(run):
    steps = cells(run(), STEPS)
    # Neither of the other rows lies on the way: `int8` and `pruned` are both in `six`, the first of equals is taken.
    assert [(name, row["adds"]) for name, row in steps.items()] == [
        ("float", "tune"), ("int8", "int8"), ("six", "prune50, svd")
    ]  # fmt: skip
    assert steps["six"]["multiply-adds"] == "20 (10.0× less)"
    assert steps["six"]["speed-up"].endswith("FASTER")
    assert steps["six"]["speed-up"].startswith("2.22×")
    assert [row["changed"] for row in steps.values()] == ["–", "−1.0 points", "−9.0 points"]


def test_promise_pairs_and_front_leave_what_is_simulated_without_a_claim(run):
    summary = run()
    text = "\n".join(SECTION.text(summary))
    assert "4.00× less" in text
    assert "simulated: no claim" in text
    assert "98.0%" in text
    (front,) = [table for table in _tables(summary.rows) if "unbeaten" in table.columns]
    assert {row[2]: row[-1] for row in front.rows} == {
        "float": "yes",
        "int8": "yes",
        "pruned": "no",
        "six": "yes",
    }


def test_energy_that_is_saved_repays_a_fine_tuning_after_so_many_inferences(run):
    energy = cells(run(energy=True), ENERGY)
    # 40 J of the fine-tuning over 1 mJ saved on each call
    assert energy["int8"]["break-even"] == "40\u202f000"
    assert energy["int8"]["of a fine-tuning"] == "40.1 J (ft-all)"
    assert energy["pruned"]["saved on each"].startswith("none is shown: 1.25×")
    assert energy["half"]["saved on each"] == "simulated: no claim"
    assert energy["float"]["saved on each"] == "baseline"
    assert [energy[name]["break-even"] for name in ("pruned", "half", "float")] == ["–"] * 3


def test_without_energy_there_is_no_table_of_it_and_without_a_runtime_no_section(run, demo):
    assert ENERGY not in [table.caption for table in _tables(run().rows)]
    summary = summarise(demo)
    assert list(SECTION.text(summary)) == []
    assert SECTION.markdown(summary, 10_000) == ""


def test_page_and_comment_have_the_section(make_record, store_reps):
    reps = [
        make_record(
            rep_id=f"r{block}{at}", block=block, slot=at, task=TASK, label=label, method=label,
            aa_control="A/A" in label, engine="onnxruntime", wall_s=p50_s * (1 + 0.001 * block),
            quality=Quality(before=None, after=GOOD[label]), inference=inference(chain, p50_s, **more),
        )
        for block in range(8)
        for at, (label, (chain, p50_s, more)) in enumerate(CHAINS.items())
    ]  # fmt: skip
    reader = store_reps(reps)
    page = render(reader)
    assert '<section id="edge-workflow">' in page
    assert "front-edge-" in page
    assert "Accuracy against seconds of one inference" in page
    comment = SECTION.markdown(summarise(reader, "float"), 10_000)
    assert "multiply-adds 50 (4.00× less)" in comment.replace("\\", "")
    assert SECTION.markdown(summarise(reader, "float"), 20) == ""
