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
    """Power, voltage, current and energy of the plug (of each outlet of a strip)."""
    answer = last_json(text)
    if answer is None:
        return without_power([], unlike("a JSON answer of a Kasa or Tapo plug", text))
    found = list(_answers("", answer, _DEPTH))
    meters = [meter for meter in (_meter(name, each) for name, each in found) if meter is not None]
    if not meters:
        return without_power(
            [], _refusal(found) or "no power in this answer (no power, power_mw or current_power)"
        )
    best = _best(meters)
    return reading(
        best, [], generation="new" if any("_mw" in key for _, each in found for key in each) else "old"
    )


def _answers(name: str, value: Any, depth: int) -> Iterator[Tuple[str, Json]]:
    """Every object in the answer with the name it stands under (protocols wrap theirs differently)."""
    if not isinstance(value, dict) or depth == 0:
        return
    yield name, value
    for key, inside in value.items():
        yield from _answers(name if key == "result" else key, inside, depth - 1)
        for each in objects(inside):
            yield from _answers(str(each.get("method", each.get("alias", key))), each, depth - 1)


def _failed(each: Json) -> bool:
    return any(each.get(key) not in (0, None) for key in ("err_code", "error_code"))


def _meter(name: str, each: Json) -> Optional[Meter]:
    """The meter in an object, or ``None`` if there is none."""
    if _failed(each):
        return None
    slot = each.get("slot_id")
    site = "plug" if slot is None else "outlet %s" % slot
    if "power_mw" in each:
        energy = next((each[key] for key in ("total_wh", "energy_wh") if key in each), None)
        return Meter(
            site,
            scaled(number(each["power_mw"]), 1e-3),
            scaled(number(each.get("voltage_mv")), 1e-3),
            scaled(number(each.get("current_ma")), 1e-3),
            scaled(number(energy), _WH_J),
        )
    if "power" in each and ("voltage" in each or "current" in each):
        energy_j = scaled(number(each.get("total")), _KWH_J)
        volts, amperes = number(each.get("voltage")), number(each.get("current"))
        return Meter(site, number(each["power"]), volts, amperes, energy_j)
    if "current_power" in each:
        is_milliwatts = "today_energy" in each or name == "get_energy_usage"
        return Meter(site, scaled(number(each["current_power"]), 1e-3 if is_milliwatts else 1.0))
    return None


def _best(meters: List[Meter]) -> List[Meter]:
    """One meter a site: the same plug may answer two questions at once; the fuller answer counts."""
    chosen: Dict[str, Meter] = {}
    for meter in meters:
        known = chosen.get(meter.site)
        if known is None or _told(meter) > _told(known):
            chosen[meter.site] = meter
    return list(chosen.values())


def _told(meter: Meter) -> int:
    return sum(value is not None for value in meter[1:])


def _refusal(found: "List[Tuple[str, Json]]") -> Optional[str]:
    for name, each in found:
        if _failed(each):
            code = each.get("err_code", each.get("error_code"))
            message = each.get("err_msg") or each.get("msg") or name or "no message"
            return "the plug answered with error %s: %s" % (code, str(message)[:160])
    return None
