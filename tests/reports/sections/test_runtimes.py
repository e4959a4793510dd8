"""The section on runtimes: the ladder; what is simulated claims no speed."""

from __future__ import annotations

import pytest

from tunebench.reports.records import Inference
from tunebench.reports.render.html import render
from tunebench.reports.render.text import table
from tunebench.reports.sections.runtimes import SECTION
from tunebench.reports.summary import as_json, summarise

#: label -> chain, median of a call, and what else is special
ROWS = {
    "float": (["tune"], 2.0e-4, {}),
    "float (A/A)": (["tune"], 2.0e-4, {}),
    "int8": (
        ["tune", "int8"],
        1.0e-4,
        {
            "claimed": "int8", "numbers": "int8-static", "model_b": 300, "claimed_time_share": 0.9,
            "parent_agreement": 0.98,
        },
    ),
    "half": (
        ["tune", "half"],
        1.0e-4,
        {
            "claimed": "float16", "model_b": 500, "claimed_time_share": 0.0, "simulated": True,
            "simulated_reason": "0% of the kernels' time is in float16",
        },
    ),
    "pruned": (["prune50", "tune"], 1.1e-4, {"model_b": 400, "params": 25, "madds": 50}),
}  # fmt: skip


def inference(chain: list[str], p50_s: float, **more: object) -> Inference:
    """Return what a board measured."""
    fields = {
        "runtime": "onnxruntime", "version": "1.32.0", "calls": 400, "import_s": 0.07, "load_s": 0.01, "cold_s": 1e-3,
        "p90_s": 1.2 * p50_s, "p99_s": 2 * p50_s, "threads": 1, "params": 100, "madds": 200, "dense_params": 100,
        "dense_madds": 200, "model_b": 1000, "dense_b": 1000, "simulated": False, "rss_start_b": 1 << 24,
        "rss_import_b": 3 << 24, "installed_b": 64 << 20,
    }  # fmt: skip
    return Inference(**{**fields, "chain": chain, "p50_s": p50_s, **more})


@pytest.fixture
def reader(make_record, store_reps):
    reps = [
        make_record(
            rep_id=f"r{block}{at}", block=block, slot=at, task="digits/cnn [onnxruntime x1]", label=label, method=label,
            aa_control="A/A" in label, engine="onnxruntime", wall_s=p50_s * (1 + 0.001 * block),
            inference=inference(chain, p50_s * (1 + 0.001 * block), **more),
        )
        for block in range(8)
        for at, (label, (chain, p50_s, more)) in enumerate(ROWS.items())
    ]  # fmt: skip
    return store_reps(reps)


def rows_of(reader):
    return {row.label: row for row in summarise(reader, "float").rows}


def test_a_row_has_medians_of_calls_and_of_what_the_runtime_costs(reader):
    served = rows_of(reader)["int8"].inference
    assert served.p50_s.median == pytest.approx(1e-4, rel=0.01)
    assert served.runtime_rss_b.median == 2 << 24
    assert served.chain == ["tune", "int8"]
    stored = next(row for row in as_json(summarise(reader))["rows"] if row["label"] == "int8")
    assert stored["inference"]["p50_s"]["n"] == 8


def test_what_is_compressed_in_name_only_claims_no_speed(reader):
    rows = rows_of(reader)
    assert rows["half"].speed_up is None
    assert rows["half"].verdicts["time"].verdict is None
    assert rows["half"].speed_up_missing == "simulated: 0% of the kernels' time is in float16"
    assert rows["int8"].speed_up.verdict == "FASTER"
    assert rows["int8"].speed_up.factor == pytest.approx(2.0, rel=0.01)


def test_the_section_tells_the_ladder_without_a_verdict(reader):
    text = "\n".join(SECTION.text(summarise(reader, "float")))
    assert "64.0 MiB" in text
    assert "FASTER" not in text
    assert '<section id="runtimes">' in render(reader)


def test_runs_without_a_runtime_have_no_such_section_and_no_such_key(demo):
    summary = summarise(demo)
    assert list(SECTION.text(summary)) == []
    assert all("inference" not in row for row in as_json(summary)["rows"])
    assert "Runtimes: what each takes" not in table(summary)
