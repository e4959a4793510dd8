"""Units as columns' names tell them."""

from __future__ import annotations

import pytest

from tunebench.targets.meters.logger.units import unit_in, unit_named


@pytest.mark.parametrize(
    ("name", "quantity", "text"),
    [
        ("Current(uA)", "current", "uA"),
        ("Current(µA)", "current", "uA"),  # U+00B5
        ("Current (μA)", "current", "uA"),  # U+03BC
        ("ibus_µA", "current", "uA"),
        ("Main Avg Power (mW)", "power", "mW"),
        ("Power [W]", "power", "W"),
        ("U/V", "voltage", "V"),
        ("P / mW", "power", "mW"),
        ("voltage_V", "voltage", "V"),
        ("timestamp_ms", "time", "ms"),
        ("Timestamp(ms)", "time", "ms"),
        ("Time (min)", "time", "min"),
        ("Second", "time", "s"),
        ("watts", "power", "W"),
        ("mA", "current", "mA"),
        ("milliamperes", "current", "mA"),
        ("Current (RMS) (mA)", "current", "mA"),
        ("Power (W) (avg)", "power", "W"),
        ("Energy (Wh)", "power", "Wh"),
        ("energy_Ws", "power", "Ws"),
        ("Temperature (°C)", "power", "°C"),
        ("apparent_VA", "power", "VA"),
        ("Power (kW)", "power", "kW"),
        ("Power (MW)", "power", "MW"),  # no millions of watts: not read as milliwatts either
    ],
)
def test_a_name_tells_its_unit(name, quantity, text):
    assert unit_in(name, quantity).text == text


@pytest.mark.parametrize(
    ("name", "quantity"),
    [
        ("power", "power"),
        ("time", "time"),
        ("Power (avg)", "power"),
        ("Power (min)", "power"),  # the least, not minutes
        ("power_A", "power"),  # a channel
        ("D0-D7", "current"),
        ("CH1", "voltage"),
        ("x-axis", "time"),
        ("", "power"),
    ],
)
def test_a_name_that_tells_no_unit_tells_none(name, quantity):
    assert unit_in(name, quantity) is None


def test_factors_are_those_of_the_prefixes():
    factors = {
        text: unit_named(text).factor
        for text in ("s", "ms", "us", "ns", "W", "mW", "uW", "V", "mV", "A", "mA", "nA")
    }
    assert factors == {
        "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "W": 1.0, "mW": 1e-3, "uW": 1e-6,
        "V": 1.0, "mV": 1e-3, "A": 1.0, "mA": 1e-3, "nA": 1e-9,
    }  # fmt: skip
    assert unit_named("min").factor == 60
