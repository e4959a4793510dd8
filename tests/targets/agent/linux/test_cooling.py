"""Which cooling devices slow a board, and which trip points make them: bindings of real boards, values made up."""

from __future__ import annotations

import shutil

import pytest

from tunebench.targets.agent.doctor import bundle
from tunebench.targets.agent.health import counters
from tunebench.targets.agent.job.watchdog import limit, trip_points
from tunebench.targets.agent.linux import cooling
from tunebench.targets.agent.sensors import throttled

ZONE = "sys/class/thermal/thermal_zone0/"


@pytest.mark.parametrize(
    ("kind", "slows"),
    [
        ("cpufreq-cpu0", True),
        ("thermal-cpufreq-0", True),
        ("devfreq-17000000.gpu", True),
        ("devfreq-gpu-gpc-0", True),
        ("cpu-balanced", True),
        ("Processor", True),
        ("cpu-throttle-alert", True),
        ("soc012-throttle-alert", True),
        ("unknown", True),
        ("hot-surface-alert", False),
        ("skin-alert", False),
        ("user_alert", False),
        ("thermal-warning", False),
        ("pwm-fan", False),
        ("water-pump", False),
        ("iwlwifi_1", False),
        ("TCC Offset", False),
        ("battery-charge", False),
        ("led-status", False),
    ],
)
def test_what_slows_a_board_and_what_only_warns_people(kind, slows):
    assert cooling.slows(kind) is slows


def zone(tree, trips, bindings, folder=ZONE, policy="step_wise"):
    """A zone with trip points, and devices bound to them: (type, number of the trip point)."""
    tree.write_all(folder, {"type": "cpu-thermal\n", "policy": policy + "\n"})
    for number, (kind, raw) in enumerate(trips):
        tree.write_all(folder, {f"trip_point_{number}_type": kind + "\n", f"trip_point_{number}_temp": raw})
    for number, (kind, trip) in enumerate(bindings):
        device = f"sys/class/thermal/cooling_device{20 + number}/"
        if not (tree.root / device).exists():
            tree.write_all(device, {"type": kind + "\n", "cur_state": 0})
        tree.link(f"{folder}cdev{number}", device)
        tree.write(f"{folder}cdev{number}_trip_point", trip)


TRIPS = [("passive", 99000), ("critical", 104500), ("passive", 70000)]
ORIN = [("cpufreq-cpu0", 0), ("cpu-throttle-alert", 0), ("hot-surface-alert", 2)]


def test_a_trip_point_to_which_only_a_warning_is_bound_is_none_of_throttling(simulated):
    tree = simulated("orin-nano-jp6")
    zone(tree, TRIPS, ORIN)
    assert trip_points(str(tree), ("passive",)) == [99.0]
    assert limit({}, str(tree)) == (99.5, "5 C under a trip point")


@pytest.mark.parametrize(
    ("bindings", "policy", "expected"),
    [
        (
            [*ORIN, ("devfreq-17000000.gpu", 2)],
            "step_wise",
            [99.0, 70.0],
        ),  # a warning, and something that slows
        ([("pwm-fan", 2), ("cpufreq-cpu0", 0)], "step_wise", [99.0]),  # a fan is turned up
        ([("cpufreq-cpu0", 0)], "step_wise", [99.0]),  # nothing acts at 70 C
        ([("cpufreq-cpu0", 0)], "power_allocator", [99.0, 70.0]),  # the governor is switched on there
        ([("", 2), ("cpufreq-cpu0", 0)], "step_wise", [99.0, 70.0]),  # a device whose type cannot be read
        ([], "step_wise", [99.0, 70.0]),  # no bindings are shown at all: it may be so
    ],
)
def test_bindings_decide_which_passive_trip_points_slow(simulated, bindings, policy, expected):
    tree = simulated("pi-4")
    zone(tree, TRIPS, bindings, policy=policy)
    assert trip_points(str(tree), ("passive",)) == expected


def test_a_zone_without_bindings_slows_nothing_where_others_have_some(simulated):
    tree = simulated("orin-nano-jp6")
    zone(tree, TRIPS, ORIN)
    zone(tree, [("passive", 61000)], [], "sys/class/thermal/thermal_zone1/")
    assert trip_points(str(tree), ("passive",)) == [99.0]


def test_a_hot_trip_point_that_only_warns_does_not_end_workloads(simulated):
    tree = simulated("orin-nano-jp6")
    zone(tree, [("passive", 99000), ("critical", 104500), ("hot", 70000)], ORIN)
    assert limit({}, str(tree))[0] == 99.5
    zone(
        tree,
        [("passive", 99000), ("critical", 104500), ("hot", 70000)],
        [],
        "sys/class/thermal/thermal_zone1/",
    )
    assert limit({}, str(tree))[0] == 65.0  # one that nothing is bound to is the firmware's


def test_trip_points_in_whole_degrees_are_read_as_such(simulated):
    tree = simulated("pi-4")
    zone(tree, [("critical", 105), ("passive", 85)], [])
    assert (limit({}, str(tree))[0], trip_points(str(tree), ("passive",))) == (100.0, [85.0])


def test_a_bundle_keeps_what_trip_points_are_bound_to(simulated, tmp_path):
    tree = simulated("orin-nano-jp6")
    zone(tree, TRIPS, ORIN)
    files, _ = bundle.collect(str(tree))
    replay = tmp_path / "replay"
    for name, content in files.items():
        path = replay / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert trip_points(str(replay), ("passive",)) == [99.0]
    shutil.rmtree(replay)


def test_a_warning_to_people_is_no_sign_of_throttling_and_a_throttle_alert_is(simulated):
    tree = simulated("orin-nano-jp6")
    states = {
        (path.parent / "type").read_text().strip(): path
        for path in tree.root.glob("sys/class/thermal/*/cur_state")
    }
    states["hot-surface-alert"].write_text("1\n")
    strain = counters.read(str(tree))
    assert counters.COOLING + "hot-surface-alert" not in strain
    assert {value for name, value in strain.items() if name.startswith(counters.COOLING)} == {0}
    (sensor,) = [s for s in throttled.discover(str(tree)).sensors if s.channels[0].id == "cooling_state"]
    assert sensor.read() == [0]
    states["gpu-throttle-alert"].write_text("1\n")
    assert (sensor.read(), counters.read(str(tree))[counters.COOLING + "gpu-throttle-alert"]) == ([1], 1)


def test_over_current_events_count_where_they_throttle(simulated):
    tree = simulated("orin-nano-jp6")
    folder = "sys/devices/platform/soctherm-oc-event/hwmon/hwmon9/"
    tree.write_all(folder, {"oc1_event_cnt": 2, "oc1_throt_en": 1, "oc2_event_cnt": 7, "oc2_throt_en": 0})
    strain = counters.read(str(tree))
    assert strain[counters.OVER_CURRENT + "soctherm_oc oc1_event_cnt"] == 2
    assert counters.OVER_CURRENT + "soctherm_oc oc2_event_cnt" not in strain
