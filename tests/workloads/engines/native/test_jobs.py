"""Native fine-tunings as jobs: through the runner, in little memory, refused with clear words where they cannot be."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest

from tunebench.workloads import artefact
from tunebench.workloads.engines.native import Session
from tunebench.workloads.methods import table
from tunebench.workloads.methods.table import UnsupportedMethod
from tunebench.workloads.run import correctness
from tunebench.workloads.tasks.spec import SpecError
from tunebench.workloads.tasks.task import make_task


@pytest.fixture
def native(library, monkeypatch):
    """Jobs of this test find the library."""
    monkeypatch.setenv("TUNEBENCH_NATIVE", library.path)


def workload(**keys):
    return {"method": "skip2-lora", "dataset": "digits", "engine": "native", "epochs": 4, **keys}


def test_a_timed_job_gives_what_torchs_gives(native, run_job):
    pytest.importorskip("torch")
    ours = run_job(workload(), here=True)
    theirs = run_job(workload(engine="torch"), here=True)
    assert (ours.returncode, ours.output) == (0, "")
    result, expected = ours.read("result.json"), theirs.read("result.json")
    assert result["outcome"] == "ok"
    assert result["engine_version"].startswith("native ")
    for key in (
        "steps",
        "params_total",
        "params_trainable",
        "update_b",
        "cache_b",
        "cache_hit_ratio",
        "n_items",
    ):
        assert result[key] == expected[key], key
    assert result["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    assert result["after"] == pytest.approx(expected["after"], abs=0.005)
    names = ours.read("marks.json")["names"]
    assert names == ["load", "evaluate", "warmup", "finetune", "save", "end"]


def test_an_instrumented_job_tells_the_phases_of_every_step(native, run_job):
    ended = run_job(workload(mode="instrumented"), here=True)
    document = ended.read("marks.json")
    steps = ended.read("result.json")["steps"]
    counts = dict.fromkeys(document["names"], 0)
    for _, index in document["events"]:
        counts[document["names"][index]] += 1
    assert counts["forward"] == counts["backward"] == counts["update"] == steps
    assert counts["cache_fill"] == steps // 4
    times = [t_ns for t_ns, _ in document["events"]]
    assert times == sorted(times)
    assert len(ended.read("result.json")["curve"]) == 4


def test_the_correctness_gate_passes(digits, monkeypatch, library):
    monkeypatch.setenv("TUNEBENCH_NATIVE", library.path)
    for method in ("skip2-lora", "lora-all"):
        gate = correctness.check(digits(method, engine="native"))
        assert gate["passed"]
        assert gate["max_loss_diff"] == 0.0


def test_a_training_that_diverges_ends_behind_that_epoch(digits, library):
    session = Session(digits("ft-all", lr=1e9, epochs=50), library=library)
    losses = session.train_epochs(0, 50)
    assert len(losses) < 50
    assert not math.isfinite(losses[-1])
    assert all(map(math.isfinite, losses[:-1]))


def test_the_warm_up_changes_nothing(digits, library):
    for method in ("skip2-lora", "ft-all"):
        warmed, plain = (Session(digits(method, epochs=2), library=library) for _ in range(2))
        warmed.warm_up(3)
        warmed.warm_up(0)
        assert warmed.train_epochs(0, 2) == plain.train_epochs(0, 2)
        assert warmed.facts()["steps"] == plain.facts()["steps"]


def test_epochs_in_one_call_or_one_by_one_are_the_same(digits, library):
    single_call, many_calls, watched = (
        Session(digits("skip2-lora", epochs=5), library=library) for _ in range(3)
    )
    losses = single_call.train_epochs(0, 5)
    assert losses == [loss for epoch in range(5) for loss in many_calls.train_epochs(epoch, 1)]
    for epoch in range(5):  # evaluating in between shares the kernels' buffers, and changes nothing
        assert watched.train_epochs(epoch, 1) == [losses[epoch]]
        watched.evaluate()
    assert watched.evaluate() == single_call.evaluate()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"threads": 2}, "runs on one thread of the CPU, not on 2 of 'cpu'"),
        ({"device": "cuda"}, "runs on one thread of the CPU, not on 1 of 'cuda'"),
        ({"batch": 10**6}, "workload.batch is 1000000, the fine-tuning set has"),
        ({"rank": 0}, "workload.rank is 0: adapters need a rank of at least 1"),
        ({"method": "ft-all", "model": "cnn"}, "runs linear layers only, model 'cnn' has others"),
        ({"method": "lorae"}, "does not apply to model 'mlp'"),
        (
            {"batchnorm": "reestimated"},
            "engine 'native' does not have batchnorm = 'reestimated'; engines that do: torch",
        ),
        ({"head": "trained"}, "engine 'native' does not have head = 'trained'; engines that do: torch"),
        (
            {"method": "reestimated"},
            "engine 'native' leaves BatchNorm frozen, method 'reestimated' changes it; engines that do: torch",
        ),
    ],
)
def test_what_cannot_run_ends_with_one_clear_line(native, run_job, keys, message):
    ended = run_job(workload(**keys), here=True)
    assert ended.returncode == 2
    assert message in ended.output
    assert message in ended.read("result.json")["reason"]


@pytest.mark.parametrize("mode", ["timed", "instrumented", "energy", "check"])
def test_a_control_that_changes_nothing_ends_as_it_began(native, run_job, mode):
    repeat = {"repeat": {"min_s": 5, "max_n": 9, "lead_s": 0.01}} if mode == "energy" else {}
    ended = run_job(workload(method="untrained", mode=mode, **repeat), here=True)
    assert (ended.returncode, ended.output) == (0, "")
    result = ended.read("result.json")
    if mode == "check":
        assert result["check"] == {
            "passed": True, "max_loss_diff": None, "max_activation_diff": None, "steps": 0,
        }  # fmt: skip
        return
    assert result["before"] == result["after"]
    assert (result["steps"], result["update_b"], result["losses"], result["loss_first"]) == (0, 0, [], None)
    assert not any(result["madds"].values())
    assert result["repeats"] == (1 if mode == "energy" else None)


def test_methods_of_other_models_are_refused(digits):
    with pytest.raises(UnsupportedMethod):
        digits("lorae")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("finetune_x", math.nan, "finetune_x has NaN or infinite values"),
        ("test_x", math.inf, "test_x has NaN or infinite values"),
        ("finetune_y", 10, r"finetune_y\[3\] is 10, expected 0\.\.9"),
        ("finetune_y", -1, r"finetune_y\[3\] is -1, expected 0\.\.9"),
    ],
)
def test_values_that_the_kernels_must_never_see_are_refused_before(name, value, message, digits):
    made = digits("skip2-lora", engine="native")
    item = made.data.tensors[name]
    values = item.array()
    values[3] = value
    tensors = dict(made.data.tensors, **{name: artefact.tensor(item.dtype, item.shape, values)})
    with pytest.raises(SpecError, match=message):
        make_task(made.spec, made.data._replace(tensors=tensors), made.weights)


def job(folder, library, data, weights, **keys):
    (folder / "out").mkdir(parents=True)
    paths = {"data": str(data), "weights": str(weights), "native": library.path}
    document = {"workload": workload(**keys), "paths": paths}
    (folder / "job.json").write_text(json.dumps(document))
    env = {key: value for key, value in os.environ.items() if key != "TUNEBENCH_NATIVE"}
    env["TUNEBENCH_JOB"] = str(folder)
    line = [sys.executable, "-m", "tunebench.workloads.run"]
    ended = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads((folder / "out" / "result.json").read_text())


def test_the_jobs_own_library_is_found(tmp_path, library, shipped):
    result = job(tmp_path, library, shipped / "digits.tbx", shipped / "digits-mlp.tbx")
    assert result["outcome"] == "ok"
    assert result["engine_version"].startswith(f"native {32 * library.vector_floats}-bit")
    assert result["peak_rss_b"] <= 48e6


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("method", ["skip2-lora", "ft-all"])
def test_a_fine_tuning_on_har_takes_48_mb_at_most_interpreter_included(method, tmp_path, library, real_task):
    real_task("har-hapt", method)
    made = real_task.files("har-hapt")
    result = job(tmp_path, library, made.data, made.weights, dataset="har-hapt", method=method, epochs=200)
    assert result["peak_rss_b"] <= 48e6
    assert result["after"] > result["before"]


def test_the_plan_is_all_that_the_engine_reads(any_task, library):
    # a row under another name is the same training
    row = table.method("skip2-lora")
    first = Session(any_task(row, (9, 8, 4), 12, batch=4, epochs=2), library=library)
    second = Session(any_task(row._replace(name="other"), (9, 8, 4), 12, batch=4, epochs=2), library=library)
    assert first.train_epochs(0, 2) == second.train_epochs(0, 2)
