"""What a board tells of itself: tiers and their hashes, power mode by name, swap, lease, interpreters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunebench.targets.agent import lease
from tunebench.targets.agent.environment import identity, interpreters, jetpack, probe
from tunebench.targets.agent.workdir import Workdir


def tree(root: Path, files: dict[str, str], commands: dict[str, str] | None = None) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for words, out in (commands or {}).items():
        path = root / ".commands" / (words.replace(" ", "_") + ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"argv": words.split(), "rc": 0, "out": out}))
    return str(root)


PI = {
    "proc/device-tree/model": "Raspberry Pi 3 Model B Rev 1.2\0",
    "proc/device-tree/compatible": "raspberrypi,3-model-b\0brcm,bcm2837\0",
    "proc/device-tree/serial-number": "00000000abcdef01\0",
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd aes crc32\nCPU implementer\t: 0x41\nCPU part\t: 0xd03\n",
    "proc/meminfo": "MemTotal:         936104 kB\n",
    "proc/swaps": "Filename Type Size Used Priority\n/dev/zram0 partition 1024 512 100\n/var/swap file 2048 0 -2\n",
    "etc/os-release": 'NAME="Debian"\nID=debian\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "sys/devices/system/cpu/possible": "0-3\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand\n",
}
ORIN = {
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0003\0nvidia,p3767-0003\0nvidia,tegra234\0",
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd atomics\nCPU part\t: 0xd42\n",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\nmore\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "schedutil\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_governor": "performance\n",
}


def ask(tmp_path: Path, files: dict[str, str], commands: dict[str, str] | None = None) -> dict:
    place = Workdir(str(tmp_path / "work"))
    os.makedirs(place.root)
    return probe.probe(place, {}, tree(tmp_path / "board", files, commands))


# -- who the board is -----------------------------------------------------------------------------


def test_a_raspberry_pi_is_known_by_its_device_tree(tmp_path):
    reply = ask(
        tmp_path,
        PI,
        {"vcgencmd version": "Aug 30 2024 19:17:39\nCopyright (c) 2012 Broadcom\nversion 2808 (clean)\n"},
    )
    hardware = reply["fingerprint"]["hardware"]
    assert hardware["model"] == "Raspberry Pi 3 Model B Rev 1.2"
    assert hardware["compatible"] == "raspberrypi,3-model-b brcm,bcm2837"
    assert (hardware["soc"], hardware["cores"], hardware["lse"]) == ("bcm2837", 4, False)
    assert hardware["cpu"] == "implementer 0x41 part 0xd03"
    assert hardware["ram_b"] == 936104 * 1024
    assert reply["fingerprint"]["os"]["pretty_name"] == "Debian GNU/Linux 12 (bookworm)"
    assert reply["fingerprint"]["firmware"]["l4t"] is None
    assert reply["fingerprint"]["firmware"]["vcgencmd"] == "Aug 30 2024 19:17:39 / version 2808 (clean)"
    assert (reply["governor"], reply["simulated"]) == ("ondemand", True)


def test_a_jetson_tells_its_jetpack_its_chip_and_its_clusters_governors(tmp_path):
    reply = ask(tmp_path, ORIN)
    firmware = reply["fingerprint"]["firmware"]
    assert (firmware["l4t"], firmware["jetpack"]) == ("36.4.3", "6.2")
    assert firmware["l4t_text"].startswith("R36 (release), REVISION: 4.3")
    assert reply["fingerprint"]["hardware"]["soc"] == "tegra234"
    assert reply["fingerprint"]["hardware"]["lse"] is True
    assert reply["fingerprint"]["hardware"]["ram_b"] is None
    assert reply["governor"] == "schedutil,performance"


@pytest.mark.parametrize(
    ("release", "revision", "version"),
    [
        (36, "5.0", "6.2.2"),
        (36, "5.2", "6.2.3"),
        (38, "2.0", "7.0"),
        (38, "2.1", "7.0"),
        (38, "4.0", "7.1"),
        (39, "2.0", "7.2"),
        (39, "2.1", "7.2.1"),
        (39, "3.0", None),
    ],
)
def test_the_jetpack_of_a_release_is_the_one_that_nvidia_published_with_it(release, revision, version):
    text = f"# R{release} (release), REVISION: {revision}, GCID: 45000000, BOARD: generic, EABI: aarch64\n"
    assert jetpack.jetpack(jetpack.release(text)) == version


def test_a_jetpack_that_is_not_listed_is_not_guessed():
    assert jetpack.jetpack("36.9.9") is None
    assert jetpack.jetpack(None) is None


def test_the_serial_number_is_told_only_as_a_hash(tmp_path):
    first = ask(tmp_path, PI)
    said = json.dumps(first)
    assert "abcdef01" not in said
    assert len(first["fingerprint"]["hardware"]["serial_sha256"]) == 64
    other = identity.hardware(
        tree(tmp_path / "b", {**PI, "proc/device-tree/serial-number": "00000000abcdef02\0"})
    )
    assert other["serial_sha256"] != first["fingerprint"]["hardware"]["serial_sha256"]
    nothing = identity.hardware(
        tree(tmp_path / "c", {**PI, "proc/device-tree/serial-number": "0000000000000000\0"})
    )
    assert nothing["serial_sha256"] is None


def test_each_tier_has_a_hash_that_only_its_own_change_moves(tmp_path):
    before = identity.hashes(identity.fingerprint(tree(tmp_path, PI), []))
    again = identity.hashes(identity.fingerprint(str(tmp_path), []))
    tree(tmp_path, {"etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n'})
    after = identity.hashes(identity.fingerprint(str(tmp_path), []))
    assert before == again
    assert {tier for tier in before if before[tier] != after[tier]} == {"os"}
    assert set(before) == {"hardware", "firmware", "os", "python"}


def test_the_workloads_torch_belongs_to_the_python_tier(tmp_path):
    without, with_torch = (
        identity.hashes(identity.fingerprint(str(tmp_path), [{"python": "3.11.2", "torch": torch}]))
        for torch in (None, "2.9.1")
    )
    assert without["python"] != with_torch["python"]


def test_what_vcgencmd_says_without_the_right_to_ask_is_no_version(tmp_path):
    reply = ask(tmp_path, PI, {"vcgencmd version": "Can't open device file: /dev/vcio_gencmd\n"})
    assert reply["fingerprint"]["firmware"]["vcgencmd"] is None


def test_an_empty_board_says_null_and_does_not_fail(tmp_path):
    reply = ask(tmp_path, {})
    assert reply["fingerprint"]["hardware"]["model"] is None
    assert (reply["governor"], reply["power_mode"], reply["swaps"], reply["mem_total_b"]) == (None,) * 4
    assert reply["power_mode_reason"] == "no program nvpmodel on this board"


# -- its state ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "name", "number"),
    [
        ("NV Power Mode: MAXN_SUPER\n2\n", "MAXN_SUPER", 2),
        (
            "NVPM VERB: Current mode: NV Power Mode: MAXP_CORE_ARM\n3\nNVPM VERB: PARAM CPU_ONLINE\n",
            "MAXP_CORE_ARM",
            3,
        ),
        ("2\n", "MAXN_SUPER", 2),
        ("7\n", None, 7),
    ],
)
def test_the_power_mode_is_told_by_name(tmp_path, out, name, number):
    reply = ask(tmp_path, ORIN, {"nvpmodel -q": out})
    assert (reply["power_mode"], reply["power_mode_id"]) == (name, number)
    assert (reply["power_mode_reason"] is None) == (name is not None)


def test_swap_into_memory_is_told_from_swap_to_a_disk(tmp_path):
    swaps = ask(tmp_path, PI)["swaps"]
    assert [(swap["name"], swap["zram"], swap["used_b"]) for swap in swaps] == [
        ("zram0", True, 512 * 1024),
        ("swap", False, 0),
    ]


def test_the_lease_holder_is_told_without_the_token(tmp_path):
    place = Workdir(str(tmp_path / "work"))
    os.makedirs(place.root)
    assert probe.probe(place, {}, str(tmp_path))["lease"] is None
    owner = {"user": "ann", "host": "desk", "pid": 7, "token": "secret"}
    lease.take(place, owner, "r1", 60.0)
    lease_state = probe.probe(place, {}, str(tmp_path))["lease"]
    assert lease_state["owner"] == {"user": "ann", "host": "desk", "pid": 7}
    assert (lease_state["rep_id"], 50 < lease_state["expires_in_s"] <= 60) == ("r1", True)


def test_changes_that_wait_to_be_taken_back_are_told(tmp_path):
    place = Workdir(str(tmp_path))
    assert probe.probe(place, {}, str(tmp_path))["undo_pending"] is False
    (tmp_path / "undo.json").write_text("{}")
    assert probe.probe(place, {}, str(tmp_path))["undo_pending"] is True


# -- interpreters ---------------------------------------------------------------------------------


def script(path: Path, text: str) -> str:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


def test_an_interpreter_that_hangs_is_given_up(tmp_path):
    answer = interpreters.interpreter([script(tmp_path / "python3", "exec sleep 30\n")], timeout_s=0.2)
    assert (answer["ok"], answer["reason"]) == (False, "no answer within 0.2 s")


def test_an_interpreter_that_prints_other_json_is_not_taken_for_an_answer(tmp_path):
    fake = script(tmp_path / "python3", "echo '[1]'\necho '{\"hello\": 1}'\n")
    assert interpreters.interpreter([fake])["ok"] is False


@pytest.mark.parametrize("how", ["exec", "shell"])
def test_a_torch_that_dies_by_sigill_is_told_so(tmp_path, how):
    # Answers that it started, as a real interpreter does before it imports torch, then dies as on a Cortex-A53.
    fake = (
        "import json, os, signal; print(json.dumps({'python': '3.11.2'}), flush=True);"
        "os.kill(os.getpid(), signal.SIGILL)"
    )
    prefix = "exec " if how == "exec" else ""
    suffix = "" if how == "exec" else "\nexit $?"
    wrapper = script(
        tmp_path / "fake-python-of-a-wrong-torch", f'{prefix}{sys.executable} -c "{fake}"{suffix}\n'
    )
    answer = interpreters.interpreter([wrapper])
    assert (answer["ok"], answer["sigill"], answer["torch"]) == (True, True, None)
    assert answer["reason"] == "SIGILL: this torch build does not run on this CPU"


def test_the_probe_runs_on_python_3_6(python36, tmp_path, payload):
    (tmp_path / "payload.zip").write_bytes(payload.read())
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); from tunebench.targets.agent import workdir; "
        "from tunebench.targets.agent.environment import probe; "
        "print(json.dumps(probe.probe(workdir.Workdir(sys.argv[2]), {'interpreters': [[sys.executable]]})))"
    )
    done = subprocess.run(
        [python36, "-I", "-S", "-c", code, str(tmp_path / "payload.zip"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["fingerprint"]["python"]["agent"].startswith("3.6.")


def test_a_half_removed_job_of_a_run_is_found_by_its_name(tmp_path):
    """The agent that removed it was killed when its job.json was gone already."""
    for name in ("run-1.here.0001", "run-10.here.0001", "other"):
        (tmp_path / "jobs" / name / "out").mkdir(parents=True)
    place = Workdir(str(tmp_path))
    jobs = probe.known_jobs(place, "run-1")
    assert [(job["rep_id"], job["run_id"], job["state"]) for job in jobs] == [
        ("run-1.here.0001", "run-1", "lost")
    ]
    assert len(probe.known_jobs(place, None)) == 3
