"""Whole campaigns on boards that get hot, sleep badly, lie about the time or belong to somebody else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tunebench.harness.campaign.session import exit_code
from tunebench.harness.cli.release import end_lease
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.planning.limits import START_PATIENCE_S
from tunebench.reports.summary import summarise
from tunebench.targets.agent import workdir
from tunebench.targets.agent.lease import SCHEMA

PROGRAM = """
import json, os, time
from tunebench import marks

with open(os.environ["TUNEBENCH_JOB"] + "/job.json") as file:
    params = json.load(file)["workload"]["params"]
marks.window_start()
time.sleep(params["sleep_s"] / 2)
for path, text in params.get("write", {}).items():
    with open(path, "w") as file:
        file.write(text)
time.sleep(params["sleep_s"] / 2)
marks.window_end()
marks.result(accuracy=0.75, before=0.5)
"""


#: An interpreter without site-packages, so without torch: importing it would take most of these tests' time.
BARE = f'interpreter = ["{sys.executable}", "-S"]\n'


@pytest.fixture
def suite(tmp_path):
    """A suite whose workload sleeps and, half-way through, writes what the test wants into files."""

    def write(sleep_s: float = 0.6, *, blocks: int = 1, header: str = "", files: dict | None = None) -> Path:
        (tmp_path / "program.py").write_text(PROGRAM)
        table = ", ".join(f'"{path}" = "{text}"' for path, text in (files or {}).items())
        path = tmp_path / "protect.toml"
        path.write_text(
            f'[suite]\nname = "protect"\nblocks = {blocks}\nbaseline = "a"\naa = false\ninstrumented = false\n'
            f'{header}\n[[workload]]\nlabel = "a"\ntask = "t"\ncommand = ["python3", "program.py"]\n'
            f'files = ["program.py"]\nparams = {{ sleep_s = {sleep_s}, write = {{ {table} }} }}\ndeadline_s = 60.0\n'
        )
        return path

    return write


@pytest.fixture
def pi(simulated):
    """A Raspberry Pi 4 as a tree of files, cool and with a fixed clock."""
    tree = simulated("pi-4")
    tree.zones["cpu-thermal"].write_text("45000\n")
    for folder in (tree.root / "sys/devices/system/cpu/cpufreq").glob("policy*"):
        (folder / "scaling_governor").write_text("performance\n")
    return tree


def codes(record) -> list[str]:
    return [reason.code for reason in record.reasons]


@pytest.mark.slow
def test_a_board_that_gets_too_hot_is_stopped_and_its_repetition_is_not_tried_again(campaign, lab, suite, pi):
    hot = suite(20.0, files={str(pi.zones["cpu-thermal"]): "96000"})
    (pi.root / "never").mkdir()
    started_s = time.monotonic()
    file = lab("pi", extra=f'{BARE}simulated_root = "{pi.root}"\nmax_temp_c = 90.0')
    threading.Timer(1.5, lambda: pi.zones["cpu-thermal"].write_text("96000\n")).start()
    ran = campaign(file, hot)
    assert time.monotonic() - started_s < 15
    (record,) = ran.reader.repetitions
    assert (record.outcome, record.verdict) == ("killed", "invalid")
    assert codes(record)[0] == "too-hot"
    assert "90.0 C (max_temp_c)" in record.outcome_reason
    assert record.reasons[0].values == {"temp_c": 96.0, "limit_c": 90.0}
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 1


@pytest.mark.parametrize(("policy", "verdict"), [("cold", "invalid"), ("sustained", "degraded")])
@pytest.mark.slow
@pytest.mark.torch
def test_throttling_in_mid_run_is_a_fault_when_cold_and_data_when_sustained(
    campaign, lab, suite, pi, policy, verdict, module_suite
):
    bits = next(pi.root.rglob("get_throttled"))
    path = module_suite(policy, bits)
    ran = campaign(lab("pi", extra=f'simulated_root = "{pi.root}"'), path)
    (record,) = ran.reader.repetitions
    assert record.outcome == "ok", record.outcome_reason
    assert record.policy == policy
    assert record.verdict == verdict
    assert ("throttled" in codes(record)) == (policy == "cold")
    assert "simulated" in codes(record)
    if policy == "sustained":
        sustained = record.sustained
        assert sustained.n >= 6
        assert record.wall_s == sustained.steady_s == pytest.approx(0.16, rel=0.5)
        assert sustained.decline == pytest.approx(1.0, abs=0.6)
        (row,) = summarise(ran.reader).rows
        assert row.sustained.steady_s == sustained.steady_s
    else:
        assert record.sustained is None


MODULE = """
import time

