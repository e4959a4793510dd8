"""Read a TOML file into a pydantic model; errors name the file, the place, the key and what was allowed."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tunebench.harness.config import mistakes
from tunebench.harness.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)
Table = type[BaseModel]

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
        lines = _merged(
            [_explain(model, data, problem, place) for problem in error.errors(include_url=False)]
        )
        raise UsageError("\n".join(f"{path}: {line}" for line in lines)) from None


@dataclass(frozen=True)
class _Line:
    """One mistake: where it is, what it is about, what is wrong with it, and what was given."""

    where: str
    subject: str
    words: str
    given: str = ""


def _merged(lines: Sequence[_Line]) -> list[str]:
    """Return one line for each key: one that may be of several forms has an error for each of them."""
    by_key: dict[tuple[str, str], list[_Line]] = {}
    for line in lines:
        by_key.setdefault((line.where, line.subject or line.words), []).append(line)
    texts = []
    for same in by_key.values():
        where, subject = same[0].where, same[0].subject
        words = list(dict.fromkeys(line.words for line in same))
        joined = " or ".join([words[0], *(word.removeprefix("must be ") for word in words[1:])])
        head = f"{where}: {subject}: " if subject else f"{where}: "
        texts.append(head + joined + next((line.given for line in same if line.given), ""))
    return texts


def _explain(model: type[BaseModel], data: Mapping[str, Any], problem: Any, place: Place) -> _Line:
    location: tuple[int | str, ...] = problem["loc"]
    where = place(location, data)
    kind = problem["type"]
    if len(location) == 1 and kind in ("extra_forbidden", "missing"):
        where = place((), data)
    names, tables = _walk(model, location)
    leaf = str(location[-1]) if location else ""
    dotted = ".".join(names)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _Line(where, "", f"key '{dotted}.kind' {_which(problem)}; allowed: {', '.join(_tags(tables))}")
    if kind == "extra_forbidden":
        allowed = _allowed_keys(model, location[:-1])
        hint = _elsewhere(model, location, problem.get("input"))
        close = difflib.get_close_matches(leaf, allowed, 1)
        if not hint and close:
            hint = f" (did you mean '{close[0]}'?)"
        return _Line(where, "", f"unknown key '{leaf}'{hint}; allowed: {', '.join(allowed)}")
    if kind == "missing":
        several = f": at least one [[{leaf}]] is needed" if _is_array(model, location) else ""
        return _Line(where, "", f"key '{leaf}' is missing{several}")
    if tables and (wrong := mistakes.brackets(problem, dotted, several=_is_array(model, location))):
        subject = "" if where == f"[{dotted}]" or isinstance(location[-1], int) else f"'{names[-1]}'"
        return _Line(where, subject, wrong)
    if kind == "value_error" and _names_a_table(model, location):
        # A rule about several keys of a table; the sentence names them.
        inner = f"in '{names[-1]}'" if len(names) > 1 else ""
        return _Line(where, inner, mistakes.said(problem))
    given = mistakes.given(problem, names[-1] if names else leaf, location[-1] if location else None)
    return _Line(where, f"key '{dotted}'", mistakes.said(problem), given)


def _is_array(model: Table, location: tuple[int | str, ...]) -> bool:
    """Tell whether a location leads to an array of tables, ``[[board]]``."""
    field = _field(model, location)
    return field is not None and get_origin(field.annotation) is list and bool(_models_in(field.annotation))


def _names_a_table(model: Table, location: tuple[int | str, ...]) -> bool:
    """Tell whether a location leads to a table, not to a key in one."""
    field = _field(model, location)
    return field is None or bool(_models_in(field.annotation))


def _field(model: Table, location: tuple[int | str, ...]) -> FieldInfo | None:
    """Return the field that the last key of a location is; None for the whole file."""
    names, _ = _walk(model, location)
    if not names:
        return None
    parents = _walk(model, tuple(names[:-1]))[1]
    for parent in parents:
        for name, field in parent.model_fields.items():
            if names[-1] in (name, field.alias):
                return field
    return None


def _elsewhere(model: Table, location: tuple[int | str, ...], value: Any) -> str:
    """Return the table that a key at the top of the file belongs to, where one has a key of that name; else nothing."""
    if len(location) != 1:
        return ""
    leaf = str(location[0])
    for name, field in model.model_fields.items():
        table = field.alias or name
        if any(leaf in inner.model_fields for inner in _models_in(field.annotation)):
            owner = f"[[{table}]]" if get_origin(field.annotation) is list else f"[{table}]"
            written = f": write [{table}.{leaf}] below it" if isinstance(value, dict) else ""
            return f" (it belongs to a {owner}{written})"
    return ""


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
        inner = next(
            (
                _models_in(field.annotation)
                for name, field in current[0].model_fields.items()
                if part in (name, field.alias)
            ),
            None,
        )
        if inner == []:
            # A key that is no table: what follows tells which of its forms was tried, and which entry.
            return names, []
        current = inner or current
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
