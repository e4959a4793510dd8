"""Every board, as a simulated tree: what is found on it, what it is worth, and what is missing and why."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

from tests.boards import trees
from tunebench.targets.agent.doctor import permissions
from tunebench.targets.agent.sensors import discover as discover_module
from tunebench.targets.agent.sensors import firmware, gpu, pmic, rapl, tegrastats, thermal, throttled
from tunebench.targets.agent.sensors.base import Channel, Device, Discovery, Sensor
from tunebench.targets.agent.sensors.discover import discover
from tunebench.targets.agent.workdir import Workdir

REPOSITORY = Path(__file__).parents[4]


@contextlib.contextmanager
def found_on(root):
    found = discover(str(root))
    yield found
    for sensor in found.sensors:
        sensor.close()


def values(found):
    return {
        channel.id: value
        for sensor in found.sensors
        for channel, value in zip(sensor.channels, sensor.read(), strict=True)
    }


def channels(found):
    return {channel.id: channel for sensor in found.sensors for channel in sensor.channels}


# -- what each board has ---------------------------------------------------------------------------

NX = {"vdd_in_w": 4.0, "vdd_cpu_gpu_cv_w": 1.0, "vdd_soc_w": 1.2}
TX2 = {"vdd_in_w": 3.04, "vdd_sys_gpu_w": 0.152, "vdd_sys_soc_w": 0.684, "vdd_4v0_wifi_w": 0.0}
XAVIER = {"gpu_w": 0.152, "cpu_w": 0.304, "soc_w": 0.912, "cv_w": 0.0, "vddrq_w": 0.608, "sys5v_w": 1.48}
THOR = {"vdd_gpu_w": 9.0, "vdd_cpu_soc_mss_w": 6.0, "vin_sys_5v0_w": 5.0}
AGX_ORIN = {"vdd_gpu_soc_w": 2.4, "vdd_cpu_cv_w": 0.8, "vin_sys_5v0_w": 4.0, "vddq_vdd2_1v8ao_w": 0.3}


@pytest.mark.parametrize(
    ("board", "powers", "total", "scope"),
    [
        (
            "nano-jp4",
            {"pom_5v_in_w": 2.0, "pom_5v_gpu_w": 0.24, "pom_5v_cpu_w": 0.6},
            "pom_5v_in_w",
            "board_input",
        ),
        ("tx2-jp4", {**TX2, "vdd_sys_cpu_w": 0.38, "vdd_sys_ddr_w": 0.836}, "vdd_in_w", "module"),
        ("xavier-nx-jp4", NX, "vdd_in_w", "module"),
        ("xavier-nx-jp5", NX, "vdd_in_w", "module"),
        ("agx-xavier-jp4", {"rails_sum_w": 3.456, **XAVIER}, "rails_sum_w", "rails_sum"),
        ("orin-nano-jp6", NX, "vdd_in_w", "module"),
        ("orin-nx-jp6", NX, "vdd_in_w", "module"),
        ("agx-orin-jp6", {"rails_sum_w": 7.2, **AGX_ORIN}, "rails_sum_w", "rails_sum"),
        ("agx-thor-jp7", {"vin_w": 30.0, **THOR}, "vin_w", "board_input"),
        ("pi-5", {"rails_sum_w": 2.5, "vdd_core_w": 1.0}, "rails_sum_w", "rails_sum"),
    ],
)
def test_power_rails_and_total_of_every_board(simulated, board, powers, total, scope):
    with found_on(simulated(board)) as found:
        power = {name: channel for name, channel in channels(found).items() if channel.kind == "power"}
        assert {name: value for name, value in values(found).items() if name in power} == pytest.approx(
            powers
        )
        assert next(iter(power)) == total
        assert power[total].scope == scope
        assert {channel.scope for name, channel in power.items() if name != total} == {"soc_rail"}
        assert all(channel.unit == "W" and channel.source and channel.rate_hz for channel in power.values())
        assert "power" not in found.missing


@pytest.mark.parametrize("board", ["pi-4", "pi-3", "zero-2-w"])
def test_older_pis_have_no_power_and_say_so(simulated, board):
    with found_on(simulated(board)) as found:
        assert not [channel for channel in channels(found).values() if channel.kind == "power"]
        assert "measures no current on board; an external meter does" in found.missing["power"]


JETSON = {
    "cpu_temp_c",
    "cpu_freq_hz",
    "gpu_freq_hz",
    "gpu_load",
    "cooling_state",
    "mem_available_b",
    "load_1m",
}
#: What a board of the table has not, and why: the GPU that sleeps, and whose load no file tells.
ABSENT = {"agx-thor-jp7": {"gpu_temp_c", "gpu_load"}}
PI = {"cpu_temp_c", "cpu_freq_hz", "cpu_clock_hz", "throttled", "undervoltage", "mem_available_b", "load_1m"}


def test_every_board_has_its_other_channels_and_names_what_is_missing(simulated):
    for board in trees.BOARDS:
        with found_on(simulated(board)) as found:
            is_pi, absent = board.startswith(("pi", "zero")), ABSENT.get(board, set())
            known, expected = values(found), (PI if is_pi else JETSON) - absent
            assert set(known) >= expected, board
            assert None not in [known[name] for name in expected], board
            assert set(found.missing) <= {"power", "throttled"} | absent, (board, found.missing)
            assert ("throttled" in found.missing) == (not is_pi)
            ids = [channel.id for sensor in found.sensors for channel in sensor.channels]
            assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        (
            "orin-nano-jp6",
            {"cpu_temp_c": 47.687, "gpu_temp_c": 48.625, "tj_temp_c": 48.625, "gpu_freq_hz": 612e6},
        ),
        ("nano-jp4", {"cpu_temp_c": 36.5, "gpu_temp_c": 36.0, "gpu_freq_hz": 921.6e6, "cpu_freq_hz": 1479e6}),
        ("tx2-jp4", {"cpu_temp_c": 37.5, "gpu_temp_c": 35.0}),
        ("pi-5", {"cpu_temp_c": 48.312, "cpu_clock_hz": 2400033024, "fan_rpm": 2950, "ext5v_v": 5.1}),
    ],
)
def test_temperatures_and_clocks_in_their_units(simulated, board, expected):
    with found_on(simulated(board)) as found:
        known = values(found)
        assert {name: known[name] for name in expected} == pytest.approx(expected)


def test_a_channel_says_how_its_chip_averages_and_how_fast_it_is(simulated):
    with found_on(simulated("orin-nano-jp6")) as found:
        channel = channels(found)["vdd_in_w"]
        assert channel.source == "ina3221 hwmon in1 x curr1, samples 1, update_interval 0"
        assert channel.quantum == pytest.approx(0.008 * 5.0)
        assert channel.rate_hz == pytest.approx(1 / (3 * 2 * 0.0066), rel=1e-3)  # three rails, two reads each
    with found_on(simulated("nano-jp4")) as found:
        channel = channels(found)["pom_5v_in_w"]
        assert channel.source == "ina3221x iio in_power0_input, running_mode 1 (continuous)"
        assert channel.rate_hz == pytest.approx(1 / (64 * 0.0066), rel=1e-3)
    with found_on(simulated("pi-5")) as found:
        assert "a lower bound" in channels(found)["rails_sum_w"].source


def test_the_zero_2_w_says_that_it_cannot_see_under_voltage(simulated):
    with found_on(simulated("zero-2-w")) as found:
        assert "this board detects no under-voltage" in channels(found)["throttled"].source


# -- what goes wrong on boards ---------------------------------------------------------------------


@pytest.mark.parametrize("board", ["orin-nano-jp6", "xavier-nx-jp5", "nano-jp4", "xavier-nx-jp4"])
def test_a_driver_at_another_bus_address_and_index_is_the_same_board(simulated, board):
    with found_on(simulated(board)) as here, found_on(simulated(board, "moved", bus=9, index=7)) as there:
        power = [name for name, channel in channels(here).items() if channel.kind == "power"]
        assert {name: values(there)[name] for name in power} == {name: values(here)[name] for name in power}


@pytest.mark.parametrize("board", ["nano-jp4", "orin-nano-jp6"])
def test_swapped_labels_refuse_every_rail_with_the_reason(simulated, board):
    labels = [rail.label for rail in (trees.NANO_RAILS if board == "nano-jp4" else trees.NX_RAILS)]
    rotated = [trees.Rail(label, 5000, ma) for label, ma in zip(labels, (640, 1784, 624), strict=True)]
    with found_on(simulated(board, rails=rotated)) as found:
        sensor = next(sensor for sensor in found.sensors if sensor.channels[0].kind == "power")
        assert sensor.read() == [None, None, None]
        assert sensor.refused
        assert f"{labels[1]} (8.920 W) is above the total {labels[0]} (3.200 W)" in sensor.reason


def test_more_than_a_supply_gives_is_refused_on_a_pi_5(simulated):
    with found_on(simulated("pi-5", rails={"VDD_CORE": (30.0, 0.9)}, supply_v=5.0)) as found:
        sensor = next(sensor for sensor in found.sensors if sensor.channels[0].kind == "power")
        assert sensor.read() == [None, None, 5.0]
        assert sensor.refused
        assert "more than 5 A at 5.00 V" in sensor.reason


def test_a_sensor_that_is_off_is_named_and_no_temperature(simulated):
    tree = simulated("orin-nano-jp6")
    for kind in ("gpu-thermal", "cpu-thermal"):
        tree.zones[kind].write_text("-256000\n")
    with found_on(tree) as found:
        known = values(found)
        assert known["gpu_temp_c"] is None  # it has a channel all the same: it may wake up
        assert known["cpu_temp_c"] == 48.625  # the highest of all that are on, and the source says so
        assert channels(found)["cpu_temp_c"].source == "thermal tj-thermal"
        assert found.missing["gpu_temp_c"] == "zone gpu-thermal: the sensor is off (-256 C)"
    for path in tree.zones.values():
        path.write_text("-256000\n")
    reason = thermal.discover(str(tree)).missing["temp_c"]
    assert "zone cpu-thermal: the sensor is off (-256 C)" in reason


def test_a_sensor_that_is_switched_off_later_is_null_with_the_reason(simulated):
    tree = simulated("orin-nano-jp6")
    sensor = thermal.discover(str(tree)).sensors[0]
    assert sensor.read() == [47.687]
    tree.zones["cpu-thermal"].write_text("-256000\n")
    assert (sensor.read(), sensor.reason) == ([None], "the sensor is off (-256 C)")


def test_a_power_chips_dummy_zone_is_never_the_cpus(simulated):
    tree = simulated("nano-jp4")
    for kind, path in tree.zones.items():
        if kind != "PMIC-Die":
            path.write_text("\n")
    found = thermal.discover(str(tree))
    assert not [channel for channel in channels(found).values() if "PMIC" in channel.source]
    assert set(values(found).values()) == {None}
    assert "zone CPU-therm: the file is empty" in found.missing["temp_c"]


@pytest.mark.parametrize(
    ("board", "rail", "quantity", "reason"),
    [
        ("orin-nano-jp6", "VDD_IN", "vdd_in_w", "no answer: the read would block"),
        ("nano-jp4", "POM_5V_IN", "pom_5v_in_w", "no answer: the read would block"),
        ("agx-orin-jp6", "VDD_CPU_CV", "vdd_cpu_cv_w", "no answer: the read would block"),
    ],
)
def test_a_rail_whose_read_blocks_is_named_and_no_total_is_made_without_it(
    simulated, board, rail, quantity, reason
):
    tree = simulated(board)
    tree.block(tree.power[rail][0])
    with found_on(tree) as found:
        assert found.missing[quantity] == reason
        assert f"rail {rail}: {reason}" in found.missing["power"]
        # What is left is shown, but it is not the board's power.
        assert {channel.scope for channel in channels(found).values() if channel.kind == "power"} == {None}


def test_a_zone_whose_read_blocks_leaves_the_others(simulated):
    tree = simulated("orin-nano-jp6")
    tree.block(tree.zones["gpu-thermal"])
    with found_on(tree) as found:
        assert "block" in found.missing["gpu_temp_c"]
        assert values(found)["cpu_temp_c"] == 47.687


@pytest.mark.slow
def test_a_firmware_that_does_not_answer_is_named(simulated):
    tree = simulated("pi-5")
    tree.command(["vcgencmd", "pmic_read_adc"], "", delay_s=60)
    reason = pmic.discover(str(tree)).missing["power"]
    assert "vcgencmd gave no answer within 1 s" in reason


def test_a_user_outside_group_video_learns_what_is_missing(simulated):
    tree = simulated("pi-5")
    said = "Can't open device file: /dev/vcio_gencmd\n"
    for words in (["pmic_read_adc"], ["measure_clock", "arm"], ["get_throttled"]):
        tree.command(["vcgencmd", *words], said, rc=255)
    with found_on(tree) as found:
        assert (
            "Can't open device file: /dev/vcio_gencmd (is the user in group video?)" in found.missing["power"]
        )
        assert "cpu_clock_hz" not in channels(found)
        assert values(found)["throttled"] == 0  # the file in sysfs is everybody's


_AS_NOBODY = """
import json, os, sys
sys.path.insert(0, sys.argv[2])
from tunebench.targets.agent.sensors.discover import discover
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(json.dumps(discover(sys.argv[1]).missing))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody who may not read")
@pytest.mark.parametrize(
    ("board", "rail", "quantity"),
    [("orin-nano-jp6", "VDD_IN", "vdd_in_w"), ("nano-jp4", "POM_5V_IN", "pom_5v_in_w")],
)
def test_a_rail_that_may_not_be_read_says_permission_denied(simulated, tmp_path, board, rail, quantity):
    tree = simulated(board)
    for path in tree.power[rail]:
        path.chmod(0)
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_mode & 0o005 != 0o005 and folder.is_relative_to("/tmp"):
            folder.chmod(0o755)
    command = [sys.executable, "-S", "-c", _AS_NOBODY, str(tree), str(REPOSITORY)]
    missing = json.loads(subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True).stdout)
    assert missing[quantity] == "permission denied"
    assert "permission denied" in missing["power"]


