"""Say in plain words what is wrong with a value of a TOML file, and what would be right."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

_MAX_SHOWN = 500
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
#: Regular expressions of the schemas, in words.
_FORMS = {_NAME: "1 to 64 letters, digits, '.', '_' or '-', a letter or digit first"}

Context = Mapping[str, Any]

#: Kind of error (pydantic's) -> what the value must be.
_WORDS: dict[str, Callable[[Context], str]] = {
    "string_type": lambda _: "must be text in quotes",
    "int_type": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "bool_type": lambda _: "must be true or false",
    "list_type": lambda _: "must be a list",
    "tuple_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be a table",
    "model_type": lambda _: "must be a table",
    "model_attributes_type": lambda _: "must be a table",
    "literal_error": lambda context: f"must be {context['expected']}",
    "greater_than": lambda context: f"must be greater than {context['gt']:g}",
    "greater_than_equal": lambda context: f"must be greater than or equal to {context['ge']:g}",
    "less_than": lambda context: f"must be less than {context['lt']:g}",
    "less_than_equal": lambda context: f"must be less than or equal to {context['le']:g}",
    "finite_number": lambda _: "must be a finite number",
    "string_pattern_mismatch": lambda context: (
        f"must be {_FORMS.get(context['pattern'], 'of the form ' + context['pattern'])}"
    ),
    "string_too_short": lambda context: (
        "must not be empty"
        if context["min_length"] == 1
        else f"must have {context['min_length']} characters or more"
    ),
    "string_too_long": lambda context: f"must have {context['max_length']} characters or fewer",
    "too_short": lambda context: f"must have {context['min_length']} or more entries",
    "too_long": lambda context: f"must have {context['max_length']} or fewer entries",
}
_TABLES = ("dict_type", "model_type", "model_attributes_type")


def said(problem: Mapping[str, Any]) -> str:
    """Return what an error of pydantic's says, in our words.

    >>> said({"type": "int_type", "msg": "Input should be a valid integer", "input": "22", "ctx": {}})
    'must be a whole number'
    """
    kind, message = str(problem["type"]), str(problem["msg"])
    words = _WORDS.get(kind)
    if words is not None:
        return words(problem.get("ctx") or {})
    # A kind that no schema has raised so far; a validator's own sentence stays as it is.
    return message.removeprefix("Value error, ").replace("Input should be", "must be")


def given(problem: Mapping[str, Any], key: str, entry: int | str | None = None) -> str:
    """Return the value that was given, in brackets, and how it would have been written right; empty for tables and lists.

    Args:
        problem: pydantic's error.
        key: as it stands before the ``=``.
        entry: the last part of the error's place: a number is that of an entry of a list.

    >>> given({"type": "int_type", "input": "22"}, "port")
    " (got '22'); without quotes: port = 22"
    """
    kind, value = str(problem["type"]), problem.get("input")
    if kind == "value_error" or isinstance(value, dict | list):
        return ""
    if isinstance(entry, int):
        return f" (entry {entry + 1} is {shown(value)})"
    right = _right(kind, value)
    return f" (got {shown(value)})" + (f"; {right[0]}: {key} = {right[1]}" if right is not None else "")


def _right(kind: str, value: object) -> tuple[str, str] | None:
    """Return what to do about a value of the wrong type, and the value as it should have been written."""
    if isinstance(value, str):
        if (
            kind in ("int_type", "float_type")
            and value.strip().removeprefix("-").replace(".", "", 1).isdigit()
        ):
            return ("without quotes", value.strip()) if kind == "float_type" or "." not in value else None
        if kind == "bool_type" and value.lower() in ("true", "false"):
            return "without quotes", value.lower()
        if kind == "list_type" and len(value) <= 60:
            words = [word for word in re.split(r"[,\s]+", value) if word]
            return "a list, even of one", f"[{', '.join(map(quoted, words))}]"
    if kind == "string_type" and isinstance(value, int | float):
        return "in quotes", quoted(shown(value))
    return None


def quoted(text: str) -> str:
    """Return a text as TOML writes it, in double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def shown(value: object) -> str:
    """Return a given value as text, shortened; true and false as TOML writes them."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def brackets(problem: Mapping[str, Any], dotted: str, *, several: bool) -> str | None:
    """Return what is wrong with the brackets of a table; None where the error is another.

    Args:
        problem: pydantic's error on the table.
        dotted: the table's name in the file, e.g. ``board.meter``.
        several: whether it is an array of tables, ``[[board]]``.
    """
    kind, value = str(problem["type"]), problem.get("input")
    if several and kind in ("list_type", "tuple_type"):
        here = (
            f"here it stands as [{dotted}]" if isinstance(value, dict) else f"here it is {shown(value)[:60]}"
        )
        return f"is written in two brackets, [[{dotted}]], once for each; {here}"
    if kind in _TABLES and not several:
        here = (
            f"here it stands as [[{dotted}]]"
            if isinstance(value, list)
            else f"here it is {shown(value)[:60]}"
        )
        return f"is a table, written in single brackets, [{dotted}], once; {here}"
    if kind in _TABLES:
        return f"must be a table, written [[{dotted}]]; here it is {shown(value)[:60]}"
    return None


def did_you_mean(name: str, known: Collection[str]) -> str:
    """Return a hint at the known name that a mistyped one resembles, whatever its case; empty if none does."""
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), sorted(by_lower), 1)
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""
