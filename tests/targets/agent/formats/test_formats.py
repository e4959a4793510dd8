"""Outputs that nobody captured for us: odd forms, damage, refusals. Those marked so are made up."""

from __future__ import annotations

import json
import re

import pytest

from tests.boards import trees
from tunebench.targets.agent.formats import KINDS, rails, read


def table(reading, kind="power"):
    return {channel["site"]: channel["value"] for channel in reading.channels if channel["kind"] == kind}


# -- tegrastats ------------------------------------------------------------------------------------

SWAPPED = (  # a Jetson Nano, JetPack 4.6, under load: the labels are rotated
    "RAM 2927/3963MB (lfb 14x4MB) SWAP 1006/1981MB (cached 36MB) CPU [92%@1479,96%@1479,95%@1479,96%@1479] EMC_FREQ 0% "
    "GR3D_FREQ 99% PLL@54.5C CPU@59.5C PMIC@50C POM_5V_GPU 8949/8949 POM_5V_IN 3227/3227 POM_5V_CPU 3148/3148"
)


def test_swapped_labels_give_no_total():
    reading = read("tegrastats", SWAPPED)
    assert (reading.total_w, reading.total_scope) == (None, None)
    assert "POM_5V_GPU (8.949 W) is above the total POM_5V_IN (3.227 W)" in reading.reason
    assert table(reading)["POM_5V_GPU"] == 8.949  # shown, so that a user can see it


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # Orin NX, JetPack 6, as people print it
        (
            "RAM 1224/15368MB (lfb 8x4MB) CPU [1%@729,off] GR3D_FREQ 0%@[305] cpu@43.5C "
            "VDD_IN 4319mW/4319mW VDD_CPU_GPU_CV 499mW/499mW VDD_SOC 1200mW/1200mW",
            (4.319, "module"),
        ),
        # runs of blanks, as JetPack 6 prints on AGX Orin
        (
            "RAM 1/2MB (lfb 1x2MB)   CPU [0%@2201]  VDD_GPU_SOC   4940mW/4940mW   VDD_CPU_CV 988mW/988mW "
            "VIN_SYS_5V0 4442mW/4442mW",
            (10.37, "rails_sum"),
        ),
        # AGX Thor: its own input rail
        (
            "RAM 1/2MB (lfb 1x2MB) CPU [0%@2201] VDD_GPU 2400mW/2400mW VDD_CPU_SOC_MSS 6510mW/6510mW "
            "VIN_SYS_5V0 6520mW/6520mW VIN 23000mW/23000mW",
            (23.0, "board_input"),
        ),
        # AGX Thor at rest: the GPU's rail has a calibration offset, and the input rail is not printed
        (
            "RAM 1/2MB (lfb 1x2MB) CPU [0%@2201] VDD_GPU -392mW/-392mW VDD_CPU_SOC_MSS 3924mW/3924mW "
            "VIN_SYS_5V0 6520mW/6520mW",
            (10.052, "rails_sum"),
        ),
        # TX2 developer kit: the carrier's own supply stands beside the module's
        ("RAM 1/2MB (lfb 1x2MB) CPU [0%@345] VDD_IN 3056/3056 VDD_MUX 5000/5000", (3.056, "module")),
        # made up: a release that prints small letters, as it does for temperatures
        ("RAM 1/2MB cpu [0%@345] vdd_in 4500mW/4100mW vdd_soc 1100mW/900mW", (4.5, "module")),
        # made up: watts instead of milliwatts, one value instead of two
        ("RAM 1/2MB CPU [0%@345] VDD_IN 4.5W/3.2W VDD_SOC 1100mW", (4.5, "module")),
    ],
)
def test_totals_of_boards_that_no_capture_shows(line, expected):
    reading = read("tegrastats", line)
    assert (reading.total_w, reading.total_scope) == (pytest.approx(expected[0]), expected[1])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "VDD_GPU 4210mW/1mW/2mW VDD_CPU_SOC_MSS 6020mW/1mW/2mW VIN_SYS_5V0 4415mW/1mW",
            "it ends with 4415mW/1mW",
        ),
        ("VDD_GPU 4210mW/1mW VDD_CPU_SOC_MSS 6020mW/1mW VIN_SYS_5V0 4415mW/", "it ends with 4415mW/"),
        (
            "VDD_GPU 4210mW/1mW VDD_CPU_SOC_MSS 6020mW/1mW VIN_SYS_5V0 4415mW/1mW VI",
            "it ends with the name VI",
        ),
        (
            "VDD_GPU 4210mW/1mW VDD_CPU_SOC_MSS 6020mW/1mW VIN_SYS_5V0 4415mW/1mW VIN 24",
            "VIN has no whole value",
        ),
    ],
)
def test_a_line_cut_within_its_rails_has_no_total(line, reason):
    reading = read("tegrastats", "RAM 1/2MB CPU [0%@2201] " + line)
    assert reading.total_w is None
    assert reason in reading.reason


