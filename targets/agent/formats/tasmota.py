"""Tasmota plugs: ``Status 8`` (or 10), and the telemetry message ``SENSOR``.

``Power`` in W (1 W steps unless ``WattRes`` was set), ``Total`` in kWh; a device with several relays gives lists. Up to
version 5.10 there is no ``ENERGY`` around the fields (topic ``ENERGY``, or ``StatusPWR``), and some are texts.
Source: Tasmota's documentation of commands and power monitoring; its issues 181, 1621 and 4147.
"""

from typing import Any, List, NamedTuple, Optional

from tunebench.targets.agent.formats.plugs import Meter, reading, scaled
from tunebench.targets.agent.formats.reading import Json, Reading, json_answers, number, without_power

_KWH_J = 3.6e6
#: What a message without ``ENERGY`` must hold beside ``Power`` to be a meter's: a relay's state is called Power, too.
_OF_A_METER = ("Voltage", "Current", "Factor", "Today", "Yesterday")
#: What is a list where there are several relays (totals may be one sum, tariffs are lists of their own).
_OF_EACH_RELAY = ("Power", "ApparentPower", "ReactivePower", "Factor", "Voltage", "Current")
#: Relays that one device may have.
_MOST_RELAYS = 64


class _Energy(NamedTuple):
    fields: Json
    board_time: Any


def parse(text: str) -> Reading:
    """Read power, voltage, current and energy of each relay; the total is their sum."""
    answers = json_answers(text, "a JSON answer of Tasmota")
    if answers.fault is not None:
        return without_power([], answers.fault)
    # A console's output of "Status 0" ends with messages that have nothing to do with energy.
    energies = [energy for energy in map(_energy, answers.objects) if energy is not None]
    if not energies:
        return without_power([], _refusal(answers.objects[-1]))
    energy, board_time = energies[-1]
    counts = {key: len(energy[key]) for key in _OF_EACH_RELAY if isinstance(energy.get(key), list)}
    if len(set(counts.values())) > 1:
        lengths = ", ".join("%s %d" % (key, counts[key]) for key in sorted(counts))
        return without_power([], "its lists are not of equally many relays: %s" % lengths)
    count = max([1] + list(counts.values()))
    if count > _MOST_RELAYS:
        return without_power([], "damaged: %d relays" % count)
    meters = [_meter(energy, index, count) for index in range(count)]
    details: Json = {"board_time": board_time, "resolution_w": _resolution(energy.get("Power"))}
    return reading(meters, [], **details)


def _energy(answer: Json) -> Optional[_Energy]:
    """Return the fields of the meter in a message; ``None``: it is about something else."""
    for wrapper in ("StatusPWR", "StatusSNS", "StatusSTS"):
        if isinstance(answer.get(wrapper), dict):
            answer = answer[wrapper]
    fields = answer.get("ENERGY")
    if isinstance(fields, dict):
        return _Energy(fields, answer.get("Time"))
    is_flat = "ENERGY" not in answer and "Power" in answer and any(key in answer for key in _OF_A_METER)
    return _Energy(answer, answer.get("Time")) if is_flat else None


def _refusal(answer: Json) -> str:
    for key in ("WARNING", "Command", "Error"):
        if key in answer:
            return "the plug answered %s: %s" % (key, str(answer[key])[:160])
    return "no ENERGY in this answer: the device has no power meter, or this is another status"


def _figure(value: Any) -> Optional[float]:
    """Return a number; old versions write some as texts."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return number(value)


def _at(value: Any, index: int) -> Optional[float]:
    """Return one relay's value; a device may give one voltage for all of its relays."""
    if isinstance(value, list):
        return _figure(value[index]) if index < len(value) else None
    return _figure(value)


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
        None if watts is not None else _why(power, index),
    )


def _why(power: Any, index: int) -> str:
    """Tell why a relay has no power."""
    if isinstance(power, list):
        power = power[index] if index < len(power) else None
    return "no Power for it" if power is None else "its Power is no number: %s" % repr(power)[:60]


def _resolution(power: Any) -> Optional[float]:
    """Return the step that the digits show: 1 W for a whole number."""
    values: List[Any] = power if isinstance(power, list) else [power]
    steps = [
        1.0 if isinstance(value, int) else 10.0 ** -len(repr(value).partition(".")[2])
        for value in values
        if number(value) is not None
    ]
    return min(steps) if steps else None
