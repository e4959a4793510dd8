"""A runtime that no board can run keeps its row: it is left out where the plan is made, with the reason."""

from __future__ import annotations

from tunebench.harness.artifacts.compressed import compress
from tunebench.harness.config.inventory import loopback_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.planning.plan import make_plan
from tunebench.workloads.deploy import RUNTIMES


def test_executorch_is_left_out_with_its_reason_and_nothing_is_trained_for_it(tmp_path):
    suite = load_suite("runtimes")
    plan = make_plan(suite, loopback_inventory().boards, run_id="r", lab="l")
    skipped = {skip.task: skip.reason for skip in plan.skipped}
    assert list(skipped) == ["mnist/resnet-small [executorch x1]"]
    assert "libtorch_python.so" in skipped["mnist/resnet-small [executorch x1]"]
    ran = {planned.workload.runtime for planned in plan.repetitions}
    assert ran == {name for name, about in RUNTIMES.items() if not about.nowhere}
    rows = [workload for workload in suite.workloads if workload.runtime == "executorch"]
    made = compress(rows, [], cache_dir=tmp_path)
    assert set(made.impossible) == {row.key for row in rows}
    assert made.blobs == {}
