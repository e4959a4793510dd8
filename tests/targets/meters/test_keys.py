"""``[board.meter]``: what is accepted, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunebench.harness.config.inventory import load_inventory
from tunebench.harness.errors import UsageError
from tunebench.targets.meters.registry import KINDS

BOARD = '[[board]]\nid = "pi"\nhost = "pi"\nkind = "raspberry-pi"\n[board.meter]\n'
GOOD = {
    "hwmon": 'kind = "hwmon"\nscope = "dc_input"\nchip = "ina226"\nshunt_uohm = 10000\n',
    "serial-csv": 'kind = "serial-csv"\nscope = "dc_input"\nport = "/dev/ttyACM0"\n',
    "csv-replay": 'kind = "csv-replay"\nscope = "dc_input"\npath = "log.csv"\ntime_column = "t"\npower_column = 1\n',
    "shelly": 'kind = "shelly"\nscope = "wall_ac"\nhost = "plug-1"\npassword_env = "PLUG_PASSWORD"\n',
    "joulescope": 'kind = "joulescope"\nscope = "dc_input"\n',
}
CURRENT_ONLY = GOOD["csv-replay"].replace(
    "power_column = 1", 'current_column = 1\ncurrent_unit = "uA"\nvoltage_v = 3.7'
)


def _load(tmp_path: Path, meter: str):
    path = tmp_path / "lab.toml"
    path.write_text(BOARD + meter)
    return load_inventory(path).boards[0].meter


def _refused(tmp_path: Path, meter: str) -> str:
    with pytest.raises(UsageError) as caught:
        _load(tmp_path, meter)
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert f"{tmp_path / 'lab.toml'}: board 'pi': " in message
    return message


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_meter_has_its_keys(tmp_path, kind):
    meter = _load(tmp_path, GOOD[kind])
    assert meter.kind == kind
    assert meter.spec()["scope"] == meter.scope


def test_paths_are_given_relative_to_the_inventory(tmp_path):
    assert _load(tmp_path, GOOD["csv-replay"]).path == str(tmp_path / "log.csv")


def test_a_logger_of_currents_alone_has_a_fixed_voltage(tmp_path):
    meter = _load(tmp_path, CURRENT_ONLY.replace("3.7", "5"))
    assert meter.spec()["voltage_v"] == 5.0
    assert "power_unit" not in meter.spec()  # so that the column's own name may tell it


def test_a_misspelt_key_names_the_keys_of_that_kind_only(tmp_path):
    message = _refused(tmp_path, GOOD["shelly"].replace("host", "hots"))
    assert "unknown key 'hots' (did you mean 'host'?)" in message
    assert "allowed: channel, generation, host, kind, password_env" in message
    assert "shunt_uohm" not in message


@pytest.mark.parametrize(
    ("meter", "message"),
    [
        (
            GOOD["shelly"].replace('"shelly"', '"shely"'),
            "key 'board.meter.kind' is 'shely'; allowed: hwmon, ",
        ),
        ('scope = "wall_ac"\n', "key 'board.meter.kind' is missing; allowed: hwmon, "),
        (
            GOOD["shelly"].replace("wall_ac", "wall"),
            "key 'board.meter.scope': must be 'wall_ac', 'dc_input'",
        ),
        (GOOD["joulescope"].replace('scope = "dc_input"', ""), "key 'scope' is missing"),
        (GOOD["hwmon"].replace("10000", "0"), "key 'board.meter.shunt_uohm': must be greater than 0"),
        (
            GOOD["csv-replay"].replace("power_column = 1", "voltage_column = 1"),
            "give either 'power_column', or",
        ),
        (
            CURRENT_ONLY.replace("voltage_v = 3.7\n", ""),
            "give either 'power_column', or 'current_column' with 'voltage_column' (or 'voltage_v', if it is fixed)",
        ),
        (CURRENT_ONLY + "power_column = 2\n", "give either 'power_column', or"),
        (GOOD["csv-replay"] + "voltage_v = 3.7\n", "give either 'power_column', or"),
        (CURRENT_ONLY + "voltage_column = 2\n", "give 'voltage_column' or 'voltage_v', not both"),
        (CURRENT_ONLY.replace("3.7", "0"), "key 'board.meter.voltage_v': must be greater than 0"),
        (
            CURRENT_ONLY.replace("3.7", "3700.0"),
            "key 'board.meter.voltage_v': must be less than or equal to",
        ),
        (
            CURRENT_ONLY.replace("3.7", '"3.7 V"'),
            "key 'board.meter.voltage_v': must be a number",
        ),
        (
            GOOD["csv-replay"] + 'power_unit = "kW"\n',
            "key 'board.meter.power_unit': must be 'W', 'mW' or 'uW'",
        ),
        (GOOD["csv-replay"] + 'time_format = "%Q"\n', "'%Q' is no format of strptime"),
        (GOOD["csv-replay"] + 'time_format = "%Y %Y"\n', "'%Y %Y' is no format of strptime"),
        (GOOD["csv-replay"] + 'decimal = ","\nheader = false\n', "'delimiter' and 'decimal' are both ','"),
        (GOOD["shelly"].replace("PLUG_PASSWORD", "hunter2!"), "key 'board.meter.password_env'"),
        (GOOD["shelly"] + 'password = "hunter2"\n', "unknown key 'password'"),
    ],
)
def test_a_wrong_value_is_told_what_would_be_right(tmp_path, meter, message):
    assert message in _refused(tmp_path, meter)
