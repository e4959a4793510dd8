"""JSON from somebody who is not trusted: what later code could trip over is refused while it is parsed.

Python's own reader takes NaN and ``1e999``, integers of thousands of digits, a key twice, half a surrogate pair
and a thousand levels of brackets; each of them passes the parser and fails somewhere else, far from who sent it.
"""

import json
import math
import re
from typing import Any, Dict, Iterable, List, Set, Tuple

#: Far below the interpreter's own limit, so that whoever walks the value later has stack left.
MAX_DEPTH = 64
_MIN_INT = -(1 << 63)
_MAX_INT = (1 << 64) - 1
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: it is no JSON, or holds a number that no 64 bits can hold, a key twice, text that cannot be
            encoded, or more than ``MAX_DEPTH`` levels.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
            object_pairs_hook=_unique,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_depth(value)
    if _SURROGATE.search(text):
        _check_text(value)
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError("%s is not a JSON number" % name)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("%.40s is too large a number" % digits)
    return value


def _bounded(digits: str) -> int:
    # Not even converted if it is long: that takes time in the square of the length.
    value = int(digits) if len(digits) <= 20 else None
    if value is None or not _MIN_INT <= value <= _MAX_INT:
        raise ValueError("%.40s is too large an integer" % digits)
    return value


def _unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: Set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError("key %.80r twice" % key)
            seen.add(key)
    return value


def _check_depth(value: Any) -> None:
    level = _containers([value])
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [
            inner
            for outer in level
            for inner in _containers(outer.values() if isinstance(outer, dict) else outer)
        ]
    if level:
        raise ValueError("nested too deeply")


def _containers(values: Iterable[Any]) -> List[Any]:
    return [value for value in values if isinstance(value, (dict, list))]


def _check_text(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("text with half a surrogate pair") from None
