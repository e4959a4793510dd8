"""Sensors on simulated file systems of boards we do not have."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tunebench.targets.agent.health import counters
from tunebench.targets.agent.job.sampler import Sampler
from tunebench.targets.agent.sensors import cpufreq, ina3221, load, memory, rapl, thermal, throttled
from tunebench.targets.agent.sensors.base import Channel, Discovery, Sensor
from tunebench.targets.agent.sensors.discover import discover


def tree(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def values(found: Discovery) -> dict[str, float | None]:
    return {
        channel.id: value
        for sensor in found.sensors
        for channel, value in zip(sensor.channels, sensor.read(), strict=True)
    }


def channels(found: Discovery) -> dict[str, Channel]:
    return {channel.id: channel for sensor in found.sensors for channel in sensor.channels}


HWMON = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/"
ORIN_NANO = {
    HWMON + "name": "ina3221\n",
    HWMON + "in1_label": "VDD_IN\n",
    HWMON + "in1_input": "5048\n",
    HWMON + "curr1_input": "920\n",
    HWMON + "shunt1_resistor": "5000\n",
    HWMON + "in2_label": "VDD_CPU_GPU_CV\n",
    HWMON + "in2_input": "5048\n",
    HWMON + "curr2_input": "160\n",
    HWMON + "in3_label": "NC\n",
    HWMON + "in3_input": "0\n",
    HWMON + "curr3_input": "0\n",
    # shunt voltages and their sum: no rails
    HWMON + "in4_input": "4600\n",
    HWMON + "in7_label": "sum of shunt voltages\n",
    HWMON + "in7_input": "5400\n",
    HWMON + "curr4_input": "1080\n",
}
IIO = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/"
NANO_JP4 = {
    IIO + "rail_name_0": "POM_5V_IN\n",
    IIO + "in_power0_input": "1022\n",
    IIO + "in_power0_trigger_input": "0\n",
    IIO + "rail_name_1": "POM_5V_GPU\n",
    IIO + "in_power1_input": "0\n",
    IIO + "rail_name_2": "POM_5V_CPU\n",
    IIO + "in_power2_input": "123\n",
}


def test_jetpack_5_rails_are_volts_times_amperes_by_label(tmp_path):
    found = ina3221.discover(tree(tmp_path, ORIN_NANO))
    assert values(found) == pytest.approx({"vdd_in_w": 5.048 * 0.92, "vdd_cpu_gpu_cv_w": 5.048 * 0.16})
    total, rail = channels(found).values()
    assert (total.id, total.site, total.scope, total.unit) == ("vdd_in_w", "VDD_IN", "module", "W")
    assert total.quantum == pytest.approx(0.008 * 5.048)  # 40 uV over 5 mOhm
    assert (rail.scope, rail.quantum) == ("soc_rail", None)


def test_the_same_monitor_through_two_paths_counts_once(tmp_path):
    root = tree(tmp_path, ORIN_NANO)
    (tmp_path / "sys/class/hwmon").mkdir(parents=True)
    (tmp_path / "sys/class/hwmon/hwmon3").symlink_to(tmp_path / HWMON)
    assert len(channels(ina3221.discover(root))) == 2


def test_jetpack_4_power_files_are_read_without_the_trigger_ones(tmp_path):
    found = ina3221.discover(tree(tmp_path, NANO_JP4))
    assert values(found) == pytest.approx({"pom_5v_in_w": 1.022, "pom_5v_gpu_w": 0.0, "pom_5v_cpu_w": 0.123})
    assert channels(found)["pom_5v_in_w"].scope == "board_input"


def test_a_board_without_a_total_rail_gets_the_sum_of_its_parts(tmp_path):
    files = {HWMON + "name": "ina3221"}
    for index, label in enumerate(("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), start=1):
        files[HWMON + f"in{index}_label"] = label
        files[HWMON + f"in{index}_input"] = "20000"
        files[HWMON + f"curr{index}_input"] = str(100 * index)
    root = tree(tmp_path, files)
    found = ina3221.discover(root)
    assert values(found)["rails_sum_w"] == pytest.approx(20 * 0.6)
    assert channels(found)["rails_sum_w"].scope == "rails_sum"
    (tmp_path / HWMON / "curr2_input").unlink()
    partial = ina3221.discover(root)
    assert "rails_sum_w" not in channels(partial)  # a sum that lacks a part is none


INA = "sys/class/hwmon/hwmon%d/"


@pytest.mark.parametrize(
    "chip", ["ina219", "ina226", "ina228", "ina230", "ina237", "ina238", "ina260", "sq52206"]
)
@pytest.mark.parametrize("label", ["label", "in1_label", "power1_label"])
def test_a_monitor_of_one_channel_is_a_rail_by_its_label(tmp_path, chip, label):
    folder = INA % 4
    files = {
        folder + "name": chip,
        folder + label: "VIN",
        folder + "in0_input": "3",
        folder + "in1_input": "20000",
    }
    files |= {
        folder + "curr1_input": "1500",
        folder + "power1_input": "30000000",
        folder + "update_interval": "4",
    }
    root = tree(tmp_path, files)
    found = ina3221.discover(root)
    assert values(found) == {"vin_w": pytest.approx(30.0)}
    (channel,) = channels(found).values()
    assert (channel.scope, channel.rate_hz) == ("board_input", pytest.approx(1 / 0.0066, rel=1e-3))
    assert channel.source == f"{chip} hwmon power1_input, update_interval 4"
    (tmp_path / folder / "power1_input").unlink()  # older drivers of the INA219 have it, too; but who knows
    assert values(ina3221.discover(root)) == {"vin_w": pytest.approx(30.0)}


def test_an_input_that_cannot_be_read_is_not_replaced_by_the_sum_of_its_parts(tmp_path):
    three, one = INA % 3, INA % 4
    files = {
        three + "name": "ina3221",
        one + "name": "ina238",
        one + "label": "VIN",
        one + "power1_input": "",
    }
    for index, label in enumerate(("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"), start=1):
        files |= {
            three + f"in{index}_label": label,
            three + f"in{index}_input": "5000",
            three + f"curr{index}_input": "100",
        }
    found = ina3221.discover(tree(tmp_path, files))
    assert {channel.scope for channel in channels(found).values()} == {None}
    assert found.missing["vin_w"] == "the file is empty"
    assert "rail VIN: the file is empty" in found.missing["power"]
    (tmp_path / one / "power1_input").write_text("9000000")
    assert channels(ina3221.discover(str(tmp_path)))["vin_w"].scope == "board_input"


@pytest.mark.parametrize(
    ("chip", "told"),
    [("ina3221", "the INA3221 at hwmon/hwmon3 has no labels (in1_label to in3_label)"),
     ("ina226", "the INA226 at hwmon/hwmon3 has no labels (label, in1_label)")],
)  # fmt: skip
def test_a_monitor_without_labels_is_named_and_measures_nobody_knows_what(tmp_path, chip, told):
    folder = INA % 3
    files = {folder + "name": chip, folder + "in1_input": "5144", folder + "curr1_input": "640"}
    found = ina3221.discover(tree(tmp_path, files))
    assert found.sensors == []
    assert told in found.missing["power"]
    assert told in discover(str(tmp_path)).missing["power"]


def test_other_hwmon_devices_with_volts_and_amperes_are_no_rails(tmp_path):
    folder = INA % 5
    files = {folder + "name": "ucsi_source_psy_1", folder + "in1_label": "VIN", folder + "in1_input": "20000"}
    found = ina3221.discover(tree(tmp_path, {**files, folder + "curr1_input": "3000"}))
    assert found.sensors == []
    assert "looked for" in found.missing["power"]


def test_a_failed_read_is_null_and_never_the_value_before(tmp_path):
    found = ina3221.discover(tree(tmp_path, NANO_JP4))
    assert values(found)["pom_5v_in_w"] == pytest.approx(1.022)
    (tmp_path / IIO / "in_power0_input").write_text("")  # as a driver that gives up
    assert values(found)["pom_5v_in_w"] is None
    (tmp_path / IIO / "in_power0_input").write_text("2000\n")
    assert values(found)["pom_5v_in_w"] == pytest.approx(2.0)


ZONE = "sys/class/thermal/thermal_zone%d/%s"


def zones(*kinds: tuple[str, str]) -> dict[str, str]:
    files = {}
    for index, (kind, temp) in enumerate(kinds):
        files[ZONE % (index, "type")] = kind + "\n"
        files[ZONE % (index, "temp")] = temp + "\n"
    return files


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([("cpu-thermal", "48312")], {"cpu_temp_c": 48.312}),
        (
            [("PMIC-Die", "100000"), ("GPU-therm", "40000"), ("CPU-therm", "41500")],
            {"cpu_temp_c": 41.5, "gpu_temp_c": 40.0},
        ),
        ([("gpu-thermal", "-256000"), ("cpu-thermal", "45000")], {"cpu_temp_c": 45.0, "gpu_temp_c": None}),
        ([("acpitz", "30000"), ("x86_pkg_temp", "55000")], {"cpu_temp_c": 55.0}),
    ],
)
def test_zones_are_chosen_by_type_and_only_if_sane(tmp_path, kinds, expected):
    assert values(thermal.discover(tree(tmp_path, zones(*kinds)))) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("48312", 48.312),
        ("1000", 1.0),
        ("-5000", -5.0),
        ("88", 88.0),  # whole degrees: as thousandths it would be frost
        ("1", 1.0),
        ("150", 150.0),
        ("151", None),  # tenths, or frost: not guessed
        ("485", None),
        ("999", None),
        ("0", None),
        ("-12", None),
        ("-256000", None),
        ("-256", None),
        ("48312000", None),  # millionths
        ("48.3", None),
        ("", None),
        ("9" * 500, None),
    ],
)
def test_a_temperature_is_in_thousandths_or_in_whole_degrees_and_never_guessed(tmp_path, raw, expected):
    root = tree(tmp_path, zones(("cpu_thermal_zone", "50000")))
    (sensor,) = thermal.discover(root).sensors
    (tmp_path / (ZONE % (0, "temp"))).write_text(raw + "\n")
    assert sensor.read() == [expected]
    assert (sensor.reason is None) == (expected is not None)
    again = thermal.discover(root)
    assert [value for value in values(again).values() if value is not None] == (
        [] if expected is None else [expected]
    )
    assert ("temp_c" in again.missing) == (expected is None)


def test_a_pc_without_zones_reads_its_core_sensor(tmp_path):
    files = {"sys/class/hwmon/hwmon2/name": "k10temp\n", "sys/class/hwmon/hwmon2/temp1_input": "61250\n"}
    assert values(thermal.discover(tree(tmp_path, files))) == {"cpu_temp_c": 61.25}


def test_the_fastest_cluster_counts(tmp_path):
    path = "sys/devices/system/cpu/cpufreq/policy%d/scaling_cur_freq"
    found = cpufreq.discover(tree(tmp_path, {path % 0: "600000\n", path % 4: "1800000\n"}))
    assert values(found) == {"cpu_freq_hz": 1.8e9}


def test_load_and_memory_in_units_of_one(tmp_path):
    files = {
        "proc/loadavg": "0.52 0.58 0.59 1/977 12345\n",
        "proc/meminfo": "MemTotal: 936104 kB\nMemAvailable: 500000 kB\nSwapTotal: 1000 kB\nSwapFree: 400 kB\n",
    }
    root = tree(tmp_path, files)
    assert values(load.discover(root)) == {"load_1m": 0.52}
    assert values(memory.discover(root)) == {"mem_available_b": 512_000_000, "swap_used_b": 614_400}


def test_a_kernel_that_does_not_estimate_available_memory_says_so(tmp_path):
    found = memory.discover(
        tree(tmp_path, {"proc/meminfo": "MemTotal: 9 kB\nMemFree: 5 kB\nSwapTotal: 4 kB\nSwapFree: 1 kB\n"})
    )
    assert values(found) == {"swap_used_b": 3072}
    assert "kernels before 3.14" in found.missing["mem_available_b"]


def test_kernels_before_4_3_have_their_clocks_in_each_cpus_folder(tmp_path):
    path = "sys/devices/system/cpu/cpu%d/cpufreq/%s"
    files = {path % (0, "scaling_cur_freq"): "1912000\n", path % (0, "scaling_max_freq"): "1912000\n"}
    root = tree(tmp_path, files)
    assert values(cpufreq.discover(root)) == {"cpu_freq_hz": 1.912e9, "cpu_freq_cap_hz": 1.912e9}
    assert counters.read(root)["freq_cap_khz"] == 1912000


def test_the_peak_of_a_process_is_its_own(tmp_path):
    root = tree(tmp_path, {"proc/7/status": "Name:\tpython3\nVmHWM:\t  9000 kB\nVmRSS:\t  8000 kB\n"})
    process = memory.Process(7, root)
    assert process.sensor.read() == [8000 * 1024]
    (tmp_path / "proc/7/status").write_text("Name:\tpython3\nState:\tZ (zombie)\n")
    assert process.sensor.read() == [None]
    assert process.peak_b == 9000 * 1024


def test_a_real_process_shows_its_memory():
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", "x = bytearray(40_000_000); input()"], stdin=subprocess.PIPE
    )
    try:
        process = memory.Process(child.pid)
        deadline = time.monotonic() + 5
        while (process.sensor.read()[0] or 0) < 40_000_000 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.peak_b is not None
        assert 40_000_000 < process.peak_b < 200_000_000
    finally:
        child.kill()
        child.communicate()


def test_counters_that_a_kernel_lacks_are_null(tmp_path):
    root = tree(tmp_path, {"proc/vmstat": "nr_free_pages 1\npswpin 5\npswpout 6\n"})
    assert memory.counters(root) == {"pswpin": 5, "pswpout": 6, "oom_kill": None}


def test_throttle_flags_are_hexadecimal(tmp_path):
    path = "sys/devices/platform/soc/soc:firmware/get_throttled"
    found = throttled.discover(tree(tmp_path, {path: "50005\n"}))
    assert values(found) == {"throttled": 0x50005}


@pytest.mark.parametrize(
    ("before", "bits", "names"),
    [
        (0, 0x0, []),
        (0, 0x5, ["under-voltage", "throttled"]),
        (0, 0x20000, ["frequency capped"]),  # came and went between two samples
        (0x20000, 0x20000, []),  # was so since an earlier run: proves nothing
        (None, 0x80008, ["soft temperature limit"]),
    ],
)
def test_sticky_flags_count_only_if_they_are_new(before, bits, names):
    assert throttled.seen(before, bits) == names


def test_rapl_is_mean_power_between_samples_and_survives_a_wrap(tmp_path, monkeypatch):
    folder = "sys/class/powercap/intel-rapl:0/"
    files = {"name": "package-0\n", "energy_uj": "900000\n", "max_energy_range_uj": "1000000\n"}
    root = tree(tmp_path, {folder + name: text for name, text in files.items()})
    tree(
        tmp_path,
        {
            "sys/class/powercap/intel-rapl:0:0/name": "core\n",
            "sys/class/powercap/intel-rapl:0:0/energy_uj": "1",
        },
    )
    now_ns = [0]
    monkeypatch.setattr(rapl, "monotonic_ns", lambda: now_ns[0])
    found = rapl.discover(root)
    assert list(channels(found)) == ["package_0_w"]
    assert values(found) == {"package_0_w": None}
    now_ns[0] = 500_000_000
    (tmp_path / folder / "energy_uj").write_text("400000\n")
    assert values(found) == pytest.approx({"package_0_w": 1.0})  # 0.5 J in 0.5 s, through the wrap


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_rapl_that_only_root_may_read_says_so(tmp_path):
    folder = "sys/class/powercap/intel-rapl:0/"
    root = tree(tmp_path, {folder + "name": "package-0\n", folder + "energy_uj": "1\n"})
    (tmp_path / folder / "energy_uj").chmod(0)
    assert "root only" in rapl.discover(root).missing["power"]


def test_an_empty_board_has_nothing_and_says_what_was_looked_for(tmp_path):
    found = discover(str(tmp_path))
    assert found.sensors == []
    assert set(found.missing) == {"temp_c", "freq_hz", "load_1m", "mem_available_b", "throttled", "power"}
    assert all("looked for" in reason for reason in found.missing.values())
    assert "ina3221" in found.missing["power"]
    assert "intel-rapl" in found.missing["power"]


def test_a_whole_board_has_unique_channels_and_misses_nothing_it_has(tmp_path):
    files = {**ORIN_NANO, **zones(("cpu-thermal", "40000")), "proc/loadavg": "0.1 0 0 1/1 1"}
    found = discover(tree(tmp_path, files))
    ids = [channel.id for sensor in found.sensors for channel in sensor.channels]
    assert len(ids) == len(set(ids))
    assert set(found.missing) == {"freq_hz", "mem_available_b", "throttled"}


# -- the sampler ----------------------------------------------------------------------------------


def counting_sensor(readings: list[float | None]) -> Sensor:
    channel = Channel("x_w", "X", "power", "W", "module", "test", None)
    return Sensor([channel], lambda: [readings.pop(0)])


def test_samples_stay_in_memory_until_they_are_flushed(tmp_path):
    path = tmp_path / "samples.jsonl"
    sampler = Sampler(str(path), [counting_sensor([1.0, None, 3.0])], 0.1)
    due = [sampler.sample() for _ in range(3)]
    assert path.read_text() == ""
    sampler.close()
    header, *rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert header["channels"][0] == {"id": "x_w", "site": "X", "kind": "power", "unit": "W"} | {
        "scope": "module",
        "source": "test",
        "quantum": None,
        "rate_hz": None,
    }
    assert [row[1] for row in rows] == [1.0, None, 3.0]
    assert due[0] - rows[0][0] == 100_000_000
    span = sampler.range("x_w")
    assert (span.first, span.last, span.low, span.high, span.delta()) == (1.0, 3.0, 1.0, 3.0, 2.0)
    assert sampler.range("never").high is None
    assert sampler.max_gap_ns == max(b[0] - a[0] for a, b in itertools.pairwise(rows))
