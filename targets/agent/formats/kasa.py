"""TP-Link Kasa and Tapo plugs: the answers of their protocols.

Old Kasa (HS110 v1): ``power`` W, ``voltage`` V, ``current`` A, ``total`` kWh. New Kasa (KP115, EP25, HS300):
``power_mw``, ``voltage_mv``, ``current_ma``, ``total_wh``. Tapo and newer Kasa: ``get_emeter_data`` in the new units,
``get_energy_usage.current_power`` in mW, ``get_current_power.current_power`` in W. Source: python-kasa's fixtures.
"""

from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple, Union

from tunebench.targets.agent.formats.plugs import Meter, reading, scaled
from tunebench.targets.agent.formats.reading import (
    Json,
    Reading,
    json_answers,
    number,
    objects,
    without_power,
)

_KWH_J = 3.6e6
_WH_J = 3600.0
_DEPTH = 12
#: Questions about the power of one plug: those that are asked of the same place are answered by the same meter.
_QUESTIONS = ("get_realtime", "get_emeter_data", "get_energy_usage", "get_current_power")
#: Names that say nothing of whose answer they hold.
_WRAPPERS = ("result", "responseData", "requestData")
#: Fields that stand beside a meter's power: an answer with one of them and without power has lost it.
_OF_A_METER = ("voltage_mv", "current_ma", "total_wh")

Place = Tuple[str, ...]


class _Part(NamedTuple):
    """One object of an answer: whose it is (questions and wrappers left out), its question, and its fields."""

    place: Place
    question: str
    fields: Json


def parse(text: str) -> Reading:
    """Read power, voltage, current and energy of the plug (of each outlet of a strip)."""
    answers = json_answers(text, "a JSON answer of a Kasa or Tapo plug")
    if answers.fault is not None:
        return without_power([], answers.fault)
    parts_of_each = [list(_parts((), "", answer, _DEPTH)) for answer in answers.objects]
    parts = parts_of_each[-1]
    if _slots(part for each in parts_of_each for part in each) > _slots(parts):
        return without_power([], "answers of several outlets stand one after another: give one of them")
    sites: Dict[Place, Dict[str, Meter]] = {}
    for part in parts:
        meter = _meter(part)
        if meter is not None:
            questions = sites.setdefault(_place(part), {})
            if questions.setdefault(part.question, meter) != meter:
                return without_power(
                    [], "several answers to %s do not tell their outlet" % (part.question or "it")
                )
    meters = {place: max(questions.values(), key=_completeness) for place, questions in sites.items()}
    if all(meter.power_w is None for meter in meters.values()):
        return without_power([], _refusal(parts) or _no_power(meters))
    outlets = _outlets(parts, meters)
    if isinstance(outlets, str):
        return without_power([], outlets)
    generation = "new" if any("_mw" in key for part in parts for key in part.fields) else "old"
    return reading(outlets, [], generation=generation)


def _parts(place: Place, question: str, value: Any, depth: int) -> Iterator[_Part]:
    """Return every object in the answer with where it stands (protocols wrap theirs differently)."""
    if not isinstance(value, dict) or depth == 0:
        return
    yield _Part(place, question, value)
    for key, inside in value.items():
        if key in _WRAPPERS:
            yield from _parts(place, question, inside, depth - 1)
        elif key in _QUESTIONS:
            yield from _parts(place, key, inside, depth - 1)
        else:
            yield from _parts((*place, key), "", inside, depth - 1)
        for index, child in enumerate(objects(inside)):
            if "method" in child:  # one of several questions to one device
                yield from _parts(place, str(child["method"]), child, depth - 1)
            else:
                yield from _parts((*place, key, str(index)), "", child, depth - 1)


def _place(part: _Part) -> Place:
    slot = part.fields.get("slot_id")
    return part.place if slot is None else ("outlet %s" % slot,)


def _slots(parts: Iterable[_Part]) -> Set[str]:
    return {str(part.fields["slot_id"]) for part in parts if "slot_id" in part.fields}


