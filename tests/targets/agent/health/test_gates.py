"""Gates, strain and the watchdog on simulated boards: each fires on its own fault, and only then."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import pytest

from tunebench.targets.agent.health import background_load, counters, gates
from tunebench.targets.agent.health.gates import GATES
from tunebench.targets.agent.job.sampler import Sampler
from tunebench.targets.agent.job.watchdog import Watchdog, limit, trip_points
from tunebench.targets.agent.sensors.base import Channel, Sensor
from tunebench.targets.agent.workdir import AgentError

LIMITS = {
    "policy": "enforce",
    "max_temp_c": 75.0,
    "min_disk_b": 1 << 20,
    "min_mem_b": 64 << 20,
    "max_clock_bound_s": 0.4,
    "clock_bound_s": 0.01,
    "others": True,
    "fixed_clock": True,
    "start_temp_c": None,
    "start_window_c": 3.0,
}


@pytest.fixture
def board(simulated):
    """A Raspberry Pi 4 that is fit: cool, idle, its clock fixed."""
    tree = simulated("pi-4")
    tree.zones["cpu-thermal"].write_text("45000\n")
    for policy in (tree.root / "sys/devices/system/cpu/cpufreq").glob("policy*"):
        (policy / "scaling_governor").write_text("performance\n")
    return tree


def look(board, **changes):
    return gates.look(str(board.root), {**LIMITS, **changes}, str(board.root))


def process(board, pid: int, name: str, cmdline: str = "") -> None:
    board.write(f"proc/{pid}/comm", name + "\n")
    board.write(f"proc/{pid}/cmdline", cmdline.replace(" ", "\0"))


def cpu_times(board, busy: int, idle: int) -> None:
    board.write("proc/stat", f"cpu {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 0\n")


def test_a_fit_board_passes_every_gate_and_tells_what_was_read(board):
    looked = look(board)
    assert looked.warnings == []
    assert looked.conditions["temp_c"] == 45.0
    assert looked.conditions["throttled"] == 0
    assert looked.conditions["background_cores"] is None


REFUSED = {
    "hot": lambda board: board.zones["cpu-thermal"].write_text("75500\n"),
    "start-temp": lambda board: None,
    "throttled-before": lambda board: next(board.root.rglob("get_throttled")).write_text("50005\n"),
    "memory": lambda board: board.write("proc/meminfo", "MemAvailable: 60000 kB\n"),
    "load": lambda board: board.write("proc/loadavg", "2.50 1 1 1/1 1\n"),
    "disturber": lambda board: process(board, 77, "apt-get", "apt-get upgrade"),
    "disk": lambda board: None,
}
CHANGES = {
    "start-temp": {"start_temp_c": 41.9},
    "load": {"max_load_1m": 2.0},
    "disk": {"min_disk_b": 1 << 60},
}


@pytest.mark.parametrize("code", REFUSED)
def test_what_waiting_may_mend_is_refused_where_gates_are_enforced_and_noted_elsewhere(board, code):
    REFUSED[code](board)
    changes = CHANGES.get(code, {})
    with pytest.raises(AgentError) as refusal:
        look(board, **changes)
    assert (refusal.value.kind, refusal.value.code) == ("condition", code)
    assert str(refusal.value).startswith(code + ": ")
    for lenient in ({"policy": "warn"}, {"waived": [code]}):
        assert [one["code"] for one in look(board, **changes, **lenient).warnings] == [code]


NOTED = {
    "start-cold": ({"start_temp_c": 48.1}, lambda board: None),
    "clock-bound-before": ({"clock_bound_s": 0.5}, lambda board: None),
    "governor": (
        {},
        lambda board: board.write("sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "ondemand\n"),
    ),
    "disturber": ({}, lambda board: process(board, 78, "packagekitd")),
    "users": (
        {},
        lambda board: board.write(
            "run/systemd/sessions/c1", "UID=1000\nUSER=ann\nACTIVE=1\nSEAT=seat0\nCLASS=user\n"
        ),
    ),
}


@pytest.mark.parametrize("code", NOTED)
def test_what_waiting_would_not_mend_is_noted(board, code):
    changes, do = NOTED[code]
    do(board)
    assert [one["code"] for one in look(board, **changes).warnings] == [code]


@pytest.mark.parametrize("start_c", [42.0, 45.0, 48.0])
def test_within_the_window_of_the_first_repetition_nothing_is_said(board, start_c):
    assert look(board, start_temp_c=start_c).warnings == []


def test_a_fixed_frequency_is_as_good_as_the_performance_governor(board):
    folder = "sys/devices/system/cpu/cpufreq/policy0/"
    board.write(folder + "scaling_governor", "ondemand\n")
    board.write(folder + "scaling_min_freq", board.read(folder + "scaling_max_freq"))
    assert look(board).warnings == []
    board.write(folder + "scaling_min_freq", 600000)
    (warning,) = look(board).warnings
    assert "policy0: ondemand 600-" in warning["message"]


def test_ubuntus_waiting_upgrader_is_no_disturber(board):
    process(board, 79, "unattended-upgr", "python3 unattended-upgrade-shutdown --wait-for-signal")
    assert look(board).warnings == []
    process(board, 80, "unattended-upgr", "python3 /usr/bin/unattended-upgrade")
    with pytest.raises(AgentError, match=r"disturber: at work: unattended-upgr \(80\)"):
        look(board)


def test_terminals_are_in_use_if_something_was_typed_lately(board):
    path = board.write("dev/pts/0", "")
    board.write("dev/pts/ptmx", "")
    board.write("etc/passwd", f"root:x:0:0::/:/bin/sh\nann:x:{path.stat().st_uid}:1::/:/bin/sh\n")
    (user,) = background_load.users(str(board.root))
    assert user.endswith(" on pts/0")
    old_s = time.time() - background_load.IDLE_TERMINAL_S - 60
    os.utime(path, (old_s, old_s))
    assert background_load.users(str(board.root)) == []


def test_a_greeter_and_a_session_without_a_seat_are_nobody(board):
    board.write("run/systemd/sessions/1", "USER=pi\nACTIVE=1\nCLASS=user\nREMOTE=1\n")
    board.write("run/systemd/sessions/2", "USER=gdm\nACTIVE=1\nSEAT=seat0\nCLASS=greeter\n")
    board.write("run/systemd/sessions/3", "USER=ann\nACTIVE=0\nSEAT=seat0\nCLASS=user\n")
    assert background_load.users(str(board.root)) == []


def test_without_limits_nothing_is_asked_and_the_unreadable_is_unjudged(tmp_path):
    assert gates.look(str(tmp_path), {"policy": "enforce"}, str(tmp_path)).warnings == []
    warnings = gates.look(str(tmp_path), LIMITS, str(tmp_path)).warnings
    assert {one["code"] for one in warnings} == {"unjudged"}
    assert {one["message"].split(":")[0] for one in warnings} == {"gate max_temp_c", "gate min_mem_b"}


# -- CPU time of others ---------------------------------------------------------------------------

#: Ticks are 10 ms, our own too: over two seconds one of them is 0.005 cores.
IDLE = {"note_background_cores": 0.03, "max_background_cores": 0.25, "idle_window_s": 2.0}


@pytest.fixture
def working(board, monkeypatch):
    """``working(0.1, 0.0)``: while idle time is measured first, others use a tenth of a core, then nothing.

    The clock of the measurement is simulated like the counters: what this machine is busy with has no part in it.
    """

    def use(*cores_in_turn: float) -> None:
        turns, now_s, used = list(cores_in_turn), [50.0], [1000]
        stat = "500 (miner (x)) S 1 1 1 0 -1 0 0 0 0 0 %d 50 0 0 20 0 1 0 1 1 1"

        def tell() -> None:
            board.write("proc/500/stat", stat % used[0])
            cpu_times(board, used[0], int(400 * now_s[0]) - used[0])  # four cores

        def work(seconds: float) -> None:
            now_s[0] += seconds
            used[0] += round(100 * turns.pop(0) * seconds)
            tell()

        tell()
        clock = SimpleNamespace(sleep=work, monotonic=lambda: now_s[0], time=time.time)
        monkeypatch.setattr(background_load, "time", clock)

    return use


@pytest.mark.parametrize(
    ("cores", "codes"),
    [([0.0], []), ([0.1, 0.1], ["busy"]), ([0.1, 0.0], []), ([2.0, 0.1], ["busy"])],
    ids=["idle", "a tenth of a core", "done with the second look", "nearly done"],
)
def test_cpu_time_of_others_is_noted_by_how_much_stays(board, working, cores, codes):
    working(*cores)
    looked = look(board, **IDLE)
    assert [one["code"] for one in looked.warnings] == codes
    assert looked.conditions["background_cores"] == pytest.approx(min(cores), abs=0.02)


def test_a_board_at_work_is_refused_and_the_worker_named(board, working):
    working(2.0, 2.0)
    with pytest.raises(AgentError, match=r"busy: others use \d\.\d+ cores \(miner \(x\) \(500\)") as refusal:
        look(board, **IDLE)
    assert refusal.value.code == "busy"


def test_counters_that_do_not_move_are_unjudged_not_idle(board):
    cpu_times(board, 1000, 5000)
    looked = look(board, **{**IDLE, "idle_window_s": 0.01})
    assert [one["code"] for one in looked.warnings] == ["unjudged"]
    assert looked.conditions["background_cores"] is None


def test_idle_time_is_measured_on_this_machine_without_counting_ourselves():
    deadline_s = time.monotonic() + 0.3
    while time.monotonic() < deadline_s:
        pass  # our own work before the window does not count
    cores, busiest = background_load.background("/", 0.3)
    assert cores is not None
    assert 0.0 <= cores <= (os.cpu_count() or 1) + 0.5
    assert not any(f"({os.getpid()})" in one for one in busiest)


def test_idle_time_costs_nothing_where_gates_only_warn(board):
    started_s = time.monotonic()
    look(board, policy="warn", **{**IDLE, "idle_window_s": 30.0})
    assert time.monotonic() - started_s < 2


def test_every_gate_is_shown_to_fire():
    assert {*REFUSED, *NOTED, "busy"} == {gate.code for gate in GATES}


# -- strain ---------------------------------------------------------------------------------------


def test_strain_of_a_cool_board_is_all_zeros_and_of_a_throttled_one_is_not(simulated):
    tree = simulated("orin-nano-jp6")
    before = counters.read(str(tree.root))
    cooling = {name for name in before if name.startswith(counters.COOLING)}
    assert counters.COOLING + "cpu-throttle-alert" in cooling
    assert counters.COOLING + "pwm-fan" not in cooling
    assert not any(
        before[name] for name in before if name.startswith((counters.COOLING, counters.OVER_CURRENT))
    )
    for device in (tree.root / "sys/class/thermal").glob("cooling_device*"):
        (device / "cur_state").write_text("2\n")
    for alarm in tree.root.rglob("curr1_crit_alarm"):
        alarm.write_text("1\n")
    for cap in tree.root.rglob("scaling_max_freq"):
        cap.write_text("729600\n")
    after = counters.read(str(tree.root))
    assert all(after[name] == 2 for name in cooling)
    assert after[counters.OVER_CURRENT + "ina3221 VDD_IN curr1_crit_alarm"] == 1
    assert after["freq_cap_khz"] == 729600 < before["freq_cap_khz"]


def test_strain_that_cannot_be_read_is_null(tmp_path):
    found = counters.read(str(tmp_path))
    assert (found["throttled"], found["freq_cap_khz"], found["pswpin"]) == (None, None, None)
    assert found["monotonic_ns"] <= found["boottime_ns"] + 1_000_000


# -- watchdog -------------------------------------------------------------------------------------


@pytest.fixture
def sampled(tmp_path):
    """A sampler over temperatures that the test sets."""
    readings = {"cpu_temp_c": 50.0, "gpu_temp_c": 50.0, "load_1m": 200.0}
    kinds = {"cpu_temp_c": "temperature", "gpu_temp_c": "temperature", "load_1m": "load"}
    channels = [Channel(name, name, kind, "C", None, "test", None) for name, kind in kinds.items()]
    sensor = Sensor(channels, lambda: list(readings.values()))
    sampler = Sampler(str(tmp_path / "samples.jsonl"), [sensor], 0.1)
    yield sampler, readings
    sampler.close()


def watch(watchdog, sampler):
    sampler.sample()
    return watchdog.look()


def test_the_watchdog_ends_a_workload_on_the_second_reading_above_the_limit(sampled, tmp_path):
    sampler, readings = sampled
    watchdog = Watchdog({"max_temp_c": 80.0}, sampler, str(tmp_path))
    assert watch(watchdog, sampler) is None
    readings["gpu_temp_c"] = 80.5
    assert watch(watchdog, sampler) is None
    assert watchdog.look() is None, "the same sample does not count twice"
    said = watch(watchdog, sampler)
    assert said.startswith("too hot: gpu_temp_c is 80.5 C")
    assert watchdog.entry()["tripped_c"] == 80.5


def test_one_wild_reading_or_one_at_the_limit_harms_nobody(sampled, tmp_path):
    sampler, readings = sampled
    watchdog = Watchdog({"max_temp_c": 80.0}, sampler, str(tmp_path))
    for value in (200.0, 50.0, None, 80.0, 80.0, 200.0, 50.0):
        readings["cpu_temp_c"] = value
        assert watch(watchdog, sampler) is None
    assert watchdog.entry()["tripped_c"] is None


def test_a_sensor_that_falls_silent_above_the_limit_does_not_calm_the_watchdog(sampled, tmp_path):
    sampler, readings = sampled
    watchdog = Watchdog({"max_temp_c": 80.0}, sampler, str(tmp_path))
    readings["cpu_temp_c"] = 90.0
    assert watch(watchdog, sampler) is None
    readings["cpu_temp_c"] = None
    assert watch(watchdog, sampler) is not None


def test_a_watchdog_that_is_off_or_has_nothing_to_watch_says_so(sampled, tmp_path):
    sampler, readings = sampled
    readings["cpu_temp_c"] = 200.0
    off = Watchdog({"off": "because"}, sampler, str(tmp_path))
    assert watch(off, sampler) is None and watch(off, sampler) is None
    assert off.entry()["reason"] == "off: because"
    blind = Sampler(str(tmp_path / "none.jsonl"), [], 0.1)
    assert Watchdog({}, blind, str(tmp_path)).entry()["reason"] == "no temperature is readable"
    blind.close()


def test_the_limit_comes_from_the_job_the_boards_trip_points_or_the_default(tmp_path):
    root = str(tmp_path)
    assert limit({}, root) == (95.0, "default")
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    points = {"critical": 104500, "hot": 20800, "passive": 82000}  # one that nobody set
    for number, (kind, value) in enumerate(points.items()):
        (zone / f"trip_point_{number}_type").write_text(kind + "\n")
        (zone / f"trip_point_{number}_temp").write_text(f"{value}\n")
    (zone / "type").write_text("cpu-thermal\n")
    assert limit({}, root)[0] == 99.5
    assert limit({"max_temp_c": 70}, root) == (70.0, "max_temp_c")
    assert trip_points(root, ("passive",)) == [82.0]
    (zone / "type").write_text("PMIC-Die\n")
    assert limit({}, root)[0] == 95.0


def test_a_gate_on_what_cannot_be_read_is_a_warning(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/loadavg").write_text("3.5 0 0 1/1 1\n")
    limits = {"policy": "enforce", "max_temp_c": 60.0, "max_load_1m": 4.0}
    conditions, warnings = gates.look(str(tmp_path), limits, root=str(tmp_path))
    assert (conditions["load_1m"], conditions["temp_c"]) == (3.5, None)
    assert [warning["code"] for warning in warnings] == ["unjudged"]
    with pytest.raises(AgentError, match=r"load: load_1m is 3\.5"):
        gates.look(str(tmp_path), {**limits, "max_load_1m": 3.0}, root=str(tmp_path))
