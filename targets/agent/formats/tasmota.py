"""Tasmota plugs: ``Status 8`` (or 10), and the telemetry message ``SENSOR``.

``Power`` in W (1 W steps unless ``WattRes`` was set), ``Total`` in kWh; a device with several relays gives lists.
Source: Tasmota's documentation of commands and power monitoring.
"""

from typing import Any, List, Optional

from tunebench.targets.agent.formats.plugs import Meter, reading, scaled
from tunebench.targets.agent.formats.reading import Json, Reading, last_json, number, unlike, without_power

_KWH_J = 3.6e6


def parse(text: str) -> Reading:
    """Read power, voltage, current and energy of each relay; the total is their sum."""
    answer = last_json(text)
    if answer is None:
        return without_power([], unlike("a JSON answer of Tasmota", text))
    for wrapper in ("StatusSNS", "StatusSTS"):
        if isinstance(answer.get(wrapper), dict):
            answer = answer[wrapper]
    energy = answer.get("ENERGY")
    if not isinstance(energy, dict):
        return without_power([], _refusal(answer))
    count = max([1] + [len(value) for value in energy.values() if isinstance(value, list)])
    meters = [_meter(energy, index, count) for index in range(min(count, 8))]
    details: Json = {"board_time": answer.get("Time"), "resolution_w": _resolution(energy.get("Power"))}
    return reading(meters, [], **details)


def _refusal(answer: Json) -> str:
    for key in ("WARNING", "Command", "Error"):
        if key in answer:
            return "the plug answered %s: %s" % (key, str(answer[key])[:160])
    return "no ENERGY in this answer: the device has no power meter, or this is another status"


def _at(value: Any, index: int) -> Optional[float]:
    """Return one relay's value; a device may give one voltage for all of its relays."""
    if isinstance(value, list):
        return number(value[index]) if index < len(value) else None
    return number(value)


def _meter(energy: Json, index: int, count: int) -> Meter:
    power, total = energy.get("Power"), energy.get("Total")
    shared = count > 1 and not isinstance(power, list)
    watts = None if shared and index else _at(power, index)
    return Meter(
        "plug" if count == 1 else "relay %d" % (index + 1),
        watts,
        _at(energy.get("Voltage"), index),
        _at(energy.get("Current"), index),
        scaled(_at(total, index), _KWH_J) if isinstance(total, list) or index == 0 else None,
        None if watts is not None else "no Power for it",
    )


def _resolution(power: Any) -> Optional[float]:
    """Return the step that the digits show: 1 W for a whole number."""
    values: List[Any] = power if isinstance(power, list) else [power]
    steps = [
        1.0 if isinstance(value, int) else 10.0 ** -len(repr(value).partition(".")[2])
        for value in values
        if number(value) is not None
    ]
    return min(steps) if steps else None