def _failed(answer: Json) -> bool:
    return any(answer.get(key) not in (0, None) for key in ("err_code", "error_code"))


def _error(part: _Part) -> str:
    answer = part.fields
    name = part.question or (part.place[-1] if part.place else "no message")
    message = answer.get("err_msg") or answer.get("msg") or name
    return "error %s: %s" % (answer.get("err_code", answer.get("error_code")), str(message)[:160])


def _meter(part: _Part) -> Optional[Meter]:
    """Return the meter in an object, or ``None`` if there is none; sites get their names later."""
    answer = part.fields
    if _failed(answer):
        return Meter("", None, reason=_error(part)) if part.question in _QUESTIONS else None
    if "power_mw" in answer:
        energy = next((answer[key] for key in ("total_wh", "energy_wh") if key in answer), None)
        return Meter(
            "",
            scaled(number(answer["power_mw"]), 1e-3),
            scaled(number(answer.get("voltage_mv")), 1e-3),
            scaled(number(answer.get("current_ma")), 1e-3),
            scaled(number(energy), _WH_J),
        )
    if "power" in answer and ("voltage" in answer or "current" in answer):
        energy_j = scaled(number(answer.get("total")), _KWH_J)
        volts, amperes = number(answer.get("voltage")), number(answer.get("current"))
        return Meter("", number(answer["power"]), volts, amperes, energy_j)
    if "current_power" in answer:
        is_milliwatts = "today_energy" in answer or part.question == "get_energy_usage"
        return Meter("", scaled(number(answer["current_power"]), 1e-3 if is_milliwatts else 1.0))
    if any(key in answer for key in _OF_A_METER):
        return Meter("", None, reason="no power in its answer")
    return None


def _completeness(meter: Meter) -> Tuple[bool, int]:
    """Rank answers of one meter: a plug may answer several questions at once, and the fullest counts."""
    return meter.power_w is not None, sum(value is not None for value in meter[1:-1])


def _outlets(parts: List[_Part], meters: Dict[Place, Meter]) -> Union[List[Meter], str]:
    """Return the meters by the names of their sites, those that are known to be missing among them.

    Returns:
        The meters; or a sentence that says why their sum is not the whole.
    """
    if len(meters) > 1 and () in meters:
        return "both the whole and its parts tell a power: which are the outlets is not told"
    names = {place: "plug" if len(meters) == 1 else ".".join(place) for place in meters}
    outlets = [
        meter._replace(site=place[0] if place and place[0].startswith("outlet ") else names[place])
        for place, meter in meters.items()
    ]
    if any(place and place[0].startswith(("emeter", "outlet ")) for place in meters):
        outlets += [
            Meter(part.place[-1], None, reason=_error(part))
            for part in parts
            if part.place
            and part.place[-1].startswith("emeter")
            and not part.question
            and _failed(part.fields)
        ]
    count = _count(parts)
    if len(outlets) < count:
        message = "%d of %d outlets told: ask each for its power" % (len(outlets), count)
        outlets.append(Meter("other outlets", None, reason=message))
    return outlets


def _count(parts: List[_Part]) -> int:
    """Return how many outlets the device says that it has; 0: it says nothing."""
    counts = [0]
    for part in parts:
        for value in (
            part.fields.get("child_num"),
            part.fields.get("children"),
            part.fields.get("child_device_list"),
        ):
            size = number(len(value) if isinstance(value, list) else value)
            counts.append(int(size) if size is not None else 0)
    return max(counts)


def _no_power(meters: Dict[Place, Meter]) -> str:
    """Return why no meter tells a power."""
    reasons = [meter.reason for meter in meters.values() if meter.reason]
    return (reasons + ["no power in this answer (no power, power_mw or current_power)"])[0]


def _refusal(parts: List[_Part]) -> Optional[str]:
    for part in parts:
        if _failed(part.fields):
            return "the plug answered with " + _error(part)
    return None