@pytest.mark.parametrize("missing", ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"])
def test_a_sum_that_lacks_a_part_is_none(missing):
    parts = {"VDD_GPU_SOC": 1.0, "VDD_CPU_CV": 2.0, "VIN_SYS_5V0": 3.0}
    assert rails.total(parts).watts == 6.0
    del parts[missing]
    assert rails.total(parts).watts is None
    assert "no complete set" in rails.total(parts).reason


def test_unconnected_channels_are_no_rails_but_letters_within_a_name_do_no_harm():
    assert not any(
        rails.is_rail(label) for label in ("NC", "NC1", "VDD_NC", "", None, "sum of shunt voltages")
    )
    assert rails.is_rail("VDD_SYNC_IN")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the output is empty"),
        ("# only a comment\n", "the output is empty"),
        ("bash: tegrastats: command not found", "no line of tegrastats: it begins with 'bash: tegrastats"),
        ("bash: tegrastats: command not found", "there is no such program on this board"),
        ("RAM 1/2MB CPU [0%@729] cpu@40C", "no power rails in this output"),
        ("RAM 1/2MB CPU [0%@729] VDD_SOC 100mW/100mW", "no input rail and no complete set of parts"),
        ("RAM 1/2MB CPU [0%] VDD_IN " + "9" * 400 + "mW/1mW", "damaged"),
        ("RAM 1/2MB CPU [0%] VDD_IN -5mW/1mW", "is negative"),
    ],
)
def test_a_total_that_is_not_there_has_a_reason(text, reason):
    reading = read("tegrastats", text)
    assert reading.total_w is None
    assert reason in reading.reason


# -- the Pi's tools --------------------------------------------------------------------------------


def test_pairs_are_made_by_name_not_by_number_or_order():
    lines = trees.pmic_text().splitlines()
    shuffled = "\n".join(sorted(lines))
    assert read("pmic", shuffled).total_w == pytest.approx(2.5)
    assert read("pmic", "\n".join(lines)).total_w == pytest.approx(2.5)


def test_an_answer_that_lost_a_line_has_no_total():
    for lost in ("VDD_CORE_A", "VDD_CORE_V"):
        text = "\n".join(line for line in trees.pmic_text().splitlines() if lost not in line)
        reading = read("pmic", text)
        assert (reading.total_w, reading.reason) == (None, "current or voltage missing of: VDD_CORE")


def test_more_power_than_a_supply_gives_is_refused():
    text = trees.pmic_text({"VDD_CORE": (30.0, 0.9)}, supply_v=5.0)
    reading = read("pmic", text)
    assert reading.total_w is None
    assert "more than 5 A at 5.00 V" in reading.reason


@pytest.mark.parametrize("lost", ["EXT5V", "VDD_CORE"])
def test_rails_whose_two_lines_are_lost_leave_no_total(lost):
    text = "\n".join(line for line in trees.pmic_text().splitlines() if lost not in line)
    reading = read("pmic", text)
    assert reading.total_w is None
    assert reading.reason.startswith("not a whole answer")


def test_one_rail_asked_by_name_is_not_the_board():
    reading = read("pmic", "VDD_CORE_A current(7)=1.00000000A\nVDD_CORE_V volt(15)=0.90000000V\n")
    assert (reading.total_w, table(reading)) == (None, {"VDD_CORE": 0.9})
    assert "only these rails were told: VDD_CORE" in reading.reason


def test_of_two_answers_of_the_power_chip_the_last_counts():
    text = trees.pmic_text() + trees.pmic_text({"VDD_CORE": (1.0, 0.9)})
    assert read("pmic", text).total_w == pytest.approx(0.9)


@pytest.mark.parametrize("kind", ["pmic", "throttled", "vcgencmd"])
@pytest.mark.parametrize(
    "text",
    [
        "VCHI initialization failed",
        'error=1 error_msg="Command not registered"',
        "vcgencmd: command not found",
    ],
)
def test_what_vcgencmd_says_instead_of_an_answer_is_the_reason(kind, text):
    reading = read(kind, text)
    assert (reading.channels, reading.total_w) == ([], None)
    assert text in reading.reason


@pytest.mark.parametrize(
    ("text", "bits", "now", "since_boot"),
    [
        ("throttled=0x0\n", 0, [], []),
        ("throttled=0x50005", 0x50005, ["under-voltage", "throttled"], ["under-voltage", "throttled"]),
        (
            "e0008\n",
            0xE0008,
            ["soft temperature limit"],
            ["frequency capped", "throttled", "soft temperature limit"],
        ),
        ("# from a file\nthrottled=0x80000", 0x80000, [], ["soft temperature limit"]),
    ],
)
def test_throttle_flags_have_names(text, bits, now, since_boot):
    reading = read("throttled", text)
    assert table(reading, "throttle") == {"board": bits}
    assert (reading.details["now"], reading.details["since_boot"]) == (now, since_boot)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("frequency(48)=1800457088", "frequency", {"clock 48": 1800457088}),
        ("temp=48.3'C", "temperature", {"soc": 48.3}),
        ("arm=948M\ngpu=76M", "memory", {"arm": 948 << 20, "gpu": 76 << 20}),
        ("throttled=0x20000", "throttle", {"board": 0x20000}),
    ],
)
def test_a_line_of_vcgencmd_gives_its_value_and_kind(text, kind, expected):
    assert table(read("vcgencmd", text), kind) == expected


