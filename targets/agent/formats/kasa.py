"""TP-Link Kasa and Tapo plugs: the answers of their protocols.

Old Kasa (HS110 v1): ``power`` W, ``voltage`` V, ``current`` A, ``total`` kWh. New Kasa (KP115, EP25, HS300):
``power_mw``, ``voltage_mv``, ``current_ma``, ``total_wh``. Tapo and newer Kasa: ``get_emeter_data`` in the new units,
``get_energy_usage.current_power`` in mW, ``get_current_power.current_power`` in W. Source: python-kasa's fixtures.
"""

from typing import Any, Dict, Iterator, List, Optional, Tuple

from tunebench.targets.agent.formats.plugs import Meter, reading, scaled
from tunebench.targets.agent.formats.reading import (
    Json,
    Reading,
    last_json,
    number,
    objects,
    unlike,
    without_power,
)

_KWH_J = 3.6e6
_WH_J = 3600.0
_DEPTH = 6


def parse(text: str) -> Reading:
    """Read power, voltage, current and energy of the plug (of each outlet of a strip)."""
    answer = last_json(text)
    if answer is None:
        return without_power([], unlike("a JSON answer of a Kasa or Tapo plug", text))
    answers = list(_answers("", answer, _DEPTH))
    meters = [meter for meter in (_meter(name, part) for name, part in answers) if meter is not None]
    if not meters:
        return without_power(
            [], _refusal(answers) or "no power in this answer (no power, power_mw or current_power)"
        )
    best = _best(meters)
    return reading(
        best,
        [],
        generation="new" if any("_mw" in key for _, part in answers for key in part) else "old",
    )


def _answers(name: str, value: Any, depth: int) -> Iterator[Tuple[str, Json]]:
    """Return every object in the answer with the name it stands under (protocols wrap theirs differently)."""
    if not isinstance(value, dict) or depth == 0:
        return
    yield name, value
    for key, inside in value.items():
        yield from _answers(name if key == "result" else key, inside, depth - 1)
        for child in objects(inside):
            yield from _answers(str(child.get("method", child.get("alias", key))), child, depth - 1)


def _failed(answer: Json) -> bool:
    return any(answer.get(key) not in (0, None) for key in ("err_code", "error_code"))


def _meter(name: str, answer: Json) -> Optional[Meter]:
    """Return the meter in an object, or ``None`` if there is none."""
    if _failed(answer):
        return None
    slot = answer.get("slot_id")
    site = "plug" if slot is None else "outlet %s" % slot
    if "power_mw" in answer:
        energy = next((answer[key] for key in ("total_wh", "energy_wh") if key in answer), None)
        return Meter(
            site,
            scaled(number(answer["power_mw"]), 1e-3),
            scaled(number(answer.get("voltage_mv")), 1e-3),
            scaled(number(answer.get("current_ma")), 1e-3),
            scaled(number(energy), _WH_J),
        )
    if "power" in answer and ("voltage" in answer or "current" in answer):
        energy_j = scaled(number(answer.get("total")), _KWH_J)
        volts, amperes = number(answer.get("voltage")), number(answer.get("current"))
        return Meter(site, number(answer["power"]), volts, amperes, energy_j)
    if "current_power" in answer:
        is_milliwatts = "today_energy" in answer or name == "get_energy_usage"
        return Meter(site, scaled(number(answer["current_power"]), 1e-3 if is_milliwatts else 1.0))
    return None


def _best(meters: List[Meter]) -> List[Meter]:
    """Keep one meter for each site: a plug may answer two questions at once; the fuller answer counts."""
    chosen: Dict[str, Meter] = {}
    for meter in meters:
        known = chosen.get(meter.site)
        if known is None or _completeness(meter) > _completeness(known):
            chosen[meter.site] = meter
    return list(chosen.values())


def _completeness(meter: Meter) -> int:
    return sum(value is not None for value in meter[1:])


def _refusal(answers: "List[Tuple[str, Json]]") -> Optional[str]:
    for name, answer in answers:
        if _failed(answer):
            code = answer.get("err_code", answer.get("error_code"))
            message = answer.get("err_msg") or answer.get("msg") or name or "no message"
            return "the plug answered with error %s: %s" % (code, str(message)[:160])
    return None