def test_a_board_whose_rails_are_all_unreadable_names_each(simulated):
    tree = simulated("orin-nano-jp6")
    for paths in tree.power.values():
        paths[1].write_text("")
    with found_on(tree) as found:
        assert "rail VDD_IN: the file is empty" in found.missing["power"]
        assert "tegrastats: no program tegrastats on this board" in found.missing["power"]


@pytest.mark.parametrize(("module", "quantity"), [(rapl, "power"), (thermal, "thermal")])
def test_a_driver_that_hangs_while_it_is_looked_for_is_named(simulated, monkeypatch, module, quantity):
    release = threading.Event()
    monkeypatch.setattr(module, "discover", lambda _root: release.wait(30))
    monkeypatch.setattr(discover_module, "_MODULE_S", 0.2)
    found = discover(str(simulated("pi-4")))
    release.set()
    name = module.__name__.split(".")[-1]
    assert f"{name}: no answer within 0.2 s: a driver hangs" in found.missing[quantity]
    assert "cpu_freq_hz" in channels(found)


# -- other ways to the same values -----------------------------------------------------------------

LINE = "RAM 1/2MB CPU [0%@729] cpu@47.5C VDD_IN {vdd_in}mW/1mW VDD_SOC 1451mW/1mW\n"


def test_tegrastats_stands_in_where_rails_cannot_be_read_and_a_line_counts_once(simulated):
    tree = simulated("orin-nano-jp6")
    for paths in tree.power.values():
        paths[1].unlink()
    lines = "".join(LINE.format(vdd_in=value) for value in (4556, 4600))
    tree.command(["tegrastats", "--interval", "100"], lines)
    found = tegrastats.discover(str(tree))
    (sensor,) = found.sensors
    try:
        assert [(channel.id, channel.scope) for channel in sensor.channels] == [
            ("vdd_in_w", "module"),
            ("vdd_soc_w", "soc_rail"),
        ]
        assert sensor.read() == [None, None]  # it has just been started
        assert sensor.reason == "no new line of tegrastats since the last sample"
        read, deadline_s = [], time.monotonic() + 20
        while len(read) < 2 and time.monotonic() < deadline_s:
            if (values := sensor.read()) != [None, None]:
                read.append(values)
            time.sleep(0.005)
        assert read == [[4.556, 1.451], [4.6, 1.451]]  # many reads a line, never the same line twice
    finally:
        sensor.close()