# -- power modes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "number"),
    [
        ("NV Fan Mode:quiet\nNV Power Mode: MAXN\n0\n", "MAXN", 0),
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: 10W\n1\n", "10W", 1),
        (
            "SOC family:tegra234\nFAN Dynamic Speed control=active hwmon2_pwm1=55\nNV Power Mode: MAXN\n",
            "MAXN",
            None,
        ),
        ("NVPM VERB: POWER_MODEL: ID=3 NAME=7W\nNVPM VERB: Current mode: NV Power Mode: 7W\n3\n", "7W", 3),
    ],
)
def test_the_mode_is_found_among_what_else_nvpmodel_says(text, name, number):
    details = read("nvpmodel", text).details
    assert (details["name"], details["id"]) == (name, number)


def test_nvpmodel_that_knows_no_mode_says_why():
    reading = read("nvpmodel", "NVPM WARN: power mode is not set!\n")
    assert (reading.details["name"], reading.reason) == (None, "NVPM WARN: power mode is not set!")
    assert "begins with 'sh: 1: nvpmodel: not found'" in read("nvpmodel", "sh: 1: nvpmodel: not found").reason


def test_the_table_of_modes_can_be_read_from_its_file():
    text = "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
    text += "< PM_CONFIG DEFAULT=2 >\n"
    details = read("nvpmodel", text).details
    assert details["modes"] == [{"id": 0, "name": "15W"}, {"id": 2, "name": "MAXN_SUPER"}]
    assert (details["default_id"], details["name"]) == (2, None)


# -- dumps of an INA3221 ---------------------------------------------------------------------------

HWMON = {
    "name": "ina3221",
    "in1_label": "VDD_IN",
    "in1_input": "5048",
    "curr1_input": "920",
    "curr1_crit_alarm": "0",
    "in2_label": "VDD_CPU_GPU_CV",
    "in2_input": "5040",
    "curr2_input": "160",
    "curr2_max_alarm": "1",
    "in3_label": "NC",
    "in3_input": "0",
    "curr3_input": "0",
    "in4_input": "4600",
    "in7_label": "sum of shunt voltages",
    "in7_input": "5400",
    "curr4_input": "1080",
    "samples": "512",
    "update_interval": "1000",
}
FOLDER = "/sys/class/hwmon/hwmon3/"


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"{FOLDER}{name}:{value}" for name, value in HWMON.items()),  # grep . folder/*
        "\n".join(f"{name}:{value}" for name, value in HWMON.items()),  # cd folder; grep . *
        "\n".join(f"{name} = {value}" for name, value in HWMON.items()),
        "\n".join(f"{name} {value}" for name, value in HWMON.items()),
        "\n".join(f"==> {FOLDER}{name} <==\n{value}\n" for name, value in HWMON.items()),  # head folder/*
    ],
)
def test_a_dump_of_the_kernels_driver_in_every_way_people_print_it(text):
    reading = read("ina3221", "# source: somebody\n" + text)
    assert table(reading) == pytest.approx({"VDD_IN": 5.048 * 0.92, "VDD_CPU_GPU_CV": 5.04 * 0.16})
    assert (reading.total_w, reading.total_scope) == (pytest.approx(5.048 * 0.92), "module")
    assert reading.details["samples"] == "512"
    assert reading.details["alarms"] == ["VDD_CPU_GPU_CV max"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cat: /sys/class/hwmon/hwmon3/in1_label: Permission denied\n", "in1_label: Permission denied"),
        ("name:ina3221\nin1_input:5144\ncurr1_input:640\n", "ina3221 has no label"),
        ("name:ina226\nin1_input:5144\ncurr1_input:640\npower1_input:3292160\n", "ina226 has no label"),
        ("name:pwmfan\nin1_label:VIN\nin1_input:5144\ncurr1_input:640\n", "no labelled rail"),
        ("in1_label:VIN\nin1_input:5.1\ncurr1_input:640\n", "in1_input: 5.1"),  # no kernel prints fractions
        ("in1_label:VIN\nin1_input:5 A\ncurr1_input:640\n", "no number of V"),
        ("VDD_IN: 4.6mV 5048mV 920mA\n", "4.6 mV and 5048 mV: which one is meant?"),
        (
            "ls: cannot access '/sys/bus/i2c/drivers/ina3221': No such file or directory\n",
            "cannot access",
        ),
    ],
)
def test_a_dump_that_does_not_tell_its_rails_says_why(text, reason):
    reading = read("ina3221", text)
    assert reading.total_w is None
    assert reason in " ".join([reading.reason, *(each.get("reason", "") for each in reading.channels)])


