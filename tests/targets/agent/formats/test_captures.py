"""Outputs captured on real boards and plugs: what each must parse into, read off the files by hand.

The captures are not ours to ship; TUNEBENCH_CAPTURES names the folder that holds them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tunebench.targets.agent.formats import KINDS, read

pytestmark = pytest.mark.data
FOLDER = os.environ.get("TUNEBENCH_CAPTURES")


def read_capture(kind, name):
    if not FOLDER:
        pytest.skip("TUNEBENCH_CAPTURES names no folder with captures")
    text = (Path(FOLDER) / name).read_text(encoding="utf-8")
    return read(kind, text)


def table(reading, kind):
    return {channel["site"]: channel["value"] for channel in reading.channels if channel["kind"] == kind}


def units(reading, kind):
    return {channel["unit"] for channel in reading.channels if channel["kind"] == kind}


OFF = None
TEGRASTATS = {
    "agx_orin_jp5_gr3d_array": (
        {"VDD_GPU_SOC": 2.340, "VDD_CPU_CV": 0.390, "VIN_SYS_5V0": 4.025, "VDDQ_VDD2_1V8AO": 0.301},
        (6.755, "rails_sum"),
        {
            "CPU": 44.562,
            "Tboard": 32,
            "SOC2": 40.093,
            "Tdiode": 33,
            "SOC0": 41.093,
            "tj": 44.343,
            "SOC1": 41.25,
        }
        | {"CV0": OFF, "CV1": OFF, "CV2": OFF, "GPU": OFF},
    ),
    "agx_orin_jp5_norails_nonroot": (
        {},
        (None, None),
        {"CPU": 44.437, "Tboard": 36, "SOC2": 42.562, "Tdiode": 35.75, "SOC0": 42.062, "tj": 44.437}
        | {"SOC1": 43.031, "CV0": OFF, "CV1": OFF, "CV2": OFF, "GPU": OFF},
    ),
    "agx_orin_jp5_root": (
        {"VDD_GPU_SOC": 2.399, "VDD_CPU_CV": 0.400, "VIN_SYS_5V0": 4.032, "VDDQ_VDD2_1V8AO": 0.301},
        (6.831, "rails_sum"),
        {"CPU": 42.593, "Tboard": 32, "SOC2": 39.343, "Tdiode": 33.25, "SOC0": 39.375, "tj": 42.593}
        | {"SOC1": 40.468, "CV0": OFF, "CV1": OFF, "CV2": OFF, "GPU": OFF},
    ),
    "agx_orin_jp6_nonroot": (
        {"VDD_GPU_SOC": 4.940, "VDD_CPU_CV": 0.988, "VIN_SYS_5V0": 4.442},
        (10.370, "rails_sum"),
        {"cpu": 42, "soc2": 37.843, "soc0": 39.187, "gpu": 37.75, "tj": 42, "soc1": 37.937},
    ),
    "agx_orin_jp7": (
        {"VDD_GPU_SOC": 5.139, "VDD_CPU_CV": 3.268, "VIN_SYS_5V0": 5.500},
        (13.907, "rails_sum"),
        {"cpu": 52.968, "soc2": 48.406, "soc0": 49.531, "gpu": 47.625},
    ),
    "agx_xavier_jp4": (
        {"GPU": 0, "CPU": 0.311, "SOC": 0.932, "CV": 0, "VDDRQ": 0.621, "SYS5V": 1.482},
        (3.346, "rails_sum"),
        {
            "AO": 37.5,
            "GPU": 37.5,
            "Tdiode": 40,
            "PMIC": OFF,
            "AUX": 36,
            "CPU": 37.5,
            "thermal": 36.9,
            "Tboard": 37,
        },
    ),
    "nano_jp4_a": (
        {"POM_5V_IN": 1.022, "POM_5V_GPU": 0, "POM_5V_CPU": 0.204},
        (1.022, "board_input"),
        {"PLL": 34, "CPU": 36.5, "PMIC": OFF, "GPU": 36, "AO": 39.5, "thermal": 36.25},
    ),
    "nano_jp4_b": (
        {"POM_5V_IN": 1.003, "POM_5V_GPU": 0, "POM_5V_CPU": 0.166},
        (1.003, "board_input"),
        {"PLL": 25.5, "CPU": 29, "PMIC": OFF, "GPU": 27.5, "AO": 34.5, "thermal": 28.25},
    ),
    "nano_jp4_load": (
        {"POM_5V_IN": 8.055, "POM_5V_GPU": 2.424, "POM_5V_CPU": 3.084},
        (8.055, "board_input"),
        {"PLL": 54.5, "CPU": 59.5, "iwlwifi": 57, "PMIC": OFF, "GPU": 56.5, "AO": 61.5, "thermal": 58.5},
    ),
    "nano_jp4_nonroot": (
        {"POM_5V_IN": 0.900, "POM_5V_GPU": 0, "POM_5V_CPU": 0.123},
        (0.900, "board_input"),
        {"PLL": 39, "CPU": 40.5, "PMIC": OFF, "GPU": 41, "AO": 46, "thermal": 41},
    ),
    "orin_nano_jp6_nonroot": (
        {"VDD_IN": 4.556, "VDD_CPU_GPU_CV": 0.483, "VDD_SOC": 1.451},
        (4.556, "module"),
        {"cpu": 47.687, "soc2": 46.718, "soc0": 47.468, "gpu": 48.625, "tj": 48.625, "soc1": 48.25},
    ),
    "orin_nano_jp6_nonroot_b": (
        {"VDD_IN": 4.824, "VDD_CPU_GPU_CV": 0.518, "VDD_SOC": 1.475},
        (4.824, "module"),
        {"cpu": 50.031, "soc2": 49.031, "soc0": 50, "gpu": 49.031, "tj": 50.25, "soc1": 50.25},
    ),
    "orin_nano_jp6_root": (
        {"VDD_IN": 12.479, "VDD_CPU_GPU_CV": 4.667, "VDD_SOC": 2.817},
        (12.479, "module"),
        {"cpu": 53.968, "soc2": 52.437, "soc0": 50.75, "gpu": 53.343, "tj": 53.968, "soc1": 51.656},
    ),
    "tx2_jp3": (  # three lines: the last
        {
            "VDD_IN": 1.738,
            "VDD_CPU": 0.231,
            "VDD_GPU": 0.154,
            "VDD_SOC": 0.386,
            "VDD_WIFI": 0.038,
            "VDD_DDR": 0.250,
        },
        (1.738, "module"),
        {
            "BCPU": 40.5,
            "MCPU": 40.5,
            "GPU": 39,
            "PLL": 40.5,
            "Tboard": 37,
            "Tdiode": 37.25,
            "PMIC": OFF,
            "thermal": 40.2,
        },
    ),
    "tx2_jp4": (
        {"VDD_SYS_GPU": 0.152, "VDD_SYS_SOC": 0.687, "VDD_4V0_WIFI": 0, "VDD_IN": 3.056}
        | {"VDD_SYS_CPU": 0.152, "VDD_SYS_DDR": 0.883},
        (3.056, "module"),
        {
            "PLL": 37.5,
            "MCPU": 37.5,
            "PMIC": OFF,
            "Tboard": 32,
            "GPU": 35,
            "BCPU": 37.5,
            "thermal": 36.5,
            "Tdiode": 34.25,
        },
    ),
    "tx2_jp4_load": (
        {"VDD_SYS_GPU": 0.182, "VDD_SYS_SOC": 0.730, "VDD_4V0_WIFI": 0, "VDD_IN": 5.297}
        | {"VDD_SYS_CPU": 1.917, "VDD_SYS_DDR": 1.241},
        (5.297, "module"),
        {
            "PLL": 42.5,
            "MCPU": 42.5,
            "PMIC": OFF,
            "Tboard": 38,
            "GPU": 39.5,
            "BCPU": 42.5,
            "thermal": 41.3,
            "Tdiode": 39.25,
        },
    ),
    "xavier_nx_jp4": (
        {"VDD_IN": 4.067, "VDD_CPU_GPU_CV": 0.738, "VDD_SOC": 1.353},
        (4.067, "module"),
        {"AO": 41.5, "GPU": 43, "PMIC": OFF, "AUX": 41.5, "CPU": 43.5, "thermal": 42.55},
    ),
    "xavier_nx_jp46_load": (  # three lines: the last
        {"VDD_IN": 14.664, "VDD_CPU_GPU_CV": 10.874, "VDD_SOC": 1.442},
        (14.664, "module"),
        {"AO": 51, "GPU": 53.5, "PMIC": OFF, "AUX": 51, "CPU": 53, "thermal": 52.2},
    ),
}


@pytest.mark.parametrize("name", TEGRASTATS)
def test_tegrastats_of_every_release_gives_rails_total_and_temperatures(name):
    rails, total, temperatures = TEGRASTATS[name]
    reading = read_capture("tegrastats", f"tegrastats_{name}.txt")
    assert table(reading, "power") == pytest.approx(rails)
    assert units(reading, "power") <= {"W"}
    assert (reading.total_w, reading.total_scope) == (pytest.approx(total[0]), total[1])
    assert table(reading, "temperature") == pytest.approx(temperatures)
    assert (reading.reason is None) == (total[0] is not None)


@pytest.mark.parametrize(
    ("name", "gpu_hz", "load", "cpus"),
    [
        ("agx_orin_jp7", 1300e6, 0.12, 12),
        ("agx_orin_jp6_nonroot", None, 0.0, 12),
        ("orin_nano_jp6_root", 621e6, 0.63, 6),
        ("xavier_nx_jp4", 306e6, 0.62, 6),
        ("nano_jp4_load", None, 0.99, 4),
    ],
)
def test_tegrastats_tells_the_gpus_clock_where_it_may(name, gpu_hz, load, cpus):
    reading = read_capture("tegrastats", f"tegrastats_{name}.txt")
    assert table(reading, "frequency").get("gpu") == gpu_hz
    loads = table(reading, "load")
    assert loads.pop("gpu") == load
    assert len(loads) == cpus


def test_cores_that_are_off_have_no_load():
    reading = read_capture("tegrastats", "tegrastats_agx_xavier_jp4.txt")
    loads = table(reading, "load")
    assert [loads[f"cpu{index}"] for index in range(8)] == [0.02, 0, 0, 0, None, None, None, None]


@pytest.mark.parametrize(
    ("name", "core_w", "sum_w", "supply_v"),
    [
        ("4core_zeusfork", 6.22421 * 0.861733, 7.2398, 5.09066),
        ("busy_pilomar", 5.03652 * 0.8936988, 5.9216, 4.9245),
        ("heavy_jfikar", 10.87674 * 0.8974594, 10.7999, 5.06788),
        ("idle_clever_gist", 0.9287199 * 0.7209762, 1.8985, 5.171059),
        ("idle_pidash", 0.9465799 * 0.7209762, 1.9005, 5.11478),
    ],
)
def test_the_pi_5_power_chip_adds_up_twelve_pairs(name, core_w, sum_w, supply_v):
    reading = read_capture("pmic", f"pmic_read_adc_pi5_{name}.txt")
    powers = table(reading, "power")
    assert len(powers) == 12
    assert powers["VDD_CORE"] == pytest.approx(core_w)
    assert (reading.total_w, reading.total_scope) == (pytest.approx(sum_w, abs=1e-4), "rails_sum")
    voltages = table(reading, "voltage")
    assert voltages["EXT5V"] == supply_v
    assert {"EXT5V", "BATT"} == set(voltages) - set(powers)
    assert units(reading, "voltage") == {"V"}
    assert units(reading, "current") == {"A"}


def test_a_user_outside_the_group_is_told_so_and_reads_no_zero():
    reading = read_capture("pmic", "vcgencmd_no_permission.txt")
    assert (reading.channels, reading.total_w, reading.total_scope) == ([], None, None)
    assert "Can't open device file: /dev/vcio_gencmd" in reading.reason
    assert "group video" in reading.reason


@pytest.mark.parametrize(
    ("name", "mode", "number"),
    [("q_orin_nano", "MAXN_SUPER", 2), ("q_orin_nano_25w", "25W", 1), ("q_verbose_tx2", "MAXP_CORE_ARM", 3)],
)
def test_the_power_mode_has_name_and_number(name, mode, number):
    reading = read_capture("nvpmodel", f"nvpmodel_{name}.txt")
    assert (reading.details["name"], reading.details["id"]) == (mode, number)
    assert (reading.total_w, reading.channels) == (None, [])


def test_all_power_modes_are_listed():
    modes = read_capture("nvpmodel", "nvpmodel_p_xavier_nx_jp5.txt").details["modes"]
    assert [mode["id"] for mode in modes] == [0, 1, 2, 3, 4, 5, 6]
    assert [modes[0]["name"], modes[5]["name"]] == ["MODE_15W_2CORE", "MODE_10W_DESKTOP"]


@pytest.mark.parametrize(
    ("kind", "name", "watts", "volts", "amperes", "joules"),
    [
        ("shelly", "shelly_gen1_status.json.txt", 2.21, None, None, 439237 * 60),  # watt-minutes
        ("shelly", "shelly_gen2_switch_getstatus.json.txt", 25.7, 239.7, 0.188, 913.252 * 3600),  # Wh
        ("kasa", "kasa_emeter_hs110_v1.json.txt", 0.928511, 231.067823, 0.014937, 55.139 * 3.6e6),  # kWh
        ("kasa", "kasa_emeter_kp115.json.txt", 63.499, 230.577, 0.296, 12068 * 3600),  # mW, mV, mA, Wh
        ("tasmota", "tasmota_status8.json.txt", 1.0, 230.0, 0.085, 49.766 * 3.6e6),  # kWh
    ],
)
def test_plugs_tell_watts_at_the_wall_in_their_units(kind, name, watts, volts, amperes, joules):
    reading = read_capture(kind, name)
    (power,) = table(reading, "power").values()
    assert (power, reading.total_w, reading.total_scope) == (watts, watts, "wall_ac")
    assert list(table(reading, "energy").values()) == [pytest.approx(joules)]
    assert list(table(reading, "voltage").values()) == ([] if volts is None else [pytest.approx(volts)])
    assert list(table(reading, "current").values()) == ([] if amperes is None else [pytest.approx(amperes)])


def test_temperature_voltage_clock_and_throttling_are_read_from_vcgencmd():
    pi_5 = read_capture("vcgencmd", "vcgencmd_misc_pi5.txt")
    assert table(pi_5, "temperature") == {"soc": 39.5}
    assert table(pi_5, "voltage") == {"core": 0.72}
    assert table(pi_5, "throttle") == {"board": 0}
    assert table(pi_5, "frequency") == {"clock 0": 0}  # off, not an error
    pi_2 = read_capture("vcgencmd", "vcgencmd_misc_pi2_clock.txt")
    assert table(pi_2, "frequency") == {"clock 43": 250e6}
    assert pi_2.total_w is None


def test_no_capture_makes_a_parser_claim_power_of_another_format():
    """Every file through every parser: never an exception, never a total that is not there."""
    if not FOLDER:
        pytest.skip("TUNEBENCH_CAPTURES names no folder with captures")
    for path in sorted(Path(FOLDER).glob("*.txt")):
        own = path.name.split("_")[0]
        for kind in KINDS:
            reading = read(kind, path.read_text(encoding="utf-8"))
            if own != kind and (kind, own) not in {("vcgencmd", "pmic")}:
                assert reading.total_w is None, (path.name, kind)
                assert reading.reason, (path.name, kind)
