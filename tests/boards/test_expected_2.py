"""Every file of EXPECTED-2.md that is a board's: what it must be read as, worked out by hand there.

Outputs go through the parsers, trees through discovery, the probe and the examination that ``tunebench doctor`` asks
for; those that say something about a run are run, all in one campaign. The files are not ours to ship;
TUNEBENCH_CAPTURES names the folder that holds them.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tunebench.harness.campaign.progress import Silent
from tunebench.harness.campaign.session import Request, open_session
from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.config.suite import load_suite
from tunebench.harness.verify import audit
from tunebench.reports.results import RunReader
from tunebench.targets.agent.doctor import permissions
from tunebench.targets.agent.environment import probe
from tunebench.targets.agent.formats import read
from tunebench.targets.agent.health import gates
from tunebench.targets.agent.job import watchdog
from tunebench.targets.agent.sensors.discover import discover
from tunebench.targets.agent.workdir import Workdir

pytestmark = pytest.mark.data
CAPTURES = os.environ.get("TUNEBENCH_CAPTURES")
#: Headings of EXPECTED-2.md whose files are boards'.
SECTIONS = ("tegrastats", "ina3221", "vcgencmd, pmic", "Trees (simulated boards)")
MIB = float(1 << 20)


def capture(name: str) -> Path:
    if not CAPTURES:
        pytest.skip("TUNEBENCH_CAPTURES names no folder with captures")
    return Path(CAPTURES) / name


# -- outputs ----------------------------------------------------------------------------------------

#: File -> kind, total and its scope, lines (tegrastats), and what else is told: kind -> site -> value.
OUTPUTS: dict[str, tuple[str, tuple[float, str] | None, int | None, dict[str, dict[str, float | None]]]] = {
    "tegrastats_thor_jp72_clock_only.txt": (
        "tegrastats",
        (24.310, "board_input"),
        1,
        {
            "load": {"cpu0": 0.03, "cpu1": None, "cpu2": 0.12, "cpu3": 0.0, "gpu": None},
            "frequency": {"cpu0": 1728e6, "cpu2": 1728e6, "cpu3": 1728e6, "gpu": 918e6},
            "temperature": {"cpu": 46.5, "tj": 47.75, "gpu": 47.75},
            "power": {"VDD_GPU": 4.210, "VDD_CPU_SOC_MSS": 6.020, "VIN_SYS_5V0": 4.415, "VIN": 24.310},
        },
    ),
    "tegrastats_tx1_l4t28_lowercase.txt": (
        "tegrastats",
        None,
        2,
        {
            "load": {"cpu0": 0.41, "cpu1": 0.22, "cpu2": None, "cpu3": 0.18, "gpu": 0.64},
            "frequency": {"cpu0": 1428e6, "cpu1": 1428e6, "cpu3": 1428e6, "gpu": 614e6},
            "memory": {
                "swap_used": 16 * MIB,
                "swap_total": 2048 * MIB,
                "ram_used": 1462 * MIB,
                "ram_total": 3995 * MIB,
            },
            "power": {},
        },
    ),
    "tegrastats_tx2_l4t28_lowercase_root.txt": (
        "tegrastats",
        None,
        1,
        {
            "load": {
                "cpu0": 0.07,
                "cpu1": None,
                "cpu2": None,
                "cpu3": 0.03,
                "cpu4": 0.11,
                "cpu5": 0.02,
                "gpu": 0.33,
            },
            "frequency": {"cpu0": 1420e6, "cpu3": 1421e6, "cpu4": 1419e6, "cpu5": 1422e6, "gpu": 726e6},
            "power": {},
        },
    ),
    "tegrastats_prefixed_service.txt": (
        "tegrastats",
        (14.320, "module"),
        2,
        {
            "load": dict(
                zip([f"cpu{i}" for i in range(6)], (0.62, 0.58, 0.60, 0.64, 0.59, 0.61), strict=True)
            )
            | {"gpu": 0.93},
            "frequency": {f"cpu{i}": 1728e6 for i in range(6)},
            "temperature": {"cpu": 55.3, "gpu": 56.1, "tj": 56.1},
            "memory": {
                "swap_used": 5 * MIB,
                "swap_total": 3810 * MIB,
                "ram_used": 3350 * MIB,
                "ram_total": 7620 * MIB,
            },
        },
    ),
    "tegrastats_prefixed_journalctl.txt": (
        "tegrastats",
        (14.320, "module"),
        2,
        {
            "load": {"cpu0": 0.62, "cpu1": 0.58, "gpu": 0.93},
            "temperature": {"cpu": 55.3, "tj": 56.1},
            "memory": {
                "swap_used": 5 * MIB,
                "swap_total": 3810 * MIB,
                "ram_used": 3350 * MIB,
                "ram_total": 7620 * MIB,
            },
        },
    ),
    "ina3221_thor_ina238_grep.txt": (
        "ina3221",
        (29.820, "board_input"),
        None,
        {"power": {"VIN": 29.820, "VDD_GPU": 9.0, "VDD_CPU_SOC_MSS": 6.0, "VIN_SYS_5V0": 5.0}},
    ),
    "ina3221_find_cat_orin_nx.txt": (
        "ina3221",
        (7.200, "module"),
        None,
        {"power": {"VDD_IN": 7.2, "VDD_CPU_GPU_CV": 1.6, "VDD_SOC": 1.4}},
    ),
    "vcgencmd_clocks_loop_pi3.txt": (
        "vcgencmd",
        None,
        None,
        {"frequency": {"arm": 1400e6, "core": 400e6, "h264": 0.0, "uart": 48e6}},
    ),
    "vcgencmd_not_installed.txt": ("pmic", None, None, {}),
    "pmic_read_adc_one_rail.txt": ("pmic", None, None, {"power": {}, "voltage": {"EXT5V": 5.08732}}),
}
#: File -> what the reason for the missing total says, and what it does not.
REASONS = {
    "vcgencmd_not_installed.txt": ("there is no such program", "group"),
    "pmic_read_adc_one_rail.txt": ("no rail's current was told", "not positive"),
    "tegrastats_tx1_l4t28_lowercase.txt": ("no power rails in this output", "no line"),
    "tegrastats_tx2_l4t28_lowercase_root.txt": ("no power rails in this output", "no line"),
    "vcgencmd_clocks_loop_pi3.txt": ("tells no power", "not an answer"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_output_is_read_as_its_board_meant_it(name):
    kind, total, lines, values = OUTPUTS[name]
    reading = read(kind, capture(name).read_text(encoding="utf-8"))
    if total is None:
        says, says_not = REASONS[name]
        assert (reading.total_w, reading.total_scope) == (None, None)
        assert says in reading.reason
        assert says_not not in reading.reason
    else:
        assert (reading.total_w, reading.total_scope, reading.reason) == (
            pytest.approx(total[0]),
            total[1],
            None,
        )
    if lines is not None:
        assert reading.details["lines"] == lines
    for quantity, expected in values.items():
        by_site = {each["site"]: each["value"] for each in reading.channels if each["kind"] == quantity}
        assert by_site == pytest.approx(expected), quantity
    assert all(each["value"] is not None or each["reason"] for each in reading.channels)


# -- boards at rest -----------------------------------------------------------------------------------

_LINE = re.compile(r"(?P<name>\S+) (?:= (?P<text>\".*\")|-> (?P<target>\S+))\Z")


def planted(name: str, folder: Path) -> Path:
    """A ``.tree`` file as a folder: files as JSON strings, links by their target from the root."""
    for line in capture(f"{name}.tree").read_text(encoding="utf-8").splitlines():
        match = _LINE.match(line)
        if match is None:
            assert not line or line.startswith("#"), line
            continue
        path = folder / match["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if match["target"]:
            path.symlink_to(os.path.relpath(folder / match["target"], path.parent))
        else:
            path.write_text(json.loads(match["text"]), encoding="utf-8")
    return folder


def values_on(root: Path) -> tuple[dict[str, float | None], dict[str, Any], dict[str, str]]:
    """What the sensors of a board read, their channels, and what is missing and why."""
    discovery = discover(str(root))
    values, channels = {}, {}
    for sensor in discovery.sensors:
        for channel, value in zip(sensor.channels, sensor.read(), strict=True):
            values[channel.id], channels[channel.id] = value, channel
        sensor.close()
    return values, channels, discovery.missing


def a_thor_has_its_input_on_an_ina238(root: Path) -> None:
    values, channels, missing = values_on(root)
    powers = {name: channel.scope for name, channel in channels.items() if channel.kind == "power"}
    assert powers == {"vin_w": "board_input"} | dict.fromkeys(
        ("vdd_gpu_w", "vdd_cpu_soc_mss_w", "vin_sys_5v0_w"), "soc_rail"
    )
    assert [values[name] for name in powers] == pytest.approx([29.82, 9.0, 6.0, 5.0])
    assert (values["gpu_freq_hz"], channels["gpu_freq_hz"].source) == (315e6, "devfreq gpu-gpc-0 cur_freq")
    assert "gpu_load" not in values and missing["gpu_load"]
    place = Workdir(str(root / "work"))
    os.makedirs(place.root)
    firmware = probe.probe(place, {}, str(root))["fingerprint"]["firmware"]
    assert (firmware["l4t"], firmware["jetpack"]) == ("39.2.0", "7.2")
    asked = {"root": str(root), "wanted": {"jetson_clocks": True}}
    (row,) = [row for row in permissions.examine(place, asked)["tuning"] if row["op"] == "jetson_clocks"]
    assert (row["available"], row["reason"]) == (True, None)


def an_orins_throttling_begins_at_99_c(root: Path) -> None:
    assert watchdog.trip_points(str(root), ("passive",)) == [99.0] * 4
    assert values_on(root)[0]["cooling_state"] == 0


def a_firmware_measures_less_than_the_kernel_believes(root: Path) -> None:
    values, _, _ = values_on(root)
    assert (values["cpu_clock_hz"], values["cpu_freq_hz"]) == (1000265088, 1.8e9)


def a_pi_without_cpufreq_has_its_firmwares_clock(root: Path) -> None:
    values, _, missing = values_on(root)
    assert values["cpu_clock_hz"] == 1500345728
    assert "cpu_freq_hz" not in values
    assert "looked for" in missing["cpu_freq_hz"]


def a_zone_in_whole_degrees_is_no_frost(root: Path) -> None:
    assert values_on(root)[0]["cpu_temp_c"] == 88.0
    looked = gates.look(str(root), {"policy": "warn", "max_temp_c": 75.0}, str(root))
    assert [warning["code"] for warning in looked.warnings] == ["hot"]


def a_gpus_zone_sleeps(root: Path) -> None:
    for asleep in ("", "-256000\n"):
        (root / "sys/class/thermal/thermal_zone1/temp").write_text(asleep)
        values, _, missing = values_on(root)
        assert values["gpu_temp_c"] is None
        assert "zone gpu-thermal" in missing["gpu_temp_c"]


def a_kernel_counts_no_oom_kills(root: Path) -> None:
    assert "oom_kill" not in (root / "proc/vmstat").read_text()


def a_monitor_without_labels_is_named(root: Path) -> None:
    _, channels, missing = values_on(root)
    assert not [channel for channel in channels.values() if channel.kind == "power"]
    assert "the INA3221 at hwmon/hwmon3 has no labels" in missing["power"]


def a_kernel_estimates_no_available_memory(root: Path) -> None:
    values, _, missing = values_on(root)
    assert "mem_available_b" not in values
    assert "before 3.14" in missing["mem_available_b"]
    place = Workdir(str(root / "work"))
    os.makedirs(place.root)
    probed = probe.probe(place, {}, str(root))
    assert probed["mem_available_b"] is None
    assert probed["missing"]["mem_available_b"]


TREES = {
    "board_thor_ina238": a_thor_has_its_input_on_an_ina238,
    "board_orin_nx_hot_surface": an_orins_throttling_begins_at_99_c,
    "board_pi4_firmware_clock_low": a_firmware_measures_less_than_the_kernel_believes,
    "board_pi4_no_cpufreq": a_pi_without_cpufreq_has_its_firmwares_clock,
    "board_plain_degrees": a_zone_in_whole_degrees_is_no_frost,
    "board_orin_gpu_zone_asleep": a_gpus_zone_sleeps,
    "board_nano_jp4_no_oom_counter": a_kernel_counts_no_oom_kills,
    "board_pi5_ina3221_unlabelled": a_monitor_without_labels_is_named,
    "board_tx1_no_memavailable": a_kernel_estimates_no_available_memory,
}


@pytest.mark.parametrize("name", TREES)
def test_a_board_is_found_as_it_is(name, tmp_path):
    TREES[name](planted(name, tmp_path / name))


def test_every_file_of_the_tables_is_here():
    text = capture("EXPECTED-2.md").read_text(encoding="utf-8")
    named = set()
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        if section.splitlines()[0] in SECTIONS:
            named |= set(re.findall(r"^\| `([\w.]+)`", section, re.MULTILINE))
    assert named == set(OUTPUTS) | set(TREES)


# -- boards at work -----------------------------------------------------------------------------------

RUN_S = 6.0
_WORKLOAD = f"""
import json, os, pathlib, signal, time
from tunebench import marks

