"""Read a TOML file into a pydantic model; errors name the file, the place, the key and what was allowed."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from tunebench.harness.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)
Table = type[BaseModel]

_MAX_SHOWN = 500

#: The name of the entry that an error's location lies in, e.g. "board 'pi5-01'".
Place = Callable[[tuple[int | str, ...], Mapping[str, Any]], str]


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Parse a file and return its tables.

    Raises:
        UsageError: the file is missing, unreadable or not TOML.
    """
    try:
        with path.open("rb") as file:
            tables = tomllib.load(file)
    except FileNotFoundError:
        raise UsageError(f"{what} {path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{what} {path}: cannot be read: {error}") from None
    except RecursionError:
        raise UsageError(f"{what} {path}: not valid TOML: nested too deeply") from None
    except ValueError as error:  # a TOMLDecodeError is one; a number of thousands of digits is another
        raise UsageError(f"{what} {path}: not valid TOML: {error}") from None
    if not _in_64_bits(tables):
        raise UsageError(f"{what} {path}: not valid TOML: an integer of more than 64 bits")
    return tables


def _in_64_bits(value: Any) -> bool:
    """Return whether all integers fit into 64 bits, as TOML demands; tomllib does not check it.

    Hexadecimal digits may make integers that Python refuses to print.
    """
    if isinstance(value, dict):
        return all(map(_in_64_bits, value.values()))
    if isinstance(value, list):
        return all(map(_in_64_bits, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def validate(model: type[Model], data: Mapping[str, Any], path: Path, place: Place) -> Model:
    """Validate ``data`` and return it as ``model``.

    Raises:
        UsageError: one line a problem, naming file, place, key and the allowed keys or values.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [_explain(model, data, problem, place) for problem in error.errors(include_url=False)]
        raise UsageError("\n".join(f"{path}: {line}" for line in lines)) from None


def _explain(model: type[BaseModel], data: Mapping[str, Any], problem: Any, place: Place) -> str:
    location: tuple[int | str, ...] = problem["loc"]
    where = place(location, data)
    kind = problem["type"]
    names, tables = _walk(model, location)
    key = ".".join(names) or "(whole file)"
    leaf = str(location[-1]) if location else key
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return f"{where}: key '{key}.kind' {_which(problem)}; allowed: {', '.join(_tags(tables))}"
    if kind == "extra_forbidden":
        allowed = _allowed_keys(model, location[:-1])
        close = difflib.get_close_matches(leaf, allowed, 1)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        return f"{where}: unknown key '{leaf}'{hint}; allowed: {', '.join(allowed)}"
    if kind == "missing":
        return f"{where}: key '{leaf}' is missing"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem.get("input")
    shown = "" if kind == "value_error" or isinstance(given, dict | list) else f" (got {_shown(given)})"
    return f"{where}: key '{key}': {message}{shown}"


def _shown(given: Any) -> str:
    """Return a given value as text, shortened."""
    text = repr(given)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _which(problem: Any) -> str:
    tag = (problem.get("ctx") or {}).get("tag")
    return "is missing" if tag is None else f"is {tag!r}"


def _allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the sub-model that ``location`` leads to."""
    tables = _walk(model, location)[1]
    return sorted(field.alias or name for name, field in tables[0].model_fields.items())


def _walk(model: Table, location: tuple[int | str, ...]) -> tuple[list[str], list[Table]]:
    """Return the keys of a location as the file has them, and the sub-models it leads to (several: one for each kind)."""
    names: list[str] = []
    current: list[Table] = [model]
    for part in location:
        if not isinstance(part, str):
            continue
        if len(current) > 1:  # the kind that chose among several tables; the file has no such key
            current = [table for table in current if part in _tags([table])] or current
            continue
        names.append(part)
        for name, field in current[0].model_fields.items():
            if part in (name, field.alias):
                current = _models_in(field.annotation) or current
                break
    return names, current


def _tags(models: list[Table]) -> list[str]:
    """Return the values of ``kind`` that these tables accept."""
    tags: list[str] = []
    for model in models:
        kind = model.model_fields.get("kind")
        if kind is not None and get_origin(kind.annotation) in (Literal,):
            tags += map(str, get_args(kind.annotation))
    return tags


def _models_in(annotation: Any) -> list[Table]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