def test_prose_beside_a_dump_is_no_file():
    text = "name of the board below\nname ina3221\nin1_label VDD_IN\nin1_input 5000\ncurr1_input 400\nlabel as seen\n"
    assert read("ina3221", text).total_w == pytest.approx(2.0)


def test_lm_sensors_prints_a_monitor_of_one_channel():
    text = (
        "ina238-i2c-2-44\nAdapter: c610000.i2c\nin0:           3.00 mV\nVIN:          19.88 V  (min =  +0.00 V)\n"
        "power1:       29.82 W  (max = 0.00 W)\ntemp1:        +41.0 C\ncurr1:         1.50 A\n\n"
        "ina3221-i2c-2-40\nVDD_GPU:  12.00 V\ncurr1: 750.00 mA\n"
    )
    reading = read("ina3221", text)
    assert (reading.total_w, reading.total_scope) == (pytest.approx(29.82), "board_input")
    assert table(reading) == pytest.approx({"VIN": 29.82, "VDD_GPU": 9.0})


def test_values_with_their_units_are_what_they_say():
    text = "in1_label: VDD_IN\nin1_input: 5.048 V\ncurr1_input: 920 mA\n"
    assert read("ina3221", text).total_w == pytest.approx(5.048 * 0.92)


def test_unlabelled_channels_of_lm_sensors_are_no_rails():
    text = "ina3221-i2c-1-40\nAdapter: x\nin1:   5.14 V\nin2:   0.00 V\ncurr1: 640.00 mA\n"
    reading = read("ina3221", text)
    assert (reading.channels, reading.total_w) == ([], None)
    assert "ina3221 has no label" in reading.reason


def test_lm_sensors_prints_the_same_rails():
    plain = (
        "ina3221-i2c-1-40\nAdapter: c240000.i2c\nVDD_IN:                 5.05 V\nVDD_CPU_GPU_CV:         5.04 V\n"
        "VDD_SOC:                5.04 V\nsum of shunt voltages:   6.00 mV\n"
        "curr1:                 920.00 mA (crit max = +32.76 A, max = +32.76 A)\n"
        "curr2:                 160.00 mA\ncurr3:                   0.32 A\n\n"
        "cpu_thermal-virtual-0\nAdapter: Virtual device\ntemp1:        +47.7 C\n"
    )
    expected = pytest.approx({"VDD_IN": 5.05 * 0.92, "VDD_CPU_GPU_CV": 5.04 * 0.16, "VDD_SOC": 5.04 * 0.32})
    assert table(read("ina3221", plain)) == expected
    raw = "ina3221-i2c-1-40\nAdapter: x\n"
    for index, (label, volts, amperes) in enumerate(
        (("VDD_IN", 5.05, 0.92), ("VDD_CPU_GPU_CV", 5.04, 0.16), ("VDD_SOC", 5.04, 0.32)), start=1
    ):
        raw += f"{label}:\n  in{index}_input: {volts:.3f}\n"
        raw += f"curr{index}:\n  curr{index}_input: {amperes:.3f}\n  curr{index}_max: 32.7\n"
    assert table(read("ina3221", raw)) == expected
    chip = {"Adapter": "x", "VDD_IN": {"in1_input": 5.05}, "curr1": {"curr1_input": 0.92, "curr1_max": 32.7}}
    assert table(read("ina3221", json.dumps({"ina3221-i2c-1-40": chip}))) == pytest.approx(
        {"VDD_IN": 5.05 * 0.92}
    )


def test_a_dump_of_jetpack_4_and_of_two_chips():
    text = "\n".join(
        f"/sys/bus/i2c/drivers/ina3221x/1-004{chip}/iio:device{chip}/{name}:{value}"
        for chip, labels in enumerate((("GPU", "CPU", "SOC"), ("CV", "VDDRQ", "SYS5V")))
        for index, label in enumerate(labels)
        for name, value in (
            (f"rail_name_{index}", label),
            (f"in_power{index}_input", 100 * (index + 1) + chip),
            (f"in_power{index}_trigger_input", 0),
            ("running_mode", 1),
        )
    )
    reading = read("ina3221", text)
    assert table(reading) == pytest.approx(
        {"GPU": 0.1, "CPU": 0.2, "SOC": 0.3, "CV": 0.101, "VDDRQ": 0.201, "SYS5V": 0.301}
    )
    assert (reading.total_w, reading.total_scope) == (pytest.approx(1.203), "rails_sum")
    assert reading.details["running_mode"] == "1"


