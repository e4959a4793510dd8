"""``tunebench.marks``, the helper for a user's own command."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from tunebench.workloads import marks
from tunebench.workloads.marks import Recorder


def run_script(run_job, tmp_path, text):
    file = tmp_path / "mine.py"
    file.write_text("from tunebench import marks\n" + text)
    return run_job({"epochs": 2, "params": {"a": 1}}, argv=["mine.py"], files=(file,))


def test_a_command_writes_marks_and_a_result(run_job, tmp_path):
    ended = run_script(
        run_job,
        tmp_path,
        'spec = marks.spec(); assert spec["params"] == {"a": 1} and "data" in spec["paths"]\n'
        "marks.window_start()\n"
        'for i in range(2000): marks.mark("forward"); marks.mark("backward")\n'
        "marks.window_end()\n"
        "marks.result(accuracy=0.75, before=0.5, losses=[2.0, 1.0], n_items=4, f1=0.5)\n",
    )
    assert ended.returncode == 0, ended.output
    record = ended.read("marks.json")
    times = [t_ns for t_ns, _ in record["events"]]
    assert len(times) == 1 + 4000 + 3
    assert all(a <= b for a, b in pairwise(times))
    assert record["window_ns"] == [times[0], times[-3]]
    result = ended.read("result.json")
    assert (result["before"], result["after"], result["n_items"]) == (0.5, 0.75, 4)
    assert (result["loss_first"], result["loss_final"], result["metrics"]) == (2.0, 1.0, {"f1": 0.5})


def test_peak_memory_is_that_of_the_whole_process(run_job, tmp_path):
    ended = run_script(
        run_job,
        tmp_path,
        "marks.window_start(); marks.window_end(); marks.result(accuracy=1.0)\nlater = bytearray(80000000)\n",
    )
    assert ended.read("result.json")["peak_rss_b"] > 80e6


def test_a_loss_that_is_not_finite_is_a_divergence(run_job, tmp_path):
    ended = run_script(
        run_job,
        tmp_path,
        'marks.window_start(); marks.window_end(); marks.result(accuracy=0.1, losses=[1.0, float("nan")])\n',
    )
    result = ended.read("result.json")
    assert (result["outcome"], result["losses"], result["after"]) == ("diverged", [1.0], None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("marks.result(accuracy=1.0)", "no window: call window_start() and window_end()"),
        ("marks.window_start(); marks.result(accuracy=1.0)", "no window"),
        ("marks.window_end()", "needs one window_start() before it"),
        ("marks.window_start(); marks.window_start()", "was called twice"),
        ("marks.window_start(); marks.window_end(); marks.result(accuracy=75)", "a share between 0 and 1"),
    ],
)
def test_a_wrong_order_is_an_error_that_says_what_to_do(run_job, tmp_path, text, message):
    ended = run_script(run_job, tmp_path, text + "\n")
    assert ended.returncode == 1
    assert message in ended.output
    assert not (ended.folder / "out" / "result.json").exists()


def test_outside_tunebench_nothing_happens(monkeypatch, tmp_path):
    monkeypatch.delenv("TUNEBENCH_JOB", raising=False)
    monkeypatch.chdir(tmp_path)
    assert marks.spec() == {}
    marks.mark("forward")
    marks.window_start()
    marks.window_end()
    marks.result(accuracy=0.5)
    assert list(tmp_path.iterdir()) == []


def test_more_marks_than_reserved_are_kept():
    recorder = Recorder(capacity=2)
    recorder.window_start()
    for _ in range(5):
        recorder.mark("forward")
    recorder.window_end()
    assert len(recorder.document()["events"]) == 7
    recorder.reserve(10)
    recorder.mark("save")
    assert len(recorder.document()["events"]) == 8


def test_a_device_is_waited_for_before_the_clock_is_read():
    order = []
    recorder = Recorder(synchronise=lambda: order.append(marks.monotonic_ns()))
    t_ns = recorder.mark("forward")
    assert order[0] <= t_ns


def test_what_is_not_finite_never_reaches_a_file(tmp_path):
    value = {"a": math.nan, "b": [math.inf, 1.5], "c": (1,)}
    assert marks.finite(value) == {"a": None, "b": [None, 1.5], "c": [1]}
