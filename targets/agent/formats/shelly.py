"""Shelly plugs and meters, both protocols.

Gen1 (``/status``, ``/meter/0``, ``/emeter/0``): ``power`` in W; ``total`` in watt-MINUTES for meters, in Wh for
emeters. Gen2 and newer (``Switch.GetStatus``, ``Shelly.GetStatus``, PM1, EM, EM1, Cover, Light): ``apower`` or
``act_power`` in W, ``aenergy.total`` in Wh, ``by_minute`` in mWh. Source: Shelly's API documentation.
"""

import re
from typing import List, Optional

from tunebench.targets.agent.formats.plugs import Meter, reading, scaled
from tunebench.targets.agent.formats.reading import (
    Json,
    Reading,
    channel,
    json_answers,
    number,
    objects,
    without_power,
)

_WATT_MINUTE_J = 60.0
_WATT_HOUR_J = 3600.0
_COMPONENT = re.compile(r"[a-z]+\d*:\d+$")
_POWERS = ("apower", "act_power", "total_act_power")
_FAULTS = re.compile(r"power_meter|out_of_range:(act_power|current|voltage)|ct_type|calibration")


def parse(text: str) -> Reading:
    """Read power, voltage, current and energy of each outlet; the total is their sum."""
    answers = json_answers(text, "a JSON answer of a Shelly")
    if answers.fault is not None:
        return without_power([], answers.fault)
    refused = _partial(answers.objects)
    if refused:
        return without_power([], refused)
    answer = _unwrapped(answers.objects[-1])
    refused = _refusal(answer)
    if refused:
        return without_power([], refused)
    if isinstance(answer.get("meters"), list) or isinstance(answer.get("emeters"), list):
        return _gen1(answer)
    components = {
        key: value for key, value in answer.items() if _COMPONENT.match(key) and isinstance(value, dict)
    }
    if components:
        kinds = {_kind(key) for key, value in components.items() if _is_meter(value)}
        meters = [
            _gen2(key, value, answer) for key, value in sorted(components.items()) if _kind(key) in kinds
        ]
        temperatures = [
            made for key, value in sorted(components.items()) for made in _temperature(key, value)
        ]
    else:
        meters, temperatures = _single(answer), _temperature("plug", answer)
    if not meters:
        return without_power(temperatures, "no power meter in this answer (no apower, act_power or meters)")
    return reading(meters, temperatures, generation=2 if components or "power" not in answer else 1)


def _unwrapped(answer: Json) -> Json:
    for wrapper in ("result", "params"):
        if isinstance(answer.get(wrapper), dict):
            answer = answer[wrapper]
    return answer


def _partial(answers: List[Json]) -> Optional[str]:
    """Return why an output tells of some outlets only, where it does: one outlet's watts are not the device's."""
    if answers[-1].get("method") == "NotifyStatus":
        return "a notification tells what has changed, not all outlets: ask for Shelly.GetStatus"
    contents = [_unwrapped(answer) for answer in answers]
    outlets = {str(content["id"]) for content in contents if "id" in content and _is_meter(content)}
    strips = [content for content in contents if any(map(_COMPONENT.match, content))]
    if len(outlets) > 1 or (outlets and strips):
        return "answers of several outlets stand one after another: give that of Shelly.GetStatus alone"
    return None


def _kind(component: str) -> str:
    """Return what a component is (``switch`` of ``switch:0``): a device's components of one kind are alike."""
    return component.partition(":")[0]


def _refusal(answer: Json) -> Optional[str]:
    error = answer.get("error") if isinstance(answer.get("error"), dict) else answer
    if isinstance(error, dict) and "code" in error and "message" in error:
        return "the device answered with error %s: %s" % (error["code"], str(error["message"])[:160])
    return None


def _gen1(answer: Json) -> Reading:
    meters = []
    for name, step_j in (("meter", _WATT_MINUTE_J), ("emeter", _WATT_HOUR_J)):
        for index, meter in enumerate(objects(answer.get(name + "s"))):
            meters.append(_gen1_meter("%s %d" % (name, index), meter, step_j))
    celsius = number(answer.get("temperature"))
    extra = [] if celsius is None else [channel("plug", "temperature", "C", celsius)]
    if not meters:
        return without_power(extra, "the device lists no meters")
    return reading(meters, extra, generation=1)


def _gen1_meter(site: str, answer: Json, step_j: float) -> Meter:
    watts = number(answer.get("power"))
    reason: Optional[str] = None
    if answer.get("is_valid") is False:
        watts, reason = None, "the meter says that its value is not valid"
    energy_j = scaled(number(answer.get("total")), step_j)
    return Meter(site, watts, number(answer.get("voltage")), number(answer.get("current")), energy_j, reason)


def _is_meter(component: Json) -> bool:
    return any(name in component for name in _POWERS)


def _gen2(site: str, component: Json, answer: Json) -> Meter:
    name = next((name for name in _POWERS if name in component), None)
    if name is None:
        return Meter(site, None, reason="it tells no power, unlike its neighbours")
    watts = number(component[name])
    reason: Optional[str] = None
    errors = component.get("errors")
    messages = [str(message) for message in errors] if isinstance(errors, list) else []
    # Any error beside 0 W: the relay has tripped, or the meter has; neither is a load of nothing.
    faults = messages if watts == 0 else [message for message in messages if _FAULTS.search(message)]
    if faults:
        watts, reason = None, "the meter reports: " + ", ".join(faults)
    elif watts is None:
        reason = "%s is null" % name if component[name] is None else "%s is no number" % name
    volts, amperes = number(component.get("voltage")), number(component.get("current"))
    if amperes is None:
        amperes = number(component.get("total_current"))
    return Meter(
        site, watts, volts, amperes, scaled(_energy_wh(site, component, answer), _WATT_HOUR_J), reason
    )


def _energy_wh(site: str, component: Json, answer: Json) -> Optional[float]:
    counter = component.get("aenergy")
    if isinstance(counter, dict):
        return number(counter.get("total"))
    data = answer.get(site.replace(":", "data:"))
    if isinstance(data, dict):
        return number(data.get("total_act_energy", data.get("total_act")))
    return None


def _single(answer: Json) -> List[Meter]:
    """Return the answer of one component alone."""
    if _is_meter(answer):
        return [_gen2("plug", answer, answer)]
    if "power" in answer:
        # /emeter/0 tells reactive power or a voltage, /meter/0 does not
        is_emeter = "voltage" in answer or "reactive" in answer
        return [_gen1_meter("plug", answer, _WATT_HOUR_J if is_emeter else _WATT_MINUTE_J)]
    return []


def _temperature(site: str, component: Json) -> List[Json]:
    inside = component.get("temperature")
    celsius = number(inside.get("tC")) if isinstance(inside, dict) else None
    return [] if celsius is None else [channel(site, "temperature", "C", celsius)]