def test_a_file_that_could_not_be_read_is_the_rails_reason():
    text = "in1_label:VDD_IN\nin1_input:5000\ncurr1_input:cat: curr1_input: Connection timed out\n"
    reading = read("ina3221", text)
    (power,) = [channel for channel in reading.channels if channel["kind"] == "power"]
    assert power["value"] is None
    assert "Connection timed out" in power["reason"]
    assert (reading.total_w, reading.total_scope) == (None, None)


# -- plugs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "total", "joules"),
    [
        # Shelly.GetStatus of a plug of generation 3
        (
            {
                "ble": {},
                "switch:0": {"id": 0, "output": True, "apower": 4.3, "aenergy": {"total": 2.0}},
                "sys": {},
            },
            4.3,
            [7200],
        ),
        # two outlets: the device's whole is their sum
        ({"switch:0": {"apower": 4.0}, "switch:1": {"apower": 5.5}}, 9.5, []),
        # PM1.GetStatus, alone and in an RPC frame
        (
            {"id": 0, "voltage": 240.2, "current": 0.1, "apower": 12.5, "aenergy": {"total": 1.0}},
            12.5,
            [3600],
        ),
        ({"id": 1, "src": "shelly", "result": {"id": 0, "apower": 7.0}}, 7.0, []),
        # a meter of three phases, with its counter in another component
        (
            {"em:0": {"a_act_power": 400.0, "total_act_power": 1200.0}, "emdata:0": {"total_act": 10.0}},
            1200.0,
            [36000],
        ),
        ({"em1:0": {"act_power": 30.0}, "em1data:0": {"total_act_energy": 10.0}}, 30.0, [36000]),
        # generation 1: a meter counts watt-minutes, an emeter watt-hours
        ({"power": 10.0, "is_valid": True, "total": 600}, 10.0, [36000]),
        ({"emeters": [{"power": 100.0, "voltage": 230.0, "is_valid": True, "total": 10.0}]}, 100.0, [36000]),
    ],
)
def test_every_generation_of_shelly_gives_power_and_energy(answer, total, joules):
    reading = read("shelly", json.dumps(answer))
    assert (reading.total_w, reading.total_scope) == (pytest.approx(total), "wall_ac")
    assert list(table(reading, "energy").values()) == pytest.approx(joules)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            {"id": 0, "output": True, "temperature": {"tC": 40.0}},
            "no power meter in this answer",
        ),  # no PM in it
        ({"code": 404, "message": "No handler for Switch.GetStatus"}, "error 404: No handler"),
        ({"id": 1, "error": {"code": 401, "message": "auth"}}, "error 401"),
        ({"id": 0, "apower": None}, "apower is null"),
        ({"meters": [{"power": 0.0, "is_valid": False}]}, "not valid"),
        ({"em:0": {"total_act_power": 0.0, "errors": ["power_meter_failure"]}}, "power_meter_failure"),
        ({"switch:0": {"apower": 1.0}, "switch:1": {"apower": None}}, "switch:1: apower is null"),
        ({"id": 0, "apower": -3.0}, "negative power"),
    ],
)
def test_a_shelly_without_power_has_a_reason(answer, reason):
    reading = read("shelly", json.dumps(answer))
    assert reading.total_w is None
    assert reason in reading.reason


