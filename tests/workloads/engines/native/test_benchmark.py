"""``python -m benchmarks.finetune_steps --json``: its keys, and that its numbers agree with one another."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

KEYS = {
    "dataset", "engine", "build", "method", "step_us", "forward_us", "backward_us", "update_us", "gflops",
    "peak_share", "finetune_s", "peak_rss_b", "cache_b", "reduction_vs_lora_all",
}  # fmt: skip


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.alone
def test_its_rows_have_the_promised_keys_and_agree_with_one_another(builds, tmp_path):
    if not os.environ.get("TUNEBENCH_DATA"):
        pytest.skip("TUNEBENCH_DATA is not set")
    name = next(iter(builds))
    options = ["--datasets", "fan-damage2", "--engines", "native", "--builds", name, "--rounds", "5"]
    line = [
        sys.executable,
        "-m",
        "benchmarks.finetune_steps",
        "--json",
        "--cache-dir",
        str(tmp_path),
        *options,
    ]
    document = json.loads(
        subprocess.run(line, capture_output=True, text=True, check=True, timeout=300).stdout
    )
    assert document["threads"] == 1
    rows = {row["method"]: row for row in document["rows"]}
    assert all(set(row) == KEYS for row in rows.values())
    for row in rows.values():
        assert 0.01 < row["peak_share"] < 1
        assert 10e6 < row["peak_rss_b"] <= 48e6
        # 60 epochs of 24 steps; the fill makes a cached method's whole longer than its steps
        assert row["finetune_s"] > 0.9 * 1440e-6 * row["step_us"]
    for row in document["phases"]:
        assert_phases_are_the_step(row["rounds"])
    cached, baseline = rows["skip2-lora"], rows["lora-all"]
    assert cached["cache_b"] == 470 * 4 * 195
    assert baseline["cache_b"] is None
    assert baseline["reduction_vs_lora_all"] == 0.0
    expected = 1 - cached["finetune_s"] / baseline["finetune_s"]
    assert cached["reduction_vs_lora_all"] == pytest.approx(expected, abs=0.03)


def assert_phases_are_the_step(rounds):
    """Phases add up to the steps beside which they were measured, in the round in which they do so best.

    A neighbour's load comes and goes, and is not in the time of this thread; what is wrong is so in every round.
    """
    sums = [item["forward_us"] + item["backward_us"] + item["update_us"] for item in rounds]
    for key in ("plain_us", "step_cpu_us"):
        shares = [item[key] / total for item, total in zip(rounds, sums, strict=True)]
        assert min(abs(share - 1) for share in shares) < 0.35, (key, rounds)
    assert all(item["step_us"] > 0.95 * item["step_cpu_us"] for item in rounds), rounds
