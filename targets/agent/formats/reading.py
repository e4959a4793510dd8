"""What a parser makes of a captured output, and the few steps that all parsers share.

A value that is not there is ``None`` with a reason, never 0: a sensor that is off, a rail that was not
printed and a program that may not look are three reasons, and none of them is zero watts.
"""

import json
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

Json = Dict[str, Any]
#: Where an object, or a list of objects, begins; a prompt's or a shell's brace is followed by something else.
_BEGINNING = re.compile(r"\{(?=\s*(?:[\"}]|\Z))|\[(?=\s*\{\s*(?:[\"}]|\Z))")
#: A string within its line (or the quote of one that does not end there), and brackets.
_STRUCTURE = re.compile(r'"(?:[^"\\\n]|\\.)*"|["{}\[\]]')
#: A string (to its end, or its line's), or what C prints for a number that is none: Tasmota writes ``nan`` for a sensor
#: that does not answer.
_NO_NUMBER = re.compile(
    r'"(?:[^"\\\n]|\\.)*"?|(?<![\w.])[-+]?(?:nan|inf(?:inity)?|ovf)(?![\w.])', re.IGNORECASE
)
#: As far as an object's surroundings are looked at; blanks of an indentation are fewer.
_NEAR = 256
NO_POWER = "this output tells no power"


class Reading(NamedTuple):
    """The meaning of one output.

    Attributes:
        channels: dicts of ``site, kind, unit, value, scope`` (and ``reason`` where the value is ``None``).
        total_w: power of the whole, where the output tells it.
        total_scope: what that whole is: ``wall_ac``, ``board_input``, ``module``, ``rails_sum``.
        reason: why there is no total.
        details: all else that is worth knowing, by name.
    """

    channels: List[Json]
    total_w: Optional[float]
    total_scope: Optional[str]
    reason: Optional[str]
    details: Json


def channel(
    site: str,
    kind: str,
    unit: str,
    value: Optional[float],
    scope: Optional[str] = None,
    *,
    reason: Optional[str] = None,
) -> Json:
    """Return one channel of a reading; a missing value carries its reason."""
    made: Json = {"site": site, "kind": kind, "unit": unit, "value": value, "scope": scope}
    if value is None:
        made["reason"] = reason or "not told"
    return made


def without_power(channels: List[Json], reason: str = NO_POWER, **details: Any) -> Reading:
    """Return a reading that has no total."""
    return Reading(channels, None, None, reason, details)


def with_total(channels: List[Json], total_w: float, scope: str, **details: Any) -> Reading:
    """Return a reading whose total is known."""
    return Reading(channels, total_w, scope, None, details)


def body(text: str) -> str:
    """Return the output without the comment lines that a capture begins with."""
    lines = text.lstrip("\ufeff").splitlines()
    begin = 0
    while begin < len(lines) and (lines[begin].startswith("#") or not lines[begin].strip()):
        begin += 1
    return "\n".join(lines[begin:])


def first_line(text: str, limit: int = 160) -> str:
    """Return the first line that says something, shortened and printable: for reasons."""
    for line in body(text).splitlines():
        if line.strip():
            return re.sub(r"[^\x20-\x7e]", "?", line.strip())[:limit]
    return ""


def unlike(what: str, text: str) -> str:
    """Return the reason for an output that is not of the expected kind."""
    said = first_line(text)
    return "not %s: it begins with %r" % (what, said) if said else "the output is empty"


class Answers(NamedTuple):
    """The JSON objects of an output.

    Attributes:
        objects: those that stand by themselves, in order; at least one where there is no ``fault``.
        fault: why they cannot be taken for what the device answered; ``None``: they can.
    """

    objects: List[Json]
    fault: Optional[str]