@pytest.mark.parametrize(
    ("answer", "total"),
    [
        ({"power_mw": 2345, "voltage_mv": 230000, "current_ma": 20, "total_wh": 5, "err_code": 0}, 2.345),
        ({"slot_id": 2, "power_mw": 1500, "voltage_mv": 121000, "current_ma": 12, "total_wh": 0}, 1.5),
        # Tapo P110, KP125M: several questions answered at once
        (
            {
                "get_energy_usage": {"current_power": 7400, "today_energy": 10},
                "get_current_power": {"current_power": 7},
                "get_emeter_data": {"power_mw": 7412, "voltage_mv": 230100, "current_ma": 45, "energy_wh": 3},
            },
            7.412,
        ),
        (
            {"result": {"current_power": 2529, "month_energy": 5203, "today_energy": 12}, "error_code": 0},
            2.529,
        ),
        ({"get_current_power": {"current_power": 63}}, 63.0),
        (
            {
                "result": {
                    "responses": [
                        {
                            "method": "get_energy_usage",
                            "result": {"current_power": 5500, "today_energy": 1},
                            "error_code": 0,
                        }
                    ]
                },
                "error_code": 0,
            },
            5.5,
        ),
    ],
)
def test_every_generation_of_kasa_and_tapo_gives_its_power(answer, total):
    reading = read("kasa", json.dumps(answer))
    assert (reading.total_w, reading.total_scope) == (pytest.approx(total), "wall_ac")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"emeter": {"err_code": -1, "err_msg": "module not support"}}, "error -1: module not support"),
        ({"error_code": -1010}, "error -1010"),
        ({"system": {"get_sysinfo": {"alias": "plug", "err_code": 0}}}, "no power in this answer"),
    ],
)
def test_a_kasa_without_power_has_a_reason(answer, reason):
    reading = read("kasa", json.dumps(answer))
    assert reading.total_w is None
    assert reason in reading.reason


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            '{"switch:0":{"apower":12.5},"switch:1":{"ap',
            "the answer is cut: its JSON is not whole, brackets are open",
        ),
        ('{"switch:0":{"apower":12.5},"switch:1":{"apower":3.', "the answer is cut"),
        ('{"switch:0":{"apower":12.5},"sw\n\npi@host:~ $ ', "a string is cut, or broken by a line's end"),
        (
            '"switch:0":{"apower":12.5},"switch:1":{"apower":3.0}}',
            "the answer is cut: .* the beginning is missing",
        ),
        (',"switch:1":{"apower":3.0}', "the beginning is missing"),
        ('{"apower":12.5},"switch:1":{"apower":3.0}', "the beginning is missing"),
        (':{"apower":3.0}', "the beginning is missing"),
        ('5,"voltage":230.5}}', "the beginning is missing"),
        ('{"apower":12.5},', "the beginning is missing"),
        (
            '{"switch:0":{"apower":12.5} "switch:1":{"apower":3.0}}',
            "no valid JSON: Expecting ',' delimiter at character 28",
        ),
        ('{"switch:0":{"apower":12.5},"switch:0":{"apower":3.0}}', "the key 'switch:0' stands twice"),
        ('[{"id":0,"apower":12.5},{"id":1,"apower":3.0}]', "a JSON list of 2 answers: give one"),
        (
            '{"id":0,"apower":12.5}\n{"id":1,"apower":3.0}\n',
            "answers of several outlets stand one after another",
        ),
        (
            '{"switch:0":{"apower":12.5},"switch:1":{"apower":3.0}}\n{"id":1,"apower":3.0}\n',
            "answers of several outlets stand one after another",
        ),
        (
            '{"switch:0":{"apower":12.5},"switch:1":{"output":true}}',
            "switch:1: it tells no power, unlike its neighbours",
        ),
        (
            '{"src":"plug","method":"NotifyStatus","params":{"ts":1.5,"switch:1":{"id":1,"apower":3.0}}}',
            "a notification tells what has changed, not all outlets",
        ),
        ('{"id":0,"apower":nan}', "apower is no number"),
    ],
)
def test_an_outlets_watts_are_never_the_devices_total(answer, reason):
    reading = read("shelly", "# source: nobody\n" + answer)
    assert reading.total_w is None
    assert re.search(reason, reading.reason)


@pytest.mark.parametrize(
    ("output", "total"),
    [
        ('[2026-03-01 08:00:00] plug: {"id":0,"apower":12.5}\n', 12.5),
        ('${HOME}$ curl http://192.0.2.1/rpc/{Switch}\n{"id":0,"apower":12.5} $ ', 12.5),
        ('{"id":0,"apower":3.0}\n{"id":0,"apower":12.5}\n', 12.5),  # two readings of one outlet: the last
        ("{}\n" + '{"id":0,"apower":12.5}\n{}', 12.5),
        ('[{"id":0,"apower":12.5}]', 12.5),
        ('payload="{"id":0,"apower":12.5}"', 12.5),
        ('{"switch:0":{"apower":12.5},"switch:0":{"apower":12.5}}', 12.5),
        ('{"em:0":{"total_act_power":12.5},"switch:100":{"id":100,"output":true}}', 12.5),
        ('{"id":[0],"apower":12.5}', 12.5),
        ('{"tst":"2026-03-01","topic":"x","payload":{"id":0,"apower":12.5}}', 12.5),
    ],
)
def test_what_stands_around_a_whole_answer_is_passed_over(output, total):
    reading = read("shelly", output)
    assert (reading.total_w, reading.reason) == (total, None)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        # a strip of which one outlet is told
        (
            {
                "system": {"get_sysinfo": {"child_num": 3}},
                "emeter": {"get_realtime": {"power_mw": 5e4, "slot_id": 0}},
            },
            "1 of 3 outlets told",
        ),
        (
            {
                "system": {"get_sysinfo": {"children": [{"id": "0"}, {"id": "1"}]}},
                "emeter": {"power_mw": 5e4},
            },
            "1 of 2 outlets told",
        ),
        # an outlet that failed, and one that lost its power
        (
            {
                "emeter": {"get_realtime": {"power_mw": 5e4, "slot_id": 0, "err_code": 0}},
                "emeter2": {"get_realtime": {"err_code": -1, "err_msg": "busy"}},
            },
            "emeter2: error -1: busy",
        ),
        (
            {"emeter": {"get_realtime": {"power_mw": 5e4, "slot_id": 0}}, "emeter2": {"err_code": -1}},
            "emeter2: error -1",
        ),
        (
            {
                "emeter": {"get_realtime": {"power_mw": 5e4, "slot_id": 0}},
                "emeter2": {"get_realtime": {"voltage_mv": 230000, "current_ma": 5, "slot_id": 1}},
            },
            "outlet 1: no power in its answer",
        ),
        # answers that do not say of which outlet they are
        (
            {
                "responses": [
                    {"method": "get_energy_usage", "result": {"current_power": power}}
                    for power in (7000, 9000)
                ]
            },
            "several answers to get_energy_usage do not tell their outlet",
        ),
        (
            {
                "get_energy_usage": {"current_power": 9000},
                "children": {"a": {"get_energy_usage": {"current_power": 7000}}},
            },
            "both the whole and its parts tell a power",
        ),
    ],
)
def test_a_strip_of_kasa_that_tells_of_some_outlets_has_no_total(answer, reason):
    reading = read("kasa", json.dumps(answer))
    assert reading.total_w is None
    assert reason in reading.reason


