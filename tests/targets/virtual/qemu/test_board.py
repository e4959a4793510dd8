"""The emulated Raspberry Pi, for real: built, booted, measured over SSH, rebooted and cut off in mid-campaign.

Marked ``emulated``: minutes, two cores, 0.7 GB; .ci/run has a part for it (``make emulated``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tunebench.harness.config.suite.built_in import built_in_file
from tunebench.harness.errors import EXIT_PARTIAL
from tunebench.harness.planning.attempts import REBOOTED
from tunebench.reports.results import RunReader
from tunebench.targets.errors import TargetError
from tunebench.targets.transport.ssh import Ssh
from tunebench.targets.virtual.qemu.machine import EmulatedBoard

#: No command takes longer, the build in the first test's set-up included: what hangs fails here, and by its name.
COMMAND_S = 800.0
TEST_S = 900.0
pytestmark = [pytest.mark.emulated, pytest.mark.timeout(TEST_S)]

#: Waits on the board until a workload runs, 500 s and more: on a busy machine QEMU took longer than 150 s to get there.
WAIT_FOR_A_JOB_S = 600.0
#: Longer than the first pauses between two attempts to connect.
LINK_DOWN_S = 8.0
WAIT_FOR_A_JOB = (
    "for i in $(seq 1000); do for job in ~/.cache/tunebench/jobs/*/; do"
    ' if [ -e "$job/spawned.json" ] && [ ! -e "$job/exit.json" ]; then {then} exit 0; fi;'
    " done; sleep 0.5; done; exit 1"
)

#: Repetitions of 16 and 24 s under QEMU, of data that ship with the package: a reboot surely meets one.
LONG_SUITE = """
[suite]
name = "long"
blocks = 1
epochs = 80
aa = false
instrumented = false
deadline_s = 600

[[workload]]
dataset = "digits"
model = "mlp"
engine = "native"
methods = ["ft-all", "lora-all"]
"""

#: On the card, where they arrive in no time.
RUNTIMES = ("onnxruntime", "ncnn", "litert")
WITH_RUNTIMES = tuple(word for name in RUNTIMES for word in ("--runtime", name))
#: A network of 10,000 weights, in every runtime that has a wheel for the board, and in two that have none.
RUNTIMES_SUITE = """
[suite]
name = "arm-runtimes"
baseline = "float"
blocks = 1
aa = false
deadline_s = 600

[compress]
source_steps = 20
tune = { epochs = 2, batch = 20 }
calls = 20

[[transform]]
id = "int8"
kind = "quantize"
how = "static"
"""
ROW = """
[[workload]]
dataset = "digits"
model = "cnn"
runtime = "{runtime}"
chains = {{ {chains} }}
"""


def tell(line: str) -> None:
    """Progress, visible with ``-s`` and in a failure's output."""
    print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)