def json_answers(text: str, what: str) -> Answers:
    """Return the JSON objects of an output; what stands around them (a header, a topic, a prompt) is skipped.

    An object inside a larger one is never an answer: where the larger one is cut, broken or without its beginning,
    that is the fault. ``nan`` in place of a number is taken for a number that is missing.

    Args:
        text: the output.
        what: what it should be, for the fault of an output without any object.
    """
    text = body(text)
    collected: List[Json] = []
    at, is_part, is_mended = 0, False, False
    while True:
        match = _BEGINNING.search(text, at)
        if match is None:
            break
        value, end, fault = _decoded(text, match.start())
        if fault is not None and not is_mended:
            # A value that the device could not tell costs that value, not its neighbours.
            text, is_mended = text[:at] + _NO_NUMBER.sub(_as_nan, text[at:]), True
            continue
        if fault is not None:
            return Answers(collected, fault)
        parts = [_payload(value)] if isinstance(value, dict) else objects(value)
        if len(parts) > 1:
            return Answers(collected, "a JSON list of %d answers: give one of them" % len(parts))
        is_part, at = _is_part(text, match.start(), end), end
        if not is_part:
            collected += parts
    if is_part or (not collected and text.count("}") > text.count("{")):
        return Answers(collected, "the answer is cut: its JSON is not whole, the beginning is missing")
    if not collected:
        return Answers([], unlike(what, text))
    return Answers([answer for answer in collected if answer] or collected, None)


def _decoded(text: str, at: int) -> Tuple[Any, int, Optional[str]]:
    """Return the JSON value that begins at a place and where it ends, or why it is none."""
    try:
        value, end = json.JSONDecoder(object_pairs_hook=_object).raw_decode(text, at)
    except json.JSONDecodeError as error:
        return None, at, _fault(text, at, error)
    except _ToldTwiceError as error:
        return None, at, "no valid JSON: the key %r stands twice, with different values" % str(error)[:60]
    except RecursionError:
        return None, at, "damaged: JSON that is nested too deeply"
    except ValueError:  # more digits than Python turns into an integer
        return None, at, "damaged: JSON with a number that cannot be"
    return value, end, None


class _ToldTwiceError(ValueError):
    """An object has a key twice: which value is meant is not told."""


def _object(pairs: List[Tuple[str, Any]]) -> Json:
    """Return an object of its keys and values, none of them told twice."""
    made = dict(pairs)
    if len(made) < len(pairs):
        for key, value in pairs:
            if made[key] != value:
                raise _ToldTwiceError(key)
    return made


def _as_nan(match: "re.Match[str]") -> str:
    """Return the JSON decoder's own word for a number that is none, of equal length; strings stay."""
    word = match.group()
    return word if word.startswith('"') else "NaN".ljust(len(word))


def _fault(text: str, at: int, error: json.JSONDecodeError) -> str:
    """Tell an object that does not end from one that is no JSON."""
    depth = 0
    for match in _STRUCTURE.finditer(text, at):
        mark = match.group()
        if mark == '"':  # a string without an end
            if "\n" in text[match.end() :].strip():
                return (
                    "no valid JSON: a string is cut, or broken by a line's end, at character %d"
                    % match.start()
                )
            break
        depth += (mark in "{[") - (mark in "}]")
        if depth == 0:
            return "no valid JSON: %s at character %d" % (error.msg, error.pos)
    return "the answer is cut: its JSON is not whole, brackets are open at its end (%d)" % depth


def _payload(value: Json) -> Json:
    """Return what a message holds, where a client of MQTT printed topic and time around it (mosquitto_sub -F %J)."""
    inside = value.get("payload")
    return inside if "topic" in value and isinstance(inside, dict) else value


def _is_part(text: str, start: int, end: int) -> bool:
    """Tell whether a value stands inside something larger, by what stands before and after it."""
    before, after = text[max(0, start - _NEAR) : start].rstrip(), text[end : end + _NEAR].lstrip()
    # "topic: {...}" is no part; '"key": {...}' is one, and so is what is cut right before the colon.
    is_member = before.endswith(":") and (before == ":" or before[:-1].rstrip().endswith('"'))
    return is_member or before.endswith((",", "[", "{")) or after.startswith((",", "]", "}", ":"))


def number(value: Any) -> Optional[float]:
    """Return a JSON number as a float; anything else (null, text, true, infinity) is ``None``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    value = float(value)
    return value if abs(value) < 1e15 else None


def objects(value: Any) -> List[Json]:
    """Return the objects in a JSON list; an empty list for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