def test_without_the_file_the_flags_come_from_the_firmware(simulated):
    tree = simulated("pi-4")
    (tree.root / "sys/devices/platform/soc/soc:firmware/get_throttled").unlink()
    tree.command(["vcgencmd", "get_throttled"], "throttled=0x50005\n")
    sensor = throttled.discover(str(tree)).sensors[0]
    assert sensor.read() == [0x50005]
    assert "vcgencmd" in sensor.channels[0].source


class SimulatedFirmware:
    """Answers as the Raspberry Pi's firmware does, in the message's own buffer."""

    def __init__(self, said: str, result: int = 0) -> None:
        self.said, self.result, self.asked = said.encode(), result, []

    def __call__(self, _descriptor: int, request: int, buffer: bytearray) -> int:
        self.asked.append((request, bytes(buffer[24:]).split(b"\0")[0].decode()))
        assert int.from_bytes(buffer[:4], sys.byteorder) == len(buffer)
        buffer[20:24] = self.result.to_bytes(4, sys.byteorder)
        buffer[24 : 24 + len(self.said) + 1] = self.said + b"\0"
        return 0


def test_the_firmware_is_asked_by_ioctl_where_its_device_may_be_opened(tmp_path):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/vcio").write_text("")
    simulated_firmware = SimulatedFirmware(trees.pmic_text())
    asked = firmware.Firmware(str(tmp_path), simulated_firmware)
    said = asked.ask(["pmic_read_adc"])
    assert (said.rc, said.reason) == (0, None)
    assert said.out == trees.pmic_text()
    assert asked.route == "ioctl /dev/vcio"
    assert simulated_firmware.asked == [(0xC0086400, "pmic_read_adc")]
    asked.close()


