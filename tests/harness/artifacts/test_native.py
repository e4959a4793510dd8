"""The native engine in a campaign: kernels built on the host for the probed CPU; the board needs no torch."""

from __future__ import annotations

import platform
import shutil

import pytest

from tunebench.harness.artifacts.native import NativeError, library_for
from tunebench.harness.campaign.session import exit_code
from tunebench.harness.config.suite import load_suite
from tunebench.harness.errors import UsageError
from tunebench.targets.client.replies import Probe
from tunebench.workloads.engines.native import build

SUITE = """
[suite]
name = "nat"
blocks = 1
aa = false
instrumented = false

[[workload]]
dataset = "digits"
model = "mlp"
engine = "native"
methods = ["lora-all", "skip2-lora"]
"""

needs_compiler = pytest.mark.skipif(
    not build.has_zig() and shutil.which("cc") is None,
    reason="no ziglang and no cc to build the kernels with",
)


def _probe(machine: str, features: str = "") -> Probe:
    return Probe(fingerprint={"hardware": {"machine": machine}}, cpu_features=features)


@pytest.mark.slow
@needs_compiler
def test_a_board_without_torch_runs_native_methods_and_says_which_build(campaign, lab, bare_python, tmp_path):
    (tmp_path / "nat.toml").write_text(SUITE)
    ran = campaign(lab("here", extra=f'interpreter = "{bare_python}"'), tmp_path / "nat.toml")
    records = ran.reader.repetitions
    assert [record.outcome for record in records] == ["ok"] * 3
    assert {record.role for record in records} == {"check", "timed"}
    assert {record.engine_build for record in records} == {build.variant_of(*build.this_machine())}
    timed = {record.method: record for record in records if record.role == "timed"}
    assert timed["skip2-lora"].wall_s < timed["lora-all"].wall_s
    # 450 samples, 200 epochs: one sample costs 64*96 + 96*96 + 96*10 in the frozen layers, filled once
    assert timed["skip2-lora"].madds["cache_fill"] == 450 * (64 * 96 + 96 * 96 + 96 * 10)
    assert timed["skip2-lora"].cache_b == 450 * 4 * (96 + 96 + 10)
    assert timed["lora-all"].peak_rss_b < 48 << 20
    assert all(record.quality.after > record.quality.before for record in timed.values())
    assert 0 < timed["skip2-lora"].metrics["cache_fill_s"] < timed["skip2-lora"].wall_s
    assert timed["skip2-lora"].cache_hit_ratio == pytest.approx(199 / 200)
    assert "-O3" in timed["lora-all"].prov.engine_build["flags"]
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 0


@needs_compiler
def test_an_asked_for_build_is_another_task_than_the_boards_best(tmp_path):
    (tmp_path / "nat.toml").write_text(
        SUITE + SUITE[SUITE.index("[[") :].replace("engine =", 'build = "x86-64"\nengine =')
    )
    assert len({workload.task for workload in load_suite(str(tmp_path / "nat.toml")).workloads}) == 2


def test_a_machine_that_no_build_is_for_is_an_error_that_names_those_there_are():
    with pytest.raises(NativeError, match=r"riscv64.*cortex-a53"):
        library_for(_probe("riscv64"))


def test_a_build_for_another_machine_is_refused():
    other = "cortex-a53" if platform.machine() == "x86_64" else "v3"
    with pytest.raises(NativeError, match="this board is"):
        library_for(_probe(platform.machine()), other)


@pytest.mark.slow
def test_a_board_that_no_build_is_for_skips_its_native_rows_with_the_reason(campaign, lab, tmp_path):
    other = "cortex-a53" if platform.machine() == "x86_64" else "v3"
    (tmp_path / "nat.toml").write_text(SUITE.replace("engine =", f'build = "{other}"\nengine ='))
    ran = campaign(lab("here"), tmp_path / "nat.toml")
    assert ran.reader.repetitions == []
    assert all("no native library for this board" in skip.reason for skip in ran.outcome.skipped)
    assert f"here: {len(ran.session.plan.repetitions)} left out" in ran.notes, (
        "progress waits for none of them"
    )
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('engine = "native"\nthreads = 2', "one thread of the CPU"),
        ('engine = "native"\nbuild = "z80"', "unknown build 'z80'; allowed: x86-64"),
        ('cache_dtype = "float16"', "go with engine"),
        ('engine = "native"\ncache_dtype = "int4"', "'float32' or 'float16'"),
        ('engine = "native"\nlabel = "two"', "'label' renames one method"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, change, message):
    (tmp_path / "nat.toml").write_text(SUITE.replace('engine = "native"', change))
    with pytest.raises(UsageError, match=message):
        load_suite(str(tmp_path / "nat.toml"))
