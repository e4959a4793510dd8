"""JSON values of frozen dataclasses: fields in their order, under their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from typing import Any

#: Metadata of a field whose own fields (or keys) stand in its place; nothing stands there if it is None.
INLINE = {"inline": True}
#: Metadata of a field that is left out where it is None.
OMIT_NONE = {"omit_none": True}

#: Metadata of a field that has no place in JSON: what it says stands there already.
LEFT_OUT = {"left_out": True}


def named(name: str) -> dict[str, str]:
    """Return the metadata of a field whose name in JSON is not a valid Python name, such as ``class``."""
    return {"json": name}


def json_value(value: object) -> Any:
    """Convert a dataclass, and everything in it, to dicts, lists and plain values.

    >>> from dataclasses import dataclass, field
    >>> @dataclass(frozen=True)
    ... class Origin:
    ...     scope: str
    >>> @dataclass(frozen=True)
    ... class Energy:
    ...     joules: tuple[float, ...]
    ...     origin: Origin | None = field(metadata=INLINE)
    >>> json_value(Energy((1.0, 2.0), Origin("module"))), json_value(Energy((), None))
    ({'joules': [1.0, 2.0], 'scope': 'module'}, {'joules': []})
    """
    if is_dataclass(value) and not isinstance(value, type):
        members: dict[str, object] = {}
        for item in fields(value):
            members |= _member(item, getattr(value, item.name))
        return members
    if isinstance(value, Mapping):
        return {key: json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return value


def _member(item: Field[Any], value: object) -> Mapping[str, object]:
    if item.metadata.get("left_out"):
        return {}
    if value is None and (item.metadata.get("inline") or item.metadata.get("omit_none")):
        return {}
    if item.metadata.get("inline"):
        members: Mapping[str, object] = json_value(value)
        return members
    return {item.metadata.get("json", item.name): json_value(value)}
