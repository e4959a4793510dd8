"""What the demo runs, says and leaves out; the whole of it is measured by test_demo.py."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.reports.campaigns import Campaign
from tunebench.harness.cli import demo as command
from tunebench.harness.cli.demo import _sentences, closing, next_steps
from tunebench.harness.config.inventory import loopback_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.planning.feasibility import feasibility
from tunebench.harness.planning.plan import make_plan
from tunebench.workloads.engines.native.errors import NativeError

NATIVE = "digits/mlp [native cpu x1 float32]"


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    """No ziglang, no CC, and a path without a C compiler."""
    from tunebench.workloads.engines.native import build

    monkeypatch.setattr(build, "has_zig", lambda: False)
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_native_act_can_have_verdicts_and_holds_the_story():
    plan = make_plan(load_suite("demo"), loopback_inventory().boards, run_id="r", lab="lab")
    tasks = {task.task: task for task in feasibility(plan)}
    assert (tasks[NATIVE].possible, tasks[NATIVE].blocks, tasks[NATIVE].methods) == (True, 8, 4)
    assert plan.suite.baselines[NATIVE] == "lora-all"
    assert tasks["digits/cnn"].possible
    assert {workload.label for workload in plan.suite.workloads if workload.task == NATIVE} == {
        "lora-all", "lora-all (A/A)", "skip2-lora", "lora-last", "ft-all",
    }  # fmt: skip


def test_the_acts_fit_into_three_minutes_by_their_number():
    """45 repetitions of about a second and 33 of about four, most of them PyTorch's import (D-154)."""
    plan = make_plan(load_suite("demo"), loopback_inventory().boards, run_id="r", lab="lab")
    native = [planned for planned in plan.repetitions if planned.workload.engine == "native"]
    assert len(native) <= 45
    assert len(plan.repetitions) - len(native) <= 33


def test_without_a_compiler_the_torch_act_is_left_and_the_reason_is_told(no_compiler):
    suite, missing = command._that_compile(load_suite("demo"))
    assert "no C compiler 'no-such-compiler' here: pip install ziglang, or install gcc" in missing
    assert {workload.engine for workload in suite.workloads} == {"torch"}
    assert set(suite.baselines) == {"digits/mlp", "digits/cnn"}
    assert {workload.label for workload in suite.workloads} >= {"skip2-lora", "lorae", "ft-all", "lora-all"}


def test_with_a_compiler_nothing_is_left_out(monkeypatch):
    from tunebench.harness.artifacts import native

    monkeypatch.setattr(native.build, "build_here", lambda cache_dir=None: None)
    suite, missing = command._that_compile(load_suite("demo"))
    assert (missing, len(suite.workloads)) == (None, len(load_suite("demo").workloads))


def test_a_suite_of_native_rows_alone_is_left_for_the_campaign_to_refuse(no_compiler):
    suite, missing = command._that_compile(load_suite("emulated"))
    assert (missing, suite.workloads) == (None, load_suite("emulated").workloads)


def test_a_suite_without_native_rows_asks_for_no_compiler(monkeypatch):
    from tunebench.harness.artifacts import native

    def refuse(cache_dir=None):
        raise NativeError("must not be asked")

    monkeypatch.setattr(native.build, "build_here", refuse)
    assert command._that_compile(load_suite("quick"))[1] is None


@pytest.fixture
def run_dir(tmp_path):
    """A finished run of eight blocks, made up."""
    return Campaign(blocks=8).write(tmp_path / "results")


def test_the_closing_words_come_from_the_runs_own_numbers(run_dir):
    text = "\n".join(closing(run_dir, "no C compiler 'cc' here"))
    assert "Nothing on the native engine: no C compiler 'cc' here." in text
    assert "The engine matters" not in text  # one engine cannot tell


def row(label, engine, factor, **fields):
    speed_up = SimpleNamespace(factor=factor, low=factor * 0.8, high=factor * 1.2, verdict="FASTER", n=8)
    values = {
        "task": NATIVE if engine == "native" else "digits/mlp", "label": label, "engine": engine, "aa_control": False,
        "baseline": "lora-all", "speed_up": speed_up, "judged": lambda quantity: None, "to_quality": None,
        "wall_s": SimpleNamespace(median=1 / factor),
    }  # fmt: skip
    return SimpleNamespace(**{**values, **fields})


def test_both_engines_together_tell_that_the_engine_matters():

    text = "\n".join(_sentences([row("skip2-lora", "native", 7.05), row("skip2-lora", "torch", 1.6)]))
    assert f"{NATIVE}: skip2-lora ran 7.05× [5.64×, 8.46×] as fast as lora-all (FASTER, 8 blocks)." in text
    assert "is 7.05× on the native engine and 1.60× in PyTorch" in text


def test_who_reaches_the_accuracy_first_is_told_where_it_is_not_the_fastest():
    from tunebench.reports.analysis.row import Reached, ToTarget

    def to(seconds):
        reached = Reached(1, 1, seconds, None, None, "range", None)
        return ToTarget(0.87, "where lora-all ends", None, reached, None, None, None)

    rows = [
        row("lora-all", "native", 1.0, speed_up=None, to_quality=to(0.9)),
        row("skip2-lora", "native", 7.0, to_quality=to(0.12)),
        row("ft-all", "native", 1.1, to_quality=to(0.05)),
    ]
    assert any("ft-all was the first to reach the accuracy at which lora-all ends (50.0 ms, n = 1)" in s
               for s in _sentences(rows))  # fmt: skip
    rows[2].to_quality = to(0.2)
    assert not any("was the first" in sentence for sentence in _sentences(rows))


def test_the_next_steps_are_whole_commands_that_work(run_dir, monkeypatch, tmp_path):
    script = tmp_path / "bin" / "tunebench"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tunebench "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script), "demo"])
    lines = [line.partition("   # ")[0].strip() for line in next_steps(run_dir) if "   # " in line]
    assert len(lines) == 4
    assert all(line.startswith("bin/tunebench ") for line in lines)
    for line in lines:
        subcommand = shlex.split(line)[1]
        done = subprocess.run(
            ["sh", "-c", line if subcommand != "init" else f"{line} --help"],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        # The made-up run has findings; that it was looked through is what counts here.
        assert done.returncode in ((0, 1) if subcommand == "verify" else (0,)), done.stderr
