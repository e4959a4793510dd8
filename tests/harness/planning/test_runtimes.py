"""Rows of a runtime that no board runs, or not this one: left out where the plan is made, with the reason."""

from __future__ import annotations

import pytest

from tunebench.harness.artifacts.compressed import compress
from tunebench.harness.config.inventory import BoardEntry, Capabilities, loopback_inventory
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


@pytest.mark.parametrize(
    ("capabilities", "reasons"),
    [
        (
            {"machine": "armv7l"},
            {
                "onnxruntime": "runtime 'onnxruntime': it has no wheel for armv7l; it has for aarch64, x86_64",
                "litert": "runtime 'litert': it has no wheel for armv7l; it has for aarch64, x86_64",
            },
        ),
        (
            {"machine": "aarch64", "python": "3.8", "glibc": "2.31"},  # JetPack 5
            {
                "onnxruntime": "runtime 'onnxruntime': its wheels need Python 3.10, this is 3.8",
                "litert": "runtime 'litert': its wheels need Python 3.10, this is 3.8",
                "ncnn": "runtime 'ncnn': its wheels need Python 3.9, this is 3.8",
            },
        ),
        ({"machine": "aarch64", "python": "3.11", "glibc": "2.36"}, {}),
        ({}, {}),
    ],
)
def test_a_board_that_the_inventory_describes_is_asked_for_no_runtime_that_has_no_wheel_for_it(
    capabilities, reasons
):
    board = BoardEntry(id="b", kind="linux", host="b", capabilities=Capabilities(**capabilities))
    plan = make_plan(load_suite("runtimes"), [board], run_id="r", lab="l")
    runtime_of = {workload.task: workload.runtime for workload in load_suite("runtimes").workloads}
    skipped = {runtime_of[skip.task]: skip.reason for skip in plan.skipped}
    del skipped["executorch"]
    assert skipped == {name: f"{reason}, by the inventory's capabilities" for name, reason in reasons.items()}
    assert not {planned.workload.runtime for planned in plan.repetitions} & set(reasons)


def test_a_version_in_the_inventory_that_is_none_is_refused():
    with pytest.raises(ValueError, match="python"):
        Capabilities(python="three")