def test_made_up_a_strip_of_kasa_is_the_sum_of_its_outlets_whatever_tells_them_apart():
    slots = {
        f"emeter{index or ''}": {"get_realtime": {"power_mw": power * 1000, "slot_id": index, "err_code": 0}}
        for index, power in enumerate((58.5, 0, 3.25))
    }
    reading = read("kasa", json.dumps({"system": {"get_sysinfo": {"child_num": 3, "err_code": 0}}, **slots}))
    assert (reading.total_w, table(reading)) == (61.75, {"outlet 0": 58.5, "outlet 1": 0, "outlet 2": 3.25})
    children = {
        "child_devices": {
            name: {
                "get_energy_usage": {"current_power": power, "today_energy": 1},
                "get_emeter_data": {"error_code": -1},
            }
            for name, power in (("one", 7000), ("two", 1500))
        }
    }
    assert read("kasa", json.dumps(children)).total_w == 8.5
    outlets = "\n".join(json.dumps({"slot_id": slot, "power_mw": 1000, "total_wh": 1}) for slot in (0, 1))
    assert "several outlets" in read("kasa", outlets).reason
    bulb = {
        "emeter": {"err_code": -1, "err_msg": "module not support"},
        "smartlife.iot.common.emeter": {"get_realtime": {"power_mw": 9500, "err_code": 0}},
    }
    assert read("kasa", json.dumps(bulb)).total_w == 9.5


@pytest.mark.parametrize(
    ("text", "total"),
    [
        # up to 5.10 there is no ENERGY, and up to 3 some numbers are texts
        ('{"StatusPWR":{"Voltage":222,"Current":"1.067","Power":234,"Today":"0.048","Factor":"0.98"}}', 234),
        ('{"StatusPWR":{"Voltage":222,"Power":"234","Today":"0.048"}}', 234),
        ('{"Time":"2018-01-20T09:08:07","Total":4.3,"Today":0.1,"Period":1,"Power":37,"Voltage":229}', 37),
        # "Status 0" on a console: the message about energy is not the last
        (
            'STATUS = {"Status":{"Module":43,"Power":1}}\nSTATUS8 = {"StatusSNS":{"ENERGY":{"Power":12.5}}}\n'
            'STATUS11 = {"StatusSTS":{"POWER":"ON"}}\n',
            12.5,
        ),
        # tariffs are lists, too
        ('{"ENERGY":{"Total":3.5,"TotalTariff":[1.5,2.0],"Power":12.5,"Voltage":230}}', 12.5),
        ('{"ENERGY":{"Power":[1,0,0],"Total":3.5,"Voltage":[230,230,230],"Frequency":50}}', 1),
        (json.dumps({"ENERGY": {"Power": [1.5] * 12}}), 18),
    ],
)
def test_tasmotas_of_all_versions(text, total):
    assert read("tasmota", text).total_w == total


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            '{"Status":{"Module":43,"FriendlyName":["a"],"Power":1}}',
            "no ENERGY in this answer",
        ),  # a relay's state
        ('{"StatusSTS":{"POWER":"ON"}}', "no ENERGY in this answer"),
        ('{"ENERGY":{"Power":nan,"Voltage":230}}', "its Power is no number: nan"),
        ('{"ENERGY":{"Power":[12,-nan],"Voltage":230}}', "relay 2: its Power is no number: nan"),
        ('{"ENERGY":{"Power":[12,null]}}', "relay 2: no Power for it"),
        (
            '{"ENERGY":{"Power":[12,5,7],"Current":[0.1,0.2]}}',
            "not of equally many relays: Current 2, Power 3",
        ),
        ('{"ENERGY":{"Power":12,"Total":,"Voltage":230}}', "no valid JSON: Expecting value at character 30"),
        ('{"ENERGY":{"Power":12,5,"Voltage":230}}', "no valid JSON"),
        (json.dumps({"ENERGY": {"Power": [1] * 99}}), "damaged: 99 relays"),
    ],
)
def test_a_tasmota_that_does_not_tell_its_power_rightly_has_no_total(text, reason):
    reading = read("tasmota", text)
    assert reading.total_w is None
    assert reason in reading.reason


