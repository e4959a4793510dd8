"""The pytest plugin, through the real pytest command line on real loopback boards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import warm
from tests.sessions import PYTEST
from tunebench.harness.config.tables.schema import LEVELS
from tunebench.harness.hil import options

TEST = """
def test_it(remote, board, workload):
    result = remote()
    assert result.quality_after > {limit}
"""


def _records(tmp_path: Path) -> dict[str, dict]:
    (path,) = tmp_path.glob("results/**/reps.jsonl")
    return {record["rep_id"]: record for record in map(json.loads, path.read_text().splitlines())}


@pytest.mark.slow
def test_board_seconds_are_replayed_bit_for_bit(run_pytest, lab, sleep_suite, tmp_path):
    (tmp_path / "test_own.py").write_text(TEST.format(limit=0.5))
    done = run_pytest(
        "--inventory", str(lab("one", "two")), "--campaign", str(sleep_suite(["a", "b"], blocks=2)),
        "--benchmark-json", "out.json", "--benchmark-group-by=param:board", "-q",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    out = json.loads((tmp_path / "out.json").read_text())
    records = _records(tmp_path)
    assert len(out["benchmarks"]) == 4
    for bench in out["benchmarks"]:
        assert bench["options"]["timer"] == "board_monotonic"
        seconds = [records[rep_id]["wall_s"] for rep_id in bench["extra_info"]["rep_ids"]]
        assert bench["stats"]["data"] == seconds
        assert bench["stats"]["rounds"] == 2
    assert {bench["params"]["board"] for bench in out["benchmarks"]} == {"one", "two"}
    assert out["tunebench"]["boards"] == ["one", "two"]
    assert "benchmark 'board=one': 2 tests" in done.stdout


@pytest.mark.slow
def test_another_number_of_blocks_is_measured_and_too_few_for_a_verdict_are_told(
    run_pytest, lab, sleep_suite, tmp_path
):
    (tmp_path / "test_own.py").write_text(TEST.format(limit=0.5))
    suite = str(sleep_suite(["a", "b"], blocks=1))
    words = ["--inventory", str(lab("one")), "--campaign", suite, "--benchmark-json", "out.json", "-v"]
    done = run_pytest(*words, "--tunebench-blocks", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    out = json.loads((tmp_path / "out.json").read_text())
    assert {bench["stats"]["rounds"] for bench in out["benchmarks"]} == {2}
    assert "tunebench: 2 blocks, 2 methods: no verdict is possible; 6 blocks would allow one" in done.stdout
    refused = run_pytest(*words, "--tunebench-blocks", "0")
    assert refused.returncode == 4
    assert "a whole number from 1 to 1000" in refused.stdout + refused.stderr


@pytest.mark.slow
def test_compare_and_compare_fail_work_on_board_seconds(run_pytest, lab, sleep_suite, tmp_path):
    (tmp_path / "test_own.py").write_text(TEST.format(limit=0.5))
    common = ("--inventory", str(lab("one")), "-q", "--benchmark-storage", f"file://{tmp_path}/bench")
    slow = sleep_suite(["a"], blocks=2, sleep_s=0.05)
    assert run_pytest(*common, "--campaign", str(slow), "--benchmark-autosave").returncode == 0
    slow = sleep_suite(["a"], blocks=2, sleep_s=0.5)
    done = run_pytest(
        *common, "--campaign", str(slow), "--benchmark-compare", "--benchmark-compare-fail=median:50%"
    )
    assert done.returncode != 0
    assert "Performance has regressed" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_failed_accuracy_assertion_is_not_a_good_measurement(run_pytest, lab, sleep_suite, tmp_path):
    (tmp_path / "test_own.py").write_text(TEST.format(limit=0.9))
    done = run_pytest(
        "--inventory", str(lab("one")), "--campaign", str(sleep_suite(["a"], blocks=1)),
        "--benchmark-json", "out.json", "-q",
    )  # fmt: skip
    assert done.returncode == 1
    assert json.loads((tmp_path / "out.json").read_text() or "{}").get("benchmarks", []) == []
    assert len(_records(tmp_path)) == 1


@pytest.mark.slow
def test_an_unreachable_board_is_quarantined_once_and_its_tests_skip_with_the_reason(
    run_pytest, lab, sleep_suite, tmp_path
):
    inventory = lab("one")
    inventory.write_text(
        inventory.read_text() + '\n[[board]]\nid = "gone"\nkind = "linux"\nhost = "127.0.0.1"\nport = 9\n'
    )
    (tmp_path / "test_own.py").write_text(TEST.format(limit=0.5))
    done = run_pytest(
        "--inventory", str(inventory), "--campaign", str(sleep_suite(["a", "b"], blocks=1)), "-rs", "-v"
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed, 2 skipped" in done.stdout
    assert done.stdout.count("gone: quarantined:") >= 1
    assert "127.0.0.1" in next(line for line in done.stdout.splitlines() if line.startswith("SKIPPED"))


@pytest.mark.slow
def test_a_killed_session_is_continued_by_the_same_command(run_pytest, lab, sleep_suite, tmp_path):
    (tmp_path / "test_own.py").write_text(TEST.format(limit=0.5))
    suite = sleep_suite(["a", "b"], blocks=3, sleep_s=0.3)
    words = ("--inventory", str(lab("one")), "--campaign", str(suite), "--tunebench-resume", "-q")
    killed = warm.Popen(
        [sys.executable, *PYTEST, *words],
        cwd=tmp_path,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}, "HOME": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end_s = time.monotonic() + 60
    while not any(path.read_bytes().count(b"\n") >= 2 for path in tmp_path.glob("results/**/reps.jsonl")):
        assert time.monotonic() < end_s, "nothing was measured"
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    done = run_pytest(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    (path,) = tmp_path.glob("results/**/reps.jsonl")
    outcomes = [json.loads(line)["outcome"] for line in path.read_text().splitlines()]
    assert outcomes == ["ok"] * 6
    assert len(_records(tmp_path)) == 6
    assert list((tmp_path / "work-one" / "jobs").iterdir()) == []


def test_without_an_inventory_the_tests_skip_and_say_what_to_give(run_pytest):
    done = run_pytest("--pyargs", "tunebench.harness.hil", "-rs")
    assert done.returncode == 0, done.stdout
    assert "no inventory: give --inventory lab.toml" in done.stdout


def test_a_wrong_inventory_is_a_usage_error_not_a_traceback(run_pytest, tmp_path):
    (tmp_path / "lab.toml").write_text('[[board]]\nid = "x"\nkind = "loopback"\nhots = 1\n')
    done = run_pytest("--inventory", "lab.toml", "--pyargs", "tunebench.harness.hil")
    assert done.returncode == 4
    assert "unknown key 'hots'" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.slow
def test_collect_only_starts_nothing(run_pytest, lab, sleep_suite, tmp_path):
    (tmp_path / "test_own.py").write_text(TEST.format(limit=0.5))
    done = run_pytest(
        "--inventory", str(lab("one")), "--campaign", str(sleep_suite(["a"])), "--collect-only", "-q"
    )
    assert "test_it[sleep:a-one]" in done.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_deselected_tests_are_not_run_on_the_board(run_pytest, lab, sleep_suite, tmp_path):
    (tmp_path / "test_own.py").write_text(TEST.format(limit=0.5))
    done = run_pytest(
        "--inventory",
        str(lab("one")),
        "--campaign",
        str(sleep_suite(["first", "second"], blocks=1)),
        "-k",
        "second",
        "-q",
    )
    assert done.returncode == 0, done.stdout
    assert {record["label"] for record in _records(tmp_path).values()} == {"second"}


@pytest.mark.slow
def test_markers_select_workloads_and_need_capabilities(run_pytest, lab, sleep_suite, tmp_path):
    (tmp_path / "test_own.py").write_text(
        "import pytest\n"
        "@pytest.mark.tunebench(methods=['f*'], min_valid=1)\n"
        "def test_some(remote, board, workload):\n    assert remote().seconds\n"
        "@pytest.mark.needs(ram_gb=64)\n"
        "def test_big(remote, board, workload):\n    remote()\n"
    )
    done = run_pytest(
        "--inventory", str(lab("one", extra="capabilities = { ram_gb = 8 }")),
        "--campaign", str(sleep_suite(["first", "second"], blocks=1)), "-rs", "-v",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "test_some[sleep:first-one]" in done.stdout
    assert "test_some[sleep:second-one]" not in done.stdout
    assert "needs 64 GiB of memory; the inventory gives 8" in done.stdout


DELTA = """
import pytest
@pytest.mark.delta({first})
def test_one(remote, board, workload):
    remote()
