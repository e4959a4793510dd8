"""Plugs' answers and loggers' files in the forms of public bug reports: each gives its number, or null with what is so.

The files are not ours to ship; TUNEBENCH_CAPTURES names the folder that holds them. Their right answers were worked out
by hand (EXPECTED-2.md in that folder).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from statistics import fmean

import pytest

from tunebench.targets.agent.formats import read
from tunebench.targets.meters import MeterError, open_meter

pytestmark = pytest.mark.data
FOLDER = os.environ.get("TUNEBENCH_CAPTURES")
NOT_DENIED = r"(?!.*no power meter)(?!.*no ENERGY)"
CUT = NOT_DENIED + r".*the answer is cut: its JSON is not whole"

#: File -> watts at the wall, or what the reason says.
PLUGS: dict[str, float | str] = {
    "kasa_cut_strip.json.txt": CUT,
    "shelly_cut_strip.json.txt": CUT,
    "shelly_cut_rpc.json.txt": CUT,
    "tasmota_cut_status8.json.txt": CUT,
    "tasmota_missing_brace2.json.txt": CUT,
    "tasmota_sensor_nan2.json.txt": 23.0,
    "tasmota_v510_flat2.json.txt": 37.0,
}
JOULESCOPE = {"time_column": "time", "power_column": "power"}
PPK2 = {"time_column": "Timestamp(ms)", "current_column": "Current(uA)", "voltage_v": 3.7}
UM25C = {"time_column": "Date", "power_column": "Power (W)", "delimiter": ";"}
#: File, keys -> readings, seconds from first to last, mean watts; or what the refusal says.
LOGGERS: list[tuple[str, dict[str, object], tuple[int, float, float] | str]] = [
    ("csv_joulescope_hash.csv", JOULESCOPE, (9, 2.0, 2.2)),
    ("csv_joulescope_iso.csv", JOULESCOPE, (9, 2.0, 2.2)),
    ("csv_um25c_dates.csv", UM25C, (6, 5.05, 3.81)),
    ("csv_um25c_dates.csv", {**UM25C, "delimiter": ","}, 'no column .Date.: .* set delimiter = ";"'),
    ("csv_um25c_dates.csv", {**UM25C, "power_column": "Temperature (°C)"}, "key 'power_column'.* is in °C"),
    ("csv_ppk2_current_only.csv", PPK2 | {"time_unit": "ms", "current_unit": "uA"}, (110, 0.0109, 1.55585)),
    ("csv_ppk2_current_only.csv", PPK2, (110, 0.0109, 1.55585)),
    ("csv_ppk2_current_only.csv", PPK2 | {"current_unit": "mA"}, "is in uA, and key 'current_unit' is 'mA'"),
]


@pytest.fixture(scope="module")
def folder() -> Path:
    if not FOLDER:
        pytest.skip("TUNEBENCH_CAPTURES names no folder with captures")
    return Path(FOLDER)


@pytest.mark.parametrize("name", PLUGS)
def test_a_plugs_answer_is_its_watts_or_null_with_the_true_reason(folder, name):
    reading = read(name.partition("_")[0], (folder / name).read_text(encoding="utf-8"))
    expected = PLUGS[name]
    if isinstance(expected, str):
        assert reading.total_w is None
        assert re.match(expected, reading.reason)
        assert reading.channels == []  # nor does an outlet's watts stand anywhere else
    else:
        assert (reading.total_w, reading.total_scope) == (expected, "wall_ac")


@pytest.mark.parametrize(("name", "keys", "expected"), LOGGERS)
def test_a_loggers_file_is_its_readings_or_refused_with_what_would_be_right(folder, name, keys, expected):
    spec = {"kind": "csv-replay", "scope": "dc_input", "path": str(folder / name), **keys}
    if isinstance(expected, str):
        with pytest.raises(MeterError, match=expected):
            open_meter(spec)
        return
    with open_meter(spec) as meter:
        meter.start()
        trace = meter.stop()
    count, length_s, mean_w = expected
    assert (trace.n, trace.errors) == (count, [])
    assert trace.t_s[-1] - trace.t_s[0] == pytest.approx(length_s, abs=1e-6)
    assert fmean(trace.power_w) == pytest.approx(mean_w, rel=1e-9)


def test_every_file_of_the_two_tables_is_here(folder):
    text = (folder / "EXPECTED-2.md").read_text(encoding="utf-8")
    plugs, loggers = (
        text.partition(f"\n## {title}")[2].partition("\n## ")[0] for title in ("Plugs", "Loggers")
    )
    assert set(re.findall(r"`(\w+\.json\.txt)`", plugs)) == set(PLUGS)
    assert set(re.findall(r"`(\w+\.csv)`", loggers)) == {name for name, _, _ in LOGGERS}
