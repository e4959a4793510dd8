"""A bundle holds what a board measures with and nothing that tells its owner; unpacked, it is a simulated board."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.boards import trees
from tunebench.targets.agent.doctor import bundle
from tunebench.targets.agent.doctor.redact import Redactor
from tunebench.targets.agent.health import counters
from tunebench.targets.agent.sensors.discover import discover
from tunebench.targets.errors import ReplyError

BOARDS = [
    *("tx2-jp4", "xavier-nx-jp4", "xavier-nx-jp5", "agx-xavier-jp4"),
    *("orin-nx-jp6", "agx-orin-jp6", "pi-5", "pi-4", "pi-3", "zero-2-w"),
]

SECRETS = {
    "serial number": "10000000a1b2c3d4",
    "decimal serial number": "1421922012345",
    "MAC address": "b8:27:eb:12:34:56",
    "MAC address with dashes": "DC-A6-32-AB-CD-EF",
    "IPv4 address": "192.168.17.23",
    "IPv6 address": "fe80::ba27:ebff:fe12:3456",
    "whole IPv6 address": "2001:db8:85a3:8d3:1319:8a2e:370:7348",
    "host name": "pilz-labor-7",
    "user name": "anneliese",
    "full name": "Musterfrau",
    "disk's id": "738a4d67-02",
    "UUID": "6f1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9",
    "machine id": "4c4c45440043471080574ac04f4b3332",
    "token": "ghp_Abcdefgh1234567890ABCDEFGHijkl",
    "password": "hunter2secret",
    "mail address": "anneliese@example.org",
}


def plant(tree: Any) -> None:
    """Put every secret where a real board might have it."""
    tree.write("etc/hostname", "pilz-labor-7\n")
    tree.write("etc/hosts", "127.0.1.1 pilz-labor-7.example.org pilz-labor-7\n")
    tree.write("etc/passwd", "anneliese:x:1000:1000:Anneliese Musterfrau,,,:/home/anneliese:/bin/bash\n")
    tree.write("etc/machine-id", "4c4c45440043471080574ac04f4b3332\n")
    tree.write("proc/device-tree/serial-number", "10000000a1b2c3d4\0")
    with (tree.root / "proc/cpuinfo").open("a") as file:
        file.write("Revision\t: c04170\nSerial\t\t: 10000000a1b2c3d4\nModel\t\t: Raspberry Pi 5\n")
    tree.write(
        "proc/cmdline",
        "console=serial0,115200 root=PARTUUID=738a4d67-02 smsc95xx.macaddr=b8:27:eb:12:34:56 rootwait quiet "
        "ip=192.168.17.23::192.168.17.1:255.255.255.0:pilz-labor-7 board.password=hunter2secret hunter2secret "
        "systemd.hostname=pilz-labor-7 cma=64M cgroup_disable=memory androidboot.serialno=1421922012345\n",
    )
    with (tree.root / "etc/os-release").open("a") as file:
        file.write(
            'MACHINE_ID="4c4c45440043471080574ac04f4b3332"\nHOME_URL="https://anneliese@example.org"\n'
        )
    tree.write("proc/version", "Linux version 6.12 (anneliese@pilz-labor-7)\n")
    tree.write("sys/class/hwmon/hwmon7/name", "nvme\n")
    tree.write("sys/class/hwmon/hwmon7/serial", "10000000a1b2c3d4\n")
    tree.write("sys/class/hwmon/hwmon7/uevent", "MAC=b8:27:eb:12:34:56\n")
    tree.write("sys/class/hwmon/hwmon7/temp1_label", "dc-a6 DC-A6-32-AB-CD-EF Composite\n")
    words = " ".join(SECRETS.values())
    tree.command(
        ["vcgencmd", "measure_temp"], f"temp=48.3'C /home/anneliese/x {words} token={SECRETS['token']}\n"
    )
    tree.command(
        ["vcgencmd", "version"],
        "2025/05/08 15:13:17 \nversion 69471177abcdef0123456789abcdef0123456789 (r)\n",
    )
    tree.command(["nvpmodel", "-q"], "NV Power Mode: MAXN\n0\nuser: anneliese host PILZ-LABOR-7\n")


def unpacked(files: dict[str, bytes], folder: Path) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(files, summary) of a Pi 5 that is full of secrets."""
    tree = trees.BOARDS["pi-5"](tmp_path_factory.mktemp("planted") / "tree")
    plant(tree)
    return bundle.collect(str(tree))


