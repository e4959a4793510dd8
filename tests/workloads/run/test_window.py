"""An energy repetition: whole fine-tunings in one window, each as the first; and the idle baseline."""

from __future__ import annotations

import sys

import pytest

from tunebench.workloads.engines.native import Session
from tunebench.workloads.methods.table import method, methods_of
from tunebench.workloads.tasks.spec import SpecError, parse

REPEAT = {"min_s": 0.3, "max_n": 1000}
MODULE = """
built = []
def build(spec): built.append(spec["seed"]); return {"steps": 0}
def batches(spec): return range(4)
def step(state, batch): state["steps"] += 1; return 1.0 / state["steps"]
def evaluate(state): return state["steps"] / 100
"""


@pytest.fixture
def native(library, monkeypatch):
    """Jobs of this test find the library."""
    monkeypatch.setenv("TUNEBENCH_NATIVE", library.path)


def energy_job(run_job, engine="torch", method="skip2-lora", repeat=None, **keys):
    workload = {"method": method, "engine": engine, "epochs": 5, "mode": "energy", "repeat": repeat or REPEAT}
    return run_job({**workload, **keys}, here=True)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("engine", ["torch", "native"])
@pytest.mark.parametrize("method", ["ft-all", "skip2-lora"])
def test_every_fine_tuning_of_a_window_starts_anew_and_ends_alike(native, run_job, engine, method):
    pytest.importorskip("torch")
    single = run_job({"method": method, "engine": engine, "epochs": 5}, here=True)
    many = energy_job(run_job, engine, method, {**REPEAT, "lead_s": 0.05, "tail_s": 0.05})
    assert (many.returncode, many.output) == (0, "")
    first, last = single.read("result.json"), many.read("result.json")
    assert (first["repeats"], first["repeats_s"]) == (None, [])
    assert last["repeats"] == len(last["repeats_s"]) >= 2
    for key in ("losses", "before", "after", "steps", "cache_b", "cache_hit_ratio", "n_items"):
        assert last[key] == first[key], key
    assert many.predictions() == single.predictions()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.torch
def test_the_window_holds_whole_fine_tunings_until_it_is_long_enough(native, run_job):
    shares = []
    for _ in range(3):
        job = energy_job(run_job, "native")
        result, marks = job.read("result.json"), job.read("marks.json")
        window_s = (marks["window_ns"][1] - marks["window_ns"][0]) / 1e9
        spent_s = sum(result["repeats_s"])
        assert window_s >= REPEAT["min_s"] > window_s - result["repeats_s"][-1] - 0.01
        assert spent_s <= window_s
        shares.append(1 - spent_s / window_s)
    # The least of three: what another process takes from one window is not the cost of going back.
    assert min(shares) < 0.02, "going back to the start costs next to nothing"


def test_a_window_ends_after_the_largest_number_of_fine_tunings(native, run_job):
    result = energy_job(run_job, "native", repeat={"min_s": 60, "max_n": 3}).read("result.json")
    assert result["repeats"] == 3


@pytest.mark.parametrize(
    "name", [name for name in methods_of("mlp") if method(name).labels and name != "mezo"]
)
def test_restarting_gives_back_the_first_losses_and_cache(library, digits, name):
    session = Session(digits(name, epochs=3), library=library)
    session.hold_start()
    first, facts = session.train_epochs(0, 3), session.facts()
    session.restart()
    again, later = session.train_epochs(0, 3), session.facts()
    assert first == again
    for key in ("steps", "cache_hit_ratio", "cache_b"):
        assert facts[key] == later[key]
    assert (session.cache_error() or 0.0) <= 1e-6


def test_a_diverged_fine_tuning_ends_the_window(native, run_job):
    result = energy_job(run_job, "native", "ft-all", {"min_s": 30, "max_n": 9}, lr=1e20).read("result.json")
    assert (result["outcome"], result["repeats"]) == ("diverged", 1)


def test_a_module_is_built_anew_for_each_fine_tuning(run_job, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MODULE)
    workload = {"module": "mine.py", "epochs": 2, "mode": "energy", "repeat": {"min_s": 60, "max_n": 4}}
    ended = run_job(workload, files=(file,), here=True)
    result = ended.read("result.json")
    assert (result["repeats"], result["steps"], result["after"]) == (4, 8, 0.08)
    # the session's own, the warm-up's throw-away one, the lead's and one before each of the last three
    assert len(sys.modules["mine"].built) == 6


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        ({"mode": "energy"}, "workload.repeat is missing"),
        ({"mode": "instrumented", "repeat": REPEAT}, "goes with modes 'energy' and 'timed'"),
        ({"mode": "energy", "repeat": 12}, "as {min_s, max_n, lead_s, tail_s}"),
        ({"mode": "energy", "repeat": {"min_s": "long"}}, "workload.repeat.min_s is 'long'"),
        ({"mode": "energy", "repeat": {"min_s": 1, "max_n": 0}}, "workload.repeat.max_n is 0"),
        ({"mode": "energy", "repeat": {"min_s": 1, "tail_s": -1}}, "workload.repeat.tail_s is -1"),
    ],
)
def test_a_wrong_repeat_is_named(workload, message):
    with pytest.raises(SpecError) as error:
        parse({"method": "ft-all", **workload})
    assert message in str(error.value)


@pytest.mark.slow
def test_idling_marks_a_window_and_needs_the_standard_library_only(run_job):
    ended = run_job({"idle": {"settle_s": 0.05, "idle_s": 0.2}}, argv=["-m", "tunebench.workloads.run.idle"])
    assert (ended.returncode, ended.output) == (0, "")
    marks, result = ended.read("marks.json"), ended.read("result.json")
    assert marks["names"] == ["settle", "idle", "tail", "end"]
    assert 0.2 <= (marks["window_ns"][1] - marks["window_ns"][0]) / 1e9 < 1.0
    assert (result["outcome"], result["after"], result["steps"]) == ("ok", None, None)


@pytest.mark.parametrize("idle", [None, {"idle_s": 1}, {"idle_s": "1", "settle_s": 1}])
def test_an_idle_job_that_cannot_be_run_says_so(run_job, idle):
    ended = run_job({"idle": idle}, argv=["-m", "tunebench.workloads.run.idle"])
    assert ended.returncode == 2
    assert "workload.idle is" in ended.output


def test_an_energy_workload_keeps_its_repeat_settings():
    assert parse({"method": "ft-all", "mode": "energy", "repeat": REPEAT}).repeat == (0.3, 1000, 0.0, 0.0)
