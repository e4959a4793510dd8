"""A job end to end, as a board runs it: from the zip, in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tunebench.workloads import artefact
from tunebench.workloads.artefact import Artefact
from tunebench.workloads.prepare.artefacts import SHIPPED

pytest.importorskip("torch", reason="these jobs run on torch")
pytestmark = pytest.mark.torch

SYSTEM_PYTHON = Path("/usr/bin/python3")


def check_marks(marks):
    """What any reader may rely on; written without our own reader."""
    assert (marks["schema"], marks["clock"]) == ("tunebench.marks/1", "CLOCK_MONOTONIC")
    times = [t_ns for t_ns, _ in marks["events"]]
    assert all(type(item) is int for event in marks["events"] for item in event)
    assert all(a <= b for a, b in pairwise(times))
    assert all(0 <= index < len(marks["names"]) for _, index in marks["events"])
    start, end = marks["window_ns"]
    assert times[0] < start < end < times[-1]
    assert {start, end} <= set(times), "the window's edges are marks"
    return [(t_ns, marks["names"][index]) for t_ns, index in marks["events"]]


def test_a_timed_job_marks_its_phases_and_only_the_edges_of_the_window(run_job):
    ended = run_job({"method": "skip2-lora", "epochs": 20, "seed": 1})
    assert ended.returncode == 0, ended.output
    events = check_marks(ended.read("marks.json"))
    assert [phase for _, phase in events] == [
        "load",
        "evaluate",
        "warmup",
        "finetune",
        "evaluate",
        "save",
        "end",
    ]
    assert events[3][0] == ended.read("marks.json")["window_ns"][0]


@pytest.mark.slow
def test_the_result_says_what_was_reached(run_job):
    ended = run_job({"method": "skip2-lora", "epochs": 20})
    result = ended.read("result.json")
    assert (result["schema"], result["outcome"], result["reason"]) == ("tunebench.result/1", "ok", None)
    assert result["after"] > result["before"] + 0.1
    assert (result["n_items"], result["steps"], len(result["losses"])) == (447, 20 * 23, 20)
    assert (result["loss_first"], result["loss_final"]) == (result["losses"][0], result["losses"][-1])
    # An interpreter with torch, and what the fine-tuning adds to it.
    assert 30e6 < result["metrics"]["idle_rss_b"] < result["peak_rss_b"]
    assert (result["params_trainable"], result["update_b"]) == (4 * (74 + 106 + 106), 4 * 4 * 286)
    assert (result["cache_b"], result["cache_hit_ratio"]) == (4 * 450 * 202, 0.95)
    assert result["engine_version"].startswith("torch ")
    assert result["peak_rss_b"] > 50e6
    assert result["curve"] == []
    rows = ended.predictions()
    assert [row[0] for row in rows] == list(range(447))
    for column, share in ((2, "before"), (3, "after")):
        assert sum(row[1] == row[column] for row in rows) / 447 == pytest.approx(result[share])


def test_an_instrumented_job_marks_every_step_and_its_curve_leaves_evaluations_out(run_job):
    ended = run_job({"method": "skip2-lora", "epochs": 3, "mode": "instrumented"}, here=True)
    marks = ended.read("marks.json")
    start, end = marks["window_ns"]
    inside = [event for event in check_marks(marks) if start <= event[0] <= end]
    phases = [phase for _, phase in inside]
    assert phases.count("cache_fill") == 23
    assert phases.count("backward") == phases.count("update") == phases.count("forward") == 3 * 23
    seconds = {}
    for (t_ns, phase), (next_ns, _) in pairwise(inside):
        seconds[phase] = seconds.get(phase, 0) + (next_ns - t_ns) / 1e9
    curve = ended.read("result.json")["curve"]
    assert [row[0] for row in curve] == [1, 2, 3]
    training_s = sum(seconds.values()) - seconds["evaluate"]
    assert curve[-1][1] == pytest.approx(training_s, rel=0.05)
    assert curve[-1][1] < (end - start) / 1e9 - seconds["evaluate"] + 1e-3


@pytest.mark.slow
def test_instrumenting_does_not_change_the_training(run_job):
    timed, instrumented = (
        run_job({"method": "lora-all", "epochs": 2, "mode": mode}, here=True).read("result.json")
        for mode in ("timed", "instrumented")
    )
    assert timed["losses"] == instrumented["losses"]
    assert timed["after"] == instrumented["after"]


@pytest.mark.slow
def test_a_check_job_reports_the_gate(run_job):
    ended = run_job({"method": "skip2-lora", "mode": "check"})
    assert ended.returncode == 0, ended.output
    gate = ended.read("result.json")["check"]
    assert (gate["passed"], gate["steps"]) == (True, 100)
    check_marks(ended.read("marks.json"))


def test_a_diverged_training_is_an_outcome_not_a_crash(run_job):
    ended = run_job({"method": "ft-all", "epochs": 5, "lr": 1e6}, here=True)
    assert ended.returncode == 0, ended.output
    result = ended.read("result.json")
    assert result["outcome"] == "diverged"
    assert "NaN or infinite in epoch" in result["reason"]
    assert (result["after"], result["loss_final"]) == (None, None)
    assert result["before"] is not None
    assert len(result["losses"]) < 5
    assert all(row[3] is None for row in ended.predictions())
    check_marks(ended.read("marks.json"))


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        ({"method": "lora-everything"}, "unknown method 'lora-everything', use one of: ft-all,"),
        ({"method": "lorae"}, "'lorae' does not apply to model 'mlp'; for it use one of: ft-all,"),
        ({"method": "lora-all", "rank": 0}, "rank is 0"),
        ({"method": "ft-all", "batch": 451}, "workload.batch is 451, the fine-tuning set has 450 rows"),
        (
            {"method": "lora-all", "engine": "native", "batchnorm": "affine"},
            "engine 'native' does not have batchnorm = 'affine'; engines that do: ",
        ),
        (
            {"method": "ft-all", "optimizer": "adam"},
            "workload.optimizer is 'adam', allowed: sgd, momentum, adamw",
        ),
        (
            {"method": "ft-all", "lora_plus": 4},
            "workload.lora_plus is about adapters, method 'ft-all' has none",
        ),
        ({"module": "gone.py", "clip": 1}, "workload.clip goes with built-in methods"),
        ({"module": "gone.py"}, "gone.py; list it under 'files'"),
        ({"module": "gone.py", "mode": "check"}, "a module of your own is not checked"),
    ],
)
def test_a_job_that_cannot_be_run_ends_with_one_clear_line(run_job, workload, message):
    ended = run_job(workload, here=True)
    assert ended.returncode == 2
    assert message in ended.output
    assert len(ended.output.splitlines()) == 1
    result = ended.read("result.json")
    assert result["outcome"] == "failed"
    assert message in result["reason"]


def test_a_label_out_of_range_is_named(run_job, tmp_path):
    data = artefact.read(str(SHIPPED / "digits.tbx"))
    labels = data.need("finetune_y").array()
    labels[7] = 10
    bad = dict(data.tensors, finetune_y=artefact.tensor("int32", (450,), labels))
    artefact.write(str(tmp_path / "bad.tbx"), "data", data.meta, Artefact("data", {}, bad).tensors)
    ended = run_job({"method": "ft-all"}, data=tmp_path / "bad.tbx", here=True)
    assert ended.returncode == 2
    assert "finetune_y[7] is 10, expected 0..9" in ended.output


def test_a_damaged_artefact_is_named(run_job, tmp_path):
    raw = bytearray((SHIPPED / "digits.tbx").read_bytes())
    raw[-1000] ^= 1
    (tmp_path / "torn.tbx").write_bytes(raw)
    ended = run_job({"method": "ft-all"}, data=tmp_path / "torn.tbx")
    assert ended.returncode == 2
    assert "torn.tbx: damaged" in ended.output


def test_the_runner_says_that_it_was_started_outside_a_job(payload):
    env = {**os.environ, "PYTHONPATH": str(payload)}
    env.pop("TUNEBENCH_JOB", None)
    ended = subprocess.run(
        [sys.executable, "-m", "tunebench.workloads.run"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "TUNEBENCH_JOB is not set" in ended.stderr


@pytest.fixture(scope="module")
def other_torch():
    """The system's own Python, if it has a torch of its own."""
    if not SYSTEM_PYTHON.exists() or shutil.which(str(SYSTEM_PYTHON)) is None:
        pytest.skip(f"no {SYSTEM_PYTHON}")
    asked = [str(SYSTEM_PYTHON), "-c", "import torch; print(torch.__version__)"]
    process = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    if process.returncode:
        pytest.skip(f"{SYSTEM_PYTHON} has no torch")
    return str(SYSTEM_PYTHON)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "model"), [("skip2-lora", "mlp"), ("lorae", "cnn"), ("ft-all", "cnn")])