@pytest.mark.delta({second})
def test_two(remote, board, workload):
    remote()
"""


@pytest.mark.slow
def test_the_marker_delta_sets_what_does_not_matter_in_its_tasks(run_pytest, lab, sleep_suite, tmp_path):
    (tmp_path / "test_own.py").write_text(DELTA.format(first="time=0.25", second="time=0.25"))
    done = run_pytest("--inventory", str(lab("one")), "--campaign", str(sleep_suite(["a"], blocks=1)), "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    (plan,) = tmp_path.glob("results/**/plan.json")
    assert [task["delta"] for task in json.loads(plan.read_text())["tasks"].values()] == [{"time": 0.25}]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("time=0.1", "time=0.2", "another test of task"),
        ("speed=0.1", "speed=0.1", "quantities: time, energy, memory, accuracy"),
        ("time=-1.0", "time=-1.0", "greater than 0"),
        ("0.1", "0.1", "by name"),
    ],
)
def test_a_wrong_marker_delta_is_a_usage_error(
    run_pytest, lab, sleep_suite, tmp_path, first, second, message
):
    (tmp_path / "test_own.py").write_text(DELTA.format(first=first, second=second))
    done = run_pytest("--inventory", str(lab("one")), "--campaign", str(sleep_suite(["a"], blocks=1)), "-q")
    assert done.returncode == 4
    assert message in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not list(tmp_path.glob("results/**/reps.jsonl"))


def test_unused_it_imports_nothing_but_itself(run_pytest, tmp_path):
    """Every pytest run on a machine with tunebench loads the plugin: that must cost next to nothing."""
    (tmp_path / "test_trivial.py").write_text(
        "import sys\n\ndef test_trivial():\n"
        "    ours = sorted(name for name in sys.modules if name.split('.')[0] == 'tunebench')\n"
        "    assert ours == ['tunebench', 'tunebench.harness', 'tunebench.harness.hil',\n"
        "        'tunebench.harness.hil.items', 'tunebench.harness.hil.options', 'tunebench.harness.hil.plugin']\n"
        "    heavy = {'numpy', 'pandas', 'scipy', 'paramiko', 'asyncssh', 'pydantic', 'typer', 'rich', 'duckdb'}\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    done = run_pytest("-q", cold=True)
    assert done.returncode == 0, done.stdout


def test_the_help_names_the_built_in_suites():
    assert options.LEVELS.split(", ") == [level for level in LEVELS if level != "demo"]