def build(spec):
    return {"spec": spec, "slow": 0}

def batches(spec):
    return range(4)

COUNT = [0]

def step(state, batch):
    COUNT[0] += 1
    if COUNT[0] == 2:
        with open(state["spec"]["params"]["bits"], "w") as file:
            file.write("40004\\n")
    time.sleep(0.02 if COUNT[0] < 20 else 0.04)
    return 1.0

def predict(state, batch):
    return [0]

def evaluate(state):
    return 0.5
"""


@pytest.fixture
def module_suite(tmp_path):
    """A user's module that slows down and whose board begins to throttle."""

    def write(policy: str, bits: Path) -> Path:
        (tmp_path / "mine.py").write_text(MODULE)
        path = tmp_path / "module.toml"
        path.write_text(
            f'[suite]\nname = "module"\nblocks = 1\nepochs = 1\naa = false\ninstrumented = false\n'
            f'policy = "{policy}"\nsustained_s = 3.0\n'
            f'[[workload]]\nlabel = "mine"\ndataset = "digits"\nmodel = "mlp"\nmodule = "mine.py"\nfiles = ["mine.py"]\n'
            f'warmup_steps = 0\nparams = {{ bits = "{bits}" }}\ndeadline_s = 60.0\n'
        )
        return path

    return write


@pytest.mark.slow
def test_a_wall_clock_stepped_by_an_hour_in_mid_run_leaves_durations_alone_and_is_told(
    campaign, lab, suite, tmp_path
):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler for the fake clock")
    library, flag, python = (
        tmp_path / "fake_clock.so",
        tmp_path / "stepped",
        tmp_path / "python-with-fake-clock",
    )
    source = Path(__file__).with_name("fake_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    python.write_text(f'#!/bin/sh\nFAKE_CLOCK_STEP={flag} LD_PRELOAD={library} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    ran = campaign(
        lab("here", extra=f'{BARE}python = "{python}"'), suite(0.8, blocks=2, files={str(flag): "now"})
    )
    stepped, after = ran.reader.repetitions
    assert "clock-step" in codes(stepped)
    (reason,) = [reason for reason in stepped.reasons if reason.code == "clock-step"]
    assert reason.values["step_s"] == pytest.approx(3600, abs=1)
    assert stepped.verdict == "degraded"
    for record in (stepped, after):
        assert record.wall_s == pytest.approx(0.8, abs=0.3)
        assert record.process_s < 10
    assert "clock-step" not in codes(after), "a clock that is wrong all the time was not stepped"


# -- leases ---------------------------------------------------------------------------------------

HERS = {"user": "eve", "host": "there", "pid": 2, "token": "hers"}


def leased(tmp_path: Path, board: str, seconds: float) -> Path:
    """A board that somebody else holds."""
    folder = tmp_path / f"work-{board}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / "lease.json"
    lease = {
        "schema": SCHEMA,
        "owner": HERS,
        "rep_id": "hers-1",
        "boot_id": workdir.boot_id(),
        "expires_boottime_s": workdir.boottime_s() + seconds,
    }
    workdir.write_json(str(path), lease)
    return path


def test_a_campaign_that_does_not_get_the_board_says_whose_it_is_and_ends_with_4(
    campaign, lab, sleep_suite, tmp_path
):
    lease = leased(tmp_path, "here", 100)
    ran = campaign(lab("here", extra="patience_s = 0.3"), sleep_suite(["a"], blocks=1))
    assert exit_code(ran.outcome, ran.session.writer, ran.session.plan) == 4
    assert any("waiting: " in line and "eve@there (process 2)" in line for line in ran.notes)
    assert "eve@there" in ran.outcome.given_up["here"]
    assert workdir.read_json(str(lease))["owner"] == HERS


def test_a_lease_that_ran_out_is_taken_over_and_every_record_says_so(campaign, lab, sleep_suite, tmp_path):
    lease = leased(tmp_path, "here", -5)
    ran = campaign(lab("here", extra=BARE), sleep_suite(["a"], blocks=1))
    assert any("lease of eve@there" in line and "taken over" in line for line in ran.notes)
    (record,) = ran.reader.repetitions
    origin = record.prov.lease_taken_over_from
    assert origin["owner"] == {"user": "eve", "host": "there", "pid": "2"}
    assert origin["rep_id"] == "hers-1"
    # The window is so short that a busy machine's clock exchange may be wide beside it; that is not the lease's doing.
    fault_codes = set(codes(record)) - {"clock-bound", "sampler-gap"}
    assert fault_codes == {"shared-machine"}, "a dead host's lease says nothing against the measurement"
    assert not lease.exists()