class Pi:
    """The board under test and the command line that a user would type."""

    def __init__(self, folder: Path, board: EmulatedBoard) -> None:
        self.folder = folder
        self.board = board
        self.lab = folder / "lab.toml"

    def tunebench(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``tunebench WORDS``; what it says is shown."""
        command = [sys.executable, "-m", "tunebench", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
        tell(f"tunebench {' '.join(map(str, words))}: exit {done.returncode}\n{done.stderr}{done.stdout}")
        assert not check or done.returncode == 0, done.stderr
        return done

    def up(self, *options: str) -> None:
        self.tunebench(
            *("emulate", "raspi3b", "up", "--name", "pi3-emulated", "--state", str(self.board.folder)),
            *("--inventory-out", str(self.lab), *WITH_RUNTIMES, *options),
        )

    def run(self, suite: str | Path, out: Path, lab: Path | None = None) -> subprocess.CompletedProcess[str]:
        return self.tunebench("run", "-i", lab or self.lab, "-s", str(suite), "-o", str(out), check=False)

    def lab_over(self, port: int, folder: Path) -> Path:
        """The inventory of the same board behind another port, its host key pinned for that one."""
        own = self.board.state().port
        known = folder / "known_hosts"
        known.write_text(self.board.known_hosts.read_text().replace(f"]:{own} ", f"]:{port} "))
        text = self.lab.read_text().replace(f"port = {own}\n", f"port = {port}\n")
        lab = folder / "lab.toml"
        lab.write_text(text.replace(str(self.board.known_hosts), str(known)))
        return lab

    def ask(self, script: str, timeout_s: float = 60.0) -> str:
        """Run a shell script on the board."""
        state = self.board.state()
        assert state is not None
        with Ssh(self.board.endpoint(state)) as ssh:
            return ssh.run(["sh", "-c", script], timeout_s=timeout_s).stdout.decode()


@pytest.fixture(scope="module")
def pi(tmp_path_factory):
    """An emulated Pi with a fresh card that has the runtimes; the image is built if it is not there."""
    folder = tmp_path_factory.mktemp("pi")
    made = Pi(folder, EmulatedBoard(folder / "state", "pi3-emulated"))
    built = made.tunebench("emulate", "raspi3b", "build", *WITH_RUNTIMES, check=False)
    if built.returncode:
        pytest.fail(f"no image, and it cannot be built here: {built.stderr}", pytrace=False)
    try:
        made.up()
        yield made
    finally:
        made.board.down(tell, hard=True)


def only_run(out: Path) -> RunReader:
    """The one run below a results root."""
    (plan,) = out.glob("**/plan.json")
    return RunReader(plan.parent)


def test_the_board_is_a_raspberry_pi_3b_as_far_as_it_can_tell(pi):
    status = json.loads(
        pi.tunebench(
            "emulate",
            "raspi3b",
            "status",
            "--json",
            "--name",
            "pi3-emulated",
            "--state",
            str(pi.board.folder),
        ).stdout
    )
    assert status["up"] is True
    rows = json.loads(pi.tunebench("boards", "-i", pi.lab, "--json").stdout)
    assert "Raspberry Pi 3 Model B" in json.dumps(rows)
    assert pi.ask("uname -m; id -un").split() == ["aarch64", "bench"]
    # Nothing of the harness needs root; what the account may do as root is to switch the board off and on.
    assert pi.ask("sudo -n id 2>&1; echo $?").split()[-1] == "1"


def test_five_methods_run_on_it_over_ssh_and_the_report_says_that_its_times_are_not_a_boards(pi, tmp_path):
    suite = tmp_path / "emulated.toml"
    with built_in_file("emulated") as shipped:
        text = shipped.read_text()
    if not os.environ.get("TUNEBENCH_DATA"):
        text = text.replace("har-hapt", "digits")
        tell("TUNEBENCH_DATA is not set: digits, which ship with the package, instead of HAR")
    suite.write_text(text)
    out = tmp_path / "out"
    done = pi.run(suite, out)
    assert done.returncode == 0, done.stderr
    reader = only_run(out)
    assert reader.manifest is not None
    assert reader.verify() == []
    timed = [repetition for repetition in reader.repetitions if repetition.role == "timed"]
    assert sorted(repetition.method for repetition in timed) == [
        "ft-all",
        "lora-all",
        "lora-last",
        "skip-lora",
        "skip2-lora",
    ]
    for repetition in reader.repetitions:
        assert repetition.outcome == "ok", repetition.outcome_reason
        assert repetition.board_model == "Raspberry Pi 3 Model B"
        assert repetition.emulated is True
        assert repetition.engine_build == "cortex-a53"
        assert repetition.ssh_channels <= 6
        assert repetition.energy is None
        for what in ("power", "energy"):
            assert repetition.missing[what].startswith("no power sensor: ")
        assert 0 < repetition.conditions.temp_start_c < 100
        assert [(reason.code) for reason in repetition.reasons if reason.code == "emulated"]
        assert repetition.verdict == "degraded"
    for repetition in timed:
        assert repetition.wall_s > 0
        assert repetition.quality.after > 0.5
        assert repetition.params["epochs"] == 5
    channels = {channel["kind"] for channel in reader.env("pi3-emulated", "before").channels}
    assert "temperature" in channels
    assert "power" not in channels
    html = tmp_path / "report.html"
    pi.tunebench("report", str(reader.path), "--html", str(html))
    page = html.read_text()
    assert "Raspberry Pi 3 Model B" in page
    assert "times are the emulator" in page


@pytest.mark.torch
def test_compressed_networks_run_in_each_runtime_as_their_float_parents_and_what_it_lacks_is_left_out(
    pi, tmp_path
):
    suite = tmp_path / "runtimes.toml"
    chains = dict.fromkeys(("executorch", "torch"), '"float" = ["tune"]')
    chains |= dict.fromkeys(RUNTIMES, '"float" = ["tune"], "int8" = ["tune", "int8"]')
    suite.write_text(
        RUNTIMES_SUITE + "".join(ROW.format(runtime=name, chains=given) for name, given in chains.items())
    )
    done = pi.run(suite, tmp_path / "out")
    assert done.returncode == EXIT_PARTIAL, done.stderr  # a board without torch lacks the last row
    reader = only_run(tmp_path / "out")
    assert reader.verify() == []
    reasons = {skip.task: skip.reason for skip in reader.manifest.skipped}
    assert "libtorch_python.so" in reasons.pop("digits/cnn [executorch x1]")
    assert "has no usable torch" in reasons.pop("digits/cnn [torch x1]")
    assert reasons == {}
    accuracies = {}
    for repetition in reader.repetitions:
        assert repetition.outcome == "ok", repetition.outcome_reason
        assert repetition.board_model == "Raspberry Pi 3 Model B"
        inference = repetition.inference
        accuracies[inference.runtime, repetition.label] = repetition.quality.after
        assert inference.peak_rss_b < 128 << 20
        if repetition.label == "int8":
            # Against the float parent that the same runtime ran on the same board.
            assert inference.parent_agreement > 0.9
            assert inference.parent_max_difference > 0
            assert inference.model_b < 0.5 * inference.dense_b
            assert inference.claimed_node_share > 0.5
    assert accuracies.keys() == {(runtime, label) for runtime in RUNTIMES for label in ("float", "int8")}
    # The same weights everywhere: at most one of 447 test items is told otherwise.
    floats = [accuracy for (_, label), accuracy in accuracies.items() if label == "float"]
    assert max(floats) - min(floats) < 1.5 / 447
    assert min(accuracies.values()) > 0.7


def check_complete(reader: RunReader) -> list[str]:
    """Every slot of the plan is measured exactly once; returns why each lost attempt was lost."""
    assert reader.manifest is not None
    assert reader.verify() == []
    ids = [repetition.rep_id for repetition in reader.repetitions]
    assert len(ids) == len(set(ids))
    planned = {
        entry["rep_id"]: (entry["block"], entry["slot"], entry["role"])
        for entry in reader.plan["repetitions"]
    }
    measured = [repetition for repetition in reader.repetitions if repetition.outcome == "ok"]
    assert sorted((repetition.block, repetition.slot, repetition.role) for repetition in measured) == sorted(
        planned.values()
    )
    lost = [repetition for repetition in reader.repetitions if repetition.outcome != "ok"]
    for repetition in lost:
        assert (repetition.outcome, repetition.attempt, repetition.wall_s, repetition.verdict) == (
            "lost",
            1,
            None,
            "invalid",
        )
        assert repetition.rep_id in planned
        assert f"{repetition.rep_id}.try2" in ids
    return [repetition.outcome_reason for repetition in lost]


def test_a_reboot_in_mid_campaign_costs_one_attempt_and_the_campaign_ends_complete(pi, tmp_path):
    suite = tmp_path / "long.toml"
    suite.write_text(LONG_SUITE)
    boot_id = pi.ask("cat /proc/sys/kernel/random/boot_id")

    def reboot() -> None:
        try:
            pi.ask(WAIT_FOR_A_JOB.replace("{then}", "sudo -n /usr/sbin/reboot;"), timeout_s=WAIT_FOR_A_JOB_S)
        except TargetError as error:
            tell(f"the link broke while it rebooted, as it should: {error}")

    rebooter = threading.Thread(target=reboot)
    rebooter.start()
    done = pi.run(suite, tmp_path / "out")
    rebooter.join()
    assert pi.ask("cat /proc/sys/kernel/random/boot_id") != boot_id
    assert done.returncode == 0, done.stderr
    reader = only_run(tmp_path / "out")
    assert check_complete(reader) == [REBOOTED]


def test_a_power_cut_in_mid_campaign_costs_one_attempt_too_and_a_second_run_uploads_nothing(pi, tmp_path):
    suite = tmp_path / "long.toml"
    suite.write_text(LONG_SUITE)
    port = str(pi.board.state().port)

    def cut_power() -> None:
        pi.ask(WAIT_FOR_A_JOB.replace("{then}", ""), timeout_s=WAIT_FOR_A_JOB_S)
        time.sleep(1.0)
        pi.board.down(tell, hard=True)
        pi.up("--keep-disk", "--port", port)

    cutter = threading.Thread(target=cut_power)
    cutter.start()
    done = pi.run(suite, tmp_path / "out")
    cutter.join()
    assert done.returncode == 0, done.stderr
    reader = only_run(tmp_path / "out")
    assert "uploaded 0 bytes" in done.stderr  # what the campaign of the reboot has left there
    # The journal's first line is on the card before the workload starts: it tells the boot it belonged to.
    assert check_complete(reader) == [REBOOTED]


def test_a_link_that_is_cut_in_mid_campaign_costs_no_attempt(pi, tmp_path, make_proxy):
    suite = tmp_path / "long.toml"
    suite.write_text(LONG_SUITE.replace(', "lora-all"', ""))
    boot_id = pi.ask("cat /proc/sys/kernel/random/boot_id")
    link = make_proxy(pi.board.state().port)
    lab = pi.lab_over(link.port, tmp_path)
    listings: list[str] = []

    def cut() -> None:
        pi.ask(WAIT_FOR_A_JOB.replace("{then}", ""), timeout_s=WAIT_FOR_A_JOB_S)
        link.unplug()
        tell(f"the link is cut for {LINK_DOWN_S:g} s")
        listings.append(pi.ask("ls ~/.cache/tunebench/jobs"))  # by another way: the board itself is well
        time.sleep(LINK_DOWN_S)
        link.plug_in()

    cutter = threading.Thread(target=cut)
    cutter.start()
    done = pi.run(suite, tmp_path / "out", lab)
    cutter.join()
    assert len(listings) == 1
    assert done.returncode == 0, done.stderr
    assert "asking again: " in done.stderr
    assert check_complete(only_run(tmp_path / "out")) == []
    assert pi.ask("cat /proc/sys/kernel/random/boot_id") == boot_id


def test_powering_off_ends_the_process(pi):
    pid = pi.board.state().pid
    pi.tunebench("emulate", "raspi3b", "down", "--name", "pi3-emulated", "--state", str(pi.board.folder))
    assert pi.board.state() is None
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        state = "gone"
    assert state in ("gone", "Z"), state  # a container's first process may reap late
