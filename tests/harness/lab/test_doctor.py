"""tunebench doctor: what a board can be measured with, what would give it the rest, and bundles."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from tunebench.harness.cli.doctor import doctor
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.errors import UsageError
from tunebench.harness.lab.doctor import (
    Diagnosis,
    DoctorCheck,
    _counters,
    _how_far,
    _summary,
    _survival,
    examine_all,
    exit_code,
    make_bundle,
    text,
)
from tunebench.harness.lab.permissions import fixes
from tunebench.targets.agent.doctor.permissions import SCHEMA
from tunebench.targets.client.examination import read_examination
from tunebench.targets.client.replies import CaptureSummary, Probe, TrialEnd
from tunebench.targets.errors import HostKeyError, InterpreterError, ReplyError, UnreachableError

GOVERNOR = "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor"
#: Without site-packages, and so without torch: importing it takes longer than all the rest.
BARE = f'interpreter = ["{sys.executable}", "-S"]'
VCIO = {
    "path": "/dev/vcio",
    "what": "vcgencmd: the Pi 5's power",
    "access": False,
    "group": "video",
    "member": False,
    "udev": None,
}


def reply(**more: Any) -> dict[str, Any]:
    """Return the reply of an account that is not root."""
    row = {
        "op": "governor",
        "keys": ["governor"],
        "asked": True,
        "available": True,
        "reason": None,
        "how": None,
        "commands": [["/usr/bin/tee", GOVERNOR]],
    }
    return {
        "schema": SCHEMA,
        "user": "anna",
        "groups": ["anna", "gpio"],
        "root_user": False,
        "sudo": True,
        "workdir": "/home/anna/.cache/tunebench",
        "devices": [VCIO],
        "tuning": [row],
        **more,
    }


@pytest.fixture
def orin(simulated: Any, lab: Callable[..., Path]) -> Any:
    """(tree, inventory) of a simulated Orin Nano."""
    tree = simulated("orin-nano-jp6")
    return tree, lab("orin", extra=f'{BARE}\nsimulated_root = "{tree}"')


def test_a_board_that_can_be_measured_says_with_what_and_what_stays_empty(orin):
    _, inventory = orin
    (diagnosis,) = examine_all(load_inventory(inventory).boards)
    assert exit_code([diagnosis]) == 0
    assert diagnosis.measurable
    assert diagnosis.model == "NVIDIA Jetson Orin Nano Developer Kit"
    assert {"vdd_in_w", "cpu_temp_c"} <= set(diagnosis.channels)
    assert "throttled" in diagnosis.empty
    states = {check.name: check.state for check in diagnosis.checks}
    assert list(states)[:6] == ["reachable", "host key", "login", "python", "workdir", "disk"]
    assert states.pop("interpreter") == "warn"
    assert "no torch" in next(check.message for check in diagnosis.checks if check.name == "interpreter")
    assert set(states.values()) == {"ok"}


def test_a_wish_that_cannot_be_had_is_a_warning_with_its_reason(simulated, lab):
    tree = simulated("orin-nano-jp6")
    inventory = lab("orin", extra=f'{BARE}\nsimulated_root = "{tree}"\n[board.tuning]\npower_mode = "TURBO"')
    (diagnosis,) = examine_all(load_inventory(inventory).boards)
    (wish,) = [check for check in diagnosis.checks if check.name == "tuning: power_mode"]
    assert wish.state == "warn"
    assert "no power mode 'TURBO'; this board has: 15W" in wish.message
    assert diagnosis.measurable


def test_a_package_that_dies_at_its_first_use_is_a_warning_that_names_the_step():
    died = TrialEnd(
        name="4-bit kernel", package="bitsandbytes", version="0.50.2", survived=["import"], died_in="quantize",
        reason="killed by SIGILL",
    )  # fmt: skip
    check = _survival(died)
    assert (check.name, check.state) == ("4-bit kernel", "warn")
    assert check.message == "bitsandbytes 0.50.2 dies in quantize: killed by SIGILL; it survived import"


@pytest.mark.slow
@pytest.mark.torch
def test_a_board_with_transformers_tells_that_it_survives_a_forward_and_a_backward(lab):
    pytest.importorskip("transformers")
    (diagnosis,) = examine_all(load_inventory(lab("here", extra=f'interpreter = "{sys.executable}"')).boards)
    (check,) = [check for check in diagnosis.checks if check.name == "transformers"]
    assert check.state == "ok", check.message
    assert "survives import, forward, backward" in check.message


def test_a_board_left_tuned_is_told(orin, tmp_path):
    _, inventory = orin
    (tmp_path / "work-orin").mkdir()
    (tmp_path / "work-orin" / "undo.json").write_text("{}")
    (diagnosis,) = examine_all(load_inventory(inventory).boards)
    assert "the next one puts it back" in next(
        check.message for check in diagnosis.checks if check.name == "undo list"
    )


def test_the_command_prints_json_and_exits_by_what_can_be_measured(capsys, orin):
    _, inventory = orin
    text = inventory.read_text() + '\n[[board]]\nid = "gone"\nkind = "linux"\nhost = "127.0.0.1"\nport = 1\n'
    inventory.write_text(text)
    with pytest.raises(typer.Exit) as ended:
        doctor(inventory, as_json=True)
    assert ended.value.exit_code == 3
    rows = {row["board_id"]: row for row in json.loads(capsys.readouterr().out)["boards"]}
    assert (rows["orin"]["measurable"], rows["gone"]["measurable"]) == (True, False)
    reached = {check["name"]: check["state"] for check in rows["gone"]["checks"]}
    assert reached["reachable"] == "fail"
    assert reached["python"] == "unknown"
    assert any(line.endswith(f"tee {GOVERNOR}") for row in rows["orin"]["tuning"] for line in row["sudoers"])
    with pytest.raises(UsageError, match="no board 'nobody'; there are: orin, gone"):
        doctor(inventory, board="nobody")


def test_none_that_can_be_measured_is_exit_code_4(lab, tmp_path):
    inventory = tmp_path / "gone.toml"
    inventory.write_text('[[board]]\nid = "gone"\nkind = "linux"\nhost = "127.0.0.1"\nport = 1\n')
    with pytest.raises(typer.Exit) as ended:
        doctor(inventory)
    assert ended.value.exit_code == 4


def test_a_failed_step_leaves_those_before_it_ok_and_those_behind_it_unknown():
    def states(error: Exception) -> list[str]:
        return [check.state for check in _how_far(error)]  # type: ignore[arg-type]

    assert states(UnreachableError("x"))[0] == "fail"
    assert states(HostKeyError("changed")) == ["ok", "fail", "unknown", "unknown", "unknown"]
    assert states(InterpreterError("no python3")) == ["ok", "ok", "ok", "fail", "unknown"]


# -- rights ----------------------------------------------------------------------------------------


def test_missing_rights_are_shown_as_the_lines_that_grant_them():
    examination = read_examination(reply(), "pi")
    assert fixes(examination) == [
        "# in `sudo visudo -f /etc/sudoers.d/tunebench`:",
        f"anna ALL=(root) NOPASSWD: /usr/bin/tee {GOVERNOR}",
        "# vcgencmd: the Pi 5's power (then log in again):",
        "sudo usermod -aG video anna",
    ]


def test_rights_that_the_account_has_need_no_line():
    rows = [{**reply()["tuning"][0], "how": "sudo"}]
    devices = [{**VCIO, "access": True}]
    assert fixes(read_examination(reply(tuning=rows, devices=devices), "pi")) == []


@pytest.mark.parametrize(
    "command",
    [
        ["/bin/sh", "-c", "id"],
        ["/usr/bin/tee", "/etc/passwd"],
        ["/usr/bin/tee", "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor"],
        ["/usr/bin/tee", GOVERNOR, "/etc/shadow"],
        ["/home/anna/bin/nvpmodel", "-m", "0"],
        ["/usr/sbin/nvpmodel", "-m", "0\nanna ALL=(ALL) NOPASSWD: ALL"],
        ["/usr/bin/jetson_clocks", "--restore", "/home/anna/clocks"],
        ["ALL"],
    ],
)
def test_a_board_that_asks_for_more_than_tunebench_needs_is_not_believed(command):
    rows = [{**reply()["tuning"][0], "commands": [command]}]
    with pytest.raises(ReplyError, match="is nothing that needs root"):
        read_examination(reply(tuning=rows), "pi")


@pytest.mark.parametrize(
    "change", [{"user": "anna ALL"}, {"user": "a\nb"}, {"groups": "all"}, {"tuning": [1]}]
)
def test_a_malformed_examination_is_refused(change):
    with pytest.raises(ReplyError, match="pi: examine"):
        read_examination(reply(**change), "pi")


def test_a_rule_that_runs_something_else_is_refused():
    devices = [{**VCIO, "udev": 'KERNEL=="vcio", RUN+="/bin/sh evil"'}]
    with pytest.raises(ReplyError, match="no rule of ours"):
        read_examination(reply(devices=devices), "pi")


@pytest.mark.skipif(
    shutil.which("visudo", path="/usr/sbin:/sbin:/usr/bin") is None, reason="no visudo: install sudo"
)
def test_visudo_accepts_every_line(simulated, lab, tmp_path):
    tree = simulated("agx-orin-jp6")
    tree.write("proc/sys/vm/drop_caches", "0\n")
    inventory = lab("orin", extra=f'{BARE}\nsimulated_root = "{tree}"')
    (diagnosis,) = examine_all(load_inventory(inventory).boards)
    rights = diagnosis.examination
    people = [rights.model_copy(update={"user": name}) for name in ("anna", "LAB\\anna", "anna.b", "#1000")]
    lines = [line for person in people for row in person.tuning for line in person.sudoers(row)]
    assert {row.op for row in rights.tuning if row.available} == {
        "power_mode",
        "governor",
        "frequency",
        "jetson_clocks",
        "drop_caches",
    }
    path = tmp_path / "sudoers"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o440)
    visudo = shutil.which("visudo", path="/usr/sbin:/sbin:/usr/bin")
    done = subprocess.run([visudo, "-cf", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_board_s_text_cannot_drive_the_terminal():
    diagnosis = Diagnosis("pi", "linux", _how_far(UnreachableError("\x1b[2J\x07gone")))
    assert "\x1b" not in text(diagnosis)
    assert "\x07" not in text(diagnosis)
    assert diagnosis.checks[0] == DoctorCheck("reachable", "fail", r"\x1b[2J\x07gone")


def test_a_board_s_text_cannot_pass_for_lines_of_the_diagnosis():
    diagnosis = Diagnosis(
        "pi", "linux", _how_far(UnreachableError("gone\n  ok      disk  \u202e" + "x" * 2000))
    )
    message = diagnosis.checks[0].message
    assert message.startswith(r"gone\n  ok      disk  \u202exxx")
    assert len(message) < 1100


# -- bundles ---------------------------------------------------------------------------------------


def test_a_bundle_unpacked_is_a_simulated_board_with_the_same_channels(orin, lab, tmp_path):
    tree, inventory = orin
    tree.write("etc/hostname", "secret-lab-7\n")
    tree.write("proc/cmdline", "console=ttyTCU0,115200 root=PARTUUID=738a4d67-02 secret-lab-7\n")
    (original,) = examine_all(load_inventory(inventory).boards)
    summary = make_bundle(load_inventory(inventory).boards[0], tmp_path / "out.zip")
    assert summary["programs"] == ["nvpmodel_-q.json"]
    assert summary["areas"]["sys/class/hwmon"] > 10
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert not any(b"secret-lab-7" in archive.read(name) for name in archive.namelist())
        archive.extractall(tmp_path / "unpacked")
    again = lab("copy", extra=f'{BARE}\nsimulated_root = "unpacked"')
    (copy,) = examine_all(load_inventory(again).boards)
    assert copy.measurable
    assert copy.model == original.model
    assert {"vdd_in_w", "vdd_soc_w", "cpu_temp_c", "gpu_temp_c"} <= set(copy.channels)
    assert copy.channels == original.channels
    assert copy.empty == original.empty
    assert json.loads((tmp_path / "unpacked" / "bundle.json").read_text()) == summary


@pytest.mark.slow
def test_the_command_writes_a_bundle_and_shows_what_is_in_it(cli, orin, tmp_path):
    _, inventory = orin
    done = cli("doctor", "orin", "--inventory", str(inventory), "--bundle", "out.zip")
    assert done.returncode == 0, done.stderr
    assert "out.zip: " in done.stdout
    assert "answers of programs: nvpmodel_-q.json" in done.stdout
    assert zipfile.is_zipfile(tmp_path / "out.zip")
    missing = cli("doctor", "orin", "--inventory", str(inventory), "--bundle", "no/such/folder/out.zip")
    assert missing.returncode == 2
    assert "cannot be written" in missing.stderr


def test_a_bundle_is_of_one_board(lab, tmp_path):
    with pytest.raises(UsageError, match="name it; there are: one, two"):
        doctor(lab("one", "two"), bundle=tmp_path / "out.zip")


@pytest.mark.parametrize("name", ["home/anna/.ssh/id_ed25519", "bundle.json", "sys/bundle.json"])
def test_a_bundle_with_a_file_from_elsewhere_is_refused(name):
    with pytest.raises(ReplyError, match="no place of ours"):
        _summary(CaptureSummary(), {name: b""}, "pi")


@pytest.mark.parametrize(
    ("probe", "line"),
    [
        (Probe(pmu=["instructions", "cycles"]), ("ok", "yes: instructions, cycles")),
        (
            Probe(missing={"instructions": "perf_event_paranoid is 4, ...; `sudo sysctl x=2` allows it"}),
            ("warn", "no: perf_event_paranoid is 4, ...; `sudo sysctl x=2` allows it"),
        ),
        (Probe(missing={"instructions": "no PMU counts instructions here (ENOENT)"}), None),
        (Probe(), None),
    ],
    ids=["counted", "a command allows it", "no PMU: stands under what stays empty", "an older agent"],
)
def test_the_doctor_says_whether_instructions_are_counted(probe, line):
    checks = _counters(probe)
    assert [(check.state, check.message) for check in checks] == ([line] if line else [])