def test_an_older_torch_gives_the_same_losses(run_job, other_torch, method, model):
    workload = {"method": method, "model": model, "epochs": 3}
    ours, theirs = (run_job(workload, python=python) for python in (sys.executable, other_torch))
    assert theirs.returncode == 0, theirs.output
    ours, theirs = ours.read("result.json"), theirs.read("result.json")
    assert ours["losses"] == pytest.approx(theirs["losses"], rel=1e-4)
    assert ours["before"] == theirs["before"]


def test_re_estimating_is_a_phase_of_the_window_and_a_method_without_steps_has_no_other(run_job):
    keys = {"method": "reestimated", "batch": 45, "epochs": 2}
    ended = run_job({**keys, "mode": "instrumented"}, here=True)
    assert (ended.returncode, ended.output) == (0, "")
    marks, result = ended.read("marks.json"), ended.read("result.json")
    start, end = marks["window_ns"]
    inside = [phase for t_ns, phase in check_marks(marks) if start <= t_ns <= end]
    assert inside == ["gather", "reestimate", "evaluate"]
    assert (result["steps"], result["losses"], result["curve"], result["loss_final"]) == (0, [], [], None)
    assert result["after"] > result["before"] + 0.1
    assert result["update_b"] == 4 * result["params_trainable"] == 4 * 2 * 192
    assert result["madds"]["reestimate"] == 450 * (64 * 96 + 96 * 96 + 96 * 10)
    repeat = {"min_s": 60, "max_n": 3, "lead_s": 0.01}
    many = run_job({**keys, "mode": "energy", "repeat": repeat}, here=True).read("result.json")
    assert (many["repeats"], many["after"]) == (3, result["after"])


def test_a_cached_method_re_estimates_before_its_first_step(run_job):
    keys = {
        "method": "skip2-lora",
        "batch": 45,
        "epochs": 2,
        "mode": "instrumented",
        "batchnorm": "reestimated",
    }
    marks = run_job(keys, here=True).read("marks.json")
    phases = [phase for _, phase in check_marks(marks)]
    first = phases.index("reestimate")
    assert phases.count("reestimate") == 1 and phases[first + 1 : first + 3] == ["gather", "cache_fill"]