def test_signs_of_throttling_are_channels(simulated):
    tree = simulated("orin-nano-jp6")
    root = Path(str(tree))
    kinds = {
        (path.parent / "type").read_text().strip(): path
        for path in root.glob("sys/class/thermal/*/cur_state")
    }
    kinds["pwm-fan"].write_text("3\n")  # a fan that turns is no throttling
    with found_on(tree) as found:
        assert values(found)["cooling_state"] == 0
        kinds["cpu-throttle-alert"].write_text("1\n")
        next(root.glob("sys/class/hwmon/*/curr1_max_alarm")).write_text("1\n")
        known = values(found)
        assert (known["cooling_state"], known["over_current"]) == (1, 1)
        assert {channels(found)[name].kind for name in ("cooling_state", "over_current")} == {"throttle"}


def test_the_gpus_load_is_a_share_of_one(simulated):
    tree = simulated("nano-jp4")
    tree.write("sys/devices/gpu.0/load", 995)
    found = gpu.discover(str(tree))
    assert values(found) == {"gpu_freq_hz": 921600000, "gpu_load": 0.995}


def test_a_gpu_that_sleeps_is_sampled_and_wakes_up(simulated):
    tree = simulated("orin-nano-jp6")
    load = tree.root / "sys/class/devfreq/17000000.gpu/device/load"
    for asleep in ("", "-256000\n"):
        tree.zones["gpu-thermal"].write_text(asleep)
        load.write_text("")
        with found_on(tree) as found:
            by_id = {channel.id: sensor for sensor in found.sensors for channel in sensor.channels}
            assert set(by_id) >= {"gpu_temp_c", "gpu_load"}
            assert set(found.missing) >= {"gpu_temp_c", "gpu_load"}
            for name in ("gpu_temp_c", "gpu_load"):
                assert (by_id[name].read(), by_id[name].asleep) == ([None], True)
            tree.zones["gpu-thermal"].write_text("58200\n")
            load.write_text("500\n")
            assert (by_id["gpu_temp_c"].read(), by_id["gpu_load"].read()) == ([58.2], [0.5])
            assert by_id["cpu_temp_c"].asleep is False


