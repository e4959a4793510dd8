"""Read a TOML file into a pydantic model; errors name the file, the place, the key and what was allowed."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)

#: The name of the entry that an error's location lies in, e.g. "board 'pi5-01'".
Place = Callable[[tuple[int | str, ...], Mapping[str, Any]], str]


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Parse ``path``.

    Raises:
        UsageError: the file is missing, unreadable or not TOML.
    """
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise UsageError(f"{what} {path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{what} {path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{what} {path}: not valid TOML: {error}") from None


def validate(model: type[Model], data: Mapping[str, Any], path: Path, place: Place) -> Model:
    """Validate ``data`` as ``model``.

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
    key = ".".join(str(part) for part in location if isinstance(part, str)) or "(whole file)"
    leaf = str(location[-1]) if location else key
    kind = problem["type"]
    if kind == "extra_forbidden":
        allowed = _allowed_keys(model, location[:-1])
        close = difflib.get_close_matches(leaf, allowed, 1)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        return f"{where}: unknown key '{leaf}'{hint}; allowed: {', '.join(allowed)}"
    if kind == "missing":
        return f"{where}: key '{leaf}' is missing"
    message = problem["msg"].removeprefix("Value error, ")
    given = problem.get("input")
    shown = "" if kind == "value_error" or isinstance(given, dict | list) else f" (got {given!r})"
    return f"{where}: key '{key}': {message}{shown}"


def _allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys of the sub-model that ``location`` leads to."""
    current: type[BaseModel] = model
    for part in location:
        if not isinstance(part, str):
            continue
        for name, field in current.model_fields.items():
            if part in (name, field.alias):
                inner = _model_in(field.annotation)
                if inner is not None:
                    current = inner
    return sorted(field.alias or name for name, field in current.model_fields.items())


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