@pytest.mark.parametrize("what", SECRETS)
def test_no_secret_is_in_a_bundle(planted, what):
    files, _ = planted
    secret = SECRETS[what].lower()
    for name, content in files.items():
        assert secret not in name.lower()
        assert secret not in content.decode().lower(), name


def test_what_says_how_a_board_measures_stays(planted):
    files, summary = planted
    cmdline = files["proc/cmdline"].decode().split()
    assert {"console=serial0,115200", "cma=64M", "cgroup_disable=memory", "quiet", "rootwait"} <= set(cmdline)
    assert "root=REDACTED" in cmdline
    assert files["proc/device-tree/model"] == b"Raspberry Pi 5 Model B Rev 1.0\0"
    assert files["proc/device-tree/compatible"].startswith(b"raspberrypi,5-model-b\0brcm,bcm2712")
    assert b"Revision\t: c04170" in files["proc/cpuinfo"]
    version = json.loads(files[".commands/vcgencmd_version.json"])["out"]
    assert "2025/05/08 15:13:17" in version
    assert "version 69471177abcdef0123456789abcdef0123456789" in version
    assert json.loads(files[".commands/vcgencmd_measure_temp.json"])["out"].startswith("temp=48.3'C")
    assert summary["redacted"]["serial"] == 1
    assert summary["redacted"]["mac"] >= 1


@pytest.mark.parametrize(
    "text",
    [
        "cpu-thermal",
        "262143328850123",
        "15:13:17",
        "4.9.253-tegra",
        "RAM 534/3964MB (lfb 1x512kB) CPU [5%@1479,off] POM_5V_IN 1022/1022",
        "17000000.gpu 0000:01:00.0 /sys/devices/17000000.gpu",
        "nvidia,p3768-0000+p3767-0005-super",
        "1510400 1497600 1420800",
        "in_power0_input VDD_CPU_GPU_CV",
    ],
)
def test_what_a_sensor_says_is_left_as_it_is(tmp_path, text):
    assert Redactor(str(tmp_path)).attribute(text) == text


def probed(root: Any) -> Any:
    discovery = discover(str(root))
    channels = [channel._asdict() for sensor in discovery.sensors for channel in sensor.channels]
    values = [sensor.read() for sensor in discovery.sensors]
    signs = {name: value for name, value in counters.read(str(root)).items() if not name.endswith("_ns")}
    return channels, values, discovery.missing, signs


@pytest.mark.parametrize(
    "board", ["orin-nano-jp6", "nano-jp4", *(pytest.param(name, marks=pytest.mark.slow) for name in BOARDS)]
)
def test_an_unpacked_bundle_measures_as_the_board_did(simulated, tmp_path, board):
    tree = simulated(board)
    plant_nothing = probed(tree)
    files, summary = bundle.collect(str(tree))
    copy = unpacked(files, tmp_path / "copy")
    assert probed(copy) == plant_nothing
    assert any(channel["kind"] == "temperature" for channel in plant_nothing[0])
    assert summary["left_out"] == []
    again, _ = bundle.collect(str(copy))
    assert again == files


def test_what_cannot_be_read_is_listed_with_its_reason(simulated, monkeypatch):
    tree = simulated("orin-nano-jp6")
    tree.block(tree.zones["gpu-thermal"])
    tree.write("sys/class/thermal/thermal_zone0/huge", "x" * (bundle.MAX_FILE_B + 1))
    (tree.root / "sys/class/thermal/thermal_zone0/bytes").write_bytes(b"\xff\xfe\x00")
    (tree.root / "sys/class/thermal/thermal_zone0/away").symlink_to("/etc/passwd")
    (tree.root / "sys/class/thermal/thermal_zone0/emul_temp").write_text("")
    (tree.root / "sys/class/thermal/thermal_zone0/emul_temp").chmod(0o200)
    _, summary = bundle.collect(str(tree))
    reasons = {entry["name"].rpartition("/")[2]: entry["reason"] for entry in summary["left_out"]}
    assert reasons == {
        "temp": "no regular file",
        "huge": "larger than 65536 bytes",
        "bytes": "no text",
        "away": "leads out of the simulated board",
    }