roots = json.loads(pathlib.Path(__file__).with_name("roots.json").read_text())
(name,) = [name for name in roots if os.sep + "work-" + name + os.sep in os.getcwd() + os.sep]
root = pathlib.Path(roots[name])
marks.window_start()
if name == "board_nano_jp4_no_oom_counter":
    said = {{"argv": ["journalctl", "-k", "-q", "--no-pager", "-o", "cat", "-n", "1000"], "rc": 0}}
    said["out"] = "Out of memory: Kill process %d (python3) score 911 or sacrifice child\\n" % os.getpid()
    said["out"] += "Killed process %d (python3) total-vm:3893904kB, anon-rss:3457512kB\\n" % os.getpid()
    (root / ".commands").mkdir(exist_ok=True)
    (root / ".commands/journalctl_-k_-q_--no-pager_-o_cat_-n_1000.json").write_text(json.dumps(said))
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep({RUN_S / 2})
if name == "board_orin_gpu_zone_asleep":
    (root / "sys/class/thermal/thermal_zone1/temp").write_text("58200\\n")
time.sleep({RUN_S / 2})
marks.window_end()
marks.result(accuracy=0.75, before=0.5)
"""
RUNS = (
    "board_orin_nx_hot_surface",
    "board_pi4_firmware_clock_low",
    "board_orin_gpu_zone_asleep",
    "board_nano_jp4_no_oom_counter",
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory, bare_python):
    """One campaign on all boards at once: (reader, id -> its record)."""
    folder = tmp_path_factory.mktemp("expected2")
    roots = {name: str(planted(name, folder / name)) for name in RUNS}
    text = '[lab]\nname = "testlab"\n'
    for name, root in roots.items():
        text += f'\n[[board]]\nid = "{name}"\nkind = "loopback"\nworkdir = "{folder}/work-{name}"\n'
        text += f'simulated_root = "{root}"\ngates = "warn"\ninterpreter = "{bare_python}"\n'
    (folder / "lab.toml").write_text(text)
    (folder / "work.py").write_text(_WORKLOAD)
    (folder / "roots.json").write_text(json.dumps(roots))
    (folder / "suite.toml").write_text(
        '[suite]\nname = "expected"\nblocks = 1\naa = false\ninstrumented = false\n\n[[workload]]\nlabel = "a"\n'
        'task = "sleep"\ncommand = ["python3", "work.py"]\nfiles = ["work.py", "roots.json"]\ndeadline_s = 60.0\n'
    )
    inventory, suite = load_inventory(folder / "lab.toml"), load_suite(str(folder / "suite.toml"))
    request = Request(suite, inventory.boards, "testlab", folder / "results", False, ["tunebench", "run"])
    session = open_session(request)
    session.close(session.campaign(Silent()).run())
    reader = RunReader(session.writer.path)
    return reader, {record.board_id: record for record in reader.repetitions}


def codes(record) -> dict[str, str]:
    return {reason.code: reason.level for reason in record.reasons}


@pytest.mark.slow
def test_a_warm_orin_is_not_throttled_by_a_warning_to_people(ran):
    record = ran[1]["board_orin_nx_hot_surface"]
    assert record.outcome == "ok"
    assert not {"cooling", "near-trip"} & set(codes(record))
    assert record.verdict == "degraded"  # simulated; the gate `hot` speaks at 75 C


@pytest.mark.slow
def test_a_firmware_that_holds_the_clock_down_degrades_the_record(ran):
    record = ran[1]["board_pi4_firmware_clock_low"]
    assert (record.outcome, codes(record).get("clock-low")) == ("ok", "degraded")
    (reason,) = [reason for reason in record.reasons if reason.code == "clock-low"]
    assert (reason.values["median_hz"], reason.values["cap_hz"]) == (1000265088, 1.8e9)


@pytest.mark.slow
def test_a_gpu_that_wakes_up_is_in_the_trace_from_then_on(ran):
    reader, records = ran
    record = records["board_orin_gpu_zone_asleep"]
    trace = reader.trace(record)
    column = [channel.id for channel in trace.channels].index("gpu_temp_c")
    values = trace.values[column]
    first = values.index(58.2)
    assert first > 0
    assert set(values[:first]) == {None}
    assert set(values[first:]) == {58.2}
    assert "gpu_temp_c" not in record.missing
    assert "channel-errors" not in codes(record)  # a GPU that sleeps is no fault of its sensor


@pytest.mark.slow
def test_out_of_memory_is_told_by_the_kernels_line_where_it_counts_no_kills(ran):
    record = ran[1]["board_nano_jp4_no_oom_counter"]
    assert record.outcome == "oom"
    assert "Killed process" in record.outcome_reason


@pytest.mark.slow
def test_what_the_runs_kept_gives_their_verdicts_again(ran):
    assert audit(ran[0].path) == []
