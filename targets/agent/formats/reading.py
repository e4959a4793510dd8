"""What a parser makes of a captured output, and the few steps that all parsers share.

A value that is not there is ``None`` with a reason, never 0: a sensor that is off, a rail that was not
printed and a program that may not look are three reasons, and none of them is zero watts.
"""

import json
import re
from typing import Any, Dict, List, NamedTuple, Optional

Json = Dict[str, Any]
#: Braces around an answer that begin no object; each costs a look at all that follows.
_MAX_STRAYS = 100
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
    while lines and (lines[0].startswith("#") or not lines[0].strip()):
        lines.pop(0)
    return "\n".join(lines)


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


def last_json(text: str) -> Optional[Json]:
    """Return the last JSON object of an output; what stands around it (a header, a topic, a prompt) is skipped."""
    decoder, last_object, at, strays = json.JSONDecoder(), None, 0, 0
    text = body(text)
    while True:
        at = text.find("{", at)
        if at < 0 or strays > _MAX_STRAYS:
            return last_object
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at, strays = at + 1, strays + 1
            continue
        if isinstance(value, dict):
            last_object = value


def number(value: Any) -> Optional[float]:
    """Return a JSON number as a float; anything else (null, text, true, infinity) is ``None``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    value = float(value)
    return value if abs(value) < 1e15 else None


def objects(value: Any) -> List[Json]:
    """Return the objects in a JSON list; an empty list for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