def test_a_file_that_never_answers_is_left_out_in_time(simulated, monkeypatch):
    tree = simulated("pi-4")
    never = threading.Event()
    read = os.read

    def hanging(descriptor: int, size: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("thermal_zone0/temp"):
            never.wait(10)
        return read(descriptor, size)

    monkeypatch.setattr(bundle, "READ_S", 0.1)
    monkeypatch.setattr(os, "read", hanging)
    files, summary = bundle.collect(str(tree))
    never.set()
    assert [entry["reason"] for entry in summary["left_out"]] == ["no answer within 0.1 s"]
    assert "sys/class/thermal/thermal_zone0/type" in files


def test_a_bundle_is_bounded(simulated, monkeypatch):
    monkeypatch.setattr(bundle, "MAX_FILES", 20)
    files, summary = bundle.collect(str(simulated("orin-nano-jp6")))
    assert len([name for name in files if not name.startswith(".commands")]) == 20
    assert {entry["reason"] for entry in summary["left_out"]} == {"the bundle is full"}


def test_only_commands_that_change_nothing_are_run(simulated):
    tree = simulated("orin-nano-jp6")
    before = {path: path.read_bytes() for path in tree.root.rglob("*") if path.is_file()}
    files, _ = bundle.collect(str(tree))
    assert [name for name in files if name.startswith(".commands")] == [".commands/nvpmodel_-q.json"]
    assert {path: path.read_bytes() for path in tree.root.rglob("*") if path.is_file()} == before


def test_a_stream_is_a_few_lines_that_are_replayed(simulated, tmp_path):
    tree = simulated("nano-jp4")
    argv = list(bundle.STREAMS[0])
    tree.command(argv, "RAM 1/2MB POM_5V_IN 1000/1000\n" * 50)
    files, _ = bundle.collect(str(tree))
    said = json.loads(files[f".commands/{'_'.join(argv)}.json"])
    assert said["argv"] == argv
    assert said["out"].count("\n") == bundle.MAX_STREAM_LINES


def test_a_bundle_comes_over_ssh_verified(make_board, simulated):
    tree = simulated("pi-5")
    plant(tree)
    summary, files = make_board(root=str(tree)).bundle()
    assert sum(summary.redacted.values()) > 0
    assert files["sys/class/thermal/thermal_zone0/temp"] == b"48312\n"
    assert not any(SECRETS["serial number"].encode() in content for content in files.values())


def test_a_bundle_without_secrets_is_collected_on_python_3_6(make_board, simulated, python36):
    tree = simulated("orin-nano-jp6")
    plant(tree)
    board = make_board(root=str(tree), python=python36)
    _, files = board.bundle()
    assert files["etc/nvpmodel.conf"].startswith(b"< POWER_MODEL ID=0 NAME=15W >")
    assert not any(SECRETS["host name"].encode() in content for content in files.values())
    assert [row.op for row in board.examine({}).tuning if row.available] == [
        "power_mode",
        "governor",
        "frequency",
        "jetson_clocks",
    ]


def test_a_bundle_that_announces_too_much_is_refused(make_board, monkeypatch, simulated):
    board = make_board(root=str(simulated("pi-4")))
    monkeypatch.setattr(bundle, "MAX_TOTAL_B", 1)
    monkeypatch.setattr(bundle, "MAX_FILES", 1)
    with pytest.raises(ReplyError, match=r"bundle of .* bytes, at most"):
        board.bundle()


def test_the_account_s_rights_come_over_ssh(make_board, simulated):
    tree = simulated("orin-nano-jp6")
    tree.write("dev/gpiochip0", "")
    examination = make_board(root=str(tree)).examine({"governor": "warp"})
    rows = {row.op: row for row in examination.tuning}
    assert rows["governor"].asked is True
    assert "'warp' is not offered" in rows["governor"].reason
    assert rows["drop_caches"].available is False
    (device,) = [device for device in examination.devices if device.path == "/dev/gpiochip0"]
    assert device.group == "gpio"
    assert 'GROUP="gpio"' in device.udev
