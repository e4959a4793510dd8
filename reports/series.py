"""What the stored series share: a header line of JSON that names its schema, and values that are numbers or null."""

from __future__ import annotations

import json
import math
from typing import Any


def header(line: str, schema: str, what: str) -> dict[str, Any]:
    """The header of a series.

    Args:
        line: the first line.
        schema: the schema that this package reads; its minor versions are read too.
        what: the series, for the message.

    Raises:
        ValueError: it is missing or of another schema.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what}: the first line is not a JSON header: {error}") from None
    named = found.get("schema") if isinstance(found, dict) else None
    if not isinstance(named, str) or (named != schema and not named.startswith(schema + ".")):
        raise ValueError(f"{what}: schema {named!r}, expected {schema!r}")
    return dict(found)


def number(value: object) -> float | None:
    """A finite number, or None for anything else, also for an integer beyond what a float holds."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