def test_a_thors_gpu_is_its_graphics_clusters_and_its_load_is_missing_with_the_reason(simulated):
    found = gpu.discover(str(simulated("agx-thor-jp7")))
    assert channels(found)["gpu_freq_hz"].source == "devfreq gpu-gpc-0 cur_freq"
    assert values(found) == {"gpu_freq_hz": 315000000}
    assert "NVML" in found.missing["gpu_load"]


def test_a_gpu_of_another_maker_without_a_load_file_is_not_sent_to_nvml(simulated):
    tree = simulated("pi-4")
    tree.write("sys/class/devfreq/fb000000.gpu/cur_freq", 300000000)
    assert gpu.discover(str(tree)).missing == {
        "gpu_load": "no load file of the GPU: looked for device/load of devfreq fb000000.gpu"
    }


def test_a_pi_without_cpufreq_keeps_the_clock_that_the_firmware_measures(simulated):
    tree = simulated("pi-4")
    for path in (tree.root / "sys/devices/system/cpu/cpufreq/policy0").iterdir():
        path.unlink()
    with found_on(tree) as found:
        assert values(found)["cpu_clock_hz"] == 1800457088
        assert "cpu_freq_hz" not in channels(found)
        assert "no readable CPU frequency" in found.missing["cpu_freq_hz"]


