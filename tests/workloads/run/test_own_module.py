"""Bring your own method: the two examples that ship, and what goes wrong in a first try."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from tunebench.workloads.methods import table

EXAMPLES = Path(__file__).parents[3] / "examples" / "own"
SUITES = sorted(EXAMPLES.glob("*.toml"))


@pytest.mark.slow
@pytest.mark.torch
def test_the_example_module_runs_like_a_built_in_method(run_job):
    pytest.importorskip("torch", reason="the example module uses torch")
    workload = {"module": "my_ft.py", "epochs": 30, "mode": "timed"}
    ended = run_job(workload, files=(EXAMPLES / "my_ft.py",))
    assert ended.returncode == 0, ended.output
    result = ended.read("result.json")
    assert result["after"] > result["before"] + 0.2
    assert result["params_trainable"] == 4 * 96 + 10
    assert result["update_b"] == 4 * 394
    assert result["steps"] == 30 * 23
    assert len(ended.predictions()) == 447
    built_in = run_job({"method": "ft-all", "epochs": 1}).read("result.json")
    assert result["before"] == built_in["before"], "both start from the same weights"


@pytest.mark.slow
@pytest.mark.torch
def test_the_example_module_has_a_curve_when_instrumented(run_job):
    pytest.importorskip("torch", reason="the example module uses torch")
    workload = {"module": "my_ft.py", "epochs": 3, "mode": "instrumented"}
    ended = run_job(workload, files=(EXAMPLES / "my_ft.py",))
    assert [row[0] for row in ended.read("result.json")["curve"]] == [1, 2, 3]
    marks = ended.read("marks.json")
    assert [index for _, index in marks["events"]].count(marks["names"].index("step")) == 3 * 23


def test_the_example_command_needs_the_standard_library_only(run_job):
    workload = {"epochs": 6, "seed": 0, "lr": 0.02}
    files = (EXAMPLES / "train.py",)
    ended = run_job(workload, argv=["-S", "train.py"], files=files)  # -S: no site-packages
    assert ended.returncode == 0, ended.output
    result = ended.read("result.json")
    assert result["outcome"] == "ok"
    assert result["after"] > result["before"] + 0.2
    assert result["params_trainable"] == 97 * 10
    assert (result["steps"], len(result["losses"])) == (6 * 450, 6)
    assert result["engine_version"].startswith("python 3.")
    assert 5e6 < result["peak_rss_b"] < 100e6
    marks = ended.read("marks.json")
    assert marks["names"] == ["load", "evaluate", "cache_fill", "finetune", "save", "end"]
    assert len(ended.predictions()) == 447


def test_the_example_command_says_how_to_start_it_outside_tunebench(monkeypatch, tmp_path):
    monkeypatch.delenv("TUNEBENCH_JOB", raising=False)
    sys.path.insert(0, str(EXAMPLES))
    try:
        import train

        with pytest.raises(SystemExit, match="tunebench run --suite"):
            train.main()
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.name)
def test_the_suites_stand_beside_built_in_methods_and_list_their_files(path):
    suite = tomllib.loads(path.read_text())
    own = [row for row in suite["workload"] if "label" in row]
    built_in = [row for row in suite["workload"] if "methods" in row]
    assert len(own) == 1
    assert [(row["dataset"], row["model"]) for row in built_in] == [(own[0]["dataset"], own[0]["model"])]
    assert suite["suite"]["baseline"] in built_in[0]["methods"]
    assert all(table.supports(name, built_in[0]["model"]) for name in built_in[0]["methods"])
    started = own[0].get("module") or own[0]["command"][-1]
    assert started in own[0]["files"]
    assert all((EXAMPLES / name).is_file() for name in own[0]["files"])


def test_there_is_a_suite_of_each_form():
    assert [path.name for path in SUITES] == ["command.toml", "module.toml"]


GOOD = """
def build(spec): return {"steps": 0, "lr": spec["lr"]}
def batches(spec): return range(4)
def step(state, batch): state["steps"] += 1; return 1.0 / state["steps"]
def evaluate(state): return min(1.0, state["steps"] / 100)
"""


def attempt(run_job, tmp_path, text, here=True, **workload):
    file = tmp_path / "mine.py"
    file.write_text(text)
    return run_job({"module": "mine.py", "epochs": 2, **workload}, files=(file,), here=here)


def test_a_module_gets_the_scale_that_alpha_comes_to_and_no_keys_of_training(run_job, tmp_path):
    text = GOOD.replace("build(spec): return", "build(spec): assert 'training' not in spec; return")
    text += "\ndef facts(state): return {'scale': state['scale'], 'optimizer_state_b': 12}\n"
    text = text.replace('"lr": spec["lr"]', '"scale": spec["scale"]')
    result = attempt(run_job, tmp_path, text, alpha=8, rank=2).read("result.json")
    assert (result["metrics"]["scale"], result["optimizer_state_b"]) == (4.0, 12)


def test_a_module_without_torch_runs_and_is_warmed_up_apart(run_job, tmp_path):
    ended = attempt(run_job, tmp_path, GOOD, here=False, warmup_steps=3)
    result = ended.read("result.json")
    assert (result["before"], result["after"], result["steps"]) == (0.0, 0.08, 8)
    assert result["losses"] == [
        pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4),
        pytest.approx(0.1586, abs=1e-4),
    ]
    assert result["engine_version"].startswith("python ")
    assert (result["params_trainable"], result["update_b"]) == (None, None)
    assert not (ended.folder / "out" / "preds.jsonl").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("def step", "def stop", r"mine.py lacks step(); it needs build, batches, step, evaluate"),
        ("range(4)", "[]", "gave no batch in epoch 0"),
        ("return 1.0 / state", "1.0 / state", "must return the batch's loss, got None"),
        ('state["steps"] / 100)', "-1)", "gave accuracy -1.0, expected 0..1"),
        ('min(1.0, state["steps"] / 100)', '{"f1": 1.0}', "must return an accuracy, or a dict with one"),
        ('min(1.0, state["steps"] / 100)', '{"accuracy": 1, "labels": [1]}', "unequal numbers of labels"),
    ],
)
def test_a_mistake_in_a_module_is_named(run_job, tmp_path, old, new, message):
    assert old in GOOD
    ended = attempt(run_job, tmp_path, GOOD.replace(old, new))
    assert ended.returncode == 2, ended.output
    assert message in ended.output
    assert message in ended.read("result.json")["reason"]


def test_an_exception_in_a_module_is_shown_with_its_traceback(run_job, tmp_path):
    ended = attempt(
        run_job, tmp_path, GOOD.replace("return 1.0 / state", 'raise ValueError("mine") #'), here=False
    )
    assert ended.returncode == 1
    assert 'mine.py", line 4, in step' in ended.output
    assert "ValueError: mine" in ended.output


def test_a_module_that_diverges_is_an_outcome(run_job, tmp_path):
    ended = attempt(run_job, tmp_path, GOOD.replace("1.0 /", 'float("nan") *'))
    assert ended.returncode == 0
    assert ended.read("result.json")["outcome"] == "diverged"


def test_further_numbers_of_a_module_are_kept(run_job, tmp_path):
    text = GOOD.replace('min(1.0, state["steps"] / 100)', '{"accuracy": 0.5, "n_items": 3, "f1": 0.25}')
    text += '\ndef facts(state): return {"params_trainable": 7, "sparsity": 0.5}\n'
    result = attempt(run_job, tmp_path, text).read("result.json")
    assert (result["n_items"], result["params_trainable"], result["update_b"]) == (3, 7, 28)
    assert result["metrics"] == {"f1": 0.25, "sparsity": 0.5}


def test_files_beside_a_module_that_are_called_like_pythons_own_do_not_matter(run_job, tmp_path):
    """random.py, queue.py, json.py, types.py: Python and the libraries keep theirs; the module finds its own others."""
    names = ("random", "queue", "json", "types", "struct", "runpy", "typing", "gc")
    for name in names:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a file of the user was imported')\n")
    (tmp_path / "helper.py").write_text("ACCURACY = 0.75\n")
    (tmp_path / "data.txt").write_text("3\n")
    (tmp_path / "mine.py").write_text(
        "import json, random, queue, helper\n"
        "def build(spec):\n    return int(open('data.txt').read())\n"
        "def batches(spec):\n    return range(3)\n"
        "def step(state, batch):\n    return float(batch + random.random() * 0)\n"
        "def evaluate(state):\n    return helper.ACCURACY\n"
    )
    files = (*sorted(tmp_path.glob("*.py")), tmp_path / "data.txt")
    ended = run_job({"module": "mine.py", "epochs": 2, "mode": "timed"}, files=files)
    assert ended.returncode == 0, ended.output
    assert ended.read("result.json")["after"] == 0.75