def test_a_lease_in_force_is_only_ended_by_force_and_that_is_on_record(lab, tmp_path):
    lease = leased(tmp_path, "here", 100)
    spec = load_inventory(lab("here")).boards[0].spec()
    message, code = end_lease(spec, force=False)
    assert (code, "eve@there" in message, "--force" in message) == (4, True, True)
    message, code = end_lease(spec, force=True)
    assert (code, message) == (0, "the lease of eve@there is ended")
    assert workdir.read_json(str(lease))["released_by"]["pid"] == os.getpid()
    assert end_lease(spec, force=False)[0] == "the lease of eve@there is ended"
    assert end_lease(spec, force=False) == ("no lease", 0)


@pytest.mark.slow
def test_the_command_release_ends_a_lease_and_refuses_an_unknown_board(lab, cli, tmp_path):
    leased(tmp_path, "here", -100)
    assert "here: the lease of eve@there is ended" in cli("release", "here", "-i", str(lab("here"))).stdout
    unknown = cli("release", "there", "-i", str(lab("here")))
    assert (unknown.returncode, "it has: here" in unknown.stderr) == (2, True)


@pytest.mark.slow
def test_two_campaigns_on_one_board_do_not_interleave(lab, sleep_suite, tmp_path, cli):
    inventory, path = lab("here"), sleep_suite(["a", "b"], blocks=3, sleep_s=0.2)
    results: dict[str, tuple[int, list]] = {}

    def run(name: str) -> None:
        done = cli("run", "-i", str(inventory), "-s", str(path), "-o", str(tmp_path / name), "--json")
        results[name] = (done.returncode, done.stdout)

    threads = [threading.Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[name][0] for name in ("one", "two")] == [0, 0], results
    journals = []
    from tunebench.reports.results import RunReader, find_run

    for name in ("one", "two"):
        reader = RunReader(find_run(tmp_path / name))
        assert len(reader.repetitions) == 6
        for record in reader.repetitions:
            window = reader.trace(record).window_ns
            journals.append((window[0], name))
    order = [name for _, name in sorted(journals)]
    assert order in (["one"] * 6 + ["two"] * 6, ["two"] * 6 + ["one"] * 6)
    assert not (tmp_path / "work-here" / "lease.json").exists()


# -- before a repetition --------------------------------------------------------------------------


@pytest.mark.slow
def test_repetitions_begin_as_warm_as_the_first_one_did(campaign, lab, suite, pi):
    """The workload warms the board by 12 C, and the board cools while the host waits."""
    zone = pi.zones["cpu-thermal"]
    done = threading.Event()

    def cool() -> None:
        while not done.wait(0.05):
            value = int(zone.read_text() or 45000)
            if value > 45000:
                # In one piece, as sysfs reads: a gate that met the file while it was empty would not judge.
                (pi.root / "cooler").write_text(str(max(45000, value - 150)))
                (pi.root / "cooler").replace(zone)

    thread = threading.Thread(target=cool)
    thread.start()
    try:
        file = lab("pi", extra=f'{BARE}simulated_root = "{pi.root}"\ngates = "enforce"')
        ran = campaign(file, suite(0.2, blocks=3, files={str(zone): "57000"}))
    finally:
        done.set()
        thread.join()
    assert START_PATIENCE_S > 10
    assert any("start-temp" in line and "repetitions begin at" in line for line in ran.notes)
    starts = [record.conditions.temp_start_c for record in ran.reader.repetitions]
    assert len(starts) == 3
    assert max(starts) - starts[0] <= 3.5
    assert not any("start-temp" in codes(record) for record in ran.reader.repetitions)


def test_a_governor_that_changed_in_mid_campaign_degrades_what_was_measured(campaign, lab, suite, pi):
    governor = pi.root / "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
    ran = campaign(
        lab("pi", extra=f'{BARE}simulated_root = "{pi.root}"'), suite(0.1, files={str(governor): "ondemand"})
    )
    (record,) = ran.reader.repetitions
    (reason,) = [reason for reason in record.reasons if reason.code == "environment-changed"]
    assert "os.governor: performance -> ondemand" in reason.message
    assert "ondemand" in str(summarise(ran.reader).environment[0].changed)