def test_without_vcgencmd_the_reason_is_the_program_not_the_group(simulated):
    tree = simulated("pi-5")
    for path in (tree.root / ".commands").iterdir():
        path.unlink()
    (tree.root / "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled").unlink()
    with found_on(tree) as found:
        for quantity in ("power", "cpu_clock_hz", "throttled"):
            assert "no program vcgencmd on this board" in found.missing[quantity]
            assert "group" not in found.missing[quantity]


# -- the registry ----------------------------------------------------------------------------------


def test_a_sensor_is_one_module_and_one_line(simulated, monkeypatch):
    def find(root="/"):
        channel = Channel("light_lx", "lid", "light", "lx", None, "a toy", None)
        return Discovery([Sensor([channel], lambda: [7.0])], {"dust": "no dust sensor on this board"})

    toy = types.SimpleNamespace(discover=find, DEVICES=[Device("dev/toy", "light", "toys", "RULE", False)])
    monkeypatch.setitem(discover_module.SENSORS, "toy", "light")
    monkeypatch.setitem(discover_module.MODULES, "toy", toy)
    tree = simulated("pi-4")
    tree.write("dev/toy", "")
    found = discover(str(tree))
    assert values(found)["light_lx"] == 7.0
    assert found.missing["dust"] == "no dust sensor on this board"
    rows = permissions.examine(Workdir(str(tree)), {"root": str(tree)})["devices"]
    assert [row["what"] for row in rows if row["path"] == "/dev/toy"] == ["light"]


def test_every_module_of_the_folder_that_finds_something_is_registered():
    helpers = {"__init__", "base", "discover", "firmware", "plugins"}
    folder = Path(discover_module.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - helpers == set(discover_module.MODULES)