def test_tasmota_with_two_relays_gives_lists():
    text = (
        '{"Time":"2026-09-18T11:19:21","ENERGY":{"TotalStartTime":"2026-09-16T00:00:00","Total":[2.813,0.254],'
        '"Yesterday":[1.530,0.125],"Today":[0.772,0.059],"Power":[52,5],"ApparentPower":[66,10],"Factor":[0.79,0.50],'
        '"Voltage":235,"Current":[0.278,0.044],"BL09XX":{"Temperature":46.5}}}'
    )
    reading = read("tasmota", "tele/plug/SENSOR = " + text)
    assert table(reading) == {"relay 1": 52, "relay 2": 5}
    assert table(reading, "voltage") == {"relay 1": 235, "relay 2": 235}
    assert (reading.total_w, reading.details["resolution_w"]) == (57, 1.0)


@pytest.mark.parametrize(("power", "step_w"), [("12", 1.0), ("12.3", 0.1), ("12.345", 0.001)])
def test_tasmotas_resolution_shows_in_its_digits(power, step_w):
    text = '{"StatusSNS":{"ENERGY":{"Power":POWER,"Total":1.0}}}'.replace("POWER", power)
    assert read("tasmota", text).details["resolution_w"] == pytest.approx(step_w)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"WARNING":"Need user=<username>&password=<password>"}', "WARNING: Need user"),
        ('{"Command":"Unknown"}', "Command: Unknown"),
        ('{"StatusSNS":{"Time":"2023-10-09T09:21:49"}}', "no ENERGY"),
        ('{"StatusSNS":{"ENERGY":{"Total":1.0}}}', "no Power"),
    ],
)
def test_a_tasmota_without_power_has_a_reason(text, reason):
    reading = read("tasmota", text)
    assert reading.total_w is None
    assert reason in reading.reason


# -- all of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n# nothing\n",
        "{" * 5000,
        "[" * 5000,
        '{"a":' * 3000,
        "null",
        "[1, 2]",
        '{"ENERGY": 3, "meters": 4, "switch:0": 5, "emeter": []}',
        '{"switch:0": {"apower": "12"}, "ENERGY": {"Power": "x"}, "power": [], "current_power": true}',
        '{"apower": 1e999, "power_mw": 1e999, "power": 1e999, "ENERGY": {"Power": NaN}}',
        "in1_label:\nin1_input:\ncurr1_input\n",
        "throttled=0xfffffffffffffffffff",
        "frequency(0)=" + "9" * 5000,
        "\x1b[31mRAM\x1b[0m 1/2MB \ufffd\ufffd",
        "A_A current(0)=A\nB_V volt(1)=V",
    ],
)
def test_damage_is_a_reading_with_a_reason(kind, text):
    reading = read(kind, text)
    assert reading.total_w is None
    assert reading.reason
    assert all(channel["value"] is not None or channel["reason"] for channel in reading.channels)
    json.dumps(reading._asdict(), allow_nan=False)


def test_made_up_an_ina3221_in_a_shell_session_and_in_tables_with_units():
    folder = "/sys/bus/i2c/devices/6-0040/iio:device0"
    session = "".join(
        f"$ cat {folder}/{name}\n{value}\n"
        for name, value in (("rail_name_0", "POM_5V_IN"), ("in_power0_input", 2105), ("rail_name_1", "POM_5V_GPU"),
                            ("in_power1_input", 40))
    )  # fmt: skip
    reading = read("ina3221", session)
    assert (reading.total_w, reading.total_scope) == (pytest.approx(2.105), "board_input")
    reading = read("ina3221", "VDD_IN: 920mA @ 5048mV = 4644mW\nVDD_SOC: 288mA @ 5040mV = 1451mW\n")
    assert (reading.total_w, reading.total_scope) == (pytest.approx(4.644), "module")
    rows = (
        "VDD_GPU_SOC 19808 mV 120 mA\nVDD_CPU_CV 19808 mV 20 mA\nVIN_SYS_5V0 5016 mV 800 mA\nNC 0 mV 0 mA\n"
    )
    reading = read("ina3221", rows + "VDDQ_VDD2_1V8AO 5000 mV 60 mA\n")
    assert (reading.total_w, reading.total_scope) == (pytest.approx(2.37696 + 0.39616 + 4.0128), "rails_sum")
    assert [channel["site"] for channel in reading.channels if channel["kind"] == "power"] == [
        "VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO",
    ]  # fmt: skip


def test_made_up_a_plug_that_tripped_is_no_load_of_nothing():
    reading = read("shelly", '{"id":0,"output":false,"apower":0.0,"voltage":230.1,"errors":["overpower"]}')
    assert reading.total_w is None
    assert "overpower" in reading.reason
