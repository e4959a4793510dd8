"""Answers of plugs as they might be: a right total, or null with a reason; never a wrong number. All made up."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunebench.targets.agent.formats import read

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
#: Each example is cut at every one of its characters.
FEW_EXAMPLES = settings(max_examples=6, deadline=None, derandomize=True)

BEFORE = (
    "",
    "# source: nobody\n",
    "\ufeff\n",
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 512\r\n\r\n",
    "12:00:01.250 MQT: tele/plug/SENSOR = ",
    "[2026-03-01 08:00:00] plug: ",
    "$ curl -s http://192.0.2.1/status | tee ${HOME}/{a,b}.json\n",
)
AFTER = ("", "\n", "\r\n", "\npi@host:~ $ ", "\n200\n")


@dataclass(frozen=True)
class Outlet:
    """What an outlet draws, in W, V, A and Wh."""

    watts: float
    volts: float
    amperes: float
    watt_hours: float


def shelly_strip(outlets: list[Outlet]) -> Any:
    components = {
        f"switch:{index}": {
            "id": index,
            "output": True,
            "apower": outlet.watts,
            "voltage": outlet.volts,
            "current": outlet.amperes,
            "aenergy": {"total": outlet.watt_hours, "by_minute": [1.0, 2.0, 3.0]},
            "temperature": {"tC": 40.5, "tF": 104.9},
        }
        for index, outlet in enumerate(outlets)
    }
    return {"ble": {}, "cloud": {"connected": False}, **components, "sys": {"uptime": 3}}


def shelly_rpc(outlets: list[Outlet]) -> Any:
    return {"id": 7, "src": "shellyps4-x", "result": shelly_strip(outlets)}


def shelly_gen1(outlets: list[Outlet]) -> Any:
    meters = [{"power": each.watts, "is_valid": True, "total": each.watt_hours * 60} for each in outlets]
    return {"relays": [{"ison": True} for _ in outlets], "meters": meters, "uptime": 5, "temperature": 33.2}


def kasa_strip(outlets: list[Outlet]) -> Any:
    emeters = {
        f"emeter{index + 1 if index else ''}": {
            "get_realtime": {
                "voltage_mv": outlet.volts * 1e3,
                "current_ma": outlet.amperes * 1e3,
                "power_mw": outlet.watts * 1e3,
                "total_wh": outlet.watt_hours,
                "err_code": 0,
                "slot_id": index,
            }
        }
        for index, outlet in enumerate(outlets)
    }
    return {"system": {"get_sysinfo": {"child_num": len(outlets), "err_code": 0}}, **emeters}


def kasa_old(outlets: list[Outlet]) -> Any:
    (outlet,) = outlets
    fields = {"power": outlet.watts, "voltage": outlet.volts, "current": outlet.amperes, "err_code": 0}
    return {"emeter": {"get_realtime": {**fields, "total": outlet.watt_hours / 1e3}}}


def tapo(outlets: list[Outlet]) -> Any:
    (outlet,) = outlets
    answers = [
        {"method": "get_device_info", "result": {"nickname": "", "rssi": -50}, "error_code": 0},
        {"method": "get_emeter_data", "error_code": -1001},
        {
            "method": "get_energy_usage",
            "result": {"current_power": outlet.watts * 1e3, "today_energy": 12},
            "error_code": 0,
        },
    ]
    return {"result": {"responses": answers}, "error_code": 0}


def tasmota_fields(outlets: list[Outlet]) -> dict[str, Any]:
    fields = {
        "Total": [each.watt_hours / 1e3 for each in outlets],
        "Power": [each.watts for each in outlets],
        "Current": [each.amperes for each in outlets],
    }
    if len(outlets) == 1:
        return {
            "Voltage": outlets[0].volts,
            "Factor": 0.5,
            **{name: value[0] for name, value in fields.items()},
        }
    return {"TotalTariff": [1.5, 2.5], "Voltage": outlets[0].volts, "Factor": [0.5] * len(outlets), **fields}


def tasmota_status8(outlets: list[Outlet]) -> Any:
    sensors = {
        "Time": "2026-03-01T08:00:00",
        "ENERGY": tasmota_fields(outlets),
        "AM2301": {"Temperature": 21.5},
    }
    return {"StatusSNS": {**sensors, "TempUnit": "C"}}


def tasmota_flat(outlets: list[Outlet]) -> Any:
    return {"Time": "2018-01-20T09:08:07", "Today": 0.5, "Period": 1, **tasmota_fields(outlets)}


def tasmota_status_pwr(outlets: list[Outlet]) -> Any:
    return {"StatusPWR": {"Today": "0.048", **tasmota_fields(outlets)}}


MAKERS: dict[str, tuple[str, Callable[[list[Outlet]], Any], int]] = {
    "shelly-strip": ("shelly", shelly_strip, 4),
    "shelly-rpc": ("shelly", shelly_rpc, 4),
    "shelly-gen1": ("shelly", shelly_gen1, 4),
    "kasa-strip": ("kasa", kasa_strip, 6),
    "kasa-old": ("kasa", kasa_old, 1),
    "tapo": ("kasa", tapo, 1),
    "tasmota-status8": ("tasmota", tasmota_status8, 3),
    "tasmota-flat": ("tasmota", tasmota_flat, 3),
    "tasmota-status-pwr": ("tasmota", tasmota_status_pwr, 3),
}
#: The keys under which a power stands.
POWERS = ("apower", "power", "power_mw", "Power", "current_power")
EXTRA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9999)
    | st.text(max_size=6)
    | st.sampled_from(["{}", "}]", '"', "a{"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x_a", "x_b"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def outlets(most: int) -> st.SearchStrategy[list[Outlet]]:
    tenths = st.integers(0, 25_000).map(lambda value: value / 10)
    each = st.builds(
        Outlet,
        tenths,
        st.integers(2200, 2400).map(lambda value: value / 10),
        st.integers(0, 9999).map(lambda value: value / 1000),
        st.integers(0, 99_999).map(lambda value: value / 10),
    )
    return st.lists(each, min_size=1, max_size=most)


def varied(value: Any, chance: random.Random, extras: list[Any]) -> Any:
    """The same answer with its fields in another order, and with fields that nobody knows."""
    if isinstance(value, list):
        return [varied(item, chance, extras) for item in value]
    if not isinstance(value, dict):
        return value
    items = [(key, varied(inside, chance, extras)) for key, inside in value.items()]
    if extras and chance.random() < 0.5:
        items.append((f"x_{chance.randrange(9)}", chance.choice(extras)))
    chance.shuffle(items)
    return dict(items)


@st.composite
def answers(draw, name: str) -> tuple[Any, list[Outlet]]:
    _, make, most = MAKERS[name]
    outlet_powers = draw(outlets(most))
    extras = draw(st.lists(EXTRA, max_size=3))
    return varied(make(outlet_powers), random.Random(draw(st.integers(0, 999))), extras), outlet_powers


def powers(value: Any) -> list[tuple[Any, Any]]:
    """Where powers stand: the object (or list) and the key (or index)."""
    pairs: list[tuple[Any, Any]] = []
    items = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    for key, inside in items:
        if key in POWERS and isinstance(inside, list):
            pairs += [(inside, index) for index in range(len(inside))]
        elif key in POWERS:
            pairs.append((value, key))
        elif not str(key).startswith("x_"):
            pairs += powers(inside)
    return pairs


@pytest.mark.parametrize("name", MAKERS)
@EXAMPLES
@given(data=st.data())
def test_a_whole_answer_is_the_sum_of_its_outlets(name, data):
    answer, expected = data.draw(answers(name))
    text = json.dumps(answer, indent=data.draw(st.sampled_from([None, 0, 2, "\t"])))
    output = data.draw(st.sampled_from(BEFORE)) + text + data.draw(st.sampled_from(AFTER))
    reading = read(MAKERS[name][0], output)
    assert reading.reason is None
    assert reading.total_w == pytest.approx(sum(outlet.watts for outlet in expected), abs=1e-6)
    assert reading.total_scope == "wall_ac"
    assert len(reading.details["total_of"]) == len(expected)


@pytest.mark.parametrize("name", MAKERS)
@FEW_EXAMPLES
@given(data=st.data())
def test_an_answer_that_is_cut_anywhere_has_no_total(name, data):
    answer, _ = data.draw(answers(name))
    text = json.dumps(answer, indent=data.draw(st.sampled_from([None, 0, 2])))
    before, after = data.draw(st.sampled_from(BEFORE)), data.draw(st.sampled_from(AFTER))
    for at in range(1, len(text)):
        end_lost = read(MAKERS[name][0], before + text[:at])
        assert end_lost.total_w is None, text[:at]
        assert "cut" in end_lost.reason, (text[:at], end_lost.reason)
        assert end_lost.channels == []
        begin_lost = read(MAKERS[name][0], before + text[at:] + after)
        assert begin_lost.total_w is None, text[at:]
        assert begin_lost.reason


@pytest.mark.parametrize("name", MAKERS)
@EXAMPLES
@given(data=st.data())
def test_an_answer_that_lost_a_line_or_two_in_its_middle_has_its_whole_total_or_none(name, data):
    """Lines of a pretty answer are lost: what is left is no JSON, or still the whole."""
    answer, expected = data.draw(answers(name))
    lines = json.dumps(answer, indent=data.draw(st.sampled_from([0, 2]))).split("\n")
    first = data.draw(st.integers(0, len(lines) - 1))
    last = data.draw(st.integers(first, min(first + 1, len(lines) - 1)))
    if any(f'"{power}"' in line for line in lines[first : last + 1] for power in (*POWERS, "slot_id")):
        return  # a field that is missing as if it had never been there: the next test
    reading = read(MAKERS[name][0], "\n".join(lines[:first] + lines[last + 1 :]))
    if reading.total_w is not None:
        assert reading.total_w == pytest.approx(sum(outlet.watts for outlet in expected), abs=1e-6)
    else:
        assert reading.reason


@pytest.mark.parametrize("name", MAKERS)
@EXAMPLES
@given(data=st.data())
def test_a_power_that_is_missing_is_missing_in_the_total(name, data):
    answer, _ = data.draw(answers(name))
    place, key = data.draw(st.sampled_from(powers(answer)))
    lost = data.draw(st.sampled_from(["deleted", None, "12.5 W", True, [], {}, "nan", "-nan", "inf"]))
    if lost == "deleted" and isinstance(place, dict):
        del place[key]
    else:
        place[key] = None if lost == "deleted" else lost
    text = json.dumps(answer)
    if lost in ("nan", "-nan", "inf"):
        text = text.replace(f'"{lost}"', lost)
    reading = read(MAKERS[name][0], text)
    assert reading.total_w is None
    assert reading.reason
    json.dumps(reading._asdict(), allow_nan=False)


@pytest.mark.parametrize("name", [name for name in MAKERS if name.startswith("tasmota")])
@EXAMPLES
@given(data=st.data())
def test_a_sensor_that_tells_nan_costs_only_its_own_value(name, data):
    answer, expected = data.draw(answers(name))
    inner = answer.get("StatusSNS", answer)
    inner["DS18B20"] = {"Temperature": "@", "Humidity": "@", "Text": "nan, inf"}
    text = json.dumps(answer).replace(
        '"@"', data.draw(st.sampled_from(["nan", "-nan", "inf", "-inf", "NaN", "ovf"]))
    )
    assert read("tasmota", text).total_w == pytest.approx(sum(outlet.watts for outlet in expected), abs=1e-6)


@EXAMPLES
@given(outlets(4).filter(lambda outlet_powers: len(outlet_powers) > 1), st.data())
def test_an_outlet_that_a_strip_does_not_tell_of_is_missing_in_the_total(outlet_powers, data):
    answer = kasa_strip(outlet_powers)
    del answer[data.draw(st.sampled_from([key for key in answer if key.startswith("emeter")]))]
    reading = read("kasa", json.dumps(answer))
    assert reading.total_w is None
    assert f"{len(outlet_powers) - 1} of {len(outlet_powers)} outlets" in reading.reason
